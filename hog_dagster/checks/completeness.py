"""Is all there? What landed is compared with what PostHog counts, over the newest landed days.

Facts: results of runs have a count endpoint; hourly metrics can be read as they are in any time
zone; logs are not counted by PostHog (`count` in its answer is the page's), so some are read again.
Rows that arrived after a partition landed count as missing: reading it again lands them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow.compute as pc

from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.families import Family, HogFunctionFamily, WorkflowFamily
from hog_dagster.assets.function_tables import HOG_FUNCTION_LOGS, HOG_FUNCTION_METRICS
from hog_dagster.assets.options import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.assets.workflow_tables import WORKFLOW_LOGS, WORKFLOW_METRICS, WORKFLOW_RUNS
from hog_dagster.checks.rules import Completeness
from hog_dagster.checks.scene import Plan, Scene, Verdict, checks_of, newest_windows
from hog_dagster.posthog import errors
from hog_dagster.warehouse import Table, Window

__all__ = ["build_completeness_checks", "completeness_plans"]

#: Counts the rows of one workflow or function and window, in PostHog and here, given what the rows
#: here have in common; says the window really counted, too.
Count = Callable[[Scene, Family, str, Window, dict[str, Any]], tuple[int, int, Window]]


def build_completeness_checks(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    rule: Completeness | None = None,
    level: str | None = None,
) -> list[dg.AssetChecksDefinition]:
    """The check `is_complete` on the tables of logs, metrics and runs.

    Requests: one, and one per workflow (or function) and landed stretch that is counted; for logs
    one more per 500 lines read again. Rows of batch jobs' runs, which only SQL shows, are left out.

    Args:
        partitions_def: of the assets.
        options: how the assets look.
        workflows: the workflows the assets read.
        hog_functions: the functions the assets read.
        rule: severity and bounds.
        level: the levels of log lines the assets read; all by default.
    """
    options = options or AssetOptions()
    plans = completeness_plans(
        partitions_def,
        rule or Completeness(),
        workflows=workflows,
        hog_functions=hog_functions,
        workers=options.workers,
        level=level,
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
) -> Iterator[Plan]:
    """The plans of `build_completeness_checks`."""
    flows = WorkflowFamily(workflows or WorkflowSelection())
    functions = HogFunctionFamily(hog_functions or HogFunctionSelection())
    for family, table, kind in (
        (flows, WORKFLOW_METRICS, "metrics"),
        (flows, WORKFLOW_RUNS, "runs"),
        (flows, WORKFLOW_LOGS, "logs"),
        (functions, HOG_FUNCTION_METRICS, "metrics"),
        (functions, HOG_FUNCTION_LOGS, "logs"),
    ):
        count: Count = {
            "metrics": partial(_metrics, table),
            "runs": partial(_runs, table),
            "logs": partial(_logs, table, rule.max_rows, level),
        }[kind]
        yield Plan(
            "is_complete",
            table,
            partial(_judge, table, family, count, partitions_def, rule, workers),
            rule.severity,
            f"For the newest landed days, {_WHAT[kind]}.",
        )


_WHAT = {
    "metrics": "PostHog counts the same",
    "runs": "PostHog counts as many runs",
    "logs": "reading some lines again finds no more of them",
}


def _judge(
    table: Table,
    family: Family,
    count: Count,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    rule: Completeness,
    workers: int,
    scene: Scene,
) -> Verdict:
    windows = newest_windows(scene.landed(partitions_def), rule.days)
    if not windows:
        return Verdict(True, "No partition has landed yet.")
    client = scene.client
    if table is WORKFLOW_RUNS and not client.server.has("invocation_results"):
        return Verdict(True, client.server.why_not("invocation_results"))
    try:
        ids = sorted(source.id for source in family.sources(client))
        turn = _turn(ids, rule.workflows, scene.now().toordinal())
        names = scene.names(family.catalog)
        rows = list(
            interleave(
                turn, partial(_of_one, scene, table, family, count, windows, names), workers=workers
            )
        )
    except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
        return Verdict(True, f"PostHog does not let itself be asked: {error}")
    return _verdict(rows, rule, len(turn), len(ids), family)


def _of_one(
    scene: Scene,
    table: Table,
    family: Family,
    count: Count,
    windows: Sequence[Window],
    names: Mapping[str, str],
    id: str,
) -> Iterator[Mapping[str, Any]]:
    scope = {**scene.scope, family.id_column: id}
    if "batch_job_id" in table:
        scope["batch_job_id"] = ""
    for window in windows:
        try:
            there, here, counted = count(scene, family, id, window, scope)
        except errors.EndpointMissing:
            raise
        except errors.NotFound:
            return  # it was deleted since it was listed
        row = {"of": names.get(id, id), "window": str(counted)}
        yield row | {"in_posthog": there, "landed": here}


def _turn(ids: Sequence[str], many: int, day: int) -> list[str]:
    """This day's share of the ids: all of them come round."""
    if len(ids) <= many:
        return list(ids)
    start = day * many % len(ids)
    return [*ids, *ids][start : start + many]


def _verdict(
    rows: Sequence[Mapping[str, Any]], rule: Completeness, counted: int, in_all: int, family: Family
) -> Verdict:
    wrong = [
        row
        for row in rows
        if abs(row["in_posthog"] - row["landed"]) > rule.tolerance * row["landed"]
    ]
    there, here = (sum(row[name] for row in rows) for name in ("in_posthog", "landed"))
    missing = sum(max(row["in_posthog"] - row["landed"], 0) for row in wrong)
    surplus = sum(max(row["landed"] - row["in_posthog"], 0) for row in wrong)
    what = family.name.replace("_", " ")
    text = f"{here:,} landed, {there:,} in PostHog, for {counted} of {in_all} {what}."
    if wrong:
        text += (
            f" {missing:,} are missing and {surplus:,} too many: materialize these days again. "
            "Rows that arrive late are picked up by the refresh schedule."
        )
    numbers = {"posthog/missing": missing, "posthog/surplus": surplus, "posthog/counted": here}
    return Verdict(not wrong, text, numbers, wrong)


def _metrics(
    table: Table, scene: Scene, family: Family, id: str, window: Window, scope: dict[str, Any]
) -> tuple[int, int, Window]:
    points = family.service(scene.client).hourly_metrics(id, start=window.start, end=window.end)
    landed = scene.warehouse.read(table, columns=["value"], window=window, scope=scope)
    here = pc.call_function("sum", [landed.column("value")]).as_py() or 0
    return sum(point.value for point in points), here, window


def _runs(
    table: Table, scene: Scene, family: Family, id: str, window: Window, scope: dict[str, Any]
) -> tuple[int, int, Window]:
    there = scene.client.workflows.invocation_results_count(
        id, after=window.start, before=window.end
    )
    return there, scene.warehouse.count(table, window=window, scope=scope), window


def _logs(
    table: Table,
    max_rows: int,
    level: str | None,
    scene: Scene,
    family: Family,
    id: str,
    window: Window,
    scope: dict[str, Any],
) -> tuple[int, int, Window]:
    def landed(part: Window) -> int:
        return scene.warehouse.count(table, window=part, scope=scope)

    here = landed(window)
    while here > max_rows and window.end - window.start > timedelta(seconds=2):
        seconds = int((window.end - window.start).total_seconds()) // 2
        middle = window.start + timedelta(seconds=seconds)
        window = max(Window(window.start, middle), Window(middle, window.end), key=landed)
        here = landed(window)
    batches = family.service(scene.client).log_batches(
        id, after=window.start, before=window.end, level=level
    )
    return sum(batch.num_rows for batch in batches), here, window
