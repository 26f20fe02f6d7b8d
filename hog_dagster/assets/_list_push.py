"""Pushing opt-outs or suppressions of a warehouse table to PostHog, each change once.

Facts: PostHog compares opt-outs with addresses letter by letter, suppressions in lower case. What
is sent stands in the ledger first; a run that was killed is reconciled by the next one with what
PostHog lists, so that only what is missing is sent.
"""

import time
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.actions import (
    ALL,
    BadRows,
    ListPlan,
    ListPush,
    PushedList,
    PushedPairs,
    list_source,
    wanted_pairs,
)
from hog_dagster.assets._group_source import GroupSource, SourceTable, push_asset, show_plan
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.jobs import ACTIONS_POOL, actor_for
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import PushPolicy, Safety
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import MessageCategory
from hog_dagster.resources import LedgerResource, PostHogResource, WarehouseResource


class OptOutPushConfig(dg.Config):
    """What one run of a push may do; what is left out is as the push was built.

    Args:
        dry_run: only make the plan.
        max_additions: send nothing when more than this would be added.
        max_removals: remove nothing when more would be removed.
    """

    dry_run: bool | None = None
    max_additions: int | None = None
    max_removals: int | None = None


def build_opt_out_push_asset(
    table_or_asset: SourceTable,
    identifier_column: str,
    *,
    into: PushedList = "opt_outs",
    category_key: str | None = None,
    category_column: str | None = None,
    policy: PushPolicy | None = None,
    safety: Safety | None = None,
    name: str | None = None,
    options: AssetOptions | None = None,
    pool: str | None = ACTIONS_POOL,
) -> dg.AssetsDefinition:
    """An asset that opts people out, or suppresses addresses, in PostHog as a warehouse table says.

    It reads the table, checks every row, compares with what PostHog lists, shows the plan as an
    observation, and sends the differences alone, each once. Nothing is removed unless the policy
    says `mirror`; then never more than `max_removals`, nothing that changed in the last
    `settled_hours`, no address that bounced or complained, and no opt-out of one category of
    somebody who is out of all. It is a dry run until the policy or a run's config says otherwise.

    Needs the resources `posthog` (scopes hog_flow:read and hog_flow:write; query:read for
    categories; person:read for suppressions), `warehouse` and `ledger`. Requests: one per 50,000
    recipients to read them (one per 100 without query:read), one per 1,000 opt-outs that are added,
    one per suppression, two per removal.

    Personal data: addresses go from the warehouse to PostHog. Dagster's event log gets numbers, the
    ledger fingerprints.

    Args:
        table_or_asset: `schema.table`, a declared `Table`, or an asset (or its key) whose metadata
            `dagster/table_name` or last two key parts name the table.
        identifier_column: the column with addresses, as PostHog's persons have them.
        into: `opt_outs` (marketing messages) or `suppressions` (no mail at all).
        category_key: opt out of this category; None: of all marketing messages.
        category_column: a column with the key of each row's category; a null means `category_key`.
            With `mirror`, a category that no row has is left alone.
        policy: dry run, mirror, caps.
        safety: limits of the project: they hold whatever the policy says.
        name: of the asset; `push_opt_outs` or `push_suppressions` when None.
        options: how the asset looks.
        pool: Dagster pool of the step.

    Returns:
        The assets definition.

    Raises:
        ValueError: suppressions with a category.

    Example:
        .. code-block:: python

            build_opt_out_push_asset(
                "crm.unsubscribed",
                "email",
                policy=PushPolicy(dry_run=True),  # until what it would send looks right
            )
    """
    if into == "suppressions" and (category_key or category_column):
        raise ValueError("build_opt_out_push_asset: suppressions have no category")
    options, limits = options or AssetOptions(), safety or Safety()
    chosen = (policy or PushPolicy()).narrowed(limits)
    source, target = GroupSource.of(table_or_asset), list_source(into)
    key = options.key(name or f"push_{into}")

    @push_asset(
        options,
        key,
        source,
        description=f"{target.name.capitalize()} in PostHog, pushed from {source.name}. "
        "Personal data: addresses go to PostHog; none is kept by Dagster or the ledger.",
        group="messaging",
        metadata={
            "posthog/mirror": chosen.mirror,
            "posthog/personal_data": "Addresses go from the warehouse to PostHog.",
        },
        pool=pool or options.pool,
    )
    def push(
        context: dg.AssetExecutionContext,
        config: OptOutPushConfig,
        posthog: PostHogResource,
        warehouse: WarehouseResource,
        ledger: LedgerResource,
    ) -> dg.MaterializeResult:
        given = {name: value for name, value in config.model_dump().items() if value is not None}
        now = PushPolicy(**{**chosen.model_dump(), **given}).narrowed(limits)
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            started = time.monotonic()
            columns = [category_column] if category_column is not None else []
            rows = source.read(opened, identifier_column, columns).to_pylist()
            with actor_for(
                context,
                posthog,
                ledger,
                grace_seconds=now.grace_seconds,
                writes=not now.dry_run,
            ) as actor:
                before = actor.client.requests_made
                categories = _categories(actor.client, category_key, category_column)
                pairs = wanted_pairs(
                    rows,
                    into=into,
                    identifier_column=identifier_column,
                    category_column=category_column,
                    category_key=category_key,
                    known=None if categories is None else [one.key for one in categories],
                    what=source.name,
                )
                keys = {of for _, of in pairs} if category_column else {category_key or ALL}
                work = ListPush(actor, into, now)
                with actor.holding(target.id, now.lock_wait_seconds) as held:
                    if not held:
                        raise dg.Failure(
                            f"Nothing was sent: another run is pushing {target.name}.",
                            allow_retries=False,
                        )
                    plan = work.plan(pairs, keys, categories)
                    shown = {f"posthog/{name}": n for name, n in plan.numbers().items()}
                    shown |= {"posthog/dry_run": now.dry_run, "posthog/mirror": now.mirror}
                    context.log.info(f"{target.name} of {source.name}: {plan.numbers()}")
                    show_plan(context, key, shown)
                    pushed = PushedPairs() if now.dry_run else work.push(plan)
                metadata: dict[str, Any] = {
                    **shown,
                    **{f"posthog/{name}": n for name, n in pushed.numbers().items()},
                    "posthog/requests": actor.client.requests_made - before,
                    "posthog/seconds": round(time.monotonic() - started, 3),
                    "posthog/url": dg.MetadataValue.url(posthog.workflows_url),
                }
            _raise_unless_whole(plan, pushed, target.name, metadata)
            return dg.MaterializeResult(asset_key=key, metadata=metadata)

    return push


def _categories(
    client: PostHogClient, key: str | None, column: str | None
) -> list[MessageCategory] | None:
    """The categories of messages, where the push names any."""
    if key is None and column is None:
        return None
    found = client.messaging.categories()
    keys = sorted(one.key for one in found)
    if key is not None and key not in keys:
        said = f"PostHog has no category with the key {key!r}; it has {', '.join(keys) or 'none'}"
        raise BadRows([said], "the table")
    return found


def _raise_unless_whole(
    plan: ListPlan, pushed: PushedPairs, what: str, metadata: dict[str, Any]
) -> None:
    """Fail the run when not all of the plan was done; the next one does what is left."""
    later = pushed.not_sent + pushed.in_doubt + plan.held
    left = later + pushed.passed_over + pushed.over_cap
    if not left or metadata["posthog/dry_run"]:
        return
    problems = pushed.problems or ["an earlier push is in doubt; the next run looks again"]
    raise dg.Failure(
        f"{left} changes of {what} were not made or are in doubt; {pushed.added} were added and "
        f"{pushed.removed} removed. Run it again: only what is missing is sent. {problems[0]}",
        metadata={**metadata, "posthog/problems": dg.MetadataValue.md("\n".join(problems[:10]))},
        allow_retries=later > 0,
    )
