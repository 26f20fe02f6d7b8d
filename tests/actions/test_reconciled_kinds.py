"""Each kind of action in doubt is reconciled by its own evidence; what cannot be is said."""

from collections.abc import Callable
from typing import Any

import pytest

from hog_dagster.actions import Actor, Outcome, Source
from hog_dagster.actions._claims import claim
from hog_dagster.actions._summary import Result
from hog_dagster.ledger import Action, Entry
from tests.actions.kit import HOUR, Place


def in_doubt(place: Place, action: Callable[[Actor], Action]) -> Entry:
    actor = place.actor()
    entry = claim(actor, action(actor))
    assert isinstance(entry, Entry)
    (sent,) = place.ledger.mark_sent([entry], server_time=place.clock.true, lock=None)
    (doubt,) = place.ledger.doubt(sent, note="in doubt", server_given_up_at=place.clock.true)
    return doubt


@pytest.mark.parametrize(
    ("kind", "path"),
    [("batch", "*/batch_jobs/"), ("schedule", "*/schedules/")],
)
@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_send_in_doubt_is_reconciled_by_what_posthog_lists(
    kind: str, path: str, cut: Any
) -> None:
    place = Place()
    source = place.workflow(trigger="batch")
    place.sandbox.fail("POST", path, cut=cut)
    act = place.batch if kind == "batch" else place.schedule
    assert act(source).outcome is Outcome.IN_DOUBT
    place.wait(4 * HOUR)
    (result,) = place.reconcile().results.values()
    happened = Outcome.CONFIRMED if cut == "after" else Outcome.NOT_SENT
    assert result.outcome is happened


def test_a_replay_of_all_is_over_when_its_grace_is() -> None:
    place = Place("docs")
    source = place.workflow()
    in_doubt(place, lambda actor: actor.action("replay_all", source, "all"))
    (early,) = place.reconcile().results.values()
    assert early.outcome is Outcome.IN_DOUBT
    assert early.why == "each of its runs is reconciled by itself"
    place.wait(4 * HOUR)
    (late,) = place.reconcile().results.values()
    assert late.outcome is Outcome.CONFIRMED


def test_a_kind_of_another_release_is_left_in_doubt() -> None:
    place = Place()
    in_doubt(place, lambda actor: actor.action("of_tomorrow", Source("w1"), "x"))
    (result,) = place.reconcile().results.values()
    assert result.outcome is Outcome.IN_DOUBT
    assert "knows no actions of kind of_tomorrow" in result.why
    assert "hog-dagster ledger resolve" in result.why


def test_evidence_that_cannot_be_read_costs_no_other_target() -> None:
    place = Place()
    first, second = (place.workflow(name, trigger="batch") for name in ("One", "Two"))
    for source in (first, second):
        place.sandbox.fail("POST", "*/schedules/", cut="after")
        place.schedule(source)
    place.wait(4 * HOUR)
    place.sandbox.fail("GET", f"*/{first.id}/schedules/", times=9, status=403)
    results = place.reconcile().results
    outcomes = {name.split('"')[1]: result.outcome for name, result in results.items()}
    assert outcomes == {"One": Outcome.IN_DOUBT, "Two": Outcome.CONFIRMED}
    (why,) = (one.why for one in results.values() if one.outcome is Outcome.IN_DOUBT)
    assert "the evidence cannot be read here" in why


def test_runs_that_an_earlier_release_replayed_all_at_once_are_not_replayed_yet() -> None:
    place = Place("docs")
    source = place.workflow()
    runs = place.blocked(source, 2)
    in_doubt(place, lambda actor: actor.action("replay_all", source, "all"))
    results = place.replay(source, runs).results
    assert {one.outcome for one in results.values()} == {Outcome.IN_DOUBT}
    assert all("replayed the whole list" in one.why for one in results.values())
    assert place.posts("*/replay_blocked_run/") == 0


def test_what_is_in_doubt_is_not_claimed_by_the_next_run() -> None:
    place = Place()
    source = place.workflow()
    doubt = in_doubt(place, lambda actor: actor.action("rerun", source, "run"))
    second = place.actor()
    result = claim(second, second.action("rerun", source, "run"))
    assert isinstance(result, Result)
    assert (result.outcome, result.action_id) == (Outcome.IN_DOUBT, doubt.id)
