"""Changes of definitions: who changed a workflow, a hog function or an insight, when, and what.

Facts: `updated_at` moves with every save, a draft's edits included, so the fingerprints
of the parts are compared with those of the change reported last or of the loaded definitions. Newer
servers keep revisions, which name who published; of insights the list names who changed them last;
older servers do not say who changed a workflow. Deletions leave no trace but absence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from hog_dagster.lineage import (
    HogFunctionRecord,
    HogFunctionSelection,
    InsightRecord,
    InsightSelection,
    Snapshot,
    WorkflowRecord,
    WorkflowSelection,
    email_of,
    find_selection,
)
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import Workflow
from hog_dagster.sensors._observer_state import PARTS, Event, Observed, Places, Seen, known_parts

Record = WorkflowRecord | HogFunctionRecord | InsightRecord


@dataclass(frozen=True)
class Watched:
    """Which objects are watched; None watches none of the kind."""

    workflows: WorkflowSelection | None
    hog_functions: HogFunctionSelection | None
    insights: Sequence[InsightSelection] | None


_PAGES = {
    "workflow": "{pages}/{id}/workflow",
    "hog_function": "functions/{id}",
    "insight": "insights/{id}",
}


def changes(
    client: PostHogClient,
    cursor: Observed,
    *,
    listed: Sequence[Workflow],
    watched: Watched,
    places: Places,
    known: Snapshot | None,
    instance: dg.DagsterInstance,
    notes: list[str],
) -> Iterator[Event]:
    """What changed since the last tick; at the first one, since the definitions were loaded, or
    nothing where those know no objects. The cursor is moved on, and the notes get a sentence for
    what cannot be read.
    """
    page = f"{client.host}/project/{client.project_id}"
    since = Seen(after=known.taken_at - timedelta(minutes=2)) if known else None

    def look(type: str, before: Iterable[Record]) -> _Look:
        earlier = {record.id: record for record in before}
        return _Look(type, page, cursor, places, earlier, instance, client, since)

    if watched.workflows is not None:
        records = [WorkflowRecord.of(w) for w in listed if w in watched.workflows]
        yield from look("workflow", known.workflows if known else ()).at(
            records, {workflow.id for workflow in listed}
        )
    try:
        if watched.hog_functions is not None:
            rows = list(client.hog_functions.list())
            records = [HogFunctionRecord.of(f) for f in rows if f in watched.hog_functions]
            yield from look("hog_function", known.hog_functions if known else ()).at(
                records, {row.id for row in rows}
            )
        if watched.insights is not None:
            rows = list(client.insights.list(saved=True))
            records = [
                InsightRecord.of(i, page) for i in rows if find_selection(i, watched.insights)
            ]
            yield from look("insight", known.insights if known else ()).at(
                records, {row.short_id or str(row.id) for row in rows}
            )
    except (errors.PermissionDenied, errors.EndpointMissing) as error:
        notes.append(str(error))


@dataclass(frozen=True)
class _Look:
    """A look at all objects of one kind."""

    type: str
    page: str
    cursor: Observed
    places: Places
    before: Mapping[str, Record]
    instance: dg.DagsterInstance
    client: PostHogClient
    since: Seen | None

    def at(self, records: Sequence[Record], there: set[str]) -> Iterator[Event]:
        """The events, and the cursor moved on."""
        seen = self.cursor.changes.get(self.type) or self.since
        dated = [(record.updated_at, record) for record in records if record.updated_at]
        if seen is not None:
            for moment, record in sorted(dated, key=lambda item: (item[0], item[1].id)):
                if moment > seen.after or (moment == seen.after and record.id not in seen.at):
                    yield from self.changed(record, moment)
            yield from self.deleted(there)
        newest = max((moment for moment, _ in dated), default=None)
        if newest is None:
            newest = seen.after if seen else datetime(1970, 1, 1, tzinfo=UTC)
        at = [record.id for moment, record in dated if moment == newest]
        self.cursor.changes[self.type] = Seen(after=newest, at=at)

    def changed(self, record: Record, moment: datetime) -> Iterator[Event]:
        """The event of an object whose time moved, unless nothing that is live changed."""
        key = self.places.key(self.type, record.id)
        own = (self.type, record.id) in self.places.keys
        parts = known_parts(self.instance, key)[0] if own else {}
        old = self.before.get(record.id)
        if not parts and old is not None:
            parts = old.parts
        created = getattr(record, "created_at", None)
        made = not parts and created is not None and (moment - created).total_seconds() < 5
        names = sorted(n for n in record.parts if record.parts[n] != parts.get(n)) if parts else []
        if parts and not names:
            return
        who = self.who(record)
        what = "it is new" if made else ", ".join(names) if names else "not known"
        text = f"{self.type.replace('_', ' ').capitalize()} {record.name or record.id}: "
        text += "made" if made else f"changed ({what})"
        text += f" by {who}" if who else ""
        metadata = {
            "hog_dagster/changed": what,
            "hog_dagster/changed_at": dg.MetadataValue.timestamp(moment),
            "hog_dagster/changed_by": who or "PostHog does not say",
            "hog_dagster/code_version": record.digest,
            "hog_dagster/url": dg.MetadataValue.url(self.url(record.id)),
            "hog_dagster/object_id": record.id,
            "hog_dagster/object_name": record.name or "",
        }
        if own:
            metadata[PARTS] = dg.MetadataValue.json(dict(record.parts))
        for name in ("version", "status"):
            if getattr(record, name, None) is not None:
                metadata[f"hog_dagster/{name}"] = getattr(record, name)
        event_id = f"{self.type}:{record.id}:{moment.isoformat()}"
        yield Event(event_id, key, "definition", text, metadata, record.digest if own else "")

    def deleted(self, there: set[str]) -> Iterator[Event]:
        """Objects with an asset of their own that PostHog lists no more."""
        for id in self.places.ids(self.type):
            if id in there:
                continue
            name = self.before[id].name if id in self.before else id
            yield Event(
                f"{self.type}:{id}:deleted",
                self.places.key(self.type, id),
                "definition",
                f"{self.type.replace('_', ' ').capitalize()} {name}: deleted. The asset goes "
                "when the definitions are refreshed.",
                {"hog_dagster/changed": "deleted", "hog_dagster/object_id": id},
            )

    def who(self, record: Record) -> str:
        """Who changed it last, where PostHog says so."""
        if isinstance(record, InsightRecord):
            return record.modified_by
        if not self.client.server.has("revisions"):
            return ""
        service = (
            self.client.workflows
            if isinstance(record, WorkflowRecord)
            else self.client.hog_functions
        )
        try:
            newest = next(iter(service.revisions(record.id)), None)
        except errors.PostHogError:
            return ""
        if newest is None or newest.version != record.version:
            return ""
        return email_of(newest.created_by)

    def url(self, id: str) -> str:
        """Its page."""
        return f"{self.page}/{_PAGES[self.type].format(id=id, pages=self.client.workflows.pages)}"
