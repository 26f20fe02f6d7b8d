"""Runs of workflows: blocked runs and replay, invocation results and rerun, test steps.

Facts: PostHog's hog_flow viewset of April 2026 as recorded (blocked runs, replay), and of mid 2026
on (invocation results, rerun, cancel, run).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog.answers import Answer
from hog_dagster.posthog.endpoints import workflows as endpoints
from hog_dagster.posthog.paging import read_all
from hog_dagster.posthog.reruns import chosen_ids, names, rerun_body
from hog_dagster.posthog.runs import RunsReader
from hog_dagster.posthog.service import Service, misshapen, read, shaped
from hog_dagster.posthog.walk import PageSizes
from hog_dagster.posthog.windows import check_window, iso, to_us

__all__ = ["WorkflowRuns"]

#: Blocked runs per page: what the server allows at most.
BLOCKED_PAGE = 1_000
RunLike = models.BlockedRun | Mapping[str, Any]


class WorkflowRuns(Service):
    """What runs of a workflow can be asked and told."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._run_pages = PageSizes()

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
        last: Answer | None = None

        def fetch(limit: int, offset: int) -> Any:
            nonlocal last
            params = {"limit": limit, "offset": offset}
            last = self._send(endpoints.BLOCKED_RUNS, {"id": id}, params=params)
            page = read(last)
            if not isinstance(page, dict) or not isinstance(page.get("results"), list):
                raise misshapen(last, "it holds no list of results")
            return page

        rows = list(
            read_all(fetch, limit=BLOCKED_PAGE, identify=lambda row: row.get("instance_id"))
        )
        if last is None or not rows:
            return iter(())
        return iter(shaped(last, list[models.BlockedRun], rows))

    def replay_blocked_run(self, id: str, run: RunLike) -> models.ReplayAnswer:
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
            OutcomeUnknown: no answer came: it may have been replayed.
        """
        get = run.get if isinstance(run, Mapping) else lambda name: getattr(run, name)
        body = {name: get(name) for name in ("instance_id", "action_id", "event_uuid")}
        missing = [name for name, value in body.items() if not value]
        if missing:
            raise ValueError(
                f"run {body['instance_id']} of workflow {id} cannot be replayed: it has no "
                f"{' and no '.join(missing)}"
            )
        return self._one(models.ReplayAnswer, endpoints.REPLAY, {"id": id}, body=body)

    def replay_all_blocked_runs(self, id: str) -> models.ReplayAllAnswer:
        """Start all blocked runs again: POST .../{id}/replay_all_blocked_runs/.

        Scope hog_flow:write, though servers that have it refuse scoped keys. Reaches real people,
        has no limit, and is sent once. Skipped runs (event gone, or no event named) stay listed
        for ever.

        Raises:
            OutcomeUnknown: no answer came: some or all may have been replayed.
        """
        return self._one(models.ReplayAllAnswer, endpoints.REPLAY_ALL, {"id": id}, body={})

    def invocation_results(
        self,
        id: str,
        *,
        after: datetime,
        before: datetime,
        status: str | Iterable[str] | None = None,
        distinct_id: str | None = None,
        error_message_contains: str | None = None,
    ) -> Iterator[models.InvocationResult]:
        """Every run scheduled in a window, once, newest first: GET .../{id}/invocation_results/.

        Scopes hog_flow:read and person:read. One request per 500 runs or a little less. Runs are
        kept for 30 days.

        Args:
            id: the workflow.
            after: start of the window, inclusive, with a time zone.
            before: end of the window, exclusive, with a time zone.
            status: only these: running, succeeded, failed.
            distinct_id: only runs of this person.
            error_message_contains: only errors with this text.

        Raises:
            EndpointMissing: an older server.
            WindowTooDense: more than 500 runs of one status in one second.
        """
        start, end = check_window(after, before)
        reader = RunsReader(
            fetch=lambda params: self._results(id, params),
            statuses=names(status),
            rest={"distinct_id": distinct_id, "error_message_contains": error_message_contains},
            sizes=self._run_pages,
            what=f"runs of workflow {id}",
        )
        return reader.read(start, end)

    def _results(self, id: str, params: Mapping[str, Any]) -> Sequence[models.InvocationResult]:
        return self._many(
            models.InvocationResult, endpoints.INVOCATION_RESULTS, {"id": id}, params=params
        )

    def invocation_result(self, id: str, invocation_id: str) -> models.InvocationResult:
        """One run with its input: GET .../{id}/invocation_results/{invocation_id}/.

        Scopes hog_flow:read and person:read. ``invocation_globals`` can hold secrets and personal
        data.
        """
        return self._one(
            models.InvocationResult,
            endpoints.INVOCATION_RESULT,
            {"id": id, "invocation_id": invocation_id},
        )

    def invocation_results_count(
        self,
        id: str,
        *,
        after: datetime,
        before: datetime,
        status: str | Iterable[str] | None = None,
    ) -> int:
        """How many runs a window has: GET .../{id}/invocation_results_count/.

        Scopes hog_flow:read and person:read. PostHog takes whole seconds and counts both ends: a
        run scheduled exactly at the end, or in the seconds a bound falls into, may be counted too.
        """
        start, end = check_window(after, before)
        last = end.replace(microsecond=0)
        if last < end:
            last += timedelta(seconds=1)
        answer = self._send(
            endpoints.INVOCATION_RESULTS_COUNT,
            {"id": id},
            params={
                "after": iso(to_us(start)),
                "before": iso(to_us(last)),
                "status": ",".join(names(status)) or None,
            },
        )
        count = read(answer)
        if not isinstance(count, dict) or not isinstance(count.get("count"), int):
            raise misshapen(answer, "it holds no count")
        return count["count"]

    def rerun(
        self,
        id: str,
        *,
        invocation_ids: Iterable[str] | None = None,
        window_start: datetime,
        window_end: datetime,
        status: str | Iterable[str],
        error_kind: str | Iterable[str] | None = None,
        error_message_contains: str | None = None,
        max_attempts: int | None = None,
        max_count: int | None = None,
    ) -> models.RerunAnswer:
        """Queue runs of a window to run again: POST .../{id}/rerun/. Reaches people; sent once.

        Scopes hog_flow:write, person:read and group:read. Asynchronous: the counts are always 0;
        read :meth:`invocation_results` to see what came of it. Name the runs by id: with a wide
        window alone, runs already run again use up the server's cap.

        Args:
            id: the workflow.
            invocation_ids: these runs only, at most 10,000; PostHog applies ``status`` to them too.
            window_start: start of the window of ``scheduled_at``, inclusive, with a time zone.
            window_end: its end, exclusive; at most 30 days later.
            status: which runs: failed, succeeded, running. Required, because PostHog's default
                (failed) silently passes over others that are named.
            error_kind: only these kinds of error.
            error_message_contains: only errors with this text.
            max_attempts: only runs that were tried fewer times than this.
            max_count: at most so many runs.

        Raises:
            ValueError: no ids in an explicit list, too many, or a window over 30 days.
            OutcomeUnknown: no answer came: it may have been queued.
        """
        body = rerun_body(
            invocation_ids=invocation_ids,
            window_start=window_start,
            window_end=window_end,
            status=status,
            error_kind=error_kind,
            error_message_contains=error_message_contains,
            max_attempts=max_attempts,
            max_count=max_count,
        )
        return self._one(models.RerunAnswer, endpoints.RERUN, {"id": id}, body=body)

    def cancel_invocations(
        self, id: str, *, invocation_ids: Iterable[str] | None = None, all: bool = False
    ) -> models.CancelAnswer:
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
        return self._one(models.CancelAnswer, endpoints.CANCEL_INVOCATIONS, {"id": id}, body=body)

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
        ``current_action_id``. The answer is a success even when the step failed: see ``status``.

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
        chosen = {
            "globals": dict(globals),
            "mock_async_functions": mock_async_functions,
            "current_action_id": current_action_id,
            "configuration": dict(configuration) if configuration is not None else None,
            "use_draft": use_draft,
        }
        body = {name: value for name, value in chosen.items() if value is not None}
        return self._one(models.TestInvocation, endpoints.TEST_INVOCATION, {"id": id}, body=body)

    def run(self, id: str, *, idempotency_key: str) -> models.RunAnswer:
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
        return self._one(models.RunAnswer, endpoints.RUN, {"id": id}, body={}, headers=headers)
