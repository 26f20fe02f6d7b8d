"""Groups load whole, with history on request; a push sends what differs, once, and says so."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    AssetOptions,
    GroupColumn,
    build_groups_assets,
    group_properties_sink,
)
from hog_dagster.assets._group_tables import (
    GROUP_ACTIVITY,
    GROUP_HISTORY,
    GROUP_PUSHES,
    GROUP_TYPES,
    groups_table,
)
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog._services.hogql import Queries
from hog_dagster.resources import PostHogResource
from hog_dagster.sandbox import DEFAULT_KEYS, Sandbox
from hog_dagster.warehouse import Column, DuckDB, Table
from tests.assets.conftest import WAREHOUSES

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
ONCE = AssetOptions(retry_policy=None)
ACCOUNTS = Table(
    "accounts",
    (Column("id", "text"), Column("plan", "text"), Column("seats", "bigint")),
    schema="analytics",
)
PUSHES = ("*/update_property/", "*/groups/", "*/delete_property/")


class Unpaced(PostHogResource):
    """A resource whose client keeps to no rate limit: the sandbox here has none."""

    def _open(self) -> PostHogClient:
        return PostHogClient(self.host, self.api_key, self.project_id, limits=False, max_wait=5)


#: A key that may not send queries.
NO_QUERIES = "phx_groups_only"
BOTH = pytest.mark.parametrize(
    "generation", [pytest.param("docs", marks=pytest.mark.integration), "current"]
)


@pytest.fixture
def generation() -> str:
    """The server's generation, where a test does not ask for both."""
    return "current"


@pytest.fixture
def sandbox(generation: Any) -> Iterator[Sandbox]:
    keys = {**DEFAULT_KEYS, NO_QUERIES: ["group:read", "project:read"]}
    with Sandbox(
        generation=generation, populate=False, now=NOW, limits=False, keys=keys
    ) as running:
        running.world.add_group_type("organization")
        running.world.add_group_type("project")
        yield running


@pytest.fixture
def given(sandbox: Sandbox, resources: Any) -> dict[str, Any]:
    unpaced = Unpaced(host=sandbox.url, api_key=sandbox.api_key, project_id="1")
    return resources(sandbox) | {"posthog": unpaced}


def run(assets: list[Any], given: dict[str, Any], **more: Any) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets, resources=given, instance=instance, raise_on_error=False, **more
        )


