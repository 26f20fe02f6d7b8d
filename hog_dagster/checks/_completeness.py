"""Is all there? What was loaded is compared with what PostHog counts, over the newest loaded days.

Facts: SQL counts all in one query. By REST, results of runs have a count endpoint; hourly metrics
can be read as they are in any time zone; logs are not counted (`count` in the response is the
page's), so some are read again. What an asset could not read is in its metadata as a gap.
Rows that arrived after a partition loaded count as missing: reading it again loads them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from hog_dagster.assets import (
    APP_METRICS,
    HOG_FUNCTION_LOGS,
    HOG_FUNCTION_METRICS,
    HOG_FUNCTION_RUNS,
    INVOCATION_RESULTS,
    LOG_ENTRIES,
    OF_RUNS,
    RETENTION_DAYS,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
    HogFunctionLogSource,
    HogQLTable,
    Listed,
    LogSource,
    Reader,
    Report,
    Rows,
    WorkflowLogSource,
    interleave,
    listed,
    only_levels,
    summed,
)
from hog_dagster.checks._context import (
    NO_PARTITION,
    CheckContext,
    CheckOutcome,
    Plan,
    Project,
    differing,
    gaps_of,
    newest,
)
from hog_dagster.policies import Completeness
from hog_dagster.posthog import errors
from hog_dagster.warehouse import Table, Window

#: What rows are counted: the table of SQL, how it counts, and what a check of them says.
_KINDS: dict[Rows, tuple[HogQLTable, str, str]] = {
    "metrics": (APP_METRICS, "sum(count)", "PostHog counts the same"),
    "runs": (INVOCATION_RESULTS, "uniqExact(invocation_id)", "PostHog counts as many runs"),
    "logs": (
        LOG_ENTRIES,
        "uniqExact(tuple(timestamp, instance_id, level, message))",
        "reading some lines again finds no more of them",
    ),
}


_Scope = Mapping[str, Any]
#: Rows there, rows here, and the window that was counted.
_Counted = tuple[int, int, Window]


def completeness_plans(project: Project, rule: Completeness) -> Iterator[Plan]:
    """The check `is_complete` on the tables of logs, metrics and runs.

    It fails where a part could not be read, too. Requests: two, and one per loaded stretch; without
    query:read one per workflow (or function) and loaded stretch that is counted; for logs one more
    per 500 lines read again, and rows of batch jobs' runs, which only SQL shows, are left out.
    """
    flows = WorkflowLogSource(project.workflows)
    functions = HogFunctionLogSource(project.hog_functions)
    tables: tuple[tuple[LogSource, Table, Rows], ...] = (
        (flows, WORKFLOW_METRICS, "metrics"),
        (flows, WORKFLOW_RUNS, "runs"),
        (flows, WORKFLOW_LOGS, "logs"),
        (functions, HOG_FUNCTION_METRICS, "metrics"),
        (functions, HOG_FUNCTION_LOGS, "logs"),
        (functions, HOG_FUNCTION_RUNS, "runs"),
    )
    for log_source, table, kind in tables:
        yield Plan(
            "is_complete",
            table,
            partial(_judge, project, rule, log_source, table, kind),
            rule.severity,
            f"For the newest loaded days, {_KINDS[kind][2]}.",
            asks=True,
        )


def _judge(
    project: Project,
    rule: Completeness,
    log_source: LogSource,
    table: Table,
    kind: Rows,
    check: CheckContext,
) -> CheckOutcome:
    partitions = newest(check.loaded(project.partitions_def), rule.days)
    if not partitions:
        return NO_PARTITION
    windows = Window.joined(partitions.values())
    stretches = {str(window): window for window in windows}
    with check.warehouse.reading():
        names = check.names(log_source.catalog)
        known = listed(
            check.context, check.client, check.warehouse, log_source, project.options, stretches
        )
    gaps = gaps_of(check, partitions)
    compare = _Comparison(project, rule, log_source, table, kind, check, windows, names, known)
    try:
        counted = compare.outcome()
    except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
        counted = CheckOutcome(True, f"PostHog does not let itself be asked: {error}")
    if not gaps:
        return counted
    fields = ("of", "window", "in_posthog", "loaded", "why", "remedy")
    named = [{**row, "of": names.get(row["object"], row["object"])} for row in gaps]
    shown = [{name: row.get(name) for name in fields} for row in (*named, *counted.rows)]
    text = f"{len(gaps)} parts could not be read. {counted.text}"
    return CheckOutcome(False, text, {**counted.numbers, "posthog/gaps": len(gaps)}, shown)


@dataclass(frozen=True)
class _Comparison:
    """What PostHog counts beside what was loaded: by SQL all in a query, by REST a few in turn."""

    project: Project
    rule: Completeness
    log_source: LogSource
    table: Table
    kind: Rows
    check: CheckContext
    windows: Sequence[Window]
    names: Mapping[str, str]
    known: Listed

    def outcome(self) -> CheckOutcome:
        reader, of_workflows = self.reader(), self.log_source.kind == "hog_flow"
        ids = sorted(source.id for source in reader.sources)
        if reader.usable:
            return self.compared(self.by_sql(reader), len(ids), len(ids))
        count = "invocation_results_count"
        capability = count if of_workflows else f"function_{count}"
        server = self.check.client.server
        if self.kind == "runs" and not server.has(capability):
            return CheckOutcome(True, server.why_not(capability))
        whole = Window(self.windows[0].start, self.windows[-1].end)
        asked = sorted(source.id for source in reader.asked_one_by_one(whole, self.kind))
        if self.kind == "metrics" and of_workflows:
            rows = self.by_global_metrics(set(ids))
            if rows is not None:
                return self.compared(rows, len(ids), len(ids))
        turn = _turn(asked, self.rule.workflows, self.check.now().toordinal())
        rows = list(interleave(turn, self.of_one, workers=self.project.options.workers))
        return self.compared(rows, len(turn), len(ids))

    def reader(self) -> Reader:
        check, known = self.check, self.known
        return Reader(
            check.context,
            check.client,
            self.log_source,
            known.sources_of(check.client, self.log_source),
            _KINDS[self.kind][0],
            self.project.read_by,
            Report(),
            timedelta(days=RETENTION_DAYS[self.table.name]),
            self.project.options.workers,
            only_levels(self.project.level) if self.kind == "logs" else "",
            known.jobs,
        )

    def row(self, id: str, window: Window, there: int, here: int) -> Mapping[str, Any]:
        of = self.names.get(id, id)
        return {"of": of, "window": str(window), "in_posthog": there, "loaded": here}

    def loaded(self, window: Window, value: str, scope: _Scope) -> Counter[str]:
        """Rows of the window, or the sum of a column of them, by workflow or function."""
        columns, here = [self.log_source.id_column], Counter[str]()
        for (id,), many in summed(self.check.warehouse, self.table, columns, value, window, scope):
            here[id] += many
        return here

    def by_global_metrics(self, ids: set[str]) -> list[Mapping[str, Any]] | None:
        """Succeeded and failed runs and steps of every workflow, those of batch jobs left out, a
        request per stretch; None where the server does not tell them."""
        rows: list[Mapping[str, Any]] = []
        scope = {**self.check.scope, "batch_job_id": "", "metric": list(OF_RUNS)}
        for window in self.windows:
            last = window.end - timedelta(seconds=1)  # PostHog's bounds are both inclusive.
            try:
                found = self.check.client.workflows.global_metrics(after=window.start, before=last)
            except (errors.EndpointMissing, errors.PermissionDenied, errors.InvalidRequest):
                return None
            if not found:
                return None
            there = {one.workflow_id: one.succeeded + one.failed for one in found}
            here = self.loaded(window, "value", scope)
            rows += [
                self.row(id, window, there.get(id, 0), here[id])
                for id in sorted(({*there, *here}) & ids)
            ]
        return rows

    def by_sql(self, reader: Reader) -> list[Mapping[str, Any]]:
        """One query per stretch."""
        whose = {**{id: id for id in reader.owners.sources}, **reader.owners.jobs}
        scope: dict[str, Any] = dict(self.check.scope)
        if "batch_job_id" in self.table and not reader.owners.jobs:
            scope["batch_job_id"] = ""
        value = "value" if self.kind == "metrics" else ""
        with self.check.warehouse.reading():
            loaded = [self.loaded(window, value, scope) for window in self.windows]
        rows: list[Mapping[str, Any]] = []
        for window, here in zip(self.windows, loaded, strict=True):
            there: Counter[str] = Counter()
            for owner, many in reader.counts(window, _KINDS[self.kind][1]).items():
                if owner in whose:
                    there[whose[owner]] += many
            ids = sorted({*there, *(id for id in here if id in whose)})
            rows += [self.row(id, window, there[id], here[id]) for id in ids]
        return rows

    def of_one(self, id: str) -> Iterator[Mapping[str, Any]]:
        """The rows of one workflow or function, counted by REST."""
        scope = {**self.check.scope, self.log_source.id_column: id}
        if "batch_job_id" in self.table:
            scope["batch_job_id"] = ""
        count = {"metrics": self.metrics, "runs": self.runs, "logs": self.logs}[self.kind]
        for window in self.windows:
            try:
                there, here, counted = count(id, window, scope)
            except errors.EndpointMissing:
                raise
            except errors.NotFound:
                return  # it was deleted since it was listed
            yield self.row(id, counted, there, here)

    def metrics(self, id: str, window: Window, scope: _Scope) -> _Counted:
        points = self.service.hourly_metrics(id, start=window.start, end=window.end)
        here = self.loaded(window, "value", scope).total()
        return sum(point.value for point in points), here, window

    def runs(self, id: str, window: Window, scope: _Scope) -> _Counted:
        """Runs with rows in the window, as REST counts: of earlier ones, those run again."""
        there = self.service.invocation_results_count(id, after=window.start, before=window.end)
        earlier = Window(window.start - timedelta(days=60), window.start)
        (moved,) = self.check.warehouse.aggregate(
            self.table,
            window=earlier,
            scope=scope,
            between={"scheduled_at": (window.start, window.end)},
        )
        return there, self.count(window, scope) + moved["rows"], window

    def logs(self, id: str, window: Window, scope: _Scope) -> _Counted:
        """Lines of the densest part of the window, so small that it can be read again."""
        while (here := self.count(window, scope)) > self.rule.max_rows:
            seconds = int((window.end - window.start).total_seconds())
            if seconds <= 2:
                break
            middle = window.start + timedelta(seconds=seconds // 2)
            parts = (Window(window.start, middle), Window(middle, window.end))
            window = max(parts, key=lambda part: self.count(part, scope))
        batches = self.service.log_batches(
            id, after=window.start, before=window.end, level=self.project.level
        )
        return sum(batch.num_rows for batch in batches), here, window

    @property
    def service(self) -> Any:
        return self.log_source.service(self.check.client)

    def count(self, window: Window, scope: _Scope) -> int:
        return self.check.warehouse.count(self.table, window=window, scope=scope)

    def compared(
        self, rows: Sequence[Mapping[str, Any]], counted: int, in_all: int
    ) -> CheckOutcome:
        wrong, numbers = differing(rows, self.rule.tolerance)
        there, here = (sum(row[name] for row in rows) for name in ("in_posthog", "loaded"))
        what = self.log_source.name.replace("_", " ")
        text = f"{here:,} loaded, {there:,} in PostHog, for {counted} of {in_all} {what}."
        if wrong:
            text += (
                f" {numbers['posthog/missing']:,} are missing and "
                f"{numbers['posthog/surplus']:,} too many: materialize these days again. "
                "Rows that arrive late are picked up by the refresh schedule."
            )
        return CheckOutcome(not wrong, text, {**numbers, "posthog/counted": here}, wrong)


def _turn(ids: Sequence[str], many: int, day: int) -> list[str]:
    """This day's share of the ids: all of them come round."""
    if len(ids) <= many:
        return list(ids)
    start = day * many % len(ids)
    return [*ids, *ids][start : start + many]
