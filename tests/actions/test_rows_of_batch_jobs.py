"""A batch send or schedule in doubt: one new row that nobody accounts for leaves it in doubt."""

from datetime import timedelta
from typing import Any

import pytest

from hog_dagster.actions import Outcome
from hog_dagster.sandbox.engine._batches import send_batch
from tests.actions.kit import HOUR, Place

JSONB: dict[str, Any] = {
    "large": 1e16,
    "zero": -0.0,
    "exponent": 1.5e300,
    "small": 1e-7,
    "deep": {"b": [1, 2.0, {"c": None}], "a": True},
    "text": 'ü\n"quoted"',
    "empty": [],
}
#: How PostHog's lists may show a job that is ours.
SHOWN: dict[str, dict[str, Any]] = {
    "as it is": {},
    "defaults merged in": {"variables_merged": True},
    "numbers as text": {"variables_as_text": True},
    "without created_at": {"created_at": "missing"},
    "created_at null": {"created_at": "null"},
    "created_at odd": {"created_at": "yesterday"},
    "created_at of 1970": {"created_at": "1970-01-01T00:00:00Z"},
    "created_at of 2300": {"created_at": "2300-01-01T00:00:00Z"},
    "paged": {"batch_jobs_page": 100},
    "paged, defaults, text": {
        "batch_jobs_page": 2,
        "variables_merged": True,
        "variables_as_text": True,
        "created_at": "missing",
    },
}
#: Of these the list tells that the new job is ours.
TOLD = {"as it is", "defaults merged in", "paged"}


def a_batch(place: Place, old_jobs: int = 3) -> Any:
    source = place.workflow(
        "Newsletter",
        trigger="batch",
        variables=[{"key": "tier", "default": "silver", "type": "string"}, {"key": "more"}],
    )
    for number in range(old_jobs):
        at = place.clock.true - timedelta(days=1 + number / 100)
        place.world.add_batch_job(source.id, created_at=at, created_by=place.world.user)
    return source


@pytest.mark.parametrize("generation", ["current", "docs"])
@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("variables", [{}, {"tier": "gold"}, JSONB], ids=["none", "text", "jsonb"])
def test_a_batch_whose_answer_was_lost_is_sent_once_however_it_is_listed(
    generation: str, shown: str, variables: dict[str, Any]
) -> None:
    place = Place(generation)
    source = a_batch(place, 150 if shown == "paged" else 3)
    for name, value in SHOWN[shown].items():
        setattr(place.world, name, value)
    place.sandbox.fail("POST", "*/batch_jobs/", cut="after")
    result = place.batch(source, variables=variables)
    for _ in range(3):
        place.wait(HOUR)
        result = place.batch(source, variables=variables)
    assert place.sends(source) == 1
    if shown in TOLD:
        assert result.outcome is Outcome.DONE_BEFORE
    elif result.outcome is not Outcome.DONE_BEFORE:
        assert result.outcome is Outcome.IN_DOUBT
        assert "hog-dagster ledger resolve" in place.entries()[0].note


def test_a_job_that_is_created_much_later_than_it_was_asked_for_is_not_sent_again() -> None:
    place = Place()
    source = a_batch(place)
    place.sandbox.fail("POST", "*/batch_jobs/", delay=70.0)  # given up after 60 s
    result = place.batch(source)
    assert result.outcome is Outcome.IN_DOUBT
    for _ in range(4):
        place.wait(HOUR)
        result = place.batch(source)
    assert (place.sends(source), result.outcome) == (1, Outcome.DONE_BEFORE)


