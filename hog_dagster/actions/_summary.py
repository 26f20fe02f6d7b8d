"""What became of the things that were asked for: one outcome each, and a summary of all of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of one action that was asked for."""

    CONFIRMED = "confirmed"  #: it happened: PostHog said so, or evidence shows it
    DONE_BEFORE = "done_before"  #: an earlier action did it
    SKIPPED = "skipped"  #: nothing to do, or left for a reason that is no failure
    REFUSED = "refused"  #: PostHog refused it for good
    NOT_SENT = "not_sent"  #: nothing was sent; see why
    IN_DOUBT = "in_doubt"  #: it was sent, and nobody knows yet what came of it
    DRY_RUN = "dry_run"  #: would have been sent


#: What needs a look comes first.
_ORDER = (
    Outcome.NOT_SENT,
    Outcome.IN_DOUBT,
    Outcome.REFUSED,
    Outcome.CONFIRMED,
    Outcome.DONE_BEFORE,
    Outcome.SKIPPED,
    Outcome.DRY_RUN,
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one action.

    Attributes:
        outcome: in one word.
        subject: what was asked for: a run's id, a key.
        why: in one sentence.
        action_id: its number in the ledger, if it has one.
        remote_id: PostHog's id of what came of it.
        details: more, for metadata: `audience`, `error_kind`, `messages` that would go out again.
    """

    outcome: Outcome
    subject: str
    why: str
    action_id: int | None = None
    remote_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def happened(self) -> bool:
        """It was done, now or before."""
        return self.outcome in (Outcome.CONFIRMED, Outcome.DONE_BEFORE)


@dataclass
class Summary:
    """One result for each thing that was asked for.

    Attributes:
        results: by subject, in the order of asking; a later result replaces an earlier one.
        notes: what else is worth knowing, a sentence each.
        requests: how many requests to PostHog it took.
    """

    results: dict[str, Result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    requests: int = 0

    def add(self, outcome: Outcome, subject: str, why: str, **more: Any) -> Result:
        """Record what became of one thing."""
        result = Result(outcome, subject, why, **more)
        self.results[subject] = result
        return result

    def join(self, other: "Summary") -> None:
        """Take over another summary's results and notes."""
        self.results.update(other.results)
        self.notes += other.notes
        self.requests += other.requests

    def __getitem__(self, outcome: Outcome) -> int:
        return sum(result.outcome is outcome for result in self.results.values())

    def __iter__(self) -> Iterator[Result]:
        """What needs a look first."""
        return iter(sorted(self.results.values(), key=lambda one: _ORDER.index(one.outcome)))

    def __len__(self) -> int:
        return len(self.results)

    def counts(self) -> dict[str, int]:
        """How many had which outcome, zeros too."""
        counted = Counter(result.outcome for result in self.results.values())
        return {str(outcome): counted[outcome] for outcome in Outcome}

    def first(self, outcome: Outcome) -> Result | None:
        """One of that outcome."""
        return next((one for one in self.results.values() if one.outcome is outcome), None)

    def sentence(self) -> str:
        """The counts in one line."""
        counted = {name: count for name, count in self.counts().items() if count}
        said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counted.items())
        return f"{said or 'nothing to do'}; {self.requests} requests"
