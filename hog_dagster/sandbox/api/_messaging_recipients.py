"""Every known address, with what it wants and whether it is suppressed.

Facts: PostHog's message recipients service of autumn 2026. Addresses in lower case, one row each,
in their order; pages by cursor. Over several spellings OPTED_OUT wins.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.world import OUT

PAGE, MOST_PAGE, PERSONS = 50, 200, 3


def list_recipients(call: Call) -> Answer:
    """GET messaging_recipients/: in the order of addresses, or one of them (`email`)."""
    _viewer(call)
    rows = _rows(call)
    asked = call.param("email")
    if asked is not None:
        address = asked.strip().lower()
        if address not in rows:
            raise errors.not_found("No recipient with this email address.")
        return Answer({"results": [rows[address]], "next_cursor": None})
    limit = int(call.param("limit") or PAGE)
    if not 1 <= limit <= MOST_PAGE:
        words = f"Ensure this value is less than or equal to {MOST_PAGE}."
        raise errors.validation("max_value", words, "limit")
    part, after = (call.param("search") or "").strip().lower(), call.param("cursor") or ""
    names = sorted(name for name in rows if part in name and name > after)
    cursor = names[limit - 1] if len(names) > limit else None
    return Answer({"results": [rows[name] for name in names[:limit]], "next_cursor": cursor})


def coverage(call: Call) -> Answer:
    """GET messaging_recipients/coverage/."""
    _viewer(call)
    people = call.site.world.people
    without = sum(not one.properties.get("email") for one in people)
    return Answer({"persons_without_email": without})


def _viewer(call: Call) -> None:
    if call.site.world.mail.access == "none":
        raise errors.denied("You need hog_flow viewer access to view recipients.")


def _rows(call: Call) -> dict[str, dict[str, Any]]:
    world = call.site.world
    found: dict[str, dict[str, Any]] = {}

    def row(address: str) -> dict[str, Any]:
        name = address.strip().lower()
        fresh: dict[str, Any] = {"email": name, "all_marketing": "NO_PREFERENCE", "topics": {}}
        fresh |= {"suppression": None, "persons": [], "person_count": 0, "last_sent_at": None}
        return found.setdefault(name, {**fresh, "preferences_updated_at": None})

    for person in world.people:
        if person.properties.get("email"):
            one = row(str(person.properties["email"]))
            one["person_count"] += 1
            if len(one["persons"]) < PERSONS:
                shown = {"uuid": person.id, "distinct_id": person.distinct_id, "name": None}
                one["persons"].append(shown)
    for wanted in world.mail.preferences.values():
        one = row(wanted.identifier)
        one["preferences_updated_at"] = wanted.updated_at
        for entry, state in wanted.preferences.items():
            if entry == "$all":
                held = one["all_marketing"]
                one["all_marketing"] = OUT if OUT in (held, state) else state
            elif (category := world.mail.categories.get(entry)) is not None:
                held = one["topics"].get(category.key)
                one["topics"][category.key] = OUT if OUT in (held, state) else state
    for stopped in world.mail.suppressions.values():
        if stopped.suppressed:
            row(stopped.identifier)["suppression"] = fields(stopped, "source reason suppressed_at")
    return found
