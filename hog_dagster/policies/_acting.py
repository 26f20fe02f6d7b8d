"""What a user may set about acting on people: one plain record each, the same in YAML, Python and
run config.

A safety setting that is given at the top of a project (`Safety`) holds for every policy below it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self, TypeVar

from pydantic import Field

from hog_dagster.policies._values import Name, Record, same_id


class AlreadySent(StrEnum):
    """What to do with a failed run whose earlier steps have already sent messages."""

    skip = "skip"  #: leave it
    allow = "allow"  #: run it again; the messages may go out a second time
    if_resumes = "if_resumes"  #: run it again only where PostHog stored the step it stopped at


P = TypeVar("P", bound=Record)


class ReplayPolicy(Record):
    """Which failed or blocked runs are replayed, and how carefully."""

    dry_run: bool = True
    """Only report what would be sent. Set it to false to replay."""
    max_runs: int = Field(default=500, ge=1)
    """The maximum number of runs that one job replays."""
    max_reruns: int = Field(default=1, ge=1, le=100)
    """The maximum number of reruns of one run that keeps failing, whoever requests them."""
    already_sent: AlreadySent = AlreadySent.skip
    """What to do with a run whose earlier steps have already sent messages. skip: do not run it
    again. allow: run it again; the messages may go out a second time. if_resumes: run it again only
    where PostHog stored the step it stopped at."""
    error_kinds: list[Name] = []
    """Only runs that failed with one of these error kinds. Empty means all."""
    message_contains: str = Field(default="", max_length=200)
    """Only runs whose error message contains this text."""
    slice_size: int = Field(default=500, ge=1, le=10_000)
    """The maximum number of runs in one rerun request."""
    grace_seconds: float = Field(default=900.0, ge=0, le=31_536_000)
    """How late PostHog may show the effect of an action. An action in doubt is not sent again
    before then. The value used is at least twice the read timeout."""
    verify_seconds: float = Field(default=60.0, ge=0, le=31_536_000)
    """How long to look for the effects after the last request."""
    lock_wait_seconds: float = Field(default=60.0, ge=0, le=31_536_000)
    """How long to wait for another run that acts on the same workflow."""


class BatchPolicy(Record):
    """How a batch job is sent."""

    dry_run: bool = True
    """Only report what would be sent."""
    max_audience: int | None = Field(default=None, ge=0)
    """Do not send to more people than this."""
    send_uncounted: bool = False
    """Send even if the PostHog server cannot count the audience."""
    send_truncated: bool = False
    """Send even if PostHog would cut the audience off at its limit. People beyond the limit get
    nothing."""
    skip_if_running: bool = True
    """Skip the send while an earlier batch job of the workflow is running."""
    again_after_seconds: float = Field(default=3600.0, ge=0, le=31_536_000)
    """Without a key: skip the send if the same workflow and variables were sent less than this ago,
    for example by a second click."""
    grace_seconds: float = Field(default=120.0, ge=0, le=31_536_000)
    """How late PostHog may show a batch job. A send in doubt is not sent again before then. The
    value used is at least twice the read timeout."""
    reconcile_seconds: float = Field(default=150.0, ge=0, le=31_536_000)
    """How long this run tries to reconcile a send in doubt."""
    follow_seconds: float = Field(default=0.0, ge=0, le=31_536_000)
    """How long to follow the batch job after it is sent."""
    cancel_on_termination: bool = False
    """Cancel the batch job if this run is terminated while it follows the job."""
    lock_wait_seconds: float = Field(default=60.0, ge=0, le=31_536_000)
    """How long to wait for another run that acts on the same workflow."""


class Safety(Record):
    """Limits of a whole project. Whatever is set here holds for everything below it."""

    dry_run: bool | None = None
    """true: nothing is sent, whatever the other settings say."""
    max_audience: int | None = Field(default=None, ge=0)
    """No batch job is sent to more people than this."""
    send_uncounted: bool | None = None
    """false: no batch job is sent to an uncounted audience."""
    send_truncated: bool | None = None
    """false: no batch job is sent to an audience that PostHog would cut off."""
    max_runs: int | None = Field(default=None, ge=1)
    """No job replays more runs than this."""
    max_reruns: int | None = Field(default=None, ge=1)
    """No run is rerun more often than this."""
    allow_workflows: list[Name] = []
    """Act only on these workflows (names or ids). Empty means all."""
    deny_workflows: list[Name] = []
    """Never act on these workflows (names or ids)."""

    def narrow_replay(self, policy: ReplayPolicy) -> ReplayPolicy:
        """The policy with every limit of the project applied; a plain one, of a record that has
        more fields too."""
        return _plain(ReplayPolicy, policy).model_copy(
            update={
                "dry_run": policy.dry_run or self.dry_run is True,
                "max_runs": _least(policy.max_runs, self.max_runs),
                "max_reruns": _least(policy.max_reruns, self.max_reruns),
            }
        )

    def narrow_batch(self, policy: BatchPolicy) -> BatchPolicy:
        """The policy with every limit of the project applied; a plain one, of a record that has
        more fields too."""
        return _plain(BatchPolicy, policy).model_copy(
            update={
                "dry_run": policy.dry_run or self.dry_run is True,
                "max_audience": _least(policy.max_audience, self.max_audience),
                "send_uncounted": policy.send_uncounted and self.send_uncounted is not False,
                "send_truncated": policy.send_truncated and self.send_truncated is not False,
            }
        )

    def allows(self, workflow_id: str, name: str | None = None) -> bool:
        """Whether the workflow may be acted on."""
        if _among(workflow_id, name, self.deny_workflows):
            return False
        return not self.allow_workflows or _among(workflow_id, name, self.allow_workflows)

    def joined(self, other: "Safety") -> Self:
        """Both sets of limits at once: the stricter one of each."""
        return self.model_copy(
            update={
                "dry_run": _strict(self.dry_run, other.dry_run, strict=True),
                "max_audience": _least(self.max_audience, other.max_audience),
                "send_uncounted": _strict(self.send_uncounted, other.send_uncounted, strict=False),
                "send_truncated": _strict(self.send_truncated, other.send_truncated, strict=False),
                "max_runs": _least(self.max_runs, other.max_runs),
                "max_reruns": _least(self.max_reruns, other.max_reruns),
            }
        )


def _plain(kind: type[P], policy: P) -> P:
    return kind(**{name: getattr(policy, name) for name in kind.model_fields})


def _among(workflow_id: str, name: str | None, listed: Iterable[str]) -> bool:
    wanted = {same_id(one) for one in listed}
    return same_id(workflow_id) in wanted or (name is not None and name in wanted)


def _least(*numbers: Any) -> Any:
    given = [number for number in numbers if number is not None]
    return min(given) if given else None


def _strict(one: bool | None, other: bool | None, *, strict: bool) -> bool | None:
    if strict in (one, other):
        return strict
    return one if one is not None else other
