"""Bursts: more failed runs in a second than PostHog lists, and more than one request takes."""

from collections import Counter
from typing import Any

import pytest

from hog_dagster.actions import Source
from tests.actions.kit import HOUR, NARROW, Place

#: Runs of one tick's run request, and of one rerun request.
WANTED, SLICE = 2000, 500


def rounds(place: Place, source: Source, most: int, **policy: Any) -> int:
    """Ticks of a sensor and the runs they ask for, until nothing is due; how many there were."""
    for number in range(most):
        began = place.clock.monotonic()
        due = place.detect_failed(source, wanted=WANTED, deadline=began + 50.0, **policy).due
        assert place.clock.monotonic() - began < 55.0, "the tick took too long"
        if not due:
            return number
        runs = [run["instance_id"] for run in due]
        assert len(set(runs)) == len(runs) <= WANTED
        place.rerun(source, runs, max_runs=WANTED, slice_size=SLICE, verify_seconds=300.0, **policy)
        place.wait(600)
    raise AssertionError(f"runs are due after {most} rounds: {place.detect_failed(source).counts}")


@pytest.mark.parametrize("scopes", [("*",), NARROW], ids=["HogQL", "a key without query:read"])
@pytest.mark.parametrize("ends", ["failed", pytest.param("succeeded", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "n", [pytest.param(n, marks=() if n == 700 else pytest.mark.slow) for n in (499, 500, 501, 700)]
)
def test_every_run_that_failed_in_one_second_is_found_and_rerun_once(
    n: int, ends: str, scopes: tuple[str, ...]
) -> None:
    place = Place(scopes=scopes)
    source = place.workflow()
    runs = {place.failed(source, HOUR - k / n, retry_status=ends) for k in range(n)}
    other = place.failed(source, 2 * HOUR)
    rounds(place, source, 8)
    assert place.again() == dict.fromkeys({*runs, other}, 1)
    assert place.posts() <= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("n", "scopes"),
    [(20_000, ("*",)), (20_000, NARROW), (100_000, ("*",))],
    ids=["20,000 by HogQL", "20,000 without query:read", "100,000 by HogQL"],
)
def test_every_run_of_a_long_outage_is_rerun_once(n: int, scopes: tuple[str, ...]) -> None:
    """All failed within one hour; each tick of the sensor has 50 s of PostHog's time.

    Time and requests grow with the runs, not with their square: 100,000 take five times as many of
    both as 20,000.
    """
    place = Place(scopes=scopes)
    source = place.workflow()
    runs = {place.failed(source, 2 * HOUR - 3600 * number / n) for number in range(n)}
    rounds(place, source, n // WANTED + 10)
    again = place.again()
    assert (len(again), set(again.values())) == (len(runs), {1})
    assert place.posts() == n // SLICE
    assert place.sandbox.count() <= n * (0.03 if scopes == ("*",) else 4)


@pytest.mark.parametrize("scopes", [("*",), NARROW], ids=["HogQL", "a key without query:read"])
def test_a_tick_that_has_no_time_left_goes_on_with_what_it_found(scopes: tuple[str, ...]) -> None:
    place = Place(scopes=scopes, latency=1.0)
    source = place.workflow()
    for number in range(1200):
        place.failed(source, HOUR + number)
    deadline = place.clock.monotonic() + 40.0
    began = place.clock.monotonic()
    found = place.detect_failed(source, wanted=WANTED, deadline=deadline)
    assert found.due
    assert place.clock.monotonic() - began < 600


def test_an_answer_that_is_lost_in_the_middle_of_a_burst_doubles_nothing() -> None:
    place = Place(missing=["hogql_runs"])
    source = place.workflow()
    runs = [place.failed(source, HOUR + number) for number in range(300)]
    place.sandbox.fail("POST", "*/rerun/", cut="after", after=1)
    place.sandbox.fail("POST", "*/rerun/", cut="before", after=0)
    for _ in range(4):
        place.rerun(source, runs, slice_size=100)
        place.wait(2 * HOUR)
    counts = Counter(place.again())
    assert counts == Counter(dict.fromkeys(runs, 1))


def test_runs_of_one_millisecond_that_cannot_be_listed_are_named_and_the_others_rerun() -> None:
    place = Place(scopes=NARROW)
    source = place.workflow()
    runs = [place.failed(source, retry_status="failed") for _ in range(700)]
    rounds(place, source, 8)
    again = place.again()
    assert set(again.values()) == {1}
    assert len(again) >= 500
    if len(again) < len(runs):
        assert any("were not found" in line and "query:read" in line for line in place.log.said)


@pytest.mark.parametrize("scopes", [("*",), NARROW], ids=["HogQL", "a key without query:read"])
def test_a_page_that_writes_more_lines_in_a_millisecond_than_are_listed_is_settled(
    scopes: tuple[str, ...],
) -> None:
    place = Place(scopes=scopes)
    place.world.rerun_page_size = 1000
    source = place.workflow()
    runs = [place.failed(source, HOUR + k, retry_status="failed") for k in range(600)]
    for _ in range(2):
        place.rerun(source, runs, max_runs=600, slice_size=600)
        place.wait(HOUR)
    assert (place.again(), place.posts()) == (dict.fromkeys(runs, 1), 1)
    assert set(place.states().values()) == {"confirmed"}
