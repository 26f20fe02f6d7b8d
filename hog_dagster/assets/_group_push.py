"""Pushing properties of a warehouse table to PostHog's groups: only what differs, and safely again.

Facts: see `actions._group_plan` for what a push is. Through the API each group is looked at once
more before it is written (`find` reads the database, the list may lag), so what was loaded is not
sent twice and what somebody else changed meanwhile is seen. In bulk, PostHog takes events and
processes them later; the table `group_pushes` remembers what is on its way.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._shared.markdown import plain_cell
from hog_dagster.actions import (
    BadRows,
    GroupChange,
    GroupPusher,
    Nulls,
    PushedGroup,
    PushPlan,
    PushSummary,
    plan_push,
    wanted_groups,
)
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._group_source import GroupSource, SourceTable, push_asset, show_plan
from hog_dagster.assets._group_tables import GROUP_PUSHES
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import GroupCapture, PostHogClient, errors, ingestion_host
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Warehouse

_SHOWN = 10


class GroupPushConfig(dg.Config):
    """What one run of a sink may do.

    Args:
        dry_run: only make the plan and show it; None takes what the sink was built with.
        max_groups: refuse to send when more groups than this would be made or changed; None
            takes what the sink was built with.
    """

    dry_run: bool | None = Field(
        default=None, description="Only make the plan. Set it to false to change groups in PostHog."
    )
    max_groups: int | None = Field(
        default=None, description="Send nothing if more groups than this would change."
    )


def group_properties_sink(
    table_or_asset: SourceTable,
    group_type: str,
    key_column: str,
    property_columns: Sequence[str] | Mapping[str, str],
    *,
    name: str | None = None,
    options: AssetOptions | None = None,
    dry_run: bool = True,
    nulls: Nulls = "refuse",
    overwrite_edits: bool = False,
    max_groups: int | None = None,
    bulk_above: int = 500,
    project_token: str | dg.EnvVar = "",
    capture_host: str = "",
    settle: timedelta = timedelta(minutes=15),
    show_values: bool = False,
) -> dg.AssetsDefinition:
    """An asset that makes PostHog's groups have the properties that a warehouse table has.

    It reads the table, checks every row, compares with what PostHog has, shows the plan (adds,
    changes, no-ops) as an observation, and then sends the differences alone: missing groups are
    made, properties set. Groups and properties that the table does not name are left alone. It is
    safe to run again at any time, after a failure half-way too.

    Needs the resources `posthog` (scopes group:read and group:write) and `warehouse`. Requests:
    one per 100 groups of the type; per group to send 1 and 1 per property (2 to make one), or one
    per 250 groups in bulk.

    Args:
        table_or_asset: `schema.table`, a declared `Table`, or an asset (or its key) whose metadata
            `dagster/table_name` or last two key parts name the table.
        group_type: the kind of group by name, such as `organization`; it must exist.
        key_column: the column with the groups' keys; no nulls, no duplicates.
        property_columns: the columns to push, under their own names; or property -> column.
        name: of the asset; `group_properties_<group type>` when None.
        options: how the asset looks.
        dry_run: only make the plan; a run can say otherwise in its config.
        nulls: what a null means: `refuse` the table, `keep` what PostHog has, or `unset`, which
            removes the property from the group.
        overwrite_edits: write also where somebody else changed the property since the plan was
            made, instead of reporting it and leaving it to the next run.
        max_groups: refuse to send when more groups than this would be made or changed.
        bulk_above: with a project token, more groups than this are sent as `$groupidentify`
            events through PostHog's ingestion endpoint, which needs no request per property and
            sees no edits of others.
        project_token: the project's token, `phc_...`, as `dg.EnvVar("POSTHOG_PROJECT_TOKEN")`.
        capture_host: the ingestion host; made from the app's host when empty.
        settle: how long PostHog may take to process what was sent in bulk; within it the same
            values are not sent to the same group again.
        show_values: show keys and values of the first groups of each sort in the plan, which
            Dagster keeps in its event log; else how many groups get which property.

    Returns:
        The assets definition.

    Raises:
        ValueError: no property columns are given.

    Example:
        .. code-block:: python

            group_properties_sink(
                "analytics.accounts",
                group_type="organization",
                key_column="account_id",
                property_columns=["plan", "seats", "arr"],
                dry_run=True,  # until what it would send looks right
            )
    """
    options = options or AssetOptions()
    columns = (
        dict(property_columns)
        if isinstance(property_columns, Mapping)
        else {column: column for column in property_columns}
    )
    if not columns:
        raise ValueError("group_properties_sink needs at least one property column")
    source = GroupSource.of(table_or_asset)
    key = options.key(name or f"group_properties_{group_type}")

    @push_asset(
        options,
        key,
        source,
        description=f"Properties of {group_type} groups in PostHog, pushed from {source.name}.",
        group="groups",
        metadata={"posthog/group_type": group_type},
        pool=options.pool,
    )
    def sink(
        context: dg.AssetExecutionContext,
        config: GroupPushConfig,
        posthog: PostHogResource,
        warehouse: WarehouseResource,
    ) -> dg.MaterializeResult:
        dry = dry_run if config.dry_run is None else config.dry_run
        cap = max_groups if config.max_groups is None else config.max_groups
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            client, started = posthog.client, time.monotonic()
            requests = client.requests_made
            project = int(posthog.project_id)
            rows = source.read(opened, key_column, list(columns.values()))
            wanted = wanted_groups(
                rows.to_pylist(),
                rows.column_names,
                key_column=key_column,
                property_columns=columns,
                nulls=nulls,
                what=source.name,
            )
            index = _type_index(client, group_type)
            if not dry:
                _may_write(client)
            pending = _pending_pushes(opened, project, index, loading.server_now(client) - settle)
            listed = (
                (group.group_key, group.group_properties) for group in client.groups.list(index)
            )
            plan = plan_push(wanted, listed)
            token = _value_of(project_token)
            in_bulk = bool(token) and len(plan.work) > bulk_above
            shown = _shown(plan, in_bulk=in_bulk, dry_run=dry, values=show_values)
            context.log.info(f"{group_type} groups of {source.name}: {plan.numbers()}")
            show_plan(context, key, shown)
            outcome = PushSummary()
            if not dry:
                if cap is not None and len(plan.work) > cap:
                    raise BadRows([f"{len(plan.work)} groups differ, more than {cap}"], source.name)
                pusher = GroupPusher(
                    client=client,
                    group_type=group_type,
                    group_type_index=index,
                    record=partial(
                        _record_pushes,
                        client,
                        opened,
                        project_id=project,
                        group_type=group_type,
                        group_type_index=index,
                        run_id=context.run.run_id,
                    ),
                    overwrite_edits=overwrite_edits,
                    pending=pending,
                )
                if in_bulk:
                    host = capture_host or ingestion_host(client.host)
                    with GroupCapture(host, token) as capture:
                        outcome = pusher.send_in_bulk(plan, capture)
                else:
                    outcome = pusher.send_one_by_one(plan)
            metadata = {
                **shown,
                **{f"posthog/{name}": count for name, count in outcome.numbers().items()},
                "posthog/requests": client.requests_made - requests + outcome.bulk_requests,
                "posthog/seconds": round(time.monotonic() - started, 3),
                "posthog/url": dg.MetadataValue.url(f"{posthog.project_url}/groups/{index}"),
            }
            if outcome.problems:
                lines = "\n".join(f"- {line}" for line in outcome.problems[:_SHOWN])
                metadata["posthog/problems"] = dg.MetadataValue.md(lines)
                context.log.warning(f"Not everything was sent:\n{lines}")
            if outcome.failed:
                raise dg.Failure(
                    f"{outcome.failed} of {len(plan.work)} groups could not be sent; the rest was. "
                    f"Run it again: only what is missing is sent; the table {GROUP_PUSHES.name} "
                    f"names them. {outcome.problems[0]}",
                    metadata={**metadata, "posthog/table": GROUP_PUSHES.name},
                )
            return dg.MaterializeResult(asset_key=key, metadata=metadata)

    return sink


def _value_of(setting: str | dg.EnvVar) -> str:
    """The setting's value; a variable is read when the run needs it."""
    return (setting.get_value() or "") if isinstance(setting, dg.EnvVar) else setting


