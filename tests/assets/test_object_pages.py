"""The page of a workflow says when it ran last and how many of its runs failed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from hog_dagster.assets import HogFunctionSelection
from hog_dagster.components._build import build_posthog_definitions
from hog_dagster.lineage import PostHogMetadata
from hog_dagster.lineage._snapshot import load_posthog_snapshot
from hog_dagster.resources import DuckDBWarehouse, LedgerResource, PostHogResource
from hog_dagster.sandbox import Sandbox

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FRIDAY = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def test_a_refresh_puts_counts_and_a_link_on_the_pages_of_what_ran(tmp_path: Path):
    with (
        Sandbox("current", populate=False, now=NOW, limits=False) as sandbox,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        world = sandbox.world
        ran, idle = (world.add_workflow(name)["id"] for name in ("Welcome", "Idle"))
        function = world.add_hog_function("Slack")["id"]
        for hours, count in ((0, 3), (2, 4)):
            world.emit_metric(ran, FRIDAY + timedelta(hours=hours), "succeeded", "success", count)
        world.emit_metric(ran, FRIDAY, "failed", "failure", 1)
        world.emit_metric(ran, FRIDAY - timedelta(days=3), "failed", "failure", 9)
        world.emit_metric(function, FRIDAY, "succeeded", "success", 5)
        posthog = PostHogResource(host=sandbox.url, api_key=sandbox.api_key, project_id="1")
        defs = build_posthog_definitions(
            posthog=posthog,
            warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
            ledger=LedgerResource(url=f"sqlite:///{tmp_path / 'l.sqlite'}"),
            start_date=datetime(2026, 11, 1, tzinfo=UTC).date(),
            functions=HogFunctionSelection(),
            snapshot=load_posthog_snapshot(posthog),
        )
        keys = {
            PostHogMetadata.extract(spec.metadata).id: spec.key
            for spec in defs.resolve_all_asset_specs()
        }

        def refresh(day: str) -> None:
            chosen = {
                dg.AssetKey(["posthog", f"{of}_metrics"]) for of in ("workflow", "hog_function")
            }
            job = defs.resolve_implicit_global_asset_job_def().get_subset(
                asset_selection=chosen, asset_check_selection=set()
            )
            tags = {f"dagster/asset_partition_range_{end}": day for end in ("start", "end")}
            assert job.execute_in_process(instance=instance, run_config=QUIET, tags=tags).success

        def page(id: str) -> dict[str, Any]:
            event = instance.get_latest_materialization_event(keys[id])
            made = event.asset_materialization if event is not None else None
            return {name: value.value for name, value in made.metadata.items()} if made else {}

        refresh("2026-11-20")
        assert page(idle) == {}
        assert page(function)["posthog/succeeded"] == 5
        shown = page(ran)
        assert (shown["posthog/succeeded"], shown["posthog/failed"]) == (7, 1)
        assert shown["posthog/success_rate"] == 0.875
        last = datetime.fromtimestamp(shown["posthog/last_run_before"], UTC)
        assert last == datetime(2026, 11, 20, 12, tzinfo=UTC)
        assert shown["posthog/url"] == f"{sandbox.url}/project/1/workflows/{ran}/metrics"
        refresh("2026-11-17")  # An older day does not replace what the page shows.
        assert page(ran) == shown
