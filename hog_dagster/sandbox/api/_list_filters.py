"""Filters that the lists of workflows and hog functions share, and PostgreSQL's containment."""

from collections.abc import Callable, Iterable
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call, read_datetime
from hog_dagster.sandbox.world import is_uuid

__all__ = ["contains", "plain_tests"]


def plain_tests(call: Call, rows: Iterable[Any], *, author: bool) -> list[Callable[[Any], bool]]:
    """The tests of `id`, `created_at`, `updated_at` and, as a user's number, `created_by`.

    Newer servers take the uuid of a workflow's author, a breaking change.
    """
    tests: list[Callable[[Any], bool]] = []
    wanted = call.param("id")
    if wanted:
        if not is_uuid(wanted):
            raise errors.bad_input("Enter a valid UUID.", "id")
        tests.append(lambda row: row.id == wanted.lower())
    by = call.param("created_by")
    if by and author:
        known = {str(row.created_by.id) for row in rows if row.created_by}
        if by not in known | {str(call.site.world.user.id)}:
            raise errors.validation(
                "invalid_choice",
                "Select a valid choice. That choice is not one of the available choices.",
                "created_by",
            )
        tests.append(lambda row: row.created_by is not None and str(row.created_by.id) == by)
    for name in ("created_at", "updated_at"):
        text = call.param(name)
        if text:
            tests.append(_at(name, text))
    return tests


def _at(name: str, text: str) -> Callable[[Any], bool]:
    try:
        moment = read_datetime(text)
    except ValueError:
        raise errors.bad_input("Enter a valid date/time.", name) from None
    return lambda row: getattr(row, name) == moment


def contains(whole: Any, part: Any) -> bool:
    """PostgreSQL's jsonb containment, ``whole @> part``."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and contains(whole[name], item) for name, item in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(candidate, item) for candidate in whole) for item in part
        )
    return whole == part
