"""PostHog's objects as external assets: trigger -> workflow -> where it sends -> tables.

Facts: Dagster shows an asset that nothing here materializes as external; owners must be e-mail
addresses or teams, tag values at most 63 plain characters, kinds at most ten. The last part of a
key is what the graph shows, so it starts with the object's name; its id's end keeps it unique.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal

import dagster as dg

from hog_dagster.assets.insight_selection import build_insight_specs, insight_key
from hog_dagster.assets.options import AssetOptions
from hog_dagster.assets.remote import (
    Destination,
    HogFunctionRecord,
    InsightRecord,
    Snapshot,
    Trigger,
    WorkflowRecord,
)

__all__ = [
    "DestinationProps",
    "HogFunctionProps",
    "InsightProps",
    "Lineage",
    "PostHogMetadata",
    "PostHogProps",
    "PostHogTranslator",
    "TableProps",
    "TriggerProps",
    "WorkflowProps",
    "build_lineage",
    "load_posthog_asset_specs",
]

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_SHOWN = 200


@dataclass(frozen=True)
class Place:
    """Where an object is: its project's page, how our assets look, what is upstream of it."""

    project_url: str
    project_id: int
    options: AssetOptions
    upstream: Sequence[dg.AssetKey] = ()


@dataclass(frozen=True)
class TriggerProps:
    """What starts runs."""

    trigger: Trigger
    place: Place
    type: ClassVar[str] = "trigger"

    @property
    def id(self) -> str:
        """Kind and name; triggers have no id of their own in PostHog."""
        return f"{self.trigger.kind}:{self.trigger.name}".rstrip(":")

    @property
    def name(self) -> str:
        """The event's name, or the kind."""
        return self.trigger.name or self.trigger.kind


@dataclass(frozen=True)
class WorkflowProps:
    """A workflow."""

    workflow: WorkflowRecord
    place: Place
    suffix: str = ""
    type: ClassVar[str] = "workflow"

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.workflow.id

    @property
    def name(self) -> str:
        """Its name, "" while it has none."""
        return self.workflow.name


@dataclass(frozen=True)
class HogFunctionProps:
    """A hog function."""

    function: HogFunctionRecord
    place: Place
    suffix: str = ""
    type: ClassVar[str] = "hog_function"

    @property
    def id(self) -> str:
        """The function's id."""
        return self.function.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.function.name


@dataclass(frozen=True)
class DestinationProps:
    """Where workflows and functions send."""

    destination: Destination
    place: Place
    type: ClassVar[str] = "destination"

    @property
    def id(self) -> str:
        """Kind and name; destinations have no id of their own in PostHog."""
        return f"{self.destination.kind}:{self.destination.name}".rstrip(":")

    @property
    def name(self) -> str:
        """The host of a webhook, else the kind."""
        return self.destination.name or self.destination.kind


@dataclass(frozen=True)
class InsightProps:
    """A saved insight."""

    insight: InsightRecord
    place: Place
    type: ClassVar[str] = "insight"

    @property
    def id(self) -> str:
        """Its short id."""
        return self.insight.id

    @property
    def name(self) -> str:
        """Its title."""
        return self.insight.name


@dataclass(frozen=True)
class TableProps:
    """A table that one of our steps lands; `spec` is how it looks so far."""

    name: str
    spec: dg.AssetSpec
    type: ClassVar[str] = "table"

    @property
    def id(self) -> str:
        """The table's name."""
        return self.name


#: Everything an asset of ours can stand for. All have `type`, `id` and `name`.
PostHogProps = (
    TriggerProps | WorkflowProps | HogFunctionProps | DestinationProps | InsightProps | TableProps
)