def _type_index(client: PostHogClient, group_type: str) -> int:
    types = {one.group_type: one.group_type_index for one in client.groups.types()}
    if group_type not in types:
        raise BadRows(
            [f"PostHog has no group type {group_type!r}; it has {', '.join(types) or 'none'}"],
            "the table",
        )
    return types[group_type]


def _may_write(client: PostHogClient) -> None:
    """Refuse before anything is sent when the key says of itself that it may not write groups."""
    try:
        scopes = client.server.key().scopes
    except errors.PostHogError:
        return  # A server that does not tell; the first write will.
    if scopes and not {"*", "group:write"} & {*scopes}:
        raise errors.MissingScope(
            "The key in POSTHOG_API_KEY lacks the scope group:write; nothing was sent. Add it: "
            "PostHog, Settings > Personal API keys.",
            scope="group:write",
        )


def _shown(plan: PushPlan, *, in_bulk: bool, dry_run: bool, values: bool) -> dict[str, Any]:
    """The plan as metadata: numbers, and properties, or the first groups with their values."""
    shown: dict[str, Any] = {f"posthog/{name}": n for name, n in plan.numbers().items()}
    shown["posthog/dry_run"] = dry_run
    shown["posthog/way"] = "ingestion" if in_bulk else "api"
    shown["posthog/requests_planned"] = -(-len(plan.work) // 250) if in_bulk else plan.requests
    if not values:
        counted = Counter(
            (what, name)
            for what, changes in (("add", plan.adds), ("change", plan.changes))
            for change in changes
            for name in (*change.set, *change.unset)
        )
        lines = [
            f"| {what} | {plain_cell(name)} | {n} |" for (what, name), n in sorted(counted.items())
        ]
        header = "| what | property | groups |\n| --- | --- | --- |\n"
    else:
        lines = [_line("add", change) for change in plan.adds[:_SHOWN]]
        lines += [_line("change", change) for change in plan.changes[:_SHOWN]]
        header = "| what | group | properties |\n| --- | --- | --- |\n"
    if lines:
        shown["posthog/plan"] = dg.MetadataValue.md(header + "\n".join(lines))
    return shown


def _line(what: str, change: GroupChange) -> str:
    parts = [
        f"{name}: {_short(change.before.get(name))} → {_short(v)}" for name, v in change.set.items()
    ]
    parts += [f"{name}: {_short(change.before.get(name))} → removed" for name in change.unset]
    return f"| {what} | {plain_cell(change.key)} | {plain_cell('; '.join(parts))} |"


def _short(value: Any) -> str:
    text = loading.json_text(value) or "–"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _record_pushes(
    client: PostHogClient,
    warehouse: Warehouse,
    pushed: Sequence[PushedGroup],
    way: str,
    *,
    project_id: int,
    group_type: str,
    group_type_index: int,
    run_id: str,
) -> None:
    """Write down what became of groups that were pushed by the way `api` or `ingestion`."""
    moment = loading.server_now(client)
    rows: Iterator[dict[str, Any]] = (
        {
            "group_type_index": group_type_index,
            "group_type": group_type,
            "group_key": one.change.key,
            "properties": dict(one.change.set),
            "removed": list(one.change.unset),
            "way": way,
            "outcome": one.result,
            "said": one.said or None,
            "sent_at": moment,
            "run_id": run_id,
        }
        for one in pushed
    )
    warehouse.upsert(GROUP_PUSHES, loading.arrow_batches(GROUP_PUSHES, rows, project_id=project_id))


def _pending_pushes(
    warehouse: Warehouse, project_id: int, group_type_index: int, since: datetime
) -> dict[str, Mapping[str, Any]]:
    """What was sent in bulk since then, by group key: PostHog may not have processed it yet."""
    of = {"group_type_index": group_type_index, "way": "ingestion"}
    scope = {"project_id": project_id, **of}
    columns = ["group_key", "properties", "sent_at"]
    read = loading.loaded_before(warehouse, GROUP_PUSHES, None, scope, columns)
    return {
        row["group_key"]: json.loads(row["properties"] or "{}")
        for row in loading.rows_in(read)
        if row["sent_at"] >= since
    }
