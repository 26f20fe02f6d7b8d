"""Random histories of a source and its loads, on each adapter: the table always equals the truth.

A history emits rows, lets some arrive late, edits and withdraws others, loads days and hours, whole
and again, breaks loads at any point, and changes the declaration. After every step the table must
hold what the last good load of each stretch of time saw, and nothing else.
"""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from warehouse_tables import DAY, NEXT_DAY

from hog_dagster.warehouse import Column, Dlt, Table, Warehouse, WarehouseError, Window

COLUMNS = (
    Column("project_id", "bigint", nullable=False),
    Column("id", "bigint", nullable=False),
    Column("at", "timestamptz", nullable=False),
    Column("text", "text"),
    Column("raw", "json"),
)
OPTIONAL = (Column("run_id", "text"), Column("value", "integer"))
DAYS = (DAY, NEXT_DAY)
HOURS = tuple(Window.hour(day.start + timedelta(hours=h)) for day in DAYS for h in (0, 23))
TIMES = [
    *(day.start for day in DAYS),
    *(day.end - timedelta(microseconds=1) for day in DAYS),
    *(day.start + timedelta(hours=h) for day in DAYS for h in (0.5, 1, 12, 22.9, 23)),
]
TEXTS = ["", "plain", "it's", 'a "quote"', "line\nbreak", "\\N", ",", "é😀", None]
PROJECTS = (1, 2)

Row = dict[str, Any]


class SourceBroke(Exception):
    """The source of a load went away in the middle of it."""


