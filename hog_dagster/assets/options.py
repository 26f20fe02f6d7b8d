"""What a user may choose about our assets, in two small records: how they look, what they read.

Facts: Dagster shows up to ten `kinds` on an asset; a retry policy is safe here because assets only
read PostHog and replace what they write.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import dagster as dg

__all__ = ["AssetOptions", "WorkflowSelection"]


def _default_retries() -> dg.RetryPolicy:
    return dg.RetryPolicy(
        max_retries=3, delay=20, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )


@dataclass(frozen=True)
class AssetOptions:
    """How assets look and are run, the same for all tables of a project.

    Args:
        key_prefix: what stands before the table's name in the asset key.
        group: the asset group; None picks one per family.
        warehouse_kind: the engine's name, shown as a kind: duckdb, postgres, ...
        owners: Dagster owners, e-mail addresses or `team:...`.
        tags: tags for every asset.
        pool: Dagster pool of the steps; it has no limit until the operator sets one.
        retry_policy: for the steps; permanent errors skip it.
        workers: how many workflows are read at the same time.
    """

    key_prefix: Sequence[str] = ("posthog",)
    group: str | None = None
    warehouse_kind: str = "duckdb"
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    pool: str | None = None
    retry_policy: dg.RetryPolicy | None = field(default_factory=_default_retries)
    workers: int = 8

    def key(self, table_name: str) -> dg.AssetKey:
        """The asset key of a table."""
        return dg.AssetKey([*self.key_prefix, table_name])


class _Workflow(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def status(self) -> str | None: ...


@dataclass(frozen=True)
class WorkflowSelection:
    """Which workflows are read; every condition given must hold, none given means all.

    Args:
        ids: only these ids.
        names: only names that match one of these regular expressions, as a whole, case ignored.
        statuses: only these statuses, `("active",)` say.
    """

    ids: Collection[str] = ()
    names: Collection[str] = ()
    statuses: Collection[str] = ()

    def __contains__(self, workflow: _Workflow) -> bool:
        if self.ids and workflow.id not in self.ids:
            return False
        if self.statuses and workflow.status not in self.statuses:
            return False
        return not self.names or any(
            re.fullmatch(pattern, workflow.name or "", re.IGNORECASE) for pattern in self.names
        )
