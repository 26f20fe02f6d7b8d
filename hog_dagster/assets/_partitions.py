"""Which tables are partitioned by time, how long PostHog keeps rows, and their windows."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg

from hog_dagster.warehouse import Window

#: PostHog keeps logs and metrics for 90 days, results of runs and sent messages for 30, and events
#: for as many years as the plan says, seven at most.
RETENTION_DAYS = {
    "workflow_logs": 90,
    "workflow_metrics": 90,
    "workflow_runs": 30,
    "hog_function_logs": 90,
    "hog_function_metrics": 90,
    "hog_function_runs": 30,
    "sent_messages": 30,
    "message_events": 7 * 365,
}
#: Of these, what is loaded with `messaging:` alone; events are matched with loaded messages.
MESSAGE_TABLES = ("sent_messages", "message_events")
PARTITIONED_TABLES = tuple(RETENTION_DAYS)


def steps_of(keys: Sequence[str], days: int) -> list[tuple[str, str]]:
    """Keys of daily (`2026-01-31`) or hourly (`2026-01-31-05:00`) partitions, oldest first, as
    (first, last) of stretches of neighbours, each at most `days` long."""
    steps: list[tuple[str, str]] = []
    for key in keys:
        if steps:
            first, last = steps[-1]
            near = _moment(key) - _moment(last) <= _spacing(key)
            if near and _moment(key) - _moment(first) < timedelta(days=days):
                steps[-1] = (first, key)
                continue
        steps.append((key, key))
    return steps


def _moment(key: str) -> datetime:
    return datetime.strptime(key, "%Y-%m-%d" if len(key) == 10 else "%Y-%m-%d-%H:%M")  # noqa: DTZ007


def _spacing(key: str) -> timedelta:
    return timedelta(days=1) if len(key) == 10 else timedelta(hours=1)


def partition_windows(context: dg.AssetExecutionContext) -> dict[str, Window]:
    """The run's partitions and their windows, oldest first.

    Raises:
        dagster.DagsterInvariantViolationError: the asset is not partitioned by time windows.
    """
    partitions = partitions_of(context)
    windows: dict[str, Window] = {}
    for key in context.partition_keys:
        window = partitions.time_window_for_partition_key(key)
        windows[key] = Window(window.start, window.end)
    return dict(sorted(windows.items(), key=lambda item: item[1]))


def partitions_of(context: dg.AssetExecutionContext) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of the run's asset.

    Raises:
        dagster.DagsterInvariantViolationError: the asset is not partitioned by time windows.
    """
    partitions = context.assets_def.partitions_def
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        raise dg.DagsterInvariantViolationError("these assets need time-window partitions")
    return partitions


def earlier_windows(
    partitions: dg.TimeWindowPartitionsDefinition, windows: Mapping[str, Window], count: int
) -> dict[str, Window]:
    """The partitions just before the given ones, `count` before each, those given left out."""
    found: dict[str, Window] = {}
    for window in windows.values():
        start = window.start
        for _ in range(count):
            before = partitions.get_prev_partition_window(start)
            if before is None:
                break
            (key,) = partitions.get_partition_keys_in_time_window(before)
            if key not in windows:
                found[key] = Window(before.start, before.end)
            start = before.start
    return found


def stretches_of(
    windows: Mapping[str, Window], *, longest: timedelta = timedelta(days=31)
) -> list[tuple[Window, dict[str, Window]]]:
    """Partitions as stretches of neighbours, oldest first, each read and loaded in one go.

    One walk over fourteen days costs far fewer requests than fourteen walks; each stretch is still
    replaced in one transaction, so readers see old partitions or new ones.
    """
    stretches: list[tuple[Window, dict[str, Window]]] = []
    for key, window in windows.items():
        if stretches:
            stretch, members = stretches[-1]
            if stretch.end == window.start and window.end - stretch.start <= longest:
                members[key] = window
                stretches[-1] = (Window(stretch.start, window.end), members)
                continue
        stretches.append((window, {key: window}))
    return stretches


def partitions_at(
    cut: dg.TimeWindowPartitionsDefinition, times: Collection[datetime]
) -> dict[str, Window]:
    """The partitions that some moments lie in."""
    found: dict[str, Window] = {}
    for hour in sorted({moment.replace(minute=0, second=0, microsecond=0) for moment in times}):
        key = cut.get_partition_key_for_timestamp(hour.timestamp())
        if key not in found and cut.has_partition_key(key):
            window = cut.time_window_for_partition_key(key)
            found[key] = Window(window.start, window.end)
    return found
