"""Counts of one workflow or hog function by REST, runs and steps told apart.

Facts: `GET .../{id}/metrics/` adds run-level and step-level counts of one name up, and cannot be
asked for the run level alone; `instance_id=` picks one step, one that was removed since too. So the
run level is what is left of the whole after its steps. A removed step can have counts in a window
only when the workflow changed after the window began, or people opened its e-mails later.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from hog_dagster.assets._log_sources import LogSource, Source, WorkflowLogSource
from hog_dagster.assets._report import Report
from hog_dagster.assets._summary import OF_RUNS
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.warehouse import Table, Warehouse, Window
from hog_dagster.warehouse.errors import TableMissing

#: The level of counts that belong to removed steps, or cannot be told from theirs.
REMOVED = "removed"
#: Only steps count these.
_OF_STEPS = ("email_", "push_", "sms_", "billable_")


def steps_loaded(warehouse: Warehouse, table: Table, project_id: int) -> dict[str, set[str]]:
    """Workflow -> the steps whose counts were loaded earlier, removed ones among them."""
    found: dict[str, set[str]] = defaultdict(set)
    if "action_id" not in table:
        return found
    names, scope = ["workflow_id", "action_id"], {"project_id": project_id, "level": "action"}
    with suppress(TableMissing):
        for row in warehouse.aggregate(table, by=names, scope=scope):
            found[row["workflow_id"]].add(row["action_id"])
    return found


def metric_rows(
    client: PostHogClient,
    log_source: LogSource,
    source: Source,
    window: Window,
    loaded: Collection[str] = (),
    report: Report | None = None,
) -> list[Mapping[str, Any]]:
    """The counts of one workflow or function and window of whole hours.

    Steps are asked first, those that were loaded earlier too, and the whole last, so that counts
    arriving in between cannot make the run level negative.
    """
    service = log_source.service(client)
    rows: list[Mapping[str, Any]] = []
    of_steps: dict[tuple[datetime, str], int] = defaultdict(int)
    runs_of: dict[str, int] = defaultdict(int)

    def read_step(step: str) -> None:
        for point in service.hourly_metrics(
            source.id, start=window.start, end=window.end, instance_id=step
        ):
            of_steps[point.hour, point.name] += point.value
            if point.name in OF_RUNS:
                runs_of[step] += point.value
            rows.append(
                row_of(log_source, source.id, "", step, point.hour, point.name, point.value)
            )

    for step in source.steps:
        read_step(step)
    gone = set(loaded) - set(source.steps)
    changed = source.changed_at is None or source.changed_at > window.start
    distinct = True
    if changed and isinstance(log_source, WorkflowLogSource):
        earlier = _steps_of_revisions(client, source.id, window.start)
        distinct = earlier is not None
        gone |= (earlier or set()) - set(source.steps)
    for step in sorted(gone):
        read_step(step)
    left = [
        (point.hour, point.name, point.value - of_steps[point.hour, point.name])
        for point in service.hourly_metrics(source.id, start=window.start, end=window.end)
    ]
    left = [(hour, name, value) for hour, name, value in left if value > 0]
    if log_source.kind != "hog_flow":
        rows += [row_of(log_source, source.id, "", "", *point) for point in left]
        return rows
    removed = any(name.startswith(_OF_STEPS) for _, name, _ in left)
    if changed and not distinct and source.steps:
        ended = sum(value for _, name, value in left if name in OF_RUNS)
        removed = removed or ended > max(runs_of.values(), default=0)
    mixed = removed and changed and not distinct
    for hour, name, value in left:
        level = REMOVED if name.startswith(_OF_STEPS) or mixed else "run"
        rows.append({**row_of(log_source, source.id, "", "", hour, name, value), "level": level})
    if removed and report is not None:
        report.notes.append(
            f"Workflow {source.label} counts in {window} for steps that it has no more"
            + (", and REST cannot tell its own runs from those" if mixed else "")
            + ": they have the level `removed`. With the scope query:read every count keeps its "
            "level."
        )
    return rows


def _steps_of_revisions(client: PostHogClient, id: str, since: datetime) -> set[str] | None:
    """The steps of every state that was live since then; None where the server keeps none."""
    numbers: list[int] = []
    steps: set[str] = set()
    try:
        if not client.server.has("revisions"):
            return None
        for revision in client.workflows.revisions(id):  # Newest first.
            numbers.append(revision.version)
            if revision.created_at is not None and revision.created_at <= since:
                break
        for number in numbers:
            content = client.workflows.revision(id, number).content or {}
            steps |= {str(step["id"]) for step in _steps(content.get("actions"))}
    except (errors.NotFound, errors.PermissionDenied, errors.InvalidRequest):
        return None
    return steps if numbers else None


def _steps(actions: Any) -> Iterator[Mapping[str, Any]]:
    for action in actions if isinstance(actions, list) else ():
        if isinstance(action, Mapping) and action.get("id"):
            yield action


def row_of(
    log_source: LogSource,
    source_id: str,
    job: str,
    step: str,
    hour: datetime,
    metric: str,
    value: int,
) -> Mapping[str, Any]:
    """One count as a row of ours."""
    return {
        log_source.id_column: source_id,
        "batch_job_id": job,
        "level": "action" if step else "run",
        "action_id": step,
        "hour": hour,
        "metric": metric,
        "value": value,
    }
