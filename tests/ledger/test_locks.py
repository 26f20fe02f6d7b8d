"""Locks: one run at a time, and who lost a lock marks nothing as sent."""

from datetime import timedelta

import pytest

from hog_dagster.ledger import Ledger, LedgerError, LockLost, State
from tests.ledger.kit import StoppedClock, replay


def test_a_lock_is_held_by_one_run(ledger: Ledger) -> None:
    with ledger.lock("workflow:1", "a") as held:
        assert held is not None
        assert ledger.holder("workflow:1") == "a"
        with ledger.lock("workflow:1", "b") as refused:
            assert refused is None
        with ledger.lock("workflow:2", "b") as other:
            assert other is not None
    with ledger.lock("workflow:1", "b") as free:
        assert free is not None
    assert ledger.holder("workflow:1") is None


def test_a_lock_of_a_dead_run_is_taken_over_and_the_dead_run_sends_nothing(ledger: Ledger) -> None:
    claim = ledger.claim(replay(), "dead")
    with ledger.lock("w", "dead") as old:
        with ledger.lock("w", "b", alive=lambda _: False) as new:
            assert new is not None
            with pytest.raises(LockLost, match="taken over by run b"):
                ledger.mark_sent([claim.entry], server_time=None, lock=old)
            ledger.renew(new)
        with pytest.raises(LockLost, match="given back"):
            ledger.mark_sent([claim.entry], server_time=None, lock=old)
        assert old is not None
        with pytest.raises(LockLost):
            ledger.renew(old)
    found = ledger.get(replay())
    assert found is not None
    assert found.state is State.CLAIMED


def test_a_lock_is_renewed_together_with_the_mark_or_not_at_all(url: str) -> None:
    clock = StoppedClock()
    with Ledger(url, clock=clock) as ledger:
        claim = ledger.claim(replay(), "a")
        with ledger.lock("w", "a", lease=timedelta(minutes=5)) as lock:
            clock.move(minutes=4)
            ledger.observer = lambda *_: (_ for _ in ()).throw(RuntimeError("crash"))
            with pytest.raises(RuntimeError):
                ledger.mark_sent([claim.entry], server_time=None, lock=lock)
            clock.move(minutes=1)
            assert ledger.holder("w") is None  # the renewal was rolled back with the mark
            ledger.observer = None
            ledger.mark_sent([claim.entry], server_time=None, lock=lock)
            clock.move(minutes=4)
            assert ledger.holder("w") == "a"


def test_a_lock_whose_lease_is_over_is_free(ledger: Ledger) -> None:
    with (
        ledger.lock("w", "a", lease=timedelta(0)),
        ledger.lock("w", "b", alive=lambda _: True) as taken,
    ):
        assert taken is not None


def test_a_lock_is_waited_for_by_the_clock(url: str) -> None:
    clock = StoppedClock()
    with (
        Ledger(url, clock=clock) as ledger,
        ledger.lock("w", "a", lease=timedelta(seconds=2)),
        ledger.lock("w", "b", wait=1.0) as too_short,
        ledger.lock("w", "b", wait=10.0) as long_enough,
    ):
        assert too_short is None
        assert long_enough is not None
        assert 2 <= sum(clock.slept) < 3


@pytest.mark.parametrize("name", ["", "x" * 301, "a\x00b", "\ud800"])
def test_a_name_that_no_database_keeps_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(LedgerError, match="name of a lock"), ledger.lock(name, "a"):
        pass
    with pytest.raises(LedgerError, match="owner of a lock"), ledger.lock("w", name):
        pass
