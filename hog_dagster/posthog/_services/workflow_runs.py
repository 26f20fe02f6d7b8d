"""Runs of workflows alone: blocked runs and replay, cancelling, test steps, starting one.

Facts: PostHog's hog_flow viewset of April 2026 as recorded (blocked runs, replay), and of mid 2026
on (cancel, run). Invocation results and rerun are in :mod:`source_runs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import workflows as endpoints
from hog_dagster.posthog._pagination.lists import read_all
from hog_dagster.posthog._services.base import Reading, Service
from hog_dagster.posthog._services.fields import chosen_ids, given

#: Blocked runs per page: what the server allows at most.
BLOCKED_PAGE = 1_000
RunLike = models.BlockedRun | Mapping[str, Any]


class WorkflowRuns(Service):
    """What runs of a workflow can be read and asked for, beyond :mod:`source_runs`."""

    def blocked_runs(self, id: str) -> Iterator[models.BlockedRun]:
        """Runs stopped by the de-duplication bug and not replayed: GET .../{id}/blocked_runs/.

        Scope hog_flow:read, though servers that have it refuse scoped keys. Read whole before the
        first is handed out, so replaying while iterating loses none. Empty also while the
        project's flag ``workflows-replay-blocked-runs`` is off. A run just replayed stays listed
        until its marker arrives: seconds to minutes.

        Raises:
            EndpointMissing: a server without it; look at ``invocation_results`` and ``rerun``.
            NotOpenToKeys: a server that refuses the action to this key.
        """
        reading = Reading(self, models.BlockedRun, endpoints.BLOCKED_RUNS, {"id": id})

        def shown(page: Any) -> bool:
            # With the project's flag off there is an empty list and nothing else.
            listed = isinstance(page, dict) and isinstance(page.get("results"), list)
            return listed and ("has_next" in page or page == {"results": []})

        def fetch(limit: int, offset: int) -> Any:
            return reading.page({"limit": limit, "offset": offset}, shown)

        def identify(row: Mapping[str, Any]) -> Any:
            return row.get("instance_id")

        return iter(list(reading.models(read_all(fetch, limit=BLOCKED_PAGE, identify=identify))))

    def replay_blocked_run(self, id: str, run: RunLike) -> models.ReplayResponse:
        """Start one blocked run again at its blocked step: POST .../{id}/replay_blocked_run/.

        Scope hog_flow:write, though servers that have it refuse scoped keys. It starts a new run
        and reaches real people. Sent once; PostHog replays the same run as often as it is asked,
        so keep a record of what was replayed.

        Args:
            id: the workflow.
            run: a run of :meth:`blocked_runs`, or a mapping with ``instance_id``, ``action_id``
                and ``event_uuid``.

        Raises:
            ValueError: the run names no action or no event, so it cannot be replayed.
            NotFound: not blocked, blocked too long ago, or its event is gone.
            OutcomeUnknown: no response came: it may have been replayed.
        """
        get = run.get if isinstance(run, Mapping) else lambda name: getattr(run, name)
        body = {name: get(name) for name in ("instance_id", "action_id", "event_uuid")}
        missing = [name for name, value in body.items() if not value]
        if missing:
            raise ValueError(
                f"run {body['instance_id']} of workflow {id} cannot be replayed: it has no "
                f"{' and no '.join(missing)}"
            )
        return self._one(models.ReplayResponse, endpoints.REPLAY, {"id": id}, body=body)

    def replay_all_blocked_runs(self, id: str) -> models.ReplayAllResponse:
        """Start all blocked runs again: POST .../{id}/replay_all_blocked_runs/.

        Scope hog_flow:write, though servers that have it refuse scoped keys. Reaches real people,
        has no limit, and is sent once. Skipped runs (event gone, or no event named) stay listed
        for ever.

        Raises:
            OutcomeUnknown: no response came: some or all may have been replayed.
        """
        return self._one(models.ReplayAllResponse, endpoints.REPLAY_ALL, {"id": id}, body={})

    def cancel_invocations(
        self, id: str, *, invocation_ids: Iterable[str] | None = None, all: bool = False
    ) -> models.CancelResponse:
        """Stop runs that wait: POST .../{id}/invocations/cancel/, scope hog_flow:write. Sent once.

        Asynchronous: call again while ``done`` is false.

        Args:
            id: the workflow.
            invocation_ids: these runs, at most 10,000; or
            all: every waiting run of the workflow.
        """
        ids = chosen_ids(invocation_ids, "cancel_invocations")
        if (ids is None) == (not all):
            raise ValueError("cancel_invocations: give invocation_ids, or all=True")
        body: dict[str, Any] = {"all": True} if ids is None else {"invocation_ids": ids}
        return self._one(models.CancelResponse, endpoints.CANCEL_INVOCATIONS, {"id": id}, body=body)

    def test_invocation(
        self,
        id: str,
        *,
        globals: Mapping[str, Any],
        current_action_id: str | None = None,
        mock_async_functions: bool = True,
        configuration: Mapping[str, Any] | None = None,
        use_draft: bool | None = None,
    ) -> models.TestInvocation:
        """Run one step as a test and see what it did: POST .../{id}/invocations/. Sent once.

        Scopes hog_flow:write and group:read. Walk the graph by giving ``next_action_id`` back as
        ``current_action_id``. The response is a success even when the step failed: see ``status``.

        Args:
            id: the workflow, or ``new`` with a ``configuration``.
            globals: must hold ``event``; may hold person, groups, variables.
            current_action_id: the step; default the trigger.
            mock_async_functions: False really sends what the step sends.
            configuration: a whole workflow to test instead of the stored one.
            use_draft: test the draft (newer servers).
        """
        if "event" not in globals:
            raise ValueError("test_invocation: globals must hold an event")
        body = given(
            globals=dict(globals),
            mock_async_functions=mock_async_functions,
            current_action_id=current_action_id,
            configuration=None if configuration is None else dict(configuration),
            use_draft=use_draft,
        )
        return self._one(models.TestInvocation, endpoints.TEST_INVOCATION, {"id": id}, body=body)

    def run(self, id: str, *, idempotency_key: str) -> models.RunResponse:
        """Start a schedule-triggered workflow now: POST .../{id}/run/, scope hog_flow:write.

        Reaches people. The one act PostHog remembers: the same key within 24 hours starts nothing
        more, so after OutcomeUnknown it is safe to call again with the same key.

        Args:
            id: the workflow; it must be active.
            idempotency_key: a name of this start, such as a run's or a partition's.

        Raises:
            Conflict: a start with this key is being worked on.
        """
        if not idempotency_key.strip():
            raise ValueError("run: give an idempotency_key, so that it is started once")
        headers = {"Idempotency-Key": idempotency_key}
        return self._one(models.RunResponse, endpoints.RUN, {"id": id}, body={}, headers=headers)
