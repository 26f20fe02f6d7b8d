"""A rerun is executed once, whatever the server's form, its end, the day, the response."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from hog_dagster.actions import Outcome, RunToRerun
from tests.actions.kit import HOUR, Place, mail, webhook

DAY = 24 * HOUR
FORMS = {"before_85156": "mid2026", "after_85156": "current"}


def _combinations() -> Iterator[Any]:
    for form, ends, kept, ago, hogql in product(
        FORMS, ("succeeded", "failed"), (True, False), (HOUR, 20 * DAY), (False, True)
    ):
        day = "same day" if ago == HOUR else "other day"
        said = "kept" if kept else "lost"
        names = [form, ends, said, day, "HogQL" if hogql else "REST"]
        # By HogQL on one day only in the normal suite: the sandbox answers it slowly.
        marks = (pytest.mark.slow,) if hogql and (ago == HOUR or kept) else ()
        yield pytest.param(form, ends, kept, ago, hogql, id=", ".join(names), marks=marks)


def place_of(form: str, *, hogql: bool = False, **options: Any) -> Place:
    missing = () if hogql else ("hogql_runs",)
    place = Place(FORMS[form], missing=missing, **options)
    assert place.world.rerun_form == form
    return place


@pytest.mark.parametrize(("form", "ends", "kept", "ago", "hogql"), [*_combinations()])
def test_a_job_that_runs_four_times_an_hour_apart_executes_a_rerun_once(
    form: str, ends: str, kept: bool, ago: float, hogql: bool
) -> None:
    place = place_of(form, hogql=hogql)
    source = place.workflow()
    run = place.failed(source, ago, retry_status=ends)
    if not kept:
        place.sandbox.fail("POST", "*/rerun/", cut="after")
    for _ in range(4):
        place.rerun(source, [run])
        place.wait(HOUR)
    assert place.again() == {run: 1}
    assert place.posts() == 1
    assert place.states() == {run: "confirmed"}
    assert place.detect_failed(source).due == []


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_fails_each_time_is_rerun_as_often_as_allowed(form: str, most: int) -> None:
    place = place_of(form)
    source = place.workflow()
    run = place.failed(source, 20 * DAY, retry_status="failed")
    for _ in range(most + 3):
        due = place.detect_failed(source, max_reruns=most).due
        if due:
            place.rerun(source, [one["instance_id"] for one in due], max_reruns=most)
        place.wait(HOUR)
    assert place.again() == {run: most}
    assert set(place.states().values()) == {"confirmed"}


def test_reruns_by_other_people_count_towards_the_maximum() -> None:
    place = place_of("after_85156")
    source = place.workflow()
    run = place.failed(source, 20 * DAY)
    place.world.add_rerun(run, place.clock.true - timedelta(days=3), "failed")
    assert place.detect_failed(source).due == []
    summary = place.rerun(source, [run])
    assert summary.results[run].outcome is Outcome.SKIPPED
    assert (place.posts(), place.again()) == (0, {run: 1})


@pytest.mark.parametrize("named", ["with its time", "without"])
@pytest.mark.parametrize("form", FORMS)
def test_a_lost_answer_is_found_out_when_the_run_has_succeeded(form: str, named: str) -> None:
    place = place_of(form)
    source = place.workflow()
    run = place.failed(source, 20 * DAY)
    at = place.clock.true - timedelta(days=20)
    wanted = RunToRerun(run, at if named == "with its time" else None)
    place.sandbox.fail("POST", "*/rerun/", cut="after")
    assert place.rerun(source, [wanted]).results[run].outcome is Outcome.IN_DOUBT
    place.wait(60)
    again = place.rerun(source, [wanted]).results[run]
    assert (again.outcome, place.states()) == (Outcome.CONFIRMED, {run: "confirmed"})


@pytest.mark.parametrize("merge", ["never", "random", "now"])
@pytest.mark.parametrize("ends", ["succeeded", "failed"])
def test_merges_of_rows_change_nothing(merge: str, ends: str) -> None:
    place = place_of("after_85156")
    place.world.merge = merge
    source = place.workflow()
    runs = [place.failed(source, ago, retry_status=ends) for ago in (HOUR, 3 * HOUR, DAY)]
    place.sandbox.fail("POST", "*/rerun/", cut="after")
    for _ in range(4):
        place.rerun(source, runs)
        place.wait(HOUR)
        place.world.merge_now()
    assert place.again() == dict.fromkeys(runs, 1)


@pytest.mark.parametrize(
    "trouble",
    [
        {"rerun_log_lag": 600.0},
        {"rerun_log_lag": 600.0, "row_lag": 600.0},
        {"row_lag": 30.0, "row_lag_spread": 600.0},
        {"rerun_lag": 840.0, "rerun_log_lag": 30.0},
        {"rerun_lag": 840.0, "row_loss": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer lost"])
@pytest.mark.parametrize("form", FORMS)
def test_late_workers_lines_and_rows_do_not_double_a_rerun(
    form: str, kept: bool, trouble: dict[str, float]
) -> None:
    place = place_of(form)
    source = place.workflow()
    run = place.failed(source, retry_status="failed")
    for name, value in trouble.items():
        setattr(place.world, name, value)
    if not kept:
        place.sandbox.fail("POST", "*/rerun/", cut="after")
    for _ in range(12):
        place.rerun(source, [run])
        place.wait(600)
    assert place.again() == {run: 1}
    assert place.states() == {run: "confirmed"}


def test_a_request_that_never_arrived_is_sent_again_after_the_grace_time() -> None:
    place = place_of("after_85156")
    source = place.workflow()
    run = place.failed(source)
    place.sandbox.fail("POST", "*/rerun/", cut="before")
    place.rerun(source, [run])
    place.wait(HOUR / 2)
    assert place.rerun(source, [run]).results[run].outcome is Outcome.IN_DOUBT
    assert place.again() == {}
    place.wait(HOUR)
    place.rerun(source, [run])
    place.wait(60)
    place.rerun(source, [run])
    assert (place.again(), place.states()) == ({run: 1}, {run: "confirmed"})


@pytest.mark.parametrize("resumes", [False, True], ids=["restarts", "resumes"])
@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer lost"])
@pytest.mark.parametrize("form", FORMS)
def test_messages_go_out_once_per_execution_that_repeats_them(
    form: str, kept: bool, resumes: bool
) -> None:
    place = place_of(form)
    place.world.rerun_resumes = place.world.stored_action = resumes
    source = place.workflow(actions=[mail("hello"), webhook("call")])
    run = place.failed(source)
    if not kept:
        place.sandbox.fail("POST", "*/rerun/", cut="after")
    for _ in range(4):
        place.rerun(source, [run], already_sent="allow")
        place.wait(HOUR)
    repeated = ["hello"] if not resumes else []
    assert place.messages(run) == ["hello", *repeated, "call"]


@pytest.mark.parametrize("hogql", [False, True], ids=["REST", "HogQL"])
@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer lost"])
@pytest.mark.parametrize("ends", ["succeeded", "failed"])
def test_a_run_of_a_batch_job_is_rerun_once(ends: str, kept: bool, hogql: bool) -> None:
    place = place_of("after_85156", hogql=hogql)
    source = place.workflow(trigger="batch")
    job = place.world.add_batch_job(source.id, created_at=place.clock.true - timedelta(hours=2))
    run = place.failed(source, parent_run_id=job.id, retry_status=ends)
    if not kept:
        place.sandbox.fail("POST", "*/rerun/", cut="after")
    for _ in range(4):
        place.rerun(source, [run])
        place.wait(HOUR)
    assert place.again() == {run: 1}
    assert place.states() == {run: "confirmed"}


@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer lost"])
@pytest.mark.parametrize("ends", ["succeeded", "failed"])
@pytest.mark.parametrize("listed", [False, True], ids=["by HogQL", "by REST"])
def test_a_run_of_a_hog_function_is_found_and_rerun_once(
    ends: str, kept: bool, listed: bool
) -> None:
    missing = ["hogql_runs"] if listed else []
    place = Place(missing=missing, function_results=listed)
    source = place.function()
    run = place.failed(source, 20 * DAY, retry_status=ends)
    if not kept:
        place.sandbox.fail("POST", "*/rerun/", cut="after")
    for _ in range(4):
        for due in place.detect_failed(source).due:
            place.rerun(source, [due["instance_id"]])
        place.wait(HOUR)
    place.reconcile()
    assert place.again() == {run: 1}
    assert place.states() == {run: "confirmed"}


def test_runs_that_a_job_skipped_are_settled_by_its_counts() -> None:
    place = place_of("after_85156")
    source = place.workflow()
    taken, left = place.failed(source), place.failed(source)
    place.world.rerun_lag = 120.0
    place.rerun(source, [taken, left])
    # Somebody else's rerun is faster with one of the two.
    place.world.add_rerun(left, place.clock.true + timedelta(seconds=5), "succeeded", logged=False)
    place.wait(HOUR)
    place.rerun(source, [taken, left])
    assert place.again() == {taken: 1, left: 1}
    assert place.posts() == 1


def test_a_run_that_a_finished_job_did_not_find_is_not_confirmed() -> None:
    """Its rows expire between the request and the worker's turn."""
    place = place_of("after_85156")
    source = place.workflow()
    left, taken = place.failed(source, ago=30 * 24 * HOUR - 60.0), place.failed(source)
    place.world.rerun_lag = 120.0
    place.rerun(source, [left, taken])
    place.wait(HOUR)
    place.reconcile()
    assert place.again() == {taken: 1}
    assert place.states() == {left: "in_doubt", taken: "confirmed"}


