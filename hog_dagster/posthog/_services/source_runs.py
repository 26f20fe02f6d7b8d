"""Runs of workflows and hog functions alike: reading invocation results, and running them again.

Facts: PostHog's invocation results and rerun serializers of mid 2026 on. A run is rows: two for
each execution, with the time of that execution. A closed window shows the run as it was then. A
rerun has a window of 30 days at most, at most 10,000 ids, and a default status (failed) that
silently passes over other runs, named or not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._pagination.windows import check_window, iso, to_us, written
from hog_dagster.posthog._services.base import (
    Service,
    counted,
    instead,
    malformed,
    read,
    shaped,
)
from hog_dagster.posthog._services.fields import chosen_ids, given, joined, names
from hog_dagster.posthog._services.runs import RunsReader

#: Runs of one reading that are asked for one by one.
MOST_DETAILS = 200
_LONGEST_S = 30 * 86_400


class SourceRuns(Service):
    """The methods on runs, the same for workflows and hog functions."""

    _NOUN: str
    _RESULTS: Endpoint
    _RESULT: Endpoint
    _COUNT: Endpoint
    _RERUN: Endpoint

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

        Scopes: the object's ``:read`` and person:read. One request per 500 runs or a little less.
        Runs are kept for 30 days, from each execution. A window that ends in the past shows runs as
        they were then: see :meth:`invocation_result` for what they are.

        Args:
            id: the workflow or hog function.
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
            get=lambda params: self._results(id, params),
            statuses=names(status),
            rest={"distinct_id": distinct_id, "error_message_contains": error_message_contains},
            sizes=self._sizes[self._RESULTS.name],
            what=f"runs of {self._NOUN} {id}",
        )
        return reader.read(start, end)

    def newest_states(
        self,
        id: str,
        *,
        start: datetime,
        end: datetime,
        on_dense: Callable[[errors.WindowTooDense], None] | None = None,
    ) -> Iterator[models.InvocationResult]:
        """Every run whose earliest row since ``start`` is before ``end``, as it is now.

        GET .../{id}/invocation_results/, scopes: the object's ``:read`` and person:read. One
        request per 500 runs since ``start``, because only a window without an end shows the newest
        states. Of more than 500 runs, those that seem to run still are asked for one by one, at
        most 200: one request each. A run that was run again after its page's end can still show
        its state of before.

        Args:
            id: the workflow or hog function.
            start: inclusive, with a time zone.
            end: exclusive, with a time zone.
            on_dense: called with a second that is not handed out whole; what is handed out of it
            comes.

        Raises:
            EndpointMissing: an older server.
            WindowTooDense: more than 500 runs of one status in one second, without ``on_dense``.
        """
        start, end = check_window(start, end)
        last = max(end, self._transport.clock.latest()) + timedelta(days=1)
        reader = RunsReader(
            get=lambda params: self._results(id, params),
            statuses=(),
            rest={},
            sizes=self._sizes[self._RESULTS.name],
            what=f"runs of {self._NOUN} {id}",
            on_dense=on_dense,
            until=(to_us(last) - 1) // 1_000_000,
        )
        left = MOST_DETAILS
        for run in reader.read(start, last):
            if run.scheduled_at is None or run.scheduled_at >= end:
                continue
            if run.status == "running" and reader.dated and left:
                left -= 1
                with contextlib.suppress(errors.NotFound):
                    known = self.invocation_result(id, run.invocation_id)
                    run = known.model_copy(update={"scheduled_at": run.scheduled_at})
            yield run

    def newest_results(
        self,
        id: str,
        *,
        after: datetime,
        status: str | Iterable[str] | None = None,
        limit: int = 500,
    ) -> list[models.InvocationResult]:
        """Runs as they are now, newest first, 500 at most: GET .../{id}/invocation_results/.

        Scopes: the object's ``:read`` and person:read. One request. The window has no end, so what
        it shows of a run is its newest state.

        Args:
            id: the workflow or hog function.
            after: start of the window, inclusive, with a time zone.
            status: only these: running, succeeded, failed.
            limit: at most 500.

        Raises:
            EndpointMissing: an older server.
        """
        params = {"after": written("after", after), "limit": limit, "status": joined(status)}
        return list(self._results(id, params))

    def _results(self, id: str, params: Mapping[str, Any]) -> Sequence[models.InvocationResult]:
        return self._many(models.InvocationResult, self._RESULTS, {"id": id}, params=params)

    def invocation_result(self, id: str, invocation_id: str) -> models.InvocationResult:
        """One run as it is now: GET .../{id}/invocation_results/{invocation_id}/.

        Scopes: the object's ``:read`` and person:read. Unlike a window of
        :meth:`invocation_results`, it looks at all rows of the run that are left.
        ``current_action`` is the step at which the stored run stopped, where the server keeps it;
        the rest of the run's input, which can hold secrets and personal data, is dropped.

        Raises:
            NotFound: no row of the run is left, or there never was one.
            EndpointMissing: an older server.
        """
        arguments = {"id": id, "invocation_id": invocation_id}
        try:
            response = self._send(self._RESULT, arguments)
        except errors.NotFound as error:
            if error.outcome != "unknown" or error.status == 405:
                raise
            # That a run is not there is believed of PostHog alone.
            raise instead(errors.ForeignResponse, error, str(error)) from None
        found: models.InvocationResult = shaped(response, models.InvocationResult, read(response))
        if found.invocation_id.lower() != invocation_id.lower():
            raise malformed(response, "it is another run")
        return found

    def invocation_results_count(
        self,
        id: str,
        *,
        after: datetime,
        before: datetime,
        status: str | Iterable[str] | None = None,
    ) -> int:
        """How many runs a window has: GET .../{id}/invocation_results_count/.

        Scopes: the object's ``:read`` and person:read. PostHog takes whole seconds and counts both
        ends: a run scheduled exactly at the end, or in the seconds a bound falls into, may be
        counted too.
        """
        start, end = check_window(after, before)
        last = end.replace(microsecond=0)
        if last < end:
            last += timedelta(seconds=1)
        window = {"after": iso(to_us(start)), "before": iso(to_us(last))}
        params = {**window, "status": joined(status)}
        response = self._send(self._COUNT, {"id": id}, params=params)
        return counted(response, "count")

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
    ) -> models.RerunResponse:
        """Queue runs of a window to run again: POST .../{id}/rerun/. Reaches people; sent once.

        Scopes: the object's ``:write``, person:read and group:read. Asynchronous: the counts are
        always 0; the log lines of the job (``instance_id`` its id) say what came of it. Name the
        runs by id: with a wide window alone, runs already run again use up the server's cap. Of hog
        functions, only destinations that are enabled.

        Args:
            id: the workflow or hog function.
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
            OutcomeUnknown: no response came: it may have been queued.
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
        return self._one(models.RerunResponse, self._RERUN, {"id": id}, body=body)


def rerun_body(
    *,
    invocation_ids: Iterable[str] | None,
    window_start: datetime,
    window_end: datetime,
    status: str | Iterable[str],
    error_kind: str | Iterable[str] | None,
    error_message_contains: str | None,
    max_attempts: int | None,
    max_count: int | None,
) -> dict[str, Any]:
    """The body of POST .../{id}/rerun/.

    Raises:
        ValueError: no ids in an explicit list, too many, or a window over 30 days.
    """
    start, end = check_window(window_start, window_end)
    if (end - start).total_seconds() > _LONGEST_S:
        raise ValueError("a rerun's window may be 30 days long at most; ask for parts of it")
    chosen = given(
        window_start=iso(to_us(start)),
        window_end=iso(to_us(end)),
        status=names(status),
        invocation_ids=chosen_ids(invocation_ids, "rerun"),
        error_kind=names(error_kind) or None,
        error_message_contains=error_message_contains,
        max_attempts=max_attempts,
        max_count=max_count,
    )
    return {"filter": chosen}
