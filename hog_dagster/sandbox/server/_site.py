"""Everything one sandbox server is made of: settings, clock, keys, throttle, faults, records and
the world.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from hog_dagster.sandbox.api import Key, QuerySlots
from hog_dagster.sandbox.server._faults import FaultBook
from hog_dagster.sandbox.server._records import RecordBook
from hog_dagster.sandbox.server._throttle import Throttle
from hog_dagster.sandbox.world import Clock, Generation, World

__all__ = ["SandboxSite"]


@dataclass
class SandboxSite:
    """The state behind the HTTP server. Handlers reach what concerns them as `call.site`."""

    clock: Clock
    world: World
    keys: Mapping[str, Key]
    throttle: Throttle
    generation: Generation = "current"
    project_id: int = 1
    timezone: str = "UTC"
    seed: int = 1
    latency: float = 0.0
    retry_after_header: bool = True
    keys_refused_on_custom_actions: bool = False
    shuffle_ties: bool = False
    redirect_environments: bool = False
    #: Names of endpoints that response 404 ``Endpoint not found.``; may change at any time.
    missing: set[str] = field(default_factory=set)
    #: Queries at the same time; its knobs may change at any time.
    queries: QuerySlots = field(default_factory=QuerySlots)
    faults: FaultBook = field(default_factory=FaultBook)
    records: RecordBook = field(default_factory=RecordBook)

    #: How many requests may have changed the world.
    changes: int = 0

    @property
    def newer(self) -> bool:
        """Whether this is one of the newer generations."""
        return self.generation != "docs"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def other_project_id(self) -> int:
        """A project that exists and belongs to another organisation."""
        return self.project_id + 1
