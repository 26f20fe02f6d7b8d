"""Why a run is not run again, and what is said when the lock or the claim is lost before a send."""

from datetime import date
from typing import Any

import pytest

from hog_dagster.actions import Actor, Outcome
from hog_dagster.actions._claims import claim
from hog_dagster.ledger import ClaimLost, Entry, LockLost
from hog_dagster.posthog._rate_limit.limiter import RateLimiter
from tests.actions.kit import HOUR, Place

KINDS = ("replay", "rerun", "batch", "schedule")


def act(place: Place, kind: str) -> Any:
    """The result of one action."""
    if kind == "replay":
        source = place.workflow()
        (result,) = place.replay(source, place.blocked(source)).results.values()
    elif kind == "rerun":
        source = place.workflow()
        (result,) = place.rerun(source, [place.failed(source)]).results.values()
    else:
        source = place.workflow(trigger="batch")
        result = place.batch(source) if kind == "batch" else place.schedule(source)
    return result


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", [LockLost("the lock is lost"), ClaimLost("the claim is lost")])
def test_what_is_lost_before_the_request_sends_nothing(
    kind: str, lost: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: Any, **__: Any) -> Any:
        raise lost

    monkeypatch.setattr(Actor, "send", send)
    place = Place("docs" if kind == "replay" else "current")
    result = act(place, kind)
    nothing_sent = isinstance(lost, LockLost)
    assert result.outcome is (Outcome.NOT_SENT if nothing_sent else Outcome.IN_DOUBT)
    assert str(lost) in result.why
    assert place.sandbox.count("POST", "*/rerun/") == 0


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"error_kinds": ["http_5xx"]}, "it failed with error kind timeout, which is not chosen"),
        ({"message_contains": "gateway"}, "its error message does not contain the chosen text"),
    ],
)
def test_a_run_that_the_policy_does_not_choose_is_skipped(policy: Any, why: str) -> None:
    place = Place()
    source = place.workflow()
    run = place.failed(source, error_kind="timeout", error_message="SMTP timed out")
    (result,) = place.rerun(source, [run], **policy).results.values()
    assert (result.outcome, result.why) == (Outcome.SKIPPED, why)


def test_a_rerun_that_is_done_is_not_due_until_posthog_shows_its_end() -> None:
    place = Place()
    source = place.workflow()
    run = place.failed(source)
    actor = place.actor()
    action = actor.action("rerun", source, run)
    entry = claim(actor, action)
    assert isinstance(entry, Entry)
    (sent,) = place.ledger.mark_sent([entry], server_time=place.clock.true, lock=None)
    place.ledger.confirm(sent, note="seen")
    found = place.detect_failed(source, max_reruns=2)
    assert not found.due
    assert found.counts["failed"] == 1


def test_a_refused_rerun_is_not_due_again() -> None:
    place = Place()
    source = place.workflow()
    run = place.failed(source)
    actor = place.actor()
    entry = claim(actor, actor.action("rerun", source, run))
    assert isinstance(entry, Entry)
    (sent,) = place.ledger.mark_sent([entry], server_time=place.clock.true, lock=None)
    place.ledger.refuse(sent, note="no")
    place.wait(HOUR)
    assert not place.detect_failed(source).due


def test_a_rerun_that_another_run_holds_is_left_to_it() -> None:
    place = Place()
    source = place.workflow()
    run = place.failed(source)
    holder = place.actor()
    place.running.add(holder.owner)
    claim(holder, holder.action("rerun", source, run))
    (result,) = place.rerun(source, [run]).results.values()
    assert result.outcome is Outcome.SKIPPED
    assert holder.owner in result.why


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"type": "transformation"}, "reruns destinations only"), ({"enabled": False}, "is disabled")],
)
def test_a_function_whose_runs_cannot_be_run_again_says_why(fields: Any, why: str) -> None:
    place = Place()
    source = place.function(**fields)
    (result,) = place.rerun(source, ["run-1"]).results.values()
    assert result.outcome is Outcome.SKIPPED
    assert why in result.why


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "NaN or infinity"),
        ("\ud800", "half of a surrogate pair"),
        (date(2026, 12, 1), "what JSON does not have"),
    ],
)
@pytest.mark.parametrize("kind", ["batch", "schedule"])
def test_variables_that_cannot_be_written_send_nothing_and_leave_no_doubt(
    kind: str, value: Any, why: str
) -> None:
    place = Place()
    source = place.workflow(trigger="batch")
    act = place.batch if kind == "batch" else place.schedule
    result = act(source, variables={"since": value})
    assert result.outcome is Outcome.NOT_SENT
    assert why in result.why
    assert [*place.states().values()] == ["not_sent"]
    assert place.posts("*") == place.sandbox.count("POST", "*/user_blast_radius/")


def test_what_is_interrupted_before_the_request_left_is_not_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place()
    source = place.workflow(trigger="batch")

    def stopped(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    actor = place.actor()
    monkeypatch.setattr(RateLimiter, "acquire", stopped)
    entry = claim(actor, actor.action("batch_send", source, "k"))
    assert isinstance(entry, Entry)
    with pytest.raises(KeyboardInterrupt):
        actor.send([entry], lambda client: client.workflows.create_batch_job(source.id))
    assert place.states() == {"k": "not_sent"}
