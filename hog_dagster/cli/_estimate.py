"""What a backfill asks of PostHog, before it starts: requests by table, and the least time.

Facts: PostHog's SQL answers 50,000 rows a request; by REST a page of logs has 500 lines, and
metrics take one request per workflow and step for up to 31 days.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from hog_dagster.assets._hogql import APP_METRICS, INVOCATION_RESULTS, LOG_ENTRIES
from hog_dagster.assets.families import Family, HogFunctionFamily, Source, WorkflowFamily
from hog_dagster.assets.landing import server_now
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.hogql import MOST_ROWS, instant, quoted

__all__ = ["Estimate", "estimate"]

_PAGE = 500
_SQL = {"logs": LOG_ENTRIES, "metrics": APP_METRICS, "runs": INVOCATION_RESULTS}


@dataclass(frozen=True)
class Estimate:
    """What a backfill asks of PostHog: requests by table, and the time they take at least.

    `seconds` is the time in which the key's limits let that many requests through, when nobody else
    uses the key.
    """

    requests: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


def estimate(
    client: PostHogClient, tables: Sequence[str], stretches: Sequence[tuple[date, date]]
) -> Estimate:
    """Estimate a backfill before it starts. Costs one request per list and one per source of logs.

    Where the key may use PostHog's SQL, rows are counted by it: a request per 50,000 rows, and four
    for each stretch. Elsewhere metrics are exact (one request per workflow and step, and per hog
    function, for each stretch), and logs are guessed from how fast the newest lines came; runs from
    the same rate.

    Args:
        client: an open client.
        tables: the tables to fill.
        stretches: (first day, last day) of each run.
    """
    requests: dict[str, int] = {}
    for family, prefix in ((WorkflowFamily(), "workflow"), (HogFunctionFamily(), "hog_function")):
        wanted = [name for name in tables if name.startswith(f"{prefix}_")]
        if not wanted:
            continue
        counted = {name: _by_hogql(client, family, name, stretches) for name in wanted}
        requests |= {name: number for name, number in counted.items() if number is not None}
        wanted = [name for name, number in counted.items() if number is None]
        if not wanted:
            continue
        sources = family.sources(client)
        by_time = _pages(client, family, sources, stretches) if _by_time(wanted) else 0
        steps = sum(1 + len(source.steps) for source in sources)
        for name in wanted:
            requests[name] = steps * len(stretches) if name.endswith("_metrics") else by_time
    total = sum(requests.values())
    return Estimate(requests, _least_seconds(client, total))


def _by_hogql(
    client: PostHogClient, family: Family, table: str, stretches: Sequence[tuple[date, date]]
) -> int | None:
    """How many requests it takes by PostHog's SQL; None where that shows no rows."""
    source = _SQL[table.rpartition("_")[2]]
    start = datetime.combine(stretches[0][0], time.min, UTC)
    end = datetime.combine(stretches[-1][1], time.min, UTC) + timedelta(days=1)
    rows = 0
    for name in source.names:
        sql = (
            f"SELECT {source.counted} AS n FROM {name} WHERE {source.kind} = "  # noqa: S608
            f"{quoted(family.kind)} AND {source.time} >= {instant(start)} "
            f"AND {source.time} < {instant(end)}"
        )
        try:
            rows = int(client.query.rows(sql, name="hog_dagster backfill")[0]["n"] or 0)
            break
        except (errors.AuthenticationError, errors.TransportError):
            raise
        except (errors.PostHogError, KeyError, IndexError):
            continue
    return 4 * len(stretches) + math.ceil(rows / MOST_ROWS) if rows else None


def _by_time(tables: Sequence[str]) -> bool:
    return any(not name.endswith("_metrics") for name in tables)


def _pages(
    client: PostHogClient,
    family: Family,
    sources: Sequence[Source],
    stretches: Sequence[tuple[date, date]],
) -> int:
    """How many pages of log lines there may be; none where the server serves none to keys."""
    days = sum((last - first).days + 1 for first, last in stretches)
    pages = 0
    for source in sources:
        try:
            rate = _lines_a_day(client, family, source.id)
        except errors.NotOpenToKeys:
            return 0
        pages += math.ceil(rate * days / _PAGE) + len(stretches)
    return pages


def _lines_a_day(client: PostHogClient, family: Family, source_id: str) -> float:
    now = server_now(client)
    lines = family.service(client).logs(source_id, after=now - timedelta(days=90), before=now)
    page = list(islice(lines, _PAGE // 2))  # the walk is lazy: this costs one request
    if len(page) < 2:
        return float(len(page))
    span = (page[0].timestamp - page[-1].timestamp).total_seconds()
    return len(page) / max(span, 60.0) * 86_400


def _least_seconds(client: PostHogClient, requests: int) -> float:
    """A window lets `free` requests through at once and `allowed` more each time it has passed."""
    waits = [0.0]
    for usage in client.server.usage():
        if usage.bucket == "default" and requests > usage.free:
            waits.append(math.ceil((requests - usage.free) / usage.allowed) * usage.seconds)
    return max(waits)
