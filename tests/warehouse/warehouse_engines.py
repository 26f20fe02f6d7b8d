"""Every check on any engine: rows that make each of them speak, and engines that only answer SQL.

An engine is asked the statements the product writes for it, and its outcomes must be DuckDB's.
"""

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import sqlglot

from hog_dagster.assets._workflow_tables import BLOCKED_RUNS, WORKFLOW_RUNS, WORKFLOWS
from hog_dagster.checks import plans_of
from hog_dagster.checks._context import CheckContext, Plan, Project
from hog_dagster.checks._rows import _CATALOG, TIME_TABLES
from hog_dagster.policies import CheckRules
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import (
    Column,
    LoadResult,
    Table,
    Warehouse,
)
from hog_dagster.warehouse._dlt.tables import rows_to_batch
from hog_dagster.warehouse._sql import Dialect, Place, Statement, Statements, named
from hog_dagster.warehouse.base import OpenTable
from hog_dagster.warehouse.errors import TableMissing

NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=250_000)
TODAY = NOW.replace(hour=0, minute=0, microsecond=0)
DAYS = dg.DailyPartitionsDefinition(start_date=(TODAY - timedelta(days=60)).strftime("%Y-%m-%d"))
PROJECT = 1
TABLES = (*TIME_TABLES, *_CATALOG, BLOCKED_RUNS)
#: Checks that ask the warehouse; `loads_before_it_expires` asks Dagster alone.
CHECKS = (
    "is_complete",
    "is_unique",
    "is_not_saturated",
    "has_not_drifted",
    "is_recent",
    "runs_succeed",
    "emails_arrive",
    "volume_is_usual",
    "runs_end",
    "nothing_waits",
    "schedules_fired",
)


def plans() -> Iterator[Plan]:
    """Every check of every table, as a project with the default rules has them."""
    rules = CheckRules(retention=None, deliverability=None, errors=None)
    return (plan for plan in plans_of(Project(DAYS), rules) if plan.table in TABLES)


def rows_of(table: Table, owner: str) -> list[dict[str, Any]]:
    """Rows for a table that its checks find fault with; most are of the workflow ``owner``."""
    return [
        _filled(table, {name: owner if value == _OWNER else value for name, value in row.items()})
        for row in _ROWS.get(table.name, lambda: [{}])()
    ]


_OWNER = "owner"


def _filled(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "text": "",
        "json": "{}",
        "boolean": False,
        "timestamptz": NOW,
        "double": 0.5,
    }
    full = {c.name: blank.get(c.type, 0) if table.required(c) else None for c in table.columns} | {
        "project_id": PROJECT,
        "_loaded_at": NOW,
    }
    if table.time_column and full.get(table.time_column) is None:
        full[table.time_column] = NOW
    return {**full, **{name: value for name, value in row.items() if name in table}}


def _logs(owner: str) -> list[dict[str, Any]]:
    line = {owner: _OWNER, "timestamp": NOW, "level": "INFO", "message": 'it\'s "ü" \\ ; :x %s'}
    dense = [{**line, "instance_id": f"r{n}"} for n in range(500)]
    yesterday = {**line, "instance_id": "y", "timestamp": NOW - timedelta(days=1)}
    twice = [{**line, "instance_id": "twice", "level": "ERROR"}] * 2
    return [*dense, *twice, yesterday]


def _runs(owner: str) -> list[dict[str, Any]]:
    runs = [
        {
            owner: _OWNER,
            "invocation_id": f"r{n}",
            "status": "succeeded",
            "scheduled_at": NOW,
            "first_scheduled_at": NOW + timedelta(microseconds=n),
        }
        for n in range(500)
    ]
    old = NOW - timedelta(days=2)
    stuck = {"status": "running", "scheduled_at": old, "first_scheduled_at": old}
    return [
        *runs,
        {**runs[0], **stuck, "invocation_id": "s1"},
        {**runs[0], **stuck, "invocation_id": "s0"},
        {**runs[0], **stuck, "invocation_id": "s2", owner: "w2"},
        {**runs[0], "invocation_id": "odd", "status": "paused_by_moon"},
    ]


