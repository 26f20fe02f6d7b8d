"""A code location in Python: the builders, on a project named by environment variables."""

import os
from datetime import date
from pathlib import Path

import dagster as dg

from hog_dagster import (
    DuckDBWarehouse,
    PostHogResource,
    build_posthog_definitions,
    load_posthog_snapshot,
)
from hog_dagster.resources import LedgerResource

folder = Path(os.environ["PYTHON_LOCATION_FOLDER"])
posthog = PostHogResource(
    host=dg.EnvVar("PYTHON_LOCATION_HOST"),
    api_key=dg.EnvVar("PYTHON_LOCATION_KEY"),
    project_id=dg.EnvVar("PYTHON_LOCATION_PROJECT"),
)
defs = build_posthog_definitions(
    posthog=posthog,
    warehouse=DuckDBWarehouse(path=str(folder / "warehouse.duckdb")),
    ledger=LedgerResource(url=f"sqlite:///{folder / 'ledger.sqlite'}"),
    start_date=date(2026, 11, 1),
    snapshot=load_posthog_snapshot(posthog),
    checks=None,
)
