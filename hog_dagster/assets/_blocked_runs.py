"""Runs that wait for a replay, as a snapshot: blocked ones where listed, failed ones elsewhere.

Facts: docs-era servers list blocked runs; newer ones dropped that endpoint and keep the result of
every run for 30 days, whose failed runs are what can be rerun. By SQL those of all workflows come
together; by REST a workflow at a time, and PostHog's global metrics say which had failures.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._hogql import INVOCATION_RESULTS
from hog_dagster.assets._idle import counted_in
from hog_dagster.assets._log_sources import BATCH_TRIGGERS, Source, WorkflowLogSource
from hog_dagster.assets._partitions import RETENTION_DAYS
from hog_dagster.assets._rankings import waiting
from hog_dagster.assets._reader import Reader
from hog_dagster.assets._report import Report
from hog_dagster.assets._run_rows import masked, rows_of_page
from hog_dagster.assets._shared_reads import workflows_of
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.assets._workflow_tables import BLOCKED_RUNS, WORKFLOW_RUNS, WORKFLOWS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog.models import Workflow
from hog_dagster.warehouse import Window
from hog_dagster.warehouse.errors import TableMissing


def build_blocked_runs_asset(
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    lookback: timedelta = timedelta(days=7),
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `blocked_runs`: runs that wait for a replay, as of now.

    Needs the resources `posthog` (scopes hog_flow:read and query:read; without the latter on newer
    servers person:read) and `warehouse`. Requests: one per 50,000 failed runs; without query:read
    one per workflow that had failures, or that sends batches, whose failures are counted elsewhere;
    on docs-era servers one per workflow that is not a draft.

    Args:
        options: how the asset looks.
        selection: which workflows; all but drafts by default.
        lookback: on newer servers, how far back failed runs are looked for.
        read_by: `auto` reads by PostHog's SQL where key and server let us, by REST elsewhere;
            `rest` and `hogql` by that only.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    selection = selection or WorkflowSelection()
    table = BLOCKED_RUNS

    @snapshot_step(
        options,
        {table: [WORKFLOWS]},
        group="actions",
        name="posthog_blocked_runs",
        first=_unfinished,
    )
    def blocked_runs(step: Step) -> Results:
        client = step.client
        workflows = [w for w in workflows_of(client) if w in selection and w.status != "draft"]
        names = {workflow.id: workflow.name for workflow in workflows}
        guard = step.guard(table, "workflow_id", names)
        rows: Iterable[Row] | None = _by_sql(step, workflows, selection, lookback, read_by)
        if rows is None:
            read, asked = _reader(step, workflows, lookback)
            by_id = {workflow.id: workflow for workflow in asked}
            rows = guard.each(list(by_id), lambda id: read(by_id[id]), workers=options.workers)
        yield step.load(
            table,
            rows,
            finish=lambda batches: masked(batches, "mask"),
            guard=guard,
            names=names,
            order_by="-at",
            numbers=lambda _: waiting(step.warehouse, loading.server_now(client), step.scope),
        )

    return blocked_runs


def _unfinished(step: Step) -> set[str]:
    """Workflows with runs that had failed, or not ended, when they were read last."""
    only = {**step.scope, "status": ["failed", "running"]}
    try:
        found = step.warehouse.aggregate(WORKFLOW_RUNS, by=["workflow_id"], scope=only)
    except TableMissing:
        return set()
    return {row["workflow_id"] for row in found}


def _by_sql(
    step: Step,
    workflows: Sequence[Workflow],
    selection: WorkflowSelection,
    lookback: timedelta,
    read_by: ReadBy,
) -> list[Row] | None:
    """The failed runs of all workflows at once; None where SQL does not tell."""
    report = Report()
    reader = Reader(
        step.context,
        step.client,
        WorkflowLogSource(selection),
        [Source(workflow.id, name=workflow.name or "") for workflow in workflows],
        INVOCATION_RESULTS,
        read_by,
        report,
        timedelta(days=RETENTION_DAYS[WORKFLOW_RUNS.name]),
    )
    since = loading.server_now(step.client) - lookback
    pages = reader.found(lambda of, name, kind, ids: of.failed_sql(name, kind, ids, since))
    if pages is None:
        step.notes += report.notes
        return None
    step.notes.append(_FAILED.format(lookback.days))
    owners = Owners([workflow.id for workflow in workflows])
    return [
        _row(run["workflow_id"], run["invocation_id"], run)
        for page in pages
        for run in rows_of_page("workflow_id", page, owners, "keep")
    ]


#: Said of failed runs, with the number of days.
_FAILED = (
    "This server has no blocked runs any more (removed in May 2026): these are runs that failed in "
    "the last {} days; a rerun starts each again."
)
_OFFERS_NEITHER = (
    "Not read: to this key, the server offers neither blocked runs nor results of runs. "
    "`hog-dagster doctor` says which scopes are missing."
)


def _reader(
    step: Step, workflows: Sequence[Workflow], lookback: timedelta
) -> tuple[Callable[[Workflow], Iterator[Row]], Sequence[Workflow]]:
    """How a workflow is asked by REST, and which are.

    Workflows with runs that had failed, or not ended, when they were read last are asked too:
    PostHog gives up on runs without counting them.
    """
    client = step.client
    if client.server.has("blocked_runs"):

        def blocked(workflow: Workflow) -> Iterator[Row]:
            for run in client.workflows.blocked_runs(workflow.id):
                yield loading.row_of(
                    BLOCKED_RUNS,
                    run,
                    workflow_id=workflow.id,
                    reason="blocked",
                    at=run.timestamp,
                    error_kind=None,
                    replayable=bool(run.action_id and run.event_uuid),
                )

        step.notes[:] = ["This server lists blocked runs; a replay resumes each at its step."]
        return blocked, workflows
    end = loading.server_now(client) + timedelta(seconds=1)

    def failed(workflow: Workflow) -> Iterator[Row]:
        for run in client.workflows.invocation_results(
            workflow.id, after=end - lookback, before=end, status="failed"
        ):
            yield _row(workflow.id, run.invocation_id, run.model_dump())

    if client.server.has("invocation_results"):
        failing = counted_in(client, Window(end - lookback, end), failed=True)
        step.notes.append(_FAILED.format(lookback.days))
        return failed, [
            workflow
            for workflow in workflows
            if failing is None
            or workflow.id in failing
            or workflow.id in step.first
            or workflow.trigger.get("type") in BATCH_TRIGGERS
        ]
    step.notes[:] = [_OFFERS_NEITHER]
    return failed, []


def _row(workflow_id: str, run_id: str, run: Row) -> Row:
    """A failed run."""
    return {
        "workflow_id": workflow_id,
        "instance_id": run_id,
        "reason": "failed",
        "at": run["scheduled_at"],
        "action_id": None,
        "event_uuid": None,
        "error_kind": run["error_kind"],
        "message": run["error_message"],
        "replayable": True,
    }
