"""The same assets through dlt: as many rows as in DuckDB, twice over, and the checks work."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster import DltWarehouse, DuckDBWarehouse, PostHogResource
from hog_dagster.assets import (
    build_catalog_assets,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
)
from hog_dagster.assets._workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOWS,
)
from hog_dagster.checks import build_posthog_checks
from hog_dagster.resources import WarehouseResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Table

DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-21")
TIMED = (WORKFLOW_LOGS, WORKFLOW_METRICS)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def of(resource: WarehouseResource, table: Table, **how: Any) -> list[dict[str, Any]]:
    """The table's rows without the moment they were loaded."""
    names = [name for name in table.column_names if name != "_loaded_at"]
    with resource.open() as house:
        rows = house.read(table, columns=names, **how).to_pylist()
    for row in rows:
        for column in table.columns:
            if column.type == "json" and row[column.name]:
                row[column.name] = row[column.name].replace(" ", "")
    return sorted(rows, key=repr)


def load(resource: WarehouseResource, sandbox: Sandbox, assets: list[Any], **tags: str) -> Any:
    posthog = PostHogResource(
        host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
    )
    return dg.materialize(
        assets,
        resources={"posthog": posthog, "warehouse": resource},
        run_config=QUIET,
        tags={f"dagster/asset_partition_range_{end}": key for end, key in tags.items()},
    )


def destination(kind: str, folder: Path) -> DltWarehouse:
    if kind == "duckdb":
        return DltWarehouse(destination="duckdb", credentials=str(folder / "dlt.duckdb"))
    return DltWarehouse(destination="filesystem", bucket_url=folder.as_uri(), table_format="delta")


@pytest.mark.integration
def test_a_day_lands_in_delta_tables_twice_over_and_is_checked(tmp_path: Path) -> None:
    there = destination("delta", tmp_path)
    compared(there, tmp_path, [build_workflow_logs_asset(DAYS)], [], WORKFLOW_LOGS)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["duckdb", "delta"])
def test_all_workflow_tables_land_through_dlt_twice_over_and_are_checked(
    kind: str, tmp_path: Path
) -> None:
    timed = [build_workflow_logs_asset(DAYS), build_workflow_metrics_asset(DAYS)]
    tables = (WORKFLOW_LOGS, WORKFLOW_METRICS, WORKFLOWS, WORKFLOW_ACTIONS)
    compared(destination(kind, tmp_path), tmp_path, timed, [build_catalog_assets()], *tables)


def compared(
    there: DltWarehouse, folder: Path, timed: list[Any], plain: list[Any], *tables: Table
) -> None:
    """Load the assets in DuckDB and, twice, through dlt; compare the rows, look at the checks."""
    here = DuckDBWarehouse(path=str(folder / "w.duckdb"))
    checks = build_posthog_checks(DAYS, tables=[one.name for one in TIMED if one in tables])
    days = {"start": "2026-11-18", "end": "2026-11-19"}
    with Sandbox("docs", now=datetime(2026, 11, 20, 12, tzinfo=UTC), limits=False) as sandbox:
        for resource in (here, there, there):
            if plain:
                load(resource, sandbox, plain)
            checked = load(resource, sandbox, [*timed, *checks], **days)
            found = {
                (e.asset_key.path[-1], e.check_name): e
                for e in checked.get_asset_check_evaluations()
            }
            for table in {*TIMED} & {*tables}:
                assert found[table.name, "is_unique"].passed
                assert found[table.name, "has_not_drifted"].passed
                recent = found[table.name, "is_recent"].metadata["posthog/newest_row_hours"].value
                assert isinstance(recent, float)
            densest = found["workflow_logs", "is_not_saturated"].metadata["posthog/densest_instant"]
            assert 0 < float(str(densest.value)) < 500
    for table in tables:
        wanted = of(here, table)
        assert len(wanted) > 0
        assert of(there, table) == wanted
