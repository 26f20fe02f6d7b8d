"""A run that a replay or a rerun has taken is not taken by the other; batch checks; grace."""

from datetime import timedelta
from typing import Any

import pytest

from hog_dagster.actions import Outcome, Source
from hog_dagster.ledger import Ledger
from tests.actions.kit import HOUR, NOW, Place, mail

SPELLINGS = {
    "upper case": str.upper,
    "no dashes": lambda text: text.replace("-", ""),
    "braces": lambda text: "{" + text + "}",
    "URN": lambda text: "urn:uuid:" + text,
}


def both(cut: Any, first: str) -> tuple[Place, Source, str]:
    """A server of one generation took the first request; one of another is there from then on."""
    place = Place("docs" if first == "replay" else "current", missing=["hogql_runs"])
    source = place.workflow()
    if first == "replay":
        (run,) = place.blocked(source)
    else:
        run = place.failed(source)
    if cut:
        path = "*/replay_blocked_run/" if first == "replay" else "*/rerun/"
        place.sandbox.fail("POST", path, cut=cut)
    act = place.replay if first == "replay" else place.rerun
    act(source, [run])
    return place, source, run


@pytest.mark.parametrize("cut", ["", "before", "after"], ids=["answered", "before", "after"])
@pytest.mark.parametrize("first", ["replay", "rerun"])
def test_a_run_taken_by_one_kind_is_not_taken_by_the_other(first: str, cut: str) -> None:
    place, source, run = both(cut, first)
    place.wait(10)
    before = place.again().get(run, 0)
    if first == "replay":
        place.become("current")
        place.world.add_run(source.id, "failed", NOW - timedelta(hours=1), run)
        results = [place.rerun(source, [run]).results[run]]
        place.wait(10 * HOUR)
        results.append(place.rerun(source, [run]).results[run])
        assert place.posts() == 0
    else:
        place.become("docs")
        event = place.world.ids.event()
        place.world.event_uuids.add(event)
        place.world.add_logs(
            source.id,
            [
                {
                    "instance_id": run,
                    "timestamp": NOW - timedelta(minutes=5),
                    "level": "WARN",
                    "message": "[Action:action_wait_until_condition_ab12cd34] Skipped: duplicate "
                    f"execution detected for event {event}. Another invocation "
                    f"({place.world.ids.row(NOW)}) is running",
                }
            ],
        )
        results = [place.replay(source, [run]).results[run]]
        assert place.posts("*/replay_blocked_run/") == 0
    outcomes = {result.outcome for result in results}
    reconciled = {Outcome.DONE_BEFORE, Outcome.CONFIRMED, Outcome.IN_DOUBT, Outcome.SKIPPED}
    assert outcomes <= reconciled
    assert place.again().get(run, 0) == before


@pytest.mark.parametrize("first", ["replay", "rerun"])
def test_a_sensor_does_not_ask_for_what_the_other_kind_has_taken(first: str) -> None:
    place, source, run = both("", first)
    if first == "replay":
        place.become("current")
        place.world.add_run(source.id, "failed", NOW - timedelta(hours=1), run)
        assert place.detect_failed(source).due == []


# --- grace time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0.0, 1.0, 60.0, 119.0])
@pytest.mark.parametrize("kind", ["batch", "schedule", "rerun"])
def test_a_grace_time_shorter_than_the_read_timeout_does_not_send_twice(
    kind: str, grace: float
) -> None:
    place = Place(grace=grace, read_timeout=60.0, missing=["hogql_runs"])
    assert place.actor().grace >= timedelta(seconds=120)
    source = place.workflow(trigger="batch")
    run = place.failed(source) if kind == "rerun" else ""
    path = {"batch": "batch_jobs", "schedule": "schedules", "rerun": "rerun"}[kind]
    # It takes its effect a minute after it was given up.
    place.sandbox.fail("POST", f"*/{path}/", delay=119.0)

    def act() -> None:
        if kind == "rerun":
            place.rerun(source, [run])
        else:
            (place.batch if kind == "batch" else place.schedule)(source)

    for _ in range(40):
        act()
        place.wait(max(grace, 30.0) + 5)
    done = {
        "rerun": lambda: place.again().get(run),
        "batch": lambda: place.sends(source),
        "schedule": lambda: place.schedules(source),
    }
    assert done[kind]() == 1


def test_the_grace_time_runs_from_when_the_request_was_given_up() -> None:
    place = Place(grace=120.0, read_timeout=60.0)
    source = place.workflow(trigger="batch")
    place.sandbox.fail("POST", "*/batch_jobs/", cut="before")
    place.sandbox.fail("POST", "*/batch_jobs/", hold=59.0, times=1)
    place.batch(source)
    (entry,) = place.entries()
    assert entry.server_given_up_at is not None
    ends = place.actor().grace_ends(entry)
    assert ends == entry.server_given_up_at + timedelta(seconds=120)


