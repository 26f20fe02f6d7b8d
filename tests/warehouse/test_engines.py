"""Every check on every engine: what is here runs, what is not is generated and parsed back."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp, parse_one
from warehouse_processes import open_warehouse

from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import DuckDB
from hog_dagster.warehouse._sql import Dialect
from tests.warehouse.engine_fixtures import expected, instance, owner, posthog, reference, sandbox
from tests.warehouse.warehouse_engines import CHECKS, Parsed, assert_documented, load, verdicts

#: Engine in the page's table -> sqlglot's dialect.
ABSENT = {"BigQuery": "bigquery", "Databricks": "databricks", "Redshift": "redshift"}
ELSEWHERE = {"Snowflake": "snowflake", "MySQL": "mysql", "ClickHouse": "clickhouse"}


__all__ = ["expected", "instance", "owner", "posthog", "reference", "sandbox"]


def test_every_check_finds_fault_with_the_rows(expected: dict[Any, Any]) -> None:
    """Else the comparisons below would compare nothing."""
    failed = {check for (check, _), (passed, *_) in expected.items() if not passed}
    assert failed == set(CHECKS) - {"is_recent"}
    assert_documented("DuckDB", expected, "run here")


@pytest.mark.parametrize(("engine", "dialect"), [*ABSENT.items(), *ELSEWHERE.items()])
def test_statements_for_engines_that_are_not_here_are_parsed_back(
    engine: str,
    dialect: str,
    reference: DuckDB,
    expected: dict[Any, Any],
    posthog: PostHogResource,
    instance: dg.DagsterInstance,
) -> None:
    with Parsed(dialect, reference.path) as parsed:
        said = verdicts(parsed, posthog, instance)
        assert len(parsed.statements) > 50
    assert said == expected
    if engine in ABSENT:
        assert_documented(engine, said, "generated and parsed")


@pytest.mark.parametrize(
    ("engine", "adapter"),
    [("PostgreSQL", "postgres"), pytest.param("Delta", "dlt-delta", marks=pytest.mark.integration)],
)
def test_every_check_says_the_same_on_the_engines_that_are_here(
    engine: str,
    adapter: str,
    owner: str,
    expected: dict[Any, Any],
    posthog: PostHogResource,
    instance: dg.DagsterInstance,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    postgres = adapter == "postgres"
    address = request.getfixturevalue("postgres_url") if postgres else str(tmp_path)
    with open_warehouse(adapter, address) as warehouse:
        load(warehouse, owner)
        said = verdicts(warehouse, posthog, instance)
    assert said == expected
    assert_documented(engine, said, "run here")


@pytest.mark.parametrize("dialect", [*ABSENT.values(), *ELSEWHERE.values(), "duckdb", "postgres"])
@given(text=st.text(), name=st.text(st.characters(exclude_characters="\0`."), min_size=1))
def test_any_text_is_a_literal_and_any_name_an_identifier(
    dialect: str, text: str, name: str
) -> None:
    writer = Dialect(dialect)
    made = exp.select(writer.literal(text), writer.column(name)).from_(writer.table(["s", name]))
    again = parse_one(writer.sql(made), dialect=dialect)
    value, column = again.expressions
    assert value.this == text
    assert column.name == name
    assert again.find(exp.Table).name == name  # type: ignore[union-attr]


def test_sql_is_written_in_one_room() -> None:
    """Outside of it there is no statement in a string: an engine that writes otherwise would
    refuse it."""
    import ast
    import re

    package = Path(__file__).parents[2] / "hog_dagster"
    verbs = re.compile(
        r"\s*(SELECT\s|INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\S+\s+SET|CREATE\s+(TABLE|SCHEMA|TEMP)"
        r"|ALTER\s+TABLE|COPY\s)",
        re.IGNORECASE,
    )
    # PostHog's own SQL, SQLAlchemy's and the sandbox's are not the warehouse's.
    others = (
        "posthog",
        "sandbox",
        "ledger",
        "assets/_hogql.py",
        "assets/_query",
        "assets/_queries.py",
        "assets/_batch_evidence.py",
        "assets/_message_events.py",
        "assets/_workflow_activity.py",
        "checks/_mail_now.py",
        "checks/_query_tables.py",
        "cli",
        "components",
        "actions",
    )
    found = []
    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if place.startswith((*others, "warehouse/_sql/")):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        found += [
            f"{place}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docs
            and verbs.match(node.value)
        ]
    assert found == []
