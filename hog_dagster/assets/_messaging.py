"""The tables of who must get no mail, and of how mail is received: as they stand now.

Facts: opt-outs and categories come by HogQL, which shows all of them at once, where key and server
let us; by REST opt-outs of all and of each category are lists of their own. A server or key without
one of the lists costs that table a sentence; what was loaded of it earlier stays.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._message_tables import (
    MESSAGE_CATEGORIES,
    OPT_OUTS,
    PERSONAL,
    SENDING_REPUTATION,
    SUPPRESSIONS,
)
from hog_dagster.assets._recipients import Recipients
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import RecipientPolicy
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import MessageCategory, OptOut
from hog_dagster.warehouse import Table

_LISTS = (SUPPRESSIONS, OPT_OUTS, MESSAGE_CATEGORIES)
_OUT = "OPTED_OUT"
#: This server or key lacks a list.
_ABSENT = (errors.PermissionDenied, errors.EndpointMissing)


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

    @snapshot_step(
        options,
        dict.fromkeys(tables, ()),
        group="messaging",
        name=name,
        metadata=lambda table: {
            "posthog/recipients": recipients,
            "posthog/personal_data": PERSONAL[table.name],
        },
    )
    def messaging(step: Step) -> Results:
        people = Recipients(recipients, step.project)
        for table in step.selected(tables):
            rows = _READERS[table](step, people)
            yield step.load(table, rows, upsert=table is SENDING_REPUTATION, absent=_ABSENT)

    return messaging


def _suppressions(step: Step, people: Recipients) -> Iterator[Row]:
    for row in step.client.messaging.suppressions():
        yield loading.row_of(
            SUPPRESSIONS,
            row,
            id=row.id or people.hashed(row.identifier),
            **people.columns(row.identifier),
            last_bounce_diagnostic=people.if_kept(row.last_bounce_diagnostic),
        )


def _opt_outs(step: Step, people: Recipients) -> Iterator[Row]:
    service = step.client.messaging
    try:
        categories = service.categories()
    except _ABSENT as error:
        categories = []
        step.notes.append(f"Categories could not be read: {error}")
    keys = {"$all": "$all", **{one.id: one.key for one in categories}}
    try:
        found = {one.id or one.identifier: one for one in service.preferences()}
    except _ABSENT as error:
        step.notes.append(f"Read by REST, because HogQL does not work: {error}")
        found = _by_rest(step.client, categories)
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


def _categories(step: Step, people: Recipients) -> Iterator[Row]:
    for row in step.client.messaging.categories():
        yield loading.row_of(MESSAGE_CATEGORIES, row)


def _reputation(step: Step, people: Recipients) -> Iterator[Row]:
    found = step.client.messaging.reputation()
    now = loading.server_now(step.client)
    rates, allowance = found.reputation, found.sending_allowance
    aws = found.aws if isinstance(found.aws, Mapping) else {}
    yield {
        "day": now.replace(hour=0, minute=0, second=0, microsecond=0),
        "read_at": now,
        **{name: getattr(rates, name, None) for name in _RATES},
        "suspended": found.email_sending_suspended,
        "suspended_at": found.email_sending_suspended_at,
        "suspension_reason": found.email_sending_suspension_reason or None,
        "paused_workflows": sum(one.email_sending_paused is True for one in found.workflows),
        "provider_status": aws.get("sending_status"),
        "tier_enforced": allowance.enforced if allowance else None,
        **{name: getattr(allowance, name, None) for name in _ALLOWANCE},
        "workflows": [one.model_dump(mode="json") for one in found.workflows],
    }


_RATES = ("emails_sent", "bounce_rate", "complaint_rate")
_ALLOWANCE = (
    "tier",
    "emails_per_hour",
    "emails_per_day",
    "max_batch_audience",
    "emails_sent_last_hour",
    "emails_sent_last_day",
)
_READERS: Mapping[Table, Callable[[Step, Recipients], Iterable[Row]]] = {
    SUPPRESSIONS: _suppressions,
    OPT_OUTS: _opt_outs,
    MESSAGE_CATEGORIES: _categories,
    SENDING_REPUTATION: _reputation,
}
