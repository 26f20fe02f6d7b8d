"""Suppressed addresses, opt-outs and categories: who must get no mail.

Facts: PostHog's message_suppressions, message_preferences and message_categories views. Pages by
number, newest change first and in no order among equal times; identifiers of suppressions in lower
case, of opt-outs as they were given; categories closed to keys.
"""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._fields import present, text
from hog_dagster.sandbox.api._paging import numbered_page, page
from hog_dagster.sandbox.world import OUT, Preference, Suppression

T = TypeVar("T", Suppression, Preference)

PAGE, MOST_PAGE, MOST_LETTERS, MOST_BULK, MOST_ERRORS = 20, 100, 512, 1_000, 10
#: What a user may do with workflows, least first.
LEVELS = ("none", "viewer", "editor")


def list_suppressions(call: Call) -> Answer:
    """GET messaging_suppressions/suppressions/: active ones; person:read too on newer builds."""
    mail = call.site.world.mail
    if mail.suppressions_need_people and not call.key.has("person:read"):
        raise errors.missing_scope("person:read")
    _level(call, "viewer", "view the suppression list")
    part = _search(call)
    rows = [
        row
        for row in mail.suppressions.values()
        if row.suppressed and (not part or part in row.identifier)
    ]
    return _numbered(call, rows, _suppression)


def add_suppression(call: Call) -> Answer:
    """POST .../add_suppression/: 201 for a new row, 200 for a known one. Safe to repeat."""
    _level(call, "editor", "modify the suppression list")
    identifier = _identifier(call).strip().lower()
    world = call.site.world
    known = world.mail.suppressions.get(identifier)
    row = world.add_suppression(identifier, at=call.now)
    return Answer(_suppression(row), 201 if known is None else 200)


def remove_suppression(call: Call) -> Answer:
    """POST .../remove_suppression/: 204, also when it was lifted before."""
    _level(call, "editor", "modify the suppression list")
    if not call.site.world.forget_suppression(_identifier(call), at=call.now):
        raise errors.plain_error(404, "Suppression not found")
    return Answer(status=204)


_SUPPRESSION = (
    "id identifier source reason transient_bounce_count last_bounce_at last_bounce_diagnostic "
    "suppressed suppressed_at created_at updated_at"
)


def _suppression(row: Suppression) -> dict[str, Any]:
    return fields(row, _SUPPRESSION)


def list_opt_outs(call: Call) -> Answer:
    """GET messaging_preferences/opt_outs/: those out of all, or of one category by its own
    entry."""
    entry = _entry_asked(call, "viewer")
    part = _search(call)
    rows = [row for row in _out_of(call, entry) if not part or part in row.identifier.lower()]
    return _numbered(call, rows, _preference)


def add_opt_out(call: Call) -> Answer:
    """POST .../add_opt_out/: 201 when the recipient was new."""
    _opt_outs(call, "editor")
    body, identifier = call.object(), _identifier(call)
    key = _category_key(call, body)
    row, fresh = call.site.world.add_opt_out(identifier, key, at=call.now)
    return Answer(_preference(row), 201 if fresh else 200)


def remove_opt_out(call: Call) -> Answer:
    """POST .../remove_opt_out/: the row is kept, opted in."""
    _opt_outs(call, "editor")
    body, identifier = call.object(), _identifier(call)
    row = call.site.world.forget_opt_out(identifier, _category_key(call, body), at=call.now)
    if row is None:
        raise errors.plain_error(404, "Recipient not found")
    return Answer(_preference(row))


def bulk_add_opt_outs(call: Call) -> Answer:
    """POST .../bulk_add_opt_outs/: up to 1,000 at once, in one transaction. Safe to repeat."""
    _opt_outs(call, "editor")
    body, world = call.object(), call.site.world
    given = body.get("opt_outs")
    if given is None:
        raise errors.required("opt_outs")
    if not isinstance(given, list) or not given:
        raise errors.bad_input("This list may not be empty.", "opt_outs")
    if len(given) > MOST_BULK:
        raise errors.bad_input(f"Send at most {MOST_BULK} opt-outs per request.", "opt_outs")
    top = body.get("category_key")
    if top not in (None, "$all") and world.category(str(top)) is None:
        raise errors.plain_error(404, f"Message category '{top}' not found")
    pairs: dict[tuple[str, str | None], None] = {}
    wrong: list[str] = []
    for number, item in enumerate(given, 1):
        identifier = item.get("identifier") if isinstance(item, dict) else None
        if not isinstance(identifier, str) or not identifier or len(identifier) > MOST_LETTERS:
            wrong.append(f"Entry {number}: identifier is missing or too long")
            continue
        key = item.get("category_key", top)
        if key not in (None, "$all") and world.category(str(key)) is None:
            wrong.append(f"Entry {number}: no message category with key '{key}'")
            continue
        pairs[identifier, None if key == "$all" else key] = None
    for identifier, key in pairs:
        world.add_opt_out(identifier, key, at=call.now)
    return Answer(
        {
            "total": len(given),
            "opted_out": len(pairs),
            "skipped": len(wrong),
            "errors": wrong[:MOST_ERRORS],
        }
    )


