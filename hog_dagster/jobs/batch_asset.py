"""A batch job as an asset: "when the audience table is fresh, send" in one line.

Facts: an automation condition is evaluated by the default automation sensor, which an operator
switches on; a condition such as `eager` fires once per update of what is upstream, and the Dagster
run it requests (with its re-executions) is the natural key of the send.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from hog_dagster.actions._batch import BatchOutcome
from hog_dagster.actions._protocol import StepObserver
from hog_dagster.jobs.batch import BatchConfig, batch_counts, carry_out
from hog_dagster.jobs.running import ACTS_POOL, acting_for, root_run_id
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = ["batch_job_asset"]

#: The natural key of a materialization: same key, same send.
KeyOf = Callable[[dg.AssetExecutionContext], str]


def batch_job_asset(
    workflow_id: str,
    *,
    deps: Sequence[Any] | None = None,
    name: str | None = None,
    key: dg.AssetKey | Sequence[str] | str | None = None,
    variables: Mapping[str, Any] | None = None,
    dry_run: bool = True,
    max_audience: int | None = None,
    send_uncounted: bool = False,
    skip_if_running: bool = True,
    again_after_seconds: float = 3600.0,
    grace_seconds: float = 120.0,
    settle_seconds: float = 150.0,
    follow_seconds: float = 600.0,
    cancel_on_termination: bool = False,
    send_key: KeyOf | None = None,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    partitions_def: dg.PartitionsDefinition | None = None,
    group_name: str | None = "posthog_sends",
    owners: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
    pool: str | None = ACTS_POOL,
    resource_prefix: str = "",
    on_step: StepObserver | None = None,
) -> dg.AssetsDefinition:
    """An asset whose materialization sends a workflow's batch job, once per partition or per run.

    It needs the resources `posthog` and `ledger`. It is materialized when the batch was sent; it
    fails when it was refused, could not be sent or is in doubt; re-executing it is safe. When there
    is nothing to do (the last job still runs, a second click, a dry run) it says so and is not
    materialized.

    Args:
        workflow_id: the workflow; its trigger must be of type batch.
        deps: what must be fresh first: the tables the audience comes from.
        name: of the asset; default `posthog_batch_<workflow id>`.
        key: the whole asset key, instead of `name`.
        variables: values that replace the workflow's own variables.
        dry_run: only say what would be sent; on until you switch it off.
        max_audience: refuse to send to more people than this.
        send_uncounted: send even if the server cannot count the audience.
        skip_if_running: skip while an earlier job of the workflow is under way.
        again_after_seconds: skip if the same was sent, by another run, less than this ago; does not
            apply to partitions or when `send_key` is given.
        grace_seconds: how late PostHog may be in showing a job.
        settle_seconds: how long a run reads back a send in doubt.
        follow_seconds: how long to follow the job after it was sent.
        cancel_on_termination: cancel the job if the run is terminated while following it.
        send_key: the natural key of a materialization, instead of partition or run.
        automation_condition: say `dg.AutomationCondition.eager()`.
        partitions_def: one send per partition, ever.
        group_name, owners, tags, description, pool: as of any asset.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        on_step: told (step, workflow id, key) at each step of the act.

    Example:
        .. code-block:: python

            trial_reminder = batch_job_asset(
                "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10",
                deps=["trial_users"],
                automation_condition=dg.AutomationCondition.eager(),
                max_audience=5_000,
                dry_run=True,  # set False when its log says what you want to be sent
            )
    """
    asset_key = (
        dg.AssetKey.from_coercible(key)
        if key is not None
        else dg.AssetKey([name or f"posthog_batch_{workflow_id.replace('-', '_')}"])
    )

    @dg.asset(
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
        or f"Sends PostHog workflow {workflow_id} to its audience, once per "
        f"{'partition' if partitions_def else 'run'}.",
        output_required=False,
    )
    @prefixed(resource_prefix)
    def batch_send(
        context: dg.AssetExecutionContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> Any:
        explicit = _explicit_key(context, send_key)
        config = BatchConfig(
            workflow_id=workflow_id,
            key=explicit,
            variables=dict(variables or {}),
            dry_run=dry_run,
            max_audience=max_audience,
            send_uncounted=send_uncounted,
            skip_if_running=skip_if_running,
            again_after_seconds=again_after_seconds,
            settle_seconds=settle_seconds,
            follow_seconds=follow_seconds,
            cancel_on_termination=cancel_on_termination,
        )
        with acting_for(
            context, posthog, ledger, grace_seconds=grace_seconds, on_step=on_step
        ) as acting:
            result, followed = carry_out(acting, config, root_run_id(context))
            requests = acting.client.requests_made
        metadata: dict[str, Any] = {
            **batch_counts(result),
            "requests": requests,
            "why": dg.MetadataValue.text(result.why),
            "batch_job_id": dg.MetadataValue.text(result.job_id or ""),
            "workflow": dg.MetadataValue.url(posthog.workflow_url(workflow_id, "metrics")),
        }
        if result.audience is not None:
            metadata["audience"] = result.audience
        if followed is not None:
            metadata["job_status"] = dg.MetadataValue.text(followed.status or followed.note)
        if result.happened and not (followed is not None and followed.failed):
            yield dg.MaterializeResult(metadata=metadata)
            return
        if result.outcome in (BatchOutcome.SKIPPED, BatchOutcome.DRY_RUN):
            context.log.info(f"Not sent: {result.why}")
            return
        failed = "PostHog says that the batch job failed" if result.happened else "It was not sent"
        if result.outcome is BatchOutcome.IN_DOUBT:
            failed = "It is in doubt, and running this again reads it back"
        raise dg.Failure(f"{failed}: {result.why}", metadata=metadata, allow_retries=False)

    return batch_send


def _explicit_key(context: dg.AssetExecutionContext, send_key: KeyOf | None) -> str | None:
    if send_key is not None:
        return send_key(context)
    if context.has_partition_key_range:
        raise dg.Failure(
            "Nothing was sent: each partition is a send of its own, and this run was asked for "
            "several. Launch one run per partition.",
            allow_retries=False,
        )
    if context.has_partition_key:
        return f"{context.asset_key.to_user_string()}|{context.partition_key}"
    return None
