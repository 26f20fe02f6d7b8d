"""Is all there? What was loaded is compared with what PostHog counts, over the newest loaded days.

Facts: SQL counts all in one query. By REST, results of runs have a count endpoint; hourly metrics
can be read as they are in any time zone; logs are not counted (`count` in the response is the
page's), so some are read again. What an asset could not read is in its metadata as a gap.
Rows that arrived after a partition loaded count as missing: reading it again loads them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

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
    ReadBy,
    Reader,
    Report,
    Rows,
    WorkflowLogSource,
    interleave,
    listed,
    only_levels,
    summed,
)
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, checks_of, newest_windows
from hog_dagster.checks._rest_counts import Count, count_logs, count_metrics, count_runs
from hog_dagster.lineage import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.policies import Completeness
from hog_dagster.posthog import errors
from hog_dagster.warehouse import Table, Window

__all__ = ["build_completeness_checks", "completeness_plans", "gaps_of"]


def build_completeness_checks(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    rule: Completeness | None = None,
    level: str | None = None,
    read_by: ReadBy = "auto",
) -> list[dg.AssetChecksDefinition]:
    """The check `is_complete` on the tables of logs, metrics and runs.

    It fails where a part could not be read, too. Requests: two, and one per loaded stretch; without
    query:read one per workflow (or function) and loaded stretch that is counted; for logs one more
    per 500 lines read again, and rows of batch jobs' runs, which only SQL shows, are left out.

    Args:
        partitions_def: of the assets.
        options: how the assets look.
        workflows: the workflows the assets read.
        hog_functions: the functions the assets read.
        rule: severity and bounds.
        level: the levels of log lines the assets read; all by default.
        read_by: how the assets read.

    Returns:
        One definition for each table that has such a check.
    """
    options = options or AssetOptions()
    plans = completeness_plans(
        partitions_def,
        rule or Completeness(),
        workflows=workflows,
        hog_functions=hog_functions,
        workers=options.workers,
        level=level,
        read_by=read_by,
        options=options,
    )
    return checks_of(plans, options)


def completeness_plans(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    rule: Completeness,
    *,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    workers: int = 8,
    level: str | None = None,
    read_by: ReadBy = "auto",
    options: AssetOptions | None = None,
) -> Iterator[Plan]:
    """The plans of `build_completeness_checks`."""
    named = options or AssetOptions()
    flows = WorkflowLogSource(workflows or WorkflowSelection())
    functions = HogFunctionLogSource(hog_functions or HogFunctionSelection())
    for log_source, table, kind in (
        (flows, WORKFLOW_METRICS, "metrics"),
        (flows, WORKFLOW_RUNS, "runs"),
        (flows, WORKFLOW_LOGS, "logs"),
        (functions, HOG_FUNCTION_METRICS, "metrics"),
        (functions, HOG_FUNCTION_LOGS, "logs"),
        (functions, HOG_FUNCTION_RUNS, "runs"),
    ):
        count: Count = {
            "metrics": partial(count_metrics, table),
            "runs": partial(count_runs, table),
            "logs": partial(count_logs, table, rule.max_rows, level),
        }[kind]
        yield Plan(
            "is_complete",
            table,
            partial(
                _judge,
                table,
                log_source,
                kind,
                count,
                partitions_def,
                rule,
                workers,
                read_by,
                only_levels(level) if kind == "logs" else "",
                named,
            ),
            rule.severity,
            f"For the newest loaded days, {_WHAT[kind]}.",
            asks=True,
        )


_WHAT = {
    "metrics": "PostHog counts the same",
    "runs": "PostHog counts as many runs",
    "logs": "reading some lines again finds no more of them",
}


def _judge(
    table: Table,
    log_source: LogSource,
    kind: str,
    count: Count,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    rule: Completeness,
    workers: int,
    read_by: ReadBy,
    where: str,
    options: AssetOptions,
    check: CheckContext,
) -> CheckOutcome:
    loaded = check.loaded(partitions_def)
    windows = newest_windows(loaded, rule.days)
    if not windows:
        return CheckOutcome(True, "No partition has been loaded yet.")
    stretches = {str(window): window for window in windows}
    with check.warehouse.reading():
        names = check.names(log_source.catalog)
        known = listed(
            check.context, check.posthog.client, check.warehouse, log_source, options, stretches
        )
    missing = gaps_of(check, loaded, windows)
    try:
        counted = _counted(
            table,
            log_source,
            kind,
            count,
            rule,
            workers,
            read_by,
            where,
            known,
            names,
            check,
            windows,
        )
    except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
        counted = CheckOutcome(True, f"PostHog does not let itself be asked: {error}")
    if not missing:
        return counted
    fields = ("of", "window", "in_posthog", "loaded", "why", "remedy")
    told = [{**row, "of": names.get(row["object"], row["object"])} for row in missing]
    shown = [{name: row.get(name) for name in fields} for row in (*told, *counted.rows)]
    text = f"{len(missing)} parts could not be read. {counted.text}"
    numbers = {**counted.numbers, "posthog/gaps": len(missing)}
    return CheckOutcome(False, text, numbers, shown)


def gaps_of(
    check: CheckContext, loaded: Mapping[str, Window], windows: Sequence[Window]
) -> list[Mapping[str, Any]]:
    """The gaps that the newest materialization of each partition tells of."""
    keys = [key for key, of in loaded.items() if any(w.start <= of.start < w.end for w in windows)]
    found: list[Mapping[str, Any]] = []
    for key in keys:
        records = check.context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=check.key, asset_partitions=[key]), limit=1
        ).records
        event = records[0].asset_materialization if records else None
        table = event.metadata.get("gaps") if event is not None else None
        if isinstance(table, dg.TableMetadataValue):
            found += [dict(record.data) for record in table.records]
    return list({tuple(row.items()): row for row in found}.values())


def _counted(
    table: Table,
    log_source: LogSource,
    kind: str,
    count: Count,
    rule: Completeness,
    workers: int,
    read_by: ReadBy,
    where: str,
    known: Listed,
    names: Mapping[str, str],
    check: CheckContext,
    windows: Sequence[Window],
) -> CheckOutcome:
    """What PostHog counts beside what was loaded: by SQL all in a query, by REST a few in turn."""
    sources = known.sources_of(check.client, log_source)
    ids = sorted(source.id for source in sources)
    of, counting = _BY_SQL[kind]
    retention = timedelta(days=RETENTION_DAYS[table.name])
    reader = Reader(
        check.context,
        check.client,
        log_source,
        sources,
        of,
        read_by,
        Report(),
        retention,
        workers,
        where,
        known.jobs,
    )
    if reader.usable:
        rows = _by_sql(check, table, log_source, kind, reader, windows, names, counting)
        return _outcome(rows, rule, len(ids), len(ids), log_source)
    capability = {"hog_flow": "invocation_results_count"}.get(
        log_source.kind, "function_invocation_results_count"
    )
    if kind == "runs" and not check.client.server.has(capability):
        return CheckOutcome(True, check.client.server.why_not(capability))
    if windows:
        whole = Window(windows[0].start, windows[-1].end)
        ids = sorted(source.id for source in reader.asked_one_by_one(whole, _rows_of(kind)))
    if kind == "metrics" and log_source.kind == "hog_flow":
        rows = _by_global_metrics(check, table, reader, windows, names)
        if rows is not None:
            return _outcome(rows, rule, len(sources), len(sources), log_source)
    turn = _turn(ids, rule.workflows, check.now().toordinal())
    rows = list(
        interleave(
            turn, partial(_of_one, check, table, log_source, count, windows, names), workers=workers
        )
    )
    return _outcome(rows, rule, len(turn), len(sources), log_source)


def _by_global_metrics(
    check: CheckContext,
    table: Table,
    reader: Reader,
    windows: Sequence[Window],
    names: Mapping[str, str],
) -> list[Mapping[str, Any]] | None:
    """Succeeded and failed runs and steps of every workflow, a request per stretch; None where the
    server does not tell them.

    Those of batch jobs are not among them.
    """
    ids = {source.id for source in reader.sources}
    rows: list[Mapping[str, Any]] = []
    for window in windows:
        last = window.end - timedelta(seconds=1)  # PostHog's bounds are both inclusive.
        try:
            found = check.client.workflows.global_metrics(after=window.start, before=last)
        except (errors.EndpointMissing, errors.PermissionDenied, errors.InvalidRequest):
            return None
        if not found:
            return None
        there = {one.workflow_id: one.succeeded + one.failed for one in found}
        here: Counter[str] = Counter()
        scope = {**check.scope, "batch_job_id": "", "metric": list(OF_RUNS)}
        columns = ["workflow_id"]
        for (id,), many in summed(check.warehouse, table, columns, "value", window, scope):
            here[id] += many
        rows += [
            {
                "of": names.get(id, id),
                "window": str(window),
                "in_posthog": there.get(id, 0),
                "loaded": here[id],
            }
            for id in sorted(({*there, *here}) & ids)
        ]
    return rows


def _rows_of(kind: str) -> Rows:
    return "logs" if kind == "logs" else "metrics" if kind == "metrics" else "runs"


def _by_sql(
    check: CheckContext,
    table: Table,
    log_source: LogSource,
    kind: str,
    reader: Reader,
    windows: Sequence[Window],
    names: Mapping[str, str],
    counting: str,
) -> list[Mapping[str, Any]]:
    """One query per stretch."""
    whose = {**{id: id for id in reader.owners.sources}, **reader.owners.jobs}
    scope: dict[str, Any] = dict(check.scope)
    if "batch_job_id" in table and not reader.owners.jobs:
        scope["batch_job_id"] = ""
    rows: list[Mapping[str, Any]] = []
    loaded: list[Counter[str]] = []
    with check.warehouse.reading():
        for window in windows:
            here: Counter[str] = Counter()
            value = "value" if kind == "metrics" else ""
            columns = [log_source.id_column]
            for (id,), many in summed(check.warehouse, table, columns, value, window, scope):
                if id in whose:
                    here[id] += many
            loaded.append(here)
    for window, here in zip(windows, loaded, strict=True):
        there: Counter[str] = Counter()
        for owner, many in reader.counts(window, counting).items():
            if owner in whose:
                there[whose[owner]] += many
        rows += [
            {
                "of": names.get(id, id),
                "window": str(window),
                "in_posthog": there[id],
                "loaded": here[id],
            }
            for id in sorted({*there, *here})
        ]
    return rows


#: What SQL counts: the table, and how.
_BY_SQL: dict[str, tuple[HogQLTable, str]] = {
    "metrics": (APP_METRICS, "sum(count)"),
    "runs": (INVOCATION_RESULTS, "uniqExact(invocation_id)"),
    "logs": (LOG_ENTRIES, "uniqExact(tuple(timestamp, instance_id, level, message))"),
}


def _of_one(
    check: CheckContext,
    table: Table,
    log_source: LogSource,
    count: Count,
    windows: Sequence[Window],
    names: Mapping[str, str],
    id: str,
) -> Iterator[Mapping[str, Any]]:
    scope = {**check.scope, log_source.id_column: id}
    if "batch_job_id" in table:
        scope["batch_job_id"] = ""
    for window in windows:
        try:
            there, here, counted = count(check, log_source, id, window, scope)
        except errors.EndpointMissing:
            raise
        except errors.NotFound:
            return  # it was deleted since it was listed
        row = {"of": names.get(id, id), "window": str(counted)}
        yield row | {"in_posthog": there, "loaded": here}


def _turn(ids: Sequence[str], many: int, day: int) -> list[str]:
    """This day's share of the ids: all of them come round."""
    if len(ids) <= many:
        return list(ids)
    start = day * many % len(ids)
    return [*ids, *ids][start : start + many]


def _outcome(
    rows: Sequence[Mapping[str, Any]],
    rule: Completeness,
    counted: int,
    in_all: int,
    log_source: LogSource,
) -> CheckOutcome:
    wrong = [
        row
        for row in rows
        if abs(row["in_posthog"] - row["loaded"]) > rule.tolerance * row["loaded"]
    ]
    there, here = (sum(row[name] for row in rows) for name in ("in_posthog", "loaded"))
    missing = sum(max(row["in_posthog"] - row["loaded"], 0) for row in wrong)
    surplus = sum(max(row["loaded"] - row["in_posthog"], 0) for row in wrong)
    what = log_source.name.replace("_", " ")
    text = f"{here:,} loaded, {there:,} in PostHog, for {counted} of {in_all} {what}."
    if wrong:
        text += (
            f" {missing:,} are missing and {surplus:,} too many: materialize these days again. "
            "Rows that arrive late are picked up by the refresh schedule."
        )
    numbers = {"posthog/missing": missing, "posthog/surplus": surplus, "posthog/counted": here}
    return CheckOutcome(not wrong, text, numbers, wrong)
