"""A warehouse and a ledger that version caccfa8 made are taken over.

Facts: the files hold what the demo of that commit left: its newest dozen rows of each table, its
four newest actions. DuckDB's and PostgreSQL's were written by that commit's own adapters.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tests.howtos.kit import Walk
from tests.howtos.test_howtos import YAML, at, fail, mail

pytestmark = pytest.mark.integration

FILES = Path(__file__).parent / "files" / "caccfa8"
#: Tables with rows of the past, which a load of other days leaves alone.
PAST = ("workflow_logs", "workflow_metrics", "hog_function_logs", "hog_function_metrics")


@pytest.fixture(params=["duckdb", "postgresql"])
def old(
    request: pytest.FixtureRequest, walk: Callable[..., Walk]
) -> Iterator[tuple[Walk, Callable[[str], list[tuple[Any, ...]]]]]:
    """A project whose warehouse and ledger are of that version, and what asks the warehouse."""
    on = walk()
    ledger = on.environment["HOG_DAGSTER_LEDGER"].removeprefix("sqlite:///")
    with sqlite3.connect(ledger) as connection:
        connection.executescript((FILES / "ledger.sqlite.sql").read_text("utf-8"))
    made = (FILES / f"warehouse.{request.param}.sql").read_text("utf-8")
    if request.param == "duckdb":
        with duckdb.connect(str(on.warehouse)) as warehouse:
            warehouse.execute(made)
        on.write_yaml(YAML)
        yield on, on.ask
        return
    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(made.encode())

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute(statement.encode()).fetchall()

    on.environment["WAREHOUSE_URL"] = url
    on.write_yaml(YAML.replace("duckdb: warehouse.duckdb", 'postgres: "{{ env.WAREHOUSE_URL }}"'))
    yield on, ask


def behind(on: Walk, statement: str) -> None:
    """Change the warehouse behind our back."""
    if url := on.environment.get("WAREHOUSE_URL"):
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())
        return
    with duckdb.connect(str(on.warehouse)) as warehouse:
        warehouse.execute(statement)


def test_the_page_takes_over_a_warehouse_and_a_ledger_of_caccfa8(
    old: tuple[Walk, Callable[[str], list[tuple[Any, ...]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    on, ask = old
    if "WAREHOUSE_URL" in on.environment:
        monkeypatch.setenv("WAREHOUSE_URL", on.environment["WAREHOUSE_URL"])
    world = on.sandbox.world
    id = world.add_workflow("Trial ending", actions=[mail()], created_at=at(1))["id"]
    fail(on, id, 3, at(28))
    count = "SELECT count(*) FROM posthog.{} WHERE project_id = 1"
    before = {table: ask(count.format(table))[0][0] for table in PAST}
    runs = ask("SELECT invocation_id, attempts FROM posthog.workflow_runs ORDER BY 1")
    oldest = "(SELECT min(act_id) FROM posthog.replays)"
    behind(on, f"UPDATE posthog.replays SET project_id = 2 WHERE act_id = {oldest}")
    workflows = dict(ask("SELECT id, name FROM posthog.workflows"))
    said = []
    for _block in on.page("upgrading"):
        assert on.done is not None
        said.append(on.done.said)
    on.launch(
        'key:"posthog/workflows" or key:"posthog/replays" or key:"posthog/batch_sends"'
        ' or key:"posthog/hog_functions"'
    )

    # Every row of the past is there, and the new ones beside them.
    after = {table: ask(count.format(table))[0][0] for table in PAST}
    assert after["workflow_logs"] == before["workflow_logs"] + 3
    assert all(after[table] >= before[table] > 0 for table in PAST)
    kept = dict(ask("SELECT invocation_id, reruns FROM posthog.workflow_runs"))
    assert {run: kept[run] for run, _ in runs} == dict(runs)
    assert len(kept) == len({run for run, _ in runs}) + 3
    assert ask("SELECT count(*) FROM posthog.workflow_runs WHERE first_scheduled_at IS NULL") == [
        (0,)
    ]
    now = dict(ask("SELECT id, name FROM posthog.workflows"))
    assert workflows.items() <= now.items()
    assert ask("SELECT count(*) FROM posthog.workflows WHERE deleted_seen_at IS NULL") == [(1,)]

    # Every action is there, in the words of now, and the tables of actions have them.
    assert "confirmed" in said[-1] or any("confirmed" in one for one in said)
    listed = on.typed("ledger", "list", "--json", **on.environment)
    assert listed.code == 0
    assert listed.out.count('"state": "confirmed"') == 4
    assert {state for (state,) in ask("SELECT state FROM posthog.batch_sends")} == {"confirmed"}
    # Those of another project, of which this one's ledger says nothing, are kept.
    of = "SELECT project_id, count(action_id), min(target_id) FROM posthog.{} GROUP BY 1 ORDER BY 1"
    assert [row[:2] for row in ask(of.format("replays"))] == [(1, 3), (2, 1)]
    assert ask(of.format("batch_sends")) == [(1, 1, ask(of.format("batch_sends"))[0][2])]
