"""The endpoints that list hog function templates.

Facts: recorded answers: 100 a page, destinations unless asked, deprecated and hidden ones left out
of lists.
"""

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import FUNCTION_TEMPLATES, find_template

__all__ = ["list_templates", "retrieve_template"]


def list_templates(call: Call) -> Answer:
    """GET hog_function_templates/: destinations unless `type` or `types` says otherwise."""
    kinds = call.param("types") or call.param("type") or "destination"
    wanted = call.param("template_id")
    rows = [
        row
        for row in FUNCTION_TEMPLATES.values()
        if row["type"] in kinds.split(",")
        and row["status"] not in ("deprecated", "hidden")
        and (wanted is None or row["id"] == wanted)
    ]
    return page(call, rows)


def retrieve_template(call: Call) -> Answer:
    """GET hog_function_templates/{id}/."""
    row = find_template(call.args["id"])
    if row is None:
        raise errors.not_found()
    return Answer(row)
