"""The insights service over HTTP: light lists, results one at a time, calculations waited for."""

import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from insight_answers import insight, node, per_day, series, trends_source
from small_posthog import SmallPostHog, envelope, serve

from hog_dagster.posthog import PostHogClient, errors

Start = Callable[..., tuple[SmallPostHog, PostHogClient]]

RESULT = [series(per_day("view"))]
RUNNING = {"complete": False, "error": False, "error_message": None}
DONE = {"complete": True, "error": False, "error_message": None}


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**options: Any) -> tuple[SmallPostHog, PostHogClient]:
            small = stack.enter_context(serve(SmallPostHog(**options)))
            client = PostHogClient(small.url, "phx_test", 1, limits=False, max_wait=5)
            return small, stack.enter_context(client)

        yield begin


def add(small: SmallPostHog, ident: int, **more: Any) -> None:
    body = insight(trends_source(node("view")), None, id=ident, short_id=f"short{ident:03}")
    small.insights[ident] = body | more


def job(ident: str, small: SmallPostHog, **more: Any) -> dict[str, Any]:
    """The status an insight carries while its calculation runs."""
    started = datetime.now(UTC).isoformat()
    return {"id": ident, "start_time": started, "query_async": True, **RUNNING, **more}


def test_a_list_is_light_ordered_and_whole(start: Start) -> None:
    small, client = start()
    for n in range(1, 1203):
        add(small, n)
    rows = list(client.insights.list(saved=True))
    assert [row.id for row in rows] == list(range(1, 1203))
    assert [a.params.get("offset") for a in small.asked] == [None, "500", "1000"]
    for asked in small.asked:
        assert (asked.params["basic"], asked.params["order"]) == ("true", "id")
        assert asked.params["saved"] == "true"
        assert "refresh" not in asked.params
        assert "created_by" not in asked.params


def test_filters_hold_also_where_the_server_ignores_them(start: Start) -> None:
    small, client = start()
    add(small, 1, tags=["a", "b"], dashboard_tiles=[{"id": 1, "dashboard_id": 7}], favorited=True)
    add(small, 2, tags=["b"], dashboards=[7, 8], created_by={"id": 4, "email": "ada@example.com"})
    add(small, 3, tags=[], created_by=4, dashboard_tiles=[{"dashboard_id": 7, "deleted": True}])

    def ids(**how: Any) -> list[int]:
        return [row.id for row in client.insights.list(**how)]

    assert ids(tags=["a"]) == [1]
    assert small.asked[-1].params["tags"] == '["a"]'
    assert ids(dashboards=[7]) == [1, 2]
    assert ids(dashboards=[7, 8]) == [2]
    assert ids(created_by=4) == [2, 3]
    assert ids(created_by="ada@example.com") == [2]
    assert ids(favorited=True) == [1]
    assert ids(favorited=False) == [2, 3]
    assert "favorited" not in small.asked[-1].params


def test_moments_are_sent_in_utc_and_must_have_a_zone(start: Start) -> None:
    small, client = start()
    since = datetime(2026, 3, 2, 10, tzinfo=UTC)
    list(client.insights.list(date_from=since, date_to="-1d"))
    assert small.asked[-1].params["date_from"] == "2026-03-02T10:00:00Z"
    assert small.asked[-1].params["date_to"] == "-1d"
    with pytest.raises(ValueError, match="time zone"):
        client.insights.list(date_from=since.replace(tzinfo=None))


def test_a_short_id_is_looked_up_once(start: Start) -> None:
    small, client = start()
    add(small, 31)
    assert client.insights.get("short031").id == 31
    assert client.insights.get("short031").id == 31
    assert client.insights.get("31").id == 31
    assert [a.path for a in small.asked] == ["/insights/"] + ["/insights/31/"] * 3
    with pytest.raises(errors.NotFound, match="nothere"):
        client.insights.get("nothere")


def test_an_insight_gives_its_frame_and_unknown_fields_are_kept(start: Start) -> None:
    small, client = start()
    add(small, 1, brand_new="x")
    small.results[1] = {"result": RESULT}
    found = client.insights.get(1, refresh="blocking")
    assert (found.kind, found.state, found.title) == ("trends", "ready", "An insight")
    assert found.to_frame()["value"].tolist() == per_day("view")
    assert found.tidy_rows().rows[0]["computed_at"] == found.last_refresh
    assert found.model_extra == {"brand_new": "x"}
    assert small.asked[-1].params == {"refresh": "blocking"}


