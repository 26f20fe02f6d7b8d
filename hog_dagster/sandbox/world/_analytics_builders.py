"""Builders that put groups, events and insights into the sandbox's world."""

import random
import string
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from hog_dagster.sandbox.world._analytics_model import (
    Dashboard,
    Event,
    Group,
    GroupType,
    Insight,
    PersonRow,
)
from hog_dagster.sandbox.world._stores import Stores

R = TypeVar("R", bound=Struct)
_LETTERS = string.ascii_letters + string.digits


def event_order(event: Event) -> tuple[Any, ...]:
    """The order in which events of equal time come out of the table: by name."""
    return (event.timestamp, event.event, event.uuid)


class AnalyticsBuilders(Stores):
    """Builders of groups, events and insights; and what makes rows."""

    def _made(self, kind: type[R], fields: dict[str, Any], **more: Any) -> R:
        """A row with an id, made at its `created_at`, which is now by default."""
        at = fields.get("created_at") or self.clock.now()
        made = {"created_at": at, "updated_at": at, "created_by": self.user}
        made = {name: value for name, value in made.items() if name in kind.__struct_fields__}
        empty = [name for name in ("id", "created_at", "updated_at") if fields.get(name) is None]
        given = {name: value for name, value in fields.items() if name not in empty}
        if "id" in empty:
            made["id"] = self.ids.row(at)
        return kind(**{**made, **more, **given})

    def add_group_type(
        self, group_type: str, group_type_index: int | None = None, **fields: Any
    ) -> GroupType:
        """Add a group type, at the next free index unless one is given."""
        with self.lock:
            types = self.group_types
            index = group_type_index
            if index is None:
                index = next(number for number in range(100) if number not in types)
            fields.setdefault("created_at", self.clock.now())
            types[index] = GroupType(group_type=group_type, group_type_index=index, **fields)
            return types[index]

    def add_group(
        self,
        group_type_index: int,
        group_key: str,
        properties: Mapping[str, Any] | None = None,
        *,
        created_at: datetime | None = None,
        visible_at: datetime | None = None,
    ) -> Group:
        """Add a group; lists show it from `visible_at` (at once by default)."""
        with self.lock:
            at = created_at or self.clock.now()
            held = dict(properties or {})
            group = Group(
                id=len(self.groups) + 1,
                group_type_index=group_type_index,
                group_key=group_key,
                created_at=at,
                group_properties=held,
                listed=[(visible_at or at, dict(held))],
            )
            self.groups[f"{group_type_index}/{group_key}"] = group
            return group

    def add_events(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Capture events: mappings with event, timestamp (aware datetime or ISO text), distinct_id.

        Also uuid, person_id, properties, person_properties (set on the person) and
        person_created_at (the time of the person's first event by default; None for a person
        without a row). Returns how many there are now.
        """
        with self.lock:
            self.events += [self._event(row) for row in rows]
            self.events.sort(key=event_order)
            return len(self.events)

    def add_dashboard(self, name: str = "Dashboard", *, unlisted: bool = False) -> Dashboard:
        """Add a dashboard that insights can be on."""
        with self.lock:
            number = len(self.dashboards) + 1
            row = Dashboard(id=number, name=name, unlisted=unlisted)
            self.dashboards[number] = row
            return row

    def add_insight(
        self,
        name: str | None = "Insight",
        query: dict[str, Any] | None = None,
        *,
        short_id: str | None = None,
        created_at: datetime | None = None,
        last_modified_at: datetime | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Save an insight: its id and short_id.

        Args:
            query: a wrapped query (InsightVizNode, DataVisualizationNode, DataTableNode); trends
                of pageviews by default.
            fields: any other field of `Insight`, such as tags, dashboards, saved, favorited.
        """
        with self.lock:
            series = [{"kind": "EventsNode", "event": "$pageview", "name": "$pageview"}]
            source = {"kind": "TrendsQuery", "series": series, "interval": "day"}
            at = created_at or self.clock.now()
            row = Insight(
                id=max(self.insights, default=0) + 1,
                short_id=short_id or self.short_id(),
                name=name,
                query=query if query is not None else {"kind": "InsightVizNode", "source": source},
                created_at=at,
                last_modified_at=last_modified_at or at,
                **{
                    "updated_at": last_modified_at or at,
                    "created_by": self.user,
                    "last_modified_by": self.user,
                    **fields,
                },
            )
            self.insights[row.id] = row
            return {"id": row.id, "short_id": row.short_id, "name": row.name}

    def short_id(self) -> str:
        """A new eight-letter id, as insights and notebooks have."""
        chance: random.Random = self.ids.random
        return "".join(chance.choice(_LETTERS) for _ in range(8))

    def _event(self, row: Mapping[str, Any]) -> Event:
        at = row["timestamp"]
        moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
        if moment.tzinfo is None:
            raise ValueError(f"the timestamp {at} has no offset: write it with Z or +00:00")
        distinct_id = str(row["distinct_id"])
        person = self._person(distinct_id, row.get("person_id"), moment)
        if "person_created_at" in row:
            person.created_at = row["person_created_at"]
        person.properties.update(row.get("person_properties") or {})
        return Event(
            uuid=row.get("uuid") or self.ids.event(),
            event=str(row["event"]),
            timestamp=moment,
            distinct_id=distinct_id,
            person_id=person.id,
            properties=dict(row.get("properties") or {}),
        )

    def _person(self, distinct_id: str, person_id: str | None, at: datetime) -> PersonRow:
        known = person_id or self.person_ids.get(distinct_id)
        properties: dict[str, Any] = {}
        if known is None:
            match = next((one for one in self.people if one.distinct_id == distinct_id), None)
            if match is not None:
                known, properties = match.id, dict(match.properties)
            else:
                known = str(uuid.UUID(int=self.ids.random.getrandbits(128), version=5))
        self.person_ids[distinct_id] = known
        person = self.persons.setdefault(
            known, PersonRow(id=known, properties=properties, created_at=at)
        )
        if distinct_id not in person.distinct_ids:
            person.distinct_ids.append(distinct_id)
        return person
