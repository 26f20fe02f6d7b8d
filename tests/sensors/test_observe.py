"""What happened in PostHog outside Dagster is observed once; what Dagster did is not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.ledger import Action
from hog_dagster.lineage import InsightSelection
from hog_dagster.lineage._graph import load_posthog_asset_specs
from hog_dagster.lineage._records import Snapshot, read_snapshot
from hog_dagster.posthog import PostHogClient
from hog_dagster.resources import PostHogResource
from hog_dagster.sensors import build_observing_sensor
from tests.acting_kit import House, house

NOW = datetime.now(UTC).replace(minute=40, second=0, microsecond=0)


@dataclass
class Watch:
    """A sensor over a sandbox; each `tick` is a tick of it, some time after the one before."""

    house: House
    options: dict[str, Any] = field(default_factory=dict)
    known: Snapshot | None = None
    cursor: str | None = None
    said: str = ""

    @property
    def world(self) -> Any:
        return self.house.sandbox.world

    def client(self) -> PostHogClient:
        sandbox = self.house.sandbox
        return PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id)

    def learn(self) -> list[dg.AssetSpec]:
        """Load definitions: the sensor knows the objects as they are now."""
        with self.client() as client:
            self.known = read_snapshot(client, insights=[InsightSelection()])
        return load_posthog_asset_specs(self.known)

    def sensor(self) -> dg.SensorDefinition:
        specs = load_posthog_asset_specs(self.known) if self.known else []
        return build_observing_sensor(specs=specs, known=self.known, **self.options)

    def tick(self, minutes: float = 2.0, **resources: Any) -> list[dg.AssetObservation]:
        self.house.sandbox.clock.advance(minutes * 60)
        sensor = self.sensor()
        with dg.build_sensor_context(
            instance=self.house.instance,
            cursor=self.cursor,
            resources={**self.house.resources(), **resources},
        ) as context:
            result = sensor.evaluate_tick(context)
        self.cursor, self.said = result.cursor, result.skip_message or ""
        events = list(result.asset_events)
        for event in events:
            assert isinstance(event, dg.AssetObservation)
            self.house.instance.report_runless_asset_event(event)
        return [event for event in events if isinstance(event, dg.AssetObservation)]

    def update(self, workflow: str, **changes: Any) -> None:
        with self.client() as client:
            client.workflows.update(workflow, changes)


def value(event: dg.AssetObservation, name: str) -> Any:
    return event.metadata[f"hog_dagster/{name}"].value


def kinds(events: list[dg.AssetObservation]) -> list[str]:
    return [value(event, "event") for event in events]


@pytest.fixture(params=["current"])
def watch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watch]:
    with house(tmp_path, request.param, now=NOW) as home:
        yield Watch(home)


both = pytest.mark.parametrize("watch", ["docs", "current"], indirect=True)

# --- definitions ------------------------------------------------------------------------------


@both
def test_a_changed_definition_is_told_once_with_what_and_who(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    (spec,) = [s for s in watch.learn() if s.key.path[1] == "workflow"]
    assert watch.tick() == []
    watch.house.sandbox.clock.advance(60)
    watch.update(made, exit_condition="exit_only_at_end", description="New words.")
    (event,) = watch.tick()
    assert event.asset_key == spec.key
    assert value(event, "changed") == "description, exit_condition"
    newer = watch.house.sandbox.generation == "current"
    assert value(event, "changed_by") == ("owner@example.com" if newer else "PostHog does not say")
    assert event.data_version == value(event, "code_version") != spec.code_version
    assert watch.tick() == []


def test_a_second_change_is_told_against_the_first(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    watch.learn()
    watch.tick()
    for changes, told in (
        ({"name": "Hello"}, "name"),
        ({"name": "Hi"}, "name"),
        ({"exit_condition": "exit_only_at_end"}, "exit_condition"),
    ):
        watch.house.sandbox.clock.advance(60)
        watch.update(made, **changes)
        (event,) = watch.tick()
        assert value(event, "changed") == told


def test_what_changed_between_loading_and_the_first_tick_is_told(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    watch.learn()
    watch.house.sandbox.clock.advance(300)
    watch.update(made, status="archived")
    (event,) = watch.tick()
    assert value(event, "changed") == "status"


def test_a_saved_draft_changes_nothing_that_is_live(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    watch.learn()
    watch.tick()
    watch.house.sandbox.clock.advance(60)
    row = watch.world.workflows[made]
    row.updated_at = watch.house.sandbox.clock.now()
    assert watch.tick() == []


def test_new_and_deleted_workflows_are_told(watch: Watch):
    gone = watch.world.add_workflow("Old")["id"]
    watch.learn()
    watch.tick()
    watch.house.sandbox.clock.advance(60)
    fresh = watch.world.add_workflow("Fresh")["id"]
    with watch.client() as client:
        client.workflows.delete(gone)
    events = watch.tick()
    told = {value(event, "object_id"): value(event, "changed") for event in events}
    assert told == {fresh: "it is new", gone: "deleted"}
    (made,) = [event for event in events if value(event, "object_id") == fresh]
    assert made.asset_key == dg.AssetKey(["posthog", "workflows"])
    assert watch.tick() == []


def test_hog_functions_and_insights_are_watched_too(watch: Watch):
    function = watch.world.add_hog_function("To the CRM")["id"]
    insight = watch.world.add_insight("Sign-ups")["id"]
    watch.options = {"insights": [InsightSelection()]}
    watch.learn()
    watch.tick()
    watch.house.sandbox.clock.advance(60)
    with watch.client() as client:
        client.hog_functions.update(function, {"enabled": False})
    row = watch.world.insights[insight]
    row.name, row.last_modified_at = "Sign-ups by day", watch.house.sandbox.clock.now()
    events = watch.tick()
    assert sorted(value(event, "changed") for event in events) == ["enabled", "name"]


# --- batch jobs -------------------------------------------------------------------------------


@both
def test_a_batch_job_sent_by_hand_is_told_and_one_of_dagster_is_not(watch: Watch):
    made = watch.world.add_workflow("Newsletter", "batch")["id"]
    watch.world.add_person("ada")
    watch.learn()
    watch.tick()
    sent = watch.house.batch(made, send_uncounted=True)
    assert sent.success
    with watch.client() as client:
        by_hand = client.workflows.create_batch_job(made)
    events = watch.tick()
    assert kinds(events) == ["batch_job"]
    assert value(events[0], "batch_job_id") == by_hand.id
    later = [kind for _ in range(3) for kind in kinds(watch.tick()) if kind == "batch_job"]
    assert len(later) <= 1  # that it ended, on servers that say so


def test_a_batch_job_that_may_be_dagsters_is_told_when_the_ledger_knows(watch: Watch):
    made = watch.world.add_workflow("Newsletter", "batch")["id"]
    watch.learn()
    watch.tick()
    with watch.house.book() as book:
        claim = book.claim(Action(1, "batch_send", made, "noon"), owner="run")
        now = watch.house.sandbox.clock.now()
        (sent,) = book.mark_sent([claim.entry], server_time=now)
        job = watch.world.add_batch_job(made, created_at=now, status="completed")
        assert watch.tick() == []
        book.confirm(sent, remote_id=job.id, note="read back")
    assert watch.tick() == []
    with watch.house.book() as book:
        claim = book.claim(Action(1, "batch_send", made, "evening"), owner="run")
        now = watch.house.sandbox.clock.now()
        (sent,) = book.mark_sent([claim.entry], server_time=now)
        other = watch.world.add_batch_job(made, created_at=now, status="completed")
        assert watch.tick() == []
        book.release(sent, note="nothing was sent")
    (event,) = watch.tick()
    assert value(event, "batch_job_id") == other.id


def test_the_end_of_a_batch_job_is_told_where_the_server_says_so(watch: Watch):
    made = watch.world.add_workflow("Newsletter", "batch")["id"]
    watch.learn()
    watch.tick()
    job = watch.world.add_batch_job(made, status="active", created_by=watch.world.user)
    (event,) = watch.tick()
    assert value(event, "caused_by") == "owner@example.com"
    watch.world.batch_jobs[job.id].status = "completed"
    (event,) = watch.tick()
    assert "completed" in str(event.description)
    assert watch.tick() == []


# --- runs -------------------------------------------------------------------------------------


def fail(watch: Watch, workflow: str, many: int = 1, **fields: Any) -> list[Any]:
    now = watch.house.sandbox.clock.now()
    runs = []
    for n in range(many):
        at = now + timedelta(milliseconds=n)
        runs.append(watch.world.add_run(workflow, "failed", at, finished_at=at, **fields))
        watch.world.emit_metric(workflow, at, "failed", "failure")
    return runs


def only(events: list[dg.AssetObservation], *wanted: str) -> list[dg.AssetObservation]:
    return [event for event in events if value(event, "event") in wanted]


def test_each_failed_run_is_told_once(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    watch.learn()
    watch.tick()
    runs = fail(watch, made, 3, error_kind="http_5xx")
    watch.world.add_run(made, "succeeded", watch.house.sandbox.clock.now())
    events = only(watch.tick(), "failed_run", "failed_runs")
    assert {value(e, "run_id") for e in events} == {run.invocation_id for run in runs}
    assert {value(e, "error_kind") for e in events} == {"http_5xx"}
    for _ in range(3):
        assert only(watch.tick(), "failed_run", "failed_runs") == []


def test_many_failed_runs_are_told_in_one_event(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    watch.options = {"most_events_per_workflow": 5}
    watch.learn()
    watch.tick()
    fail(watch, made, 30)
    events = watch.tick()
    assert len(only(events, "failed_run")) == 5
    (rest,) = only(events, "failed_runs")
    assert value(rest, "failed") == 25


def test_a_run_that_failed_again_after_dagster_reran_it_is_dagsters(watch: Watch):
    made = watch.world.add_workflow("Welcome")["id"]
    watch.learn()
    watch.tick()
    (mine,) = fail(watch, made, attempts=2, is_retry=True)
    (theirs,) = fail(watch, made, attempts=2, is_retry=True)
    with watch.house.book() as book:
        claim = book.claim(Action(1, "rerun", made, mine.invocation_id), owner="run")
        book.mark_sent([claim.entry], server_time=watch.house.sandbox.clock.now())
    events = only(watch.tick(), "failed_run")
    assert [value(event, "run_id") for event in events] == [theirs.invocation_id]


@both
def test_whole_hours_are_counted_once_with_replays_apart(watch: Watch):
    made = watch.world.add_workflow("Welcome", actions=None)
    workflow, step = made["id"], made["actions"][-2]["id"]
    watch.learn()
    watch.tick()
    at = watch.house.sandbox.clock.now()
    for name, kind, count, where in (
        ("succeeded", "success", 9, ""),
        ("failed", "failure", 1, ""),
        ("succeeded", "success", 20, step),
        ("email_sent", "email", 8, step),
    ):
        watch.world.emit_metric(workflow, at, name, kind, count, instance_id=where)
    with watch.house.book() as book:
        claim = book.claim(Action(1, "replay", workflow, "run-1"), owner="run")
        book.mark_sent([claim.entry], server_time=at)
    assert only(watch.tick(), "counts") == []
    (event,) = only(watch.tick(minutes=60), "counts")
    numbers = {n: v.value for n, v in event.metadata.items() if n.startswith("posthog/")}
    assert numbers["posthog/succeeded"] == 9
    assert numbers["posthog/failed"] == 1
    assert numbers["posthog/success_rate"] == 0.9
    assert numbers["posthog/email_sent"] == 8
    assert value(event, "replayed_by_dagster") == 1
    assert only(watch.tick(minutes=60), "counts") == []


# --- the tick ---------------------------------------------------------------------------------


def test_a_lost_cursor_tells_nothing_twice(watch: Watch):
    made = watch.world.add_workflow("Newsletter", "batch")["id"]
    watch.learn()
    watch.tick()
    watch.world.add_batch_job(made, status="completed")
    fail(watch, made, 2)
    assert len(watch.tick()) == 3
    for cursor in (None, "{", '{"version": 9}'):
        watch.cursor = cursor
        assert watch.tick() == []


def test_a_tick_with_few_requests_goes_on_where_it_stopped(watch: Watch):
    made = [watch.world.add_workflow(f"N{n}", "batch")["id"] for n in range(6)]
    watch.options = {"failed_runs": False, "counts": False}
    watch.learn()
    watch.tick()
    for workflow in made:
        watch.world.add_batch_job(workflow, status="completed")
    watch.options |= {"max_requests_per_tick": 6}
    told: list[str] = []
    for _ in range(6):
        told += [value(event, "object_id") for event in watch.tick()]
    assert sorted(told) == sorted(made)


def test_a_tick_says_what_it_saw_and_only_reads(watch: Watch):
    watch.world.add_workflow("Welcome")
    watch.learn()
    watch.tick()
    assert watch.said.startswith("Nothing new in PostHog. ")
    assert {request.method for request in watch.house.sandbox.requests} == {"GET"}


def test_without_a_project_the_tick_is_skipped(watch: Watch):
    nobody = PostHogResource(host=watch.house.sandbox.url, api_key="", project_id="")
    assert watch.tick(posthog=nobody) == []
    assert "No PostHog project" in watch.said


def test_a_server_in_trouble_keeps_the_place(watch: Watch):
    made = watch.world.add_workflow("Newsletter", "batch")["id"]
    watch.learn()
    watch.tick()
    watch.world.add_batch_job(made, status="completed")
    watch.house.sandbox.fail("GET", "*/batch_jobs/", times=0, status=502)
    assert watch.tick() == []
    assert "the next tick goes on" in watch.said
    watch.house.sandbox.clear_faults()
    assert kinds(watch.tick()) == ["batch_job"]
