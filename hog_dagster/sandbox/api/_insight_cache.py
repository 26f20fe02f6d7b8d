"""The cache behind insights and queries: what is fresh, what is stale, what is being calculated.

Facts: PostHog's refresh modes and freshness by interval; recorded query statuses. Identical queries
share one cached result and one running calculation.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.api._calls import Site, fields
from hog_dagster.sandbox.api._hogql.run import run
from hog_dagster.sandbox.api._insight_math import QueryData, UserError, calculate, source_of
from hog_dagster.sandbox.engine import ingest
from hog_dagster.sandbox.world import Calculation, Result

_STATUS = (
    "complete dashboard_id end_time error error_message expiration_time id insight_id labels "
    "pickup_time query_async query_progress results start_time task_id team_id"
)
EXPIRES = timedelta(minutes=20)
#: Rows from which on a result is large.
_LARGE = 10_000
MODES = ("force_cache", "blocking", "async", "lazy_async", "force_blocking", "force_async")
#: interval -> (fresh for, fresh for the lazy mode).
_FRESH: dict[str, tuple[timedelta, timedelta]] = {
    "minute": (timedelta(minutes=5), timedelta(minutes=15)),
    "hour": (timedelta(hours=1), timedelta(hours=2)),
    "day": (timedelta(hours=6), timedelta(hours=12)),
    "week": (timedelta(days=1), timedelta(days=1)),
    "month": (timedelta(days=2), timedelta(days=2)),
}


@dataclass
class Outcome:
    """What a read of a query gives: a result or none, and the calculation that is on its way."""

    result: Result | None
    is_cached: bool = False
    calculation: Calculation | None = None


def mode_of(values: list[str], default: str = "force_cache") -> str:
    """The mode that the ``refresh`` parameter asks for; what is not known never calculates."""
    if not values:
        return default
    value = values[-1].lower()
    if value in ("", "true", "1", "yes"):
        return "force_blocking"
    return value if value in MODES else default


def cache_key(site: Site, query: dict[str, Any]) -> str:
    """What identical queries share."""
    text = json.dumps([site.project_id, site.timezone, source_of(query)], sort_keys=True)
    return f"cache_{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


def outcome(
    site: Site,
    query: dict[str, Any],
    mode: str,
    *,
    insight_id: int | None = None,
    calculation_id: str | None = None,
) -> Outcome:
    """Read a query in a refresh mode. Raises UserError, or RuntimeError for a crash."""
    state, now = site.world, site.clock.now()
    key = cache_key(site, query)
    found = find_calculation(site, calculation_id or key)
    running = found if found is not None and not found.complete else None
    failed = found if found is not None and found.error else None
    cached = state.query_results.get(key)
    fresh = cached is not None and _fresh(site, query, cached, now, lazy=False)
    if mode == "force_cache":
        return Outcome(cached, cached is not None, running or failed)
    if mode in ("blocking", "force_blocking"):
        if mode == "blocking" and fresh:
            return Outcome(cached, True)
        return Outcome(_compute(site, query, key))
    if mode != "force_async" and fresh:
        return Outcome(cached, True)
    lazy = mode == "lazy_async" and cached is not None
    if lazy and cached is not None and _fresh(site, query, cached, now, lazy=True):
        return Outcome(cached, True)
    job = running or _start(site, query, calculation_id or key, insight_id)
    shown = None if mode == "force_async" else cached
    return Outcome(shown, shown is not None, job)


def find_calculation(site: Site, id: str) -> Calculation | None:
    """A calculation by id, brought up to date; None for an unknown or expired one."""
    state, now = site.world, site.clock.now()
    job = state.calculations.get(id)
    if job is None:
        return None
    if now > job.expires:
        del state.calculations[id]
        return None
    if not job.complete and now >= job.due:
        job.complete = True
        try:
            _compute(site, job.query, cache_key(site, job.query))
        except UserError as error:
            job.error, job.error_message = True, str(error)
        except RuntimeError:
            job.error = True
    return job


def query_status(site: Site, **known: Any) -> dict[str, Any]:
    """A ``query_status`` in which what is not known reads null."""
    return {**dict.fromkeys(_STATUS.split()), "team_id": site.project_id, **known}


def status_row(site: Site, job: Calculation, *, progress: bool = False) -> dict[str, Any]:
    """A calculation as ``query_status`` shows it; the whole response is in `results`."""
    results = in_progress = None
    if job.complete and not job.error:
        result = site.world.query_results[cache_key(site, job.query)]
        results = response_of(site, job.query, result, cached=False)
    if progress and not job.complete:
        in_progress = {
            "bytes_read": 0,
            "rows_read": 0,
            "estimated_rows_total": len(site.world.events),
            "time_elapsed": int((site.clock.now() - job.started).total_seconds() * 1000),
            "active_cpu_time": 0,
        }
    return query_status(
        site,
        **fields(job, "complete error error_message id insight_id task_id"),
        end_time=job.due if job.complete else None,
        expiration_time=job.expires,
        pickup_time=job.started + timedelta(milliseconds=20) if job.complete else None,
        query_async=True,
        query_progress=in_progress,
        results=results,
        start_time=job.started,
    )


def response_of(
    site: Site, query: dict[str, Any], result: Result, *, cached: bool
) -> dict[str, Any]:
    """A result as the query endpoint answers it."""
    body: dict[str, Any] = fields(
        result,
        "cache_key cache_target_age calculation_trigger error hasMore hogql is_cached "
        "last_refresh limit modifiers next_allowed_client_refresh offset query_status "
        "resolved_date_range results timezone timings",
        cache_key=cache_key(site, query),
        cache_target_age=result.target_age,
        **dict.fromkeys(("calculation_trigger", "error", "modifiers", "query_status")),
        hasMore=result.has_more,
        is_cached=cached,
        next_allowed_client_refresh=result.next_refresh,
        results=result.result,
        timings=[],
    )
    kind = source_of(query).get("kind")
    if kind in ("HogQLQuery", "EventsQuery"):
        body |= fields(result, "columns types")
    if kind == "HogQLQuery":
        body |= dict.fromkeys(("clickhouse", "explain", "metadata", "query"))
    return body


def _start(site: Site, query: dict[str, Any], id: str, insight_id: int | None) -> Calculation:
    state, now = site.world, site.clock.now()
    job = Calculation(
        id=id,
        query=query,
        started=now,
        due=now + timedelta(seconds=state.calculation_seconds),
        expires=now + EXPIRES,
        task_id=str(uuid.UUID(int=site.world.ids.random.getrandbits(128), version=4)),
        insight_id=insight_id,
    )
    state.calculations[id] = job
    return job


def _compute(site: Site, query: dict[str, Any], key: str) -> Result:
    state, now = site.world, site.clock.now()
    if state.calculation_failure:
        raise UserError(state.calculation_failure)
    if state.calculation_failure is not None:
        raise RuntimeError
    ingest(site.world)
    query_data = QueryData(
        events=state.events,
        persons=state.persons,
        now=now,
        zone=site.zone,
        group_properties=lambda index, name: _group(site, index, name),
        hogql=lambda source: run(site, source),
    )
    found = calculate(query, query_data)
    age, pause = _ages(query, found.resolved_date_range)
    result = Result(
        last_refresh=now,
        target_age=now + age,
        next_refresh=now + pause,
        timezone=site.timezone,
        **vars(found),
    )
    _keep(state.query_results, key, result)
    return result


def _keep(results: dict[str, Result], key: str, result: Result) -> None:
    """Keep a result; of those with very many rows the newest alone, for memory's sake."""
    if _is_large(result):
        for other in [name for name, kept in results.items() if _is_large(kept)]:
            del results[other]
    results[key] = result


