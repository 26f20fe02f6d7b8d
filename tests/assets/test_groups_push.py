"""The plan of a group push: what differs and nothing else; bad rows are named beforehand."""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.actions._group_plan import (
    BadRows,
    GroupChange,
    WantedGroup,
    batches_of,
    plan_push,
    remaining,
    same,
    wanted_groups,
)
from hog_dagster.assets._group_source import GroupSource
from hog_dagster.warehouse import Column, DuckDB, Table

Rows = list[dict[str, Any]]


def wanted(rows: Rows, **more: Any) -> list[WantedGroup]:
    columns = list(rows[0]) if rows else ["id", "plan"]
    options: dict[str, Any] = {"key_column": "id", "property_columns": {"plan": "plan"}} | more
    return wanted_groups(rows, columns, what="analytics.accounts", **options)


def problems(rows: Rows, **more: Any) -> list[str]:
    with pytest.raises(BadRows) as raised:
        wanted(rows, **more)
    assert "nothing was sent" in str(raised.value)
    return list(raised.value.problems)


def test_the_plan_is_what_differs() -> None:
    rows = [{"id": f"g{n}", "plan": "pro"} for n in range(4)]
    existing: list[tuple[str, dict[str, Any]]] = [
        ("g0", {"plan": "pro", "other": 1}),
        ("g1", {"plan": "free"}),
        ("g2", {}),
        ("elsewhere", {"plan": "x"}),
    ]
    plan = plan_push(wanted(rows), existing)
    assert [change.key for change in plan.adds] == ["g3"]
    assert [(change.key, change.set, change.before) for change in plan.changes] == [
        ("g1", {"plan": "pro"}, {"plan": "free"}),
        ("g2", {"plan": "pro"}, {}),
    ]
    assert plan.unchanged == ("g0",)
    assert plan.numbers() == {
        "adds": 1,
        "changes": 2,
        "no_ops": 1,
        "properties_to_set": 3,
        "properties_to_remove": 0,
        "only_in_posthog": 1,
    }
    assert plan.requests == 2 + 2 + 2


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("1", 1, False),
        ({"a": [1, {"b": 2}]}, {"a": [1.0, {"b": 2}]}, True),
        ({"a": 1}, {"a": True}, False),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        ([1], [1, 2], False),
    ],
)
def test_values_are_compared_as_json_values(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_missing_columns_are_named_with_those_there_are() -> None:
    rows = [{"id": "a", "plan": "pro"}]
    assert problems(rows, key_column="account") == ["it has no column account (it has id, plan)"]
    said = problems(rows, property_columns={"plan": "tier", "seats": "seats"})
    assert said == [
        "it has no column tier (it has id, plan)",
        "it has no column seats (it has id, plan)",
    ]


def test_every_bad_row_is_named() -> None:
    rows: Rows = [
        {"id": None, "plan": "a"},
        {"id": "a", "plan": None},
        {"id": "a", "plan": "b"},
        {"id": "  ", "plan": "b"},
        {"id": "k" * 401, "plan": "b"},
        {"id": 1.5, "plan": "b"},
        {"id": math.nan, "plan": "b"},
        {"id": "big", "plan": "x" * 1_000_000},
        {"id": "inf", "plan": math.inf},
        {"id": "bytes", "plan": b"x"},
        {"id": " spaced", "plan": "b"},
        {"id": "fine", "plan": "b"},
    ]
    said = problems(rows)
    assert [line.partition(":")[0] for line in said] == [
        "row 1",
        "row 2",
        "row 3",
        "row 4",
        "row 5",
        "row 6",
        "row 7",
        "row 8",
        "row 9",
        "row 10",
        "row 11",
    ]
    assert "nulls='keep'" in said[1]
    assert "is in row 2 already" in said[2]
    assert "1000002 bytes" in said[7]


def test_a_long_list_of_bad_rows_is_cut_in_the_message_and_whole_in_the_error() -> None:
    said = problems([{"id": None, "plan": "a"} for _ in range(100)])
    assert len(said) == 100
    with pytest.raises(BadRows, match="and 80 more"):
        wanted([{"id": None, "plan": "a"} for _ in range(100)])


def test_a_group_whose_properties_are_too_long_together_is_refused() -> None:
    columns = {f"p{n}": f"p{n}" for n in range(12)}
    row = {"id": "a"} | dict.fromkeys(columns, "x" * 90000)
    (said,) = problems([row], property_columns=columns)
    assert "its properties have" in said


def test_nulls_can_be_left_alone_or_remove_the_property() -> None:
    rows: Rows = [{"id": "a", "plan": None}, {"id": "b", "plan": None}]
    existing = [("a", {"plan": "pro"}), ("b", {})]
    assert plan_push(wanted(rows, nulls="keep"), existing).work == ()
    plan = plan_push(wanted(rows, nulls="unset"), existing)
    (change,) = plan.changes
    assert (change.key, change.unset, change.set) == ("a", ("plan",), {})
    assert change.before == {"plan": "pro"}
    assert plan.unchanged == ("b",)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Decimal("10.00"), 10),
        (Decimal("10.25"), 10.25),
        (date(2026, 3, 2), "2026-03-02"),
        (datetime(2026, 3, 2, 10, tzinfo=UTC), "2026-03-02T10:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, {"a": Decimal(2)}), [1, {"a": 2}]),
        (False, False),
        (0, 0),
        ("", ""),
    ],
)
def test_warehouse_values_become_json_values(value: Any, sent: Any) -> None:
    (group,) = wanted([{"id": UUID(int=2), "plan": value}])
    assert group.key == str(UUID(int=2))
    assert group.properties["plan"] == sent
    assert type(group.properties["plan"]) is type(sent)


