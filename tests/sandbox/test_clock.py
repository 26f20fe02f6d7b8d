"""The sandbox's clock ticks, jumps and stands still."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hog_dagster.sandbox import Clock
from tests.sandbox.conftest import Start

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)


def test_it_starts_where_it_is_told_and_ticks_on() -> None:
    clock = Clock(NOW)
    first, second = clock.now(), clock.now()
    assert NOW <= first <= second


def test_it_follows_real_time_by_default() -> None:
    before = datetime.now(UTC)
    assert before - timedelta(seconds=1) <= Clock().now() <= before + timedelta(minutes=5)


def test_it_can_be_moved_both_ways() -> None:
    clock = Clock(NOW, frozen=True)
    assert clock.advance(90) == NOW + timedelta(seconds=90)
    clock.set(NOW - timedelta(days=1))
    assert clock.now() == NOW - timedelta(days=1)


def test_it_can_stand_still_and_go_on() -> None:
    clock = Clock(NOW)
    clock.freeze(NOW)
    assert clock.now() == clock.now() == NOW
    clock.resume()
    assert clock.now() >= NOW


def test_times_are_kept_in_utc_and_need_an_offset() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert Clock(NOW.astimezone(east), frozen=True).now().tzinfo is UTC
    with pytest.raises(ValueError, match="aware"):
        Clock(NOW.replace(tzinfo=None))


def test_the_server_dates_its_answers_by_the_sandboxs_clock(start: Start) -> None:
    sandbox, http = start(now=NOW)
    sandbox.clock.freeze(NOW)
    assert http.get("/hog_flows/").headers["date"] == "Sun, 10 May 2026 12:00:00 GMT"
