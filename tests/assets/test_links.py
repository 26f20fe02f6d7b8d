"""Links lead to the pages that the server has: those of 2025 called workflows campaigns."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from hog_dagster.assets import build_catalog_assets, build_workflow_logs_asset
from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.lineage import PostHogMetadata, load_posthog_asset_specs
from hog_dagster.sandbox import Sandbox

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-18", end_date="2026-11-22")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
#: What rows of 2025 lack.
LATER = ("variables", "billable_action_types", "updated_at", "user_access_level")


@pytest.mark.parametrize(("old", "pages"), [(True, "messaging/campaigns"), (False, "workflows")])
def test_links_to_workflows_follow_the_server(old: bool, pages: str, resources) -> None:
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        id = sandbox.world.add_workflow("Welcome")["id"]
        given = resources(sandbox)
        if old:
            (row,) = [w.model_dump(mode="json") for w in given["posthog"].client.workflows.list()]
            kept = {name: value for name, value in row.items() if name not in LATER}
            page = {"count": 1, "next": None, "previous": None, "results": [kept]}
            sandbox.fail("GET", "*/hog_flows/", times=0, status=200, body=page)
        where = f"{sandbox.url}/project/1/{pages}"
        (spec,) = [
            spec
            for spec in load_posthog_asset_specs(given["posthog"])
            if PostHogMetadata.extract(spec.metadata).type == "workflow"
        ]
        about = PostHogMetadata.extract(spec.metadata)
        assert (about.url, about.logs_url) == (f"{where}/{id}/workflow", f"{where}/{id}/logs")
        result = dg.materialize(
            [build_catalog_assets(), build_workflow_logs_asset(DAYS)],
            resources=given,
            run_config=QUIET,
            partition_key="2026-11-20",
            selection=[dg.AssetKey(["posthog", name]) for name in ("workflows", "workflow_logs")],
        )
        events = result.get_asset_materialization_events()
        links = {str(e.materialization.metadata["posthog/url"].value) for e in events}
        assert links == {where}
        with given["warehouse"].open() as warehouse:
            assert warehouse.read(WORKFLOWS, columns=["url"]).to_pylist() == [
                {"url": f"{where}/{id}/workflow"}
            ]
