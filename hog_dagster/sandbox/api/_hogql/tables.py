"""The tables that HogQL can read, out of the sandbox's world, as Arrow for DuckDB.

Facts: PostHog's HogQL schema. Rows of batch jobs are here under the job's id; levels are in lower
case, unlike in the logs endpoints; times are instants. As ClickHouse by its sorting key, a query
that names sources or runs reads their rows alone, not the whole table.
"""

import json
from collections.abc import Callable, Collection, Mapping
from itertools import product
from typing import Any

import pyarrow as pa

from hog_dagster.sandbox.api._calls import Site
from hog_dagster.sandbox.api._messaging_activity import entries
from hog_dagster.sandbox.world import LOG_RETENTION, FamilyState, micros, source_of

__all__ = ["SORTED_BY", "STAR", "SYSTEM", "TABLES", "load"]

#: Column -> the values a query wants, as far as they are in the table's sorting key.
Only = Mapping[str, Collection[str]]

_TIME = pa.timestamp("us", tz="UTC")
GROUPS = tuple(f"$group_{index}" for index in range(5))

#: Before the names of the application's database's tables, which queries call ``system.<name>``.
SYSTEM = "system_"
#: What ``*`` of a table answers, in order.
STAR: Mapping[str, tuple[str, ...]] = {
    "events": (
        "uuid",
        "event",
        "properties",
        "timestamp",
        "distinct_id",
        "elements_chain",
        "created_at",
        "$session_id",
        "$window_id",
        *GROUPS,
        "person_id",
    ),
    "persons": ("id", "created_at", "properties", "is_identified"),
    "person_distinct_ids": ("distinct_id", "person_id"),
    "groups": ("index", "key", "created_at", "updated_at", "properties"),
    "log_entries": (
        "team_id",
        "log_source",
        "log_source_id",
        "instance_id",
        "timestamp",
        "message",
        "level",
    ),
    "app_metrics": (
        "team_id",
        "app_source",
        "app_source_id",
        "instance_id",
        "timestamp",
        "metric_name",
        "metric_kind",
        "count",
    ),
    "hog_invocation_results": (
        "team_id",
        "function_kind",
        "function_id",
        "invocation_id",
        "parent_run_id",
        "status",
        "attempts",
        "is_retry",
        "scheduled_at",
        "first_scheduled_at",
        "started_at",
        "finished_at",
        "duration_ms",
        "error_kind",
        "error_message",
        "event_uuid",
        "distinct_id",
        "person_id",
        "version",
        "is_deleted",
    ),
    "system_message_categories": (
        "id",
        "team_id",
        "key",
        "name",
        "description",
        "public_description",
        "category_type",
        "deleted",
        "created_at",
        "updated_at",
    ),
    "system_message_recipient_preferences": (
        "id",
        "team_id",
        "identifier",
        "preferences",
        "deleted",
        "created_at",
        "updated_at",
    ),
    "system_activity_logs": (
        "id",
        "team_id",
        "activity",
        "item_id",
        "scope",
        "detail",
        "created_at",
    ),
}
_KINDS: Mapping[str, pa.DataType] = {
    "timestamp": _TIME,
    "created_at": _TIME,
    "updated_at": _TIME,
    "scheduled_at": _TIME,
    "first_scheduled_at": _TIME,
    "started_at": _TIME,
    "finished_at": _TIME,
    "person_created_at": _TIME,
    "team_id": pa.int64(),
    "count": pa.int64(),
    "attempts": pa.int64(),
    "version": pa.int64(),
    "duration_ms": pa.int64(),
    "index": pa.int64(),
    "is_retry": pa.bool_(),
    "is_deleted": pa.bool_(),
    "deleted": pa.bool_(),
    "is_identified": pa.bool_(),
}
#: Columns that are there without being part of ``*``.
_MORE: Mapping[str, tuple[str, ...]] = {
    "events": (
        "person_properties",
        "person_created_at",
        *(f"group_{index}_properties" for index in range(5)),
    )
}

#: Columns whose values, when a query names them, say which rows are read.
SORTED_BY: Mapping[str, tuple[str, ...]] = {
    "log_entries": ("log_source_id", "instance_id"),
    "hog_invocation_results": ("function_kind", "function_id", "invocation_id"),
}


def load(site: Site, name: str, only: Only) -> pa.Table:
    """One table as it stands now.

    Args:
        site: the server.
        name: the table.
        only: values of columns in `SORTED_BY`; rows with others need not be there.
    """
    columns = (*STAR[name], *_MORE.get(name, ()))
    rows = TABLES[name](site, only)
    streamed = site.world.event_stream if name == "events" else None
    if streamed is not None and not rows:
        return streamed.table()
    data = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [
        pa.array(values, type=_KINDS.get(column, pa.string()))
        for column, values in zip(columns, data, strict=True)
    ]
    table = pa.table(dict(zip(columns, arrays, strict=True)))
    if streamed is None:
        return table
    held = streamed.table()
    same = [
        table.column(field.name).dictionary_encode()
        if pa.types.is_dictionary(field.type)
        else table.column(field.name)
        for field in held.schema
    ]
    return pa.concat_tables([pa.table(same, schema=held.schema), held])


