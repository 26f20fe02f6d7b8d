"""What a rerun would send again is read before it is sent, and the policy decides."""

from typing import Any

import pytest

from hog_dagster.actions import Outcome, RunToRerun, plan_reruns, report_plan
from tests.actions.kit import HOUR, Place, mail, replay_policy, wait, webhook

GENERATIONS = ("mid2026", "current")
EMAIL = [mail("hello", "Welcome mail"), webhook("call", "Call CRM")]
HOOK = [webhook("first", "Tell Slack"), webhook("call", "Call CRM")]
AFTER_WAIT = [mail("hello", "Welcome mail"), wait("pause"), webhook("call", "Call CRM")]


def place_with(generation: str, steps: Any, **options: Any) -> tuple[Place, Any]:
    place = Place(generation, missing=["hogql_runs"], **options)
    return place, place.workflow(actions=steps)


def executed(place: Place, source: Any) -> str:
    """A run that PostHog executed step by step until it failed."""
    run = place.world.start_run(source.id, ends="failed", distinct_id="ada", fails_at="call")
    place.wait(2 * HOUR)
    assert place.messages(run.invocation_id)
    return run.invocation_id


@pytest.mark.parametrize("steps", [EMAIL, HOOK, AFTER_WAIT], ids=["e-mail", "webhook", "wait"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_run_whose_message_went_out_is_left_by_default_and_named(
    generation: str, steps: Any
) -> None:
    place, source = place_with(generation, steps)
    run = executed(place, source)
    result = place.rerun(source, [run], already_sent="skip").results[run]
    assert result.outcome is Outcome.SKIPPED
    assert steps[0]["name"] in result.why
    assert "would go out again" in result.why
    assert (place.again(), place.posts()) == ({}, 0)


@pytest.mark.parametrize("steps", [EMAIL, HOOK, AFTER_WAIT], ids=["e-mail", "webhook", "wait"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_allow_reruns_it(generation: str, steps: Any) -> None:
    place, source = place_with(generation, steps)
    run = place.failed(source)
    place.rerun(source, [run], already_sent="allow", verify_seconds=60.0)
    assert place.states() == {run: "confirmed"}
    place.wait(2 * HOUR)
    again = place.messages(run).count(steps[0]["id"])
    assert again == (2 if generation == "mid2026" else 1)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_if_resumes_reruns_it_where_the_stored_state_names_its_step(generation: str) -> None:
    place, source = place_with(generation, EMAIL)
    run = place.failed(source)
    place.rerun(source, [run], already_sent="if_resumes", verify_seconds=60.0)
    assert place.again().get(run, 0) == (1 if generation == "current" else 0)
    assert place.messages(run).count("hello") == 1


@pytest.mark.parametrize("policy", ["skip", "if_resumes"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_run_that_sent_nothing_yet_is_rerun(generation: str, policy: str) -> None:
    place, source = place_with(generation, EMAIL)
    run = place.failed(source, fails_at="hello")
    place.rerun(source, [run], already_sent=policy, verify_seconds=60.0)
    place.wait(60)
    assert place.again() == {run: 1}
    assert place.messages(run) == ["hello", "call"]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    "lost",
    [{"assets_captured": False}, {"asset_lag": 1e7}, {"assets_captured": False, "log_lag": 1e7}],
    ids=["no asset rows", "asset rows late", "neither rows nor lines"],
)
def test_rows_or_lines_that_are_missing_do_not_pass_for_nothing_sent(
    generation: str, lost: dict[str, Any]
) -> None:
    place, source = place_with(generation, EMAIL)
    for name, value in lost.items():
        setattr(place.world, name, value)
    run = place.failed(source)
    result = place.rerun(source, [run], already_sent="skip").results[run]
    assert (result.outcome, place.again()) == (Outcome.SKIPPED, {})
    assert "sent" in result.why


@pytest.mark.parametrize("missing", ["sent_messages", "logs", "hogql_runs"])
def test_each_source_alone_shows_what_went_out(missing: str) -> None:
    place = Place(missing=["hogql_runs", missing])
    source = place.workflow(actions=EMAIL)
    run = place.failed(source)
    result = place.rerun(source, [run], already_sent="skip").results[run]
    assert (result.outcome, place.again()) == (Outcome.SKIPPED, {})


def test_hogql_shows_what_went_out_of_many_runs_and_of_batch_runs() -> None:
    place = Place()
    source = place.workflow(trigger="batch", actions=EMAIL)
    job = place.world.add_batch_job(source.id)
    runs = [place.failed(source, HOUR + k, parent_run_id=job.id) for k in range(30)]
    fresh = [place.failed(source, HOUR + k, fails_at="hello") for k in range(30)]
    place.rerun(source, [*runs, *fresh], already_sent="skip", verify_seconds=60.0)
    assert place.again() == dict.fromkeys(fresh, 1)


def test_a_run_that_was_rerun_and_failed_again_does_not_send_a_third_time() -> None:
    place, source = place_with("mid2026", EMAIL)
    run = place.failed(source, fails_at="hello", retry_status="failed")
    for _ in range(4):
        place.rerun(source, [run], already_sent="skip", max_reruns=3, verify_seconds=60.0)
        place.wait(HOUR)
    assert place.messages(run).count("hello") <= 1


def test_a_dry_run_names_what_would_go_out_again_and_sends_nothing() -> None:
    place, source = place_with("mid2026", EMAIL)
    runs = [place.failed(source), place.failed(source, fails_at="hello"), place.failed(source)]
    policy = replay_policy(dry_run=True, already_sent="allow")
    plan = plan_reruns(place.actor(), source, [RunToRerun(run) for run in runs], policy)
    report = report_plan(plan, 500)
    assert report.repeats == {"Welcome mail": 2}
    assert (report.failed, report.due, report.requests) == (3, 3, 1)
    summary = place.rerun(source, runs, dry_run=True)
    assert summary[Outcome.DRY_RUN] == 3
    assert (place.posts(), place.entries()) == (0, [])


def test_a_log_that_begins_after_a_step_is_no_proof_that_the_step_sent_nothing() -> None:
    place, source = place_with("current", HOOK)
    run = place.failed(source, fails_at="call")  # its only line is the error of the last step
    result = place.rerun(source, [run], already_sent="skip").results[run]
    assert (result.outcome, place.posts()) == (Outcome.SKIPPED, 0)
    assert "not known" in result.why


def test_a_hog_function_has_one_step_and_sent_nothing_before() -> None:
    place = Place()
    source = place.function()
    run = place.failed(source)
    place.rerun(source, [run], already_sent="skip", verify_seconds=60.0)
    assert place.again() == {run: 1}
