"""Reading the metrics of a workflow or a hog function, exact in UTC hours in any time zone.

Facts: PostHog's app_metrics2 mixin and a running server: windows and labels shift with the
project's time zone, differently from build to build; hourly labels of a window widened by more
than a day on both sides are UTC hours in every build.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._pagination.windows import check_window, written
from hog_dagster.posthog._responses import Response
from hog_dagster.posthog._services.base import Service, malformed, read, shaped
from hog_dagster.posthog._services.fields import joined
from hog_dagster.posthog.models.telemetry import MetricPoint, Metrics, MetricTotals

Breakdown = Literal["name", "kind"]
Interval = Literal["hour", "day", "week"]

#: More than the widest offset of a time zone, twice, and a clock change.
MARGIN = timedelta(hours=30)
#: Hours asked for at once; PostHog keeps 90 days.
LONGEST = timedelta(days=92)
_HOUR = timedelta(hours=1)


class SourceMetrics(Service):
    """The ``metrics`` methods, the same for workflows and hog functions."""

    _METRICS: Endpoint
    _METRIC_TOTALS: Endpoint

    def hourly_metrics(
        self,
        id: str,
        *,
        start: datetime,
        end: datetime,
        breakdown_by: Breakdown = "name",
        instance_id: str | None = None,
    ) -> list[MetricPoint]:
        """What was counted in each UTC hour of a window, exact whatever the project's time zone.

        GET .../{id}/metrics/ (scope: the object's ``:read``), one request per 92 days. Hours with
        nothing counted are left out. Runs and steps share names (``succeeded``, ``failed``) and
        are added up unless ``instance_id`` names a step. Kept for 90 days; batch runs are mostly
        counted elsewhere; the last minutes may still grow.

        Args:
            id: the workflow or hog function.
            start: first hour, inclusive: a whole hour, with a time zone.
            end: last hour, exclusive: a whole hour, with a time zone.
            breakdown_by: ``name`` (succeeded, email_sent, ...) or ``kind`` (success, email, ...).
            instance_id: only this step (an action id; metrics have no run ids).

        Returns:
            Points ordered by hour and name.

        Raises:
            ValueError: a bound is no whole hour or has no time zone, or the window is empty.
            PostHogError: one of its kinds.
        """
        first, last = check_window(start, end)
        for name, bound in (("start", first), ("end", last)):
            if bound != bound.replace(minute=0, second=0, microsecond=0):
                raise ValueError(
                    f"{name}={bound.isoformat()} is not a whole hour in UTC: metrics are counted "
                    "by the hour"
                )
        points: list[MetricPoint] = []
        while first < last:
            until = min(last, first + LONGEST)
            response = self._send(
                self._METRICS,
                {"id": id},
                params={
                    "after": written("after", first - MARGIN),
                    "before": written("before", until + MARGIN),
                    "interval": "hour",
                    "breakdown_by": breakdown_by,
                    "instance_id": instance_id,
                },
            )
            points.extend(_points(response, first, until))
            first = until
        return sorted(points)

    def metrics(
        self,
        id: str,
        *,
        after: datetime | str | None = None,
        before: datetime | str | None = None,
        interval: Interval | None = None,
        breakdown_by: Breakdown | None = None,
        name: str | Iterable[str] | None = None,
        kind: str | Iterable[str] | None = None,
        instance_id: str | None = None,
    ) -> Metrics:
        """Metrics as PostHog's own charts get them: GET .../{id}/metrics/ (scope ``:read``).

        Bounds and labels shift with the project's time zone; for exact numbers use
        :meth:`hourly_metrics`. What PostHog cannot read as a time it takes as now.

        Args:
            id: the workflow or hog function.
            after: a datetime with a zone, or PostHog's relative form such as ``-7d`` (default).
            before: the same; default now.
            interval: hour, day (default) or week.
            breakdown_by: kind (default) or name.
            name: only these names.
            kind: only these kinds.
            instance_id: only this step (an action id).
        """
        return self._one(
            Metrics,
            self._METRICS,
            {"id": id},
            params=_chosen(
                after, before, name, kind, instance_id, interval=interval, breakdown_by=breakdown_by
            ),
        )

    def metric_totals(
        self,
        id: str,
        *,
        after: datetime | str | None = None,
        before: datetime | str | None = None,
        breakdown_by: Breakdown | None = None,
        name: str | Iterable[str] | None = None,
        kind: str | Iterable[str] | None = None,
        instance_id: str | None = None,
    ) -> MetricTotals:
        """Totals over a window: GET .../{id}/metrics/totals/ (scope ``:read``).

        Arguments as for :meth:`metrics`, and its warnings. Default: the last 7 days.
        """
        return self._one(
            MetricTotals,
            self._METRIC_TOTALS,
            {"id": id},
            params=_chosen(after, before, name, kind, instance_id, breakdown_by=breakdown_by),
        )


def _chosen(
    after: datetime | str | None,
    before: datetime | str | None,
    name: str | Iterable[str] | None,
    kind: str | Iterable[str] | None,
    instance_id: str | None,
    **how: str | None,
) -> dict[str, str | None]:
    window = {"after": written("after", after), "before": written("before", before)}
    which = {"name": joined(name), "kind": joined(kind), "instance_id": instance_id}
    return {**window, **how, **which}


def _points(response: Response, first: datetime, last: datetime) -> Iterator[MetricPoint]:
    """Non-zero points of the hours in [first, last)."""
    metrics: Metrics = shaped(response, Metrics, read(response))
    places: dict[datetime, int] = {}
    for place, label in enumerate(metrics.labels):
        try:
            hour = datetime.fromisoformat(label)
        except ValueError:
            raise malformed(response, f"the label {label!r} is no hour") from None
        # A label that comes twice, where a clock is set back, stands for the same UTC hour.
        places[hour.replace(tzinfo=UTC)] = place
    hours = [first + n * _HOUR for n in range((last - first) // _HOUR)]
    missing = [hour for hour in hours if hour not in places]
    if missing:
        raise malformed(response, f"it has no label for {missing[0].isoformat()}")
    for series in metrics.series:
        if len(series.values) != len(metrics.labels):
            raise malformed(response, f"series {series.name} has not one value per label")
        for hour in hours:
            value = series.values[places[hour]]
            if value:
                yield MetricPoint(hour, series.name, value)
