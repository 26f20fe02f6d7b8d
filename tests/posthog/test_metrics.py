"""Metrics: UTC hours are exact in any time zone, on either server, on days clocks change too."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

import pytest
from scripted_server import Reply, scripted

from hog_dagster.posthog import PostHogClient, errors, models
from hog_dagster.sandbox import Sandbox

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NAIVE = datetime(2026, 11, 1, tzinfo=UTC).replace(tzinfo=None)
ZONES = [
    # a zone, and a day on which its clocks change
    ("UTC", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Pacific/Auckland", datetime(2026, 9, 26, tzinfo=UTC)),
    ("Pacific/Auckland", datetime(2026, 4, 4, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
]
Generation = Literal["docs", "current"]


@contextmanager
def counting(
    zone: str, day: datetime, generation: Generation = "docs"
) -> Iterator[tuple[PostHogClient, str, Counter[tuple[datetime, str]]]]:
    """A workflow with known counts, one or none per hour and name, for days around ``day``."""
    draw = random.Random(f"{zone}{day}")
    with (
        Sandbox(
            generation, populate=False, limits=False, now=day + 5 * DAY, timezone=zone
        ) as sandbox,
        PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client,
    ):
        workflow = sandbox.world.add_workflow()["id"]
        truth: Counter[tuple[datetime, str]] = Counter()
        for n in range(-72, 96):
            hour = day + n * HOUR
            for name, kind in (("succeeded", "success"), ("email_sent", "email")):
                count = draw.randint(0, 9)
                if count:
                    at = hour + timedelta(seconds=draw.randint(0, 3_599))
                    sandbox.world.emit_metric(workflow, at, name, kind, count)
                    truth[hour, name] += count
        yield client, workflow, truth


def within(
    truth: Counter[tuple[datetime, str]], start: datetime, end: datetime
) -> list[models.MetricPoint]:
    return sorted(
        models.MetricPoint(hour, name, value)
        for (hour, name), value in truth.items()
        if start <= hour < end
    )


@pytest.mark.parametrize("generation", ["docs", "current"])
@pytest.mark.parametrize(("zone", "day"), ZONES)
def test_every_utc_hour_is_exact(zone: str, day: datetime, generation: Generation) -> None:
    with counting(zone, day, generation) as (client, workflow, truth):
        for start, end in (
            (day, day + DAY),
            (day - DAY, day + 2 * DAY),
            (day + HOUR, day + 2 * HOUR),
        ):
            points = client.workflows.hourly_metrics(workflow, start=start, end=end)
            assert points == within(truth, start, end)
        assert client.requests_made == 3


def test_the_plain_window_would_have_been_wrong() -> None:
    """Why the recipe is there: the same day by totals, in a zone that is not UTC."""
    day = datetime(2026, 11, 1, tzinfo=UTC)
    with counting("Pacific/Auckland", day) as (client, workflow, truth):
        totals = client.workflows.metric_totals(
            workflow, after=day, before=day + DAY - timedelta(seconds=1), breakdown_by="name"
        )
        right: Counter[str] = Counter()
        for point in within(truth, day, day + DAY):
            right[point.name] += point.value
        assert totals.totals != dict(right)


def test_the_hours_of_a_day_that_is_not_over_are_there() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    for zone in ("America/New_York", "Pacific/Auckland"):
        now = day + timedelta(hours=7, minutes=30)
        with (
            Sandbox("docs", populate=False, limits=False, now=now, timezone=zone) as sandbox,
            PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client,
        ):
            workflow = sandbox.world.add_workflow()["id"]
            for hour in range(8):
                sandbox.world.emit_metric(workflow, day + hour * HOUR, "succeeded", "success")
            points = client.workflows.hourly_metrics(workflow, start=day, end=day + DAY)
            assert [point.hour for point in points] == [day + hour * HOUR for hour in range(8)]


def test_kinds_and_steps_can_be_asked_for() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    with (
        Sandbox("docs", populate=False, limits=False, now=day + DAY) as sandbox,
        PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client,
    ):
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.emit_metric(workflow, day, "succeeded", "success", 2)
        sandbox.world.emit_metric(workflow, day, "succeeded", "success", 5, "action_1")
        ask = partial(client.workflows.hourly_metrics, workflow, start=day, end=day + HOUR)
        assert ask() == [(day, "succeeded", 7)]
        assert ask(breakdown_by="kind") == [(day, "success", 7)]
        assert ask(instance_id="action_1") == [(day, "succeeded", 5)]


def test_long_windows_are_read_in_parts() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    with (
        Sandbox("docs", populate=False, limits=False, now=now) as sandbox,
        PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client,
    ):
        workflow = sandbox.world.add_workflow()["id"]
        for days in (1, 50, 89):
            sandbox.world.emit_metric(workflow, now - days * DAY, "succeeded", "success", days)
        points = client.workflows.hourly_metrics(workflow, start=now - 200 * DAY, end=now)
        assert [(now - point.hour).days for point in points] == [89, 50, 1]
        assert client.requests_made == 3


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (NAIVE, datetime(2026, 11, 2, tzinfo=UTC), "no time zone"),
        (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), "not earlier"),
        (
            datetime(2026, 11, 1, 0, 30, tzinfo=UTC),
            datetime(2026, 11, 2, tzinfo=UTC),
            "not a whole hour",
        ),
        (
            datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 11, 2, 0, 0, 1, tzinfo=UTC),
            "not a whole hour",
        ),
    ],
)
def test_windows_that_are_no_hours_are_refused(start: datetime, end: datetime, says: str) -> None:
    with PostHogClient("https://ph.test", "phx_k", 1, limits=False) as client:
        with pytest.raises(ValueError, match=says):
            client.workflows.hourly_metrics("w1", start=start, end=end)
        assert client.requests_made == 0


def test_a_naive_bound_is_refused_where_posthog_would_guess() -> None:
    with PostHogClient("https://ph.test", "phx_k", 1, limits=False) as client:
        with pytest.raises(ValueError, match="no time zone"):
            client.workflows.metrics("w1", after=NAIVE)
        with pytest.raises(ValueError, match="no time zone"):
            client.workflows.metric_totals("w1", before=NAIVE)
        with pytest.raises(ValueError, match="no time zone"):
            client.workflows.global_metrics(after=NAIVE)


def test_metrics_and_totals_come_as_posthog_gives_them() -> None:
    with (
        scripted(
            Reply(200, {"labels": ["2026-11-20"], "series": [{"name": "a", "values": [3]}]}),
            Reply(200, {"totals": {"a": 3}}),
        ) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        metrics = client.workflows.metrics(
            "w1",
            after=datetime(2026, 11, 20, tzinfo=UTC),
            before="-1h",
            interval="day",
            name=["a", "b"],
            kind="success",
        )
        assert metrics.labels == ["2026-11-20"]
        assert metrics.series[0].values == [3]
        assert client.workflows.metric_totals("w1", breakdown_by="name").totals == {"a": 3}
        assert [asked.path.partition("?")[2] for asked in server.asked] == [
            "after=2026-11-20T00%3A00%3A00.000000Z&before=-1h&interval=day&name=a%2Cb&kind=success",
            "breakdown_by=name",
        ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"labels": ["2026-11-20T00:00"], "series": []}, "no label for 2026-11-20T01:00"),
        ({"labels": ["yesterday"], "series": []}, "is no hour"),
        ({"labels": [], "series": []}, "no label"),
        (
            {
                "labels": ["2026-11-20T00:00", "2026-11-20T01:00"],
                "series": [{"name": "a", "values": [1]}],
            },
            "one value per label",
        ),
        ({"labels": ["2026-11-20T00:00"], "series": [{"name": "a"}]}, "values"),
        ([], "cannot be used"),
    ],
)
def test_answers_that_would_give_wrong_numbers_are_refused(body: Any, says: str) -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(errors.MalformedResponse, match=says),
    ):
        client.workflows.hourly_metrics("w1", start=start, end=start + 2 * HOUR)
