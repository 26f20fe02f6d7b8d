"""The tables of who must get no mail, and of how mail is received: as they stand now.

Facts: opt-outs and categories come by HogQL, which shows all of them at once, where key and server
let us; by REST opt-outs of all and of each category are lists of their own. A server or key without
one of the lists costs that table a sentence; what was loaded of it earlier stays.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._messaging_tables import (
    MESSAGE_CATEGORIES,
    OPT_OUTS,
    PERSONAL,
    SENDING_REPUTATION,
    SUPPRESSIONS,
)
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.assets._recipients import Recipients
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import RecipientPolicy
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import MessageCategory, OptOut
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse

__all__ = ["build_messaging_assets"]

_LISTS = (SUPPRESSIONS, OPT_OUTS, MESSAGE_CATEGORIES)
_OUT = "OPTED_OUT"
Rows = Iterable[Mapping[str, Any]]


def build_messaging_assets(
    *,
    options: AssetOptions | None = None,
    recipients: RecipientPolicy = "hash",
    lists: bool = True,
    reputation: bool = True,
    name: str = "posthog_messaging",
) -> dg.AssetsDefinition:
    """The assets `suppressions`, `opt_outs`, `message_categories` and `sending_reputation`, one
    step, any subset of them materializable.

    Needs the resources `posthog` (scopes hog_flow:read, person:read and query:read) and
    `warehouse`. Requests: one per 100 suppressions; two for opt-outs and categories; one for
    reputation. Without query:read one per 100 opt-outs of all marketing messages, and categories
    are not read.

    Args:
        options: how the assets look.
        recipients: what becomes of people's addresses: `hash`, `keep` or `drop`.
        lists: whether suppressions, opt-outs and categories are loaded.
        reputation: whether `sending_reputation` is.
        name: of the step.

    Returns:
        The assets definition.

    Raises:
        ValueError: neither is wanted.
    """
    options = options or AssetOptions()
    tables = [*(_LISTS if lists else ()), *([SENDING_REPUTATION] if reputation else ())]
    if not tables:
        raise ValueError("build_messaging_assets: give lists=True or reputation=True")
    specs = [
        loading.table_spec(
            table,
            options,
            group="messaging",
            metadata={
                "posthog/recipients": recipients,
                "posthog/personal_data": PERSONAL[table.name],
            },
        )._replace(skippable=True)
        for table in tables
    ]

    @loading.table_assets(options, name=name, specs=specs, can_subset=True)
    def messaging(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult]:
        people = Recipients(recipients, int(posthog.project_id))
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            for table in tables:
                key = options.key(table.name)
                if key in context.selected_asset_keys:
                    metadata = _load(context, table, posthog, opened, people)
                    yield dg.MaterializeResult(asset_key=key, metadata=metadata)

    return messaging


def _load(
    context: dg.AssetExecutionContext,
    table: Table,
    posthog: PostHogResource,
    warehouse: Warehouse,
    people: Recipients,
) -> dict[str, Any]:
    client, scope = posthog.client, {"project_id": int(posthog.project_id)}
    requests, started = client.requests_made, time.monotonic()
    notes: list[str] = []
    read = _READERS[table.name]
    with warehouse.loading():
        try:
            rows = list(read(client, people, notes))
            batches = loading.arrow_batches(table, rows, project_id=scope["project_id"])
            if table is SENDING_REPUTATION:
                load = warehouse.upsert(table, batches)
            else:
                load = warehouse.replace(table, batches, scope=scope)
        except (errors.PermissionDenied, errors.EndpointMissing) as error:
            notes[:] = [f"Not read, what was loaded earlier stays: {error}"]
            context.log.warning(notes[0])
            warehouse.upsert(table, [])
            load = LoadResult(rows=warehouse.count(table, scope=scope))
    with warehouse.reading():
        shown = loading.preview(warehouse, table, project_id=scope["project_id"])
    spent = loading.Loaded(load, client.requests_made - requests, time.monotonic() - started)
    return loading.result_metadata(
        table,
        spent,
        warehouse=warehouse,
        posthog=posthog,
        url=posthog.workflows_url,
        shown=shown,
        notes=notes,
    )


def _suppressions(client: PostHogClient, people: Recipients, notes: list[str]) -> Rows:
    for row in client.messaging.suppressions():
        yield {
            "id": row.id or people.hashed(row.identifier),
            **people.columns(row.identifier),
            "source": row.source,
            "reason": row.reason,
            "transient_bounce_count": row.transient_bounce_count,
            "last_bounce_at": row.last_bounce_at,
            "last_bounce_diagnostic": people.if_kept(row.last_bounce_diagnostic),
            "suppressed_at": row.suppressed_at,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }


def _opt_outs(client: PostHogClient, people: Recipients, notes: list[str]) -> Rows:
    try:
        categories = client.messaging.categories()
    except (errors.PermissionDenied, errors.EndpointMissing) as error:
        categories = []
        notes.append(f"Categories could not be read: {error}")
    keys = {"$all": "$all", **{one.id: one.key for one in categories}}
    found: dict[str, OptOut] = {}
    try:
        found = {one.id or one.identifier: one for one in client.messaging.preferences()}
    except (errors.PermissionDenied, errors.EndpointMissing) as error:
        notes.append(f"Read by REST, because HogQL does not work: {error}")
        found = _by_rest(client, categories)
    for ident, row in found.items():
        for category, state in row.preferences.items():
            if state == _OUT:
                yield {
                    "id": ident,
                    "category_id": category,
                    "category_key": keys.get(category),
                    **people.columns(row.identifier),
                    "updated_at": row.updated_at,
                }


def _by_rest(client: PostHogClient, categories: Iterable[MessageCategory]) -> dict[str, OptOut]:
    """Those out of all, and those out of each category that is known."""
    found = {one.id or one.identifier: one for one in client.messaging.opt_outs()}
    for category in categories:
        for one in client.messaging.opt_outs(category_key=category.key):
            found[one.id or one.identifier] = one
    return found


def _categories(client: PostHogClient, people: Recipients, notes: list[str]) -> Rows:
    for row in client.messaging.categories():
        yield {
            "id": row.id,
            "key": row.key,
            "name": row.name,
            "description": row.description,
            "public_description": row.public_description,
            "category_type": row.category_type,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }


def _reputation(client: PostHogClient, people: Recipients, notes: list[str]) -> Rows:
    found = client.messaging.reputation()
    now = loading.server_now(client)
    rates, allowance = found.reputation, found.sending_allowance
    aws = found.aws if isinstance(found.aws, Mapping) else {}
    yield {
        "day": now.replace(hour=0, minute=0, second=0, microsecond=0),
        "read_at": now,
        "emails_sent": rates.emails_sent if rates else None,
        "bounce_rate": rates.bounce_rate if rates else None,
        "complaint_rate": rates.complaint_rate if rates else None,
        "suspended": found.email_sending_suspended,
        "suspended_at": found.email_sending_suspended_at,
        "suspension_reason": found.email_sending_suspension_reason or None,
        "paused_workflows": sum(one.email_sending_paused is True for one in found.workflows),
        "provider_status": aws.get("sending_status"),
        "tier": allowance.tier if allowance else None,
        "tier_enforced": allowance.enforced if allowance else None,
        "emails_per_hour": allowance.emails_per_hour if allowance else None,
        "emails_per_day": allowance.emails_per_day if allowance else None,
        "max_batch_audience": allowance.max_batch_audience if allowance else None,
        "emails_sent_last_hour": allowance.emails_sent_last_hour if allowance else None,
        "emails_sent_last_day": allowance.emails_sent_last_day if allowance else None,
        "workflows": [one.model_dump(mode="json") for one in found.workflows],
    }


_READERS: Mapping[str, Callable[[PostHogClient, Recipients, list[str]], Rows]] = {
    SUPPRESSIONS.name: _suppressions,
    OPT_OUTS.name: _opt_outs,
    MESSAGE_CATEGORIES.name: _categories,
    SENDING_REPUTATION.name: _reputation,
}
