"""How large a project is, as far as that decides how many requests it takes.

Facts: lists give all objects of a kind; PostHog's global metrics say which workflows ran; only
HogQL counts rows without handing them out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.assets import HogFunctionSelection, ReadBy, WorkflowSelection, can_wait
from hog_dagster.cli._request_plan import Project, Way
from hog_dagster.posthog import PostHogClient, errors, instant
from hog_dagster.posthog.models import Workflow
from hog_dagster.warehouse import Window

_BATCH, _SCHEDULED = ("batch",), ("batch", "schedule")
_IN_BROWSERS = ("site_app", "site_destination")
_HOUR = "toUnixTimestamp(timestamp) - toUnixTimestamp(timestamp) % 3600"
#: Tables of ours by PostHog's: its time, its kind, whose a row is, how its rows are counted.
_COUNTED: Mapping[str, tuple[str, str, str, str, str]] = {
    "logs": ("log_entries", "timestamp", "log_source", "log_source_id", "count()"),
    "metrics": (
        "app_metrics",
        "timestamp",
        "app_source",
        "app_source_id",
        f"uniqExact(tuple({_HOUR}, app_source_id, instance_id, metric_name))",
    ),
    "runs": (
        "hog_invocation_results",
        "first_scheduled_at",
        "function_kind",
        "function_id",
        "uniqExact(invocation_id)",
    ),
}
_OURS = {"hog_flow": "workflow", "hog_function": "hog_function"}


@dataclass(frozen=True)
class Chosen:
    """What of a project is read, and how; None reads no hog functions."""

    workflows: WorkflowSelection = field(default_factory=WorkflowSelection)
    functions: HogFunctionSelection | None = field(default_factory=HogFunctionSelection)
    insights: bool = True
    groups: bool = True
    read_by: ReadBy = "auto"


def measure(
    client: PostHogClient,
    now: datetime,
    *,
    chosen: Chosen | None = None,
    window: Window | None = None,
) -> tuple[Project, Way, list[str]]:
    """The project as far as it is read, how its rows are read, and notes.

    Requests: those of the lists (one per 500 workflows or insights, per 100 functions), four
    queries and up to six more. Rows are counted over the window's whole days, the last day by
    default; those of the result are of a day, on average. `now` is by PostHog's clock. A
    PostHogError: rows are to be read by HogQL alone, and that does not work.
    """
    notes: list[str] = []
    chosen = chosen or Chosen()
    if window is None:
        end = now.replace(hour=0, minute=0, second=0, microsecond=0)
        window = Window(end - timedelta(days=1), end)
    listed = list(client.workflows.list())
    workflows = [w for w in listed if w in chosen.workflows]
    wanted = chosen.functions
    functions = []
    if wanted is not None:
        functions = _or_none(lambda: list(client.hog_functions.list()), notes) or []
    picked = [one for one in functions if wanted is not None and one in wanted]
    insights = []
    if chosen.insights:
        insights = _or_none(lambda: list(client.insights.list(saved=True)), notes) or []
    types = (_or_none(client.groups.types, notes) or []) if chosen.groups else []
    counted = _counted(client, window.start - timedelta(hours=1))
    ran = None if counted is None else {one.workflow_id for one in counted}
    failed = _failing(client, workflows, now)
    awake = [w for w in workflows if ran is None or w.id in ran]
    project = Project(
        workflows=len(listed),
        batch=sum(_trigger(w) in _BATCH for w in workflows),
        scheduled=sum(_trigger(w) in _SCHEDULED for w in workflows),
        ran=len(awake),
        waiting=sum(can_wait(w) for w in workflows if ran is not None and w.id not in ran),
        steps=sum(sum(step.type != "trigger" for step in w.actions) for w in awake),
        failing=failed,
        functions=len(functions),
        live=sum(
            one.type not in _IN_BROWSERS
            and (
                one.enabled is not False or one.updated_at is None or one.updated_at > window.start
            )
            for one in picked
        ),
        insights=len(insights),
        results=len(insights),
        groups=tuple(0 for _ in types),
        run_results=client.server.has("invocation_results"),
        global_metrics=ran is not None,
        batch_jobs=client.server.has("batch_jobs"),
        chosen_insights=chosen.insights,
        chosen_groups=chosen.groups,
    )
    left_out = {one.id for one in listed if one not in chosen.workflows}
    left_out |= {one.id for one in functions if wanted is None or one not in wanted}
    try:
        rows = _rows(client, window, project, left_out)
        groups = _groups(client) if types else {}
    except errors.PostHogError as error:
        if chosen.read_by == "hogql":
            raise
        set_so = chosen.read_by == "rest"
        reason = (
            "as read_by says; HogQL does not count them"
            if set_so
            else "because HogQL does not work"
        )
        notes.append(
            f"Rows are read by REST, {reason}: {error} How many rows there are is not known then: "
            "these are the least requests."
        )
        return project, "REST", notes
    sizes = tuple(groups.get(one.group_type_index, 0) for one in types)
    way: Way = "REST" if chosen.read_by == "rest" else "HogQL"
    return replace(project, rows=rows, groups=sizes), way, notes


def with_emails(client: PostHogClient, project: Project, window: Window) -> Project:
    """The project with its e-mails of a day among its rows, by one query over whole days."""
    sql = (
        "SELECT sum(count) AS n FROM app_metrics WHERE app_source = 'hog_flow' "  # noqa: S608
        f"AND metric_name = 'email_sent' AND timestamp >= {instant(window.start)} "
        f"AND timestamp < {instant(window.end)} LIMIT 1"
    )
    found = client.query.rows(sql, name="hog_dagster plan")
    days = max(1, round((window.end - window.start) / timedelta(days=1)))
    emails = sum(int(row["n"] or 0) for row in found)
    return replace(project, rows={**project.rows, "sent_messages": -(-emails // days)})


def _trigger(workflow: Workflow) -> str:
    return str(workflow.trigger.get("type") or "batch")


def _counted(client: PostHogClient, after: datetime) -> Sequence[Any] | None:
    """Counts of the workflows that ran since then; None where the server does not tell."""
    try:
        return list(client.workflows.global_metrics(after=after))
    except (errors.EndpointMissing, errors.PermissionDenied):
        return None


def _failing(client: PostHogClient, workflows: list[Workflow], now: datetime) -> int:
    """Workflows that failed within a week, and those whose failures are counted elsewhere."""
    found = _counted(client, now - timedelta(days=7))
    if found is None:
        return sum(w.status != "draft" for w in workflows)
    failed = {one.workflow_id for one in found if one.failed}
    return sum(w.id in failed or _trigger(w) in _BATCH for w in workflows)


def _rows(
    client: PostHogClient, window: Window, project: Project, left_out: set[str]
) -> dict[str, int]:
    """Rows of a day by table, those of workflows and functions that are not read left out."""
    days = max(1, round((window.end - window.start) / timedelta(days=1)))
    rows: dict[str, int] = {}
    for what, (table, time, kind, whose, counted) in _COUNTED.items():
        if what == "runs" and not project.run_results:
            continue
        only = "" if not left_out else f", {whose} AS whose"
        by = "" if not left_out else f", {whose}"
        sql = (
            f"SELECT {kind} AS kind, {counted} AS n{only} FROM {table} "  # noqa: S608
            f"WHERE {time} >= {instant(window.start)} AND {time} < {instant(window.end)} "
            f"GROUP BY {kind}{by} LIMIT 50000"
        )
        for row in client.query.rows(sql, name="hog_dagster plan"):
            if row["kind"] in _OURS and row.get("whose") not in left_out:
                name = f"{_OURS[row['kind']]}_{what}"
                rows[name] = rows.get(name, 0) + int(row["n"] or 0)
    return {name: -(-number // days) for name, number in rows.items()}


def _groups(client: PostHogClient) -> dict[int, int]:
    sql = "SELECT index, count() AS n FROM groups GROUP BY index LIMIT 100"
    found = client.query.rows(sql, name="hog_dagster plan")
    return {int(row["index"]): int(row["n"]) for row in found}


def _or_none(read: Callable[[], Any], notes: list[str]) -> Any:
    """What is read; None, and a note, where the key may not."""
    try:
        return read()
    except (errors.PermissionDenied, errors.EndpointMissing) as error:
        notes.append(str(error))
        return None