def _metrics(owner: str) -> list[dict[str, Any]]:
    counts = {"succeeded": 90, "failed": 30, "email_sent": 100, "email_delivered": 40, "odd": 1}
    rows = [
        {
            owner: _OWNER,
            "hour": TODAY,
            "level": "action" if name.startswith("email") else "run",
            "action_id": "a",
            "metric": name,
            "value": value,
        }
        for name, value in counts.items()
    ]
    before = [
        {**rows[0], "hour": TODAY - timedelta(days=ago) + timedelta(hours=hour), "value": 50}
        for ago in (8, 15, 22, 29)
        for hour in range(24)
    ]
    return [*rows, *before, {**rows[0], "hour": TODAY - timedelta(days=1), "value": 7}]


_ROWS: dict[str, Any] = {
    "workflow_logs": lambda: _logs("workflow_id"),
    "hog_function_logs": lambda: _logs("function_id"),
    "workflow_runs": lambda: _runs("workflow_id"),
    "hog_function_runs": lambda: _runs("function_id"),
    "workflow_metrics": lambda: _metrics("workflow_id"),
    "hog_function_metrics": lambda: _metrics("function_id"),
    "workflows": lambda: [
        {"id": _OWNER, "name": 'Größe "A"', "status": "active", "_raw": '{"brand_new": 1}'},
        {"id": "w2", "name": "Two", "status": "active", "_raw": None},
    ],
    "workflow_schedules": lambda: [
        {
            "workflow_id": _OWNER,
            "schedule_id": "s",
            "status": "active",
            "next_run_at": NOW - timedelta(days=1),
            "rrule": "FREQ=DAILY",
        }
    ],
    "blocked_runs": lambda: [
        {"workflow_id": _OWNER, "invocation_id": "r1", "replayable": True, "reason": "x", "at": NOW}
    ],
}


def load(warehouse: Warehouse, owner: str) -> None:
    """The rows of every table, by the adapter itself."""
    for table in TABLES:
        warehouse.replace(table, [rows_of(table, owner)], scope={"project_id": PROJECT})


class _CheckContext(CheckContext):
    def now(self) -> datetime:
        return NOW + timedelta(hours=1)


def verdicts(
    warehouse: Warehouse, posthog: PostHogResource, instance: dg.DagsterInstance
) -> dict[tuple[str, str], Any]:
    """What every check says: (check, table) -> outcome."""
    said: dict[tuple[str, str], Any] = {}
    log = SimpleNamespace(warning=print)
    for plan in plans():
        key = dg.AssetKey(["posthog", plan.table.name])
        context: Any = SimpleNamespace(instance=instance, log=log)
        scene = _CheckContext(context, posthog, warehouse, key)
        try:
            verdict = plan.judge(scene)
        except (TableMissing, PostHogError) as error:
            raise AssertionError(f"{plan.name} of {plan.table.name}: {error}") from error
        rows = sorted(json.dumps(dict(row), default=str, sort_keys=True) for row in verdict.rows)
        said[plan.name, plan.table.name] = (
            verdict.passed,
            verdict.text,
            dict(verdict.numbers),
            rows if len(rows) < 100 else len(rows),
        )
    return said


def put_on_record(instance: dg.DagsterInstance) -> None:
    """Materializations of the partitions that the checks look at."""
    for table in TABLES:
        for ago in (1, 8, 15, 22, 29):
            partition = (TODAY - timedelta(days=ago)).strftime("%Y-%m-%d")
            event = dg.AssetMaterialization(
                dg.AssetKey(["posthog", table.name]), partition=partition
            )
            instance.report_runless_asset_event(event)


# -- engines that only answer


