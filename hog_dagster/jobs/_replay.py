"""The job that replays blocked runs, or runs failed runs again, of workflows and hog functions.

Facts: which of the two a server offers is what its endpoints answered; Dagster shows an output's
metadata on the run's page and a `Failure`'s on its failed step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from hog_dagster._dagster.failures import final
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import Actor, Outcome, Source, TimeWindow, reconcile
from hog_dagster.jobs._config import config_fields, read_config
from hog_dagster.jobs._replaying import (
    BadWindow,
    NamedRun,
    ReplayWanted,
    SourceReplay,
    check_window,
    replay_sources,
    run_again_in,
)
from hog_dagster.jobs._reporting import counts_of, names_of, replay_metadata
from hog_dagster.jobs._running import (
    ACTIONS_POOL,
    actor_for,
    chosen_sources,
    in_doubt_command,
    job_of,
    job_tags,
    moment_of,
)
from hog_dagster.policies import ReplayPolicy, Safety
from hog_dagster.resources import LedgerResource, PostHogResource

#: Fields that take one text for a list of one.
_TEXTS = ("workflows", "hog_functions", "error_kinds")


class RunToReplay(dg.Config):
    """A run to replay or to run again."""

    instance_id: str = Field(description="The run (invocation) id.")
    action_id: str | None = Field(default=None, description="For blocked runs: the blocked step.")
    event_uuid: str | None = Field(default=None, description="For blocked runs: the event.")
    scheduled_at: str | None = Field(
        default=None,
        description="For failed runs: when the run was scheduled (ISO 8601). Saves requests.",
    )


class ReplayConfig(dg.Config, ReplayPolicy):
    """What to replay and how carefully."""

    workflows: list[str] = Field(default=[], description="Workflows, by name or id.")
    hog_functions: list[str] = Field(default=[], description="Hog functions, by name or id.")
    runs: list[RunToReplay] = Field(
        default=[], description="Runs of the one workflow or hog function named above."
    )
    window_from: str | None = Field(
        default=None,
        description="Instead of `runs`: all failed runs scheduled at or after this time (ISO "
        "8601, UTC without an offset).",
    )
    window_to: str | None = Field(
        default=None,
        description="End of that window: only runs scheduled before this time. The default is now.",
    )
    all_blocked: bool = Field(
        default=False, description="Replay all runs on the blocked list instead of naming them."
    )

    @field_validator(*_TEXTS, mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def build_replay_job(
    name: str = "replay_runs",
    *,
    safety: Safety | None = None,
    resource_prefix: str = "",
    pool: str | None = ACTIONS_POOL,
    tags: dict[str, str] | None = None,
    hooks: set[dg.HookDefinition] | None = None,
    op_retry_policy: dg.RetryPolicy | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dg.JobDefinition:
    """The job that replays blocked runs, or runs failed runs again, each once.

    It needs the resources `posthog` and `ledger`, and `ReplayConfig` as the config of its op: some
    workflows or hog functions, and either runs, a window of time, or `all_blocked`. Its op succeeds
    when all is done, succeeds with a warning when something is in doubt, and fails when something
    could not be sent. Re-executing it is safe.

    The output's metadata counts outcomes and requests, shows per workflow what failed, what was (or
    would be) run again, which messages would go out again and what is left and why, and a table of
    what needs a look.

    Args:
        name: of the job; a sensor finds its earlier runs by it.
        safety: limits of the project: they hold whatever a run's config says.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        pool: Dagster pool of the op.
        tags: more tags for its runs.
        hooks: Dagster hooks, say for alerts.
        op_retry_policy: harmless, for a retried op reconciles what it sent; by default there is
            none, and what is left is requested again by whoever requested it.
        metadata: of the job, shown on its page.

    Returns:
        The job, with one op.

    Example:
        .. code-block:: python

            defs = dg.Definitions(jobs=[build_replay_job()], resources={...})
    """
    limits = safety or Safety()

    @takes_resources(
        dg.op,
        resource_prefix,
        name=f"{name}_op",
        pool=pool,
        config_schema=config_fields(ReplayConfig, _TEXTS),
        out=dg.Out(dict, description="How many runs had which outcome."),
        description="Claims each run in the ledger, sends one request, reads the evidence.",
    )
    def replay_op(
        context: dg.OpExecutionContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> dg.Output[dict[str, int]]:
        config = read_config(ReplayConfig, context.op_config)
        policy = limits.narrow_replay(config)
        with actor_for(
            context,
            posthog,
            ledger,
            grace_seconds=policy.grace_seconds,
            writes=not policy.dry_run,
        ) as actor:
            sources = _sources(context, actor, config, limits)
            wanted = _wanted(actor, config, sources)
            before = _reconcile(context, actor, sources, wanted, policy)
            parts = list(replay_sources(actor, sources, wanted, policy))
            if not before:
                _refuse_nothing(actor, parts, wanted.window)
            metadata = replay_metadata(parts, posthog)
            metadata["requests"] = actor.client.requests_made
            command = in_doubt_command(actor.ledger)
        return _finish(context, parts, metadata, command)

    return job_of(
        replay_op,
        name,
        "Replays blocked runs of PostHog workflows, or runs failed ones again, of hog functions "
        "too, once each, whatever crashes in between.",
        job_tags(tags),
        hooks=hooks,
        metadata=metadata,
        op_retry_policy=op_retry_policy,
    )


#: The job under its default name.
replay_runs = build_replay_job()


# --- what is wanted -------------------------------------------------------------------------------


def _sources(
    context: dg.OpExecutionContext, actor: Actor, config: ReplayConfig, safety: Safety
) -> list[Source]:
    if not config.workflows and not config.hog_functions:
        raise final("Nothing says what to replay: name workflows or hog_functions, by name or id.")
    if config.runs and len(config.workflows) + len(config.hog_functions) != 1:
        raise final(
            "Runs are named, and they belong to one workflow or hog function: name that one alone."
        )
    return chosen_sources(
        context, actor, safety, workflows=config.workflows, functions=config.hog_functions
    )


def _wanted(actor: Actor, config: ReplayConfig, sources: Sequence[Source]) -> ReplayWanted:
    if config.runs:
        runs = [
            NamedRun(
                run.instance_id,
                run.action_id,
                run.event_uuid,
                moment_of(run.scheduled_at, "scheduled_at"),
            )
            for run in config.runs
        ]
        return ReplayWanted(runs=runs)
    if config.all_blocked:
        return ReplayWanted(all_blocked=True)
    start = moment_of(config.window_from, "window_from")
    end = moment_of(config.window_to, "window_to")
    actor.know_the_time()
    try:
        return ReplayWanted(window=check_window(start, end, actor.latest()))
    except BadWindow as error:
        raise final(f"{error} Nothing was sent.") from None


def _reconcile(
    context: dg.OpExecutionContext,
    actor: Actor,
    sources: Sequence[Source],
    wanted: ReplayWanted,
    policy: ReplayPolicy,
) -> int:
    """Find out first what became of earlier actions: those whose runs succeeded meanwhile are in no
    list of failures any more. Returns how many there were.
    """
    if policy.dry_run or wanted.runs:  # what is named is reconciled where it is sent
        return 0
    before = reconcile(actor, sources)
    if len(before):
        counts = {name: n for name, n in before.counts().items() if n}
        said = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
        context.log.info(f"Of {len(before)} actions that were open before: {said}.")
    return len(before)


def _refuse_nothing(actor: Actor, parts: Sequence[SourceReplay], window: TimeWindow | None) -> None:
    """A window in which nothing failed is a mistake more often than not, unless its runs have been
    run again.
    """
    if window is None or not parts or not all(part.empty for part in parts):
        return
    if again := run_again_in(actor, [part.source for part in parts], window):
        actor.log.info(f"Nothing is failed any more: {again} runs of this window were run again.")
        return
    end = f"{window.end:%Y-%m-%d %H:%M} UTC" if window.end else "now"
    raise final(
        f"No run of {names_of([part.source for part in parts])} that was scheduled from "
        f"{window.start:%Y-%m-%d %H:%M} UTC to {end} is failed: check the window (times without an "
        "offset are UTC) and the workflow. Nothing was sent."
    )


# --- how it ended ---------------------------------------------------------------------------------


def _finish(
    context: dg.OpExecutionContext,
    parts: Sequence[SourceReplay],
    metadata: dict[str, Any],
    in_doubt: str,
) -> dg.Output[dict[str, int]]:
    results = [result for part in parts for result in part.summary]
    counts = counts_of(results)
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    context.log.info(f"{names_of([part.source for part in parts])}: {said or 'nothing to do'}")
    for part in parts:
        for note in part.summary.notes:
            context.log.info(note)
    not_sent = [result for result in results if result.outcome is Outcome.NOT_SENT]
    failed = [part for part in parts if part.failure]
    if not_sent or failed:
        whys = [f"{part.source.label}: {part.failure}" for part in failed]
        if not_sent:
            whys.append(f"{len(not_sent)} of {len(results)} runs were not sent: {not_sent[0].why}")
        raise final(
            f"{' '.join(_sentence(why) for why in whys)} What was sent is in the ledger; running "
            "this again is safe.",
            metadata,
        )
    if doubt := counts[str(Outcome.IN_DOUBT)]:
        context.log.warning(
            f"{doubt} runs are in doubt. They are not sent again before PostHog shows that they "
            f"did not happen; `{in_doubt}` lists them."
        )
    return dg.Output(counts, metadata=metadata)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
