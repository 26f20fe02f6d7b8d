"""The table `sent_messages`: one row per run and message step, as it was last sent.

Facts: PostHog lists the messages of a workflow for 30 days, one row per run and step at its newest
send. A step that sends again on another day leaves its older row in that day's window until PostHog
deletes it: so the same message can come with two partitions, and its newest send stands.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._log_sources import Source, WorkflowLogSource
from hog_dagster.assets._message_tables import PERSONAL, SENT_MESSAGES
from hog_dagster.assets._partition_loading import OnDense, PartitionStep, partition_step
from hog_dagster.assets._recipients import Recipients
from hog_dagster.assets._steps import Results, Row
from hog_dagster.assets._summary import MESSAGES
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.policies import RecipientPolicy
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import SentMessage
from hog_dagster.warehouse import Table, Warehouse, Window

#: What to do about an instant of which PostHog shows messages in no fixed order.
_DENSE = (
    "Use a build of PostHog of September 2026 or later, which lists messages in a fixed order: no "
    "scope and no other endpoint shows the rest."
)
#: Runs that one statement names.
_IDS = 1_000
_KEY = ("workflow_id", "invocation_id", "action_id")


def build_sent_messages_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    recipients: RecipientPolicy = "hash",
    lookback: int = 0,
) -> dg.AssetsDefinition:
    """The asset `sent_messages`: one row per run and message step, on servers that list them.

    Needs the resources `posthog` (scopes hog_flow:read and person:read) and `warehouse`. PostHog
    keeps sent messages for 30 days. Where the server does not list them, or the key lacks a scope,
    the table stays as it is and the metadata says so. Requests: one per workflow and stretch of
    partitions, and one per 500 messages.

    Args:
        partitions_def: daily or hourly, in UTC; a message is in the one of its newest send.
        options: how the asset looks.
        selection: which workflows; all by default.
        recipients: what becomes of people's addresses: `hash`, `keep` or `drop`.
        lookback: how many partitions before each of the run's are read again with it.

    Returns:
        The assets definition; a backfill is one run.
    """
    table, log_source = SENT_MESSAGES, WorkflowLogSource(selection or WorkflowSelection())

    @partition_step(
        table,
        partitions_def,
        options or AssetOptions(),
        group="messaging",
        deps=[log_source.catalog],
        lookback=lookback,
        log_source=log_source,
        metadata={
            "posthog/recipients": recipients,
            "posthog/personal_data": PERSONAL[table.name],
        },
    )
    def sent_messages(step: PartitionStep) -> Results:
        client, people = step.client, Recipients(recipients, step.project)
        sources = step.sources  # Listed first, so that PostHog's clock is known.

        def messages(source: Source, part: Window, dense: OnDense) -> Iterator[Row]:
            for message in client.messaging.sent_messages(
                source.id, after=part.start, before=part.end, on_dense=dense
            ):
                if message.sent_at is not None:
                    yield _row(source.id, message, people)

        def earlier(source_id: str, part: Window) -> Iterator[Row]:
            return loading.rows_in(step.loaded_of(part, {"workflow_id": source_id}))

        def read(window: Window) -> Iterator[pa.RecordBatch]:
            if not client.server.has("sent_messages"):
                raise errors.EndpointMissing(client.server.why_not("sent_messages"))
            rows = step.one_by_one(sources, window, messages, earlier, dense_remedy=_DENSE)
            yield from loading.arrow_batches(table, rows, project_id=step.project)

        def settled(window: Window) -> Collection[datetime]:
            since = min(loading.server_now(client), window.start) - step.retention
            return newest_sends(step.warehouse, table, since - timedelta(days=1), step.scope)

        yield step.load_partitions(
            read,
            order_by="-sent_at",
            owners=lambda stretch: {"workflow_id": [source.id for source in sources]},
            measure=MESSAGES,
            settled=settled,
            absent=(errors.NotOpenToKeys, errors.EndpointMissing, errors.MissingScope),
        )

    return sent_messages


def _row(workflow_id: str, message: SentMessage, people: Recipients) -> Row:
    return loading.row_of(
        SENT_MESSAGES,
        message,
        workflow_id=workflow_id,
        batch_job_id=message.parent_run_id or "",
        kind=message.kind or "email",
        **people.columns(message.recipient),
        subject=people.if_kept(message.subject),
        distinct_id=people.if_kept(message.distinct_id),
    )


def newest_sends(
    warehouse: Warehouse, table: Table, since: datetime, scope: Mapping[str, Any]
) -> set[datetime]:
    """Leave one row of each run and step, its newest send, of rows since then; gives the times of
    the rows that went."""
    doubled = warehouse.aggregate(
        table, by=list(_KEY), scope=scope, between={"sent_at": (since, None)}, at_least=2
    )
    runs = sorted({row["invocation_id"] for row in doubled})
    gone: set[datetime] = set()
    for start in range(0, len(runs), _IDS):
        only = {**scope, "invocation_id": runs[start : start + _IDS]}
        sends: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        for row in warehouse.read(table, scope=only).to_pylist():
            sends[tuple(row[name] for name in _KEY)].append(row)
        kept: list[dict[str, Any]] = []
        for rows in sends.values():
            newest = max(rows, key=lambda row: (row["sent_at"], row["_loaded_at"]))
            kept.append(newest)
            gone |= {row["sent_at"] for row in rows} - {newest["sent_at"]}
        warehouse.replace(table, loading.whole_batches(table, kept), scope=only)
    return gone