class History(RuleBasedStateMachine):
    """The source, the warehouse under test, and what its table should hold."""

    warehouse: Warehouse
    numbers = itertools.count()
    through_dlt = False

    @initialize()
    def begin(self) -> None:
        self.schema = f"history {next(self.numbers)}"
        self.optional: list[Column] = []
        self.widened: str | None = None
        self.keyed = False
        self.source: dict[int, Row] = {}
        self.truth: list[Row] = []
        self.loaded = False
        self.ids = itertools.count(1)

    # -- the source

    @rule(
        at=st.sampled_from(TIMES),
        text=st.sampled_from(TEXTS),
        project=st.sampled_from(PROJECTS),
        copies=st.integers(1, 4),
    )
    def emit(self, at: datetime, text: str | None, project: int, copies: int) -> None:
        """Rows appear, for any day: those of a day already loaded are late."""
        for _ in range(copies):
            number = next(self.ids)
            raw = None if text is None else f'{{"n":{number}}}'
            self.source[number] = {
                "project_id": project,
                "id": number,
                "at": at,
                "text": text,
                "raw": raw,
                "run_id": f"run {number % 2}",
                "value": number,
            }

    @precondition(lambda self: self.source)
    @rule(data=st.data(), text=st.sampled_from(TEXTS))
    def edit(self, data: st.DataObject, text: str | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.source)))
        self.source[number] = {**self.source[number], "text": text}

    @precondition(lambda self: self.source)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        del self.source[data.draw(st.sampled_from(sorted(self.source)))]

    # -- the declaration

    @rule(column=st.sampled_from(OPTIONAL))
    def declare_or_drop_a_column(self, column: Column) -> None:
        others = [have for have in self.optional if have.name != column.name]
        self.optional = others if len(others) < len(self.optional) else [*others, column]

    @precondition(
        lambda self: (
            not self.through_dlt and any(column.name == "value" for column in self.optional)
        )
    )
    @rule(kind=st.sampled_from(["integer", "bigint", "double"]))
    def redeclare_the_type(self, kind: str) -> None:
        """An integer may become one of the wider types, and be called an integer again."""
        if kind != "integer" and self.widened not in (None, kind):
            return
        self.widened = self.widened or (kind if kind != "integer" else None)
        self.optional = [
            Column("value", kind) if column.name == "value" else column for column in self.optional
        ]

    @rule()
    def turn_the_key(self) -> None:
        self.keyed = not self.keyed

    @property
    def table(self) -> Table:
        return Table(
            "rows",
            (*COLUMNS, *self.optional),
            key=("project_id", "id") if self.keyed else (),
            time_column="at",
            schema=self.schema,
        )

    # -- loads

    def of(self, window: Window | None, project: int | None, rows: Any) -> list[Row]:
        return [
            row
            for row in rows
            if (window is None or window.start <= row["at"] < window.end)
            and (project is None or row["project_id"] == project)
        ]

    def pages(self, rows: list[Row], break_after: int | None = None) -> Iterator[list[Row]]:
        names = self.table.column_names
        for start in range(0, len(rows) + 1, 2):
            if break_after is not None and start >= break_after:
                raise SourceBroke
            page = rows[start : start + 2]
            yield [{name: row[name] for name in names} for row in page]
        if break_after is not None:
            raise SourceBroke

    def was_loaded(self, rows: list[Row]) -> list[Row]:
        names = self.table.column_names
        return [{name: row[name] for name in names} for row in rows]

    @rule(
        window=st.sampled_from([None, *DAYS, *HOURS]),
        project=st.sampled_from([None, *PROJECTS]),
    )
    def load(self, window: Window | None, project: int | None) -> None:
        rows = self.of(window, project, self.source.values())
        leaving = self.of(window, project, self.truth)
        staying = [row for row in self.truth if row not in leaving]
        ids = {row["id"] for row in rows}
        scope = {} if project is None else {"project_id": project}
        done = self.warehouse.replace(self.table, self.pages(rows), window=window, scope=scope)
        assert not (self.keyed and ids & {row["id"] for row in staying})
        assert (done.rows, done.deleted) == (len(rows), len(leaving))
        self.truth = [*staying, *self.was_loaded(rows)]
        self.loaded = True

    @precondition(lambda self: self.keyed)
    @rule(project=st.sampled_from(PROJECTS))
    def upsert(self, project: int) -> None:
        rows = self.of(None, project, self.source.values())
        before = [row for row in self.truth if row["project_id"] == project]
        again = [row for row in before if row["id"] in {r["id"] for r in rows}]
        done = self.warehouse.upsert(self.table, self.pages(rows), scope={"project_id": project})
        assert (done.rows, done.deleted) == (len(rows), len(again))
        self.truth = [row for row in self.truth if row not in again] + self.was_loaded(rows)
        self.loaded = True

    @rule(window=st.sampled_from(DAYS), after=st.integers(0, 6))
    def load_from_a_source_that_breaks(self, window: Window, after: int) -> None:
        rows = self.of(window, 1, self.source.values())
        pages = self.pages(rows, break_after=min(after, len(rows)))
        with pytest.raises(SourceBroke):
            self.warehouse.replace(self.table, pages, window=window, scope={"project_id": 1})

    @rule(window=st.sampled_from(DAYS))
    def load_with_a_row_the_database_refuses(self, window: Window) -> None:
        rows = self.was_loaded(self.of(window, 1, self.source.values()))
        bad = {**dict.fromkeys(self.table.column_names), "project_id": 1, "id": 0}
        bad |= {"at": window.start, "raw": "{no json"}
        with pytest.raises(WarehouseError):
            self.warehouse.replace(
                self.table, [rows, [bad]], window=window, scope={"project_id": 1}
            )

    # -- the truth

    @invariant()
    def the_table_equals_the_truth(self) -> None:
        if not self.loaded:
            assert self.warehouse.count(self.table) == 0
            return
        table = self.table
        held = self.warehouse.read(table, order_by="id").to_pylist()
        names = table.column_names
        wanted = [{name: row.get(name) for name in names} for row in self.truth]
        for row in held:
            row["raw"] = row["raw"] and row["raw"].replace(" ", "")
        wanted.sort(key=lambda row: row["id"] or 0)
        assert held == wanted


def live(warehouse: Warehouse, examples: int, steps: int, *, derandomize: bool) -> None:
    """Let random histories happen to the warehouse."""

    class Here(History):
        pass

    Here.warehouse = warehouse
    Here.through_dlt = isinstance(warehouse, Dlt)  # which converts no columns
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            database=None,
        ),
    )


def test_after_any_history_the_table_equals_the_truth(warehouse: Warehouse) -> None:
    live(warehouse, 8, 15, derandomize=True)


def test_after_a_short_history_the_table_equals_the_truth_through_dlt(
    dlt_warehouse: Warehouse,
) -> None:
    live(dlt_warehouse, 2, 12, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_after_many_long_histories_the_table_equals_the_truth(warehouse: Warehouse) -> None:
    live(warehouse, 100, 40, derandomize=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_after_many_histories_the_table_equals_the_truth_through_dlt(
    dlt_warehouse: Warehouse,
) -> None:
    live(dlt_warehouse, 12, 25, derandomize=False)