@pytest.mark.parametrize("made_by", ["a schedule", "another user", "nobody named"])
@pytest.mark.parametrize("moment", ["just after", "later"])
def test_a_job_of_somebody_else_never_confirms_ours(made_by: str, moment: str) -> None:
    place = Place()
    place.world.schedule_poll = 0.0
    source = a_batch(place)
    variables = {"tier": "gold"}
    place.sandbox.fail("POST", "*/batch_jobs/", cut="before")
    assert place.batch(source, variables=variables).outcome is Outcome.IN_DOUBT
    place.wait(1 if moment == "just after" else 600)
    maker = {"another user": place.world.colleague, "nobody named": None}.get(made_by)
    if made_by == "a schedule":
        at = place.clock.true + timedelta(seconds=1)
        place.world.add_schedule(
            source.id,
            "FREQ=DAILY;COUNT=1",
            starts_at=at,
            variables=variables,
            created_at=at - timedelta(days=1),
        )
        place.wait(60)
        assert place.sends(source) == 1
    else:
        place.world.add_batch_job(source.id, created_by=maker, variables=variables)
    place.wait(HOUR)
    result = place.batch(source, variables=variables)
    assert result.outcome is Outcome.IN_DOUBT
    (entry,) = place.entries()
    assert "hog-dagster ledger resolve" in entry.note
    assert place.posts("*/batch_jobs/") == 1


def test_a_job_of_a_schedule_at_the_same_moment_does_not_pass_for_ours() -> None:
    place = Place()
    place.world.schedule_poll = 0.0
    source = a_batch(place)
    variables = {"tier": "gold"}
    at = place.clock.true + timedelta(seconds=1)
    place.world.add_schedule(
        source.id,
        "FREQ=DAILY;COUNT=1",
        starts_at=at,
        variables=variables,
        created_at=at - timedelta(days=1),
    )
    place.sandbox.fail("POST", "*/batch_jobs/", hold=90.0)
    place.batch(source, variables=variables)
    place.wait(HOUR)
    result = place.batch(source, variables=variables)
    assert place.sends(source) == 2  # the schedule's, and ours
    assert result.outcome in (Outcome.CONFIRMED, Outcome.IN_DOUBT)
    assert place.posts("*/batch_jobs/") == 1
    (entry,) = place.entries()
    if entry.remote_id:
        assert place.world.batch_jobs[entry.remote_id].created_by is not None


@pytest.mark.parametrize("arrived", ["first", "second", "both", "neither"])
@pytest.mark.parametrize("variables", ["equal", "different"])
def test_two_sends_in_doubt_at_once_are_never_mixed_up(arrived: str, variables: str) -> None:
    place = Place()
    source = a_batch(place)
    of = {
        "first": {"tier": "gold"},
        "second": {"tier": "gold" if variables == "equal" else "silver"},
    }
    for key, values in of.items():
        cut = "after" if arrived in (key, "both") else "before"
        place.sandbox.fail("POST", "*/batch_jobs/", cut=cut)
        assert place.batch(source, key, values).outcome is Outcome.IN_DOUBT
    for _ in range(4):
        place.wait(HOUR)
        for key, values in of.items():
            place.batch(source, key, values)
    sent = [send.variables["tier"] for send in place.world.batch_sends]
    for key, values in of.items():
        others = sum(other == values for other in of.values())
        assert sent.count(values["tier"]) <= others, key
    if arrived == "neither":
        assert len(sent) == 2
        assert set(place.states().values()) == {"confirmed"}
    if arrived == "both":
        assert len(sent) == 2


@pytest.mark.parametrize("newer", [True, False], ids=["by a colleague", "by a schedule"])
def test_the_newest_job_that_this_ledger_does_not_know_is_named(newer: bool) -> None:
    place = Place()
    source = a_batch(place, 0)
    job = place.world.add_batch_job(
        source.id,
        created_at=place.clock.true - timedelta(hours=5),
        created_by=place.world.colleague if newer else None,
    )
    result = place.batch(source)
    assert result.details["newest_unknown_job"] == job.id
    assert any(job.id in line for line in place.log.said)


@pytest.mark.parametrize("slow", [5.0, 24.0, 50.0])
@pytest.mark.parametrize("kind", ["batch", "schedule"])
def test_a_slow_last_read_before_the_request_does_not_hide_what_it_made(
    kind: str, slow: float
) -> None:
    place = Place()
    source = a_batch(place)
    act, path = (place.batch, "batch_jobs") if kind == "batch" else (place.schedule, "schedules")
    effects = place.sends if kind == "batch" else place.schedules
    place.sandbox.fail("GET", f"*/{path}/", hold=slow, times=0)
    place.sandbox.fail("POST", f"*/{path}/", cut="after")
    act(source)
    place.sandbox.clear_faults()
    place.wait(HOUR)
    result = act(source)
    assert (effects(source), result.outcome) == (1, Outcome.CONFIRMED)


