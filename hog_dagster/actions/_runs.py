"""Reads the newest state of runs: by HogQL where the key may, else by the detail endpoint.

Facts: PostHog files two rows for each execution of a run, by day. A closed window over the past
shows a run as it was then; only HogQL without an upper bound, the detail endpoint, and a window
that reaches to now show what it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.actions._protocol import Actor, Source
from hog_dagster.ledger import normal_id
from hog_dagster.posthog import RunState, errors
from hog_dagster.posthog.models import InvocationResult

#: PostHog keeps runs for 30 days and refuses a wider window.
KEPT = timedelta(days=30)
#: Clocks and whole seconds differ by less than this.
TOLERANCE = timedelta(seconds=10)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: Rows in one response.
PAGE = 500


@dataclass(frozen=True, slots=True)
class RunToRerun:
    """A failed run, as the sensor or an operator names it, whose id is kept in one spelling."""

    instance_id: str
    scheduled_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "instance_id", normal_id(self.instance_id))


def has_hogql(actor: Actor) -> bool:
    """Whether this key may read runs by HogQL on this server."""
    return actor.client.server.has("hogql_runs")


def read_states(actor: Actor, source: Source, runs: Iterable[RunToRerun]) -> dict[str, RunState]:
    """The newest state of these runs, by id; a run of which PostHog has no row left is absent.

    Requests: one per few thousand runs by HogQL, else one per run.
    """
    wanted = {run.instance_id: run for run in runs}
    if not wanted:
        return {}
    service = source.service(actor.client)
    if has_hogql(actor):
        return {
            state.invocation_id: state for state in service.run_states(source.id, ids=[*wanted])
        }
    detail = "invocation_result" if source.type == "workflow" else "function_invocation_result"
    if not actor.client.server.has(detail):
        return _by_open_windows(actor, source, wanted)
    found: dict[str, RunState] = {}
    for name in wanted:
        try:
            found[name] = state_of(service.invocation_result(source.id, name))
        except errors.EndpointMissing:
            raise
        except errors.NotFound:
            continue
    return found


def _by_open_windows(
    actor: Actor, source: Source, wanted: Mapping[str, RunToRerun]
) -> dict[str, RunState]:
    """Where a server has no detail endpoint: what a window up to now shows on its first page."""
    times = [run.scheduled_at for run in wanted.values() if run.scheduled_at]
    start = min(times, default=actor.earliest() - KEPT + TOLERANCE)
    rows = source.service(actor.client).newest_results(source.id, after=start, limit=PAGE)
    return {row.invocation_id: state_of(row) for row in rows if row.invocation_id in wanted}


def state_of(row: InvocationResult) -> RunState:
    """A row of the REST endpoints as a state."""
    return RunState(
        invocation_id=row.invocation_id,
        status=row.status or "",
        attempts=row.attempts or 0,
        is_retry=bool(row.is_retry),
        first_scheduled_at=row.scheduled_at,
        scheduled_at=row.scheduled_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error_kind=row.error_kind or "",
        error_message=row.error_message or "",
        parent_run_id=getattr(row, "parent_run_id", None) or "",
        version=0,
        first_row_at=row.scheduled_at or row.started_at or _LONG_AGO,
        newest_row_at=row.scheduled_at or row.started_at or _LONG_AGO,
    )


def state_summary(state: RunState) -> dict[str, Any]:
    """What the ledger keeps of a run's state before a rerun, to compare with later."""
    return {
        "status": state.status,
        "attempts": state.attempts,
        "is_retry": state.is_retry,
        "started_at": _text(state.started_at),
        "finished_at": _text(state.finished_at),
    }


def has_changed(state: RunState, before: Mapping[str, Any]) -> str:
    """What shows that a run was executed since its state was recorded; empty when nothing does."""
    return ", ".join(_signs(state, before))


def _signs(state: RunState, before: Mapping[str, Any]) -> Iterator[str]:
    if state.attempts > int(before.get("attempts") or 0):
        yield f"attempts is {state.attempts}"
    if state.is_retry and not before.get("is_retry"):
        yield "it is marked as a retry"
    if state.status != before.get("status", "failed"):
        yield f"its status is {state.status}"
    for name in ("started_at", "finished_at"):
        earlier, now = before.get(name), getattr(state, name)
        if earlier and now is not None and now > datetime.fromisoformat(earlier):
            yield f"{name} is {now:%Y-%m-%d %H:%M:%S} UTC"


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
