"""Groups and group types: list, find, related, property values, activity.

Facts: PostHog's groups view of both generations and recorded answers. Lists have 100 a page and no
count; newer servers read them from an eventually consistent store, and start over silently when a
cursor means nothing to them.
"""

import base64
import json
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._activity import activity_page
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._insight_math.matching import text_of
from hog_dagster.sandbox.api._paging import cursor_page
from hog_dagster.sandbox.engine import ingest
from hog_dagster.sandbox.world import Group, GroupType, micros

PAGE = 100
MOST_VALUES = 20
RELATED_DAYS = 90
_ROW = "group_type_index group_key group_properties created_at"


def group_row(group: Group, properties: dict[str, Any] | None = None) -> dict[str, Any]:
    """A group as the API shows it."""
    held = group.group_properties if properties is None else properties
    return fields(group, _ROW, group_properties=held)


def _required(call: Call, name: str) -> str:
    """A parameter; where it is left out newer servers say so, older ones crash."""
    given = call.param(name)
    if given:
        return given
    if call.site.newer:
        raise errors.bad_input("This query parameter is required.", name)
    raise errors.server_error()


def find_group(call: Call) -> Group:
    """The group that `group_type_index` and `group_key` of the query name."""
    index, key = _required(call, "group_type_index"), _required(call, "group_key")
    if not index.lstrip("-").isdigit():
        raise errors.server_error()
    ingest(call.site.world)
    group = call.site.world.groups.get(f"{int(index)}/{key}")
    if group is None:
        raise errors.not_found()
    return group


def list_groups(call: Call) -> Answer:
    """GET groups/?group_type_index=: newest first, 100 a page; `limit` and `offset` do nothing."""
    text = call.param("group_type_index")
    if not text:
        raise errors.bad_input(
            "You must pass ?group_type_index= in this URL. To get a list of valid group types, "
            "call /api/:project_id/groups_types/.",
            "group_type_index",
        )
    if not text.lstrip("-").isdigit():
        if call.site.newer:
            raise errors.bad_input("A valid integer is required.", "group_type_index")
        raise errors.server_error()
    ingest(call.site.world)
    index = int(text)
    part = (call.param("group_key") or "").lower()
    term = (call.param("search") or "").lower()
    shown = [
        (group, properties)
        for group in call.site.world.groups.values()
        if group.group_type_index == index
        and (properties := _listed(call, group)) is not None
        and _matches(group, properties, part, term)
    ]
    shown.sort(key=lambda item: item[0].created_at, reverse=True)
    if call.site.newer:
        return _written(_keyset(call, index, shown))
    rows = [group_row(group, properties) for group, properties in shown]
    return _written(cursor_page(call, rows, PAGE))


def _written(page: Answer) -> Answer:
    """The page. Raises ApiError 500 for a whole number of more than 64 bits, which the server
    cannot write as JSON."""

    def fits(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(fits, value.values()))
        if isinstance(value, list):
            return all(map(fits, value))
        return not isinstance(value, int) or -(2**63) <= value < 2**64

    if not all(fits(row["group_properties"]) for row in page.body["results"]):
        raise errors.server_error()
    return page


def _listed(call: Call, group: Group) -> dict[str, Any] | None:
    """The properties as lists see them; None for a group that they do not see yet."""
    if not call.site.newer:
        return group.group_properties
    seen = [properties for at, properties in group.listed if at <= call.now]
    return seen[-1] if seen else None


def _matches(group: Group, properties: dict[str, Any], part: str, term: str) -> bool:
    if part and part not in group.group_key.lower():
        return False
    return not term or term in json.dumps(properties).lower() or term == group.group_key.lower()


def _keyset(call: Call, index: int, shown: list[tuple[Group, dict[str, Any]]]) -> Answer:
    """Forward only, by creation time and key. A bad cursor is the first page."""
    shown.sort(key=lambda item: (micros(item[0].created_at), item[0].group_key), reverse=True)
    at, key = _decode(call.param("cursor"))
    if at:
        shown = [
            item for item in shown if (micros(item[0].created_at), item[0].group_key) < (at, key)
        ]
    page, following = shown[:PAGE], None
    if len(shown) > PAGE:
        last = page[-1][0]
        token = json.dumps({"c": micros(last.created_at), "k": last.group_key})
        params: dict[str, Any] = {
            "group_type_index": index,
            "cursor": base64.urlsafe_b64encode(token.encode()).decode(),
        }
        for name in ("search", "group_key"):
            if call.param(name):
                params[name] = call.param(name)
        following = f"{call.base_url}{call.path}?{urlencode(params)}"
    rows = [group_row(group, properties) for group, properties in page]
    return Answer({"next": following, "previous": None, "results": rows})


