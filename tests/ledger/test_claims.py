"""Claims: who gets an action, by state, lease and life of the owner; what is kept of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hog_dagster.ledger import (
    LEDGER_FIELDS,
    Action,
    ClaimLost,
    ClaimStatus,
    Entry,
    Ledger,
    LedgerError,
    State,
)
from tests.ledger.kit import LOWER, NOON, UPPER, StoppedClock, in_state, replay, sent


def test_an_action_is_granted_to_the_first_who_claims_it(ledger: Ledger) -> None:
    first = ledger.claim(replay(), "a")
    assert first.status is ClaimStatus.GRANTED
    assert first.entry.state is State.CLAIMED
    assert ledger.claim(replay(), "b").status is ClaimStatus.BUSY


def test_another_project_kind_target_or_subject_is_another_action(ledger: Ledger) -> None:
    actions = [
        Action(1, "replay", "w", "s"),
        Action(2, "replay", "w", "s"),
        Action(1, "rerun", "w", "s"),
        Action(1, "replay", "v", "s"),
        Action(1, "replay", "w", "t"),
        Action(1, "replay", "w", "S"),
    ]
    claims = ledger.claim_all(actions, "a")
    assert [claim.status for claim in claims] == [ClaimStatus.GRANTED] * 6
    assert [claim.entry.key for claim in claims] == [action.key for action in actions]


@pytest.mark.parametrize(
    "spelling",
    [UPPER, LOWER.replace("-", ""), "{" + UPPER + "}", f"urn:uuid:{LOWER}", f" {LOWER} "],
)
def test_a_target_or_a_run_under_another_spelling_is_the_same_action(
    spelling: str, ledger: Ledger
) -> None:
    assert ledger.claim(Action(1, "rerun", LOWER, f"{LOWER}#2"), "a").granted
    again = ledger.claim(Action(1, "rerun", spelling, f"{spelling}#2"), "b")
    assert again.status is ClaimStatus.BUSY
    assert (again.entry.target_id, again.entry.subject) == (LOWER, f"{LOWER}#2")
    assert len(list(ledger.entries(target_id=spelling))) == 1
    with (
        ledger.lock(f"workflow:1:{LOWER}", "a"),
        ledger.lock(f"workflow:1:{spelling.strip()}", "b") as other,
    ):
        assert other is None


def test_a_key_that_somebody_chose_is_kept_as_it_is(ledger: Ledger) -> None:
    entry = ledger.claim(Action(1, "batch_send", LOWER, UPPER), "a").entry
    assert entry.subject == UPPER


def test_the_same_action_twice_in_one_claim_is_one_action(ledger: Ledger) -> None:
    one, two = ledger.claim_all([replay(), replay()], "a")
    assert one == two
    assert len(list(ledger.entries())) == 1


def test_a_claimed_action_of_a_dead_owner_is_granted_anew(ledger: Ledger) -> None:
    ledger.claim(replay(), "dead")
    assert ledger.claim(replay(), "b", alive=lambda _: True).status is ClaimStatus.BUSY
    assert ledger.claim(replay(), "b", alive=lambda _: None).status is ClaimStatus.BUSY
    taken = ledger.claim(replay(), "b", alive=lambda _: False)
    assert taken.granted
    assert taken.entry.owner == "b"


def test_a_claim_is_its_owners_until_the_lease_is_over(url: str) -> None:
    clock = StoppedClock()
    with Ledger(url, lease=timedelta(minutes=5), clock=clock) as ledger:
        ledger.claim(replay(), "a")
        clock.move(minutes=4, seconds=59)
        assert ledger.claim(replay(), "b").status is ClaimStatus.BUSY
        clock.move(seconds=1)
        assert ledger.claim(replay(), "b", alive=lambda _: True).granted


def test_marking_as_sent_begins_the_lease_anew(url: str) -> None:
    clock = StoppedClock()
    with Ledger(url, lease=timedelta(minutes=5), clock=clock) as ledger:
        claim = ledger.claim(replay(), "a")
        clock.move(minutes=4)
        ledger.mark_sent([claim.entry], server_time=None)
        clock.move(minutes=4)
        assert ledger.claim(replay(), "b").status is ClaimStatus.BUSY
        clock.move(minutes=1)
        assert ledger.claim(replay(), "b").status is ClaimStatus.IN_DOUBT


def test_who_lost_an_action_cannot_mark_it_as_sent(ledger: Ledger) -> None:
    slow = ledger.claim(replay(), "slow")
    quick = ledger.claim(replay(), "quick", alive=lambda _: False)
    with pytest.raises(ClaimLost):
        ledger.mark_sent([slow.entry], server_time=None)
    assert ledger.mark_sent([quick.entry], server_time=None)[0].attempts == 1
    with pytest.raises(ClaimLost):
        ledger.release(slow.entry, note="late")


def test_a_step_of_the_same_run_that_died_loses_its_action_to_the_next(ledger: Ledger) -> None:
    before = ledger.claim(replay(), "run")
    assert ledger.claim(replay(), "run").granted
    with pytest.raises(ClaimLost):
        ledger.mark_sent([before.entry], server_time=None)


def test_a_sent_action_is_busy_while_its_owner_lives_and_in_doubt_after(ledger: Ledger) -> None:
    sent(ledger, replay())
    assert ledger.claim(replay(), "b", alive=lambda _: True).status is ClaimStatus.BUSY
    assert ledger.claim(replay(), "b", alive=lambda _: False).status is ClaimStatus.IN_DOUBT
    assert ledger.claim(replay(), "a").status is ClaimStatus.IN_DOUBT
    assert ledger.get(replay()).state is State.SENT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.NOT_SENT, ClaimStatus.GRANTED),
        (State.IN_DOUBT, ClaimStatus.IN_DOUBT),
        (State.CONFIRMED, ClaimStatus.CONFIRMED),
        (State.REFUSED, ClaimStatus.REFUSED),
    ],
)
def test_a_claim_says_how_an_action_ended(
    ledger: Ledger, state: State, status: ClaimStatus
) -> None:
    before = in_state(ledger, state, replay())
    claim = ledger.claim(replay(), "b", alive=lambda _: True)
    assert claim.status is status
    if not claim.granted:
        assert claim.entry == before


def test_an_action_that_is_not_sent_is_anybodys_and_counts_its_attempts(ledger: Ledger) -> None:
    in_state(ledger, State.NOT_SENT, replay(), owner="a")
    again = ledger.claim(Action(1, "replay", LOWER, "run-1", target_name="Welcome"), "b")
    assert again.granted
    assert (again.entry.owner, again.entry.target_name) == ("b", "Welcome")
    assert ledger.mark_sent([again.entry], server_time=None)[0].attempts == 2


def test_an_action_in_doubt_is_reopened_by_one_only(ledger: Ledger) -> None:
    entry = in_state(ledger, State.IN_DOUBT, replay())
    assert ledger.reopen(entry, "b", note="shown not to have happened").owner == "b"
    with pytest.raises(ClaimLost):
        ledger.reopen(entry, "c", note="shown not to have happened")


def test_responses_ids_and_times_are_kept(ledger: Ledger) -> None:
    marked = sent(ledger, replay())
    given_up = NOON + timedelta(minutes=1)
    (entry,) = ledger.doubt(
        marked, note="timeout", response={"n": 1}, remote_id=17, server_given_up_at=given_up
    )
    assert ledger.get(replay()) == entry
    assert (entry.server_sent_at, entry.server_given_up_at) == (NOON, given_up)
    assert (entry.response, entry.remote_id, entry.settled_at) == ({"n": 1}, "17", None)
    (still,) = ledger.doubt(entry, note="still unknown")
    assert (still.server_given_up_at, still.response, still.remote_id) == (
        given_up,
        {"n": 1},
        "17",
    )
    again = ledger.reopen(still, "b", note="shown not to have happened")
    (marked,) = ledger.mark_sent([again], server_time=None)
    assert (marked.server_sent_at, marked.server_given_up_at) == (None, None)
    (done,) = ledger.confirm(marked, note="queued", remote_id="x")
    assert ledger.get(replay()) == done
    assert done.settled_at is not None
    assert ledger.remote_ids(1, "replay", UPPER, ["x", 17, "17"]) == {"x"}


def test_each_state_is_in_the_history(ledger: Ledger) -> None:
    entry = in_state(ledger, State.CONFIRMED, replay())
    assert [(step["state"], step["note"]) for step in ledger.history(entry.id)] == [
        ("claimed", "claimed"),
        ("sent", "sent"),
        ("confirmed", "for the test"),
    ]


def test_rows_have_the_declared_fields_and_filters_narrow_them(ledger: Ledger) -> None:
    ledger.claim_all([replay("1", host="h"), replay("2")], "a")
    ledger.claim(Action(1, "batch_send", LOWER, "2026-11-20T06:00:00Z"), "b")
    rows = list(ledger.rows(kind="replay"))
    assert [set(row) for row in rows] == [{name for name, _, _ in LEDGER_FIELDS}] * 2
    assert rows[0]["request"] == {"host": "h"}
    assert rows[0]["state"] == "claimed"
    assert len(list(ledger.rows(kind=["replay", "batch_send"], owner="b"))) == 1
    assert list(ledger.rows(state="sent")) == []
    assert list(ledger.rows(since=datetime(2999, 1, 1, tzinfo=UTC))) == []
    assert [row["subject"] for row in ledger.rows(subject="2")] == ["2"]


def test_many_actions_are_claimed_in_one_transaction(ledger: Ledger) -> None:
    actions = [replay(f"run-{n}") for n in range(1201)]
    ledger.claim(actions[700], "other")
    claims = ledger.claim_all(actions, "a")
    assert [n for n, claim in enumerate(claims) if not claim.granted] == [700]
    assert [claim.entry.subject for claim in claims] == [action.subject for action in actions]
    assert len(ledger.get_all(actions)) == 1201
    assert len(ledger.history(claims[1200].entry.id)) == 1


def test_the_present_is_the_clock_that_was_passed_in(url: str) -> None:
    with Ledger(url, clock=StoppedClock()) as ledger:
        entry = sent(ledger, replay())
        assert (entry.created_at, entry.sent_at) == (NOON, NOON)
        assert entry.lease_until == NOON + timedelta(minutes=15)


def test_on_postgresql_the_present_is_the_servers_whatever_this_machine_believes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("hog_dagster._shared.clock.SystemClock.now", lambda _: long_ago)
    with Ledger(postgres_url) as ledger:
        assert ledger.claim(replay(), "a").entry.created_at.year > 2020
        with ledger.lock("w", "a"):
            assert ledger.holder("w") == "a"


def test_a_ledger_in_memory_is_like_any_other_and_can_be_shared() -> None:
    clock = StoppedClock()
    one = Ledger.in_memory(clock=clock)
    two = Ledger.in_memory(share=one)
    entry = sent(one, replay())
    assert two.id == one.id
    assert two.claim(replay(), "b").status is ClaimStatus.BUSY
    clock.move(minutes=15)
    assert two.claim(replay(), "b").status is ClaimStatus.IN_DOUBT
    for found in two.entries():
        two.confirm(found, note="read while it is written")
    seen: list[Entry | None] = []
    two.observer = lambda _, after: seen.append(two.get(after.action()))
    two.claim(replay("run-2"), "b")
    assert seen[0] is not None
    with pytest.raises(ClaimLost):
        one.confirm(entry, note="late")
    assert "memory" in one.location
    assert Ledger.in_memory().id != one.id


def test_a_ledger_that_was_replaced_under_a_process_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        claim = ledger.claim(replay(), "a")
        for file in tmp_path.iterdir():
            file.unlink()
        with Ledger(path) as other:
            other.claim(replay(), "b")
        with pytest.raises(LedgerError, match="replaced"):
            ledger.mark_sent([claim.entry], server_time=None)
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(LedgerError):
            ledger.mark_sent([claim.entry], server_time=None)
