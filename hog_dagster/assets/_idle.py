"""Which workflows and hog functions need not be asked one by one by REST, since they did not run.

Facts: `GET /hog_flows/metrics/global/` names, in one request, every workflow that has a count of
succeeded or failed runs or steps in a window, those of batch jobs left out. A step that waits
counts when its wait is over, so a run that waits at its first step has rows and no count. A hog
function that is switched off does not run; switching it moves `updated_at`.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

from hog_dagster.assets._hogql import Rows
from hog_dagster.assets._log_sources import LogSource, Source
from hog_dagster.assets._report import Report
from hog_dagster.assets._shared_reads import once
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import GlobalMetric
from hog_dagster.warehouse import Window

_HOUR = timedelta(hours=1)
#: Without a response every workflow is asked.
_NOT_TOLD = (
    errors.EndpointMissing,
    errors.PermissionDenied,
    errors.InvalidRequest,
    errors.MalformedResponse,
    errors.ServerError,
)
#: Counts of a run can come so long after it began: its first steps may wait.
_WAITS = timedelta(days=3)
#: People open e-mails so long after they were sent, at most: PostHog keeps no older counts.
_OPENED = timedelta(days=90)
#: An invocation that began before its function was switched off may still be tried again.
_IN_FLIGHT = timedelta(days=1)


def awake(
    client: PostHogClient,
    log_source: LogSource,
    sources: Sequence[Source],
    window: Window,
    rows: Rows,
    report: Report,
) -> list[Source]:
    """Those that can have rows in a window; all of them where that cannot be told.

    At most two requests for all tables of a run. The report takes a note of how many are left out.
    """
    if log_source.kind != "hog_flow":
        return [source for source in sources if not _was_off(source, window)]
    ran = counted_in(client, Window(window.start - _HOUR, window.end + _WAITS))
    if not ran:
        # Nothing is trusted unseen: a server that counts nothing at all may count elsewhere.
        return list(sources)
    chosen = [source for source in sources if source.id in ran or _other(source, rows)]
    if rows == "metrics" and any(_late(source, ran) for source in sources):
        earlier = counted_in(client, Window(window.start - _OPENED, window.start)) or ()
        late = {source.id for source in sources if _late(source, ran) and source.id in earlier}
        here = {source.id for source in chosen}
        chosen = [source for source in sources if source.id in here or source.id in late]
    if left := len(sources) - len(chosen):
        note = (
            f"{left} workflows were not asked one by one: PostHog's global metrics count no run of "
            "theirs then. "
            + (
                "Counts of events that their triggers passed over are not here. "
                if rows == "metrics"
                else ""
            )
            + "With the scope query:read everything is read."
        )
        if note not in report.notes:
            report.notes.append(note)
    return chosen


def counted_in(
    client: PostHogClient, window: Window, *, failed: bool = False
) -> Collection[str] | None:
    """The workflows with counts of runs or steps, or of failed ones, in a window; None where the
    server does not tell. One request a run."""

    def ask() -> list[GlobalMetric] | None:
        try:
            return client.workflows.global_metrics(after=window.start, before=window.end)
        except _NOT_TOLD:
            return None

    found = once(client, ("global metrics", window), ask)
    if found is None:
        return None
    return {one.workflow_id for one in found if one.failed or not failed}


def _other(source: Source, rows: Rows) -> bool:
    """Whether it can have rows without a count: runs of batch jobs are counted under the job, and
    runs that wait at their first step are counted later."""
    return (rows == "runs" and source.sends_batches) or (rows != "metrics" and source.waits)


def _late(source: Source, ran: Collection[str]) -> bool:
    return source.counts_later and source.id not in ran


def _was_off(source: Source, window: Window) -> bool:
    changed = source.changed_at
    return source.off and changed is not None and changed + _IN_FLIGHT < window.start
