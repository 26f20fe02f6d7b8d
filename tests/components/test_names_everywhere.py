"""No text for people shows the id of a workflow or hog function without its name in the same line.

One project of the sandbox, worked on as in a day: ticks, runs, commands.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster import DuckDBWarehouse, PostHogResource, build_posthog_definitions
from hog_dagster.assets import InsightSelection
from hog_dagster.cli import main
from hog_dagster.components import BatchJob, ReplaySensor, Sensors
from hog_dagster.ledger import Action, Ledger
from hog_dagster.lineage._records import read_snapshot
from hog_dagster.resources import LedgerResource
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import an_instance

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DENIED = {
    "type": "authentication_error",
    "code": "permission_denied",
    "detail": "You do not have access to this.",
    "attr": None,
}
DAY = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"


class Day:
    """The project, and every text that somebody reads of it."""

    def __init__(self, sandbox: Sandbox, instance: dg.DagsterInstance, folder: Path) -> None:
        self.sandbox, self.instance = sandbox, instance
        self.ledger_url = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.texts: list[tuple[str, str]] = []
        posthog = PostHogResource(
            host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
        )
        client = posthog.client
        flows, functions = list(client.workflows.list()), list(client.hog_functions.list())
        self.ids = {
            "hog_flows": [one.id for one in flows if one.status == "active"],
            "hog_functions": [one.id for one in functions if one.enabled],
        }
        self.names = {one.id: str(one.name) for one in [*flows, *functions]}
        self.environment = {
            "POSTHOG_HOST": sandbox.url,
            "POSTHOG_API_KEY": sandbox.api_key,
            "POSTHOG_PROJECT_ID": str(sandbox.project_id),
            "HOG_DAGSTER_LEDGER": self.ledger_url,
            "HOG_DAGSTER_WAREHOUSE": str(folder / "w.duckdb"),
        }
        newsletter = next(one.id for one in flows if one.name == "Monthly newsletter")
        snapshot = read_snapshot(client, insights=[InsightSelection()])
        self.defs = build_posthog_definitions(
            posthog=posthog,
            warehouse=DuckDBWarehouse(path=str(folder / "w.duckdb")),
            ledger=LedgerResource(url=self.ledger_url),
            start_date=(datetime.now(UTC) - timedelta(days=5)).date(),
            snapshot=snapshot,
            read_by="rest",
            batch_jobs=[BatchJob(workflow=newsletter, cron="0 9 * * *", dry_run=True)],
            sensors=Sensors(replay=ReplaySensor(dry_run=True, hog_functions=True)),
        )
        self.resources = dict(self.defs.resources or {})
        self.repository = self.defs.get_repository_def()

    def add(self, where: str, text: object) -> None:
        self.texts.append((where, str(text)))

    def tick(self, sensor: str) -> list[dg.RunRequest]:
        definition = self.repository.get_sensor_def(sensor)
        with dg.build_sensor_context(
            instance=self.instance, repository_def=self.repository, resources=self.resources
        ) as context:
            data = definition.evaluate_tick(context)
        self.add(f"skip reason of {sensor}", data.skip_message)
        for event in data.asset_events:
            self.add(f"observation of {sensor}", getattr(event, "description", ""))
        return self.requests(sensor, data.run_requests or [])

    def schedule(self, name: str) -> list[dg.RunRequest]:
        definition = self.repository.get_schedule_def(name)
        with dg.build_schedule_context(
            instance=self.instance,
            repository_def=self.repository,
            resources={name: one for name, one in self.resources.items() if name != "warehouse"},
            scheduled_execution_time=datetime.now(UTC).replace(minute=0, second=0, microsecond=0),
        ) as context:
            data = definition.evaluate_tick(context)
        self.add(f"description of {name}", definition.description)
        self.add(f"skip reason of {name}", data.skip_message)
        return self.requests(name, data.run_requests or [])

    def requests(self, name: str, found: Any) -> list[dg.RunRequest]:
        for request in found:
            self.add(f"tags of a request of {name}", tags_line(request.tags))
        return list(found)

    def run(self, job: str, config: Any = None, tags: Any = None, **how: Any) -> bool:
        done = self.repository.get_job(job).execute_in_process(
            instance=self.instance,
            run_config={**(config or {}), **QUIET},
            tags=dict(tags or {}),
            raise_on_error=False,
            **how,
        )
        for entry in self.instance.all_logs(done.run_id):
            for line in (entry.user_message or "").splitlines():
                self.add(f"log of {job}", line)
            event = entry.dagster_event
            if event is not None and event.event_type_value == "STEP_FAILURE":
                failed = event.step_failure_data.user_failure_data
                self.add(f"failure of {job}", failed.description if failed else "")
        run = self.instance.get_run_by_id(done.run_id)
        assert run is not None
        shown = {k: v for k, v in run.tags.items() if not k.startswith(".dagster")}
        self.add(f"tags of {job}", tags_line(shown))
        return done.success

    def lost(self) -> Iterator[str]:
        """Each line with an id and without its name."""
        for where, text in self.texts:
            for line in text.splitlines():
                for id in {*UUID.findall(line)} & {*self.names}:
                    if self.names[id] not in line:
                        yield f"{where}: {line}"


def tags_line(tags: Any) -> str:
    """Tags as the UI shows them, in one row."""
    return " | ".join(f"{name}: {value}" for name, value in tags.items())


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Day]:
    with Sandbox("current", limits=False, marker_lag=0.0) as sandbox, an_instance() as instance:
        made = Day(sandbox, instance, tmp_path)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield made


@pytest.mark.integration  # a day of work: half a minute
def test_every_id_in_a_tick_a_run_a_log_or_a_command_has_its_name_beside_it(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(day.ledger_url) as book:
        acts = [
            Action(day.sandbox.project_id, "rerun", id, f"run-{n}", target_name=name)
            for n, (id, name) in enumerate(list(day.names.items())[:3])
        ]
        entries = [claim.entry for claim in book.claim_all(acts, "gone")]
        entries = book.mark_sent(entries, server_time=datetime.now(UTC))
        book.doubt(*entries, note="in doubt: the connection broke")
    # --- the sensor, and what it requests
    requests = day.tick("failed_runs_sensor")
    assert requests
    for request in requests[:2]:
        day.run("replay_runs", request.run_config, request.tags)
    day.tick("workflow_health_sensor")
    day.tick("posthog_observer")
    # --- schedules, and what they request
    (again,) = day.schedule("reconcile_actions_schedule")
    assert "In doubt: 1 of workflow" in again.tags["hog_dagster/detection"]
    assert day.run("reconcile_actions", again.run_config, again.tags)
    (send,) = day.schedule("batch_job_monthly_newsletter")
    assert day.run("send_batch_job", send.run_config, send.tags)
    # --- refreshes, with a workflow and a function that cannot be read
    for kind in ("hog_flows", "hog_functions"):
        for what in ("logs", "metrics", "invocation_results"):
            day.sandbox.fail("GET", f"*/{day.ids[kind][0]}/{what}/", 10_000, 0, 403, DENIED)
    assert day.run("refresh_posthog_snapshots_job")
    day.run("refresh_posthog_partitions_job", partition_key=DAY)
    assert any("was not read" in text for _, text in day.texts)
    # --- commands
    capsys.readouterr()
    for words in (
        ("replay", "--from", "-20d"),
        ("ledger", "list"),
        ("ledger", "list", "--json"),
        ("ledger", "export"),
    ):
        assert main(words) == 0, words
        shown = capsys.readouterr()
        day.add(" ".join(words), shown.out + shown.err)
    lost = "\n".join(dict.fromkeys(day.lost()))
    assert not lost, lost
    seen = "\n".join(text for _, text in day.texts)
    assert sum(id in seen for id in day.names) > 3, "the texts do show ids"
    assert json.loads(seen.splitlines()[-1])["target_name"]
