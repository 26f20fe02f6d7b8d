"""Pushes of opt-outs and suppressions: each change once, whatever dies or breaks in between."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from hog_dagster.actions import ALL, BadRows, ListPlan, ListPush, Pair, PushedList, PushedPairs
from hog_dagster.actions._list_evidence import LIST_KINDS
from hog_dagster.ledger import Entry, State
from hog_dagster.policies import PushPolicy
from hog_dagster.sandbox.world import OUT
from tests.actions.kit import HOUR, Place

DAYS = 24 * HOUR
BULK = "*/bulk_add_opt_outs/"


class Killed(BaseException):
    """The process ends here."""


def kill_at(place: Place, point: str) -> None:
    """Let the next run die at a change of the ledger; a dead one changes nothing any more."""
    dead = False

    def reached(step: str, when: str) -> None:
        nonlocal dead
        if dead or f"{step}, {when} commit" == point:
            dead = True
            raise Killed

    def before(step: str, _entry: Entry) -> None:
        reached(step, "before")

    def after(step: str, _entry: Entry) -> None:
        reached(step, "after")

    place.ledger.observer, place.ledger.after_commit = before, after


def live_on(place: Place) -> None:
    place.ledger.observer = place.ledger.after_commit = None


def push(
    place: Place,
    wanted: Iterable[Pair | str],
    into: PushedList = "opt_outs",
    keys: Sequence[str] = (ALL,),
    **policy: Any,
) -> tuple[ListPlan, PushedPairs]:
    pairs = [(one, ALL) if isinstance(one, str) else one for one in wanted]
    given = {"dry_run": False, "reconcile_seconds": 0.0, **policy}
    work = ListPush(place.actor(), into, PushPolicy(**given))
    with work.actor.holding(work.source.id, 0.0) as held:
        assert held
        plan = work.plan(pairs, keys)
        return plan, PushedPairs() if given["dry_run"] else work.push(plan)


def changes(place: Place, name: str) -> list[str]:
    """What each change of a recipient's choices left of `$all`."""
    row = place.world.mail.preferences[name]
    return [held.get(ALL, "") for _, held in row.history]


def out(place: Place) -> set[str]:
    rows = place.world.mail.preferences.values()
    return {row.identifier for row in rows if row.preferences.get(ALL) == OUT}


def people(n: int, first: int = 0) -> list[str]:
    return [f"p{number}@example.com" for number in range(first, first + n)]


def test_only_the_differences_are_sent_a_thousand_in_a_request() -> None:
    place = Place()
    place.world.add_opt_outs(people(500))
    plan, pushed = push(place, people(1_700))
    assert (len(plan.adds), plan.unchanged, pushed.added) == (1_200, 500, 1_200)
    assert place.posts(BULK) == 2
    assert out(place) == set(people(1_700))
    assert all(len(changes(place, name)) == 1 for name in people(1_700))
    _, again = push(place, people(1_700))
    assert (again.added, place.posts(BULK)) == (0, 2)


def test_a_dry_run_reads_and_changes_nothing() -> None:
    place = Place()
    plan, _ = push(place, people(3), dry_run=True)
    assert (len(plan.adds), place.posts("*"), place.entries()) == (3, place.posts("*/query/"), [])


@pytest.mark.parametrize("kills", [
    ("claim, after commit", "mark_sent, before commit", "mark_sent, after commit"),
    ("mark_sent, after commit", "confirm, before commit", "claim, before commit"),
    ("confirm, before commit", "claim, after commit", "confirm, after commit"),
])  # fmt: skip
def test_a_push_that_is_killed_three_times_makes_each_change_once(kills: tuple[str, ...]) -> None:
    place = Place()
    before, changed = people(1_500), people(1_500, 1_500)
    place.world.add_opt_outs(before)
    for point in kills:
        kill_at(place, point)
        with pytest.raises(Killed):
            push(place, [*before, *changed])
        live_on(place)
        place.wait(2 * HOUR)
    push(place, [*before, *changed])
    plan, _ = push(place, [*before, *changed])
    assert plan.adds == ()
    assert out(place) == {*before, *changed}
    assert {len(changes(place, name)) for name in [*before, *changed]} == {1}
    states = {entry.state for entry in place.entries(kind=list(LIST_KINDS))}
    assert states <= {State.CONFIRMED, State.NOT_SENT}


def test_what_may_still_be_under_way_is_left_alone_until_the_grace_time_is_over() -> None:
    place = Place()
    kill_at(place, "mark_sent, after commit")
    with pytest.raises(Killed):
        push(place, people(2))
    live_on(place)
    plan, pushed = push(place, people(3))
    assert (plan.held, pushed.added) == (2, 1)
    place.wait(2 * HOUR)
    plan, pushed = push(place, people(3))
    assert (plan.held, pushed.added) == (0, 2)


def test_a_run_waits_for_what_is_in_doubt_as_long_as_it_may() -> None:
    place = Place(grace=120.0)
    kill_at(place, "mark_sent, after commit")
    with pytest.raises(Killed):
        push(place, people(2))
    live_on(place)
    _, pushed = push(place, people(2), reconcile_seconds=600.0)
    assert pushed.added == 2


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_request_without_a_response_is_reconciled_by_what_is_listed(cut: Any) -> None:
    place = Place()
    place.sandbox.fail("POST", BULK, times=1, cut=cut)
    _, pushed = push(place, people(1_500))
    assert (pushed.in_doubt, pushed.added) == (1_000, 500)
    place.wait(2 * HOUR)
    assert len(place.reconcile()) == 1
    _, pushed = push(place, people(1_500))
    assert pushed.added == (1_000 if cut == "before" else 0)
    assert {len(changes(place, name)) for name in people(1_500)} == {1}


