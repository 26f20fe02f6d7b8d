"""The batch job: pre-flight, one send per key, reading back, following, cancelling."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.jobs import build_batch_job
from hog_dagster.ledger import Entry
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.engine._batches import AUDIENCE_LIMIT
from hog_dagster.sandbox.world import step
from tests.acting_kit import House, house

POST = "*/batch_jobs/"


@pytest.fixture(params=["docs", "current"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, request.param) as home:
        for number in range(5):
            home.sandbox.world.add_person(plan="pro" if number < 3 else "free")
        yield home


@pytest.fixture
def sandbox(home: House) -> Sandbox:
    return home.sandbox


@pytest.fixture
def workflow(sandbox: Sandbox) -> str:
    filters = {"properties": [{"key": "plan", "type": "person", "value": ["pro"]}]}
    trigger = {"type": "batch", "filters": filters}
    return sandbox.world.add_workflow("Newsletter", trigger=trigger)["id"]


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        home.sandbox.world.add_person()
        yield home


def test_a_key_is_sent_once_and_what_was_sent_is_told(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    ran = home.batch(workflow, key="may", variables={"coupon": "X"})
    assert ran.success
    assert ran.value["outcome"] == "confirmed"
    assert ran.metadata["audience"] == 3
    assert ran.value["batch_job_id"] == sandbox.world.batch_sends[0].batch_job_id
    again = home.batch(workflow, key="may", variables={"coupon": "X"})
    assert again.success
    assert again.value["outcome"] == "done_before"
    assert again.value["batch_job_id"] == ran.value["batch_job_id"]
    assert len(sandbox.world.batch_sends) == 1
    assert sandbox.world.batch_sends[0].variables == {"coupon": "X"}


def test_the_ledger_holds_no_values_of_variables(home: House, workflow: str) -> None:
    home.batch(workflow, key="may", variables={"coupon": "s3cret"})
    with home.book() as book:
        text = str(list(book.rows()))
    assert "s3cret" not in text
    assert "coupon" in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "draft", "trigger": "batch"}, "is draft: enable it first"),
        ({"status": "active", "trigger": "event"}, "triggered by event, not by batch"),
    ],
)
def test_a_workflow_that_cannot_be_sent_is_refused_before_anything_is_sent(
    home: House, sandbox: Sandbox, fields: dict[str, Any], says: str
) -> None:
    workflow = sandbox.world.add_workflow("Other", **fields)["id"]
    ran = home.batch(workflow, key="may")
    assert not ran.success
    assert says in ran.failure
    assert sandbox.count("POST", POST) == 0
    assert home.states() == {}


def test_an_audience_over_the_limit_is_refused(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    ran = home.batch(workflow, key="may", max_audience=2)
    assert not ran.success
    assert "3 people, more than 2" in ran.failure
    assert sandbox.count("POST", POST) == 0
    assert home.batch(workflow, key="may", max_audience=3).value["outcome"] == "confirmed"


def test_an_audience_over_the_server_s_own_limit_is_refused(
    newer: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AUDIENCE_LIMIT, "current", 100)
    world = newer.sandbox.world
    for _ in range(101):
        world.add_person()
    workflow = world.add_workflow("All", trigger="batch")["id"]
    ran = newer.batch(workflow, key="may")
    assert not ran.success
    assert "PostHog's" in ran.failure
    assert world.batch_sends == []


def test_an_audience_that_cannot_be_counted_is_refused_unless_allowed(tmp_path: Path) -> None:
    with house(tmp_path, "docs", keys_refused_on_custom_actions=True) as home:
        workflow = home.sandbox.world.add_workflow("N", trigger="batch")["id"]
        ran = home.batch(workflow, key="may", max_audience=10)
        assert not ran.success
        assert home.sandbox.world.batch_sends == []


def test_a_dry_run_says_what_would_be_sent(home: House, sandbox: Sandbox, workflow: str) -> None:
    ran = home.batch(workflow, key="may", dry_run=True)
    assert ran.value["outcome"] == "dry_run"
    assert "to 3 people" in ran.value["why"]
    assert sandbox.count("POST", POST) == 0
    assert home.states() == {}


def test_the_job_is_a_dry_run_unless_told_otherwise(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    ran = home.run(build_batch_job(), {"workflow": workflow})
    assert ran.value["outcome"] == "dry_run"
    assert sandbox.world.batch_sends == []


def test_a_second_click_is_held_back_and_a_key_of_its_own_is_not(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    assert home.batch(workflow).value["outcome"] == "confirmed"
    sandbox.clock.advance(60)
    again = home.batch(workflow)
    assert again.success
    assert again.value["outcome"] == "skipped"
    assert "give a key of its own" in again.value["why"]
    assert home.batch(workflow, key="on purpose").value["outcome"] == "confirmed"
    sandbox.clock.advance(4000)
    assert home.batch(workflow).value["outcome"] == "confirmed"
    assert len(sandbox.world.batch_sends) == 3


def test_a_run_and_its_re_executions_are_one_send(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.fail("POST", POST, cut="before")
    first = home.batch(workflow, grace_seconds=600)
    sandbox.clock.advance(700)
    home.again_of = first.run_id
    assert home.batch(workflow, grace_seconds=600).value["outcome"] == "confirmed"
    sandbox.clock.advance(4000)  # longer ago than a second click
    assert home.batch(workflow, grace_seconds=600).value["outcome"] == "done_before"
    assert len(sandbox.world.batch_sends) == 1
    assert list(home.states()) == [f"batch_send:run:{first.run_id}"]


def test_an_earlier_job_under_way_is_waited_out(newer: House) -> None:
    workflow = newer.sandbox.world.add_workflow("N", trigger="batch")["id"]
    assert newer.batch(workflow, key="1").value["outcome"] == "confirmed"
    held = newer.batch(workflow, key="2")
    assert held.success
    assert "is still queued" in held.value["why"]
    newer.sandbox.clock.advance(60)
    assert newer.batch(workflow, key="2").value["outcome"] == "confirmed"


def test_a_job_stuck_since_yesterday_does_not_hold_up_today_s(newer: House) -> None:
    world, now = newer.sandbox.world, newer.sandbox.clock.now()
    workflow = world.add_workflow("N", trigger="batch")["id"]
    for hours, status in ((23, "active"), (48, "completed")):
        world.add_batch_job(workflow, created_at=now - timedelta(hours=hours), status=status)
    assert newer.batch(workflow, key="1").value["outcome"] == "confirmed"


@pytest.mark.parametrize("fault", [{"cut": "after"}, {"status": 500, "effect": True}])
def test_a_send_whose_answer_was_lost_is_found_by_reading_back(
    home: House, sandbox: Sandbox, workflow: str, fault: dict[str, Any]
) -> None:
    sandbox.fail("POST", POST, **fault)
    ran = home.batch(workflow, key="may", reconcile_seconds=10, grace_seconds=600)
    assert ran.success
    assert ran.value["outcome"] == "confirmed"
    assert len(sandbox.world.batch_sends) == 1
    assert sandbox.count("POST", POST) == 1
    assert home.states() == {"batch_send:may": "confirmed"}


def test_a_send_that_did_not_happen_is_sent_in_the_end_once(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.fail("POST", POST, cut="before")
    first = home.batch(workflow, key="may", grace_seconds=600)
    assert first.success
    assert first.value["outcome"] == "in_doubt"
    assert home.batch(workflow, key="may", grace_seconds=600).value["outcome"] == "in_doubt"
    sandbox.clock.advance(700)
    assert home.batch(workflow, key="may", grace_seconds=600).value["outcome"] == "confirmed"
    assert len(sandbox.world.batch_sends) == 1


def test_two_jobs_that_could_be_it_are_left_to_an_operator(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.fail("POST", POST, cut="after")
    home.batch(workflow, key="may", grace_seconds=1)
    world = sandbox.world
    world.add_batch_job(
        workflow, created_by=world.user
    )  # somebody clicked in PostHog at the same time
    sandbox.clock.advance(60)
    ran = home.batch(workflow, key="may", grace_seconds=1)
    assert ran.success
    assert ran.value["outcome"] == "in_doubt"
    assert "ledger.sqlite resolve 1 --as confirmed|not-sent" in ran.value["why"]
    assert len(sandbox.world.batch_sends) == 1


def test_a_job_of_another_key_is_not_taken_for_this_one(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.fail("POST", POST, cut="before")
    home.batch(workflow, key="1", grace_seconds=600)
    home.batch(workflow, key="2", skip_if_running=False)
    sandbox.clock.advance(700)
    ran = home.batch(workflow, key="1", grace_seconds=600, skip_if_running=False)
    assert ran.value["outcome"] == "confirmed"
    assert len(sandbox.world.batch_sends) == 2


def test_what_posthog_refuses_may_be_tried_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.fail("POST", POST, status=400, body={"variables": ["Must be an object."]})
    ran = home.batch(workflow, key="may")
    assert not ran.success
    assert home.batch(workflow, key="may").value["outcome"] == "confirmed"
    assert len(sandbox.world.batch_sends) == 1


def test_the_confirm_token_is_passed_on(newer: House) -> None:
    workflow = newer.sandbox.world.add_workflow("N", trigger="batch")["id"]
    newer.batch(workflow, key="1")
    sent = [r.body for r in newer.sandbox.requests if r.path.endswith("/batch_jobs/") and r.body]
    assert sent[0]["confirm_token"]


def test_a_job_is_followed_to_its_end(newer: House) -> None:
    sandbox = newer.sandbox
    workflow = sandbox.world.add_workflow("N", trigger="batch")["id"]

    def move_on(step: str, _entry: Entry) -> None:
        if step == "confirm":
            sandbox.clock.advance(3600)

    newer.watch(after_commit=move_on)
    ran = newer.batch(workflow, key="1", follow_seconds=20)
    assert ran.success
    assert ran.metadata["job_status"] == "completed"


def test_reconciling_confirms_sends(home: House, sandbox: Sandbox, workflow: str) -> None:
    sandbox.fail("POST", POST, cut="after")
    home.batch(workflow, key="may", grace_seconds=600)
    posts = sandbox.count("POST", POST)
    assert home.reconcile(600).value["confirmed"] == 1
    assert sandbox.count("POST", POST) == posts
    assert home.batch(workflow, key="may").value["outcome"] == "done_before"


def test_without_its_ledger_nothing_is_sent(home: House, sandbox: Sandbox, workflow: str) -> None:
    home.ledger_url = "postgresql://hog:s3cret@127.0.0.1:1/ledger"
    ran = home.batch(workflow, key="may")
    assert not ran.success
    assert "Nothing is sent without it" in ran.failure
    assert sandbox.count("POST") == 0


def test_it_says_whether_it_sends_e_mail_and_to_how_many(newer: House) -> None:
    plain = newer.sandbox.world.add_workflow("Plain", trigger="batch")["id"]
    step_of = {"template_id": "template-email", "inputs": {}}
    mail = {**step("m", "function_email", step_of), "name": "Monthly letter"}
    letter = newer.sandbox.world.add_workflow("Letter", trigger="batch", actions=[mail])["id"]
    silent, loud = (newer.batch(one, key="1", dry_run=True) for one in (plain, letter))
    assert (silent.metadata["sends_email"], loud.metadata["sends_email"]) == (False, True)
    assert loud.metadata["messages"] == "Monthly letter"
    assert "to 1 people (e-mail)" in loud.value["why"]
    bodies = [r.body for r in newer.sandbox.requests if "blast_radius" in r.path and r.body]
    assert [bool(body.get("sends_email")) for body in bodies] == [False, True]


def test_a_workflow_is_named_by_name_and_said_by_both(newer: House) -> None:
    workflow = newer.sandbox.world.add_workflow("Letter", trigger="batch")["id"]
    ran = newer.batch("Letter", key="1")
    assert ran.metadata["target"] == "Letter"
    tags = newer.instance.get_run_by_id(ran.run_id).tags  # type: ignore[union-attr]
    assert (tags["hog_dagster/workflow"], tags["hog_dagster/workflow_id"]) == ("Letter", workflow)
    assert not newer.batch("Lettr", key="1").success


@pytest.mark.parametrize("name", ["html_403", "empty_499", "redirect_303_same_host"])
def test_a_send_that_a_proxy_answered_is_not_sent_again(
    home: House, sandbox: Sandbox, workflow: str, name: str
) -> None:
    sandbox.fail_as(name, "POST", POST, effect=True)
    home.batch(workflow, key="may", grace_seconds=600)
    sandbox.clock.advance(3600)
    home.batch(workflow, key="may", grace_seconds=600)
    assert len(sandbox.world.batch_sends) == 1
    assert home.states() == {"batch_send:may": "confirmed"}
