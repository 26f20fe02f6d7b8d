"""What Dagster adds to acts: which run acts, whether another still runs, the tags and the pool.

Facts: a re-executed run has a new id and its parent's `root_run_id`; `retry_on_asset_or_op_failure`
defaults to true, so op retries and run retries multiply unless a tag says otherwise; a killed run
stays STARTED until run monitoring finds it; a pool has no limit until an operator sets one, so the
ledger's lock is the guard and the pool a courtesy.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus

from hog_dagster.actions._protocol import Acting, StepObserver
from hog_dagster.failures import dagster_failures
from hog_dagster.ledger import Alive, LedgerError, LedgerUnavailable, LockLost
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = [
    "ACTS_POOL",
    "IN_PROGRESS",
    "ONE_AT_A_TIME",
    "WORKFLOW_TAG",
    "acting_for",
    "alive_in",
    "job_tags",
    "moment_of",
    "root_run_id",
]

#: Tag with the workflow a run acts on; limit runs per value of it in `tag_concurrency_limits`.
WORKFLOW_TAG = "hog_dagster/workflow_id"
#: Pool of all ops that act on people.
ACTS_POOL = "posthog_acts"
#: What an operator writes into dagster.yaml to have Dagster queue runs of one workflow, too.
ONE_AT_A_TIME = {"key": WORKFLOW_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}

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
    what is left is asked for again by the sensor. The ledger makes either harmless.
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
    except ValueError:
        raise dg.Failure(
            f"{name} is {text!r}; give ISO 8601, such as 2026-12-01T09:00:00+01:00.",
            allow_retries=False,
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def root_run_id(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> str:
    """The first run of a chain of re-executions: the same for all of them."""
    return context.run.root_run_id or context.run.run_id


def alive_in(instance: dg.DagsterInstance) -> Alive:
    """Whether a run of this instance still runs; None for a run it does not know."""

    def alive(owner: str) -> bool | None:
        run = instance.get_run_by_id(owner)
        return None if run is None else run.status not in _ENDED

    return alive


@contextmanager
def acting_for(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    posthog: PostHogResource,
    ledger: LedgerResource,
    *,
    grace_seconds: float,
    on_step: StepObserver | None = None,
    **options: Any,
) -> Iterator[Acting]:
    """The hand with which a run acts; permanent errors of PostHog become `dagster.Failure`."""
    with dagster_failures(), ledger.open() as book:
        try:
            yield Acting(
                client=posthog.client,
                ledger=book,
                owner=context.run.run_id,
                log=context.log,
                alive=alive_in(context.instance),
                grace=timedelta(seconds=grace_seconds),
                on_step=on_step,
                **options,
            )
        except LedgerUnavailable:
            raise  # the database may be back for a retry
        except (LedgerError, LockLost) as error:
            raise dg.Failure(f"{error} Running this again is safe.", allow_retries=False) from error
