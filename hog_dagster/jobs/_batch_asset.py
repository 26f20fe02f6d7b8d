"""A batch job as an asset: "when the audience table is fresh, send" in one line.

Facts: an automation condition is evaluated by the default automation sensor, which an operator
switches on; a condition such as `eager` fires once per update of what is upstream, and the Dagster
run it requests (with its re-executions) is the natural key of the send.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import final
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import Outcome
from hog_dagster.jobs._batch import BatchConfig, run_batch
from hog_dagster.jobs._running import ACTIONS_POOL
from hog_dagster.policies import BatchPolicy, Safety
from hog_dagster.resources import LedgerResource, PostHogResource

#: The natural key of a materialization: same key, same send.
KeyOf = Callable[[dg.AssetExecutionContext], str]

_FOLLOWED = BatchPolicy(follow_seconds=600.0)


def slug_of(text: str) -> str:
    """A name as Dagster takes it: letters, digits and underscores; empty when nothing is left."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()


def batch_job_asset(
    workflow: str,
    *,
    policy: BatchPolicy = _FOLLOWED,
    safety: Safety | None = None,
    deps: Sequence[Any] | None = None,
    name: str | None = None,
    key: dg.AssetKey | Sequence[str] | str | None = None,
    variables: Mapping[str, Any] | None = None,
    send_key: KeyOf | None = None,
    workflow_name: str = "",
    automation_condition: dg.AutomationCondition[Any] | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    group_name: str | None = "posthog_sends",
    owners: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
    pool: str | None = ACTIONS_POOL,
    resource_prefix: str = "",
) -> dg.AssetsDefinition:
    """An asset whose materialization sends a workflow's batch job, once per partition or per run.

    It needs the resources `posthog` and `ledger`. It is materialized when the batch was sent; it
    fails when it was refused, could not be sent or is in doubt; re-executing it is safe. When there
    is nothing to do (the last job still runs, a second click, a dry run) it says so and is not
    materialized.

    Args:
        workflow: the workflow, by name or id; its trigger must be of type batch.
        policy: how it is sent; a dry run until you switch that off. `again_after_seconds` does not
            apply to partitions or when `send_key` is given.
        safety: limits of the project: they hold whatever the policy says.
        deps: what must be fresh first: the tables the audience comes from.
        name: of the asset; default `posthog_batch_<name of the workflow, else its id>`.
        key: the whole asset key, instead of `name`.
        variables: values that replace the workflow's own variables.
        send_key: the natural key of a materialization, instead of partition or run.
        workflow_name: the workflow's name, where `workflow` is its id: for names and texts.
        automation_condition: say `dg.AutomationCondition.eager()`.
        partitions_def: one send per partition, ever.
        group_name, owners, tags, description, pool: as of any asset.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.

    Returns:
        The asset, with one step that sends.

    Example:
        .. code-block:: python

            trial_reminder = batch_job_asset(
                "Trial reminder",
                deps=["trial_users"],
                automation_condition=dg.AutomationCondition.eager(),
                # set dry_run=False when its log says what you want to be sent
                policy=BatchPolicy(dry_run=True, max_audience=5_000, follow_seconds=600),
            )
    """
    limits = safety or Safety()
    slug = slug_of(workflow_name or workflow) or slug_of(workflow) or "workflow"
    asset_key = (
        dg.AssetKey.from_coercible(key)
        if key is not None
        else dg.AssetKey([name or f"posthog_batch_{slug}"])
    )
    label = f'"{workflow_name or workflow}"'

    @takes_resources(
        dg.asset,
        resource_prefix,
        key=asset_key,
        deps=deps,
        automation_condition=automation_condition,
        partitions_def=partitions_def,
        group_name=group_name,
        owners=owners,
        tags=tags,
        kinds={"posthog"},
        pool=pool,
        description=description
        or f"Sends PostHog workflow {label} to its audience, once per "
        f"{'partition' if partitions_def else 'run'}.",
        output_required=False,
    )
    def batch_send(
        context: dg.AssetExecutionContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> Any:
        config = BatchConfig(
            workflow=workflow,
            key=_explicit_key(context, send_key),
            variables=dict(variables or {}),
            **{name: getattr(policy, name) for name in BatchPolicy.model_fields},
        )
        ran = run_batch(context, posthog, ledger, config, limits)
        result = ran.result
        if result.happened and not ran.failed:
            yield dg.MaterializeResult(metadata=ran.metadata)
            return
        if result.outcome in (Outcome.SKIPPED, Outcome.DRY_RUN):
            context.log.info(f"Not sent, {ran.source.label}: {result.why}")
            return
        failed = "PostHog says that the batch job failed" if result.happened else "It was not sent"
        if result.outcome is Outcome.IN_DOUBT:
            failed = "It is in doubt, and running this again reconciles it"
        raise final(f"{ran.source.label}: {failed}: {result.why}", ran.metadata)

    return batch_send


def _explicit_key(context: dg.AssetExecutionContext, send_key: KeyOf | None) -> str | None:
    if send_key is not None:
        return send_key(context)
    if context.has_partition_key_range:
        raise final(
            "Nothing was sent: each partition is a send of its own, and this run was asked for "
            "several. Launch one run per partition."
        )
    if context.has_partition_key:
        return f"{context.asset_key.to_user_string()}|{context.partition_key}"
    return None
