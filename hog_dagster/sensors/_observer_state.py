"""What the observing sensor remembers between ticks, and how each event is reported once.

Facts: Dagster stores the events of a tick before its cursor, and a renamed sensor starts without
one, so a cursor alone can report an event twice; an observation carries an id, and what an asset's
newest observations already carry is not reported again. A tick has little time, so work over many
workflows goes in rounds: each round has a fixed window and visits each workflow once.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
import msgspec

from hog_dagster.lineage import AssetOptions, PostHogMetadata
from hog_dagster.posthog import PostHogClient
from hog_dagster.sensors._cursor import Cursor
from hog_dagster.sensors._tick import limited

EVENT, EVENT_ID, PARTS = "hog_dagster/event", "hog_dagster/event_id", "hog_dagster/parts"
_LOOK_BACK = 300


class Seen(msgspec.Struct, kw_only=True):
    """Until when the changes of one kind of object were reported, and the ids at that moment."""

    after: datetime
    at: list[str] = []


class Round(msgspec.Struct, kw_only=True):
    """A walk over workflows for what happened in (start, end]; `place` was visited last."""

    start: datetime
    end: datetime
    place: str = ""

    def left(self, ids: Iterable[str]) -> list[str]:
        """What is still to be visited, in order."""
        return [id for id in sorted(ids) if id > self.place]

    def holds(self, moment: datetime | None) -> bool:
        """Whether a moment is in the round's window."""
        return moment is not None and self.start < moment <= self.end


class Observed(Cursor):
    """The sensor's cursor."""

    changes: dict[str, Seen] = {}
    rounds: dict[str, Round] = {}
    #: Batch jobs to look at again: job id -> (workflow id, why: "whose" or "running").
    jobs: dict[str, tuple[str, str]] = {}


@dataclass(frozen=True)
class Event:
    """Something that happened in PostHog to the asset ``key``, to be reported once; ``id`` names it
    for ever, ``kind`` is definition, batch_job, failed_run, failed_runs or counts."""

    id: str
    key: dg.AssetKey
    kind: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data_version: str = ""

    def observation(self) -> dg.AssetObservation:
        """As Dagster stores it."""
        tags = {"dagster/data_version": self.data_version} if self.data_version else None
        metadata = {**self.metadata, EVENT: self.kind, EVENT_ID: self.id}
        if PARTS in metadata:
            metadata[PARTS] = metadata.pop(PARTS)  # long, and only for us: last
        return dg.AssetObservation(
            asset_key=self.key, description=self.text, metadata=metadata, tags=tags
        )


def observations(
    instance: dg.DagsterInstance, events: Sequence[Event]
) -> list[dg.AssetObservation]:
    """The events that were not reported before, as observations."""
    reported: dict[dg.AssetKey, set[str]] = {}
    fresh: list[dg.AssetObservation] = []
    for event in events:
        if event.key not in reported:
            reported[event.key] = {
                str(metadata[EVENT_ID].value)
                for metadata in newest_metadata(instance, event.key)
                if EVENT_ID in metadata
            }
        if event.id not in reported[event.key]:
            reported[event.key].add(event.id)
            fresh.append(event.observation())
    return fresh


def newest_metadata(
    instance: dg.DagsterInstance, key: dg.AssetKey
) -> list[Mapping[str, dg.MetadataValue]]:
    """The metadata of an asset's newest observations, newest first."""
    records = instance.fetch_observations(key, limit=_LOOK_BACK).records
    return [
        record.asset_observation.metadata
        for record in records
        if record.asset_observation is not None
    ]


def known_parts(instance: dg.DagsterInstance, key: dg.AssetKey) -> tuple[dict[str, str], str]:
    """The fingerprints that the newest observed change of an object carried, and its event id."""
    for metadata in newest_metadata(instance, key):
        if PARTS in metadata:
            value = metadata[PARTS].value
            parts = value if isinstance(value, Mapping) else json.loads(str(value))
            return {name: str(part) for name, part in parts.items()}, str(metadata[EVENT_ID].value)
    return {}, ""


@dataclass(frozen=True)
class Places:
    """Which asset stands for an object: its own where the definitions have one, else a table's."""

    keys: Mapping[tuple[str, str], dg.AssetKey]
    options: AssetOptions

    @classmethod
    def of(cls, specs: Iterable[dg.AssetSpec], options: AssetOptions) -> "Places":
        """From the specs of external assets."""
        keys = {}
        for spec in specs:
            own = PostHogMetadata.extract(spec.metadata)
            if own.type and own.id:
                keys[own.type, own.id] = spec.key
        return cls(keys, options)

    def key(self, type: str, id: str) -> dg.AssetKey:
        """The asset of an object."""
        table = {"hog_function": "hog_functions", "insight": "insights"}.get(type, "workflows")
        return self.keys.get((type, id)) or self.options.key(table)

    def ids(self, type: str) -> list[str]:
        """Ids of the objects of a type that have an asset of their own."""
        return [id for of, id in self.keys if of == type]


@dataclass
class Limits:
    """What one tick may use: seconds and requests; one slow response must not use it up."""

    client: PostHogClient
    deadline: float
    requests: int
    started_at: int

    @classmethod
    def of(cls, client: PostHogClient, seconds: float, requests: int) -> "Limits":
        """From now on."""
        deadline = time.monotonic() + seconds
        return cls(limited(client, deadline), deadline, requests, client.requests_made)

    @property
    def used(self) -> int:
        """Requests of this tick so far."""
        return self.client.requests_made - self.started_at

    def reached(self) -> bool:
        """Whether the tick has to stop."""
        return time.monotonic() >= self.deadline or self.used >= self.requests
