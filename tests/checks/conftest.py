"""A sandbox, a DuckDB file, an instance, and checks run on what was loaded there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.checks import CheckRules, build_posthog_checks
from hog_dagster.resources import DuckDBWarehouse, LedgerResource, PostHogResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB, Table

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
TODAY = datetime.now(UTC).date()
DAYS = dg.DailyPartitionsDefinition(start_date=(TODAY - timedelta(days=60)).isoformat())


def day(ago: int) -> str:
    """The partition key of a day so many days ago."""
    return (TODAY - timedelta(days=ago)).isoformat()


def checks_of(**rules: Any) -> Sequence[dg.AssetChecksDefinition]:
    """All checks, with these rules instead of the usual ones."""
    return build_posthog_checks(DAYS, rules=CheckRules(**rules))


@dataclass
class Lab:
    """Assets and checks over one project, in one instance."""

    sandbox: Sandbox
    instance: dg.DagsterInstance
    folder: Path
    api_key: str = ""

    def resources(self) -> dict[str, Any]:
        return {
            "posthog": PostHogResource(
                host=self.sandbox.url,
                api_key=self.api_key or self.sandbox.api_key,
                project_id=str(self.sandbox.project_id),
            ),
            "warehouse": DuckDBWarehouse(path=str(self.folder / "w.duckdb")),
            "ledger": LedgerResource(url=f"sqlite:///{self.folder / 'ledger.sqlite'}"),
        }

    def load(self, *assets: Any, days: tuple[str, str] | None = None) -> None:
        tags = {}
        if days:
            tags["dagster/asset_partition_range_start"] = days[0]
            tags["dagster/asset_partition_range_end"] = days[1]
        result = dg.materialize(
            list(assets),
            instance=self.instance,
            resources=self.resources(),
            run_config=QUIET,
            tags=tags,
        )
        assert result.success

    def warehouse(self) -> DuckDB:
        return DuckDB(self.folder / "w.duckdb")

    def put(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Rows as if they had been loaded; columns left out are null."""
        full = [
            {
                "project_id": self.sandbox.project_id,
                "_loaded_at": datetime.now(UTC),
                **{c.name: "" if table.required(c) else None for c in table.columns[1:-1]},
                **row,
            }
            for row in rows
        ]
        with self.warehouse() as warehouse:
            warehouse.replace(table, [full], scope={"project_id": self.sandbox.project_id})

    def loaded(self, key: dg.AssetKey, *partitions: str) -> None:
        """Put materializations on record, as if the partitions had been loaded."""
        for partition in partitions:
            event = dg.AssetMaterialization(key, partition=partition)
            self.instance.report_runless_asset_event(event)

    def check(
        self, checks: Sequence[dg.AssetChecksDefinition], name: str, table: str
    ) -> dg.AssetCheckEvaluation:
        """Run one check alone and give what it found."""
        key = dg.AssetCheckKey(dg.AssetKey(["posthog", table]), name)
        defs = dg.Definitions(asset_checks=checks, resources=self.resources())
        result = (
            defs.resolve_implicit_global_asset_job_def()
            .get_subset(asset_selection=set(), asset_check_selection={key})
            .execute_in_process(instance=self.instance, run_config=QUIET)
        )
        assert result.success
        (found,) = result.get_asset_check_evaluations()
        return found


@pytest.fixture(params=["current"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A lab on a sandbox of the newer generation, unless a test asks for the other."""
    with (
        Sandbox(request.param, populate=False, limits=False) as sandbox,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Lab(sandbox, instance, tmp_path)


def noon(ago: int) -> datetime:
    """Noon, so many days ago."""
    at: date = TODAY - timedelta(days=ago)
    return datetime(at.year, at.month, at.day, 12, tzinfo=UTC)


def number(found: dg.AssetCheckEvaluation, name: str) -> Any:
    """A number of a check's metadata."""
    return found.metadata[f"posthog/{name}"].value


def rows_of(found: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    """The table of a check's metadata."""
    table = found.metadata.get("found")
    assert table is None or isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records] if table else []
