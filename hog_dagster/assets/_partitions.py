"""Which tables are partitioned by time, how long PostHog keeps their rows, stretches of days."""

from collections.abc import Sequence
from datetime import datetime, timedelta

__all__ = ["MESSAGE_TABLES", "PARTITIONED_TABLES", "RETENTION_DAYS", "steps_of"]

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
    """Partition keys as (first, last) of stretches of neighbours, each at most `days` long.

    Args:
        keys: of daily (`2026-01-31`) or hourly (`2026-01-31-05:00`) partitions, oldest first.
        days: the longest stretch.
    """
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
