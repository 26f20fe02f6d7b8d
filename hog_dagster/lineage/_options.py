"""How the assets of a project look and are run.

Facts: Dagster shows up to ten `kinds` on an asset; a retry policy is safe here because assets only
read PostHog and replace what they write.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from hog_dagster._dagster.resources import Execute
from hog_dagster.lineage._freshness import (
    DAILY_PARTITIONS,
    HOURLY_PARTITIONS,
    INSIGHT_RESULTS,
    SNAPSHOTS,
    Freshness,
)

#: Pool of the steps that read PostHog and write the warehouse, and of their checks.
READS_POOL = "posthog_reads"
#: Kinds of assets whose group has a shorter name: the lineage page of Dagster 1.13 cuts the name
#: of a collapsed group after 17 characters.
_GROUPS = {
    "destinations": "dests",
    "hog_functions": "functions",
    "saved_insights": "saved",
}


def _default_retries() -> dg.RetryPolicy:
    return dg.RetryPolicy(
        max_retries=3, delay=20, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )


@dataclass(frozen=True)
class Customization:
    """What to change about the steps that load tables; nothing by default.

    Args:
        execute: runs each step.
        op_name: what stands before the ops' names.
        op_tags: more tags for the ops.
        pool: the pool of the ops.
        backfill_policy: of partitioned steps.
    """

    execute: Execute | None = None
    op_name: str | None = None
    op_tags: Mapping[str, Any] = field(default_factory=dict)
    pool: str | None = None
    backfill_policy: dg.BackfillPolicy | None = None


@dataclass(frozen=True)
class AssetOptions:
    """How assets look and are run, the same for all tables of a project.

    Args:
        key_prefix: what stands before the table's name in the asset key.
        group: the asset group; None picks one per kind of asset.
        warehouse_kind: the engine's name, shown as a kind: duckdb, postgres, ...
        owners: Dagster owners, e-mail addresses or `team:...`.
        tags: tags for every asset.
        pool: Dagster pool of the steps; it has no limit until the operator sets one.
        name: tells a second project in the same code location apart: it stands before the names of
            the steps and the resources they take (`eu_posthog`, ...), in the place of `posthog` in
            those of their groups (`eu_workflows`), and after `posthog` in asset keys.
        retry_policy: for the steps; permanent errors skip it.
        workers: how many workflows are read at the same time.
        keys: table name -> asset key, for tables that are not called `<prefix>/<table>`.
        objects: (type, id) -> asset key of what stands for a workflow or hog function: those get
            the counts of their runs when metrics are loaded.
        snapshots: when tables of how things stand now are stale and read again; None: never.
        results: the same for tables of insights' results.
        daily: the same for tables of daily partitions.
        hourly: the same for tables of hourly partitions.
        steps: what to change about the steps themselves.
    """

    key_prefix: Sequence[str] = ("posthog",)
    group: str | None = None
    warehouse_kind: str = "duckdb"
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    pool: str | None = READS_POOL
    name: str = ""
    retry_policy: dg.RetryPolicy | None = field(default_factory=_default_retries)
    workers: int = 8
    keys: Mapping[str, dg.AssetKey] = field(default_factory=dict)
    objects: Mapping[tuple[str, str], dg.AssetKey] = field(default_factory=dict)
    snapshots: Freshness | None = SNAPSHOTS
    results: Freshness | None = INSIGHT_RESULTS
    daily: Freshness | None = DAILY_PARTITIONS
    hourly: Freshness | None = HOURLY_PARTITIONS
    steps: Customization = field(default_factory=Customization)

    def __post_init__(self) -> None:
        if self.name and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise ValueError(
                f"The name {self.name!r} stands before names of Dagster's: give letters, digits "
                "and underscores, a letter first; eu, say."
            )
        if self.name and tuple(self.key_prefix) == ("posthog",):
            object.__setattr__(self, "key_prefix", ("posthog", self.name))

    @property
    def prefix(self) -> str:
        """What stands before the names of resources, steps, jobs, sensors and schedules."""
        return f"{self.name}_" if self.name else ""

    def named(self, name: str) -> str:
        """A step's, job's, sensor's or schedule's name."""
        return self.prefix + name

    def group_for(self, group: str) -> str:
        """The asset group of a kind of assets."""
        return self.group or f"{self.name or 'posthog'}_{_GROUPS.get(group, group)}"

    def key(self, table_name: str) -> dg.AssetKey:
        """The asset key of a table."""
        return self.keys.get(table_name) or dg.AssetKey([*self.key_prefix, table_name])

    def freshness(self, partitions_def: dg.PartitionsDefinition | None) -> Freshness | None:
        """When a table with these partitions, or none, is stale and read again."""
        if partitions_def is None:
            return self.snapshots
        hourly = isinstance(partitions_def, dg.HourlyPartitionsDefinition)
        return self.hourly if hourly else self.daily
