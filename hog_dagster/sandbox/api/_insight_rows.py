"""Insights as the API shows them: whole rows with a result, or light ones without.

Facts: recorded rows. An error the user may see fails the whole response; a crash or too many
queries at once is told in the row.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call
from hog_dagster.sandbox.api._insight_cache import Outcome, cache_key, outcome, status_row
from hog_dagster.sandbox.api._insight_math import UserError
from hog_dagster.sandbox.world import Insight, Result

__all__ = ["basic_row", "full_row"]


def basic_row(call: Call, row: Insight, match: str | None = None) -> dict[str, Any]:
    """A light row: no result, no cache."""
    body = {
        "id": row.id,
        "short_id": row.short_id,
        "name": row.name,
        "derived_name": row.derived_name,
        "filters": row.filters,
        "query": row.query,
        "dashboards": row.dashboards,
        "dashboard_tiles": _tiles(row),
        "description": row.description,
        "last_refresh": None,
        "refreshing": False,
        "saved": row.saved,
        "tags": row.tags,
        "updated_at": row.updated_at,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "last_modified_at": row.last_modified_at,
        "favorited": row.favorited,
        "user_access_level": "manager",
    }
    if call.site.newer:
        body |= {"last_viewed_at": row.last_viewed_at, "search_match_type": match}
    return body


def full_row(
    call: Call,
    row: Insight,
    mode: str,
    match: str | None = None,
    query: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A row with its result, read in a refresh mode; `query` where overrides changed it.

    Raises:
        ApiError: 400 when the calculation fails in a way the user may see.
    """
    asked = query if query is not None else row.query
    found = Outcome(None)
    status: dict[str, Any] | None = None
    refreshed = None
    if asked:
        try:
            if call.site.world.families.concurrency_limited and mode != "force_cache":
                status = _failed(call, row, "concurrency_limit_exceeded")
                refreshed = call.now
            else:
                found = outcome(call.site, asked, mode, insight_id=row.id)
        except UserError as error:
            raise errors.bad_input(str(error)) from None
        except RuntimeError as error:
            status = _failed(call, row, str(error))
    if found.calculation is not None:
        status = status_row(call.site, found.calculation)
    result: Result | None = found.result
    body = {
        "id": row.id,
        "short_id": row.short_id,
        "name": row.name,
        "derived_name": row.derived_name,
        "filters": row.filters,
        "query": row.query,
        "order": row.order,
        "deleted": row.deleted,
        "dashboards": row.dashboards,
        "dashboard_tiles": _tiles(row),
        "last_refresh": result.last_refresh if result else refreshed,
        "cache_target_age": result.target_age if result else None,
        "next_allowed_client_refresh": result.next_refresh if result else None,
        "result": result.result if result else None,
        "hasMore": result.has_more if result else None,
        "columns": result.columns if result else None,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "description": row.description,
        "updated_at": row.updated_at,
        "tags": row.tags,
        "favorited": row.favorited,
        "saved": row.saved,
        "last_modified_at": row.last_modified_at,
        "last_modified_by": row.last_modified_by,
        "is_sample": row.is_sample,
        "effective_restriction_level": 21,
        "effective_privilege_level": 37,
        "user_access_level": "manager",
        "timezone": result.timezone if result else None,
        "is_cached": found.is_cached,
        "query_status": status,
        "hogql": result.hogql if result else None,
        "types": result.types if result else None,
        "filters_hash": cache_key(call.site, asked) if asked else None,
    }
    if call.site.newer:
        body |= {
            "resolved_date_range": result.resolved_date_range if result else None,
            "alerts": [],
            "last_viewed_at": row.last_viewed_at,
            "search_match_type": match,
        }
    return body


def _tiles(row: Insight) -> list[dict[str, Any]]:
    return [
        {"id": row.id * 1000 + number, "dashboard_id": number, "deleted": None}
        for number in row.dashboards
    ]


def _failed(call: Call, row: Insight, message: str) -> dict[str, Any]:
    return {
        "complete": False,
        "dashboard_id": None,
        "end_time": None,
        "error": True,
        "error_message": message,
        "expiration_time": None,
        "id": call.param("client_query_id"),
        "insight_id": row.id,
        "labels": None,
        "pickup_time": None,
        "query_async": False,
        "query_progress": None,
        "results": None,
        "start_time": None,
        "task_id": None,
        "team_id": call.project_id,
    }
