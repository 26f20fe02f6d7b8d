"""One hand that acts on PostHog: marks in the ledger, sends one request, records what came of it.

Facts: what each failure of the client says about the server (`hog_dagster.posthog.errors`): without
a connection, with 401, 403 or 429 nothing happened; with a cut answer or a 5xx nobody knows; the
replay view passes a failure of the worker behind it on as a 400, and the worker writes its marker
even if queueing fails.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from hog_dagster.ledger import Action, Alive, ClaimLost, Entry, Ledger, Lock
from hog_dagster.posthog import PostHogClient, errors

__all__ = ["Acting", "Fate", "Sent", "Step", "StepObserver", "growing_pauses", "text_of"]

#: The longest wait for the rate limit between the mark "sent" and the request itself, in seconds.
AT_ONCE = 1.0
#: The longest wait for the rate limit of one call while a workflow's lock is held.
WHILE_LOCKED = 300.0


class Log(Protocol):
    """What is written to: a Dagster log manager, or a plain logger."""

    def info(self, msg: str, /) -> None: ...
    def warning(self, msg: str, /) -> None: ...
    def error(self, msg: str, /) -> None: ...


class Step(StrEnum):
    """Points an act passes; an observer is told at each."""

    BEFORE_CLAIM = "before_claim"
    AFTER_CLAIM = "after_claim"
    DURING_POST = "during_post"  #: marked as sent; the request leaves next
    AFTER_ANSWER = "after_answer"
    BEFORE_COMMIT = "before_commit"  #: inside the transaction that records the outcome


#: Told (step, workflow id, subject) as acts proceed: for tracing, metrics, tests of one's own.
StepObserver = Callable[[Step, str, str], None]


class Fate(StrEnum):
    """What sending came to."""

    ANSWERED = "answered"
    REFUSED = "refused"  #: PostHog said no to this act; nothing happened
    NOT_SENT = "not_sent"  #: nothing happened, and the next act would fare the same
    LATER = "later"  #: nothing happened: the rate limit
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one request."""

    fate: Fate
    entries: list[Entry]
    answer: Any = None
    error: errors.PostHogError | None = None
    why_not: str = ""

    @property
    def why(self) -> str:
        """The failure in words."""
        return self.why_not or text_of(self.error)


