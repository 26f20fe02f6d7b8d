"""An action that another run holds, did, or left in doubt is not sent by this one."""

import pytest

from hog_dagster.actions import Actor
from hog_dagster.actions._claims import Finding, claim, reconcile_first
from hog_dagster.actions._reconcile import reconcile
from hog_dagster.actions._summary import Outcome, Result
from hog_dagster.ledger import Action, ClaimLost, Entry
from tests.actions.kit import Place


def claimed(actor: Actor, action: Action) -> Entry:
    entry = claim(actor, action)
    assert isinstance(entry, Entry)
    return entry


def test_another_runs_claim_is_left_alone() -> None:
    place = Place()
    first, second = place.actor(), place.actor()
    place.running.add(first.owner)
    action = first.action("rerun", place.workflow(), "run/1")
    mine = claimed(first, action)
    other = claim(second, action)
    assert isinstance(other, Result)
    assert other.outcome is Outcome.SKIPPED
    assert first.owner in other.why
    first.ledger.mark_sent([mine], server_time=place.clock.true, lock=None)
    looked = reconcile_first(second, action, lambda entry: Finding(Outcome.NOT_SENT, ""))
    assert looked is not None
    assert looked.outcome is Outcome.SKIPPED
    assert looked.why == f"run {first.owner} is sending it"
    (said,) = reconcile(second).results.values()
    assert said.outcome is Outcome.SKIPPED
    assert "is sending it" in said.why


def test_a_claim_whose_run_ended_before_it_sent_is_released() -> None:
    place = Place()
    first, second = place.actor(), place.actor()
    action = first.action("rerun", place.workflow(), "run/1")
    claim(first, action)
    assert not reconcile(second).results
    entry = place.ledger.get(action)
    assert entry is not None
    assert not entry.open
    assert "ended before it sent it" in entry.note


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.CONFIRMED, Outcome.IN_DOUBT])
def test_an_action_in_doubt_is_reconciled_before_it_is_sent(
    outcome: Outcome, dry_run: bool
) -> None:
    place = Place()
    first, second = place.actor(), place.actor()
    action = first.action("rerun", place.workflow(), "run/1")
    entry = claimed(first, action)
    first.ledger.mark_sent([entry], server_time=place.clock.true, lock=None)
    found = reconcile_first(
        second, action, lambda _: Finding(outcome, "as it was seen"), dry_run=dry_run
    )
    if outcome is Outcome.NOT_SENT:
        assert found is None
    else:
        assert found is not None
        assert found.outcome is (Outcome.DRY_RUN if dry_run else outcome)
        assert "as it was seen" in found.why
    if not dry_run:
        again = reconcile_first(second, action, lambda _: Finding(outcome, "once more"))
        if outcome is Outcome.CONFIRMED:
            assert again is not None
            assert again.outcome is Outcome.DONE_BEFORE


def test_who_loses_the_claim_while_it_reads_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    first, second = place.actor(), place.actor()
    action = first.action("rerun", place.workflow(), "run/1")
    entry = claimed(first, action)
    first.ledger.mark_sent([entry], server_time=place.clock.true, lock=None)

    def lost(*_: object, **__: object) -> None:
        raise ClaimLost("another run took over")

    monkeypatch.setattr("hog_dagster.actions._claims.record", lost)
    found = reconcile_first(second, action, lambda _: Finding(Outcome.CONFIRMED, "seen"))
    assert found is not None
    assert found.outcome is Outcome.SKIPPED
    assert found.why == "another run took over"