@dataclass(frozen=True)
class PostHogMetadata:
    """The metadata of an external asset, under keys that begin with `hog_dagster/`.

    Splat it into a spec's metadata; read it back with `extract`.

    Example:
        >>> spec.merge_attributes(metadata={**PostHogMetadata(type="workflow", id="0196...")})
        >>> PostHogMetadata.extract(spec.metadata).id
    """

    type: str | None = None
    id: str | None = None
    project_id: int | None = None
    status: str | None = None
    version: int | None = None
    steps: int | None = None
    trigger: str | None = None
    sends: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    url: str | None = None
    logs_url: str | None = None
    metrics_url: str | None = None

    NAMESPACE: ClassVar[str] = "hog_dagster"

    def keys(self) -> list[str]:
        """The keys that have a value."""
        return [
            f"{self.NAMESPACE}/{one.name}"
            for one in fields(self)
            if getattr(self, one.name) not in (None, "")
        ]

    def __getitem__(self, key: str) -> Any:
        value = getattr(self, key.removeprefix(f"{self.NAMESPACE}/"))
        if isinstance(value, datetime):
            return dg.MetadataValue.timestamp(value)
        return dg.MetadataValue.url(value) if key.endswith("url") else value

    @classmethod
    def extract(cls, metadata: Mapping[str, Any]) -> "PostHogMetadata":
        """What is there of it in an asset's metadata."""
        found: dict[str, Any] = {}
        for name in (one.name for one in fields(cls)):
            value = metadata.get(f"{cls.NAMESPACE}/{name}")
            value = getattr(value, "value", value)
            if name.endswith("_at") and isinstance(value, float | int):
                value = datetime.fromtimestamp(value).astimezone()
            found[name] = value
        return cls(**found)


class PostHogTranslator:
    """How PostHog's objects and our tables look as assets. Subclass it and override the one method.

    Example:
        .. code-block:: python

            class Ours(PostHogTranslator):
                def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
                    spec = super().get_asset_spec(props)
                    if props.type == "workflow":
                        return spec.replace_attributes(owners=["team:growth"])
                    return spec
    """

    def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
        """The spec of the asset that stands for an object or a table."""
        match props:
            case TriggerProps():
                return _trigger_spec(props)
            case WorkflowProps():
                return _workflow_spec(props)
            case HogFunctionProps():
                return _function_spec(props)
            case DestinationProps():
                return _destination_spec(props)
            case InsightProps():
                return _insight_spec(props)
            case TableProps():
                return props.spec


@dataclass(frozen=True)
class Lineage:
    """The external assets of a snapshot.

    Attributes:
        specs: all of them.
        keys: (type, id) -> asset key, as translated.
        destinations: keys of where workflows send, and where hog functions do.
        renamed: default key -> key, where a translator changed it.
    """

    specs: list[dg.AssetSpec] = field(default_factory=list)
    keys: dict[tuple[str, str], dg.AssetKey] = field(default_factory=dict)
    destinations: dict[Literal["workflow", "hog_function"], list[dg.AssetKey]] = field(
        default_factory=lambda: {"workflow": [], "hog_function": []}
    )
    renamed: dict[dg.AssetKey, dg.AssetKey] = field(default_factory=dict)


def load_posthog_asset_specs(
    snapshot: Snapshot,
    *,
    options: AssetOptions | None = None,
    translator: PostHogTranslator | None = None,
) -> list[dg.AssetSpec]:
    """The external assets of a project's workflows, hog functions and insights, triggers and
    destinations included.

    Args:
        snapshot: from `read_snapshot`, or from a file it was written to.
        options: how the assets look.
        translator: changes that.

    Returns:
        One spec per asset.

    Example:
        .. code-block:: python

            snapshot = Snapshot.read(Path("posthog.json"))
            defs = dg.Definitions(assets=load_posthog_asset_specs(snapshot))
    """
    return build_lineage(snapshot, options=options, translator=translator).specs