def _events(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    state = _state(site)
    rows: list[tuple[Any, ...]] = []
    for event in state.events:
        person, held = state.persons.get(event.person_id), event.properties
        groups = [held.get(name) for name in GROUPS]
        found = [state.groups.get(f"{index}/{key}") for index, key in enumerate(groups)]
        rows.append(
            (
                event.uuid,
                event.event,
                json.dumps(held),
                event.timestamp,
                event.distinct_id,
                "",
                event.timestamp,
                _text(held.get("$session_id")),
                _text(held.get("$window_id")),
                *[_text(key) for key in groups],
                event.person_id,
                json.dumps(person.properties if person else {}),
                person.created_at if person else None,
                *[json.dumps(group.group_properties) if group else "{}" for group in found],
            )
        )
    return rows


def _persons(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    return [
        (person.id, person.created_at, json.dumps(person.properties), True)
        for person in _state(site).persons.values()
    ]


def _distinct_ids(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    return list(_state(site).person_ids.items())


def _groups(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for group in _state(site).groups.values():
        seen = [item for item in group.listed if item[0] <= site.clock.now()]
        if seen:
            changed, properties = seen[-1]
            text = json.dumps(properties)
            rows.append((group.group_type_index, group.group_key, group.created_at, changed, text))
    return rows


def _log_entries(site: Site, only: Only) -> list[tuple[Any, ...]]:
    now = micros(site.clock.now())
    oldest = now - LOG_RETENTION // (LOG_RETENTION.resolution)
    functions = _state(site).hog_functions
    rows: list[tuple[Any, ...]] = []
    logs, instances = site.world.logs, only.get("instance_id")
    for source in logs.sources():
        if source not in only.get("log_source_id", (source,)):
            continue
        kind = "hog_function" if source in functions else "hog_flow"
        rows += [
            (
                site.project_id,
                kind,
                source,
                row.instance_id,
                row.at,
                row.message,
                row.level.lower(),
            )
            for row in (logs.rows(source) if instances is None else logs.of(source, instances))
            if row.visible <= now and row.at >= oldest
        ]
    return rows


def _app_metrics(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    functions = _state(site).hog_functions
    oldest = micros(site.clock.now() - LOG_RETENTION)
    return [
        (
            site.project_id,
            "hog_function" if source in functions else "hog_flow",
            source,
            instance,
            at,
            name,
            kind,
            count,
        )
        for source, cells in site.world.metrics.dump().items()
        for name, kind, instance, at, count in cells
        if at >= oldest
    ]


def _results(site: Site, only: Only) -> list[tuple[Any, ...]]:
    """Raw rows as they are stored now, those of rerun jobs too; no column of the payload."""
    table, now = site.world.run_rows, site.clock.now()
    wanted = table.sources()
    if "function_kind" in only and "function_id" in only:
        pairs = product(only["function_kind"], only["function_id"])
        named = {source_of(kind, id) for kind, id in pairs}
        wanted = [source for source in wanted if source in named]
    return [
        (
            site.project_id,
            row.kind,
            row.function_id,
            row.invocation_id,
            row.parent_run_id,
            row.status,
            row.attempts,
            row.is_retry,
            row.scheduled_at,
            row.first_scheduled_at,
            row.started_at,
            row.finished_at,
            row.duration_ms,
            row.error_kind,
            row.error_message,
            row.event_uuid,
            row.distinct_id,
            row.person_id,
            row.version,
            False,
        )
        for source in wanted
        for row in table.rows(source, now=now, keys=only.get("invocation_id"))
    ]


def _categories(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    return [
        (
            row.id,
            site.project_id,
            row.key,
            row.name,
            row.description,
            row.public_description,
            row.category_type,
            row.deleted,
            row.created_at,
            row.updated_at,
        )
        for row in site.world.mail.categories.values()
    ]


def _preferences(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    return [
        (
            row.id,
            site.project_id,
            row.identifier,
            json.dumps(row.preferences),
            False,
            row.created_at,
            row.updated_at,
        )
        for row in site.world.mail.preferences.values()
    ]


def _activity(site: Site, _only: Only) -> list[tuple[Any, ...]]:
    """Without the user: who did it, only the endpoint tells."""
    return [
        (
            row["id"],
            site.project_id,
            row["activity"],
            row["item_id"],
            row["scope"],
            json.dumps(row["detail"], default=str),
            row["created_at"],
        )
        for row in entries(site)
    ]


def _state(site: Site) -> FamilyState:
    return site.world.families


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


TABLES: Mapping[str, Callable[[Site, Only], list[tuple[Any, ...]]]] = {
    "events": _events,
    "persons": _persons,
    "person_distinct_ids": _distinct_ids,
    "groups": _groups,
    "log_entries": _log_entries,
    "app_metrics": _app_metrics,
    "hog_invocation_results": _results,
    "system_message_categories": _categories,
    "system_message_recipient_preferences": _preferences,
    "system_activity_logs": _activity,
}