@dataclass
class Acting:
    """Everything an act needs: the client, the ledger, who acts, and how careful to be.

    Args:
        client: an open client.
        ledger: an open ledger.
        owner: the Dagster run that acts.
        log: where progress is written.
        alive: says whether another run still runs.
        grace: how long PostHog may take to show an effect; only after it is an absence believed.
        max_wait: seconds to wait for the rate limit in all.
        on_step: told at each step of each act.
    """

    client: PostHogClient
    ledger: Ledger
    owner: str
    log: Log = field(default_factory=lambda: logging.getLogger("hog_dagster.jobs"))
    alive: Alive | None = None
    grace: timedelta = timedelta(minutes=15)
    max_wait: float = 600.0
    on_step: StepObserver | None = None
    lock: Lock | None = None
    waited: float = 0.0
    looked_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.on_step is not None:
            self.ledger.observer = self._on_commit

    @property
    def project_id(self) -> int:
        """The project acted on."""
        return self.client.project_id

    def now(self) -> datetime:
        """The present by PostHog's clock, as its last answer told it (to the second)."""
        return datetime.now(UTC) + timedelta(seconds=self.client.server.clock_skew_s or 0.0)

    def look(self) -> None:
        """Say before reading evidence back: absences are judged by this moment, not by a later one,
        however long this process is suspended in between.
        """
        if self.client.server.clock_skew_s is None:
            _ = self.client.server.capabilities  # one request; its answer tells PostHog's time
        self.looked_at = self.now()

    def step(self, step: Step, workflow_id: str, subject: str) -> None:
        """Tell the observer."""
        if self.on_step is not None:
            self.on_step(step, workflow_id, subject)

    def _on_commit(self, step: str, entry: Entry) -> None:
        if step in ("confirm", "refuse", "doubt"):
            self.step(Step.BEFORE_COMMIT, entry.target_id, entry.subject)

    def act(self, kind: str, workflow_id: str, subject: str, **request: Any) -> Action:
        """An act on this project, with where it goes in its summary."""
        return Action(
            self.project_id,
            kind,
            workflow_id,
            subject,
            request={"host": self.client.host, **request},
        )

    @contextmanager
    def holding(self, workflow_id: str, wait: float) -> Any:
        """Hold the workflow's lock; yields False when another run keeps it.

        Meanwhile no call waits for the rate limit so long that the lock would be lost.
        """
        name = f"workflow:{self.project_id}:{workflow_id}"
        with self.ledger.lock(name, self.owner, wait=wait, alive=self.alive) as lock:
            self.lock = lock
            try:
                with self.client.waiting_at_most(WHILE_LOCKED):
                    yield lock is not None
            finally:
                self.lock = None

    def grace_over(self, entry: Entry, times: int = 1) -> bool:
        """Whether an effect of this act, had it happened, was visible when we looked."""
        sent = entry.server_sent_at or entry.sent_at
        seen = self.looked_at or self.now()
        return sent is None or seen - sent >= self.grace * times

    def send(
        self,
        entries: Sequence[Entry],
        post: Callable[[], Any],
        *,
        refusal_is_final: bool = True,
    ) -> Sent:
        """Mark the acts as sent, send the one request, and record what is known of its outcome.

        A success is not recorded here: the caller knows what the answer means. Waiting for the rate
        limit happens before the mark, so that "sent at" is true.

        Args:
            entries: acts granted to this run; they all go with the one request.
            post: sends it.
            refusal_is_final: a 400 or 404 settles the acts as refused; else they may be tried
                again.

        Raises:
            ClaimLost, LockLost: another run took over; nothing was sent.
        """
        while True:
            sent = self._send_once(entries, post, refusal_is_final)
            if sent.fate is not Fate.LATER:
                return sent
            wait = min(getattr(sent.error, "wait_s", 0.0) or 1.0, 3600.0)
            if self.waited + wait > self.max_wait:
                return sent
            self.log.info(f"Waiting {wait:.1f} s for PostHog's rate limit")
            self.pause(wait)
            claims = self.ledger.claim_all(
                [entry.action() for entry in sent.entries],
                self.owner,
                alive=self.alive,
            )
            if not all(claim.granted for claim in claims):
                raise ClaimLost("Another run took an act over while this one waited.")
            entries = [claim.entry for claim in claims]

    def pause(self, seconds: float) -> None:
        """Wait, keeping the workflow's lock."""
        self.waited += seconds
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 60.0))
            if self.lock is not None:
                self.ledger.renew(self.lock)

    def _send_once(
        self, entries: Sequence[Entry], post: Callable[[], Any], refusal_is_final: bool
    ) -> Sent:
        first = entries[0]
        self.step(Step.AFTER_CLAIM, first.target_id, first.subject)
        marked = self.ledger.mark_sent(entries, server_time=self.now(), lock=self.lock)
        marked_at = time.time()
        self.step(Step.DURING_POST, first.target_id, first.subject)
        if time.time() - marked_at > self.grace.total_seconds() / 2 + AT_ONCE:
            note = "not sent: this process was suspended for too long after it had marked the act"
            return Sent(Fate.NOT_SENT, self.ledger.release(*marked, note=note), why_not=note)
        try:
            with self.client.waiting_at_most(AT_ONCE):
                answer = post()
        except errors.Throttled as error:
            return Sent(Fate.LATER, self.ledger.release(*marked, note=text_of(error)), error=error)
        except errors.PostHogError as error:
            return self._failed(marked, error, refusal_is_final)
        except BaseException as error:
            self.ledger.doubt(*marked, note=f"interrupted while under way: {type(error).__name__}")
            raise
        self.step(Step.AFTER_ANSWER, first.target_id, first.subject)
        return Sent(Fate.ANSWERED, marked, answer)

    def _failed(
        self, marked: list[Entry], error: errors.PostHogError, refusal_is_final: bool
    ) -> Sent:
        note = text_of(error)
        if isinstance(
            error,
            errors.TransportError
            | errors.AuthenticationError
            | errors.PermissionDenied
            | errors.EndpointMissing
            | errors.RedirectRefused
            | errors.ConfigurationError,
        ):
            return Sent(Fate.NOT_SENT, self.ledger.release(*marked, note=note), error=error)
        refused = isinstance(
            error, errors.InvalidRequest | errors.NotFound | errors.Conflict
        ) and not _from_behind(error)
        if refused and refusal_is_final:
            answer = {"status": error.status, "detail": error.detail}
            return Sent(
                Fate.REFUSED, self.ledger.refuse(*marked, response=answer, note=note), error=error
            )
        if refused:
            return Sent(Fate.REFUSED, self.ledger.release(*marked, note=note), error=error)
        return Sent(Fate.IN_DOUBT, self.ledger.doubt(*marked, note=note), error=error)


def _from_behind(error: errors.PostHogError) -> bool:
    """Whether a 4xx is the failure of the worker behind the view, passed on."""
    return "failed to replay" in (error.detail or "").lower()


def growing_pauses(first: float = 0.5, longest: float = 15.0) -> Iterator[float]:
    """Seconds to wait between looks: each twice the one before, up to the longest; without end."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 2, longest)


def text_of(error: BaseException | None) -> str:
    """An error in one line, for the ledger and the log."""
    if error is None:
        return ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500]