def fill(given: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    with DuckDB(given["warehouse"].path) as warehouse:
        warehouse.replace(ACCOUNTS, [rows])


def read(given: dict[str, Any], table: Table) -> list[dict[str, Any]]:
    with given["warehouse"].open() as warehouse:
        return warehouse.read(table).to_pylist()


def sink(**more: Any) -> dg.AssetsDefinition:
    options: dict[str, Any] = {"dry_run": False, "options": ONCE, **more}
    return group_properties_sink(
        "analytics.accounts", "organization", "id", ["plan", "seats"], **options
    )


def said(result: Any) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {
        name.removeprefix("posthog/"): value.value
        for name, value in event.materialization.metadata.items()
    }


def refusal(result: Any) -> str:
    assert not result.success
    (event,) = result.get_step_failure_events()
    return event.event_specific_data.user_failure_data.description


def sent(sandbox: Sandbox) -> int:
    return sum(sandbox.count("POST", path) for path in PUSHES)


def properties(sandbox: Sandbox, key: str) -> dict[str, Any]:
    return sandbox.world.groups[f"0/{key}"].group_properties


@BOTH
def test_types_groups_and_typed_columns_land(sandbox, given):
    world = sandbox.world
    for n in range(230):
        world.add_group(0, f"org {n}", {"plan": "pro", "seats": n, "since": "2026-01-31"})
    world.add_group(0, "odd", {"seats": "many"})
    world.add_group(1, "web", {"plan": "free"})
    columns = [
        GroupColumn("plan"),
        GroupColumn("seats", "bigint", name="seat_count"),
        GroupColumn("since", "date"),
    ]
    assert run([build_groups_assets(options=ONCE, columns=columns)], given).success
    loaded = read(given, groups_table(columns))
    assert len(loaded) == 232
    by_key = {row["group_key"]: row for row in loaded}
    assert by_key["org 7"]["seat_count"] == 7
    assert str(by_key["org 7"]["since"]) == "2026-01-31"
    assert json.loads(by_key["org 7"]["properties"])["seats"] == 7
    assert by_key["odd"]["seat_count"] is None
    assert json.loads(by_key["odd"]["_raw"]) == {"seats": "many"}
    assert (by_key["web"]["group_type"], by_key["web"]["group_type_index"]) == ("project", 1)
    types = {row["group_type"]: row["group_type_index"] for row in read(given, GROUP_TYPES)}
    assert types == {"organization": 0, "project": 1}
    only = build_groups_assets(options=ONCE, columns=columns, group_types=["project"])
    assert run([only], given).success
    assert [row["group_key"] for row in read(given, groups_table(columns))] == ["web"]
    wrong = build_groups_assets(options=ONCE, group_types=["company"])
    assert "no group type company; it has organization, project" in refusal(run([wrong], given))


@BOTH
def test_history_keeps_what_was_and_from_when_to_when(sandbox, given):
    world = sandbox.world
    for key in ("same", "changed", "gone"):
        world.add_group(0, key, {"plan": "free"})
    asset = build_groups_assets(options=ONCE, history=True)
    assert run([asset], given).success
    sandbox.clock.advance(60)
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        client.groups.update_property(0, "changed", "plan", "pro")
        client.groups.create(0, "new", {"plan": "x"})
    del world.groups["0/gone"]
    assert run([asset], given).success
    assert run([asset], given).success
    history: dict[str, list[tuple[str, bool]]] = {}
    for row in sorted(read(given, GROUP_HISTORY), key=lambda row: row["valid_from"]):
        plan = json.loads(row["properties"])["plan"]
        history.setdefault(row["group_key"], []).append((plan, row["valid_to"] is None))
    assert history == {
        "same": [("free", True)],
        "changed": [("free", False), ("pro", True)],
        "gone": [("free", False)],
        "new": [("x", True)],
    }
    changed = [row for row in read(given, GROUP_HISTORY) if row["group_key"] == "changed"]
    before, after = sorted(changed, key=lambda row: row["valid_from"])
    assert before["valid_to"] == after["valid_from"]


def test_activity_of_chosen_groups_lands(sandbox, given):
    sandbox.world.add_group(0, "acme", {"plan": "free"})
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        for plan in ("pro", "gold"):
            client.groups.update_property(0, "acme", "plan", plan)
    chosen = [("organization", "acme"), ("organization", "nobody")]
    assert run([build_groups_assets(options=ONCE, activity_of=chosen)], given).success
    loaded = sorted(read(given, GROUP_ACTIVITY), key=lambda row: row["created_at"])
    assert [(r["property"], r["before"], r["after"]) for r in loaded] == [
        ("plan", '"free"', '"pro"'),
        ("plan", '"pro"', '"gold"'),
    ]


def test_a_dry_run_shows_the_plan_and_sends_nothing(sandbox, given):
    sandbox.world.add_group(0, "a", {"plan": "free", "seats": 1})
    fill(given, [{"id": "a", "plan": "pro", "seats": 1}, {"id": "b", "plan": "x", "seats": 2}])
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([sink(dry_run=True)], resources=given, instance=instance)
        key = dg.AssetKey(["posthog", "group_properties_organization"])
        observed = instance.fetch_observations(key, limit=5).records
    shown = said(result)
    assert (shown["adds"], shown["changes"], shown["no_ops"]) == (1, 1, 0)
    assert shown["dry_run"] is True
    assert shown["groups_changed"] == 0
    assert "| change | plan | 1 |" in shown["plan"]
    assert '"pro"' not in shown["plan"]
    assert len(observed) == 1
    assert sent(sandbox) == 0
    config = {"ops": {"posthog__group_properties_organization": {"config": {"dry_run": True}}}}
    assert said(run([sink()], given, run_config=config))["dry_run"] is True
    assert sent(sandbox) == 0
    shown = said(run([sink(dry_run=True, show_values=True)], given))
    assert 'plan: "free" → "pro"' in shown["plan"]


@BOTH
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_exactly_what_differs_is_sent_and_nothing_the_second_time(sandbox, given, count):
    for n in range(count):
        sandbox.world.add_group(0, f"g{n}", {"plan": "free", "seats": n, "mine": True})
    changed = {f"g{n}" for n in range(0, count, 33)}
    fill(
        given,
        [
            {"id": f"g{n}", "plan": "pro" if f"g{n}" in changed else "free", "seats": n}
            for n in range(count)
        ]
        + [{"id": "new", "plan": "pro", "seats": 1}],
    )
    shown = said(run([sink()], given))
    assert (shown["adds"], shown["changes"]) == (1, len(changed))
    assert shown["no_ops"] == count - len(changed)
    assert (shown["groups_made"], shown["groups_changed"]) == (1, len(changed))
    assert sent(sandbox) == len(changed) + 1
    assert properties(sandbox, "g33") == {"plan": "pro", "seats": 33, "mine": True}
    assert properties(sandbox, "new") == {"plan": "pro", "seats": 1}
    again = said(run([sink()], given))
    assert (again["adds"], again["changes"], again["no_ops"]) == (0, 0, count + 1)
    assert sent(sandbox) == len(changed) + 1
    outcomes = Counter(row["outcome"] for row in read(given, GROUP_PUSHES))
    assert outcomes == {"sent": len(changed), "made": 1}


@BOTH
def test_a_push_that_dies_half_way_sends_nothing_twice(sandbox, given):
    # Lists of newer servers lag behind; only looking at each group again tells what was loaded.
    sandbox.world.groups_lag = 3600.0
    for n in range(60):
        sandbox.world.add_group(0, f"g{n}", {"plan": "free", "seats": n})
    fill(given, [{"id": f"g{n}", "plan": "pro", "seats": n} for n in range(60)])
    sandbox.fail(
        "POST", "*/update_property/", times=99, after=25, status=403, body={"detail": "no"}
    )
    assert not run([sink()], given).success
    loaded = sum(properties(sandbox, f"g{n}")["plan"] == "pro" for n in range(60))
    assert loaded == 25
    sandbox.site.faults.clear()
    before = sandbox.count("POST", "*/update_property/")
    shown = said(run([sink()], given))
    assert shown["groups_failed"] == 0
    assert sandbox.count("POST", "*/update_property/") - before == 60 - loaded
    assert all(properties(sandbox, f"g{n}")["plan"] == "pro" for n in range(60))


def test_a_group_that_fails_does_not_stop_the_others(sandbox, given):
    for n in range(5):
        sandbox.world.add_group(0, f"g{n}", {"plan": "free"})
    fill(given, [{"id": f"g{n}", "plan": "pro", "seats": 1} for n in range(5)])
    said_ = {"type": "validation_error", "code": "x", "detail": "no such thing", "attr": None}
    sandbox.fail("POST", "*/update_property/", times=1, status=400, body=said_)
    text = refusal(run([sink()], given))
    assert "1 of 5 groups could not be sent" in text
    assert "no such thing" in text
    outcomes = Counter(row["outcome"] for row in read(given, GROUP_PUSHES))
    assert outcomes == {"sent": 4, "failed": 1}
    assert said(run([sink()], given))["groups_changed"] == 1


@BOTH
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_somebody_else_changed_meanwhile_is_reported_and_left(sandbox, given, overwrite):
    # On newer servers the plan, made from a list that lags, sees an older value than `find` does.
    sandbox.world.groups_lag = 3600.0
    sandbox.world.add_group(0, "a", {"plan": "free", "seats": 1})
    sandbox.world.add_group(0, "b", {"plan": "free", "seats": 1})
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        client.groups.update_property(0, "a", "plan", "gold")
    fill(given, [{"id": key, "plan": "pro", "seats": 1} for key in ("a", "b")])
    shown = said(run([sink(overwrite_edits=overwrite)], given))
    seen = sandbox.generation == "current" and not overwrite
    assert shown["groups_edited_by_others"] == (1 if seen else 0)
    assert properties(sandbox, "a")["plan"] == ("gold" if seen else "pro")
    assert properties(sandbox, "b")["plan"] == "pro"
    if seen:
        assert "plan changed since the plan was made" in shown["problems"]


def test_nulls_can_remove_a_property(sandbox, given):
    sandbox.world.add_group(0, "a", {"plan": "free", "seats": 1})
    fill(given, [{"id": "a", "plan": None, "seats": 1}])
    assert "nulls='keep'" in refusal(run([sink()], given))
    assert said(run([sink(nulls="keep")], given))["no_ops"] == 1
    shown = said(run([sink(nulls="unset")], given))
    assert (shown["properties_to_remove"], shown["groups_changed"]) == (1, 1)
    assert properties(sandbox, "a") == {"seats": 1}


def test_many_groups_go_through_the_ingestion_endpoint_once(sandbox, given):
    sandbox.world.ingestion_lag = 120.0
    for n in range(300):
        sandbox.world.add_group(0, f"g{n}", {"plan": "free", "seats": n})
    fill(
        given,
        [{"id": f"g{n}", "plan": "pro", "seats": n} for n in range(300)]
        + [{"id": "new", "plan": "pro", "seats": 1}],
    )
    options = {"bulk_above": 100, "project_token": "phc_sandbox", "capture_host": sandbox.url}
    shown = said(run([sink(**options)], given))
    assert (shown["way"], shown["groups_changed"], shown["groups_made"]) == ("ingestion", 300, 1)
    assert sandbox.count("POST", "/batch/") == 2
    assert sent(sandbox) == 0
    # PostHog has not processed them yet: they are on their way, and not sent again.
    again = said(run([sink(**options)], given))
    assert (again["changes"], again["groups_found_as_wanted"]) == (300, 301)
    assert sandbox.count("POST", "/batch/") == 2
    sandbox.clock.advance(121)
    done = said(run([sink(**options)], given))
    assert (done["adds"], done["changes"], done["no_ops"]) == (0, 0, 301)
    assert properties(sandbox, "g5") == {"plan": "pro", "seats": 5}
    assert sandbox.count("POST", "/batch/") == 2


def test_bad_input_is_refused_before_anything_is_sent(sandbox, given):
    sandbox.world.add_group(0, "a", {"plan": "free"})
    fill(
        given,
        [
            {"id": None, "plan": "a", "seats": 1},
            {"id": "a", "plan": "a", "seats": 1},
            {"id": "a", "plan": "b", "seats": 1},
            {"id": "b", "plan": "x" * 1_000_000, "seats": 1},
        ],
    )
    text = refusal(run([sink()], given))
    assert "id is null" in text
    assert "row 3: its key is in row 2 already" in text
    assert "row 4: plan has 1000002 bytes" in text

    fill(given, [{"id": "a", "plan": "pro", "seats": 1}])
    for table, group_type, key, column, words in (
        ("analytics.accounts", "organization", "account", "plan", "no column account"),
        ("analytics.accounts", "organization", "id", "tier", "no column tier"),
        ("analytics.nothing", "organization", "id", "plan", "cannot be read"),
        ("analytics.accounts", "company", "id", "plan", "no group type 'company'"),
    ):
        asset = group_properties_sink(
            table, group_type, key, [column], dry_run=False, options=ONCE, name="push"
        )
        assert words in refusal(run([asset], given))
    assert "more than 0" in refusal(run([sink(max_groups=0)], given))
    assert sent(sandbox) == 0
    with pytest.raises(ValueError, match="at least one property"):
        group_properties_sink("analytics.accounts", "organization", "id", [])


def test_a_key_that_may_not_write_groups_is_refused_before_anything_is_sent(resources):
    keys = {"phx_reader": ["group:read", "project:read"]}
    with Sandbox("docs", populate=False, now=NOW, limits=False, keys=keys) as sandbox:
        sandbox.world.add_group_type("organization")
        given = resources(sandbox)
        fill(given, [{"id": "a", "plan": "pro", "seats": 1}])
        assert "group:write" in refusal(run([sink()], given))
        assert sent(sandbox) == 0
        assert run([sink(dry_run=True)], given).success


# -- groups that PostHog's list hides --------------------------------------------------------------

COMPLETE = "is_complete"


def verdict(result: Any) -> dg.AssetCheckEvaluation:
    (found,) = [c for c in result.get_asset_check_evaluations() if c.check_name == COMPLETE]
    return found


def gaps(result: Any) -> list[dict[str, Any]]:
    (found,) = [
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key.path[-1] == "groups"
    ]
    return [record.data for record in found["gaps"].records] if "gaps" in found else []


def keys(given: dict[str, Any], index: int) -> list[str]:
    rows = read(given, groups_table())
    return sorted(row["group_key"] for row in rows if row["group_type_index"] == index)


def tied(sandbox: Sandbox, count: int, together: int) -> list[str]:
    for n in range(count):
        at = NOW - timedelta(hours=1, seconds=n // together)
        sandbox.world.add_group(0, f"k{n:05}", {"n": n}, created_at=at, visible_at=at)
    sandbox.world.add_group(1, "web")
    return [f"k{n:05}" for n in range(count)]


@WAREHOUSES
@BOTH
@pytest.mark.parametrize(("count", "together"), [(230, 3), (1_500, 1_500)])
def test_groups_of_one_creation_time_all_land(sandbox, given, count: int, together: int):
    expected = tied(sandbox, count, together)
    result = run([build_groups_assets(options=ONCE)], given)
    assert result.success
    assert keys(given, 0) == expected
    assert keys(given, 1) == ["web"]
    assert verdict(result).passed
    assert gaps(result) == []
    assert sandbox.count("GET", "*/groups/") < 60


@pytest.mark.parametrize("generation", ["docs"])
@pytest.mark.parametrize(("count", "together"), [(230, 3), (1_500, 1_500)])
def test_groups_that_no_way_shows_are_a_gap_and_a_failing_check(
    sandbox, given, count: int, together: int
):
    expected = tied(sandbox, count, together)
    given["posthog"] = Unpaced(host=sandbox.url, api_key=NO_QUERIES, project_id="1")
    result = run([build_groups_assets(options=ONCE)], given)
    assert result.success
    loaded = keys(given, 0)
    assert set(loaded) < set(expected)
    assert len(loaded) >= min(count - 1, 1_000)
    assert keys(given, 1) == ["web"]
    assert not verdict(result).passed
    (gap,) = gaps(result)
    assert gap["object"] == "groups of type organization"
    assert "twice" in gap["why"] or "led back" in gap["why"]
    assert "query:read" in gap["remedy"]


@BOTH
@pytest.mark.parametrize("queries", [True, False])
def test_a_group_that_posthog_cannot_write_out_costs_no_other_type(sandbox, given, queries: bool):
    for n in range(150):
        at = NOW - timedelta(hours=1, seconds=-n)
        held = {"big": 2**70} if n == 20 else {"n": n}
        sandbox.world.add_group(0, f"k{n:05}", held, created_at=at, visible_at=at)
    sandbox.world.add_group(1, "web")
    if not queries:
        given["posthog"] = Unpaced(host=sandbox.url, api_key=NO_QUERIES, project_id="1")
    result = run([build_groups_assets(options=ONCE)], given)
    assert result.success
    assert keys(given, 1) == ["web"]
    assert verdict(result).passed is queries
    assert len(keys(given, 0)) == (150 if queries else 100)
    assert sandbox.count("GET", "*/groups/") <= 6
    if queries:
        loaded = {row["group_key"]: row for row in read(given, groups_table())}
        assert json.loads(loaded["k00020"]["properties"]) == {"big": 2**70}


@WAREHOUSES
@pytest.mark.parametrize("generation", ["docs"])
def test_a_group_that_is_hidden_has_not_ended(sandbox, given):
    tied(sandbox, 230, 3)
    asset = build_groups_assets(options=ONCE, history=True)
    assert run([asset], given).success
    given["posthog"] = Unpaced(host=sandbox.url, api_key=NO_QUERIES, project_id="1")
    assert run([asset], given).success
    assert {row["valid_to"] for row in read(given, GROUP_HISTORY)} == {None}


@WAREHOUSES
@pytest.mark.parametrize("generation", ["docs"])
def test_what_landed_earlier_of_a_type_with_a_gap_stays(sandbox, given):
    expected = tied(sandbox, 230, 3)
    asset = build_groups_assets(options=ONCE)
    assert run([asset], given).success
    given["posthog"] = Unpaced(host=sandbox.url, api_key=NO_QUERIES, project_id="1")
    sandbox.world.add_group(1, "new")
    result = run([asset], given)
    assert not verdict(result).passed
    assert keys(given, 0) == expected
    assert keys(given, 1) == ["new", "web"]


@pytest.mark.parametrize("generation", ["docs"])
def test_a_group_that_only_hogql_showed_before_it_failed_lands_once(sandbox, given, monkeypatch):
    expected = tied(sandbox, 230, 3)
    asset = build_groups_assets(options=ONCE)
    assert run([asset], given).success
    monkeypatch.setitem(Queries.pages.__kwdefaults__, "limit", 220)
    sandbox.fail("POST", "*/query", times=99, after=1, status=400, body={"detail": "no more"})
    result = run([asset], given)
    assert result.success
    assert not verdict(result).passed
    assert keys(given, 0) == expected


def lose_cursors(sandbox: Sandbox, calls: set[int], made_at: int) -> None:
    """Answer some requests for pages of groups as if their cursor were not known, which newer
    servers do with the first page; before another one a group is made."""
    real, asked = sandbox._app.serve, 0

    def serve(request: Any) -> Any:
        nonlocal asked
        if request.path.endswith("/groups/") and "group_type_index=0" in request.query:
            asked += 1
            if asked == made_at:
                at = NOW + timedelta(seconds=1)
                sandbox.world.add_group(0, "late", {}, created_at=at, visible_at=NOW)
            if asked in calls:
                parts = [p for p in request.query.split("&") if not p.startswith("cursor=")]
                request = replace(request, query="&".join(parts))
        return real(request)

    sandbox._app.serve = serve


@pytest.mark.parametrize("queries", [True, False])
@pytest.mark.parametrize("calls", [{2, 4}, {3, 6}, {2, 3, 5}, set(range(2, 99))], ids=str)
def test_lost_cursors_and_a_group_made_meanwhile_lose_no_group(
    sandbox, given, calls: set[int], queries: bool
):
    expected = tied(sandbox, 350, 1)
    if not queries:
        given["posthog"] = Unpaced(host=sandbox.url, api_key=NO_QUERIES, project_id="1")
    lose_cursors(sandbox, calls, made_at=4)
    result = run([build_groups_assets(options=ONCE)], given)
    assert result.success
    loaded = keys(given, 0)
    assert len(loaded) == len(set(loaded))
    assert keys(given, 1) == ["web"]
    assert verdict(result).passed is (gaps(result) == [])
    if queries or verdict(result).passed:
        assert set(expected) <= set(loaded)
    else:
        assert len(loaded) >= 100
        (gap,) = gaps(result)
        assert gap["object"] == "groups of type organization"
