"""Test invocations: one step of a workflow, executed on the spot, nothing queued.

Facts: the invocations action and the shape the worker behind it answers.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._workflows import find
from hog_dagster.sandbox.world import TestSend, Workflow

_BOOLEANS = (True, False, "true", "false", "True", "False", 1, 0)


def test_invocation(call: Call) -> Answer:
    """POST hog_flows/{id}/invocations/.

    Mocks by default. An id that is not there counts as an unsaved workflow, so that only the
    body's own `configuration` can be tested.
    """
    try:
        workflow: Workflow | None = find(call)
    except errors.ApiError:
        workflow = None
    body = call.object()
    _check(body)
    configuration = _configuration(call, workflow, body)
    if "event" not in (body.get("globals") or {}):
        raise errors.status_error(400, "Missing event")
    if configuration is None:
        raise errors.status_error(404, "Hog flow not found")
    if call.site.world.worker_down:
        raise errors.status_error(500, ["The worker did not answer"])
    return Answer(_execute(call, workflow, configuration, body))


def _check(body: dict[str, Any]) -> None:
    if "globals" in body and not isinstance(body["globals"], dict):
        kind = type(body["globals"]).__name__
        raise errors.raw_fields(
            {"globals": [f'Expected a dictionary of items but got type "{kind}".']}
        )
    if body.get("mock_async_functions", True) not in _BOOLEANS:
        raise errors.raw_fields({"mock_async_functions": ["Must be a valid boolean."]})
    configuration = body.get("configuration")
    if configuration is not None and "actions" not in configuration:
        raise errors.raw_fields({"configuration": {"actions": ["This field is required."]}})


def _configuration(
    call: Call, workflow: Workflow | None, body: dict[str, Any]
) -> dict[str, Any] | None:
    if body.get("use_draft") and call.site.newer:
        if body.get("configuration"):
            raise errors.bad_input(
                "Pass either use_draft or an explicit configuration override, not both.",
                "use_draft",
            )
        if workflow is None or not workflow.draft:
            raise errors.bad_input(
                "This workflow has no staged draft to test. Stage one by editing the workflow "
                "first, or omit use_draft to test the live config.",
                "use_draft",
            )
        return workflow.draft
    if body.get("configuration"):
        return body["configuration"]
    if workflow is None:
        return None
    return {"actions": workflow.actions or [], "edges": workflow.edges or []}


def _execute(
    call: Call, workflow: Workflow | None, configuration: dict[str, Any], body: dict[str, Any]
) -> dict[str, Any]:
    actions = configuration.get("actions") or []
    wanted = body.get("current_action_id")
    action = next(
        (a for a in actions if (a["id"] == wanted if wanted else a.get("type") == "trigger")), None
    )
    stamp = call.now.isoformat(timespec="milliseconds")
    if action is None:
        message = f"Action {wanted or 'trigger'} not found"
        return _answer("error", [message], [_log("error", stamp, message)], None)
    mocked = body.get("mock_async_functions", True) not in (False, "false", "False", 0)
    sends = str(action.get("type", "")).startswith("function")
    log = f"[Action:{action['id']}] " + ("Mocked" if sends and mocked else "Executed")
    if sends and not mocked:
        call.site.world.test_sends.append(
            TestSend(
                workflow_id=workflow.id if workflow else "new", action_id=action["id"], at=call.now
            )
        )
    edges = configuration.get("edges") or []
    following = next((edge["to"] for edge in edges if edge.get("from") == action["id"]), None)
    return _answer("success", [], [_log("info", stamp, log)], following)


def _answer(
    status: str, faults: list[str], logs: list[dict[str, str]], following: str | None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "status": status,
        "errors": faults,
        "logs": logs,
        "variables": {},
        "execResult": None,
    }
    return body if following is None else {"nextActionId": following, **body}


def _log(level: str, stamp: str, message: str) -> dict[str, str]:
    return {"level": level, "timestamp": stamp, "message": message}
