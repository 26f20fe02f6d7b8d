"""EventsQuery: a table of events.

Facts: a recorded answer and its SQL: the last 24 hours unless asked, one row more than the limit is
read to know whether there is more.
"""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.api._insight_math.dates import read_date
from hog_dagster.sandbox.api._insight_math.matching import selector
from hog_dagster.sandbox.api._insight_math.query_data import Computed, QueryData, UserError, iso
from hog_dagster.sandbox.world import Event

FIELDS = ("uuid", "event", "timestamp", "distinct_id", "person", "person_id", "properties", "*")


def events_table(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate an EventsQuery."""
    columns: list[str] = query.get("select") or ["*"]
    limit, offset = query.get("limit") or 100, query.get("offset") or 0
    after = _bound(query.get("after"), query_data, query_data.now - timedelta(hours=24))
    before = _bound(query.get("before"), query_data, query_data.now + timedelta(seconds=5))
    holds = selector(query_data, query.get("properties"), query.get("fixedProperties"))
    name = query.get("event")
    rows = [
        event
        for event in query_data.events
        if (name is None or event.event == name)
        and (after is None or event.timestamp > after)
        and (before is None or event.timestamp < before)
        and holds(event)
    ]
    order = (query.get("orderBy") or ["timestamp DESC"])[0]
    rows.sort(key=lambda event: event.timestamp, reverse=order.upper().endswith("DESC"))
    page = rows[offset : offset + limit]
    zone = query_data.zone.key
    kinds = {"timestamp": f"DateTime64(6, '{zone}')", "uuid": "UUID", "person_id": "UUID"}
    return Computed(
        [[_cell(event, column, query_data) for column in columns] for event in page],
        has_more=len(rows) > offset + limit,
        columns=list(columns),
        types=[kinds.get(column, "String") for column in columns],
        limit=limit,
        offset=offset,
    )


def _bound(text: str | None, query_data: QueryData, default: datetime) -> datetime | None:
    if text == "all":
        return None
    if text is None:
        return default
    if text.endswith("h") and text.startswith("-"):
        return query_data.now - timedelta(hours=int(text[1:-1]))
    return read_date(text, query_data.zone, query_data.now)[0]


def _cell(event: Event, column: str, query_data: QueryData) -> Any:
    name = column.split("--")[0].strip()
    if name.startswith("properties."):
        return event.properties.get(name.removeprefix("properties.").strip("`"))
    if name not in FIELDS:
        raise UserError(f"Unable to resolve field: {name}")
    person = query_data.persons.get(event.person_id)
    whole = {
        "uuid": event.uuid,
        "event": event.event,
        "properties": event.properties,
        "timestamp": iso(event.timestamp.astimezone(query_data.zone)),
        "distinct_id": event.distinct_id,
        "person_id": event.person_id,
        "person": {
            "uuid": event.person_id,
            "created_at": iso(person.created_at) if person and person.created_at else None,
            "properties": person.properties if person else {},
            "distinct_id": event.distinct_id,
        },
    }
    return whole if name == "*" else whole[name]
