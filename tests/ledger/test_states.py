"""Which method takes an action from which state to which; everything else is a lost claim."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from hog_dagster.ledger import ClaimLost, Entry, Ledger, LedgerError, State
from tests.ledger.kit import in_state, replay

Method = Callable[[Ledger, Entry], object]

S = State
#: method -> (how it is called, the states it takes, the state it leads to)
TABLE: dict[str, tuple[Method, set[State], State]] = {
    "mark_sent": (lambda b, e: b.mark_sent([e], server_time=None), {S.CLAIMED}, S.SENT),
    "confirm": (lambda b, e: b.confirm(e, note="n"), {S.SENT, S.IN_DOUBT}, S.CONFIRMED),
    "refuse": (lambda b, e: b.refuse(e, note="n"), {S.SENT, S.IN_DOUBT}, S.REFUSED),
    "doubt": (lambda b, e: b.doubt(e, note="n"), {S.SENT, S.IN_DOUBT}, S.IN_DOUBT),
    "release": (lambda b, e: b.release(e, note="n"), {S.CLAIMED, S.SENT}, S.NOT_SENT),
    "reopen": (lambda b, e: b.reopen(e, "b", note="n"), {S.SENT, S.IN_DOUBT}, S.CLAIMED),
}


def stored(ledger: Ledger, entry: Entry) -> Entry:
    (found,) = ledger.entries(action_id=entry.id)
    return found


@pytest.mark.parametrize("name", TABLE)
def test_a_method_takes_only_the_states_that_allow_it(
    name: str, ledger: Ledger, numbers: Iterator[int]
) -> None:
    method, allowed, to = TABLE[name]
    for state in State:
        entry = in_state(ledger, state, replay(f"run-{next(numbers)}"))
        before = stored(ledger, entry)
        if state in allowed:
            method(ledger, entry)
            after = stored(ledger, entry)
            assert (after.state, after.version) == (to, before.version + 1), state
            assert ledger.history(entry.id)[-1]["state"] == to
        else:
            with pytest.raises(ClaimLost):
                method(ledger, entry)
            assert stored(ledger, entry) == before, state


@pytest.mark.parametrize("name", TABLE)
def test_a_method_refuses_a_row_that_another_process_changed(
    name: str, ledger: Ledger, numbers: Iterator[int]
) -> None:
    method, allowed, _ = TABLE[name]
    for state in sorted(allowed):
        entry = in_state(ledger, state, replay(f"run-{next(numbers)}"))
        if state is State.CLAIMED:
            ledger.claim(entry.action(), "a")  # another step of the same run
        else:
            ledger.doubt(entry, note="by another process")
        before = stored(ledger, entry)
        with pytest.raises(ClaimLost, match="changed by another process"):
            method(ledger, entry)
        assert stored(ledger, entry) == before


@pytest.mark.parametrize("name", ["mark_sent", "confirm", "refuse", "doubt", "release"])
def test_all_of_several_actions_change_or_none(name: str, ledger: Ledger) -> None:
    state = State.CLAIMED if name == "mark_sent" else State.SENT
    entries = [in_state(ledger, state, replay(f"run-{n}")) for n in range(3)]
    lost = in_state(ledger, State.CONFIRMED, replay("lost"))
    method = getattr(ledger, name)
    if name == "mark_sent":
        with pytest.raises(ClaimLost):
            method([*entries, lost], server_time=None)
    else:
        with pytest.raises(ClaimLost):
            method(*entries, lost, note="n")
    assert {stored(ledger, entry).state for entry in entries} == {state}
    assert [len(ledger.history(entry.id)) for entry in entries] == [
        1 if state is State.CLAIMED else 2
    ] * 3


@pytest.mark.parametrize("outcome", ["confirmed", "not-sent"])
def test_an_operator_resolves_what_is_in_doubt_and_forces_the_rest(
    outcome: str, ledger: Ledger, numbers: Iterator[int]
) -> None:
    to = State.CONFIRMED if outcome == "confirmed" else State.NOT_SENT
    for state in State:
        entry = in_state(ledger, state, replay(f"run-{next(numbers)}"))
        if state is not State.IN_DOUBT:
            with pytest.raises(LedgerError, match=r"being sent by run a|nothing to resolve"):
                ledger.resolve(entry.id, outcome, reason="seen", who="ana")
            assert stored(ledger, entry).version == entry.version
        forced = state is not State.IN_DOUBT
        after = ledger.resolve(entry.id, outcome, reason="seen", who="ana", force=forced)
        assert after == stored(ledger, entry)
        assert after.state is to
        assert (after.settled_at is None) == (to is State.NOT_SENT)
        assert after.note.startswith("resolved by ana")
        assert ("forced; it was" in after.note) == forced


def test_an_operator_gives_a_reason_an_outcome_and_a_number_that_exists(ledger: Ledger) -> None:
    entry = in_state(ledger, State.IN_DOUBT, replay())
    with pytest.raises(LedgerError, match="reason"):
        ledger.resolve(entry.id, "not-sent", reason=" ", who="ana")
    with pytest.raises(LedgerError, match="no action 99"):
        ledger.resolve(99, "not-sent", reason="x", who="ana")
    with pytest.raises(LedgerError, match="no action"):
        ledger.resolve(10**30, "not-sent", reason="x", who="ana")
    with pytest.raises(LedgerError, match="'gone'"):
        ledger.resolve(entry.id, "gone", reason="x", who="ana")
    assert stored(ledger, entry) == entry


def test_the_observer_that_raises_rolls_the_change_back(ledger: Ledger) -> None:
    entry = in_state(ledger, State.CLAIMED, replay())
    sequence = ledger.sequence()
    seen: list[tuple[str, State]] = []

    def crash(step: str, after: Entry) -> None:
        seen.append((step, after.state))
        raise RuntimeError("crash")

    ledger.observer = crash
    with pytest.raises(RuntimeError, match="crash"):
        ledger.mark_sent([entry], server_time=None)
    with pytest.raises(RuntimeError, match="crash"):
        ledger.claim(replay("another"), "a")
    assert seen == [("mark_sent", State.SENT), ("claim", State.CLAIMED)]
    assert list(ledger.entries()) == [entry]
    assert len(ledger.history(entry.id)) == 1
    assert ledger.sequence() == sequence


def test_after_commit_is_called_when_others_see_the_change(ledger: Ledger, url: str) -> None:
    seen: list[tuple[str, State | None, State | None]] = []

    def look(when: str) -> Callable[[str, Entry], None]:
        def look(_: str, entry: Entry) -> None:
            with Ledger(url) as other:
                found = other.get(entry.action())
                seen.append((when, entry.state, found.state if found else None))

        return look

    ledger.observer, ledger.after_commit = look("before"), look("after")
    claim = ledger.claim(replay(), "a")
    assert claim.granted
    assert seen == [("before", State.CLAIMED, None), ("after", State.CLAIMED, State.CLAIMED)]


def test_a_row_whose_state_was_changed_by_hand_is_not_changed_on(ledger: Ledger, url: str) -> None:
    entry = in_state(ledger, State.SENT, replay())
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE hog_dagster_actions SET state = 'confirmed'"))
    engine.dispose()
    with pytest.raises(ClaimLost):
        ledger.release(entry, note="n")
    assert stored(ledger, entry).state is State.CONFIRMED
