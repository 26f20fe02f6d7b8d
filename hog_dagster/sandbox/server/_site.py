"""What one sandbox server is made of: what handlers see, and keys, limits, faults, records."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hog_dagster.sandbox.api import Key, Site
from hog_dagster.sandbox.server._faults import FaultBook
from hog_dagster.sandbox.server._records import RecordBook
from hog_dagster.sandbox.server._throttle import Throttle


@dataclass(kw_only=True)
class SandboxSite(Site):
    """The state behind the HTTP server."""

    keys: Mapping[str, Key]
    throttle: Throttle
    latency: float = 0.0
    retry_after_header: bool = True
    keys_refused_on_custom_actions: bool = False
    redirect_environments: bool = False
    faults: FaultBook = field(default_factory=FaultBook)
    records: RecordBook = field(default_factory=RecordBook)

    #: How many requests may have changed the world.
    changes: int = 0

    @property
    def other_project_id(self) -> int:
        """A project that exists and belongs to another organisation."""
        return self.project_id + 1
