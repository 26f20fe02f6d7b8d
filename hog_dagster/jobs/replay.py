"""The job that replays blocked runs, or runs failed runs again, of one workflow, each once.

Facts: which of the two a server offers (`client.server`); Dagster shows an output's metadata on the
run's page and a `Failure`'s on its failed step.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster.actions._protocol import Acting, StepObserver
from hog_dagster.actions._replays import BlockedRunToReplay, replay_blocked
from hog_dagster.actions._reruns import rerun_failed
from hog_dagster.actions._runs import FailedRunToRerun
from hog_dagster.actions._summary import Outcome, Tally
from hog_dagster.jobs.running import ACTS_POOL, acting_for, job_tags, moment_of
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = ["ReplayConfig", "RunToReplay", "build_replay_job", "replay_blocked_runs"]


class RunToReplay(dg.Config):
    """A run to replay or to run again."""

    instance_id: str = Field(description="The run (invocation) id.")
    action_id: str | None = Field(default=None, description="Blocked runs: the blocked step.")
    event_uuid: str | None = Field(default=None, description="Blocked runs: the event.")
    scheduled_at: str | None = Field(
        default=None, description="Failed runs: when it was scheduled, ISO 8601; saves requests."
    )


class ReplayConfig(dg.Config):
    """What to replay and how carefully."""

    workflow_id: str = Field(description="The workflow.")
    runs: list[RunToReplay] = Field(default=[], description="Which runs.")
    all_blocked: bool = Field(
        default=False, description="All runs on the blocked list, instead of naming them."
    )
    dry_run: bool = Field(
        default=True, description="Only log what would be sent. Set false to replay."
    )
    max_runs: int = Field(default=100, ge=1, description="At most so many runs in this job.")
    mode: str = Field(
        default="single",
        description="single: one request each. bulk: one request for the whole blocked list, if "
        "all that is on it was asked for.",
    )
    grace_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How late PostHog may be in showing an effect. Only after it is an act in "
        "doubt believed not to have happened, and sent again.",
    )
    verify_seconds: float = Field(
        default=60.0, ge=0, description="How long to look for the effect after the last request."
    )
    lock_wait_seconds: float = Field(
        default=60.0, ge=0, description="How long to wait for another run on the same workflow."
    )
    max_reruns: int = Field(
        default=1, ge=1, description="Failed runs: how often one run may be run again in all."
    )
    slice_size: int = Field(
        default=500, ge=1, le=10_000, description="Failed runs: so many per request."
    )
    error_kinds: list[str] = Field(
        default=[], description="Failed runs: only these kinds of error; all when empty."
    )


def build_replay_job(
    name: str = "replay_blocked_runs",
    *,
    resource_prefix: str = "",
    pool: str | None = ACTS_POOL,
    tags: dict[str, str] | None = None,
    hooks: set[dg.HookDefinition] | None = None,
    op_retry_policy: dg.RetryPolicy | None = None,
    on_step: StepObserver | None = None,
) -> dg.JobDefinition:
    """The job that replays blocked runs (or reruns failed runs) of one workflow, each once.

    It needs the resources `posthog` and `ledger`. Its op succeeds when all is done, succeeds with a
    warning when something is in doubt, and fails when something failed. Re-executing it is safe.
    The output's metadata counts queued, confirmed, failed, skipped, unreplayable, in_doubt, dry_run
    and requests.

    Args:
        name: of the job; a sensor finds its earlier runs by it.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        pool: Dagster pool of the op.
        tags: more tags for its runs.
        hooks: Dagster hooks, say for alerts.
        op_retry_policy: harmless, for a retried op reads back what it sent; by default there is
            none, and what is left is asked for again by whoever asked for it.
        on_step: told (step, workflow id, run id) at each step of each act.

    Example:
        .. code-block:: python

            defs = dg.Definitions(jobs=[build_replay_job()], resources={...})
    """

    @dg.op(
        name=f"{name}_op",
        pool=pool,
        out=dg.Out(dict, description="How many runs had which outcome."),
        description="Claims each run in the ledger, sends one request, reads back what came of it.",
    )
    @prefixed(resource_prefix)
    def replay_op(
        context: dg.OpExecutionContext,
        config: ReplayConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, int]]:
        with acting_for(
            context, posthog, ledger, grace_seconds=config.grace_seconds, on_step=on_step
        ) as acting:
            tally = _replay(acting, config)
            tally.requests = acting.client.requests_made
        return _finish(context, config, posthog, tally)

    @dg.job(
        name=name,
        op_retry_policy=op_retry_policy,
        executor_def=dg.in_process_executor,  # one op: a process of its own would gain nothing
        tags=job_tags(tags),
        hooks=hooks,
        description="Replays blocked runs of a PostHog workflow, or runs failed ones again, once "
        "each, whatever crashes in between.",
    )
    def replay_job() -> None:
        replay_op()

    return replay_job


#: The job under its default name.
replay_blocked_runs = build_replay_job()


def _replay(acting: Acting, config: ReplayConfig) -> Tally:
    if config.mode not in ("single", "bulk"):
        raise dg.Failure(f"mode is {config.mode!r}; give single or bulk.", allow_retries=False)
    if not config.runs and not config.all_blocked:
        raise dg.Failure(
            "Nothing to replay: name runs, or set all_blocked for all that are on the list.",
            allow_retries=False,
        )
    with acting.holding(config.workflow_id, config.lock_wait_seconds) as held:
        if not held:
            tally = Tally()
            for run in config.runs:
                tally.add(
                    Outcome.SKIPPED, run.instance_id, "another run is acting on this workflow"
                )
            tally.notes.append("Another run is acting on this workflow; nothing was sent.")
            return tally
        if acting.client.server.has("rerun"):
            return _rerun(acting, config)
        return replay_blocked(
            acting,
            config.workflow_id,
            [BlockedRunToReplay(r.instance_id, r.action_id, r.event_uuid) for r in config.runs],
            all_blocked=config.all_blocked,
            bulk=config.mode == "bulk",
            dry_run=config.dry_run,
            max_runs=config.max_runs,
            verify_seconds=config.verify_seconds,
        )


def _rerun(acting: Acting, config: ReplayConfig) -> Tally:
    if config.all_blocked:
        raise dg.Failure(
            "This server has no blocked runs: name the failed runs to run again. "
            + acting.client.server.why_not("blocked_runs"),
            allow_retries=False,
        )
    return rerun_failed(
        acting,
        config.workflow_id,
        [
            FailedRunToRerun(r.instance_id, moment_of(r.scheduled_at, "scheduled_at"))
            for r in config.runs
        ],
        dry_run=config.dry_run,
        max_runs=config.max_runs,
        max_reruns=config.max_reruns,
        slice_size=config.slice_size,
        error_kinds=config.error_kinds,
        verify_seconds=config.verify_seconds,
    )


def _finish(
    context: dg.OpExecutionContext, config: ReplayConfig, posthog: PostHogResource, tally: Tally
) -> dg.Output[dict[str, int]]:
    metadata: dict[str, Any] = {
        **tally.metadata(),
        "workflow": dg.MetadataValue.url(posthog.workflow_url(config.workflow_id, "logs")),
    }
    context.log.info(f"Workflow {config.workflow_id}: {tally.sentence()}")
    if tally[Outcome.FAILED]:
        why = next(why for outcome, _, why in tally.reasons if outcome is Outcome.FAILED)
        raise dg.Failure(
            f"{tally[Outcome.FAILED]} of {len(tally.reasons)} runs were not replayed: {why} "
            "What was sent is in the ledger; running this again is safe.",
            metadata=metadata,
            allow_retries=False,
        )
    if tally[Outcome.IN_DOUBT]:
        context.log.warning(
            f"{tally[Outcome.IN_DOUBT]} runs are in doubt. They are not sent again before PostHog "
            "shows that they did not happen; `hog-dagster ledger list --in-doubt` shows them."
        )
    return dg.Output(tally.as_dict(), metadata=metadata)
