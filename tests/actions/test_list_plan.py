"""The plan of a push of opt-outs: what differs and nothing else, and what is never removed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hog_dagster.actions._group_plan import BadRows
from hog_dagster.actions._list_plan import (
    ALL,
    ListedPair,
    Pair,
    PushedList,
    fingerprint,
    plan_list,
    wanted_pairs,
)

OLD = datetime(2026, 11, 1, tzinfo=UTC)
SINCE = OLD + timedelta(days=1)


def wanted(values: list[Any], into: PushedList = "opt_outs", **more: Any) -> list[Pair]:
    rows = [{"email": one, "topic": None} if not isinstance(one, dict) else one for one in values]
    return wanted_pairs(rows, into=into, identifier_column="email", what="crm.out", **more)


def listed(*pairs: Pair, at: datetime | None = OLD, **more: Any) -> dict[Pair, ListedPair]:
    return dict.fromkeys(pairs, ListedPair(at, **more))


def test_only_what_differs_is_added_and_letters_count() -> None:
    pairs = wanted(["Ada@x.io", "bob@x.io", "bob@x.io"])
    plan = plan_list(pairs, listed(("ada@x.io", ALL), ("bob@x.io", ALL)))
    assert plan.adds == (("Ada@x.io", ALL),)
    assert (plan.removes, plan.unchanged, plan.only_in_posthog) == ((), 1, 1)


def test_suppressions_are_compared_in_lower_case() -> None:
    assert wanted([" Ada@X.io "], "suppressions") == [("ada@x.io", ALL)]


def test_each_bad_row_is_named_by_number_and_not_quoted() -> None:
    rows = [None, 7, "", " a@x.io", "a@x.io", "a" * 513, {"email": "b@x.io", "topic": "gone"}]
    with pytest.raises(BadRows) as raised:
        wanted(rows, category_column="topic", known=["news"])
    said = str(raised.value)
    assert [line.split(":")[0] for line in raised.value.problems] == [
        f"row {n}" for n in (1, 2, 3, 4, 6, 7)
    ]
    assert "x.io" not in said
    assert "gone" not in said
    assert "nothing was sent" in said


def test_a_row_without_a_category_takes_the_one_of_the_push() -> None:
    rows = [{"email": "a@x.io", "topic": None}, {"email": "a@x.io", "topic": "news"}]
    assert wanted(rows, category_column="topic", known=["news"]) == [
        ("a@x.io", ALL),
        ("a@x.io", "news"),
    ]


def test_without_mirror_nothing_is_removed() -> None:
    assert plan_list([], listed(("a", ALL))).removes == ()


def test_a_mirror_removes_what_the_table_has_not_in_its_categories_alone() -> None:
    there = listed(("a", "news"), ("b", ALL), ("c", "news"))
    plan = plan_list([("c", "news")], there, keys=["news"], mirror=True, settled_before=SINCE)
    assert plan.removes == (("a", "news"),)


@pytest.mark.parametrize("at", [None, SINCE, SINCE + timedelta(hours=1)])
def test_a_mirror_leaves_alone_what_changed_lately(at: datetime | None) -> None:
    plan = plan_list([], listed(("a", ALL), at=at), mirror=True, settled_before=SINCE)
    assert (plan.removes, plan.too_young, plan.only_in_posthog) == ((), 1, 1)


def test_a_mirror_leaves_alone_what_bounced() -> None:
    plan = plan_list([], listed(("a", ALL), removable=False), mirror=True, settled_before=SINCE)
    assert plan.removes == ()


@pytest.mark.parametrize("all_from", ["posthog", "table"])
def test_a_category_of_somebody_who_stays_out_of_all_is_not_removed(all_from: str) -> None:
    there = listed(("a", "news"), *([("a", ALL)] if all_from == "posthog" else []))
    pairs = [("a", ALL)] if all_from == "table" else []
    plan = plan_list(pairs, there, keys=["news"], mirror=True, settled_before=SINCE)
    assert (plan.removes, plan.out_of_all) == ((), 1)


def test_out_of_all_is_removed_before_the_categories() -> None:
    there = listed(("a", "news"), ("a", ALL))
    plan = plan_list([], there, keys=["news", ALL], mirror=True, settled_before=SINCE)
    assert plan.removes == (("a", ALL), ("a", "news"))


def test_what_is_in_doubt_is_left_alone() -> None:
    plan = plan_list(
        [("a", ALL)],
        listed(("b", ALL)),
        mirror=True,
        settled_before=SINCE,
        held=[("a", ALL), ("b", ALL)],
    )
    assert (plan.adds, plan.removes, plan.held) == ((), (), 2)


names = st.sampled_from(["a", "A", "b", "c", "d"])
pairs = st.lists(st.tuples(names, st.sampled_from([ALL, "news", "offers"])), unique=True)


@given(pairs, pairs)
def test_after_the_plan_posthog_has_the_table_and_mirrors_it_where_that_is_safe(
    table: list[Pair], there: list[Pair]
) -> None:
    keys = [ALL, "news", "offers"]
    plan = plan_list(table, listed(*there), keys=keys, mirror=True, settled_before=SINCE)
    after = (set(there) | set(plan.adds)) - set(plan.removes)
    assert set(table) <= after
    out = {who for who, key in table if key == ALL}
    assert after == set(table) | {pair for pair in there if pair[0] in out}
    assert not set(plan.adds) & set(there)


def test_the_ledger_keeps_no_address() -> None:
    one = fingerprint(1, ("ada@x.io", ALL))
    assert "ada" not in one
    assert len(one) == 16
    others = {fingerprint(1, ("Ada@x.io", ALL)), fingerprint(2, ("ada@x.io", ALL))}
    assert one not in others | {fingerprint(1, ("ada@x.io", "news"))}
