"""The `logs` action that workflows and hog functions share.

Facts: PostHog's log_entries mixin. Bounds are UTC, strict and exact to the microsecond; 1..500
rows; the response is dressed as a page whose `next` is always null.
"""

from datetime import datetime

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, page, read_datetime
from hog_dagster.sandbox.world import from_micros

__all__ = ["answer_logs"]

_BAD_DATETIME = (
    "Datetime has wrong format. Use one of these formats instead: "
    "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)


def answer_logs(call: Call, source_id: str) -> Answer:
    """GET {id}/logs/: the page-like answer for one source."""
    limit = _limit(call)
    after, before = _moment(call, "after"), _moment(call, "before")
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


def _limit(call: Call) -> int:
    text = call.param("limit")
    if text is None:
        return 50
    try:
        limit = int(text)
    except ValueError:
        raise errors.bad_input("A valid integer is required.", "limit") from None
    if limit > 500:
        raise errors.validation(
            "max_value", "Ensure this value is less than or equal to 500.", "limit"
        )
    if limit < 1:
        raise errors.validation(
            "min_value", "Ensure this value is greater than or equal to 1.", "limit"
        )
    return limit


def _moment(call: Call, name: str) -> datetime | None:
    text = call.param(name)
    if text is None:
        return None
    try:
        return read_datetime(text)
    except ValueError:
        raise errors.bad_input(_BAD_DATETIME, name) from None