def test_what_landed_meanwhile_is_not_sent_and_what_others_changed_is_seen() -> None:
    change = GroupChange(
        "a",
        exists=True,
        set={"plan": "pro", "seats": 2, "region": "eu"},
        unset=("old",),
        before={"plan": "free", "seats": 1, "old": 1},
    )
    left, edited = remaining(change, {"plan": "pro", "seats": 1, "old": 1})
    assert (left.set, left.unset, edited) == ({"seats": 2, "region": "eu"}, ("old",), [])
    left, edited = remaining(change, {"plan": "gold", "region": "us", "old": 2})
    assert edited == ["plan", "seats", "region", "old"]
    left, edited = remaining(change, {"plan": "pro", "seats": 2, "region": "eu"})
    assert (left.set, left.unset, edited) == ({}, (), [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "b", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner),
    max_leaves=4,
)
groups = st.dictionaries(
    st.sampled_from([f"g{n}" for n in range(6)]),
    st.dictionaries(st.sampled_from(["plan", "seats", "other"]), json_values, max_size=3),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(table=groups, posthog=groups)
def test_applying_a_plan_makes_the_next_plan_empty(
    table: dict[str, dict[str, Any]], posthog: dict[str, dict[str, Any]]
) -> None:
    rows = [{"id": k, "plan": p.get("plan"), "seats": p.get("seats")} for k, p in table.items()]
    columns = {"plan": "plan", "seats": "seats"}
    target = wanted_groups(
        rows, ["id", "plan", "seats"], key_column="id", property_columns=columns, nulls="unset"
    )
    truth = {key: dict(properties) for key, properties in posthog.items()}
    plan = plan_push(target, truth.items())
    for change in plan.work:
        properties = truth.setdefault(change.key, {})
        properties.update(change.set)
        for name in change.unset:
            del properties[name]
    again = plan_push(target, truth.items())
    assert again.work == ()
    assert len(again.unchanged) == len(table)
    for key, properties in posthog.items():
        if key not in table:
            assert truth[key] == properties
        assert truth[key].get("other") == properties.get("other")


@given(count=st.integers(0, 40), most=st.integers(1, 9), size=st.integers(1, 400))
def test_batches_hold_every_change_once_and_no_more_than_allowed(
    count: int, most: int, size: int
) -> None:
    changes = [GroupChange(f"g{n}", True, {"p": "x" * size}) for n in range(count)]
    batches = list(batches_of(changes, most=most, max_bytes=2_000))
    assert [change for batch in batches for change in batch] == changes
    for batch in batches:
        assert len(batch) <= most
        assert len(batch) == 1 or sum(size + 200 for _ in batch) <= 2_000


ACCOUNTS = Table("accounts", (Column("id", "text"), Column("plan", "text")), schema="analytics")


def test_a_source_can_be_named_in_many_ways(tmp_path: Any) -> None:
    spec = dg.AssetSpec(["team", "accounts"], metadata={"dagster/table_name": "analytics.accounts"})

    @dg.asset(key=["analytics", "accounts"])
    def accounts() -> None: ...

    given = ["analytics.accounts", ACCOUNTS, spec, dg.AssetKey(["x", "analytics", "accounts"])]
    for one in [*given, accounts]:
        assert GroupSource.of(one).name == "analytics.accounts"
    assert GroupSource.of(spec).asset_key == dg.AssetKey(["team", "accounts"])
    assert GroupSource.of(accounts).asset_key == dg.AssetKey(["analytics", "accounts"])
    assert GroupSource.of("accounts").asset_key is None
    for wrong in ("", "a..b", "a.b.c.d"):
        with pytest.raises(ValueError, match=r"schema\.table"):
            GroupSource.of(wrong)
    with DuckDB(tmp_path / "w.duckdb") as warehouse:
        warehouse.replace(ACCOUNTS, [[{"id": "a", "plan": "pro"}]])
        source = GroupSource.of(ACCOUNTS)
        assert source.read(warehouse, "id", ["plan"]).to_pylist() == [{"id": "a", "plan": "pro"}]
        with pytest.raises(BadRows, match=r"no column nope \(it has id, plan\)"):
            source.read(warehouse, "id", ["nope"])
        with pytest.raises(BadRows, match="cannot be read"):
            GroupSource.of('analytics."; drop table accounts').read(warehouse, "id", [])
        assert warehouse.count(ACCOUNTS) == 1


def test_an_assets_definition_of_several_is_refused() -> None:
    @dg.multi_asset(specs=[dg.AssetSpec("a"), dg.AssetSpec("b")])
    def two() -> Iterator[dg.MaterializeResult]:
        yield dg.MaterializeResult(asset_key="a")

    with pytest.raises(ValueError, match="give one of these"):
        GroupSource.of(two)