def build_lineage(
    snapshot: Snapshot,
    *,
    options: AssetOptions | None = None,
    translator: PostHogTranslator | None = None,
    senders: Mapping[str, Sequence[dg.AssetKey]] | None = None,
) -> Lineage:
    """The external assets of a snapshot, with what is needed to join tables to them.

    Args:
        snapshot: the project as it was.
        options: how the assets look.
        translator: changes that.
        senders: workflow id -> assets that send its batch jobs, which are upstream of it.
    """
    options, translator = options or AssetOptions(), translator or PostHogTranslator()
    lineage, senders = Lineage(), senders or {}

    def place(upstream: Iterable[dg.AssetKey] = ()) -> Place:
        return Place(snapshot.project_url, snapshot.project_id, options, tuple(upstream))

    def add(props: PostHogProps) -> dg.AssetKey:
        spec = translator.get_asset_spec(props)
        lineage.specs.append(spec)
        lineage.keys[props.type, props.id] = spec.key
        return spec.key

    starters = [*snapshot.workflows, *snapshot.hog_functions]
    triggers = {
        trigger: add(TriggerProps(trigger, place()))
        for trigger in dict.fromkeys(t for record in starters for t in record.triggers)
    }
    senders_of: dict[Destination, list[dg.AssetKey]] = {}
    suffixes = _suffixes((w.name, w.id) for w in snapshot.workflows)
    for workflow in snapshot.workflows:
        upstream = [triggers[t] for t in workflow.triggers] + [*senders.get(workflow.id, ())]
        key = add(WorkflowProps(workflow, place(upstream), suffixes[workflow.id]))
        for destination in workflow.destinations:
            senders_of.setdefault(destination, []).append(key)
    of_workflows = set(senders_of)
    suffixes = _suffixes((f.name, f.id) for f in snapshot.hog_functions)
    of_functions: set[Destination] = set()
    for function in snapshot.hog_functions:
        upstream = [triggers[t] for t in function.triggers]
        key = add(HogFunctionProps(function, place(upstream), suffixes[function.id]))
        if function.type == "destination":
            destination = Destination(function.template_id.removeprefix("template-") or "code")
            senders_of.setdefault(destination, []).append(key)
            of_functions.add(destination)
    for destination, upstream in senders_of.items():
        key = add(DestinationProps(destination, place(upstream)))
        if destination in of_workflows:
            lineage.destinations["workflow"].append(key)
        if destination in of_functions:
            lineage.destinations["hog_function"].append(key)
    for insight in snapshot.insights:
        key = add(InsightProps(insight, place()))
        if key != (usual := insight_key(insight.id, options)):
            lineage.renamed[usual] = key
    return lineage


def _trigger_spec(props: TriggerProps) -> dg.AssetSpec:
    kind, name, place = props.trigger.kind, props.trigger.name, props.place
    what = f"The {kind} {name}" if name else f"Runs that start by {kind}"
    return dg.AssetSpec(
        key=_key(place, "trigger", f"{kind} {name}" if name else kind),
        description=f"{what}, in PostHog.",
        group_name=place.options.group_for("triggers"),
        kinds={"posthog", _kind(kind)},
        owners=list(place.options.owners),
        tags=dict(place.options.tags),
        metadata={**PostHogMetadata(type="trigger", id=props.id, project_id=place.project_id)},
    )


def _workflow_spec(props: WorkflowProps) -> dg.AssetSpec:
    workflow, place = props.workflow, props.place
    page = f"{place.project_url}/workflows/{workflow.id}"
    status = workflow.status or "unknown"
    return dg.AssetSpec(
        key=_key(place, "workflow", workflow.name or "unnamed", props.suffix),
        description=_described(workflow.name or "(no name yet)", workflow.description),
        group_name=place.options.group_for(f"workflows_{_plain(status)}"),
        deps=list(place.upstream),
        kinds={"posthog", "workflow", *sorted({_kind(d.kind) for d in workflow.destinations})[:6]},
        owners=_owners(workflow.owner, place.options),
        tags={**place.options.tags, "posthog/status": _tag(status)},
        code_version=workflow.digest,
        metadata={
            **PostHogMetadata(
                type="workflow",
                id=workflow.id,
                project_id=place.project_id,
                status=status,
                version=workflow.version,
                steps=workflow.steps,
                trigger=", ".join(t.name or t.kind for t in workflow.triggers),
                sends=", ".join(d.name or d.kind for d in workflow.destinations),
                created_at=workflow.created_at,
                updated_at=workflow.updated_at,
                url=f"{page}/workflow",
                logs_url=f"{page}/logs",
                metrics_url=f"{page}/metrics",
            )
        },
    )


