"""The table `sent_messages`: one row per run and message step, as it was last sent.

Facts: PostHog lists the messages of a workflow for 30 days, one row per run and step at its newest
send. A step that sends again on another day leaves its older row in that day's window until PostHog
deletes it: so the same message can come with two partitions, and its newest send stands.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._guard import SourceGuard
from hog_dagster.assets._log_sources import WorkflowLogSource
from hog_dagster.assets._messaging_tables import PERSONAL, SENT_MESSAGES
from hog_dagster.assets._partition_loading import Before, before_loading, load_partitions
from hog_dagster.assets._partitions import RETENTION_DAYS
from hog_dagster.assets._project_hosts import opened_with
from hog_dagster.assets._recipients import Recipients
from hog_dagster.assets._report import Report
from hog_dagster.assets._sources import Listed, listed
from hog_dagster.assets._summary import MESSAGES
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.policies import RecipientPolicy
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import SentMessage
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Table, Warehouse, Window

__all__ = ["build_sent_messages_asset"]

#: How long PostHog keeps sent messages.
RETENTION = timedelta(days=RETENTION_DAYS[SENT_MESSAGES.name])
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
    options = options or AssetOptions()
    table, log_source = SENT_MESSAGES, WorkflowLogSource(selection or WorkflowSelection())

    @loading.partitioned_asset(
        table,
        partitions_def,
        options,
        group="messaging",
        deps=[options.key(log_source.catalog.name)],
        metadata={
            "posthog/recipients": recipients,
            "posthog/personal_data": PERSONAL[table.name],
        },
    )
    def sent_messages(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        project = int(posthog.project_id)
        scope, people = {"project_id": project}, Recipients(recipients, project)

        def first(there: Warehouse) -> tuple[Before, Listed]:
            before = before_loading(context, table, there, project, lookback)
            return before, listed(
                context, posthog.client, there, log_source, options, before.windows
            )

        with dagster_failures(), opened_with(warehouse, posthog, first) as (opened, found):
            client, report, (before, known) = posthog.client, Report(), found
            sources = known.sources_of(client, log_source)
            names = {source.id: source.name for source in sources}

            def read(window: Window) -> Iterator[pa.RecordBatch]:
                if not client.server.has("sent_messages"):
                    raise errors.EndpointMissing(client.server.why_not("sent_messages"))

                def earlier(source_id: str, part: Window) -> Iterator[Mapping[str, Any]]:
                    only = {**scope, "workflow_id": source_id}
                    for batch in loading.loaded_before(opened, table, part, only):
                        yield from batch.to_pylist()

                guard: SourceGuard[Mapping[str, Any]] = SourceGuard(
                    report, earlier, context.log.warning, names, dense_remedy=_DENSE
                )

                def rows(source_id: str) -> Iterator[Mapping[str, Any]]:
                    def messages(part: Window) -> Iterator[Mapping[str, Any]]:
                        found = client.messaging.sent_messages(
                            source_id,
                            after=part.start,
                            before=part.end,
                            on_dense=lambda error: guard.gap(
                                source_id, Window(error.start, error.end), error
                            ),
                        )
                        for message in found:
                            if message.sent_at is not None:
                                yield _row(source_id, message, people)

                    return guard.read(source_id, window, messages)

                ids = [source.id for source in sources]
                pieces = interleave(ids, rows, workers=options.workers)
                whole = itertools.chain(pieces, guard.finish())
                yield from loading.arrow_batches(table, whole, project_id=project)

            def settled(window: Window) -> Collection[datetime]:
                since = min(loading.server_now(client), window.start) - RETENTION
                return newest_sends(opened, table, since - timedelta(days=1), scope)

            return load_partitions(
                context,
                table,
                read,
                posthog=posthog,
                warehouse=opened,
                order_by="-sent_at",
                url=log_source.page(posthog),
                retention=RETENTION,
                owners=lambda stretch: {"workflow_id": [source.id for source in sources]},
                measure=MESSAGES,
                before=before,
                report=report,
                settled=settled,
                absent=(errors.NotOpenToKeys, errors.EndpointMissing, errors.MissingScope),
            )

    return sent_messages


def _row(workflow_id: str, message: SentMessage, people: Recipients) -> Mapping[str, Any]:
    return {
        "workflow_id": workflow_id,
        "invocation_id": message.invocation_id,
        "action_id": message.action_id,
        "batch_job_id": message.parent_run_id or "",
        "kind": message.kind or "email",
        **people.columns(message.recipient),
        "subject": people.if_kept(message.subject),
        "distinct_id": people.if_kept(message.distinct_id),
        "person_id": message.person_id,
        "status": message.status,
        "sent_at": message.sent_at,
    }


def newest_sends(
    warehouse: Warehouse, table: Table, since: datetime, scope: Mapping[str, Any]
) -> set[datetime]:
    """Leave one row of each run and step: its newest send.

    Args:
        warehouse: the open warehouse; the table has been loaded.
        table: of messages.
        since: rows of before then are left alone.
        scope: whose rows; the project.

    Returns:
        The times of the rows that went.
    """
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
        warehouse.replace(table, loading.whole_batches(table, _iterated(kept)), scope=only)
    return gone


def _iterated(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield from rows
