"""What is known of PostHog's objects when definitions are built: plain records, kept as JSON.

Facts: rows of `GET /hog_flows/` carry the whole graph, rows of `GET /hog_functions/` leave inputs
out. A record holds no input, no header and no code of either: names, kinds, hosts and fingerprints.
On older servers a workflow's `version` never moves, so what changed is told by fingerprints.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hog_dagster.lineage._insight_selection import InsightInfo, find_selection, project_page
from hog_dagster.policies import HogFunctionSelection, InsightSelection, WorkflowSelection
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import HogFunction, Insight, User, Workflow

#: Moves when a field of a record is added or changes its meaning.
FORMAT = 1
_VOLATILE = frozenset(
    {"bytecode", "bytecode_error", "transpiled", "created_at", "updated_at", "order"}
)
#: Parts of a workflow whose change makes another program of it, and not just another label.
_PROGRAM = ("trigger", "actions", "edges", "variables", "conversion", "exit_condition")
_FUNCTION_PROGRAM = ("hog", "filters", "inputs_schema", "mappings", "masking", "template_id")


class SnapshotUnreadable(ValueError):
    """The file of a snapshot is there and cannot be read as one."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"The snapshot of PostHog's objects in {path} cannot be read: {why}.")


class Trigger(msgspec.Struct, frozen=True):
    """What starts runs: kind event, webhook, batch, schedule, manual, ...; of an event its name."""

    kind: str
    name: str = ""


class Destination(msgspec.Struct, frozen=True):
    """Where a step sends: kind email, webhook or a template; of a webhook the host."""

    kind: str
    name: str = ""


class WorkflowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow, in short."""

    id: str
    name: str = ""
    description: str = ""
    status: str = ""
    version: int | None = None
    triggers: tuple[Trigger, ...] = ()
    destinations: tuple[Destination, ...] = ()
    steps: int = 0
    owner: str = ""
    pages: str = "workflows"
    created_at: datetime | None = None
    updated_at: datetime | None = None
    parts: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """A fingerprint of what it does: it moves when the graph, trigger or variables change."""
        return _joined(self.parts.get(name, "") for name in _PROGRAM)

    @classmethod
    def of(cls, workflow: Workflow) -> "WorkflowRecord":
        parts = {name: fingerprint(getattr(workflow, name)) for name in _PROGRAM[3:]}
        parts["trigger"] = fingerprint(workflow.trigger)
        parts["actions"] = fingerprint([action.model_dump() for action in workflow.actions])
        parts["edges"] = fingerprint([edge.model_dump() for edge in workflow.edges])
        for name in ("name", "description", "status"):
            parts[name] = fingerprint(getattr(workflow, name))
        return cls(
            id=workflow.id,
            name=workflow.name or "",
            description=workflow.description or "",
            status=workflow.status or "",
            version=workflow.version,
            triggers=tuple(triggers_of(workflow.trigger)),
            destinations=tuple(dict.fromkeys(_destinations(workflow))),
            steps=len(workflow.actions),
            owner=email_of(workflow.created_by),
            pages=workflow.pages,
            created_at=workflow.created_at,
            updated_at=workflow.updated_at,
            parts=parts,
        )


class HogFunctionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A hog function, in short."""

    id: str
    name: str = ""
    description: str = ""
    type: str = ""
    enabled: bool = False
    version: int | None = None
    template_id: str = ""
    triggers: tuple[Trigger, ...] = ()
    owner: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    parts: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """A fingerprint of what it does. Rows of PostHog's list leave inputs out, so a change of
        an input alone moves `updated_at` only, which therefore counts."""
        known = [self.parts.get(name, "") for name in _FUNCTION_PROGRAM]
        return _joined([*known, str(self.updated_at), str(self.version)])

    @classmethod
    def of(cls, function: HogFunction) -> "HogFunctionRecord":
        names = (*_FUNCTION_PROGRAM, "name", "description", "enabled")
        return cls(
            id=function.id,
            name=function.name or "",
            description=function.description or "",
            type=function.type or "destination",
            enabled=bool(function.enabled),
            version=function.version,
            template_id=function.template_id or "",
            triggers=tuple(_events(function.filters)),
            owner=email_of(function.created_by),
            created_at=function.created_at,
            updated_at=function.updated_at,
            parts={name: fingerprint(getattr(function, name)) for name in names},
        )


class InsightRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A saved insight, in short."""

    info: InsightInfo
    query_digest: str = ""
    modified_by: str = ""
    updated_at: datetime | None = None
    parts: dict[str, str] = {}

    @property
    def id(self) -> str:
        """Its short id, which people know it by."""
        return self.info.short_id

    @property
    def name(self) -> str:
        return self.info.title

    @property
    def digest(self) -> str:
        return self.query_digest

    @classmethod
    def of(cls, insight: Insight, project_url: str) -> "InsightRecord":
        info = InsightInfo.of(insight, project_url)
        query = fingerprint(insight.query or insight.filters)
        return cls(
            info=info,
            query_digest=query,
            modified_by=email_of(insight.last_modified_by),
            updated_at=insight.last_modified_at,
            parts={
                "query": query,
                "name": fingerprint(insight.name),
                "description": fingerprint(insight.description),
                "tags": fingerprint(sorted(insight.tags)),
            },
        )


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A project's workflows, hog functions and insights as they were at a moment."""

    host: str
    project_id: int
    taken_at: datetime
    workflows: tuple[WorkflowRecord, ...] = ()
    hog_functions: tuple[HogFunctionRecord, ...] = ()
    insights: tuple[InsightRecord, ...] = ()
    notes: tuple[str, ...] = ()
    group_types: tuple[str, ...] | None = None
    chosen: str = ""
    format: int = FORMAT

    @property
    def project_url(self) -> str:
        """The project's page in PostHog's UI."""
        return f"{self.host.rstrip('/')}/project/{self.project_id}"

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Snapshot | None":
        """What `write` wrote; None when there is no such file.

        Raises:
            SnapshotUnreadable: the file is no snapshot, or another version wrote it.
        """
        try:
            snapshot = msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotUnreadable(path, error.strerror or type(error).__name__) from None
        except UnicodeDecodeError:
            raise SnapshotUnreadable(path, "it is not UTF-8") from None
        except msgspec.DecodeError as error:
            raise SnapshotUnreadable(path, f"{error}".rstrip(".")) from None
        if snapshot.format != FORMAT:
            raise SnapshotUnreadable(path, "another version of hog_dagster wrote it")
        return snapshot


def read_snapshot(
    client: PostHogClient,
    *,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    insights: Iterable[InsightSelection] | None = None,
) -> Snapshot:
    """The project as it is now: GET .../hog_flows/, .../hog_functions/ and .../insights/.

    One request per 500 workflows, per 50 hog functions and per 500 insights. What the key may not
    read is left out, and the snapshot's notes say so.

    Args:
        client: of the project.
        workflows: which workflows; all by default.
        hog_functions: which hog functions; all by default.
        insights: which saved insights; None reads none.

    Raises:
        PostHogError: workflows cannot be read.
    """
    notes: list[str] = []
    # What changes while this reads counts as later; and by PostHog's clock, which dates changes.
    began = client.server.clock.local_monotonic()
    chosen = workflows or WorkflowSelection()
    page = project_page(client)
    found = tuple(WorkflowRecord.of(w) for w in client.workflows.list() if w in chosen)
    functions: tuple[HogFunctionRecord, ...] = ()
    wanted = hog_functions or HogFunctionSelection()
    try:
        listed = client.hog_functions.list(type=wanted.types or None)
        functions = tuple(HogFunctionRecord.of(f) for f in listed if f in wanted)
    except (errors.PermissionDenied, errors.EndpointMissing) as error:
        notes.append(f"Hog functions were not read: {error}")
    saved: tuple[InsightRecord, ...] = ()
    if insights is not None:
        selections = tuple(insights)
        try:
            saved = tuple(
                InsightRecord.of(insight, page)
                for insight in client.insights.list(saved=True)
                if find_selection(insight, selections)
            )
        except (errors.PermissionDenied, errors.EndpointMissing) as error:
            notes.append(f"Insights were not read: {error}")
    return Snapshot(
        host=client.host,
        project_id=client.project_id,
        taken_at=client.server.clock.middle(began),
        workflows=found,
        hog_functions=functions,
        insights=saved,
        notes=tuple(notes),
    )


def fingerprint(value: Any) -> str:
    """Twelve hex digits that are equal for equal values; compiled code and times left out."""
    text = json.dumps(_lasting(value), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _joined(parts: Iterable[str]) -> str:
    """Twelve hex digits for fingerprints taken together."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _lasting(item) for name, item in value.items() if name not in _VOLATILE}
    if isinstance(value, (list, tuple)):
        return [_lasting(item) for item in value]
    return value


def email_of(user: Any) -> str:
    """A user's e-mail address, "" where PostHog does not give it."""
    return (user.email or "") if isinstance(user, User) else ""


def triggers_of(trigger: Mapping[str, Any]) -> Iterable[Trigger]:
    """What a workflow's trigger is set to."""
    kind = str(trigger.get("type") or "")
    if kind == "event":
        named = list(_events(trigger.get("filters")))
        return named or [Trigger("event")]
    return [Trigger(kind)] if kind else []


def _events(filters: Any) -> Iterable[Trigger]:
    if not isinstance(filters, Mapping):
        return
    for kind, field in (("event", "events"), ("action", "actions")):
        for item in filters.get(field) or ():
            if isinstance(item, Mapping):
                yield Trigger(kind, str(item.get("name") or item.get("id") or "any event"))


def _destinations(workflow: Workflow) -> Iterable[Destination]:
    for action in workflow.actions:
        kind = action.type or ""
        if not kind.startswith("function"):
            continue
        template = str(action.config.get("template_id") or kind).removeprefix("template-")
        if "email" in kind or template == "email":
            yield Destination("email")
        elif template == "webhook":
            yield Destination("webhook", _host(action.config.get("inputs")))
        else:
            yield Destination(template.removeprefix("function_") or "function")


def _host(inputs: Any) -> str:
    """The host of a webhook's URL; "" where it is put together at run time or hidden."""
    url = inputs.get("url") if isinstance(inputs, Mapping) else None
    value = url.get("value") if isinstance(url, Mapping) else url
    host = urlsplit(value).hostname if isinstance(value, str) and "://" in value else None
    return "" if host is None or "{" in host else host
