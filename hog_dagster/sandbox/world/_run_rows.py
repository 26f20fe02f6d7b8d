"""Run rows: what PostHog's writer files about each execution of a run, and how queries collapse it.

Facts: one row when an execution starts and one when it ends, reruns too, all with the same
invocation id. `scheduled_at` moves, `first_scheduled_at` does not; the highest `version` is newest.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from hog_dagster.sandbox.world._merging import Merging, MergingTable
from hog_dagster.sandbox.world._model import RunRow

FLOW, FUNCTION = "hog_flow", "hog_function"
#: The kind of a rerun job's own rows, by the kind of the runs it works on.
WRAPPERS = {FLOW: "hog_flow_rerun", FUNCTION: "hog_function_rerun"}


class Collapsed(Struct, kw_only=True):
    """One run as a query over some of its rows sees it."""

    newest: RunRow
    #: The lowest and the highest time among the rows that the query saw.
    first: datetime
    last: datetime


def source_of(kind: str, function_id: str) -> str:
    """How the table calls the rows of one workflow or hog function."""
    return f"{kind}:{function_id}"


def collapse(rows: Iterable[RunRow]) -> dict[str, Collapsed]:
    """Invocation id -> the run, from whatever rows a query saw: the newest version wins."""
    found: dict[str, Collapsed] = {}
    for row in rows:
        run = found.get(row.invocation_id)
        if run is None:
            found[row.invocation_id] = Collapsed(
                newest=row, first=row.scheduled_at, last=row.scheduled_at
            )
            continue
        if row.version > run.newest.version:
            run.newest = row
        run.first = min(run.first, row.scheduled_at)
        run.last = max(run.last, row.scheduled_at)
    return found


class RunRows(MergingTable[RunRow]):
    """The table of run rows."""

    def __init__(self, seed: int, merging: Merging) -> None:
        super().__init__(f"run rows:{seed}", merging)

    def write(self, row: RunRow) -> None:
        """Store a row that has left the writer."""
        self.append(source_of(row.kind, row.function_id), row)

    def next_version(self, kind: str, function_id: str, invocation_id: str, micros: int) -> int:
        """The writer's clock in microseconds, of milliseconds, and above the run's last one."""
        last = max(
            (row.version for row in self.history(source_of(kind, function_id), invocation_id)),
            default=0,
        )
        return max(micros // 1000 * 1000, last + 1)

    def runs(
        self,
        kind: str,
        function_id: str,
        *,
        now: datetime,
        key: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[str, Collapsed]:
        """The runs of a source, each collapsed from its rows inside the window alone."""
        source = source_of(kind, function_id)
        return collapse(
            self.rows(source, now=now, key=key, after=after, before=before, until=until)
        )
