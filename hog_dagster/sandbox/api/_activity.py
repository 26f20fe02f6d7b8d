"""The activity log: what was done to a workflow, a group or an insight, and a page of it.

Facts: PostHog's activity pages: ten entries unless asked, newest first, a `total_count`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.world import Activity


def log_activity(
    call: Call, scope: str, item_id: object, activity: str, name: str, changes: list[Any]
) -> None:
    """Keep one entry."""
    call.site.world.activity.append(
        Activity(
            item_id=str(item_id),
            scope=scope,
            activity=activity,
            created_at=call.now,
            detail={"name": name, "changes": changes},
            user=call.site.world.user,
        )
    )


def changes_between(
    kind: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What changed from one state of an object to another, as entries tell it."""
    return [
        {
            "type": kind,
            "action": "created" if before.get(name) is None else "changed",
            "field": name,
            "before": before.get(name),
            "after": after[name],
        }
        for name in after
        if before.get(name) != after[name]
    ]


def activity_page(call: Call, scope: str, item_id: object | None, params: dict[str, Any]) -> Answer:
    """One page of the entries of a scope, or of one item of it; `params` go into the links."""
    limit, number = call.param("limit") or "10", call.param("page") or "1"
    if not limit.isdigit() or not number.isdigit():
        raise errors.server_error()
    size, place = max(int(limit), 1), max(int(number), 1)
    rows = [
        _row(item)
        for item in reversed(call.site.world.activity)
        if item.scope == scope and (item_id is None or item.item_id == str(item_id))
    ]
    start = size * (place - 1)

    def link(target: int) -> str:
        query = urlencode({**params, "page": target, "limit": size})
        return f"{call.base_url}{call.path}?{query}"

    return Answer(
        {
            "results": rows[start : start + size],
            "next": link(place + 1) if start + size < len(rows) else None,
            "previous": link(place - 1) if place > 1 else None,
            "total_count": len(rows),
        }
    )


def _row(item: Activity) -> dict[str, Any]:
    who = item.user and fields(item.user, "first_name last_name email")
    return fields(item, "user activity scope item_id detail created_at", user=who)
