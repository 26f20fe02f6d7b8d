"""Shows groups of errors on Dagster's pages: a Markdown table with names and links."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from hog_dagster._shared.markdown import code_cell, plain_cell
from hog_dagster.assets._error_groups import ErrorGroup, ErrorRows, error_groups
from hog_dagster.assets._loading import rows_before
from hog_dagster.assets._workflow_tables import WORKFLOW_ACTIONS
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import Table, Warehouse, Window

_SHOWN = 10


def errors_page(
    groups: Sequence[ErrorGroup],
    names: Mapping[str, str],
    steps: Mapping[tuple[str, str], str],
    link: Callable[[str], str],
) -> dg.MarkdownMetadataValue | None:
    """The most frequent errors, which come first, with names, times and links; None without any.

    Steps are named by (workflow id, step id).
    """
    if not groups:
        return None
    lines = [
        "| Count | Source | Step | Message | First (UTC) | Last (UTC) | Example run |",
        "| ---: | --- | --- | --- | --- | --- | --- |",
    ]
    for one in groups[:_SHOWN]:
        step = steps.get((one.owner, one.step)) or one.step
        cells = [
            f"{one.count:,}",
            plain_cell(names.get(one.owner) or one.owner),
            plain_cell(step),
            code_cell(one.message),
            f"{one.first:%Y-%m-%d %H:%M:%S}",
            f"{one.last:%Y-%m-%d %H:%M:%S}",
            f"[{plain_cell(one.run)}]({link(one.owner)})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if len(groups) > _SHOWN:
        left = sum(one.count for one in groups[_SHOWN:])
        lines += ["", f"{len(groups) - _SHOWN} more messages, {left:,} times in all."]
    return dg.MetadataValue.md("\n".join(lines))


def partition_pages(
    warehouse: Warehouse,
    table: Table,
    posthog: PostHogResource,
    errors: ErrorRows | None,
    windows: Iterable[Window],
    names: Mapping[str, str],
    scope: Mapping[str, Any],
) -> dict[Window, dict[str, dg.MarkdownMetadataValue]]:
    """The most frequent errors of each partition, as metadata; none where there are none."""
    wanted = list(windows)
    groups = error_groups(warehouse, table, errors, wanted, scope) if errors else []
    if not groups:
        return {}
    of_workflows = "workflow_id" in table
    steps = step_names(warehouse, int(posthog.project_id)) if of_workflows else {}

    def link(id: str) -> str:
        if of_workflows:
            return posthog.workflow_url(id, "logs")
        return f"{posthog.project_url}/functions/{id}"

    found: dict[Window, dict[str, dg.MarkdownMetadataValue]] = {}
    for window in wanted:
        inside = [one for one in groups if one.window == window]
        if (page := errors_page(inside, names, steps, link)) is not None:
            found[window] = {"top_errors": page}
    return found


def step_names(warehouse: Warehouse, project_id: int) -> dict[tuple[str, str], str]:
    """(workflow id, step id) -> the step's name, as the catalog was loaded; none without one."""
    columns, scope = ["workflow_id", "action_id", "name"], {"project_id": project_id}
    found = rows_before(warehouse, WORKFLOW_ACTIONS, columns=columns, scope=scope)
    return {(row["workflow_id"], row["action_id"]): row["name"] for row in found if row["name"]}
