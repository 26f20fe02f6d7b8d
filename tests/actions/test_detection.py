"""Which failed runs are found and due, where PostHog lists only some of them at once."""

from datetime import timedelta

import pytest

from hog_dagster.actions import (
    Source,
    TimeWindow,
    detect_failed,
    failing_sources,
    resolve_sources,
)
from hog_dagster.policies import Safety
from tests.actions.kit import Place, replay_policy


def a_burst(place: Place, runs: int) -> tuple[Source, list[str]]:
    """More failures in one second than PostHog lists, and two older ones."""
    source = place.workflow()
    burst = [place.failed(source, 7200 - number / 1000) for number in range(runs)]
    older = [place.failed(source, 9000 + number) for number in range(2)]
    return source, burst + older


def test_by_rest_failures_beyond_the_first_page_are_found() -> None:
    place = Place("current", missing={"hogql_runs"})
    source, runs = a_burst(place, 520)
    found = place.detect_failed(source, wanted=1_000)
    assert {run["instance_id"] for run in found.due} == set(runs)
    assert found.counts == {"failed": 522}


@pytest.mark.parametrize("missing", [set(), {"hogql_runs"}])
def test_only_what_the_policy_names_is_due(missing: set[str]) -> None:
    place = Place("current", missing=missing)
    source = place.workflow()
    for kind, message in (("timeout", "SMTP timed out"), ("http_5xx", "Bad gateway")):
        place.failed(source, error_kind=kind, error_message=message)
    by_kind = place.detect_failed(source, error_kinds=["timeout"])
    by_text = place.detect_failed(source, message_contains="gateway")
    assert len(by_kind.due) == len(by_text.due) == 1
    assert by_kind.due != by_text.due


@pytest.mark.parametrize("missing", [set(), {"hogql_runs"}])
def test_failures_count_in_a_row(missing: set[str]) -> None:
    place = Place("current", missing=missing)
    source = place.workflow()
    window = TimeWindow(place.clock.true - timedelta(days=1))

    def due(wanted: int) -> int:
        actor = place.actor()
        found = detect_failed(actor, source, replay_policy(), window, failures_in_a_row=wanted)
        return len(found.due)

    for ago in (4000, 3000):
        place.failed(source, ago)
    assert due(2) == 2
    place.world.add_run(
        source.id, "succeeded", place.clock.true - timedelta(seconds=3500), distinct_id="ada"
    )
    assert due(2) == 0
    assert due(1) == 2


def test_a_second_with_more_failures_than_posthog_lists_is_read_by_its_errors() -> None:
    place = Place("current", missing={"hogql_runs"})
    source = place.workflow()
    at = place.clock.true.replace(microsecond=0) - timedelta(hours=2)
    runs = [
        place.world.add_run(
            source.id, "failed", at + timedelta(microseconds=n), distinct_id="ada"
        ).invocation_id
        for n in range(1_010)
    ]
    found = place.detect_failed(source, wanted=2_000)
    assert len(found.due) >= 500
    assert {run["instance_id"] for run in found.due} <= set(runs)


def test_without_global_metrics_every_workflow_may_have_failed() -> None:
    place = Place("current", missing={"hogql_runs", "global_metrics"})
    source, calm = place.workflow("One"), place.workflow("Two")
    place.failed(source)
    found = failing_sources(place.actor(), place.clock.true - timedelta(days=1), Safety())
    assert {one.id for one in found} == {source.id, calm.id}


def test_a_window_without_an_end_holds_all_that_came_after_and_what_has_no_time() -> None:
    start = Place().clock.true
    window = TimeWindow(start)
    assert window.holds(None)
    assert window.holds(start)
    assert not window.holds(start - timedelta(seconds=1))


def test_names_are_found_without_a_list_that_was_read_before() -> None:
    place = Place()
    one, two = place.workflow("One"), place.workflow("Two")
    client = place.client()
    assert [found.id for found in resolve_sources(client, ["One", two.id])] == [one.id, two.id]
