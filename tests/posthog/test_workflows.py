"""Every method of the workflows service against a server of either generation."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted_server import Reply, scripted

from hog_dagster.posthog import PostHogClient, errors, models
from hog_dagster.sandbox import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MISSING = "01900000-0000-0000-0000-000000000000"
TRIGGER = {
    "id": "trigger_node",
    "name": "Trigger",
    "type": "trigger",
    "config": {"type": "event", "filters": {"events": [{"id": "signed up", "type": "events"}]}},
}
EXIT = {"id": "exit_node", "name": "Exit", "type": "exit", "config": {"reason": "Default exit"}}
EDGES = [{"from": "trigger_node", "to": "exit_node", "type": "continue"}]
Place = tuple[Sandbox, PostHogClient]
Start = Callable[..., Place]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(generation: Any = "docs", **settings: Any) -> Place:
            settings = {"populate": False, "limits": False, "now": NOON, **settings}
            sandbox = stack.enter_context(Sandbox(generation, **settings))
            client = PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False)
            return sandbox, stack.enter_context(client)

        yield begin


@pytest.fixture(params=["docs", "current"])
def place(request: pytest.FixtureRequest, start: Start) -> Place:
    return start(request.param)


@pytest.fixture
def docs(start: Start) -> Place:
    return start("docs")


@pytest.fixture
def current(start: Start) -> Place:
    return start("current")


# -- the catalog ---------------------------------------------------------------------------------


def test_a_workflow_is_made_read_changed_and_deleted(place: Place) -> None:
    _, client = place
    workflows = client.workflows
    made = workflows.create({"name": "Welcome", "actions": [TRIGGER, EXIT], "edges": EDGES})
    assert (made.name, made.status) == ("Welcome", "draft")
    assert [action.type for action in made.actions] == ["trigger", "exit"]
    assert (made.edges[0].from_, made.edges[0].to) == ("trigger_node", "exit_node")
    assert made.trigger["type"] == "event"
    assert made.created_at == made.updated_at or made.created_at is not None
    assert isinstance(made.created_by, models.User)

    assert workflows.get(made.id).name == "Welcome"
    assert workflows.update(made.id, {"name": "Hello"}).name == "Hello"
    assert [row.name for row in workflows.list()] == ["Hello"]

    workflows.delete(made.id)
    assert list(workflows.list()) == []
    with pytest.raises(errors.NotFound, match=made.id):
        workflows.get(made.id)
    with pytest.raises(errors.NotFound):
        workflows.delete(made.id)


def test_a_refused_workflow_says_where_it_is_wrong(place: Place) -> None:
    _, client = place
    for actions in ([], [EXIT], [TRIGGER, TRIGGER]):
        with pytest.raises(errors.InvalidRequest) as caught:
            client.workflows.create({"name": "Welcome", "actions": actions})
        assert caught.value.attr == "actions"
        assert " at actions" in str(caught.value)


def test_a_whole_workflow_can_be_put(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow("Old")["id"]
    body = {"name": "New", "actions": [TRIGGER, EXIT], "edges": EDGES, "status": "draft"}
    assert client.workflows.replace(workflow, body).name == "New"


def test_a_stale_change_is_a_conflict_on_newer_servers(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow("Old")["id"]
    seen = client.workflows.get(workflow)
    sandbox.clock.advance(5)
    client.workflows.update(workflow, {"name": "Theirs"})
    with pytest.raises(errors.Conflict) as caught:
        client.workflows.update(workflow, {"name": "Ours", "base_updated_at": seen.updated_at})
    assert caught.value.code == "stale_update"
    fresh = client.workflows.get(workflow)
    changes = {"name": "Ours", "base_updated_at": fresh.updated_at}
    assert client.workflows.update(workflow, changes).name == "Ours"


def test_a_row_that_never_got_a_graph_reads_as_one_without_steps(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow(None, actions={})["id"]
    row = client.workflows.get(workflow)
    assert (row.name, row.actions, row.edges) == (None, [], [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created_at", "0001-01-01T00:00:00+05:00"),  # before year 1 in UTC
        ("updated_at", "yesterday"),
        ("version", "12.5"),
        ("name", ["Welcome"]),
        ("variables", "none"),
        ("actions", [None]),
        ("edges", 5),
        ("created_by", {"id": 1.5}),
    ],
)
def test_one_odd_field_of_one_workflow_costs_no_other_workflow(
    name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"id": "w1", name: value, "description": "kept"}, {"id": "w2", "name": "Trial"}]
    with (
        scripted(Reply(200, {"count": 2, "next": None, "results": rows})) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        found = list(client.workflows.list())
    assert [(row.id, row.description, row.name) for row in found] == [
        ("w1", "kept", None),
        ("w2", None, "Trial"),
    ]
    assert f"Workflow w1 has an odd {name}" in caplog.text


@pytest.mark.parametrize("key", [{"is": "odd"}, ["w1"], None, "", 1.5])
def test_a_workflow_that_cannot_be_named_makes_the_list_a_malformed_one(key: Any) -> None:
    rows = [{"id": "w0", "name": "Trial"}, {"id": key, "name": "Welcome"}]
    with (
        scripted(Reply(200, {"count": 2, "next": None, "results": rows})) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(errors.MalformedResponse, match="not every row has id"),
    ):
        list(client.workflows.list())


def test_the_list_can_be_narrowed(place: Place) -> None:
    sandbox, client = place
    sandbox.world.add_workflow("A", "event", status="active")
    sandbox.world.add_workflow("B", "batch", status="draft")
    listed = client.workflows.list
    assert [row.name for row in listed(status="active")] == ["A"]
    assert [row.name for row in listed(trigger={"type": "batch"})] == ["B"]
    assert [row.name for row in listed(status="archived")] == []


def test_a_filter_that_cannot_be_read_is_refused(place: Place) -> None:
    _, client = place
    with pytest.raises(errors.InvalidRequest) as caught:
        list(client.workflows.list(created_by="nobody"))
    assert caught.value.attr == "created_by"


def test_archived_workflows_are_deleted_many_at_a_time(place: Place) -> None:
    sandbox, client = place
    ids = [sandbox.world.add_workflow(status="archived")["id"] for _ in range(3)]
    live = sandbox.world.add_workflow(status="active")["id"]
    assert client.workflows.bulk_delete([*ids, live]) >= 3
    assert [row.id for row in client.workflows.list()] == [live]
    assert client.workflows.bulk_delete([live]) == 0
    for wrong in ([], ["x"]):
        with pytest.raises(errors.InvalidRequest):
            client.workflows.bulk_delete(wrong)


# -- sends ---------------------------------------------------------------------------------------


def test_a_batch_job_is_sent_and_listed(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow("News", "batch")["id"]
    assert client.workflows.batch_jobs(workflow) == []
    job = client.workflows.create_batch_job(workflow, variables={"coupon": "X"})
    assert (job.hog_flow, job.variables) == (workflow, {"coupon": "X"})
    assert job.created_at is not None
    (listed,) = client.workflows.batch_jobs(workflow)
    assert listed.id == job.id
    assert len(sandbox.world.batch_sends) == 1


def test_a_batch_job_of_a_workflow_that_is_not_there_names_it(place: Place) -> None:
    _, client = place
    with pytest.raises(errors.NotFound, match=MISSING):
        client.workflows.create_batch_job(MISSING)
    with pytest.raises(errors.NotFound, match=MISSING):
        client.workflows.batch_jobs(MISSING)


def test_a_draft_is_not_sent_on_newer_servers(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow("News", "batch", status="draft")["id"]
    with pytest.raises(errors.InvalidRequest, match="must be active"):
        client.workflows.create_batch_job(workflow)
    assert sandbox.world.batch_sends == []


def test_a_batch_job_can_be_cancelled_on_newer_servers(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow("News", "batch")["id"]
    job = client.workflows.create_batch_job(workflow)
    answer = client.workflows.cancel_batch_job(workflow, job.id)
    assert isinstance(answer.done, bool)
    with pytest.raises(errors.NotFound):
        client.workflows.cancel_batch_job(workflow, MISSING)


def test_people_are_counted_before_a_send(place: Place) -> None:
    sandbox, client = place
    for n in range(5):
        sandbox.world.add_person(plan="pro" if n < 2 else "free")
    everyone = client.workflows.blast_radius({"properties": []})
    assert (everyone.affected, everyone.total) == (5, 5)
    some = {"properties": [{"key": "plan", "type": "person", "value": ["pro"]}]}
    assert client.workflows.blast_radius(some).affected == 2


def test_schedules_are_made_changed_and_deleted(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow("News", "batch")["id"]
    made = client.workflows.create_schedule(
        workflow,
        {"rrule": "FREQ=DAILY", "starts_at": NOON + HOUR, "timezone": "Europe/Berlin"},
    )
    assert (made.starts_at, made.timezone, made.status) == (NOON + HOUR, "Europe/Berlin", "active")
    assert [row.id for row in client.workflows.schedules(workflow)] == [made.id]
    changed = client.workflows.update_schedule(workflow, made.id, {"rrule": "FREQ=WEEKLY"})
    assert changed.rrule == "FREQ=WEEKLY"
    client.workflows.delete_schedule(workflow, made.id)
    assert client.workflows.schedules(workflow) == []
    with pytest.raises(errors.NotFound):
        client.workflows.delete_schedule(workflow, made.id)


def test_a_refused_schedule_says_what_is_wrong(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow("News", "batch")["id"]
    body = {"rrule": "FREQ=SOMETIMES", "starts_at": NOON + HOUR}
    with pytest.raises(errors.InvalidRequest) as caught:
        client.workflows.create_schedule(workflow, body)
    assert caught.value.attr == "rrule"
    with pytest.raises(ValueError, match="no time zone"):
        client.workflows.create_schedule(workflow, {"starts_at": NOON.replace(tzinfo=None)})


# -- blocked runs --------------------------------------------------------------------------------


def test_blocked_runs_are_read_whole_and_once(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    blocked = sandbox.world.add_blocked_runs(workflow, 30, unreplayable=2)
    runs = list(client.workflows.blocked_runs(workflow))
    assert {run.instance_id for run in runs} == {run["instance_id"] for run in blocked}
    assert sum(run.event_uuid is None for run in runs) == 1
    assert all(run.timestamp.tzinfo is not None for run in runs)
    assert client.requests_made == 1


def test_more_blocked_runs_than_a_page_are_read_whole(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    blocked = sandbox.world.add_blocked_runs(workflow, 1_300)
    runs = [run.instance_id for run in client.workflows.blocked_runs(workflow)]
    assert len(runs) == 1_300
    assert set(runs) == {run["instance_id"] for run in blocked}


def test_a_blocked_run_is_replayed(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_blocked_runs(workflow, 3)
    run = next(client.workflows.blocked_runs(workflow))
    assert client.workflows.replay_blocked_run(workflow, run).status == "queued"
    as_mapping = {
        "instance_id": run.instance_id,
        "action_id": run.action_id,
        "event_uuid": run.event_uuid,
        "message": "more than is sent",
    }
    assert client.workflows.replay_blocked_run(workflow, as_mapping).status == "queued"
    assert [replay.instance_id for replay in sandbox.world.replays] == [run.instance_id] * 2
    sandbox.clock.advance(60)
    assert len(list(client.workflows.blocked_runs(workflow))) == 2


def test_replaying_while_iterating_loses_no_run(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_blocked_runs(workflow, 12)
    for run in client.workflows.blocked_runs(workflow):
        client.workflows.replay_blocked_run(workflow, run)
        sandbox.clock.advance(60)
    assert len({replay.instance_id for replay in sandbox.world.replays}) == 12


def test_a_run_that_names_no_event_is_not_sent_for_replay(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_blocked_runs(workflow, 2, unreplayable=2)
    run = next(run for run in client.workflows.blocked_runs(workflow) if run.event_uuid is None)
    with pytest.raises(ValueError, match=rf"{run.instance_id}.*no event_uuid"):
        client.workflows.replay_blocked_run(workflow, run)
    assert sandbox.count("POST", "*/replay_blocked_run/") == 0


def test_a_run_that_is_not_blocked_is_named(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    run = {"instance_id": MISSING, "action_id": "a", "event_uuid": MISSING}
    with pytest.raises(errors.NotFound, match=MISSING):
        client.workflows.replay_blocked_run(workflow, run)


def test_all_blocked_runs_are_replayed_but_those_that_cannot(docs: Place) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_blocked_runs(workflow, 14, unreplayable=2)
    answer = client.workflows.replay_all_blocked_runs(workflow)
    assert (answer.succeeded, answer.failed, answer.skipped) == (12, 0, 2)


def test_keys_may_be_refused_whatever_their_scopes(start: Start) -> None:
    sandbox, client = start("docs", keys_refused_on_custom_actions=True)
    workflow = sandbox.world.add_workflow()["id"]
    for call in (
        lambda: list(client.workflows.blocked_runs(workflow)),
        lambda: client.workflows.batch_jobs(workflow),
        lambda: client.workflows.schedules(workflow),
        lambda: client.workflows.blast_radius({}),
    ):
        with pytest.raises(errors.NotOpenToKeys, match="no scoped key"):
            call()


# -- runs of newer servers -----------------------------------------------------------------------


def test_runs_are_read_once_whatever_the_ties(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    made = [
        sandbox.world.add_run(
            workflow,
            ("failed", "succeeded")[n % 2],
            NOON - timedelta(seconds=1 + n // 400, milliseconds=n % 7),
        ).invocation_id
        for n in range(1_300)
    ]
    window: dict[str, Any] = {"after": NOON - HOUR, "before": NOON}
    runs = list(client.workflows.invocation_results(workflow, **window))
    assert len(runs) == 1_300
    assert {run.invocation_id for run in runs} == set(made)
    failed = list(client.workflows.invocation_results(workflow, status="failed", **window))
    assert len(failed) == 650
    assert {run.status for run in failed} == {"failed"}


def test_a_full_second_of_runs_is_split_by_status(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    for n in range(900):
        status = ("failed", "succeeded", "running")[n % 3]
        sandbox.world.add_run(workflow, status, NOON - timedelta(minutes=5))
    runs = client.workflows.invocation_results(workflow, after=NOON - HOUR, before=NOON)
    assert len({run.invocation_id for run in runs}) == 900


def test_runs_can_be_counted_and_looked_into(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    run = sandbox.world.add_run(workflow, "failed", NOON - timedelta(minutes=5))
    sandbox.world.add_run(workflow, "succeeded", NOON - timedelta(seconds=1, microseconds=1))
    window: dict[str, Any] = {"after": NOON - HOUR, "before": NOON}
    assert client.workflows.invocation_results_count(workflow, **window) == 2
    assert client.workflows.invocation_results_count(workflow, status="failed", **window) == 1
    detail = client.workflows.invocation_result(workflow, run.invocation_id)
    assert detail.status == "failed"
    assert "invocation_globals" not in (detail.model_extra or {})
    with pytest.raises(errors.NotFound):
        client.workflows.invocation_result(workflow, MISSING)


def test_failed_runs_are_run_again_by_id(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    runs = [sandbox.world.add_run(workflow, "failed", NOON - HOUR) for _ in range(3)]
    answer = client.workflows.rerun(
        workflow,
        invocation_ids=[runs[0].invocation_id, runs[0].invocation_id],
        window_start=NOON - 2 * HOUR,
        window_end=NOON,
        status="failed",
    )
    assert answer.rerun_job_id
    assert (answer.queued_count, answer.skipped_count) == (0, 0)
    sandbox.clock.advance(600)
    assert [replay.instance_id for replay in sandbox.world.replays] == [runs[0].invocation_id]


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"invocation_ids": []}, ValueError, "None would mean every run"),
        ({"invocation_ids": "abc"}, TypeError, "a list of ids"),
        ({"invocation_ids": map(str, range(10_001))}, ValueError, "10000 at once"),
        ({"window_start": NOON - timedelta(days=31)}, ValueError, "30 days"),
        ({"window_start": NOON}, ValueError, "not earlier"),
        ({"window_end": NOON.replace(tzinfo=None)}, ValueError, "no time zone"),
    ],
)
def test_a_rerun_that_cannot_be_meant_is_not_sent(
    current: Place, changes: dict[str, Any], kind: type[Exception], says: str
) -> None:
    _, client = current
    asked: dict[str, Any] = {"window_start": NOON - HOUR, "window_end": NOON, "status": "failed"}
    with pytest.raises(kind, match=says):
        client.workflows.rerun("w1", **{**asked, **changes})
    assert client.requests_made == 0


def test_waiting_runs_are_cancelled_by_id_or_all(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    runs = [sandbox.world.add_run(workflow, "running", NOON - HOUR) for _ in range(3)]
    one = client.workflows.cancel_invocations(workflow, invocation_ids=[runs[0].invocation_id])
    assert one.marked >= 1
    assert isinstance(client.workflows.cancel_invocations(workflow, all=True).done, bool)
    wrongs: list[dict[str, Any]] = [
        {},
        {"invocation_ids": ["x"], "all": True},
        {"invocation_ids": []},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="cancel_invocations"):
            client.workflows.cancel_invocations(workflow, **wrong)


def test_a_start_with_the_same_key_starts_once(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow("Weekly", "schedule")["id"]
    first = client.workflows.run(workflow, idempotency_key="2026-W47")
    again = client.workflows.run(workflow, idempotency_key="2026-W47")
    assert first.invocation_id == again.invocation_id
    with pytest.raises(ValueError, match="idempotency_key"):
        client.workflows.run(workflow, idempotency_key=" ")


def test_all_workflows_are_counted_in_one_request(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.emit_metric(workflow, NOON - HOUR, "failed", "failure", 3)
    sandbox.world.emit_metric(workflow, NOON - HOUR, "succeeded", "success", 5)
    (row,) = client.workflows.global_metrics(after=NOON - 2 * HOUR, before=NOON)
    assert (row.workflow_id, row.succeeded, row.failed) == (workflow, 5, 3)


def test_drafts_are_staged_published_and_restored(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    changes = {"exit_condition": "exit_on_conversion", "stage_draft": True}
    staged = client.workflows.update(workflow, changes)
    assert staged.draft["exit_condition"] == "exit_on_conversion"
    preview = client.workflows.publish(workflow)
    assert preview.published is False
    assert preview.confirm_token
    done = client.workflows.publish(workflow, confirm_token=preview.confirm_token)
    assert done.published is True
    assert done.workflow is not None
    assert done.workflow.exit_condition == "exit_on_conversion"
    assert client.workflows.discard_draft(workflow).draft is None


def test_revisions_are_listed_read_and_restored(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow(variables=[{"key": "a", "type": "string"}])["id"]
    client.workflows.update(workflow, {"variables": []})
    assert [row.version for row in client.workflows.revisions(workflow)] == [2, 1]
    assert client.workflows.revision(workflow, 1).content["variables"][0]["key"] == "a"
    assert client.workflows.restore_revision(workflow, 1).draft is not None
    with pytest.raises(errors.Conflict) as caught:
        client.workflows.restore_revision(workflow, 2)
    assert caught.value.code == "draft_exists"
    assert client.workflows.restore_revision(workflow, 2, overwrite=True).draft is not None
    with pytest.raises(errors.NotFound, match="No such revision"):
        client.workflows.revision(workflow, 9)


def test_the_graph_is_edited_in_place(current: Place) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    action = client.workflows.get(workflow).actions[1]
    edit = {"op": "update_action", "id": action.id, "patch": {"name": "Renamed"}}
    changed = client.workflows.update_graph(workflow, [edit])
    assert [row.name for row in changed.actions if row.id == action.id] == ["Renamed"]
    with pytest.raises(errors.PostHogError):
        client.workflows.update_graph(workflow, [{"op": "dance"}])


# -- tests of steps ------------------------------------------------------------------------------


def test_a_step_is_tested_without_sending(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow()["id"]
    answer = client.workflows.test_invocation(workflow, globals={"event": {"event": "signed up"}})
    assert answer.status == "success"
    assert answer.next_action_id
    with pytest.raises(ValueError, match="must hold an event"):
        client.workflows.test_invocation(workflow, globals={})


# -- what a server does not have -----------------------------------------------------------------

NEWER: dict[str, Callable[[PostHogClient, str], Any]] = {
    "cancel_batch_job": lambda c, w: c.workflows.cancel_batch_job(w, MISSING),
    "invocation_results": lambda c, w: list(
        c.workflows.invocation_results(w, after=NOON - HOUR, before=NOON)
    ),
    "invocation_result": lambda c, w: c.workflows.invocation_result(w, MISSING),
    "invocation_results_count": lambda c, w: c.workflows.invocation_results_count(
        w, after=NOON - HOUR, before=NOON
    ),
    "rerun": lambda c, w: c.workflows.rerun(
        w, window_start=NOON - HOUR, window_end=NOON, status="failed"
    ),
    "cancel_invocations": lambda c, w: c.workflows.cancel_invocations(w, all=True),
    "run": lambda c, w: c.workflows.run(w, idempotency_key="k"),
    "global_metrics": lambda c, w: c.workflows.global_metrics(),
    "version_metrics": lambda c, w: c.workflows.version_metrics(w, version=1),
    "update_graph": lambda c, w: c.workflows.update_graph(w, []),
    "update_action_email": lambda c, w: c.workflows.update_action_email(w, "a", {}),
    "publish": lambda c, w: c.workflows.publish(w),
    "discard_draft": lambda c, w: c.workflows.discard_draft(w),
    "revisions": lambda c, w: list(c.workflows.revisions(w)),
    "revision": lambda c, w: c.workflows.revision(w, 1),
    "restore_revision": lambda c, w: c.workflows.restore_revision(w, 1),
}


@pytest.mark.parametrize("name", NEWER)
def test_an_older_server_without_the_endpoint_says_what_to_use(docs: Place, name: str) -> None:
    sandbox, client = docs
    workflow = sandbox.world.add_workflow()["id"]
    with pytest.raises(errors.EndpointMissing, match="does not have this endpoint") as caught:
        NEWER[name](client, workflow)
    said = str(caught.value).partition("does not have this endpoint. ")[2]
    assert len(said) > 15
    assert client.requests_made == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda c, w: list(c.workflows.blocked_runs(w)),
        lambda c, w: c.workflows.replay_all_blocked_runs(w),
        lambda c, w: c.workflows.replay_blocked_run(
            w, {"instance_id": "i", "action_id": "a", "event_uuid": "e"}
        ),
    ],
)
def test_a_newer_server_without_blocked_runs_names_rerun(
    current: Place, call: Callable[[PostHogClient, str], Any]
) -> None:
    sandbox, client = current
    workflow = sandbox.world.add_workflow()["id"]
    with pytest.raises(errors.EndpointMissing, match="rerun"):
        call(client, workflow)


def test_an_action_without_its_scope_names_the_scope(start: Start) -> None:
    _, reader = start("current", keys={"phx_reader": ["hog_flow:read"]})
    calls: dict[str, Callable[[], Any]] = {
        "hog_flow:write": lambda: reader.workflows.create({}),
        "person:read": lambda: reader.workflows.blast_radius({}),
    }
    for scope, call in calls.items():
        with pytest.raises(errors.MissingScope) as caught:
            call()
        assert caught.value.scope == scope
        assert scope in str(caught.value)


# -- shapes that changed over time ---------------------------------------------------------------


@pytest.mark.parametrize(
    "author",
    [None, 7, "01a1fbfc-600e-0000-d7b2-3c0c9fbda4f3", {"id": 7, "email": "a@x.io", "new": 1}],
)
def test_an_author_may_come_in_any_form_it_ever_had(author: Any) -> None:
    body = {"id": "w1", "created_by": author, "actions": None, "edges": {}, "brand_new": {"a": 1}}
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        workflow = client.workflows.get("w1")
    kept = workflow.model_dump(by_alias=True)
    assert workflow.model_extra == {"brand_new": {"a": 1}}
    assert (workflow.actions, workflow.edges) == ([], [])
    if isinstance(author, dict):
        assert author.items() <= kept["created_by"].items()
    else:
        assert kept["created_by"] == author


def test_enums_are_open() -> None:
    body = {
        "id": "w1",
        "status": "hibernating",
        "exit_condition": "exit_at_dawn",
        "actions": [{"id": "a", "type": "agent", "on_error": "shrug", "config": None}],
    }
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        workflow = client.workflows.get("w1")
    assert (workflow.status, workflow.exit_condition) == ("hibernating", "exit_at_dawn")
    assert (workflow.actions[0].type, workflow.actions[0].config) == ("agent", {})
