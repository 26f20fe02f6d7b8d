"""The sensor that finds failed or blocked runs and requests their replay. It sends nothing.

Facts: a tick has 60 seconds, and one that is cut off saves no cursor and may be repeated, so it
stops in time, keeps its place, and leaves every action to a run; a sensor resource given as a
parameter has its `EnvVar`s resolved, one closed over has not.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import Actor
from hog_dagster.jobs import pairing_refusal, replay_runs
from hog_dagster.policies import ReplayPolicy, Safety
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sensors._cursor import Cursor, read_cursor
from hog_dagster.sensors._run_requests import RunRequests
from hog_dagster.sensors._tick import TIME_BUDGET, Tick, TickOptions


def build_failed_runs_sensor(
    name: str = "failed_runs_sensor",
    *,
    policy: ReplayPolicy | None = None,
    safety: Safety | None = None,
    job: dg.JobDefinition = replay_runs,
    resource_prefix: str = "",
    hog_functions: bool = False,
    allow_workflows: Sequence[str] = (),
    deny_workflows: Sequence[str] = (),
    min_age: timedelta = timedelta(0),
    max_age: timedelta = timedelta(hours=24),
    window_from: datetime | None = None,
    window_to: datetime | None = None,
    failures_in_a_row: int = 1,
    max_runs_per_tick: int = 1000,
    max_runs_per_request: int = 500,
    retry_after: timedelta = timedelta(minutes=1),
    time_budget_seconds: float = TIME_BUDGET,
    minimum_interval_seconds: int = 60,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    description: str | None = None,
) -> dg.SensorDefinition:
    """A sensor that requests runs of the replay job: for blocked runs where the server lists them,
    and for failed runs where it can rerun them.

    It needs the resources `posthog` and `ledger`. Each tick looks at the workflows that had
    failures, as many as it has time for, and goes on with the next ones at the next tick, so that
    none starves. A run of a workflow is requested when the ledger does not have it as done,
    refused, or freshly sent; not while a run for the same workflow is under way, nor too soon after
    one failed. What was detected is the tick's message, or the tag `hog_dagster/detection` of the
    runs it requests.

    Args:
        name: of the sensor; renaming it loses its place and frees its run keys.
        policy: which runs, and how carefully; a dry run until you switch that off. `max_runs` is
            `max_runs_per_request` here.
        safety: limits of the project; they hold whatever the policy says.
        job: a job made by `build_replay_job`.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        hog_functions: whether failed runs of hog functions are found too.
        allow_workflows: only these workflows and functions, by name or id, looked up at each tick;
            all when empty.
        deny_workflows: never these.
        min_age: leave younger runs alone.
        max_age: leave older runs alone.
        window_from: only runs scheduled then or later, instead of `max_age`; aware.
        window_to: only runs scheduled before then; aware.
        failures_in_a_row: failed runs are only requested when the workflow failed this many times
            in a row: an outage, not one bad input. Costs reading successful runs, too.
        max_runs_per_tick: request at most this many PostHog runs in one tick.
        max_runs_per_request: put at most this many into one Dagster run.
        retry_after: how long after a run that failed the same is requested again; doubles each
            time, up to an hour.
        time_budget_seconds: how long a tick may look; it ends at most 10 seconds later.
        minimum_interval_seconds: between two ticks.
        default_status: whether it is on when first loaded.
        description: for the UI.

    Returns:
        The sensor.

    Raises:
        ValueError: a time of the window has no offset.

    Example:
        .. code-block:: python

            sensor = build_failed_runs_sensor(
                allow_workflows=["Trial ending"],
                # set dry_run=False when its runs say what you want to be replayed
                policy=ReplayPolicy(dry_run=True),
            )
    """
    for name_of, moment in (("window_from", window_from), ("window_to", window_to)):
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name_of} is {moment.isoformat()}: give it an offset, +00:00 say.")
    limits = safety or Safety()
    narrowed = limits.narrow_replay(policy or ReplayPolicy())
    options = TickOptions(
        policy=narrowed,
        limits=(
            limits,
            Safety(allow_workflows=[*allow_workflows], deny_workflows=[*deny_workflows]),
        ),
        hog_functions=hog_functions,
        min_age=min_age,
        max_age=max_age,
        window_from=window_from,
        window_to=window_to,
        failures_in_a_row=failures_in_a_row,
        max_runs_per_tick=max_runs_per_tick,
        max_runs_per_request=min(max_runs_per_request, narrowed.max_runs),
        time_budget=time_budget_seconds,
    )

    @takes_resources(
        dg.sensor,
        resource_prefix,
        name=name,
        job=job,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=description
        or "Finds failed or blocked runs and requests their replay, once each. It sends nothing "
        "itself.",
    )
    def failed_runs(
        context: dg.SensorEvaluationContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> dg.SensorResult:
        with dagster_failures(), ledger.open() as book:
            client = posthog.client
            if why := pairing_refusal(context.instance, book, client.host, client.project_id):
                context.log.error(why)
                return dg.SensorResult(skip_reason=why, cursor=context.cursor)
            actor = Actor(
                client=client,
                ledger=book,
                owner=f"sensor:{name}",
                log=context.log,
                grace=timedelta(seconds=narrowed.grace_seconds),
            )
            requests = RunRequests(
                context.instance, job.name, narrowed.dry_run, retry_after.total_seconds()
            )
            place = read_cursor(_Place, context.cursor) or _Place()
            tick = Tick(actor, requests, options, place.runs)
            tick.run(place.after)
        cursor = _Place(after=tick.place, runs=tick.places).dump()
        sentence = tick.sentence()
        if tick.wrong:
            context.log.error(sentence)
        if tick.requests:
            context.log.info(sentence)
            return dg.SensorResult(run_requests=tick.requests, cursor=cursor)
        return dg.SensorResult(skip_reason=sentence, cursor=cursor)

    return failed_runs


class _Place(Cursor):
    """Where the last tick ended: the workflow that was looked at last and, by workflow, the run
    that was requested last where more are due."""

    after: str = ""
    runs: dict[str, str] = {}


#: The sensor under its default name: STOPPED, and a dry run.
failed_runs_sensor = build_failed_runs_sensor()