def test_a_refresh_mode_that_posthog_would_ignore_is_refused(start: Start) -> None:
    small, client = start()
    with pytest.raises(ValueError, match="force_cache"):
        client.insights.get(1, refresh="true")
    assert small.asked == []


def test_a_null_result_is_never_passed_off_as_an_empty_one(start: Start) -> None:
    small, client = start()
    add(small, 1)
    assert client.insights.get(1).state == "not_cached"
    with pytest.raises(errors.NoResult) as raised:
        client.insights.get(1).to_frame()
    assert raised.value.state == "not_cached"
    with pytest.raises(errors.NoResult, match="refresh='async'") as raised:
        client.insights.result(1, refresh="force_cache")
    assert raised.value.state == "not_cached"
    small.results[1] = {"result": []}
    assert client.insights.result(1, refresh="force_cache").to_frame().empty


def test_a_calculation_is_waited_for_and_the_insight_read_again(start: Start) -> None:
    small, client = start()
    add(small, 1)

    def answer(refresh: str) -> dict[str, Any]:
        if refresh == "async":
            return {"result": None, "query_status": job("q1", small)}
        return {"result": RESULT, "query_status": None}

    small.results[1] = answer
    small.jobs["q1"] = [(202, RUNNING), (202, RUNNING), (200, DONE)]
    found = client.insights.result(1, poll=0.01)
    assert found.to_frame()["value"].tolist() == per_day("view")
    assert small.count("GET", "/query/q1/") == 3
    assert small.asked[-1].params == {"refresh": "force_cache"}
    assert small.cancelled == []


def test_a_stale_result_is_not_taken_for_the_new_one(start: Start) -> None:
    small, client = start()
    add(small, 1)
    stale = [series([0] * 7)]

    def answer(refresh: str) -> dict[str, Any]:
        if refresh == "async":
            return {"result": stale, "query_status": job("q1", small)}
        return {"result": RESULT, "query_status": None}

    small.results[1] = answer
    small.jobs["q1"] = [(200, DONE)]
    assert client.insights.result(1, poll=0.01).result == RESULT
    small.results[1] = {"result": stale, "query_status": job("q1", small)}
    assert client.insights.result(1, refresh="force_cache").result == stale