def _is_large(result: Result) -> bool:
    return isinstance(result.result, list) and len(result.result) > _LARGE


def _group(site: Site, index: int, key: str) -> dict[str, Any]:
    group = site.world.groups.get(f"{index}/{key}")
    return group.group_properties if group else {}


def _ages(query: dict[str, Any], dates: dict[str, Any] | None) -> tuple[timedelta, timedelta]:
    """(until the result counts as old, until a client may ask for a new one)."""
    source = source_of(query)
    if source.get("kind") == "EventsQuery":
        return timedelta(minutes=5), timedelta(minutes=1)
    if source.get("kind") == "HogQLQuery" or dates is None:
        return _FRESH["day"][0], timedelta(minutes=1)
    interval = source.get("interval") or "day"
    length = datetime.fromisoformat(dates["date_to"]) - datetime.fromisoformat(dates["date_from"])
    short = interval in ("minute", "hour") or length.days < 7
    return _FRESH[interval][0], timedelta(minutes=3 if short else 15)


def _fresh(site: Site, query: dict[str, Any], cached: Result, now: datetime, *, lazy: bool) -> bool:
    if cached.timezone != site.timezone:
        return False
    dates = cached.resolved_date_range
    if dates is not None and datetime.fromisoformat(dates["date_to"]) < cached.last_refresh:
        return True
    source = source_of(query)
    interval = source.get("interval") or "day"
    limit = _FRESH.get(interval, _FRESH["day"])[1 if lazy else 0]
    if source.get("kind") == "EventsQuery":
        limit = timedelta(minutes=5)
    return now - cached.last_refresh < limit
