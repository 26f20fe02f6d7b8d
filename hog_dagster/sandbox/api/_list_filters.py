"""Filters and search that lists share.

Facts: PostHog's trigram search of newer servers: substrings are exact, alike trigrams are similar;
results by relevance, `search_match_type` on each row, at most 200 characters.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call, read_datetime
from hog_dagster.sandbox.engine import InvalidFilters
from hog_dagster.sandbox.world import is_uuid


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


@contextmanager
def bad_filters_refused() -> Iterator[None]:
    """Within the block, filters that cannot be read are answered with 400."""
    try:
        yield
    except InvalidFilters as error:
        raise errors.bad_input(str(error)) from None


MAX_SEARCH = 200
ALIKE = 0.3
Row = TypeVar("Row")


def search(
    rows: Iterable[Row],
    term: str,
    texts: Callable[[Row], Iterable[str | None]],
    *,
    exact_only: bool = True,
) -> list[tuple[Row, str]]:
    """(row, ``exact`` or ``similar``) by relevance; `exact_only` where there is an exact one."""
    if len(term) > MAX_SEARCH:
        raise errors.bad_input(f"Search query must be {MAX_SEARCH} characters or fewer.", "search")
    wanted = term.strip().lower()
    exact: list[tuple[float, Row]] = []
    similar: list[tuple[float, Row]] = []
    for row in rows:
        held = [text.lower() for text in texts(row) if text]
        score = max((_alike(wanted, text) for text in held), default=0.0)
        if any(wanted in text for text in held):
            exact.append((score, row))
        elif score >= ALIKE:
            similar.append((score, row))
    exact.sort(key=lambda item: -item[0])
    similar.sort(key=lambda item: -item[0])
    found = [(row, "exact") for _, row in exact]
    if not (exact and exact_only):
        found += [(row, "similar") for _, row in similar]
    return found


def _alike(left: str, right: str) -> float:
    one, two = _trigrams(left), _trigrams(right)
    return len(one & two) / len(one | two) if one | two else 0.0


def _trigrams(text: str) -> set[str]:
    found: set[str] = set()
    for word in text.split():
        padded = f"  {word} "
        found |= {padded[place : place + 3] for place in range(len(padded) - 2)}
    return found
