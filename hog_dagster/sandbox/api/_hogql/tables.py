"""The tables that HogQL can read, out of the sandbox's world, as Arrow for DuckDB.

Facts: PostHog's HogQL schema. Rows of batch jobs are here under the job's id; levels are in lower
case, unlike in the logs endpoints; times are instants. As ClickHouse by its sorting key, a query
that names sources or runs reads their rows alone, not the whole table.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import product
from typing import Any

import pyarrow as pa

from hog_dagster.sandbox.api._calls import Site
from hog_dagster.sandbox.api._messaging_activity import entries
from hog_dagster.sandbox.world import LOG_RETENTION, micros, source_of

#: Column -> the values a query wants, as far as they are in the table's sorting key.
Only = Mapping[str, Collection[str]]
Rows = Iterable[tuple[Any, ...]]

GROUPS = tuple(f"$group_{index}" for index in range(5))
#: Before the names of the application's database's tables, which queries call ``system.<name>``.
SYSTEM = "system_"
_COLUMNS = {
    "events": (
        "uuid event properties timestamp distinct_id elements_chain created_at $session_id "
        f"$window_id {' '.join(GROUPS)} person_id"
    ),
    "persons": "id created_at properties is_identified",
    "person_distinct_ids": "distinct_id person_id",
    "groups": "index key created_at updated_at properties",
    "log_entries": "team_id log_source log_source_id instance_id timestamp message level",
    "app_metrics": (
        "team_id app_source app_source_id instance_id timestamp metric_name metric_kind count"
    ),
    "hog_invocation_results": (
        "team_id function_kind function_id invocation_id parent_run_id status attempts is_retry "
        "scheduled_at first_scheduled_at started_at finished_at duration_ms error_kind "
        "error_message event_uuid distinct_id person_id version is_deleted"
    ),
    "system_message_categories": (
        "id team_id key name description public_description category_type deleted created_at "
        "updated_at"
    ),
    "system_message_recipient_preferences": (
        "id team_id identifier preferences deleted created_at updated_at"
    ),
    "system_activity_logs": "id team_id activity item_id scope detail created_at",
}
#: What ``*`` of a table answers, in order.
STAR: Mapping[str, tuple[str, ...]] = {
    name: tuple(columns.split()) for name, columns in _COLUMNS.items()
}
_TIMES = (
    "timestamp created_at updated_at scheduled_at first_scheduled_at started_at finished_at "
    "person_created_at"
)
_TYPES: tuple[tuple[str, pa.DataType], ...] = (
    (_TIMES, pa.timestamp("us", tz="UTC")),
    ("team_id count attempts version duration_ms index", pa.int64()),
    ("is_retry is_deleted deleted is_identified", pa.bool_()),
)
_KINDS = {name: kind for names, kind in _TYPES for name in names.split()}
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

    `only` names values of columns in `SORTED_BY`; rows with others need not be there.
    """
    columns = (*STAR[name], *_MORE.get(name, ()))
    rows = list(TABLES[name](site, only))
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


def _picked(name: str, row: object, **more: Any) -> tuple[Any, ...]:
    """The columns of a table out of a row whose fields are called alike; others in `more`."""
    return tuple(more[c] if c in more else getattr(row, c) for c in STAR[name])


def _events(site: Site, _only: Only) -> Rows:
    world = site.world
    for event in world.events:
        person, held = world.persons.get(event.person_id), event.properties
        groups = [held.get(name) for name in GROUPS]
        found = [world.groups.get(f"{index}/{key}") for index, key in enumerate(groups)]
        yield (
            event.uuid,
            event.event,
            json.dumps(held),
            event.timestamp,
            event.distinct_id,
            "",
            event.timestamp,
            _text(held.get("$session_id")),
            _text(held.get("$window_id")),
            *map(_text, groups),
            event.person_id,
            json.dumps(person.properties if person else {}),
            person.created_at if person else None,
            *(json.dumps(group.group_properties) if group else "{}" for group in found),
        )


def _persons(site: Site, _only: Only) -> Rows:
    for person in site.world.persons.values():
        yield person.id, person.created_at, json.dumps(person.properties), True


def _groups(site: Site, _only: Only) -> Rows:
    for group in site.world.groups.values():
        seen = [item for item in group.listed if item[0] <= site.clock.now()]
        if seen:
            changed, properties = seen[-1]
            text = json.dumps(properties)
            yield group.group_type_index, group.group_key, group.created_at, changed, text


def _log_entries(site: Site, only: Only) -> Rows:
    now = micros(site.clock.now())
    oldest = now - LOG_RETENTION // (LOG_RETENTION.resolution)
    logs, instances = site.world.logs, only.get("instance_id")
    for source in logs.sources():
        if source not in only.get("log_source_id", (source,)):
            continue
        kind = _source_kind(site, source)
        for row in logs.rows(source) if instances is None else logs.of(source, instances):
            if row.visible <= now and row.at >= oldest:
                level = row.level.lower()
                yield site.project_id, kind, source, row.instance_id, row.at, row.message, level


def _app_metrics(site: Site, _only: Only) -> Rows:
    oldest = micros(site.clock.now() - LOG_RETENTION)
    for source, cells in site.world.metrics.dump().items():
        log_source = _source_kind(site, source)
        for name, kind, instance, at, count in cells:
            if at >= oldest:
                yield site.project_id, log_source, source, instance, at, name, kind, count


def _results(site: Site, only: Only) -> Rows:
    """Raw rows as they are stored now, those of rerun jobs too; no column of the payload."""
    table, now = site.world.run_rows, site.clock.now()
    wanted = table.sources()
    if "function_kind" in only and "function_id" in only:
        pairs = product(only["function_kind"], only["function_id"])
        named = {source_of(kind, id) for kind, id in pairs}
        wanted = [source for source in wanted if source in named]
    fixed = {"team_id": site.project_id, "is_deleted": False}
    for source in wanted:
        for row in table.rows(source, now=now, keys=only.get("invocation_id")):
            yield _picked("hog_invocation_results", row, function_kind=row.kind, **fixed)


def _categories(site: Site, _only: Only) -> Rows:
    for row in site.world.mail.categories.values():
        yield _picked("system_message_categories", row, team_id=site.project_id)


def _preferences(site: Site, _only: Only) -> Rows:
    name = "system_message_recipient_preferences"
    for row in site.world.mail.preferences.values():
        held = json.dumps(row.preferences)
        yield _picked(name, row, team_id=site.project_id, preferences=held, deleted=False)


def _activity(site: Site, _only: Only) -> Rows:
    """Without the user: who did it, only the endpoint tells."""
    for row in entries(site):
        shown = {**row, "team_id": site.project_id}
        shown["detail"] = json.dumps(row["detail"], default=str)
        yield tuple(shown[name] for name in STAR["system_activity_logs"])


def _source_kind(site: Site, source: str) -> str:
    return "hog_function" if source in site.world.hog_functions else "hog_flow"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


TABLES: Mapping[str, Callable[[Site, Only], Rows]] = {
    "events": _events,
    "persons": _persons,
    "person_distinct_ids": lambda site, _: site.world.person_ids.items(),
    "groups": _groups,
    "log_entries": _log_entries,
    "app_metrics": _app_metrics,
    "hog_invocation_results": _results,
    "system_message_categories": _categories,
    "system_message_recipient_preferences": _preferences,
    "system_activity_logs": _activity,
}
