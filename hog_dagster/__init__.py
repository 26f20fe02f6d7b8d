"""hog_dagster: the PostHog integration for Dagster.

Public names are loaded on first use, so that ``from hog_dagster.posthog import PostHogClient`` in a
script or a notebook does not pay for importing Dagster (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dagster_shared.libraries import DagsterLibraryRegistry

from hog_dagster._version import __version__ as __version__

if TYPE_CHECKING:
    from hog_dagster.components import PostHogProjectComponent as PostHogProjectComponent
    from hog_dagster.components import build_posthog_definitions as build_posthog_definitions
    from hog_dagster.io_manager import WarehouseIOManager as WarehouseIOManager
    from hog_dagster.lineage import load_posthog_asset_specs as load_posthog_asset_specs
    from hog_dagster.lineage import load_posthog_snapshot as load_posthog_snapshot
    from hog_dagster.resources import DltWarehouse as DltWarehouse
    from hog_dagster.resources import DuckDBWarehouse as DuckDBWarehouse
    from hog_dagster.resources import LedgerResource as LedgerResource
    from hog_dagster.resources import PostgresWarehouse as PostgresWarehouse
    from hog_dagster.resources import PostHogResource as PostHogResource

# is_dagster_package=False: otherwise Dagster warns that our version differs from its own
# libraries'.
DagsterLibraryRegistry.register("hog-dagster", __version__, is_dagster_package=False)

_HOMES = {
    "DltWarehouse": "hog_dagster.resources",
    "DuckDBWarehouse": "hog_dagster.resources",
    "LedgerResource": "hog_dagster.resources",
    "PostHogProjectComponent": "hog_dagster.components._component",
    "PostHogResource": "hog_dagster.resources",
    "PostgresWarehouse": "hog_dagster.resources",
    "WarehouseIOManager": "hog_dagster.io_manager",
    "build_posthog_definitions": "hog_dagster.components._build",
    "load_posthog_asset_specs": "hog_dagster.lineage._graph",
    "load_posthog_snapshot": "hog_dagster.lineage._snapshot",
}

__all__ = [
    "DltWarehouse",
    "DuckDBWarehouse",
    "LedgerResource",
    "PostHogProjectComponent",
    "PostHogResource",
    "PostgresWarehouse",
    "WarehouseIOManager",
    "__version__",
    "build_posthog_definitions",
    "load_posthog_asset_specs",
    "load_posthog_snapshot",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hog_dagster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
