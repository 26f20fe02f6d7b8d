"""The query endpoint: HogQL and every insight query, at once or polled, and the cancel.

Facts: PostHog's query view and a recorded answer. An identical query is answered from the cache
until it is old, six hours for HogQL, unless `refresh` forces a new one.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._insight_cache import (
    find_calculation,
    mode_of,
    outcome,
    response_of,
    status_row,
)
from hog_dagster.sandbox.api._insight_math import KINDS, UserError, source_of
from hog_dagster.sandbox.api._insight_math.query_data import TooSlow


def post_query(call: Call) -> Answer:
    """POST query/: 200 with results, 202 with a status when asked to calculate aside."""
    body = call.object()
    query = body.get("query")
    if not isinstance(query, dict):
        raise _invalid("query", "Field required")
    kind = source_of(query).get("kind")
    if kind != "HogQLQuery" and kind not in KINDS:
        raise _invalid(
            "query",
            f"Input tag '{query.get('kind')}' found using 'kind' does not match any of the "
            "expected tags",
        )
    if kind == "HogQLQuery" and not isinstance(source_of(query).get("query"), str):
        raise _invalid("query.HogQLQuery.query", "Field required")
    refresh = body.get("refresh")
    values = [] if refresh is None else [str(refresh)]
    mode = "async" if body.get("async") else mode_of(values, "blocking")
    if mode == "force_cache":
        mode = "blocking"
    name = body.get("client_query_id")
    try:
        found = outcome(call.site, query, mode, calculation_id=name)
    except UserError as error:
        raise errors.bad_input(str(error)) from None
    except TooSlow:
        raise errors.query_timeout() from None
    except RuntimeError:
        raise errors.server_error() from None
    if found.calculation is not None and not found.calculation.complete:
        status = status_row(call.site, found.calculation)
        shown: dict[str, Any] = {"query_status": status}
        if found.result is not None:
            shown = {**response_of(call.site, query, found.result, cached=True), **shown}
        return Answer(shown, status=202)
    if found.result is None:
        raise errors.server_error()
    return Answer(response_of(call.site, query, found.result, cached=found.is_cached))


def _invalid(where: str, what: str) -> errors.ApiError:
    """The body does not fit the model of queries: the server calls that JSON it cannot parse."""
    return errors.parse_error(
        f"JSON parse error - 1 validation error for QueryRequest\n{where}\n  {what}"
    )


def query_status(call: Call) -> Answer:
    """GET query/{id}/: 202 running, 200 done, 400 and 500 failed, all with the status object."""
    name = call.args["id"]
    job = find_calculation(call.site, name)
    if job is None:
        raise errors.not_found(f"Query {name} not found for team {call.project_id}")
    progress = "true" in (call.param("show_progress"), call.param("showProgress"))
    code = 202
    if job.error:
        code = 400 if job.error_message else 500
    elif job.complete:
        code = 200
    return Answer({"query_status": status_row(call.site, job, progress=progress)}, status=code)


def cancel_query(call: Call) -> Answer:
    """DELETE query/{id}/: 200 with a message."""
    job = find_calculation(call.site, call.args["id"])
    if job is not None and not job.complete:
        del call.site.world.calculations[job.id]
        return Answer({"message": "Query task revoked"})
    return Answer({"message": "Query already complete" if job else "Query not found"})