@pytest.mark.parametrize("step", [-86_400.0, -3600.0, -30.0, 30.0, 3600.0, 86_400.0])
@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("kind", ["batch", "schedule"])
def test_a_stepped_local_clock_doubles_and_loses_nothing(kind: str, when: str, step: float) -> None:
    place = Place()
    source = a_batch(place)
    act, path = (place.batch, "batch_jobs") if kind == "batch" else (place.schedule, "schedules")
    effects = place.sends if kind == "batch" else place.schedules
    if when == "before":
        place.clock.step = timedelta(seconds=step)
    place.sandbox.fail("POST", f"*/{path}/", cut="after")
    act(source)
    place.clock.step = timedelta(seconds=step)
    place.wait(60)
    act(source)
    place.wait(2 * HOUR)
    assert act(source).outcome in (Outcome.CONFIRMED, Outcome.DONE_BEFORE)
    assert effects(source) == 1
    assert place.posts(f"*/{path}/") == 1


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_local_clock_that_is_stepped_does_not_end_the_grace_time_early(step: float) -> None:
    place = Place()
    source = place.workflow()
    run = place.failed(source)
    place.world.rerun_lag = place.world.rerun_log_lag = 600.0
    place.sandbox.fail("POST", "*/rerun/", cut="after")
    place.rerun(source, [run])
    place.clock.step = timedelta(seconds=step)
    for _ in range(8):
        place.wait(300)
        place.rerun(source, [run])
    assert (place.again(), place.posts()) == ({run: 1}, 1)


def test_a_batch_list_that_a_proxy_wrote_is_no_empty_list() -> None:
    place = Place()
    source = a_batch(place)
    place.sandbox.fail("POST", "*/batch_jobs/", cut="after")
    place.batch(source)
    place.wait(HOUR)
    place.sandbox.fail_as("empty_results_200", "GET", "*/batch_jobs/", times=0)
    with pytest.raises(Exception, match="batch_jobs"):
        place.batch(source)
    place.sandbox.clear_faults()
    assert place.batch(source).outcome is Outcome.CONFIRMED
    assert place.sends(source) == 1


def test_a_second_click_without_a_key_sends_nothing() -> None:
    place = Place()
    source = a_batch(place)
    assert place.batch(source, "run-1", again_after=HOUR).outcome is Outcome.CONFIRMED
    place.wait(60)
    assert place.batch(source, "run-2", again_after=HOUR).outcome is Outcome.SKIPPED
    place.wait(2 * HOUR)
    assert place.batch(source, "run-3", again_after=HOUR).outcome is Outcome.CONFIRMED
    assert place.sends(source) == 2


def test_a_batch_waits_for_the_earlier_one_to_end() -> None:
    place = Place()
    source = a_batch(place, 0)
    job = place.world.add_batch_job(source.id, tracked=True)
    send_batch(place.world, place.world.workflows[source.id], job, newer=True)
    assert place.batch(source, skip_if_running=True).outcome is Outcome.SKIPPED
    place.wait(60)
    assert place.batch(source, skip_if_running=True).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("missing", [set(), {"invocation_results"}])
@pytest.mark.parametrize("runs", [True, False])
def test_a_job_whose_status_is_not_kept_is_under_way_while_runs_of_it_are(
    runs: bool, missing: set[str]
) -> None:
    place = Place("current", missing=missing)
    source = a_batch(place, old_jobs=0)
    at = place.clock.true - timedelta(hours=3)
    place.world.add_batch_job(source.id, created_at=at, status="queued")
    if runs:
        place.world.add_run(source.id, "running", at + timedelta(minutes=2), distinct_id="ada")
    result = place.batch(source, skip_if_running=True)
    under_way = runs and not missing
    assert result.outcome is (Outcome.SKIPPED if under_way else Outcome.CONFIRMED), result.why
