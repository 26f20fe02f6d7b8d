"""Models of workflow runs: blocked runs and replay, invocation results and rerun, test steps.

Facts: PostHog's hog_flow viewset of April 2026 (recorded) and the rerun, results and cancel
serializers of mid 2026 on.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from hog_dagster.posthog.models.base import Count, Instant, LenientDict, LenientList, Model

__all__ = [
    "BlockedRun",
    "InvocationResult",
    "ReplayAllResponse",
    "ReplayResponse",
    "RerunResponse",
    "RunResponse",
    "TestInvocation",
]


class BlockedRun(Model):
    """A run stopped by the de-duplication bug: GET .../hog_flows/{id}/blocked_runs/.

    ``action_id`` and ``event_uuid`` are read from the log's text and can be missing; a run without
    them cannot be replayed.
    """

    instance_id: str
    timestamp: Instant
    action_id: str | None = None
    event_uuid: str | None = None
    message: str = ""


class ReplayResponse(Model):
    """POST .../hog_flows/{id}/replay_blocked_run/: ``queued``."""

    status: str


class ReplayAllResponse(Model):
    """POST .../hog_flows/{id}/replay_all_blocked_runs/: how many of the list went which way."""

    succeeded: int
    failed: int
    skipped: int


class InvocationResult(Model):
    """One run: GET .../hog_flows/{id}/invocation_results/.

    ``status`` is running, succeeded or failed (an open set). ``current_action``, on the detail
    only, is the step at which the stored run stopped. The rest of ``invocation_globals`` is dropped
    when it is read: it can hold secrets and personal data.
    """

    invocation_id: str
    status: str | None = None
    error_kind: str | None = None
    error_message: str | None = None
    distinct_id: str | None = None
    person_id: str | None = None
    scheduled_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    duration_ms: Annotated[float, Field(gt=-1e15, lt=1e15)] | None = None
    attempts: Count | None = None
    is_retry: bool | None = None
    current_action: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_globals(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "invocation_globals" not in data:
            return cast("Any", data)
        kept = dict(cast("dict[str, Any]", data))
        state = kept.pop("invocation_globals")
        return {**kept, "current_action": _current_action(state)}


def _current_action(state: Any) -> str | None:
    """The step in a stored state: ``currentAction``, itself or its ``id``."""
    found = _field(state, "currentAction")
    if found is None:
        found = _field(_field(state, "state"), "currentAction")
    if isinstance(found, dict):
        found = _field(found, "id")
    return found if isinstance(found, str) and found else None


def _field(held: Any, name: str) -> Any:
    return cast("dict[str, Any]", held).get(name) if isinstance(held, dict) else None


class RerunResponse(Model):
    """POST .../hog_flows/{id}/rerun/. The counts are always 0: the work is asynchronous."""

    rerun_job_id: str
    queued_count: int = 0
    skipped_count: int = 0


class RunResponse(Model):
    """POST .../hog_flows/{id}/run/."""

    status: str | None = None
    invocation_id: str | None = None


class TestInvocation(Model):
    """What one tested step did: POST .../hog_flows/{id}/invocations/, 200 on failure too."""

    __test__ = False  # Not a test case, whatever pytest thinks of the name.

    status: str | None = None
    next_action_id: str | None = Field(default=None, alias="nextActionId")
    errors: LenientList[Any] = Field(default_factory=list)
    logs: LenientList[Any] = Field(default_factory=list)
    variables: LenientDict = Field(default_factory=dict)
    exec_result: Any = Field(default=None, alias="execResult")
