"""What Dagster adds to actions: which run acts, whether another still runs, the ledger's pairing,
the tags and the pool.

Facts: a re-executed run has a new id and its parent's `root_run_id`; `retry_on_asset_or_op_failure`
defaults to true, so op retries and run retries multiply unless a tag says otherwise; a killed run
stays STARTED until run monitoring finds it; a pool has no limit until an operator sets one, so the
ledger's lock is the guard and the pool a courtesy.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus

from hog_dagster._dagster.failures import dagster_failures, final
from hog_dagster.actions import Actor, Source, UnknownSource, command_runs, either
from hog_dagster.jobs._chosen import choose_sources
from hog_dagster.jobs._pairing import pairing_refusal, remember_pairing
from hog_dagster.ledger import Alive, Ledger, LedgerError, LedgerUnavailable, LockLost
from hog_dagster.policies import Safety
from hog_dagster.resources import LedgerResource, PostHogResource

#: Tag with the workflow a run acts on; limit runs per value of it in `tag_concurrency_limits`.
WORKFLOW_TAG = "hog_dagster/workflow_id"
#: Tag with its name, for people.
NAME_TAG = "hog_dagster/workflow"
#: Tag with what a tick found, in words, for whoever looks at the run it requested.
DETECTION_TAG = "hog_dagster/detection"
#: Pool of all ops that act on people.
ACTIONS_POOL = "posthog_actions"

IN_PROGRESS: Sequence[DagsterRunStatus] = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def job_tags(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tags of a job that acts.

    Dagster retries it only when its process died: a failure it reported itself says what to do, and
    what is left is requested again by the sensor. The ledger makes either harmless.
    """
    return {
        "dagster/retry_on_asset_or_op_failure": "false",
        "dagster/max_retries": "2",
        "dagster/retry_strategy": "ALL_STEPS",
        **(extra or {}),
    }


def moment_of(text: str | None, name: str) -> datetime | None:
    """A time given in a run's config as ISO 8601; without an offset it is UTC.

    Raises:
        dagster.Failure: it cannot be read; says which field and how to write it.
    """
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        when.astimezone(UTC)  # which year 1 and year 9999 may not have
    except (ValueError, OverflowError):
        raise final(
            f"{name} is {text!r}; give ISO 8601, such as 2026-12-01T09:00:00+01:00."
        ) from None
    return when


def chosen_sources(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    actor: Actor,
    safety: Safety,
    *,
    workflows: Sequence[str] = (),
    functions: Sequence[str] = (),
) -> list[Source]:
    """What a run acts on; where it is one workflow or function, the run is tagged with it.

    Raises:
        dagster.Failure: one is unknown, or the project's safety settings allow none of them.
    """
    try:
        chosen = choose_sources(actor.client, safety, workflows=workflows, functions=functions)
    except UnknownSource as error:
        raise final(f"{error} Nothing was sent.") from None
    for note in chosen.notes:
        context.log.warning(note)
    if chosen.barred:
        barred = "; ".join(source.label for source in chosen.barred)
        why = f"The project's safety settings do not allow acting on {barred}."
        if not chosen.sources:
            raise final(f"{why} Nothing was sent.")
        context.log.warning(why)
    if len(chosen.sources) == 1:
        one = chosen.sources[0]
        tags = {WORKFLOW_TAG: one.id, NAME_TAG: one.name or one.id}
        context.instance.add_run_tags(context.run.run_id, tags)
    return chosen.sources


def job_of(
    op: Any, name: str, description: str, tags: Mapping[str, str] | None = None, **more: Any
) -> dg.JobDefinition:
    """A job of one op, which runs in the run's process: one of its own would gain nothing."""

    @dg.job(
        name=name,
        description=description,
        executor_def=dg.in_process_executor,
        tags=tags,
        **more,
    )
    def job() -> None:
        op()

    return job


def root_run_id(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> str:
    """The first run of a chain of re-executions: the same for all of them."""
    return context.run.root_run_id or context.run.run_id


def alive_in(instance: dg.DagsterInstance) -> Alive:
    """Whether a run of this instance, or a command on this machine, still runs; None for others."""

    ended: set[str] = set()  # a run that has ended stays so

    def run_runs(owner: str) -> bool | None:
        if owner in ended:
            return False
        run = instance.get_run_by_id(owner)
        if run is not None and run.status in _ENDED:
            ended.add(owner)
        return None if run is None else run.status not in _ENDED

    return either(command_runs, run_runs)


@contextmanager
def actor_for(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    posthog: PostHogResource,
    ledger: LedgerResource,
    *,
    grace_seconds: float,
    writes: bool,
) -> Iterator[Actor]:
    """What acts for a run; permanent errors of PostHog and the ledger become `dagster.Failure`.

    Where a run `writes`, to send or to reconcile, the ledger must be the one that this instance
    used for the project before; else another one is only a warning.

    Raises:
        dagster.Failure: an error that trying again does not remove; it says what to do.
    """
    with dagster_failures(), ledger.open() as book:
        try:
            client = posthog.client
            project = (context.instance, book, client.host, client.project_id)
            context.log.info(f"Ledger: {book.location}")
            why = pairing_refusal(*project)
            if why:
                where = f"--project {client.project_id} --host {client.host}"
                adopt = f"`{_ledger_command(book)} adopt {where}`"
                why = why.replace("`hog-dagster ledger adopt`", adopt)
            if why and writes:
                raise final(why)
            if why:
                context.log.warning(why)
            elif writes:
                remember_pairing(*project)
            try:
                yield Actor(
                    client=client,
                    ledger=book,
                    owner=context.run.run_id,
                    log=context.log,
                    alive=alive_in(context.instance),
                    grace=timedelta(seconds=grace_seconds),
                    resolve_command=resolve_command(book),
                    on_marked=partial(remember_pairing, *project) if writes and not why else None,
                )
            finally:
                if writes and not why:
                    remember_pairing(*project)
        except LedgerUnavailable:
            raise  # the database may be back for a retry
        except (LedgerError, LockLost) as error:
            raise final(f"{error} Running this again is safe.") from error


def resolve_command(ledger: Ledger) -> str:
    """How an operator resolves an action of this ledger; `{id}` stands for its number."""
    command = f"{_ledger_command(ledger)} resolve"
    command = command.replace("{", "{{").replace("}", "}}")
    return command + ' {id} --as confirmed|not-sent --reason "..."'


def in_doubt_command(ledger: Ledger) -> str:
    """How an operator lists the actions of this ledger that are in doubt."""
    return f"{_ledger_command(ledger)} list --in-doubt"


def _ledger_command(ledger: Ledger) -> str:
    """The command with the address of the ledger, so that it works wherever it is called.

    A PostgreSQL ledger is named without its password, which the command takes from
    HOG_DAGSTER_LEDGER or PGPASSWORD.
    """
    return f"hog-dagster ledger --url {shlex.quote(ledger.location)}"