def _decode(cursor: str | None) -> tuple[int, str]:
    if not cursor:
        return 0, ""
    try:
        data = json.loads(base64.urlsafe_b64decode(cursor))
        return (int(data.get("c", 0)), str(data["k"])) if "k" in data else (0, "")
    except (ValueError, TypeError, AttributeError):
        return 0, ""


def find(call: Call) -> Answer:
    """GET groups/find/: the fresh state. The first find makes a notebook where the CRM is on."""
    group = find_group(call)
    skip = call.site.newer and (call.param("skip_create_notebook") or "").lower() in ("true", "1")
    if call.site.world.crm and group.notebook is None and not skip:
        group.notebook = call.site.world.short_id()
    return Answer({**group_row(group), "notebook": group.notebook})


def activity(call: Call) -> Answer:
    """GET groups/activity/: page-numbered, of one group."""
    if not call.site.newer and not call.param("group_key"):
        raise errors.not_found()
    group = find_group(call)
    params = {"group_type_index": group.group_type_index, "group_key": group.group_key}
    return activity_page(call, "Group", group.id, params)


def property_definitions(call: Call) -> Answer:
    """GET groups/property_definitions/ (older servers): names and counts by type index as text."""
    ingest(call.site.world)
    counts: dict[str, Counter[str]] = {}
    for group in call.site.world.groups.values():
        held = counts.setdefault(str(group.group_type_index), Counter())
        held.update(list(group.group_properties))
    return Answer(
        {
            index: [{"name": name, "count": count} for name, count in found.most_common()]
            for index, found in sorted(counts.items())
        }
    )


def property_values(call: Call) -> Answer:
    """GET groups/property_values/: the 20 most frequent values; an array on older servers."""
    index, key = _required(call, "group_type_index"), _required(call, "key")
    if not index.isdigit():
        raise errors.server_error()
    part = (call.param("value") or "").lower()
    counts: Counter[str] = Counter()
    for group in call.site.world.groups.values():
        held = _listed(call, group)
        if group.group_type_index != int(index) or held is None:
            continue
        text = text_of(held.get(key))
        if text is not None and part in text.lower():
            counts[text] += 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_VALUES]
    rows = [{"name": name, "count": count} for name, count in ranked]
    return Answer({"results": rows, "refreshing": False} if call.site.newer else rows)


def related(call: Call) -> Answer:
    """GET groups/related/?id=: people and groups that share events of the last 90 days."""
    wanted, index = _required(call, "id"), call.param("group_type_index")
    world = call.site.world
    since = call.now - timedelta(days=RELATED_DAYS)
    recent = [event for event in world.events if event.timestamp >= since]
    people: dict[str, None] = {}
    name = ""
    if index is not None:
        if not index.isdigit():
            raise errors.server_error()
        name = f"$group_{int(index)}"
        shared = [event for event in recent if event.properties.get(name) == wanted]
        people = dict.fromkeys(event.person_id for event in shared)
    else:
        shared = [event for event in recent if event.person_id == wanted]
    nothing = {"matched_recordings": [], "value_at_data_point": None}
    rows: list[dict[str, Any]] = []
    for person in (world.persons[id] for id in people):
        label = person.properties.get("email") or person.properties.get("name")
        rows.append(
            fields(
                person,
                "type id uuid created_at properties is_identified name distinct_ids",
                type="person",
                uuid=person.id,
                is_identified=False,
                name=label or (person.distinct_ids[0] if person.distinct_ids else person.id),
            )
            | nothing
        )
    for other in range(5):
        column = f"$group_{other}"
        keys = [event.properties[column] for event in shared if event.properties.get(column)]
        for key in dict.fromkeys(keys) if column != name else ():
            group = world.groups.get(f"{other}/{key}")
            if group is not None:
                rows.append(
                    fields(
                        group,
                        "type id group_key group_type_index created_at properties",
                        type="group",
                        id=group.group_key,
                        properties=group.group_properties,
                    )
                    | nothing
                )
    return Answer(rows)


_TYPE = "group_type group_type_index name_singular name_plural detail_dashboard default_columns"


def type_row(call: Call, row: GroupType) -> dict[str, Any]:
    return fields(row, f"{_TYPE} created_at" if call.site.newer else _TYPE)


def list_types(call: Call) -> Answer:
    """GET groups_types/: a bare array."""
    ingest(call.site.world)
    types = call.site.world.group_types
    return Answer([type_row(call, types[index]) for index in sorted(types)])


def destroy_type(call: Call) -> Answer:
    """DELETE groups_types/{index}/."""
    text = call.args["index"]
    types = call.site.world.group_types
    if not text.isdigit():
        raise errors.server_error()
    if int(text) not in types:
        raise errors.not_found("Group type not found" if call.site.newer else "Not found.")
    del types[int(text)]
    return Answer(status=204)