class Elsewhere(Warehouse):
    """An engine that is asked the product's statements; rows come to it by other ways."""

    kind = "elsewhere"
    dialect: Dialect

    @property
    def location(self) -> str:
        return self.dialect.name

    @abstractmethod
    def rows(self, sql: str) -> list[Sequence[Any]]:
        """The rows of a statement."""

    def path(self, table: Table) -> tuple[str, ...]:
        return (table.schema, table.name)

    def stored(self, table: Table) -> Mapping[str, str]:
        return {column.name: column.type for column in table.columns}

    @contextmanager
    def _opened(self, table: Table) -> Iterator[OpenTable | None]:
        place = Place(self.path(table), stored=self.stored(table))
        statements = Statements(self.dialect, table, place)

        def rows(statement: Statement) -> list[Sequence[Any]]:
            assert not statement.values
            return self.rows(statement.sql)

        def terms(names: Sequence[str]) -> list[Any]:
            return [statements.term(name) for name in names]

        def batches(query: Statement, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
            yield rows_to_batch(table, names, rows(query))

        yield OpenTable(statements, rows, terms, batches)

    def read_named(self, path: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        rows = self.rows(named(self.dialect, path, columns))
        found = {name: [row[i] for row in rows] for i, name in enumerate(columns or ())}
        return pa.table(found)

    def describe(self, table: Table) -> list[Column] | None:
        return list(table.columns)

    def query(self, statement: str, params: Any = None) -> pa.Table:
        raise NotImplementedError

    def replace(self, *_: Any, **__: Any) -> LoadResult:
        raise NotImplementedError

    upsert = replace


class Parsed(Elsewhere):
    """An engine that is not here: each statement is parsed as the engine's SQL, must come out as it
    went in, and is then translated for DuckDB, which has the rows."""

    # Functions that DuckDB lacks, or has by another name.
    _MACROS = """
        CREATE TEMP MACRO TO_JSON_STRING(x) AS CAST(x AS VARCHAR);
        CREATE TEMP MACRO JSON_SERIALIZE(x) AS CAST(x AS VARCHAR);
        CREATE TEMP MACRO TO_JSON(x) AS CAST(x AS VARCHAR);
        CREATE TEMP MACRO toDateTime64(x, digits, zone) AS CAST(x || '+00:00' AS TIMESTAMPTZ);
    """

    def __init__(self, dialect: str, path: Path) -> None:
        import duckdb

        self.dialect = Dialect(dialect)
        self.statements: list[str] = []
        self._con = duckdb.connect(str(path), read_only=True)
        self._con.execute("SET TimeZone = 'UTC'")
        for macro in self._MACROS.strip().splitlines():
            self._con.execute(macro)

    def rows(self, sql: str) -> list[Sequence[Any]]:
        self.statements.append(sql)
        parsed = sqlglot.parse_one(sql, dialect=self.dialect.name)
        assert parsed.sql(dialect=self.dialect.name) == sql
        return list(self._con.execute(parsed.sql(dialect="duckdb")).fetchall())

    def close(self) -> None:
        self._con.close()


def cells(engine: str) -> dict[str, str]:
    """The row of an engine in the table of docs/warehouses.md: check -> what it says."""
    page = (Path(__file__).parents[2] / "docs" / "warehouses.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("|")]
    head = next(line for line in lines if line.startswith("| engine |"))
    row = next(line for line in lines if line.startswith(f"| {engine} |"))
    names, values = (
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in (head, row)
    )
    return dict(zip(names[1:], values[1:], strict=True))


def assert_documented(engine: str, said: Iterable[tuple[str, str]], what: str) -> None:
    """The page says of the engine what has just been done, for every check."""
    done = {check for check, _ in said}
    assert done == set(CHECKS)
    assert cells(engine) == dict.fromkeys(CHECKS, what)


__all__ = [
    "CHECKS",
    "NOW",
    "TABLES",
    "WORKFLOWS",
    "WORKFLOW_RUNS",
    "Elsewhere",
    "Parsed",
    "assert_documented",
    "load",
    "put_on_record",
    "rows_of",
    "verdicts",
]
