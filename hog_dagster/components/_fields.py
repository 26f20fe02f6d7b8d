"""Those fields of a component that its parts read, so that they need not import the component."""

from collections.abc import Sequence
from typing import Protocol

from hog_dagster.components._records import (
    BatchJob,
    Groups,
    HogFunctions,
    Insights,
    SafetyLimits,
    Sensors,
    Workflows,
)

__all__ = ["ComponentFields"]


class ComponentFields(Protocol):
    """What `PostHogProjectComponent` was told; its docstrings say what each field means."""

    @property
    def name(self) -> str: ...

    @property
    def host(self) -> str | None: ...

    @property
    def api_key(self) -> str | None: ...

    @property
    def project_id(self) -> str | int | None: ...

    @property
    def headroom(self) -> float: ...

    @property
    def read_timeout_seconds(self) -> float: ...

    @property
    def ledger(self) -> str | None: ...

    @property
    def rate_limit(self) -> str | None: ...

    @property
    def ca_file(self) -> str | None: ...

    @property
    def client_certificate(self) -> str | None: ...

    @property
    def workflows(self) -> Workflows: ...

    @property
    def hog_functions(self) -> HogFunctions | None: ...

    @property
    def insights(self) -> Sequence[Insights] | None: ...

    @property
    def groups(self) -> Groups | None: ...

    @property
    def safety(self) -> SafetyLimits: ...

    @property
    def sensors(self) -> Sensors: ...

    @property
    def batch_jobs(self) -> Sequence[BatchJob]: ...
