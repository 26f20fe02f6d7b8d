"""Usage metrics of group types: list, create, retrieve, update, delete.

Facts: PostHog's usage metric serializer and its public schema.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._fields import present
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import UsageMetric

CHOICES = {
    "format": ("numeric", "currency"),
    "display": ("number", "sparkline"),
    "math": ("count", "sum"),
}
FIELDS = "id name format interval display filters math math_property"


def list_metrics(call: Call) -> Answer:
    """GET groups_types/{index}/metrics/."""
    return page(call, [fields(row, FIELDS) for row in _of_type(call)])


def retrieve(call: Call) -> Answer:
    """GET groups_types/{index}/metrics/{id}/."""
    return Answer(fields(_find(call), FIELDS))


def create(call: Call) -> Answer:
    """POST groups_types/{index}/metrics/."""
    body = call.object()
    present(body, "name", "filters")
    row = UsageMetric(id=call.site.world.ids.row(call.now), group_type_index=_index(call), name="")
    _write(row, body)
    call.site.world.usage_metrics[row.id] = row
    return Answer(fields(row, FIELDS), status=201)


def update(call: Call) -> Answer:
    """PUT and PATCH groups_types/{index}/metrics/{id}/."""
    row = _find(call)
    _write(row, call.object())
    return Answer(fields(row, FIELDS))


def destroy(call: Call) -> Answer:
    """DELETE groups_types/{index}/metrics/{id}/."""
    del call.site.world.usage_metrics[_find(call).id]
    return Answer(status=204)


def _write(row: UsageMetric, body: dict[str, Any]) -> None:
    for name, choices in CHOICES.items():
        if name in body and body[name] not in choices:
            raise errors.invalid_choice(body[name], name)
    math = body.get("math", row.math)
    prop = body.get("math_property", row.math_property)
    if math == "sum" and not prop:
        raise errors.bad_input("math_property is required when math is 'sum'.", "math_property")
    if math == "count" and prop:
        raise errors.bad_input("math_property must be empty when math is 'count'.", "math_property")
    for name in FIELDS.split()[1:]:
        if name in body:
            setattr(row, name, body[name])


def _index(call: Call) -> int:
    text = call.args["index"]
    if not text.isdigit():
        raise errors.not_found()
    return int(text)


def _of_type(call: Call) -> list[UsageMetric]:
    index = _index(call)
    rows = call.site.world.usage_metrics.values()
    return [row for row in rows if row.group_type_index == index]


def _find(call: Call) -> UsageMetric:
    row = call.site.world.usage_metrics.get(call.args["id"])
    if row is None or row.group_type_index != _index(call):
        raise errors.not_found()
    return row
