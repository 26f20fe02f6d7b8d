"""What an asset stands for: one record per kind of object, and the metadata that names the object.

Facts: a translator is asked once per asset, with one of these; metadata keys share one namespace in
Dagster, so ours begin with `hog_dagster/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

import dagster as dg

from hog_dagster.lineage._options import AssetOptions
from hog_dagster.lineage._records import (
    Destination,
    HogFunctionRecord,
    InsightRecord,
    Trigger,
    WorkflowRecord,
)


@dataclass(frozen=True)
class Place:
    """Where an object is: its project's page, how our assets look, what is upstream of it."""

    project_url: str
    project_id: int
    options: AssetOptions
    upstream: Sequence[dg.AssetKey] = ()


def _named(kind: str, name: str) -> str:
    return f"{kind}:{name}" if name else kind


@dataclass(frozen=True)
class TriggerProps:
    """What starts runs. `label` is the last part of its asset key, here and below."""

    trigger: Trigger
    place: Place
    label: str
    type: ClassVar[str] = "trigger"

    @property
    def id(self) -> str:
        """Kind and name; triggers have no id of their own in PostHog."""
        return _named(self.trigger.kind, self.trigger.name)

    @property
    def name(self) -> str:
        """The event's name, or the kind."""
        return self.trigger.name or self.trigger.kind


@dataclass(frozen=True)
class WorkflowProps:
    """A workflow."""

    workflow: WorkflowRecord
    place: Place
    label: str
    type: ClassVar[str] = "workflow"

    @property
    def id(self) -> str:
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
    label: str
    type: ClassVar[str] = "hog_function"

    @property
    def id(self) -> str:
        return self.function.id

    @property
    def name(self) -> str:
        return self.function.name


@dataclass(frozen=True)
class DestinationProps:
    """Where workflows and functions send."""

    destination: Destination
    place: Place
    label: str
    type: ClassVar[str] = "destination"

    @property
    def id(self) -> str:
        """Kind and name; destinations have no id of their own in PostHog."""
        return _named(self.destination.kind, self.destination.name)

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
        return self.insight.name


@dataclass(frozen=True)
class TableProps:
    """A table that one of our steps loads; `spec` is how it looks so far."""

    name: str
    spec: dg.AssetSpec
    type: ClassVar[str] = "table"

    @property
    def id(self) -> str:
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
    made_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    url: str | None = None
    logs_url: str | None = None
    metrics_url: str | None = None

    NAMESPACE: ClassVar[str] = "hog_dagster"

    def keys(self) -> list[str]:
        """The keys that have a value."""
        return list(self.entries())

    def __getitem__(self, key: str) -> Any:
        return self.entries()[key]

    def entries(self) -> dict[str, Any]:
        """All that have a value, as Dagster shows them; what splatting gives, made once."""
        found: dict[str, Any] = {}
        for name, key in _KEYS.items():
            value = getattr(self, name)
            if value is None or value == "":
                continue
            if isinstance(value, datetime):
                value = dg.MetadataValue.timestamp(value)
            elif name.endswith("url"):
                value = dg.MetadataValue.url(value)
            found[key] = value
        return found

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


_KEYS = {one.name: f"{PostHogMetadata.NAMESPACE}/{one.name}" for one in fields(PostHogMetadata)}