def _function_spec(props: HogFunctionProps) -> dg.AssetSpec:
    function, place = props.function, props.place
    page = f"{place.project_url}/functions/{function.id}"
    status = "enabled" if function.enabled else "disabled"
    template = function.template_id.removeprefix("template-")
    return dg.AssetSpec(
        key=_key(place, "hog_function", function.name or "unnamed", props.suffix),
        description=_described(function.name or "(no name)", function.description),
        group_name=place.options.group_for("hog_functions"),
        deps=list(place.upstream),
        kinds={"posthog", _kind(function.type), *([_kind(template)] if template else [])},
        owners=_owners(function.owner, place.options),
        tags={
            **place.options.tags,
            "posthog/status": status,
            "posthog/function_type": _tag(function.type),
        },
        code_version=function.digest,
        metadata={
            **PostHogMetadata(
                type="hog_function",
                id=function.id,
                project_id=place.project_id,
                status=status,
                version=function.version,
                trigger=", ".join(t.name or t.kind for t in function.triggers),
                sends=template if function.type == "destination" else None,
                created_at=function.created_at,
                updated_at=function.updated_at,
                url=page,
                logs_url=f"{page}?tab=logs",
                metrics_url=f"{page}?tab=metrics",
            )
        },
    )


def _destination_spec(props: DestinationProps) -> dg.AssetSpec:
    kind, name, place = props.destination.kind, props.destination.name, props.place
    senders = len(place.upstream)
    what = f"{kind} {name}" if name else kind
    return dg.AssetSpec(
        key=_key(place, "destination", what),
        description=f"{what}: where {senders} of the project's workflows and functions send.",
        group_name=place.options.group_for("destinations"),
        deps=list(place.upstream),
        kinds={"posthog", _kind(kind)},
        owners=list(place.options.owners),
        tags=dict(place.options.tags),
        metadata={**PostHogMetadata(type="destination", id=props.id, project_id=place.project_id)},
    )


def _insight_spec(props: InsightProps) -> dg.AssetSpec:
    insight, place = props.insight, props.place
    (spec,) = build_insight_specs([insight.info], options=place.options)
    own = PostHogMetadata(
        type="insight",
        id=insight.id,
        project_id=place.project_id,
        updated_at=insight.updated_at,
        url=insight.info.url,
    )
    return spec.replace_attributes(code_version=insight.digest or None).merge_attributes(
        metadata={**own}
    )


def _key(place: Place, kind: str, name: str, suffix: str = "") -> dg.AssetKey:
    last = "_".join(part for part in (_plain(name), suffix) if part)
    return dg.AssetKey([*place.options.key_prefix, kind, last])


def _suffixes(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Id -> the end of it that tells objects of one name apart; the whole id if it must be."""
    taken: dict[tuple[str, str], list[str]] = {}
    for name, ident in named:
        taken.setdefault((_plain(name or "unnamed"), _plain(ident)[-4:]), []).append(ident)
    return {
        ident: end if len(idents) == 1 else _plain(ident)
        for (_, end), idents in taken.items()
        for ident in idents
    }


def _plain(text: str) -> str:
    """Letters, digits and underscores, in lower case; of any script."""
    return re.sub(r"[\W_]+", "_", text.lower()).strip("_")[:60].strip("_") or "unnamed"


def _kind(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "", text.lower().replace(" ", "_"))[:40] or "other"


def _tag(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:63]


def _owners(email: str, options: AssetOptions) -> list[str]:
    if options.owners:
        return list(options.owners)
    return [email] if _EMAIL.fullmatch(email) else []


def _described(name: str, text: str) -> str:
    text = text if len(text) <= _SHOWN * 5 else f"{text[: _SHOWN * 5]}..."
    return f"{name}\n\n{text}".strip()