# --- the ledger -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["replay", "rerun", "rerun without hogql"])
def test_a_run_named_in_another_spelling_is_found_and_taken_once(kind: str, spelling: str) -> None:
    place = Place(
        "docs" if kind == "replay" else "current",
        missing=["hogql_runs"] if kind == "rerun without hogql" else [],
    )
    source = place.workflow()
    run = place.blocked(source)[0] if kind == "replay" else place.failed(source)
    act = place.replay if kind == "replay" else place.rerun
    summary = act(source, [SPELLINGS[spelling](run), run])
    place.wait(60)
    assert [result.subject for result in summary] == [run]
    assert place.again() == {run: 1}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["batch", "schedule", "rerun", "replay"])
def test_a_workflow_and_a_run_in_another_spelling_are_the_same(kind: str, spelling: str) -> None:
    place = Place("docs" if kind == "replay" else "current", missing=["hogql_runs"])
    source = place.workflow(trigger="batch")
    other = Source(SPELLINGS[spelling](source.id), "workflow", source.name)
    action, again = (place.actor().action(kind, one, "key") for one in (source, other))
    assert action.key == again.key
    actor = place.actor()
    place.running.add(actor.owner)
    with actor.holding(source.id, 0.0), place.actor().holding(other.id, 0.0) as held:
        assert not held
    if kind in ("rerun", "replay"):
        run = place.failed(source) if kind == "rerun" else place.blocked(source)[0]
        first, second = (
            place.actor().action(kind, source, name) for name in (run, SPELLINGS[spelling](run))
        )
        assert first.key == second.key


@pytest.mark.parametrize("what", ["deleted", "another"])
def test_a_new_ledger_names_the_batch_that_it_does_not_know(what: str) -> None:
    place = Place()
    source = place.workflow(trigger="batch")
    sent = place.batch(source)
    place.ledger = Ledger.in_memory(clock=place.clock)
    dry = place.batch(source, dry_run=True)
    assert dry.details["newest_unknown_job"] == sent.remote_id


# --- batch checks ---------------------------------------------------------------------------------


def test_a_batch_says_that_it_sends_email() -> None:
    place = Place()
    for steps, email in (([mail("hello", "Hi")], True), (None, False)):
        source = place.workflow(trigger="batch", actions=steps)
        result = place.batch(source, dry_run=True)
        assert result.details["sends_email"] is email
        asked = [r.body for r in place.sandbox.requests if r.path.endswith("user_blast_radius/")]
        assert bool((asked[-1] or {}).get("sends_email")) is email


@pytest.mark.parametrize(
    "trouble",
    ["suspended", "half an answer", "paused", "disabled", "over its tier", "over max_audience"],
)
def test_a_batch_that_would_not_reach_people_is_not_sent(trouble: str) -> None:
    place = Place()
    fields: dict[str, Any] = {"status": "draft"} if trouble == "disabled" else {}
    source = place.workflow(trigger="batch", actions=[mail("hello")], **fields)
    policy: dict[str, Any] = {}
    if trouble == "suspended":
        body = {"email_sending_suspended": True, "email_sending_suspension_reason": "spam"}
        place.sandbox.fail("GET", "*/hog_flows/reputation/", status=404, times=0)
        place.sandbox.fail("GET", "*/email_sending_suspension/", body=body, times=0)
    elif trouble == "half an answer":  # a 200 that says nothing of a suspension
        body = {"email_sending_suspended": True}
        place.sandbox.fail("GET", "*/hog_flows/reputation/", body={}, times=0)
        place.sandbox.fail("GET", "*/email_sending_suspension/", body=body, times=0)
    elif trouble == "paused":
        row = place.client().workflows.get(source.id).model_dump(mode="json")
        row["email_sending_paused"] = True
        place.sandbox.fail("GET", f"*/hog_flows/{source.id}/", body=row, times=0)
    elif trouble == "over its tier":
        body = {"affected": 6000, "total": 9000, "limit": 5000, "confirm_token": "x"}
        place.sandbox.fail("POST", "*/user_blast_radius/", body=body, times=0)
    elif trouble == "over max_audience":
        policy["max_audience"] = 0
    result = place.batch(source, **policy)
    assert (result.outcome, place.sends(source)) == (Outcome.NOT_SENT, 0)
    assert place.posts("*/batch_jobs/") == 0


def test_an_uncounted_audience_is_sent_to_only_when_that_is_allowed() -> None:
    place = Place(missing=["blast_radius"])
    source = place.workflow(trigger="batch")
    assert place.batch(source, max_audience=5).outcome is Outcome.NOT_SENT
    sent = place.batch(source, max_audience=5, send_uncounted=True)
    assert (sent.outcome, place.sends(source)) == (Outcome.CONFIRMED, 1)
