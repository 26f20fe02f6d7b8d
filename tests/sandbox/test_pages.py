"""Links that the product puts into Dagster's UI open a page that shows the object."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import duckdb
import httpx
import pytest
from dagster_shared.serdes import serialize_value

from hog_dagster import DuckDBWarehouse, LedgerResource, PostHogResource, build_posthog_definitions
from hog_dagster.lineage import InsightSelection
from hog_dagster.lineage._records import read_snapshot
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import an_instance

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def kind_of(url: str, names: dict[str, str]) -> str:
    """A link with its ids taken out."""
    parts = urlsplit(url)
    path = "/".join("<id>" if part in names else part for part in parts.path.split("/"))
    return path + re.sub(r"=.*", "=", f"?{parts.query}" if parts.query else "")


def links_in(text: str, host: str) -> set[str]:
    return set(re.findall(re.escape(f"{host}/project/") + r"[^\s\"'<>|)\\]*", text))


@pytest.mark.parametrize("generation", ["current", "docs"])
def test_each_link_of_a_project_in_dagster_opens_a_page_that_shows_the_object(
    tmp_path: Path, generation: Any
) -> None:
    with (
        Sandbox(generation, limits=False) as sandbox,
        PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client,
        an_instance() as instance,
    ):
        snapshot = read_snapshot(client, insights=[InsightSelection()])
        day = sandbox.clock.now().date() - timedelta(days=1)
        defs = build_posthog_definitions(
            posthog=PostHogResource(
                host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
            ),
            warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
            ledger=LedgerResource(url=f"sqlite:///{tmp_path / 'ledger.sqlite'}"),
            snapshot=snapshot,
            start_date=day,
        )
        job = defs.resolve_implicit_global_asset_job_def()
        text = ""
        for keys, partition in (
            (["workflows", "hog_functions", "insights", "groups", "replays"], None),
            (["workflow_logs", "workflow_metrics"], day.isoformat()),
        ):
            chosen = {dg.AssetKey(["posthog", name]) for name in keys}
            result = job.get_subset(asset_selection=chosen).execute_in_process(
                instance=instance, run_config=QUIET, partition_key=partition
            )
            for event in result.get_asset_materialization_events():
                text += serialize_value(event.materialization)
        for spec in defs.resolve_all_asset_specs():
            text += "".join(serialize_value(dg.AssetMaterialization("x", metadata=spec.metadata)))
        with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as connection:
            for table in ("workflows", "hog_functions", "insights"):
                text += str(connection.execute(f"select url from posthog.{table}").fetchall())
        links = links_in(json.loads(json.dumps(text)), sandbox.url)
        names = {w.id: w.name or w.id for w in sandbox.world.workflows.values()}
        names |= {f.id: f.name or f.id for f in sandbox.world.hog_functions.values()}
        names |= {i.short_id: i.name or i.short_id for i in sandbox.world.insights.values()}
        kinds = {kind_of(link, names) for link in links}
        assert {
            "/project/1/workflows",
            "/project/1/workflows/<id>/workflow",
            "/project/1/workflows/<id>/logs",
            "/project/1/functions/<id>",
            "/project/1/insights/<id>",
            "/project/1/saved_insights",
            "/project/1/groups/0",
            "/project/1/pipeline/overview",
        } <= kinds
        requests = sandbox.count()
        for link in sorted(links):
            response = httpx.get(link)
            assert response.status_code == 200, link
            assert response.headers["Content-Type"].startswith("text/html")
            for part in urlsplit(link).path.split("/"):
                if part in names:
                    assert f"<h1>{names[part]}</h1>".replace("&", "&amp;") in response.text
        assert sandbox.count() == requests  # pages are not API requests


def test_a_run_is_shown_with_its_log_by_its_link() -> None:
    with Sandbox("current", limits=False) as sandbox:
        run = next(run for run in sandbox.world.runs.values() if run.kind == "hog_flow")
        base = f"{sandbox.url}/project/{sandbox.project_id}"
        link = f"{base}/workflows/{run.workflow_id}/logs?instanceId={run.invocation_id}"
        text = httpx.get(link).text
        assert f"<h2>Run {run.invocation_id}</h2>" in text
        assert run.status in text
        listed = httpx.get(f"{base}/messaging/campaigns/{run.workflow_id}/workflow").text
        assert "<h2>Steps</h2>" in listed


def test_every_link_on_a_page_opens_a_page() -> None:
    with Sandbox("current", limits=False) as sandbox:
        seen, due = set(), ["/"]
        while due and len(seen) < 300:
            path = due.pop()
            if path in seen:
                continue
            seen.add(path)
            response = httpx.get(sandbox.url + path)
            assert response.status_code == 200, path
            found = re.findall(r'href="([^"]+)"', response.text)
            due += [link for link in found if "instanceId" not in link or len(due) < 5]
        assert len(seen) > 20


def test_what_is_not_there_is_a_page_too_and_the_api_stays_json() -> None:
    with Sandbox("current", populate=False, limits=False) as sandbox:
        sandbox.world.add_workflow("<script>alert(1)</script>")
        shown = httpx.get(f"{sandbox.url}/project/1/workflows")
        assert "<script>" not in shown.text
        for path in ("/project/1/workflows/none/logs", "/project/9/workflows", "/project/1/x"):
            gone = httpx.get(sandbox.url + path)
            assert (gone.status_code, gone.headers["Content-Type"]) == (
                404,
                "text/html; charset=utf-8",
            )
        api = httpx.get(f"{sandbox.url}/api/projects/1/nothing/")
        assert api.json()
        assert httpx.post(f"{sandbox.url}/project/1/workflows").status_code == 404
