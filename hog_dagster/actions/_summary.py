"""What became of the runs a job was asked to replay: counts for Dagster's metadata, and why.

Facts: Dagster shows plain numbers in metadata as plots over time.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import dagster as dg

__all__ = ["Outcome", "Tally"]

#: So many runs are named in metadata; the ledger has them all.
SHOWN = 100


class Outcome(StrEnum):
    """What became of one run."""

    QUEUED = "queued"  #: PostHog accepted it, in this job
    CONFIRMED = "confirmed"  #: read back: it happened (queued in this job, or in doubt before)
    FAILED = "failed"  #: not sent, or refused; see why
    SKIPPED = "skipped"  #: nothing to do: done before, no longer blocked, another run has it
    UNREPLAYABLE = "unreplayable"  #: PostHog can never replay it
    IN_DOUBT = "in_doubt"  #: sent, and nobody knows yet
    DRY_RUN = "dry_run"  #: would have been sent


@dataclass
class Tally:
    """Counts per outcome, and the reason for each run."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    reasons: list[tuple[Outcome, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    requests: int = 0

    def add(self, outcome: Outcome, subject: str, why: str) -> None:
        """Count one run."""
        self.counts[outcome] += 1
        self.reasons.append((outcome, subject, why))

    def move(self, subject: str, start: Outcome, end: Outcome, why: str) -> None:
        """A run turned out otherwise than counted before."""
        self.reasons = [
            reason for reason in self.reasons if not (reason[0] is start and reason[1] == subject)
        ]
        self.counts[start] -= 1
        self.add(end, subject, why)

    def also_confirmed(self, subject: str, why: str) -> None:
        """A run that was counted as queued was also read back: it counts as both."""
        self.counts[Outcome.CONFIRMED] += 1
        self.reasons = [
            (outcome, name, why)
            if (outcome, name) == (Outcome.QUEUED, subject)
            else (outcome, name, said)
            for outcome, name, said in self.reasons
        ]

    def __getitem__(self, outcome: Outcome) -> int:
        return self.counts[outcome]

    def as_dict(self) -> dict[str, int]:
        """Every count, zeros too, and the requests used."""
        return {str(outcome): self.counts[outcome] for outcome in Outcome} | {
            "requests": self.requests
        }

    def metadata(self) -> dict[str, Any]:
        """For a Dagster output: the counts, and a table of the runs that need a look."""
        metadata: dict[str, Any] = dict(self.as_dict())
        if self.notes:
            metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in self.notes))
        shown = sorted(self.reasons, key=lambda reason: _ORDER.index(reason[0]))[:SHOWN]
        if shown:
            metadata["runs"] = dg.MetadataValue.table(
                [
                    dg.TableRecord({"outcome": str(outcome), "run": subject, "why": why})
                    for outcome, subject, why in shown
                ]
            )
        return metadata

    def sentence(self) -> str:
        """The counts in one line."""
        said = [f"{count} {outcome}" for outcome, count in self.counts.items() if count]
        return (", ".join(said) or "nothing to do") + f"; {self.requests} requests"


_ORDER = [
    Outcome.FAILED,
    Outcome.IN_DOUBT,
    Outcome.UNREPLAYABLE,
    Outcome.QUEUED,
    Outcome.CONFIRMED,
    Outcome.SKIPPED,
    Outcome.DRY_RUN,
]
