"""What a rerun would do, per workflow, as plain rows: the table of a dry run."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hog_dagster.actions._protocol import Source
from hog_dagster.actions._rerun_plan import RerunPlan
from hog_dagster.actions._summary import Outcome

#: Error messages and reasons that are named; the rest is summed up.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a rerun of one workflow or hog function would do.

    Attributes:
        source: the workflow or function.
        failed: how many of its runs have failed.
        errors: error message -> runs, most frequent first.
        due: how many runs would be run again.
        repeats: step -> runs in which its message would go out again.
        left: reason -> runs that are left, most frequent first.
        requests: how many requests sending it takes.
    """

    source: Source
    failed: int
    errors: dict[str, int]
    due: int
    repeats: dict[str, int]
    left: dict[str, int]
    requests: int

    def rows(self) -> list[dict[str, Any]]:
        """One row per fact: `what`, `which`, `runs`."""
        rows = [{"what": "failed", "which": error, "runs": n} for error, n in self.errors.items()]
        rows.append({"what": "would run again", "which": "", "runs": self.due})
        rows += [
            {"what": "would go out again", "which": step, "runs": n}
            for step, n in self.repeats.items()
        ]
        rows += [{"what": "left", "which": why, "runs": n} for why, n in self.left.items()]
        rows.append({"what": "requests to send it", "which": "", "runs": self.requests})
        return rows


def report_plan(plan: RerunPlan, slice_size: int) -> ReplayReport:
    """Sum a plan up.

    Args:
        plan: made by `plan_reruns`.
        slice_size: runs per request.
    """
    repeats = Counter(step for planned in plan.due for step in planned.repeats)
    left = Counter(result.why for result in plan.left if result.outcome is not Outcome.DONE_BEFORE)
    done = plan.left[Outcome.DONE_BEFORE]
    if done:
        left["done before"] = done
    return ReplayReport(
        source=plan.source,
        failed=sum(plan.errors.values()),
        errors=_top(Counter(plan.errors), "other messages"),
        due=len(plan.due),
        repeats=dict(repeats.most_common()),
        left=_top(left, "other reasons"),
        requests=plan.requests(slice_size),
    )


def _top(counted: Counter[str], rest: str) -> dict[str, int]:
    shown = dict(counted.most_common(SHOWN))
    others = sum(counted.values()) - sum(shown.values())
    return {**shown, rest: others} if others else shown
