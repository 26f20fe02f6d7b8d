"""Logs over real HTTP: every row of a window once, as models and as Arrow batches."""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from scripted_server import Asked, Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sandbox import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEVELS = ["DEBUG", "INFO", "WARN", "ERROR"]
Read = Callable[..., list[tuple[str, datetime, str, str]]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    now = NOON + timedelta(days=1)
    with Sandbox("docs", populate=False, limits=False, now=now, shuffle_ties=True) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[PostHogClient]:
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        yield client


@pytest.fixture(params=["logs", "log_batches"])
def read(request: pytest.FixtureRequest, client: PostHogClient) -> Read:
    """Rows as (run, time, level, message), by one way or the other."""

    def models(id: str, **window: Any) -> list[tuple[str, datetime, str, str]]:
        return [
            (row.instance_id, row.timestamp, row.level, row.message)
            for row in client.workflows.logs(id, **window)
        ]

    def batches(id: str, **window: Any) -> list[tuple[str, datetime, str, str]]:
        names = ("instance_id", "timestamp", "level", "message")
        return [
            tuple(row[name] for name in names)
            for batch in client.workflows.log_batches(id, **window)
            for row in batch.to_pylist()
        ]

    return models if request.param == "logs" else batches


def fill(sandbox: Sandbox, ties: list[int], *, levels: list[str] = LEVELS) -> str:
    """A workflow whose log has so many rows at one millisecond, and at the next, and so on."""
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_logs(
        workflow,
        [
            {
                "instance_id": str(uuid.UUID(int=n * 10_000 + m)),
                "timestamp": NOON + timedelta(milliseconds=n),
                "level": levels[m % len(levels)],
                "message": f"row {n}/{m}",
            }
            for n, size in enumerate(ties)
            for m in range(size)
        ],
    )
    return workflow


@pytest.mark.parametrize("tie", [1, 50, 400, 499, 500, 501, 900])
def test_ties_at_one_millisecond_come_out_once(sandbox: Sandbox, read: Read, tie: int) -> None:
    workflow = fill(sandbox, [3, tie, 7])
    rows = read(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert Counter(row[3] for row in rows) == Counter(
        [f"row 0/{m}" for m in range(3)]
        + [f"row 1/{m}" for m in range(tie)]
        + [f"row 2/{m}" for m in range(7)]
    )
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


@pytest.mark.parametrize(("most", "factor"), [(10, 1.05), (400, 1.5)])
def test_the_requests_stay_near_the_rows_divided_by_500(
    sandbox: Sandbox, client: PostHogClient, most: int, factor: float
) -> None:
    draw = random.Random(most)
    ties: list[int] = []
    while sum(ties) < 12_000:
        ties.append(draw.randint(1, most))
    workflow = fill(sandbox, ties)
    batches = client.workflows.log_batches(workflow, after=NOON - HOUR, before=NOON + HOUR)
    rows = sum(batch.num_rows for batch in batches)
    assert rows == sum(ties)
    assert client.requests_made <= factor * rows / 500 + 2


def test_an_empty_window_costs_one_request_and_yields_nothing(
    sandbox: Sandbox, read: Read, client: PostHogClient
) -> None:
    workflow = fill(sandbox, [5])
    assert read(workflow, after=NOON + HOUR, before=NOON + 2 * HOUR) == []
    assert client.requests_made == 1


def test_nothing_is_asked_before_the_first_row_is_wanted(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    workflow = fill(sandbox, [2] * 2_000)
    rows = client.workflows.logs(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert client.requests_made == 0
    next(rows)
    assert client.requests_made == 1


def test_the_window_is_half_open_to_the_microsecond(sandbox: Sandbox, read: Read) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    us = timedelta(microseconds=1)
    sandbox.world.add_logs(
        workflow,
        [
            {"instance_id": str(n), "timestamp": at, "message": str(n)}
            for n, at in enumerate([NOON - us, NOON, NOON + us, NOON + HOUR - us, NOON + HOUR])
        ],
    )
    rows = read(workflow, after=NOON, before=NOON + HOUR)
    assert [row[3] for row in rows] == ["3", "2", "1"]
    again = read(workflow, after=NOON, before=NOON + us)
    assert [row[3] for row in again] == ["1"]


def test_bounds_may_be_in_any_time_zone(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [4])
    zone = timezone(timedelta(hours=5, minutes=30))
    rows = read(workflow, after=NOON.astimezone(zone), before=(NOON + HOUR).astimezone(zone))
    assert len(rows) == 4
    assert {row[1].utcoffset() for row in rows} == {timedelta(0)}


def test_bounds_may_lie_at_the_ends_of_the_calendar(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [4])
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
    last = datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))
    assert len(read(workflow, after=first, before=last)) == 4


@pytest.mark.parametrize(
    ("after", "before", "says"),
    [
        (NOON.replace(tzinfo=None), NOON + HOUR, "after=2026-11-20T12:00:00 has no time zone"),
        (NOON, (NOON + HOUR).replace(tzinfo=None), "before=2026-11-20T13:00:00 has no time zone"),
        (NOON, NOON, "not earlier than"),
        (NOON + HOUR, NOON, "not earlier than"),
        (datetime.min.replace(tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC), "before 1970"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused_at_once(
    client: PostHogClient, after: datetime, before: datetime, says: str
) -> None:
    for method in (client.workflows.logs, client.workflows.log_batches):
        with pytest.raises(ValueError, match=says):
            method("w1", after=after, before=before)
    with pytest.raises(TypeError, match="give a datetime"):
        client.workflows.logs("w1", after="-7d", before=before)  # type: ignore[arg-type]
    assert client.requests_made == 0


def test_rows_can_be_chosen_by_level_text_and_run(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [8])
    window = {"after": NOON - HOUR, "before": NOON + HOUR}
    assert {row[2] for row in read(workflow, level="warn, error", **window)} == {"WARN", "ERROR"}
    assert len(read(workflow, level=["DEBUG"], **window)) == 2
    assert [row[3] for row in read(workflow, search="ROW 0/5", **window)] == ["row 0/5"]
    run = str(uuid.UUID(int=3))
    assert [row[3] for row in read(workflow, instance_id=run, **window)] == ["row 0/3"]
    assert read(workflow, level="ERROR", search="nothing", **window) == []


def test_a_level_that_is_given_twice_is_asked_for_once() -> None:
    with (
        scripted(Reply(body={"count": 0, "results": []})) as server,
        PostHogClient(server.url, "k", 1) as client,
    ):
        list(client.workflows.logs("w1", after=NOON, before=NOON + HOUR, level="info, INFO,Warn"))
    assert "level=INFO%2CWARN&" in f"{server.asked[0].path}&"


def test_a_full_instant_of_chosen_levels_is_split_among_those(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [1_800])
    rows = read(workflow, level="INFO,ERROR", after=NOON - HOUR, before=NOON + HOUR)
    assert Counter(row[2] for row in rows) == {"INFO": 450, "ERROR": 450}


def test_more_rows_of_one_level_than_can_be_handed_out_raise(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [2, 600, 2], levels=["INFO"])
    with pytest.raises(errors.WindowTooDense) as caught:
        read(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert caught.value.start == NOON + timedelta(milliseconds=1)
    assert caught.value.end == caught.value.start + timedelta(microseconds=1)
    assert caught.value.rows == 500
    assert "INFO" in str(caught.value)
    assert workflow in str(caught.value)


def test_a_level_nobody_knows_is_found_when_it_shows(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [600], levels=["INFO", "AUDIT"])
    rows = read(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert Counter(row[2] for row in rows) == {"INFO": 300, "AUDIT": 300}


def test_rows_with_a_level_that_cannot_be_asked_for_raise(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [600], levels=["INFO", "A,B"])
    with pytest.raises(errors.WindowTooDense, match="cannot be asked for"):
        read(workflow, after=NOON - HOUR, before=NOON + HOUR)


def test_a_row_that_is_shown_twice_comes_once(sandbox: Sandbox, read: Read) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    rows = [
        {
            "instance_id": str(n),
            "timestamp": NOON + timedelta(milliseconds=n // 3),
            "message": "m",
            "unmerged": True,
        }
        for n in [*range(30), *range(0, 30, 2)]
    ]
    sandbox.world.add_logs(workflow, rows)
    read_rows = read(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert sorted(int(row[0]) for row in read_rows) == list(range(30))


def test_two_lines_of_one_run_at_one_instant_are_both_kept(sandbox: Sandbox, read: Read) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    rows = [
        {"instance_id": "run", "timestamp": NOON, "message": text, "unmerged": True}
        for text in ("one", "two", "one")
    ]
    sandbox.world.add_logs(workflow, rows)
    read_rows = read(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert sorted(row[3] for row in read_rows) == ["one", "two"]


def test_rows_that_arrive_while_reading_hide_none(sandbox: Sandbox, read: Read) -> None:
    workflow = fill(sandbox, [3] * 600)
    late = [
        {
            "instance_id": f"late {n}",
            "timestamp": NOON + timedelta(milliseconds=n),
            "message": "late",
            "visible_at": sandbox.clock.now() + timedelta(milliseconds=n // 4),
        }
        for n in range(600)
    ]
    sandbox.world.add_logs(workflow, late)
    rows = read(workflow, after=NOON - HOUR, before=NOON + HOUR)
    assert len(rows) == len(set(rows))
    assert len([row for row in rows if row[3] != "late"]) == 1_800


def test_models_keep_fields_that_posthog_adds() -> None:
    row = {
        "log_source_id": "w1",
        "instance_id": "r1",
        "timestamp": "2026-11-20T12:00:00Z",
        "level": "INFO",
        "message": "half a pair \ud83d",
        "source": "hog_flow",
    }
    with (
        scripted(Reply(200, {"count": 1, "next": None, "results": [row]})) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        (entry,) = client.workflows.logs("w1", after=NOON, before=NOON + HOUR, search="x")
        assert entry.model_extra == {"source": "hog_flow"}
        assert entry.timestamp == NOON
        (batch,) = client.workflows.log_batches("w1", after=NOON, before=NOON + HOUR)
        assert batch.num_rows == 1
        assert batch.column("message")[0].as_py() == "half a pair ?"


def test_batches_have_a_declared_schema_and_reasonable_size(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    workflow = fill(sandbox, [2] * 6_000)
    batches = list(client.workflows.log_batches(workflow, after=NOON, before=NOON + HOUR))
    assert [batch.num_rows >= 5_000 for batch in batches] == [True, True, False]
    for batch in batches:
        assert batch.schema.names == [
            "log_source_id",
            "instance_id",
            "timestamp",
            "level",
            "message",
        ]
        assert batch.schema.field("timestamp").type == pa.timestamp("us", "UTC")
        batch.validate(full=True)


@pytest.mark.parametrize(
    ("results", "says"),
    [
        (["12:00:00Z", "12:00:01Z"], "order"),
        (["12:00:03Z", "12:00:00Z", "12:00:01Z", "12:00:00Z"], "order"),
        (["14:00:00Z"], "outside the window"),
        (["noon"], "timestamp"),
    ],
)
def test_answers_the_walk_cannot_trust_are_refused(results: list[str], says: str) -> None:
    rows = [
        {
            "log_source_id": "w1",
            "instance_id": str(n),
            "timestamp": f"2026-11-20T{at}",
            "level": "INFO",
            "message": "",
        }
        for n, at in enumerate(results)
    ]

    def answer(asked: Asked) -> Reply:
        return Reply(200, {"count": len(rows), "next": None, "results": rows})

    with (
        scripted(answer) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        for method in (client.workflows.logs, client.workflows.log_batches):
            with pytest.raises(errors.MalformedResponse, match=says):
                list(method("w1", after=NOON, before=NOON + HOUR))


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"results": [{"log_source_id": "w', {"results": None}, {}, [], None]
)
def test_answers_that_are_no_logs_are_refused(body: Any) -> None:
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        for method in (client.workflows.logs, client.workflows.log_batches):
            with pytest.raises(errors.MalformedResponse):
                list(method("w1", after=NOON, before=NOON + HOUR))


def test_an_unknown_workflow_is_named(client: PostHogClient) -> None:
    missing = "01900000-0000-0000-0000-000000000000"
    with pytest.raises(errors.NotFound, match=missing):
        list(client.workflows.logs(missing, after=NOON, before=NOON + HOUR))
