"""The declared tables the warehouse tests load, and rows for them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import psycopg

from hog_dagster.warehouse import Column, DuckDB, Postgres, Table, Warehouse, Window

LOGS = Table(
    name="workflow_logs",
    description="Log lines of workflow runs, one row each. It's a test.",
    columns=(
        Column("project_id", "bigint", "The PostHog project", nullable=False),
        Column("timestamp", "timestamptz", "When the line was written, UTC", nullable=False),
        Column("level", "text", "LOG, WARN or ERROR"),
        Column("message", "text", 'What was said, "quoted" or not'),
        Column("_raw", "json", "Fields without a column of their own"),
        Column("_loaded_at", "timestamptz", "When the row was loaded"),
    ),
    time_column="timestamp",
)

METRICS = Table(
    name="workflow_metrics",
    description="Counts per workflow, hour and name",
    columns=(
        Column("project_id", "bigint", "The PostHog project", nullable=False),
        Column("workflow_id", "text", "The workflow"),
        Column("hour", "timestamptz", "Start of the hour, UTC"),
        Column("name", "text", "What is counted"),
        Column("value", "bigint", "How many"),
    ),
    key=("project_id", "workflow_id", "hour", "name"),
    time_column="hour",
)

EVERY_TYPE = Table(
    name="every type",
    schema="post-hog",
    description="One column of each type; names that need quoting",
    columns=(
        Column("a text", "text"),
        Column('a "bigint"', "bigint"),
        Column("Integer", "integer"),
        Column("double", "double"),
        Column("boolean", "boolean"),
        Column("select", "timestamptz"),
        Column("timestamp", "timestamp"),
        Column("date", "date"),
        Column("json%s", "json"),
        Column("bytes", "bytes"),
        Column("amount", "decimal(18,4)"),
    ),
    time_column="select",
)

DAY = Window.day(date(2026, 3, 1))
NEXT_DAY = Window.day(date(2026, 3, 2))
PROJECT = {"project_id": 7}


def at(seconds: float = 0, day: Window = DAY) -> datetime:
    """A time in the day."""
    return day.start + timedelta(seconds=seconds)


def log_rows(n: int, day: Window = DAY, text: str = "line", **more: Any) -> list[dict[str, Any]]:
    """n log lines of the day, one a second."""
    return [
        {
            "project_id": 7,
            "timestamp": at(i, day),
            "level": "LOG",
            "message": f"{text} {i}",
            "_raw": {"n": i},
            "_loaded_at": datetime(2026, 4, 1, tzinfo=UTC),
            **more,
        }
        for i in range(n)
    ]


def behind(warehouse: Warehouse, sql: str) -> None:
    """Run a statement behind the warehouse's back."""
    if isinstance(warehouse, Postgres):
        with psycopg.connect(warehouse._url) as con:
            con.execute(sql.encode())
    elif isinstance(warehouse, DuckDB):
        with duckdb.connect(warehouse.location) as con:
            con.execute(sql)