def export_opt_outs(call: Call) -> Answer:
    """GET .../export_opt_outs_csv/: all of them as CSV, cells that a spreadsheet would run
    quoted."""
    entry = _entry_asked(call, "viewer")
    key = call.param("category_key")
    rows = sorted(_out_of(call, entry), key=lambda row: row.id)
    rows.sort(key=lambda row: row.updated_at, reverse=True)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("identifier", "category_key", "updated_at"))
    for row in rows:
        writer.writerow((_cell(row.identifier), _cell(key or "$all"), row.updated_at.isoformat()))
    name = f"opt-outs-{key or 'all-marketing'}.csv"
    headers = {
        "Content-Type": "text/csv",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Answer(file.getvalue().encode(), headers=headers)


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _out_of(call: Call, entry: str) -> list[Preference]:
    rows = call.site.world.mail.preferences.values()
    return [row for row in rows if row.preferences.get(entry) == OUT]


def _entry_asked(call: Call, level: str) -> str:
    _opt_outs(call, level)
    key = call.param("category_key")
    if key is None:
        return "$all"
    category = call.site.world.category(key)
    if category is None:
        raise errors.plain_error(404, "Category not found")
    return category.id


def _category_key(call: Call, body: dict[str, Any]) -> str | None:
    key = body.get("category_key")
    if key is not None and call.site.world.category(str(key)) is None:
        raise errors.plain_error(404, "Category not found")
    return key


def _preference(row: Preference) -> dict[str, Any]:
    return fields(row, "id identifier updated_at preferences")


def _opt_outs(call: Call, level: str) -> None:
    if not call.site.world.mail.opt_outs_open:
        raise errors.not_open_to_keys(newer=True)
    _level(call, level, f"{'view' if level == 'viewer' else 'modify'} the opt-out list")


def list_categories(call: Call) -> Answer:
    """GET messaging_categories/: no server was seen to open this to keys."""
    if not call.site.world.mail.categories_open:
        raise errors.not_open_to_keys(newer=True)
    rows = [row for row in call.site.world.mail.categories.values() if not row.deleted]
    rows.sort(key=lambda row: row.created_at, reverse=True)
    return page(call, [msgspec.structs.asdict(row) for row in rows])


def _level(call: Call, wanted: str, what: str) -> None:
    if LEVELS.index(call.site.world.mail.access) < LEVELS.index(wanted):
        raise errors.denied(f"You need hog_flow {wanted} access to {what}.")


def _search(call: Call) -> str:
    return text((call.param("search") or "").strip(), "search", MOST_LETTERS).lower()


def _identifier(call: Call) -> str:
    body = call.object()
    present(body, "identifier")
    if not isinstance(body["identifier"], str):
        raise errors.bad_input("Not a valid string.", "identifier")
    return text(body["identifier"], "identifier", MOST_LETTERS, blank=False)


def _numbered(call: Call, rows: Sequence[T], shown: Callable[[T], dict[str, Any]]) -> Answer:
    """A page by number, newest change first; rows of one time in no order."""
    size, number = _number(call, "page_size", PAGE), _number(call, "page", 1)
    ordered = list(rows)
    if call.site.shuffle_ties:
        call.site.world.ids.random.shuffle(ordered)
    ordered.sort(key=lambda row: row.updated_at, reverse=True)
    return numbered_page(call, ordered, min(size, MOST_PAGE), number, shown)


def _number(call: Call, name: str, default: int) -> int:
    given = call.param(name)
    if given is None:
        return default
    if not given.isdecimal() or int(given) < 1:
        if name == "page":
            raise errors.not_found("Invalid page.")
        return default
    return int(given)
