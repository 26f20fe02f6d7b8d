"""The one protocol of every action: claim, mark sent, send, record.

Facts: PostHog's writing endpoints have no idempotency key, so an action is committed to the ledger
before its one request leaves. What a failure says about the effect is the error's own `outcome`
(`hog_dagster.posthog.errors`): only what PostHog itself wrote, or a request that never left, says
anything; everything else leaves the action in doubt.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.actions._summary import Outcome
from hog_dagster.ledger import Action, Alive, ClaimLost, Entry, Ledger, Lock
from hog_dagster.posthog import PostHogClient, errors

#: The longest wait for the rate limit between the mark "sent" and the request itself, in seconds.
AT_ONCE = 1.0
#: The longest wait for the rate limit of one call while a workflow's lock is held.
WHILE_LOCKED = 300.0


#: Sends the one request of an action and returns PostHog's response.
Post = Callable[[PostHogClient], Any]


class Log(Protocol):
    """What is written to: a Dagster log manager, or a plain logger."""

    def info(self, msg: str, /) -> None: ...
    def warning(self, msg: str, /) -> None: ...
    def error(self, msg: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """What runs: a workflow, or a hog function."""

    id: str
    type: str = "workflow"
    name: str = ""

    @property
    def label(self) -> str:
        """For people: `workflow "Trial ending" (0196...)`."""
        what = self.type.replace("_", " ")
        return f'{what} "{self.name}" ({self.id})' if self.name else f"{what} {self.id}"

    def service(self, client: PostHogClient) -> Any:
        """The part of the client that reads and reruns its runs."""
        return client.workflows if self.type == "workflow" else client.hog_functions


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one request.

    Attributes:
        outcome: CONFIRMED when PostHog responded in its own shape (not recorded yet: the caller
            knows what the response means); REFUSED, NOT_SENT or IN_DOUBT (recorded).
        entries: the actions that went with the request, as they now stand.
        response: PostHog's response.
        why: the failure in words.
        stop: the next request would fare no better.
    """

    outcome: Outcome
    entries: list[Entry]
    response: Any = None
    why: str = ""
    stop: bool = False


