"""The present state of runs by HogQL: one row per run, whatever the day its newest row lies in.

Facts: PostHog's table ``hog_invocation_results``. Each execution of a run adds rows with the time
of that execution; ``version`` says which row is the newest, ``first_scheduled_at`` is the same on
all of them. So the state is collapsed over all rows, with no upper bound of time, and filters of
state are applied after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hog_dagster._shared.secrets import mask_text
from hog_dagster.posthog import errors
from hog_dagster.posthog._services.base import Service, instead
from hog_dagster.posthog._services.hogql import Queries, QueryPage, instant, quoted
from hog_dagster.posthog.models.base import utc

R = TypeVar("R")
#: Ids named in one query.
IDS_PER_QUERY = 1_000
_TABLES = ("hog_invocation_results", "posthog.hog_invocation_results")
_NEVER = "1970-01-01T00:00:00Z"
#: Rows are written a little before or after the time they carry.
_SLACK = timedelta(days=1)
_NAME = "hog_dagster run states"
#: Characters of an error that are shown.
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class RunState:
    """What PostHog knows of one run now.

    Attributes:
        invocation_id: the run.
        status: running, succeeded or failed (an open set): of its newest row, like all that follows
            unless said otherwise.
        attempts: how often it was run again.
        is_retry: whether it was.
        first_scheduled_at: when it was first due; it never moves.
        scheduled_at: when its newest execution was due.
        started_at: when that began.
        finished_at: when that ended; None while it runs.
        error_kind: such as ``timeout``; empty without an error.
        error_message: the error; empty without one.
        parent_run_id: the batch job it belongs to; empty for others.
        version: rises with every row.
        first_row_at: least ``scheduled_at`` of the rows that are left.
        newest_row_at: greatest ``scheduled_at`` of them.
        failed_row_at: greatest ``scheduled_at`` of its failed rows; None when none is left.
        first_failed_row_at: least of them.
    """

    invocation_id: str
    status: str
    attempts: int
    is_retry: bool
    first_scheduled_at: datetime | None
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error_kind: str
    error_message: str
    parent_run_id: str
    version: int
    first_row_at: datetime
    newest_row_at: datetime
    failed_row_at: datetime | None = None
    first_failed_row_at: datetime | None = None

    @property
    def shown_error(self) -> str:
        """Why it failed, for people: cut, and without secrets and personal data."""
        said = " ".join(mask_text(self.error_message).split())[:_SHOWN]
        return said or self.error_kind or "no message"


@dataclass(frozen=True, slots=True)
class RerunJob:
    """A rerun, as PostHog's worker files it: ``attempts`` counts the pages done."""

    job_id: str
    status: str
    attempts: int
    first_row_at: datetime
    newest_row_at: datetime
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a run's log, or of a rerun job's."""

    instance_id: str
    timestamp: datetime
    level: str
    message: str


class RunStates(Service):
    """The methods, the same for workflows and hog functions. Scope query:read."""

    _KIND: str

    @property
    def _table(self) -> str:
        return self._facts.get("table of runs", _TABLES[0])

    def run_states(
        self,
        source_id: str,
        *,
        ids: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        status: str | None = None,
        error_kinds: Sequence[str] = (),
        message_contains: str | None = None,
    ) -> Iterator[RunState]:
        """The newest state of every run, in order of its id: POST .../query/, scope query:read.

        One request per 50,000 runs, or per 1,000 ids. Rows are kept for 30 days.

        Args:
            source_id: the workflow or hog function.
            ids: these runs only.
            since: first due then or later, with a time zone.
            until: first due before then.
            status: only runs that are in it now.
            error_kinds: only runs whose newest error is of one of these kinds.
            message_contains: only runs whose newest error has this text, in any case.

        Raises:
            EndpointMissing: the server has no such table.
            MissingScope: the key lacks query:read.
            QueryTooLarge: it took too long; narrow the window.
        """
        source_id = self._id(source_id)
        for chunk in _chunks(ids):

            def sql(table: str, ids: Sequence[str] | None = chunk) -> str:
                rows = [*self._of(self._KIND, source_id), *_among("invocation_id", ids)]
                if since is not None:
                    rows.append(f"scheduled_at >= {instant(since - _SLACK)}")
                kept: list[str] = []
                if since is not None:
                    kept.append(f"first_due_at >= {instant(since)}")
                if until is not None:
                    kept.append(f"first_due_at < {instant(until)}")
                if status is not None:
                    kept.append(f"now_status = {quoted(status)}")
                kept += _among("now_error_kind", list(error_kinds) or None)
                if message_contains:
                    part = quoted(message_contains.lower())
                    kept.append(f"position(lower(now_error_message), {part}) > 0")
                never = f"toDateTime('{_NEVER}')"
                inner = (
                    "SELECT toString(invocation_id) AS run, "  # noqa: S608
                    "argMax(status, version) AS now_status, "
                    "argMax(attempts, version) AS now_attempts, "
                    "argMax(is_retry, version) AS now_is_retry, "
                    "min(first_scheduled_at) AS first_due_at, "
                    "argMax(scheduled_at, version) AS now_due_at, "
                    # argMax passes over rows where the value is null.
                    f"argMax(coalesce(started_at, {never}), version) AS now_started_at, "
                    f"argMax(coalesce(finished_at, {never}), version) AS now_finished_at, "
                    "argMax(coalesce(error_kind, ''), version) AS now_error_kind, "
                    "argMax(coalesce(error_message, ''), version) AS now_error_message, "
                    "argMax(coalesce(parent_run_id, ''), version) AS now_parent_run_id, "
                    "max(version) AS newest_version, "
                    "min(scheduled_at) AS first_row_at, "
                    "max(scheduled_at) AS newest_row_at, "
                    "maxIf(scheduled_at, status = 'failed') AS failed_row_at, "
                    "minIf(scheduled_at, status = 'failed') AS first_failed_row_at "
                    f"FROM {table} WHERE {' AND '.join(rows)} GROUP BY invocation_id"
                )
                if not kept:
                    return inner
                return f"SELECT * FROM ({inner}) WHERE {' AND '.join(kept)}"  # noqa: S608

            yield from self._read(_state, sql, ["run"])

    def rerun_jobs(self, source_id: str, since: datetime) -> Iterator[RerunJob]:
        """The reruns of a workflow or hog function that did anything since then.

        POST .../query/, scope query:read. One request, as a rule.

        Raises:
            EndpointMissing, MissingScope, QueryTooLarge: as :meth:`run_states`.
        """

        source = self._id(source_id)

        def sql(table: str) -> str:
            where = self._of(f"{self._KIND}_rerun", source)
            where.append(f"scheduled_at >= {instant(since)}")
            return (
                "SELECT toString(invocation_id) AS job, "  # noqa: S608
                "argMax(status, version) AS now_status, "
                "argMax(attempts, version) AS now_attempts, "
                "argMax(coalesce(error_message, ''), version) AS now_error_message, "
                "min(scheduled_at) AS first_row_at, max(scheduled_at) AS newest_row_at "
                f"FROM {table} WHERE {' AND '.join(where)} GROUP BY invocation_id"
            )

        yield from self._read(_job, sql, ["job"])

    def failing_sources(self, since: datetime) -> list[str]:
        """Ids of workflows (or hog functions) with a failed execution since then.

        POST .../query/, scope query:read. One request. A run that failed and was run again since
        counts too.

        Raises:
            EndpointMissing, MissingScope, QueryTooLarge: as :meth:`run_states`.
        """

        def sql(table: str) -> str:
            return (
                "SELECT toString(function_id) AS source "  # noqa: S608
                f"FROM {table} WHERE function_kind = {quoted(self._KIND)} "
                f"AND status = 'failed' AND scheduled_at >= {instant(since)} GROUP BY function_id"
            )

        return list(self._read(lambda row: _text(row["source"]), sql, ["source"]))

    def log_lines(
        self,
        source_id: str,
        *,
        ids: Sequence[str] | None = None,
        since: datetime | None = None,
        message_prefix: str | None = None,
    ) -> Iterator[LogLine]:
        """Log lines of many runs at once, each once, by run: POST .../query/, scope query:read.

        One request per 50,000 lines, or per 1,000 ids.

        Args:
            source_id: the workflow or hog function; of a batch job's runs, the job.
            ids: of these runs, or rerun jobs, only.
            since: written then or later, with a time zone.
            message_prefix: only lines that begin so.

        Raises:
            MissingScope, QueryTooLarge: as :meth:`run_states`.
        """
        source = self._id(source_id)
        for chunk in _chunks(ids):

            def sql(_: str, chunk: Sequence[str] | None = chunk) -> str:
                where = [
                    f"log_source = {quoted(self._KIND)}",
                    f"log_source_id = {quoted(source)}",
                    *_among("instance_id", chunk),
                ]
                if since is not None:
                    where.append(f"timestamp >= {instant(since)}")
                if message_prefix:
                    where.append(f"startsWith(message, {quoted(message_prefix)})")
                return (
                    "SELECT instance_id, timestamp, level, message "  # noqa: S608
                    f"FROM log_entries WHERE {' AND '.join(where)}"
                )

            seen: set[LogLine] = set()  # A row can be shown twice until ClickHouse merges it.
            last = ""
            for line in self._read(_line, sql, ["instance_id", "message"]):
                if line.instance_id != last:
                    last = line.instance_id
                    seen.clear()
                if line not in seen:
                    seen.add(line)
                    yield line

    def _of(self, kind: str, source_id: str) -> list[str]:
        return [f"function_kind = {quoted(kind)}", f"function_id = {quoted(source_id)}"]

    def _read(
        self, make: Callable[[dict[str, Any]], R], sql: Callable[[str], str], key: Sequence[str]
    ) -> Iterator[R]:
        """What is made of the rows of a query, in pages by a key."""
        for page in self._pages(sql, key):
            for row in page.rows:
                try:
                    made = make(dict(zip(page.columns, row, strict=True)))
                except (KeyError, TypeError, ValueError):
                    raise errors.MalformedResponse(
                        f"POST /query/ answered {_NAME} with a row that cannot be read."
                    ) from None
                yield made

    def _pages(self, sql: Callable[[str], str], key: Sequence[str]) -> Iterator[QueryPage]:
        """The pages of a query, written as this server understands it."""
        while True:
            pages = self._beside(Queries).pages(sql(self._table), key=key, name=_NAME)
            try:
                first = next(pages, None)
                break
            except errors.InvalidRequest as error:
                self._adapt(error)
        if first is not None:
            yield first
            yield from pages

    def _adapt(self, error: errors.InvalidRequest) -> None:
        """Write the next query as the server asks for.

        Raises:
            EndpointMissing: it has no table of runs.
            InvalidRequest: the error is about something else.
        """
        said = (error.detail or "").lower()
        if "unknown table" in said and self._table == _TABLES[0]:
            self._facts["table of runs"] = _TABLES[1]
        elif "unknown table" in said:
            self._facts["table of runs"] = _TABLES[0]
            said = (
                "POST /query/: this PostHog server has no table hog_invocation_results. Read runs "
                "with invocation_results(id)."
            )
            raise instead(errors.EndpointMissing, error, said) from None
        else:
            raise error


def _state(row: dict[str, Any]) -> RunState:
    return RunState(
        invocation_id=_text(row["run"]),
        status=_text(row["now_status"]),
        attempts=int(row["now_attempts"] or 0),
        is_retry=bool(row["now_is_retry"]),
        first_scheduled_at=_time(row["first_due_at"]),
        scheduled_at=_time(row["now_due_at"]),
        started_at=_time(row["now_started_at"]),
        finished_at=_time(row["now_finished_at"]),
        error_kind=row["now_error_kind"] or "",
        error_message=row["now_error_message"] or "",
        parent_run_id=row["now_parent_run_id"] or "",
        version=int(row["newest_version"]),
        first_row_at=_moment(row["first_row_at"]),
        newest_row_at=_moment(row["newest_row_at"]),
        failed_row_at=_time(row["failed_row_at"]),
        first_failed_row_at=_time(row["first_failed_row_at"]),
    )


def _job(row: dict[str, Any]) -> RerunJob:
    return RerunJob(
        job_id=_text(row["job"]),
        status=_text(row["now_status"]),
        attempts=int(row["now_attempts"] or 0),
        first_row_at=_moment(row["first_row_at"]),
        newest_row_at=_moment(row["newest_row_at"]),
        error_message=row["now_error_message"] or "",
    )


def _line(row: dict[str, Any]) -> LogLine:
    return LogLine(
        _text(row["instance_id"]),
        _moment(row["timestamp"]),
        str(row["level"]).upper(),
        _text(row["message"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _moment(value: Any) -> datetime:
    moment = utc(value)
    if not isinstance(moment, datetime):
        raise TypeError("no time")
    return moment


def _among(column: str, values: Sequence[str] | None) -> list[str]:
    if values is None:
        return []
    return [f"{column} IN ({', '.join(quoted(value) for value in values)})"]


def _chunks(ids: Sequence[str] | None) -> Iterator[Sequence[str] | None]:
    """The ids in parts, each once; None alone when every run is meant."""
    if ids is None:
        yield None
        return
    if isinstance(ids, str):
        raise TypeError("ids is one text; give a list of ids")
    named = sorted(set(ids))
    for start in range(0, len(named), IDS_PER_QUERY):
        yield named[start : start + IDS_PER_QUERY]


def _time(value: Any) -> datetime | None:
    """A time of a response; None for the one that stands for none."""
    moment = None if value in (None, "") else _moment(value)
    return None if moment is None or moment.year == 1970 else moment
