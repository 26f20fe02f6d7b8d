"""Safety settings of the project hold for runs that somebody launches by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.policies import Safety
from tests.acting_kit import House, effects, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        for _ in range(3):
            home.sandbox.world.add_person()
        home.sandbox.world.add_workflow("Newsletter", trigger="batch")
        yield home


def failing(home: House, name: str, n: int = 1) -> list[Any]:
    workflow = home.sandbox.world.add_workflow(name)["id"]
    return [home.sandbox.world.add_run(workflow, "failed") for _ in range(n)]


def test_a_dry_run_at_the_top_sends_nothing_whatever_a_run_says(home: House) -> None:
    home.safety = Safety(dry_run=True)
    runs = failing(home, "Onboarding")
    assert home.replay("Onboarding", runs, dry_run=False).value["dry_run"] == 1
    assert home.batch("Newsletter", dry_run=False).value["outcome"] == "dry_run"
    assert home.schedule("Newsletter", dry_run=False).value["outcome"] == "dry_run"
    assert home.states() == {}
    home.sandbox.clock.advance(60)
    assert effects(home.sandbox) == {}
    assert home.sandbox.world.batch_sends == []
    assert home.sandbox.world.schedules == {}


def test_the_smaller_audience_and_the_smaller_number_of_runs_hold(home: House) -> None:
    home.safety = Safety(max_audience=2, max_runs=1)
    ran = home.batch("Newsletter", max_audience=100)
    assert not ran.success
    assert "more than 2 (max_audience)" in ran.failure
    runs = failing(home, "Onboarding", 3)
    ran = home.replay("Onboarding", runs, max_runs=100)
    assert ran.value["skipped"] == 2
    home.sandbox.clock.advance(60)
    assert len(effects(home.sandbox)) == 1


def test_an_uncounted_audience_is_not_sent_to_when_the_project_says_so(tmp_path: Path) -> None:
    with house(tmp_path, "mid2026", missing=["blast_radius"]) as home:
        home.sandbox.world.add_workflow("Newsletter", trigger="batch")
        home.safety = Safety(send_uncounted=False, max_audience=10)
        assert not home.batch("Newsletter", send_uncounted=True).success
        assert home.sandbox.world.batch_sends == []


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_denied_workflow_is_not_acted_on_by_name_or_id(home: House, by: str) -> None:
    denied = failing(home, "Password reset")
    allowed = failing(home, "Onboarding")
    listed = "Password reset" if by == "name" else denied[0].workflow_id.upper()
    home.safety = Safety(deny_workflows=[listed])
    ran = home.replay("Password reset", denied)
    assert not ran.success
    assert "do not allow acting on" in ran.failure
    assert home.replay("Onboarding", allowed, verify_seconds=10).success
    assert set(effects(home.sandbox)) == {allowed[0].invocation_id}


def test_only_allowed_workflows_are_sent(home: House) -> None:
    home.safety = Safety(allow_workflows=["Newsletter"])
    other = home.sandbox.world.add_workflow("Other", trigger="batch")["id"]
    assert not home.batch(other).success
    assert not home.schedule("Other").success
    assert home.batch("Newsletter").success


def test_a_name_on_the_deny_list_that_nothing_has_stops_everything_with_a_remedy(
    home: House,
) -> None:
    home.safety = Safety(deny_workflows=["Newslettr"])
    ran = home.batch("Newsletter")
    assert not ran.success
    assert 'deny_workflows: This project has no workflow or hog function "Newslettr"' in ran.failure
    assert "The nearest names: Newsletter" in ran.failure
    assert home.sandbox.world.batch_sends == []


@pytest.mark.parametrize("action", ["batch", "schedule", "replay"])
def test_each_job_takes_a_name_and_names_the_nearest_of_a_wrong_one(
    home: House, action: str
) -> None:
    runs = failing(home, "Onboarding")
    right = "Onboarding" if action == "replay" else "Newsletter"

    def launched(name: str) -> Any:
        more = [runs] if action == "replay" else []
        return getattr(home, action)(name, *more, dry_run=True)

    assert launched(right).success
    for wrong in (right[:-2] + right[-1], right.upper()):
        ran = launched(wrong)
        assert not ran.success
        assert f"The nearest names: {right}" in ran.failure, ran.failure


def test_a_hog_function_is_named_like_a_workflow(home: House) -> None:
    home.sandbox.world.add_hog_function(name="Customers to the CRM")
    ran = home.replay([], [], hog_functions=["Customers to the CMR"], window_from="2026-11-01")
    assert not ran.success
    assert "The nearest names: Customers to the CRM" in ran.failure, ran.failure


def test_an_id_that_is_gone_from_the_project_denies_nothing_and_stops_nothing(
    home: House,
) -> None:
    gone = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
    home.safety = Safety(deny_workflows=[gone])
    assert home.batch("Newsletter").success
