"""The job that makes a schedule in PostHog: once, however often it is launched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, house

POST = "*/schedules/"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        yield home


@pytest.fixture
def sandbox(home: House) -> Sandbox:
    return home.sandbox


@pytest.fixture
def workflow(sandbox: Sandbox) -> str:
    return sandbox.world.add_workflow("Newsletter", trigger="batch")["id"]


def test_launching_it_twice_makes_one_schedule(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    first = home.schedule(workflow)
    assert first.value["outcome"] == "confirmed"
    again = home.schedule(workflow)
    assert again.value["outcome"] == "done_before"
    assert again.value["schedule_id"] == first.value["schedule_id"]
    assert list(sandbox.world.schedules) == [first.value["schedule_id"]]


def test_another_rule_is_another_schedule(home: House, sandbox: Sandbox, workflow: str) -> None:
    home.schedule(workflow)
    home.schedule(workflow, rrule="FREQ=WEEKLY")
    home.schedule(workflow, variables={"coupon": "X"})
    assert len(sandbox.world.schedules) == 3


def test_a_lost_answer_is_read_back(home: House, sandbox: Sandbox, workflow: str) -> None:
    sandbox.fail("POST", POST, cut="after")
    assert home.schedule(workflow, reconcile_seconds=10).value["outcome"] == "confirmed"
    assert len(sandbox.world.schedules) == 1
    assert sandbox.count("POST", POST) == 1


def test_a_request_that_never_arrived_is_sent_again_after_the_grace_time(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.fail("POST", POST, cut="before")
    assert home.schedule(workflow, grace_seconds=600).value["outcome"] == "in_doubt"
    assert home.reconcile(600).value["in_doubt"] == 1
    sandbox.clock.advance(700)
    assert home.schedule(workflow, grace_seconds=600).value["outcome"] == "confirmed"
    assert len(sandbox.world.schedules) == 1


def test_what_posthog_refuses_fails_with_its_words(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    ran = home.schedule(workflow, rrule="FREQ=MINUTELY")
    assert not ran.success
    assert "at most once per hour" in ran.failure
    assert sandbox.world.schedules == {}


def test_a_dry_run_makes_nothing(home: House, sandbox: Sandbox, workflow: str) -> None:
    assert home.schedule(workflow, dry_run=True).value["outcome"] == "dry_run"
    assert sandbox.count("POST", POST) == 0


def test_a_start_that_is_no_time_is_named(home: House, sandbox: Sandbox, workflow: str) -> None:
    for word in ("soon", ""):
        ran = home.schedule(workflow, starts_at=word)
        assert not ran.success
        assert "starts_at is" in ran.failure
    assert sandbox.count() == 0
