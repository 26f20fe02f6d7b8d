"""The asset that pushes opt-outs: off until switched on, exact after kills, mirrored with a cap."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from hog_dagster.assets import build_opt_out_push_asset
from hog_dagster.ledger import Entry
from hog_dagster.policies import PushPolicy, Safety
from hog_dagster.resources import DuckDBWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import OUT
from tests.acting_kit import House
from tests.assets import kit
from tests.assets.kit import NOW, QUIET

SEND = PushPolicy(dry_run=False, reconcile_seconds=0.0, grace_seconds=1.0)
BULK = "*/bulk_add_opt_outs/"


class Lab(kit.Lab):
    """A sandbox, a table `crm.out`, and pushes of it."""

    def begin(self) -> None:
        self.seen: list[dg.AssetObservation] = []

    def table(self, rows: Iterable[tuple[str | None, str | None]]) -> None:
        write_table(self.resources["warehouse"].path, rows)

    def push(
        self, policy: PushPolicy = SEND, config: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        result = dg.materialize(
            [build_opt_out_push_asset("crm.out", "email", policy=policy, **more)],
            resources=self.resources,
            instance=self.instance,
            raise_on_error=False,
            run_config={
                **QUIET,
                "ops": {OP[more.get("into", "opt_outs")]: {"config": config or {}}},
            },
        )
        observed = result.get_asset_observation_events()
        self.seen = [event.asset_observation_data.asset_observation for event in observed]
        if not result.success:
            (failed,) = result.get_step_failure_events()
            raise AssertionError(failed.step_failure_data.error_display_string)
        (made,) = result.get_asset_materialization_events()
        return {name: one.value for name, one in made.materialization.metadata.items()}

    def out(self, entry: str = "$all") -> set[str]:
        rows = self.world.mail.preferences.values()
        return {row.identifier for row in rows if row.preferences.get(entry) == OUT}


OP = {"opt_outs": "posthog__push_opt_outs", "suppressions": "posthog__push_suppressions"}


def write_table(path: str, rows: Iterable[tuple[str | None, str | None]]) -> None:
    import pyarrow as pa

    given = list(rows)
    columns = {"email": [one for one, _ in given], "topic": [one for _, one in given]}
    types = pa.schema([("email", pa.string()), ("topic", pa.string())])
    wanted = pa.table(columns, schema=types)
    with duckdb.connect(path) as con:
        con.register("wanted", wanted)
        con.execute("CREATE SCHEMA IF NOT EXISTS crm")
        con.execute("CREATE OR REPLACE TABLE crm.out AS SELECT * FROM wanted")


def people(n: int, first: int = 0) -> list[tuple[str | None, str | None]]:
    return [(f"p{number}@example.com", None) for number in range(first, first + n)]


def test_it_is_a_dry_run_until_somebody_switches_it_on(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.table(people(3))
    metadata = place.push(PushPolicy())
    assert (metadata["posthog/adds"], metadata["posthog/added"]) == (3, 0)
    assert place.sandbox.count("POST", "*messaging*") == 0
    assert [one.metadata["posthog/dry_run"].value for one in place.seen] == [True]
    metadata = place.push(PushPolicy(), {"dry_run": False})
    assert (metadata["posthog/added"], len(place.out())) == (3, 3)


def test_the_projects_dry_run_holds_whatever_a_run_says(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.table(people(3))
    place.push(SEND, {"dry_run": False}, safety=Safety(dry_run=True))
    assert place.out() == set()


def test_each_row_opts_out_of_its_category_or_of_all(lab: Callable[..., Lab]) -> None:
    place = lab()
    news = place.world.add_category("news")
    place.table([("a@example.com", "news"), ("b@example.com", None)])
    place.push(category_column="topic")
    assert (place.out(news.id), place.out()) == ({"a@example.com"}, {"b@example.com"})
    place.table([("c@example.com", None)])
    place.push(category_key="news")
    assert place.out(news.id) == {"a@example.com", "c@example.com"}


def test_a_category_that_posthog_has_not_sends_nothing(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.world.add_category("news")
    place.table([("a@example.com", "gone"), ("b@example.com", "news")])
    with pytest.raises(AssertionError, match="row 1: PostHog has no category") as raised:
        place.push(category_column="topic")
    assert "example.com" not in str(raised.value)
    with pytest.raises(AssertionError, match="key 'gone'; it has news"):
        place.push(category_key="gone")
    assert place.sandbox.count("POST", "*messaging*") == 0


def test_a_mirror_keeps_to_its_cap_and_says_so(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.world.add_opt_outs([f"p{n}@example.com" for n in range(10)])
    place.sandbox.clock.advance(timedelta(days=3).total_seconds())
    place.table([*people(5), *people(1, 20)])
    mirror = SEND.model_copy(update={"mirror": True, "max_removals": 4})
    with pytest.raises(AssertionError, match="more than max_removals=4: none was removed"):
        place.push(mirror)
    assert len(place.out()) == 11
    metadata = place.push(mirror, {"max_removals": 5})
    assert (metadata["posthog/removed"], len(place.out())) == (5, 6)


def test_suppressions_have_no_category(lab: Callable[..., Lab]) -> None:
    with pytest.raises(ValueError, match="suppressions have no category"):
        build_opt_out_push_asset("crm.out", "email", into="suppressions", category_key="news")
    place = lab()
    place.table([(" Ada@Example.com", None)])
    place.push(into="suppressions")
    assert set(place.world.mail.suppressions) == {"ada@example.com"}


def test_a_server_without_opt_outs_costs_one_sentence(lab: Callable[..., Lab]) -> None:
    place = lab("docs")
    place.table(people(1))
    with pytest.raises(AssertionError, match="newer PostHog servers only"):
        place.push()


# -- kills -----------------------------------------------------------------------------------------

PROCESSES = multiprocessing.get_context("forkserver")
#: The first batch is claimed and no more; it has left for all anybody knows; it took effect and
#: nobody wrote that down.
KILLS = ("claim, after commit", "mark_sent, after commit", "confirm, before commit")


def _run(home: dict[str, Any], warehouse: str, dagster_home: str, kill_at: str) -> None:
    def at(step: str, when: str) -> None:
        if f"{step}, {when} commit" == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(step: str, _entry: Entry) -> None:
        at(step, "before")

    def after(step: str, _entry: Entry) -> None:
        at(step, "after")

    with dg.DagsterInstance.from_config(dagster_home) as instance:
        house = House(**home, instance=instance)
        house.watch(before, after)
        dg.materialize(
            [build_opt_out_push_asset("crm.out", "email", policy=SEND)],
            resources={**house.resources(), "warehouse": DuckDBWarehouse(path=warehouse)},
            instance=instance,
            run_config=QUIET,
        )


@pytest.mark.slow
def test_a_push_killed_three_times_makes_exactly_the_changes_once(tmp_path: Path) -> None:
    rows, changed = 100_000, 2_000
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    warehouse = str(tmp_path / "warehouse.duckdb")
    with Sandbox(populate=False, limits=False, now=NOW) as sandbox:
        sandbox.world.add_opt_outs(f"p{n}@example.com" for n in range(rows - changed))
        history = {name: len(row.history) for name, row in sandbox.world.mail.preferences.items()}
        write_table(warehouse, people(rows))
        home = {
            "url": sandbox.url,
            "api_key": sandbox.api_key,
            "project_id": sandbox.project_id,
            "ledger_url": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        }
        places = (home, warehouse, str(tmp_path / "home"))
        with dg.DagsterInstance.from_config(places[2]) as instance:
            for point in KILLS:
                process = PROCESSES.Process(target=_run, args=(*places, point))
                process.start()
                process.join(300)
                assert process.exitcode == -signal.SIGKILL, f"not killed at {point}"
                for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                    instance.report_run_failed(run)  # as run monitoring does
                sandbox.clock.advance(timedelta(hours=1).total_seconds())
            for _ in range(2):
                _run(*places, kill_at="")
        rows_now = sandbox.world.mail.preferences
        assert len(rows_now) == rows
        assert all(row.preferences == {"$all": OUT} for row in rows_now.values())
        assert all(len(row.history) == 1 for row in rows_now.values())
        assert len(rows_now) - len(history) == changed
        assert sandbox.count("POST", BULK) == -(-changed // 1_000)