@pytest.mark.parametrize("effect", [False, True], ids=["nothing queued", "queued without a line"])
@pytest.mark.parametrize("form", FORMS)
def test_a_page_that_fails_and_is_repeated_does_not_double(form: str, effect: bool) -> None:
    place = place_of(form)
    source = place.workflow()
    runs = [place.failed(source, retry_status="failed") for _ in range(3)]
    place.world.fail_rerun_page(effect=effect)
    place.world.rerun_takes = 60.0
    for _ in range(4):
        place.rerun(source, runs)
        place.wait(2 * HOUR)
    assert place.again() == dict.fromkeys(runs, 1)


def test_counts_of_a_job_that_lost_a_page_show_nothing() -> None:
    """The run was queued, its line was lost with the page, and its rows never arrive."""
    place = place_of("after_85156")
    source = place.workflow()
    run = place.failed(source)
    place.world.fail_rerun_page(effect=True)
    place.world.rerun_takes = 6 * HOUR  # so that the page, when it is repeated, skips the run
    place.world.row_loss = 1.0
    for _ in range(4):
        place.rerun(source, [run])
        place.wait(2 * HOUR)
    assert place.again() == {run: 1}
    assert place.states() == {run: "in_doubt"}


def test_a_job_that_was_aborted_is_asked_for_again() -> None:
    place = place_of("after_85156")
    source = place.workflow()
    run = place.failed(source)
    place.world.fail_rerun_page(aborts=True)
    for _ in range(4):
        place.rerun(source, [run])
        place.wait(2 * HOUR)
    assert (place.again(), place.posts()) == ({run: 1}, 2)


@pytest.mark.parametrize("status", ["succeeded", "running"])
def test_a_run_that_did_not_fail_is_left(status: str) -> None:
    place = place_of("after_85156")
    source = place.workflow()
    run = place.world.add_run(source.id, status, place.clock.true - timedelta(hours=1))
    summary = place.rerun(source, [run.invocation_id])
    assert summary.results[run.invocation_id].outcome is Outcome.SKIPPED
    assert place.posts() == 0