@dataclass
class Actor:
    """Everything an action needs: the client, the ledger, who acts, and how careful to be.

    Args:
        client: an open client.
        ledger: an open ledger.
        owner: the Dagster run that acts.
        log: where progress is written.
        alive: says whether another run still runs.
        clock: the machine's clock.
        grace: how late PostHog may show an effect. At least twice the read timeout is used.
        max_wait: seconds to wait for the rate limit in all.
        on_marked: called after actions are marked as sent and before their request leaves, so that
            the Dagster instance remembers how far the ledger is; raising there sends nothing.
        resolve_command: how an operator resolves an action here; `{id}` stands for its number.
    """

    client: PostHogClient
    ledger: Ledger
    owner: str
    log: Log = field(default_factory=lambda: logging.getLogger("hog_dagster.actions"))
    alive: Alive | None = None
    clock: Clock = SYSTEM_CLOCK
    grace: timedelta = timedelta(minutes=15)
    max_wait: float = 600.0
    resolve_command: str = 'hog-dagster ledger resolve {id} --as confirmed|not-sent --reason "..."'
    on_marked: Callable[[], None] | None = None
    lock: Lock | None = None
    waited: float = 0.0
    _user: str | None = None

    def __post_init__(self) -> None:
        self.grace = max(self.grace, timedelta(seconds=2 * self.client.read_timeout_s))

    @property
    def project_id(self) -> int:
        """The project acted on."""
        return self.client.project_id

    # --- time -----------------------------------------------------------------------------------

    def know_the_time(self) -> None:
        """Make sure that bounds of PostHog's clock are known; one request when they are not."""
        if not self.client.server.clock.known:
            self.client.server.read_clock()

    def earliest(self) -> datetime:
        """PostHog's present, at the earliest."""
        return self.client.server.clock.earliest()

    def latest(self) -> datetime:
        """PostHog's present, at the latest."""
        return self.client.server.clock.latest()

    def grace_ends(self, entry: Entry, times: int = 1) -> datetime:
        """When an effect of this action, had it happened, must be visible, by PostHog's clock."""
        ended = entry.server_given_up_at
        if ended is None:
            # Nobody recorded the end of the request: its process died. It took this long at most.
            width = float(entry.request.get("clock_width_s") or 0.0)
            longest = self.client.request_timeout_s + AT_ONCE + width
            started = entry.server_sent_at or entry.sent_at or entry.created_at
            ended = started + timedelta(seconds=longest)
        return ended + self.grace * times

    def grace_over(self, entry: Entry, times: int = 1, *, at: datetime | None = None) -> bool:
        """Whether an absence counts as evidence.

        Args:
            entry: the action.
            times: how many grace times the effect may take.
            at: PostHog's time before the evidence was read; now by default.
        """
        return (at or self.earliest()) >= self.grace_ends(entry, times)

    def pause(self, seconds: float) -> None:
        """Wait, keeping the workflow's lock."""
        self.waited += seconds
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            self.clock.sleep(min(left, 60.0))
            if self.lock is not None:
                self.ledger.renew(self.lock)

    # --- naming ---------------------------------------------------------------------------------

    def action(self, kind: str, source: Source, subject: str, **request: Any) -> Action:
        """An action on this project; where it goes stands in its summary."""
        return Action(
            self.project_id,
            kind,
            source.id,
            subject,
            target_type=source.type,
            target_name=source.name,
            request={"host": self.client.host, "clock_width_s": self._clock_width(), **request},
        )

    def user(self) -> str | None:
        """Whose key it is, as PostHog names who made something; None where it does not tell."""
        if self._user is None:
            try:
                self._user = str(self.client.server.user().uuid or "")
            except errors.PostHogError:
                self._user = ""
        return self._user or None

    def _clock_width(self) -> float:
        clock = self.client.server.clock
        return round((clock.latest() - clock.earliest()).total_seconds(), 3) if clock.known else 0.0

    def remedy(self, entry: Entry) -> str:
        """What an operator does when PostHog cannot tell."""
        return f"Look into PostHog, then run `{self.resolve_command.format(id=entry.id)}`."

    # --- the protocol ---------------------------------------------------------------------------

    @contextmanager
    def holding(self, source_id: str, wait: float) -> Iterator[bool]:
        """Hold the lock of a workflow or function; yields False when another run keeps it.

        Meanwhile no call of the actor's client waits for the rate limit so long that the lock would
        be lost.
        """
        name = f"workflow:{self.project_id}:{source_id}"
        with self.ledger.lock(name, self.owner, wait=wait, alive=self.alive) as lock:
            unlimited, self.client = self.client, self.client.with_limits(WHILE_LOCKED)
            self.lock = lock
            try:
                yield lock is not None
            finally:
                self.lock, self.client = None, unlimited

    def send(self, entries: Sequence[Entry], post: Post, *, final: bool = True) -> Sent:
        """Mark claimed actions as sent, send the one request, record what is known of its outcome.

        Waiting for the rate limit happens before the mark, so that "sent at" is true.

        Args:
            entries: actions claimed by this run; they all go with the one request.
            post: sends it, through the client that it is given.
            final: PostHog's refusal settles the actions; else they may be sent again later.

        Raises:
            ClaimLost, LockLost: another run took over; nothing was sent.
        """
        while True:
            sent, wait = self._send_once(entries, post, final)
            if wait is None or self.waited + wait > self.max_wait:
                return sent
            self.log.info(f"Waiting {wait:.1f} s for PostHog's rate limit")
            self.pause(wait)
            claims = self.ledger.claim_all(
                [entry.action() for entry in sent.entries], self.owner, alive=self.alive
            )
            if not all(claim.granted for claim in claims):
                raise ClaimLost("Another run took an action over while this one waited.")
            entries = [claim.entry for claim in claims]

    def _send_once(
        self, entries: Sequence[Entry], post: Post, final: bool
    ) -> tuple[Sent, float | None]:
        """One try; and how many seconds to wait before the next one, when it may be made."""
        before = self.clock.monotonic(), self.clock.now()
        marked = self.ledger.mark_sent(entries, server_time=self.earliest(), lock=self.lock)
        if self.on_marked is not None:
            try:
                self.on_marked()
            except BaseException as error:
                note = f"not sent: interrupted before the request ({type(error).__name__})"
                self.ledger.release(*marked, note=note)
                raise
        if self._was_suspended(*before):
            why = "not sent: this process was suspended after it had marked the action"
            return Sent(Outcome.NOT_SENT, self.ledger.release(*marked, note=why), why=why), None
        made = self.client.requests_made
        try:
            response = post(self.client.with_limits(AT_ONCE))
        except errors.Throttled as error:
            if error.outcome == "not_sent":
                entries = self.ledger.release(*marked, note=text_of(error))
                wait = min(error.wait_s or 1.0, 3600.0)
                return Sent(Outcome.NOT_SENT, entries, why=text_of(error), stop=True), wait
            return self._failed(marked, error, final), None
        except errors.PostHogError as error:
            return self._failed(marked, error, final), None
        except BaseException as error:
            if self.client.requests_made == made:  # it never left
                note = f"not sent: interrupted before the request ({type(error).__name__})"
                self.ledger.release(*marked, note=note)
                raise
            note = f"in doubt: interrupted while under way ({type(error).__name__})"
            self.ledger.doubt(*marked, note=note, server_given_up_at=self.latest())
            raise
        return Sent(Outcome.CONFIRMED, marked, response), None

    def _was_suspended(self, monotonic: float, wall: datetime) -> bool:
        """Whether so much time passed since the mark that "sent at" would be untrue."""
        passed = max(self.clock.monotonic() - monotonic, (self.clock.now() - wall).total_seconds())
        return passed > self.grace.total_seconds() / 2

    def _failed(self, marked: list[Entry], error: errors.PostHogError, final: bool) -> Sent:
        why = text_of(error)
        if error.outcome == "not_sent":
            entries = self.ledger.release(*marked, note=f"not sent: {why}")
            return Sent(Outcome.NOT_SENT, entries, why=why, stop=_stops(error))
        if error.outcome == "refused" and final:
            response = {"status": error.status, "detail": error.detail}
            entries = self.ledger.refuse(*marked, response=response, note=why)
            return Sent(Outcome.REFUSED, entries, why=why)
        if error.outcome == "refused":
            entries = self.ledger.release(*marked, note=f"not sent: {why}")
            return Sent(Outcome.NOT_SENT, entries, why=why, stop=True)
        entries = self.ledger.doubt(
            *marked, note=f"in doubt: {why}", server_given_up_at=self.latest()
        )
        return Sent(Outcome.IN_DOUBT, entries, why=why)


def _stops(error: errors.PostHogError) -> bool:
    """Whether the next request would fail the same way: the key, the address, the network."""
    return not isinstance(error, errors.NotFound | errors.InvalidRequest | errors.Conflict) or (
        isinstance(error, errors.EndpointMissing)
    )


def growing_pauses(first: float = 0.5, longest: float = 15.0) -> Iterator[float]:
    """Seconds to wait between reads: each twice the one before, up to the longest; without end."""
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
