"""Tables of actions that version caccfa8 loaded: all projects' rows get the names of now."""

from pathlib import Path

import duckdb

from hog_dagster.assets._actions import _take_over
from hog_dagster.assets._workflow_tables import REPLAYS
from hog_dagster.warehouse import DuckDB

MADE = Path(__file__).parents[1] / "howtos" / "files" / "caccfa8" / "warehouse.duckdb.sql"


def test_states_of_an_earlier_version_are_called_as_now(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(MADE.read_text("utf-8"))
        ids = [
            row[0] for row in connection.execute("SELECT act_id FROM posthog.replays").fetchall()
        ]
        for act, state in zip(ids, ("intended", "unknown", "confirmed"), strict=False):
            connection.execute(
                "UPDATE posthog.replays SET state = ?, project_id = ? WHERE act_id = ?",
                [state, act, act],
            )
    assert len(ids) >= 3
    with DuckDB(path) as warehouse:
        _take_over(warehouse, REPLAYS)
        _take_over(warehouse, REPLAYS)  # nothing is left to take over
        rows = warehouse.read(REPLAYS, order_by=["action_id"]).to_pylist()
    assert len(rows) == len(ids)
    found = {row["action_id"]: row["state"] for row in rows}
    states = dict(zip(ids, ("claimed", "in_doubt", "confirmed"), strict=False))
    assert found == {id: states.get(id, found[id]) for id in ids}
    assert all(row["target_type"] == "workflow" and row["target_id"] for row in rows)
