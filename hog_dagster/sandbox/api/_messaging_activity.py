"""The activity log of the whole project: who changed what.

Facts: PostHog's activity log view. Pages by cursor unless `page` is given; older builds close it to
keys. Batch jobs, runs, reruns, suppressions and opt-outs leave no entry.
"""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from hog_dagster.sandbox.api._calls import Answer, Call, Site, fields
from hog_dagster.sandbox.api._paging import cursor_page, numbered_page
from hog_dagster.sandbox.world import Activity

PAGE, MOST_PAGE = 100, 1_000


def entries(site: Site) -> list[dict[str, Any]]:
    """Every entry as the view shows it, in the order of writing."""
    return [
        _shown(item, str(uuid5(NAMESPACE_URL, f"activity:{site.seed}:{number}")))
        for number, item in enumerate(site.world.activity)
    ]


def activity_log(call: Call) -> Answer:
    """GET activity_log/: newest first unless `ordering` says otherwise."""
    scopes = set(filter(None, (call.param("scopes") or "").split(",")))
    scopes |= {call.param("scope") or ""} - {""}
    item, user = call.param("item_id"), call.param("user")
    rows = [
        row
        for row in entries(call.site)
        if (not scopes or row["scope"] in scopes)
        and (item is None or row["item_id"] == item)
        and (user is None or (row["user"] or {}).get("uuid") == user)
    ]
    rows.sort(key=lambda row: row["created_at"], reverse=call.param("ordering") != "created_at")
    size = min(_number(call, "page_size", PAGE), MOST_PAGE)
    if call.param("page") is None:
        return cursor_page(call, rows, size)
    return numbered_page(call, rows, size, _number(call, "page", 1))


def _shown(item: Activity, id: str) -> dict[str, Any]:
    user = item.user
    return fields(
        item,
        "id user activity scope item_id detail created_at client ip_address is_system "
        "was_impersonated",
        id=id,
        user=user and fields(user, "id uuid first_name last_name email"),
        detail={"type": None, "trigger": None, **item.detail},
        client=None,
        ip_address=None,
        is_system=user is None,
        was_impersonated=False,
    )


def _number(call: Call, name: str, default: int) -> int:
    text = call.param(name)
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else default