def test_a_server_that_refuses_ends_the_push_after_one_request() -> None:
    place = Place()
    place.world.mail.access = "viewer"
    _, pushed = push(place, people(1_500))
    assert (pushed.not_sent, place.posts(BULK)) == (1_500, 1)
    assert "editor access" in pushed.problems[0]
    place.world.mail.access = "editor"
    _, pushed = push(place, people(1_500))
    assert pushed.added == 1_500


def test_more_additions_than_allowed_send_nothing() -> None:
    place = Place()
    with pytest.raises(BadRows, match="5 would be added, more than 4"):
        push(place, people(5), max_additions=4)
    assert place.posts(BULK) == 0


# -- removals --------------------------------------------------------------------------------------


def old_opt_outs(place: Place, names: Iterable[str], key: str | None = None) -> None:
    place.world.add_opt_outs(names, key)
    place.wait(3 * DAYS)


def test_without_mirror_nobody_is_opted_in() -> None:
    place = Place()
    old_opt_outs(place, people(3))
    plan, _ = push(place, people(1))
    assert (plan.only_in_posthog, out(place)) == (2, set(people(3)))


def test_a_mirror_opts_in_whom_the_table_has_not_and_once() -> None:
    place = Place()
    old_opt_outs(place, people(5))
    _, pushed = push(place, people(3), mirror=True)
    assert (pushed.removed, out(place)) == (2, set(people(3)))
    assert place.posts("*/remove_opt_out/") == 2


def test_a_mirror_over_its_cap_adds_and_removes_nothing() -> None:
    place = Place()
    old_opt_outs(place, people(5))
    _, pushed = push(place, ["new@example.com"], mirror=True, max_removals=4)
    assert (pushed.added, pushed.removed, pushed.over_cap) == (1, 0, 5)
    assert "more than max_removals=4" in pushed.problems[0]
    assert out(place) == {*people(5), "new@example.com"}


def test_a_mirror_does_not_undo_a_choice_of_the_last_days() -> None:
    place = Place()
    old_opt_outs(place, people(1))
    place.world.add_opt_out("late@example.com")
    _, pushed = push(place, [], mirror=True)
    assert (pushed.removed, out(place)) == (1, {"late@example.com"})


def test_a_mirror_does_not_undo_a_choice_made_while_it_runs() -> None:
    place = Place()
    old_opt_outs(place, people(2))
    work = ListPush(place.actor(), "opt_outs", PushPolicy(dry_run=False, mirror=True))
    plan = work.plan([])
    place.wait(60)
    place.world.add_opt_out("p1@example.com")
    pushed = work.push(plan)
    assert (pushed.removed, pushed.changed_meanwhile, out(place)) == (1, 1, {"p1@example.com"})


def test_one_category_alone_is_mirrored_and_nobody_out_of_all_is_opted_in() -> None:
    place = Place()
    for key in ("news", "offers"):
        place.world.add_category(key)
    old_opt_outs(place, people(3), "news")
    old_opt_outs(place, people(1), "offers")
    old_opt_outs(place, ["p2@example.com"])
    plan, pushed = push(place, [("p0@example.com", "news")], keys=["news"], mirror=True)
    assert (plan.out_of_all, pushed.removed) == (1, 1)
    news = place.world.category("news")
    assert news is not None
    rows = place.world.mail.preferences.values()
    assert {r.identifier for r in rows if r.preferences.get(news.id) == OUT} == {
        "p0@example.com",
        "p2@example.com",
    }
    assert out(place) == {"p2@example.com"}


@pytest.mark.parametrize("point", ["mark_sent, after commit", "confirm, before commit"])
def test_a_mirror_that_is_killed_opts_in_once_and_does_not_undo_a_new_choice(point: str) -> None:
    place = Place()
    old_opt_outs(place, people(2))
    kill_at(place, point)
    with pytest.raises(Killed):
        push(place, [], mirror=True)
    live_on(place)
    place.wait(2 * HOUR)
    push(place, [], mirror=True)
    assert out(place) == set()
    assert [changes(place, name)[1:] for name in people(2)] == [["OPTED_IN"], ["OPTED_IN"]]


# -- suppressions ----------------------------------------------------------------------------------


def suppressed(place: Place) -> set[str]:
    rows = place.world.mail.suppressions.values()
    return {row.identifier for row in rows if row.suppressed}


def test_suppressions_are_added_one_by_one_and_bounces_are_never_lifted() -> None:
    place = Place()
    place.world.add_bounce("bounced@example.com")
    place.world.add_suppression("old@example.com")
    place.world.add_suppression("p0@example.com")
    place.wait(3 * DAYS)
    _, pushed = push(place, people(3), "suppressions", mirror=True)
    assert (pushed.added, pushed.removed) == (2, 1)
    assert suppressed(place) == {*people(3), "bounced@example.com"}
    assert place.posts("*/add_suppression/") == 2


@pytest.mark.parametrize("point", ["mark_sent, after commit", "confirm, before commit"])
def test_suppressions_of_a_killed_push_are_added_once(point: str) -> None:
    place = Place()
    kill_at(place, point)
    with pytest.raises(Killed):
        push(place, people(3), "suppressions")
    live_on(place)
    place.wait(2 * HOUR)
    push(place, people(3), "suppressions")
    assert suppressed(place) == set(people(3))
    assert {len(row.history) for row in place.world.mail.suppressions.values()} == {1}


def test_without_hogql_the_lists_are_read_by_rest() -> None:
    place = Place(missing={"hogql_system"})
    place.world.add_opt_outs(people(150))
    _, pushed = push(place, people(151))
    assert (pushed.added, place.posts(BULK)) == (1, 1)
