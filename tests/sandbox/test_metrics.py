"""Metrics: whole hours in UTC, behind windows and labels that follow the project's time zone."""

from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.api._metrics import read_bound
from tests.sandbox.bodies import raised
from tests.sandbox.conftest import Http, Start

START = datetime(2026, 11, 17, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = {"after": "2026-11-18T00:00:00Z", "before": "2026-11-18T23:59:59Z"}
NAIVE_DAY = {"after": "2026-11-18T00:00:00", "before": "2026-11-18T23:59:59"}
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")


def counted(start: Start, **options: object) -> tuple[Sandbox, Http, str]:
    """96 hours of known counts, one per UTC hour: 1, 2, 3, ... The second day has 876."""
    sandbox, http = start(now=NOW, **options)
    workflow = sandbox.world.add_workflow()["id"]
    for hour in range(96):
        at = START + timedelta(hours=hour, minutes=40)
        sandbox.world.emit_metric(workflow, at, "succeeded", "success", hour + 1)
    return sandbox, http, f"/hog_flows/{workflow}/metrics/"


@pytest.mark.parametrize(("zone", "total"), list(zip(ZONES, (876, 756, 996, 1188), strict=True)))
def test_older_servers_shift_an_explicit_utc_window_by_the_projects_offset(
    start: Start, zone: str, total: int
) -> None:
    _, http, path = counted(start, timezone=zone)
    assert http.get(path + "totals/", params=DAY).json() == {"totals": {"success": total}}
    assert http.get(path + "totals/", params=NAIVE_DAY).json() == {"totals": {"success": 876}}


@pytest.mark.parametrize(("zone", "total"), list(zip(ZONES, (876, 996, 732, 564), strict=True)))
def test_newer_servers_read_utc_rightly_and_a_bare_time_in_the_projects_zone(
    start: Start, zone: str, total: int
) -> None:
    _, http, path = counted(start, timezone=zone, generation="current")
    assert http.get(path + "totals/", params=DAY).json() == {"totals": {"success": 876}}
    assert http.get(path + "totals/", params=NAIVE_DAY).json() == {"totals": {"success": total}}


@pytest.mark.parametrize("generation", ["docs", "current"])
@pytest.mark.parametrize("zone", [*ZONES, "Australia/Lord_Howe"])
def test_hourly_labels_read_as_utc_in_a_wide_window_are_right_everywhere(
    start: Start, zone: str, generation: str
) -> None:
    _, http, path = counted(start, timezone=zone, generation=generation)
    window = {"interval": "hour", "after": "2026-11-16T12:00:00Z", "before": "2026-11-20T12:00:00Z"}
    body = http.get(path, params={**window, "breakdown_by": "name"}).json()
    (series,) = body["series"]
    found = dict(zip(body["labels"], series["values"], strict=True))
    for hour in range(24, 48):
        label = (START + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M")
        assert found[label] == hour + 1
    assert series["name"] == "succeeded"


def test_narrow_windows_lose_edge_hours_outside_utc(start: Start) -> None:
    _, http, path = counted(start, timezone="America/New_York", generation="current")
    body = http.get(path, params={**DAY, "interval": "hour"}).json()
    assert body["labels"][0] == "2026-11-17T19:00"
    assert sum(body["series"][0]["values"]) == 876 - (44 + 45 + 46 + 47 + 48)


def test_days_and_weeks_are_labelled_by_their_first_day(start: Start) -> None:
    _, http, path = counted(start)
    days = http.get(path, params={"after": "2026-11-17", "before": "2026-11-20"}).json()
    assert days["labels"] == ["2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20"]
    assert days["series"] == [{"name": "success", "values": [300, 876, 1452, 0]}]
    weeks = http.get(path, params={"interval": "week", "after": "2026-11-15"}).json()
    assert weeks["labels"] == ["2026-11-09", "2026-11-16"]
    assert weeks["series"] == [{"name": "success", "values": [0, 4656]}]


def test_without_data_the_labels_come_with_no_series(start: Start) -> None:
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    body = http.get(f"/hog_flows/{workflow}/metrics/").json()
    assert body == {"labels": [f"2026-11-{day}" for day in range(14, 22)], "series": []}
    assert http.get(f"/hog_flows/{workflow}/metrics/totals/").json() == {"totals": {}}


def test_runs_and_steps_are_added_up_unless_a_step_is_named(start: Start) -> None:
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    emit = sandbox.world.emit_metric
    emit(workflow, NOW, "succeeded", "success", 5)
    emit(workflow, NOW, "succeeded", "success", 7, "action_a")
    emit(workflow, NOW, "email_sent", "email", 7, "action_a")
    path = f"/hog_flows/{workflow}/metrics/totals/"
    names = {"breakdown_by": "name"}
    assert http.get(path, params=names).json()["totals"] == {"succeeded": 12, "email_sent": 7}
    step = {**names, "instance_id": "action_a"}
    assert http.get(path, params=step).json()["totals"] == {"succeeded": 7, "email_sent": 7}
    nothing = {**names, "instance_id": ""}
    assert http.get(path, params=nothing).json()["totals"]["succeeded"] == 12
    only = {**names, "name": "succeeded,failed", "kind": "success,failure"}
    assert http.get(path, params=only).json()["totals"] == {"succeeded": 12}
    assert http.get(path).json()["totals"] == {"success": 12, "email": 7}


def test_an_hour_keeps_one_row_so_that_finer_bounds_mislead(start: Start) -> None:
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    for minute in (10, 50):
        at = START.replace(hour=8, minute=minute)
        sandbox.world.emit_metric(workflow, at, "succeeded", "success", 1)
    path = f"/hog_flows/{workflow}/metrics/totals/"
    window = {"after": "2026-11-17T08:30:00", "before": "2026-11-17T08:59:59"}
    assert http.get(path, params=window).json() == {"totals": {}}
    window["after"] = "2026-11-17T08:00:00"
    assert http.get(path, params=window).json() == {"totals": {"success": 2}}


def test_counts_can_arrive_late(start: Start) -> None:
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    late = NOW + timedelta(minutes=5)
    sandbox.world.emit_metric(workflow, START, "failed", "failure", 2, visible_at=late)
    path = f"/hog_flows/{workflow}/metrics/totals/"
    assert http.get(path).json() == {"totals": {}}
    sandbox.clock.advance(301)
    assert http.get(path).json() == {"totals": {"failure": 2}}


def test_counts_older_than_ninety_days_are_gone(start: Start) -> None:
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    for days in (89, 91):
        at = NOW - timedelta(days=days)
        sandbox.world.emit_metric(workflow, at, "succeeded", "success", 1)
    path = f"/hog_flows/{workflow}/metrics/totals/?after=-200d"
    assert http.get(path).json() == {"totals": {"success": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-3h", NOW - timedelta(hours=3)),
        ("-7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("-1m", datetime(2026, 10, 21, 12, tzinfo=UTC)),
        ("-30M", NOW - timedelta(minutes=30)),
        ("-1q", NOW - timedelta(weeks=13)),
        ("-1y", datetime(2025, 11, 21, 12, tzinfo=UTC)),
        ("-7D", NOW),
        ("yesterday", NOW),
        ("foo", NOW),
        ("2026-5-1", datetime(2026, 5, 1, tzinfo=UTC)),
    ],
)
def test_relative_bounds_and_the_silent_fall_back_to_now(text: str, expected: datetime) -> None:
    assert read_bound(text, UTC, NOW) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("interval", "month"), ("breakdown_by", "x")])
def test_unknown_choices_are_refused(start: Start, name: str, value: str) -> None:
    _, http, path = counted(start)
    answer = http.get(path, params={name: value})
    detail = f'"{value}" is not a valid choice.'
    assert answer.status_code == 400
    assert answer.json() == raised("validation_error", "invalid_choice", detail, name)
