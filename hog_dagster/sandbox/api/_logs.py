"""The `logs` action that workflows and hog functions share.

Facts: PostHog's log_entries mixin. Bounds are UTC, strict and exact to the microsecond; 1..500
rows; the response is dressed as a page whose `next` is always null.
"""

from datetime import datetime

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import from_micros


def answer_logs(call: Call, source_id: str) -> Answer:
    """GET {id}/logs/: the page-like answer for one source."""
    limit = fields.integer_param(call, "limit", 50, 1, 500)
    after, before = _bound(call, "after"), _bound(call, "before")
    level = call.param("level")
    rows = call.site.world.logs.select(
        source_id,
        now=call.now,
        limit=limit,
        after=after,
        before=before,
        levels=[name.strip().upper() for name in level.split(",")] if level else None,
        search=call.param("search"),
        instance_id=call.param("instance_id"),
        shuffle=call.site.shuffle_ties,
    )
    return page(
        call,
        [
            {
                "log_source_id": source_id,
                "instance_id": row.instance_id,
                "timestamp": from_micros(row.at),
                "level": row.level,
                "message": row.message,
            }
            for row in rows
        ],
    )


def _bound(call: Call, name: str) -> datetime | None:
    given = call.param(name)
    return None if given is None else fields.time(given, name)
