"""Builders that put hog functions, groups, events and insights into the sandbox's world."""

import random
import string
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hog_dagster.sandbox.world._analytics_model import (
    Dashboard,
    Event,
    Group,
    GroupType,
    Insight,
    PersonRow,
)
from hog_dagster.sandbox.world._function_templates import find_template
from hog_dagster.sandbox.world._hog import compile_filters, compile_hog, compile_inputs
from hog_dagster.sandbox.world._model import HogFunction
from hog_dagster.sandbox.world._stores import Stores

__all__ = ["AnalyticsBuilders", "event_order"]

_LETTERS = string.ascii_letters + string.digits


def event_order(event: Event) -> tuple[Any, ...]:
    """The order in which events of equal time come out of the table: by name."""
    return (event.timestamp, event.event, event.uuid)


class AnalyticsBuilders(Stores):
    """Builders of hog functions, groups, events and insights."""

    # -- hog functions -----------------------------------------------------------------------------

    def add_hog_function(
        self,
        name: str = "Function",
        type: str | None = "destination",
        *,
        hog: str = "fetch(inputs.url);",
        inputs_schema: list[dict[str, Any]] | None = None,
        inputs: Mapping[str, Any] | None = None,
        filters: dict[str, Any] | None = None,
        enabled: bool = True,
        id: str | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        template_id: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Put a hog function into the project.

        Args:
            inputs: key -> ``{"value": ...}``; values of secret inputs are kept out of answers.
            template_id: a template of the project; its inputs schema is used when none is given.
            fields: any other field of `HogFunction`, such as `state` for a disabled one.

        Returns:
            id, name, type and enabled.
        """
        with self.lock:
            now = created_at or self.clock.now()
            template = find_template(template_id) if template_id else None
            schema = inputs_schema if inputs_schema is not None else []
            if template is not None:
                schema = inputs_schema or [dict(item) for item in template["inputs_schema"]]
                fields.setdefault("icon_url", template["icon_url"])
            secret = {item["key"] for item in schema if item.get("secret")}
            given = {key: dict(value) for key, value in (inputs or {}).items()}
            public = {key: value for key, value in given.items() if key not in secret}
            order = fields.pop("execution_order", None)
            if order is None and type in ("transformation", "transformation_log"):
                order = 1 + max(
                    (
                        row.execution_order or 0
                        for row in self.hog_functions.values()
                        if row.type == type and not row.deleted
                    ),
                    default=0,
                )
            row = HogFunction(
                id=id or self.ids.row(now),
                name=name,
                type=type,
                created_at=now,
                updated_at=updated_at or now,
                created_by=fields.pop("created_by", self.user),
                hog=hog,
                bytecode=compile_hog(hog),
                inputs_schema=schema,
                inputs=compile_inputs(public, schema),
                secrets={key: value for key, value in given.items() if key in secret},
                filters=compile_filters(dict(filters or {})),
                enabled=enabled,
                template_id=template_id,
                execution_order=order,
                **fields,
            )
            self.hog_functions[row.id] = row
            return {"id": row.id, "name": row.name, "type": row.type, "enabled": row.enabled}

    # -- groups ------------------------------------------------------------------------------------

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

    # -- events and insights -----------------------------------------------------------------------

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
            at = created_at or self.clock.now()
            series = [{"kind": "EventsNode", "event": "$pageview", "name": "$pageview"}]
            source = {"kind": "TrendsQuery", "series": series, "interval": "day"}
            row = Insight(
                id=max(self.insights, default=0) + 1,
                short_id=short_id or self.short_id(),
                name=name,
                query=query if query is not None else {"kind": "InsightVizNode", "source": source},
                created_at=at,
                updated_at=fields.pop("updated_at", last_modified_at or at),
                last_modified_at=last_modified_at or at,
                created_by=fields.pop("created_by", self.user),
                last_modified_by=fields.pop("last_modified_by", self.user),
                **fields,
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
