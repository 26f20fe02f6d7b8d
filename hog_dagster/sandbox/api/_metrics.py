"""The `metrics` and `metrics/totals` actions that workflows and hog functions share, and the counts
of all workflows.

Facts: PostHog's app_metrics2 mixin. Buckets are UTC; how a bound is read depends on the server's
age and on the project's time zone.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.parser import isoparse
from dateutil.relativedelta import relativedelta

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.world import from_micros

_UNITS = {"h": "hours", "d": "days", "w": "weeks", "m": "months", "M": "minutes", "s": "seconds"}
_RELATIVE = re.compile(r"-?([0-9]+)?([hdwmqysHDWMQY])")


def read_bound(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """A bound of a metrics window, in the project's zone. What cannot be read is silently now."""
    try:
        try:
            value = isoparse(text)
        except ValueError:
            value = datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007
    except ValueError:
        pass
    else:
        return value.replace(tzinfo=zone) if value.tzinfo is None else value.astimezone(zone)
    moment = now.astimezone(zone)
    match = _RELATIVE.search(text)
    if not match or not match[1]:
        return moment
    number = int(match[1])
    if match[2] == "q":
        return moment - relativedelta(weeks=13 * number)
    if match[2] == "y":
        return moment - relativedelta(years=number)
    unit = _UNITS.get(match[2])
    delta: dict[str, Any] = {unit: number} if unit else {}
    return moment - relativedelta(**delta)


def as_sql(bound: datetime, *, newer: bool) -> datetime:
    """The instant ClickHouse compares with.

    Newer servers convert to UTC first. Older ones print the project's wall clock, which ClickHouse
    then reads as UTC: the window is shifted by the project's offset.
    """
    whole = bound.replace(microsecond=0)
    return whole.astimezone(UTC) if newer else whole.replace(tzinfo=UTC)


def window(call: Call, default: str, *, newer: bool) -> dict[str, Any]:
    """`after`, so long ago unless asked, and `before`, open unless asked."""
    zone, text = call.site.zone, call.param("before")
    after = read_bound(call.param("after") or default, zone, call.now)
    before = as_sql(read_bound(text, zone, call.now), newer=newer) if text else None
    return {"after": as_sql(after, newer=newer), "before": before}


def answer_metrics(call: Call, source_id: str) -> Answer:
    """GET {id}/metrics/."""
    interval = _choice(call, "interval", ("hour", "day", "week"), "day")
    by_name = _choice(call, "breakdown_by", ("name", "kind"), "kind") == "name"
    zone, now, newer = call.site.zone, call.now, call.site.newer
    before = read_bound(call.param("before") or "-0d", zone, now)
    bounds = {**window(call, "-7d", newer=newer), "before": as_sql(before, newer=newer)}
    series: dict[str, dict[str, int]] = {}
    for moment, name, kind, count in _rows(call, source_id, bounds):
        label = _label(_start(from_micros(moment), interval), interval)
        values = series.setdefault(name if by_name else kind, {})
        values[label] = values.get(label, 0) + count
    labels = _labels(read_bound(call.param("after") or "-7d", zone, now), before, interval)
    names = list(series)
    if call.site.shuffle_ties:
        call.site.world.ids.random.shuffle(names)  # the server builds them from a set
    shown = [
        {"name": name, "values": [series[name].get(label, 0) for label in labels]} for name in names
    ]
    return Answer({"labels": labels, "series": shown})


def answer_totals(call: Call, source_id: str) -> Answer:
    """GET {id}/metrics/totals/: the last 7 days and no end unless asked; `interval` is ignored."""
    _choice(call, "interval", ("hour", "day", "week"), "day")
    by_name = _choice(call, "breakdown_by", ("name", "kind"), "kind") == "name"
    totals: dict[str, int] = {}
    for _, name, kind, count in _rows(call, source_id, window(call, "-7d", newer=call.site.newer)):
        label = name if by_name else kind
        totals[label] = totals.get(label, 0) + count
    return Answer({"totals": totals})


def global_metrics(call: Call) -> Answer:
    """GET hog_flows/metrics/global/: worst first.

    Steps and runs are counted together, batch runs not.
    """
    world, bounds = call.site.world, window(call, "-7d", newer=True)
    rows: list[dict[str, Any]] = []
    for source in world.metrics.sources():
        counts = {"succeeded": 0, "failed": 0}
        found = [*world.metrics.rows(source, now=call.now, names=counts, **bounds)]
        for _, name, _, count in found:
            counts[name] += count
        if found and source in world.workflows:
            rows.append({"workflow_id": source, **counts})
    rows.sort(key=lambda row: row["failed"], reverse=True)
    return Answer(rows)


def _rows(
    call: Call, source_id: str, bounds: dict[str, Any]
) -> Iterable[tuple[int, str, str, int]]:
    names, kinds = call.param("name"), call.param("kind")
    return call.site.world.metrics.rows(
        source_id,
        now=call.now,
        instance_id=call.param("instance_id"),
        names=names.split(",") if names else None,
        kinds=kinds.split(",") if kinds else None,
        **bounds,
    )


def _choice(call: Call, name: str, choices: tuple[str, ...], default: str) -> str:
    value = call.param(name)
    if value is None:
        return default
    if value not in choices:
        raise errors.invalid_choice(value, name)
    return value


def _start(moment: datetime, interval: str) -> datetime:
    start = moment.replace(minute=0, second=0, microsecond=0)
    if interval != "hour":
        start = start.replace(hour=0)
    return start - timedelta(days=start.weekday()) if interval == "week" else start


def _label(start: datetime, interval: str) -> str:
    return start.strftime("%Y-%m-%dT%H:%M" if interval == "hour" else "%Y-%m-%d")


def _labels(after: datetime, before: datetime, interval: str) -> list[str]:
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
    labels: list[str] = []
    at = _start(after, interval)
    while at <= before:
        labels.append(_label(at, interval))
        at += step[interval]
    return labels
