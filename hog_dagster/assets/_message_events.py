"""The table `message_events`: what became of e-mails, as PostHog's events tell it.

Facts: the events are written only where the project has switched them on, never for what was
before. They name workflow, step and address, not the run: so an event belongs to the message of
that step to that address, and where there are several, most likely to the one sent last before it.
Call-backs come late and in any order; they can come twice.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._message_tables import MESSAGE_EVENTS, PERSONAL, SENT_MESSAGES
from hog_dagster.assets._partition_loading import PartitionStep, partition_step
from hog_dagster.assets._recipients import Recipients
from hog_dagster.assets._shared_reads import workflows_of
from hog_dagster.assets._sql_pages import moment_of
from hog_dagster.assets._steps import Results, Row
from hog_dagster.assets._summary import EVENTS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.policies import RecipientPolicy
from hog_dagster.posthog import PostHogClient, errors, instant, quoted
from hog_dagster.warehouse import Window

_PREFIX = "$workflows_email_"
_KINDS = (
    "sent",
    "delivered",
    "opened",
    "link_clicked",
    "bounced",
    "blocked",
    "failed",
    "unsubscribed",
)
#: How long after a message its events may come, and be matched.
MATCHED_WITHIN = timedelta(days=30)
#: The event of a send and the message of it differ by less.
_SLACK = timedelta(seconds=60)
_PAGE = 20_000
_NAME = "hog_dagster message_events"
#: workflow, step, hash of the address -> times of messages and (run, batch job) of each.
Sends = Mapping[tuple[str, str, str], tuple[list[datetime], list[tuple[str, str]]]]


def build_message_events_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    recipients: RecipientPolicy = "hash",
    lookback: int = 0,
) -> dg.AssetsDefinition:
    """The asset `message_events`: one row per event about an e-mail, where PostHog captures them.

    Needs the resources `posthog` (scope query:read) and `warehouse`. Requests: one per 20,000
    events, one per 500 workflows. Events are matched with what `sent_messages` holds of the 30 days
    before; with `recipients: drop` nothing tells whose they are, and none is matched.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default. Unsubscribed events name none, and come always.
        recipients: what becomes of people's addresses: `hash`, `keep` or `drop`; as of
            `sent_messages`.
        lookback: how many partitions before each of the run's are read again with it.

    Returns:
        The assets definition; a backfill is one run.
    """
    selection, table = selection or WorkflowSelection(), MESSAGE_EVENTS

    @partition_step(
        table,
        partitions_def,
        options or AssetOptions(),
        group="messaging",
        deps=[SENT_MESSAGES],
        lookback=lookback,
        metadata={
            "posthog/recipients": recipients,
            "posthog/personal_data": PERSONAL[table.name],
        },
    )
    def message_events(step: PartitionStep) -> Results:
        client, people = step.client, Recipients(recipients, step.project)

        def read(window: Window) -> Iterator[pa.RecordBatch]:
            if not client.server.has("hogql_query"):
                raise errors.EndpointMissing(client.server.why_not("hogql_query"))
            listed = workflows_of(client)
            names = {one.id: one.name for one in listed}
            wanted = {one.id for one in listed if one in selection}
            every, number = len(wanted) == len(listed), 0

            def rows() -> Iterator[Row]:
                nonlocal number
                for page in _pages(client, window):
                    mine = [
                        row
                        for row in page
                        if every or not row["workflow"] or row["workflow"] in wanted
                    ]
                    sends = _sends(step, mine, window, people)
                    number += len(mine)
                    yield from (_row(row, people, sends, names) for row in mine)

            yield from loading.arrow_batches(table, rows(), project_id=step.project)
            if not number:
                step.report.notes += _why_none(client)

        yield step.load_partitions(read, order_by="-at", measure=EVENTS)

    return message_events


def _pages(client: PostHogClient, window: Window) -> Iterator[list[dict[str, Any]]]:
    """The events of a window, each once, in pages."""
    events = ", ".join(quoted(_PREFIX + kind) for kind in _KINDS)
    about = {
        "workflow": "$workflow_id",
        "step": "$workflow_action_id",
        "email_to": "$email_to",
        "email": "$email",
        "subject": "$email_subject",
        "link": "$link_url",
        "category": "category",
        "origin": "source",
    }
    shown = ", ".join(f"properties.{name} AS {alias}" for alias, name in about.items())
    sql = (
        f"SELECT timestamp AS moment, toString(uuid) AS id, event, distinct_id, {shown} "  # noqa: S608
        f"FROM events WHERE event IN ({events}) AND timestamp >= {instant(window.start)} "
        f"AND timestamp < {instant(window.end)}"
    )
    last = ""
    for page in client.query.pages(sql, key=["moment", "id"], limit=_PAGE, name=_NAME):
        rows = []
        for values in page.rows:
            row = dict(zip(page.columns, values, strict=True))
            if row["id"] != last:  # An event that is stored twice comes twice.
                rows.append(row)
            last = row["id"]
        yield rows


def _row(row: Row, people: Recipients, sends: Sends, names: Mapping[str, str | None]) -> Row:
    address = row["email_to"] or row["email"]
    at, workflow = moment_of(row["moment"]), row["workflow"] or None
    run, job, match = _matched(row, address, at, people, sends)
    return {
        "uuid": row["id"],
        "event": row["event"].removeprefix(_PREFIX),
        "at": at,
        "workflow_id": workflow,
        "workflow_name": names.get(workflow or ""),
        "action_id": row["step"] or None,
        **people.columns(address),
        "distinct_id": people.if_kept(row["distinct_id"]),
        "subject": people.if_kept(row["subject"] or None),
        "link_url": people.if_kept(row["link"] or None),
        "category": row["category"] or None,
        "source": row["origin"] or None,
        "invocation_id": run,
        "batch_job_id": job,
        "match": match,
    }


def _matched(
    row: Row, address: str | None, at: datetime, people: Recipients, sends: Sends
) -> tuple[str | None, str | None, str | None]:
    """Run and batch job of the message that an event is about, and how that is known."""
    if not address or not row["workflow"]:
        return None, None, None
    known = sends.get((row["workflow"], row["step"] or "", people.hashed(address)))
    place = bisect_right(known[0], at + _SLACK) if known else 0
    if known is None or not place:
        return None, None, None
    run, job = known[1][place - 1]
    return run, job, "exact" if place == 1 else "nearest"


def _sends(step: PartitionStep, rows: Iterable[Row], window: Window, people: Recipients) -> Sends:
    """The loaded messages that some events can be about."""
    wanted = {
        (row["workflow"], row["step"] or "", people.hashed(row["email_to"]))
        for row in rows
        if row["workflow"] and row["email_to"]
    }
    found: dict[tuple[str, str, str], list[tuple[datetime, str, str]]] = defaultdict(list)
    if not wanted or people.policy == "drop":
        return {}
    before = Window(window.start - MATCHED_WITHIN, window.end + _SLACK)
    columns = ["workflow_id", "action_id", "recipient_hash", "sent_at", "invocation_id"]
    scope = {**step.scope, "workflow_id": sorted({one[0] for one in wanted})}
    read = loading.loaded_before(
        step.warehouse, SENT_MESSAGES, before, scope, columns=[*columns, "batch_job_id"]
    )
    for one in loading.rows_in(read):
        key = (one["workflow_id"], one["action_id"], one["recipient_hash"])
        if key in wanted:
            sent = (one["sent_at"], one["invocation_id"], one["batch_job_id"] or "")
            found[key].append(sent)
    return {
        key: ([one[0] for one in sorted(many)], [one[1:] for one in sorted(many)])
        for key, many in found.items()
    }


def _why_none(client: PostHogClient) -> list[str]:
    """Why there may be no events at all."""
    try:
        captures = client.server.project().captures_email_events
    except errors.PostHogError:
        captures = None
    if captures is not False:
        return []
    why = (
        "The project captures no events about e-mails: switch the setting "
        "capture_workflows_engagement_events on in PostHog; they come from then on."
    )
    return [why]
