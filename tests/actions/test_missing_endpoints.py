"""A server that lacks an endpoint: nothing fails that can do without, and nothing is doubled."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from hog_dagster.actions import Outcome, failing_sources
from hog_dagster.policies import Safety
from hog_dagster.posthog import errors
from hog_dagster.sandbox import ENDPOINT_NAMES
from hog_dagster.sandbox.server._endpoint_names import MORE
from tests.actions.kit import HOUR, Place, mail, webhook

ALL = sorted({*ENDPOINT_NAMES.values(), *MORE})
#: Without these there is nothing to do the action with.
NEEDED = {
    "replay": {"replay", "blocked_runs"},
    "rerun": {"rerun"},
    "function rerun": {"function_rerun", "hogql_runs", "query"},
    "batch": {"batch_jobs"},
    "schedule": {"schedules"},
}
#: Without these, evidence about a lost response cannot be read: the action stays in doubt.
EVIDENCE = {
    "replay": {"logs"},
    "rerun": {"logs"},
    "function rerun": {"function_logs"},
}
#: Endpoints that some action reads or probes.
ASKED_FOR = {
    *("logs", "function_logs", "hogql_runs", "query", "invocation_result", "sent_messages"),
    *("invocation_results", "invocation_results_count", "global_metrics", "blocked_runs"),
    *("cancel_batch_job", "blast_radius", "suspension", "batch_jobs", "schedules", "rerun"),
}
REST_OF_RUNS = ("invocation_result", "invocation_results", "hogql_runs")


def done(place: Place, kind: str, path: str, *, cut: Any = "") -> tuple[int, set[str]]:
    """Act four times, hours apart: how often it was done, and the states in the ledger."""
    if cut:
        place.sandbox.fail("POST", path, cut=cut)
    if kind in ("rerun", "function rerun"):
        source = place.workflow() if kind == "rerun" else place.function()
        run = place.failed(source)
        for _ in range(4):
            place.rerun(source, [run])
            place.wait(2 * HOUR)
        effects = place.again().get(run, 0)
    elif kind == "replay":
        source = place.workflow()
        (run,) = place.blocked(source)
        for _ in range(4):
            place.replay(source, [run])
            place.wait(2 * HOUR)
        effects = place.again().get(run, 0)
    else:
        source = place.workflow(trigger="batch")
        act = place.batch if kind == "batch" else place.schedule
        for _ in range(4):
            act(source)
            place.wait(2 * HOUR)
        effects = place.sends(source) if kind == "batch" else place.schedules(source)
    return effects, set(place.states().values())


PATHS = {
    "replay": "*/replay_blocked_run/",
    "rerun": "*/hog_flows/*/rerun/",
    "function rerun": "*/hog_functions/*/rerun/",
    "batch": "*/batch_jobs/",
    "schedule": "*/schedules/",
}


def place_without(kind: str, missing: str) -> Place:
    """A server without an endpoint; where HogQL is not the matter, without that as well, since the
    sandbox answers it slowly."""
    lacks = {missing} if kind == "function rerun" else {missing, "hogql_runs"}
    if missing in REST_OF_RUNS:
        lacks = {missing}
    return Place("docs" if kind == "replay" else "current", missing=lacks)


def _missing(kinds: Iterable[str]) -> Iterator[Any]:
    """Each endpoint with each kind; the normal suite leaves out those that nobody asks for."""
    for kind, name in product(kinds, ALL):
        if name not in NEEDED.get(kind, ()):
            yield pytest.param(kind, name, marks=() if name in ASKED_FOR else pytest.mark.slow)


@pytest.mark.parametrize(("kind", "missing"), [*_missing(NEEDED)])
def test_an_action_is_done_once_without_an_endpoint_that_it_does_not_need(
    kind: str, missing: str
) -> None:
    place = place_without(kind, missing)
    assert done(place, kind, PATHS[kind]) == (1, {"confirmed"})


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (kind, name)
        for kind in NEEDED
        for name in ("logs", "function_logs", "hogql_runs", "query", *REST_OF_RUNS[:2])
        if name not in NEEDED[kind]
    ],
)
@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_answer_doubles_nothing_without_the_endpoints_that_show_evidence(
    kind: str, missing: str, cut: str
) -> None:
    place = place_without(kind, missing)
    effects, states = done(place, kind, PATHS[kind], cut=cut)
    assert effects <= 1
    if states == {"confirmed"}:
        assert effects == 1
        return
    assert missing in EVIDENCE[kind]
    assert states == {"in_doubt"}
    assert "hog-dagster ledger resolve" in place.entries()[0].note


@pytest.mark.parametrize("kind", ["rerun", "function rerun"])
@pytest.mark.parametrize("cut", ["", "before", "after"])
def test_a_server_that_shows_no_runs_at_all_doubles_nothing(kind: str, cut: str) -> None:
    names = [*REST_OF_RUNS, "function_invocation_result", "function_invocation_results"]
    place = Place(missing=names)
    with suppress(errors.EndpointMissing):
        done(place, kind, PATHS[kind], cut=cut)
    assert sum(place.again().values()) <= 1


@pytest.mark.parametrize(("generation", "missing"), [*_missing(["mid2026", "current"])])
def test_failed_runs_are_found_without_an_endpoint(generation: str, missing: str) -> None:
    place = Place(generation, missing=[missing])
    source = place.workflow(actions=[mail("hello"), webhook("call")])
    run = place.failed(source)
    place.world.emit_metric(source.id, place.clock.true, "failed", "failure")
    since = place.clock.true.replace(hour=0)
    place.wait(60)
    assert source in failing_sources(place.actor(), since, Safety())
    assert [one["instance_id"] for one in place.detect_failed(source).due] == [run]


def test_a_server_without_counts_replays_blocked_and_reruns_failed_runs() -> None:
    place = Place("mid2026", missing=["hogql_runs", "global_metrics"])
    source = place.workflow()
    runs = [place.failed(source) for _ in range(3)]
    summary = place.rerun(source, runs, verify_seconds=60.0)
    assert summary[Outcome.CONFIRMED] == 3
    assert place.sandbox.count("GET", "*/invocation_results_count/") == 0


@pytest.mark.parametrize("path", ["*/invocation_results/*", "*/query/", "*/logs/"])
@pytest.mark.parametrize("status", [404, 500, 502])
def test_a_read_that_fails_sends_nothing_and_is_read_again(path: str, status: int) -> None:
    place = Place(missing=["hogql_runs"] if "query" not in path else [])
    source = place.workflow(actions=[mail("hello"), webhook("call")])
    run = place.failed(source)
    place.sandbox.fail_as(f"html_{status}", "*", path, times=0)
    with suppress(errors.PostHogError):
        place.rerun(source, [run])
    assert place.posts() <= 1
    place.sandbox.clear_faults()
    for _ in range(3):
        place.wait(2 * HOUR)
        place.rerun(source, [run])
    assert (place.again(), place.states()) == ({run: 1}, {run: "confirmed"})