def test_a_result_that_the_cache_lost_is_taken_from_the_calculation(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: {
        "result": None,
        "query_status": job("q1", small) if refresh == "async" else None,
    }
    finished = "2026-03-09T10:00:00Z"
    results = {"results": RESULT, "hasMore": False, "timezone": "UTC", "last_refresh": finished}
    small.jobs["q1"] = [(200, DONE | {"results": results})]
    found = client.insights.result(1, poll=0.01)
    assert found.result == RESULT
    assert found.has_more is False
    assert found.last_refresh == datetime(2026, 3, 9, 10, tzinfo=UTC)


def test_a_calculation_that_posthog_has_forgotten_may_be_in_the_cache(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: (
        {"result": None, "query_status": job("gone", small)}
        if refresh == "async"
        else {"result": RESULT}
    )
    assert client.insights.result(1, poll=0.01).result == RESULT


@pytest.mark.parametrize("status", [400, 202])
def test_a_failed_calculation_says_why(start: Start, status: int) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: {
        "result": None,
        "query_status": job("q1", small) if refresh == "async" else None,
    }
    failed = {"complete": False, "error": True, "error_message": "Unable to resolve field: nope"}
    small.jobs["q1"] = [(202, RUNNING), (status, failed)]
    kind = errors.InvalidRequest if status == 400 else errors.NoResult
    with pytest.raises(kind, match="Unable to resolve field: nope"):
        client.insights.result(1, poll=0.01)
    assert small.cancelled == []


def test_a_query_that_is_wrong_says_so_in_the_blocking_modes_too(start: Start) -> None:
    small, client = start()
    add(small, 1)
    said = "Unable to resolve field: nope"
    small.results[1] = (400, envelope("validation_error", "invalid_input", said))
    with pytest.raises(errors.InvalidRequest, match="nope"):
        client.insights.result(1, refresh="blocking")
    small.results[1] = (512, envelope("server_error", "error", "Estimated query time too long"))
    with pytest.raises(errors.QueryTooLarge):
        client.insights.result(1, refresh="blocking")


BROKEN = (500, envelope("server_error", "error", "A server error occurred."))


def test_an_insight_that_is_broken_for_good_says_why(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: (
        {"result": None, "query_status": job("q1", small)} if refresh == "async" else BROKEN
    )
    why = "Property operator not implemented"
    small.jobs["q1"] = [(202, DONE | {"error": True, "error_message": why})]
    with pytest.raises(errors.NoResult, match=why) as raised:
        client.insights.result(1, refresh="blocking")
    assert raised.value.permanent
    assert small.count("GET", "/insights/") == 4


def test_an_insight_whose_reason_is_not_told_keeps_the_error_it_had(start: Start) -> None:
    small, client = start()
    add(small, 1)
    for answer in (BROKEN, {"result": None, "query_status": job("q1", small)}):
        small.results[1] = lambda refresh, answer=answer: answer if refresh == "async" else BROKEN
        said = "API key missing required scope 'query:read'"
        small.fail("GET", "/query/", 403, envelope("authentication_error", "permission", said))
        with pytest.raises(errors.ServerError, match="A server error occurred"):
            client.insights.result(1, refresh="blocking")


def test_an_insight_that_only_the_background_can_compute_is_read(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: BROKEN if refresh == "blocking" else {"result": RESULT}
    assert client.insights.result(1, refresh="blocking").result == RESULT


def test_errors_embedded_in_an_insight_are_told_apart(start: Start) -> None:
    small, client = start()
    add(small, 1)
    status = {"error": True, "error_message": "concurrency_limit_exceeded", "complete": False}
    small.results[1] = {"result": None, "query_status": status}
    with pytest.raises(errors.Throttled):
        client.insights.result(1, refresh="blocking")
    small.results[1] = {"result": None, "query_status": status | {"error_message": "boom"}}
    with pytest.raises(errors.NoResult, match="boom") as raised:
        client.insights.result(1, refresh="blocking")
    assert raised.value.state == "failed"
    assert client.insights.get(1).state == "failed"


def test_giving_up_cancels_the_calculation_that_was_started_here(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: {"result": None, "query_status": job("q1", small)}
    small.jobs["q1"] = [(202, RUNNING)]
    with pytest.raises(errors.NoResult, match="cancelled") as raised:
        client.insights.result(1, timeout=0.1, poll=0.01)
    assert raised.value.state == "computing"
    assert not raised.value.permanent
    assert small.cancelled == ["q1"]
    with pytest.raises(errors.NoResult):
        client.insights.result(1, timeout=0.1, cancel=False, poll=0.01)
    assert small.cancelled == ["q1"]


def test_a_calculation_of_somebody_else_is_not_cancelled(start: Start) -> None:
    small, client = start()
    add(small, 1)
    before = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    status = job("q1", small, start_time=before)
    small.results[1] = lambda refresh: {"result": None, "query_status": status}
    small.jobs["q1"] = [(202, RUNNING)]
    with pytest.raises(errors.NoResult):
        client.insights.result(1, timeout=0.1, poll=0.01)
    assert small.cancelled == []


def test_an_interruption_cancels_too_and_a_refused_cancel_hides_nothing(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: {"result": None, "query_status": job("q1", small)}
    small.jobs["q1"] = [(202, RUNNING)]
    for refused in (False, True):
        if refused:
            small.fail("DELETE", "/query/", 403, envelope("x", "permission_denied", "no"))
        threading.Timer(0.2, interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            client.insights.result(1, poll=0.01)
        assert small.cancelled == ["q1"]
    assert small.count("DELETE") == 2


def test_polling_needs_a_scope_of_its_own_and_says_which(start: Start) -> None:
    small, client = start()
    add(small, 1)
    small.results[1] = lambda refresh: {"result": None, "query_status": job("q1", small)}
    said = "API key missing required scope 'query:read'"
    small.fail("GET", "/query/", 403, envelope("authentication_error", "permission_denied", said))
    with pytest.raises(errors.MissingScope) as raised:
        client.insights.result(1, poll=0.01)
    assert raised.value.scope == "query:read"
