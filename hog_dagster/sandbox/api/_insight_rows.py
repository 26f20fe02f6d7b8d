"""Insights as the API shows them: whole rows with a result, or light ones without.

Facts: recorded rows. An error the user may see fails the whole response; a crash or too many
queries at once is told in the row.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call, fields
from hog_dagster.sandbox.api._insight_cache import (
    Outcome,
    cache_key,
    outcome,
    query_status,
    status_row,
)
from hog_dagster.sandbox.api._insight_math import UserError
from hog_dagster.sandbox.world import Insight

_BASIC = (
    "id short_id name derived_name filters query dashboards dashboard_tiles description "
    "last_refresh refreshing saved tags updated_at created_by created_at last_modified_at "
    "favorited user_access_level"
)
_FULL = (
    "id short_id name derived_name filters query order deleted dashboards dashboard_tiles "
    "last_refresh cache_target_age next_allowed_client_refresh result hasMore columns created_at "
    "created_by description updated_at tags favorited saved last_modified_at last_modified_by "
    "is_sample effective_restriction_level effective_privilege_level user_access_level timezone "
    "is_cached query_status hogql types filters_hash"
)
_NEWER = " resolved_date_range alerts last_viewed_at search_match_type"
#: A field of the row -> what a result calls it.
_OF_RESULT = {
    "cache_target_age": "target_age",
    "next_allowed_client_refresh": "next_refresh",
    "hasMore": "has_more",
    **{name: name for name in ("result", "columns", "timezone", "hogql", "types")},
    "resolved_date_range": "resolved_date_range",
}


def basic_row(call: Call, row: Insight, match: str | None = None) -> dict[str, Any]:
    """A light row: no result, no cache."""
    newer = " last_viewed_at search_match_type"
    return fields(
        row,
        _BASIC + newer if call.site.newer else _BASIC,
        dashboard_tiles=_tiles(row),
        last_refresh=None,
        refreshing=False,
        user_access_level="manager",
        search_match_type=match,
    )


def full_row(
    call: Call,
    row: Insight,
    mode: str,
    match: str | None = None,
    query: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A row with its result, read in a refresh mode; `query` where overrides changed it."""
    asked = query if query is not None else row.query
    found = Outcome(None)
    status: dict[str, Any] | None = None
    refreshed = None
    if asked:
        try:
            if call.site.world.concurrency_limited and mode != "force_cache":
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
    result = found.result
    return fields(
        row,
        _FULL + _NEWER if call.site.newer else _FULL,
        dashboard_tiles=_tiles(row),
        last_refresh=result.last_refresh if result else refreshed,
        **{shown: getattr(result, name) if result else None for shown, name in _OF_RESULT.items()},
        effective_restriction_level=21,
        effective_privilege_level=37,
        user_access_level="manager",
        is_cached=found.is_cached,
        query_status=status,
        filters_hash=cache_key(call.site, asked) if asked else None,
        alerts=[],
        search_match_type=match,
    )


def _tiles(row: Insight) -> list[dict[str, Any]]:
    return [
        {"id": row.id * 1000 + number, "dashboard_id": number, "deleted": None}
        for number in row.dashboards
    ]


def _failed(call: Call, row: Insight, message: str) -> dict[str, Any]:
    return query_status(
        call.site,
        complete=False,
        error=True,
        error_message=message,
        id=call.param("client_query_id"),
        insight_id=row.id,
        query_async=False,
    )
