"""The sensor that observes what happened in PostHog outside Dagster. It only reads.

Facts: a tick has 60 seconds, and one that is cut off keeps no cursor; a tick with asset events and
neither requests nor a skip reason looks empty in Dagster's UI; PostHog's clock, not ours, dates
what happened. The tick takes its resources as parameters, so that their `EnvVar`s are resolved.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.lineage import (
    AssetOptions,
    HogFunctionSelection,
    InsightSelection,
    Snapshot,
    WorkflowSelection,
)
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import Workflow
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sensors._cursor import read_cursor
from hog_dagster.sensors._observed_definitions import Watched, changes
from hog_dagster.sensors._observed_runs import Observer
from hog_dagster.sensors._observer_state import (
    Event,
    Limits,
    Observed,
    Places,
    Round,
    observations,
)
from hog_dagster.sensors._tick import TIME_BUDGET

_ALL_FUNCTIONS = HogFunctionSelection()


@dataclass(frozen=True)
class Options:
    """What a sensor was built with."""

    watched: Watched
    selection: WorkflowSelection
    places: Places
    known: Snapshot | None
    batch_jobs: bool
    failed_runs: bool
    counts: bool
    lookback: timedelta
    counts_lag: timedelta
    grace: timedelta
    horizon: timedelta
    most_events: int
    seconds: float
    requests: int


def build_observing_sensor(
    name: str = "posthog_observer",
    *,
    resource_prefix: str = "",
    specs: Iterable[dg.AssetSpec] = (),
    known: Snapshot | None = None,
    options: AssetOptions | None = None,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = _ALL_FUNCTIONS,
    insights: Sequence[InsightSelection] | None = None,
    definitions: bool = True,
    batch_jobs: bool = True,
    failed_runs: bool = True,
    counts: bool = True,
    lookback: timedelta = timedelta(hours=1),
    counts_lag: timedelta = timedelta(minutes=15),
    grace: timedelta = timedelta(minutes=15),
    horizon: timedelta = timedelta(days=1),
    most_events_per_workflow: int = 20,
    time_budget_seconds: float = TIME_BUDGET,
    max_requests_per_tick: int = 60,
    minimum_interval_seconds: int = 300,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> dg.SensorDefinition:
    """A sensor that observes, on the assets of workflows, hog functions and insights: changes of
    their definitions, batch jobs, failed runs, and counts of runs and e-mails by the hour.

    Each is reported once; what Dagster caused (the ledger knows) is left out or counted apart. It
    needs the resources `posthog` (scopes hog_flow:read; hog_function:read and insight:read for
    those; person:read for failed runs) and `ledger`, and only reads.

    Args:
        name: of the sensor; renaming it makes it start from now.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        specs: the external assets, from `load_posthog_asset_specs`; what has none is observed on
            the table that lists it.
        known: how the objects were when the definitions were loaded, to tell what changed.
        options: how the tables' assets are called.
        workflows: which workflows; all by default.
        hog_functions: which hog functions; all by default, None observes none.
        insights: which saved insights; None, the default, observes none.
        definitions: whether changes of definitions are observed; one request per 500 workflows,
            per 50 hog functions and per 500 insights.
        batch_jobs: whether batch jobs are; one request per workflow with a batch trigger.
        failed_runs: whether failed runs are (newer servers); one request, and one per workflow that
            failed.
        counts: whether the hours of workflows are counted; one request per live workflow and one
            per step of it, once an hour.
        lookback: how far back the first tick looks for runs and batch jobs.
        counts_lag: how late counts of an hour may arrive.
        grace: how long an action in doubt may be the cause of what is seen.
        horizon: how long a run may take from due to failed and still be seen.
        most_events_per_workflow: of failed runs, per round; more are reported in one event.
        time_budget_seconds: how long a tick may look.
        max_requests_per_tick: how many requests a tick may make; what is left is for the next one.
        minimum_interval_seconds: between two ticks.
        default_status: whether it is on when first loaded.

    Returns:
        The sensor.

    Example:
        .. code-block:: python

            snapshot = Snapshot.read(Path("posthog.json"))
            specs = load_posthog_asset_specs(snapshot)
            defs = dg.Definitions(
                assets=specs, sensors=[build_observing_sensor(specs=specs, known=snapshot)], ...
            )
    """
    of_workflows = workflows or WorkflowSelection()
    built = Options(
        watched=Watched(
            workflows=of_workflows if definitions else None,
            hog_functions=hog_functions if definitions else None,
            insights=tuple(insights) if definitions and insights is not None else None,
        ),
        selection=of_workflows,
        places=Places.of(specs, options or AssetOptions()),
        known=known,
        batch_jobs=batch_jobs,
        failed_runs=failed_runs,
        counts=counts,
        lookback=lookback,
        counts_lag=counts_lag,
        grace=grace,
        horizon=horizon,
        most_events=most_events_per_workflow,
        seconds=time_budget_seconds,
        requests=max_requests_per_tick,
    )

    @takes_resources(
        dg.sensor,
        resource_prefix,
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description="Observes runs, batch jobs and changes of definitions that happened in PostHog "
        "outside Dagster, once each. It only reads PostHog.",
    )
    def observer(
        context: dg.SensorEvaluationContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> dg.SensorResult | dg.SkipReason:
        if not posthog.api_key.strip() or not str(posthog.project_id).strip():
            return dg.SkipReason("No PostHog project is configured.")
        read = read_cursor(Observed, context.cursor)
        cursor = read or Observed()
        with dagster_failures(), ledger.open() as book:
            limits = Limits.of(posthog.client, built.seconds, built.requests)
            tick = _Tick(built, limits, cursor, context.instance)
            tick.observer = Observer(
                limits.client,
                book,
                built.places,
                built.grace,
                built.horizon,
                built.most_events,
            )
            if context.cursor and read is None:
                tick.notes.append("The cursor could not be read: starting from now")
            tick.run()
        fresh = observations(context.instance, tick.events)
        return dg.SensorResult(
            asset_events=fresh, skip_reason=tick.sentence(len(fresh)), cursor=cursor.dump()
        )

    return observer


class _Tick:
    """One look around."""

    observer: Observer

    def __init__(
        self, options: Options, limits: Limits, cursor: Observed, instance: dg.DagsterInstance
    ) -> None:
        self.options = options
        self.limits = limits
        self.cursor = cursor
        self.instance = instance
        self.events: list[Event] = []
        self.notes: list[str] = []
        self.names: dict[str, str] = {}

    @property
    def client(self) -> PostHogClient:
        return self.limits.client

    def run(self) -> None:
        """Definitions first, because they are few requests and the rest needs the list."""
        listed = list(self.client.workflows.list())
        self.names = {one.id: one.name for one in listed if one.name}
        self.events += changes(
            self.client,
            self.cursor,
            listed=listed,
            watched=self.options.watched,
            places=self.options.places,
            known=self.options.known,
            instance=self.instance,
            notes=self.notes,
        )
        now = self.now()
        chosen = {
            workflow.id: workflow for workflow in listed if workflow in self.options.selection
        }
        live = {id: w for id, w in chosen.items() if w.status == "active"}
        for what, wanted, look in (
            ("batch jobs", self.options.batch_jobs, self.batch_jobs),
            ("failed runs", self.options.failed_runs, self.failed_runs),
            ("counts", self.options.counts, self.counts),
        ):
            if not wanted or self.limits.reached():
                continue
            try:
                look(chosen if what == "batch jobs" else live, now)
            except (errors.PermissionDenied, errors.EndpointMissing, errors.NotFound) as error:
                self.notes.append(f"{what}: {error}")
            except (errors.Throttled, errors.ServerError, errors.TransportError) as error:
                self.notes.append(f"Stopped at {what}, the next tick goes on: {error}")
                break
        if self.limits.reached():
            self.notes.append("Stopped for time or requests; the next tick goes on from here")

    def now(self) -> datetime:
        """By PostHog's clock, in whole seconds."""
        return self.client.server.clock.now().replace(microsecond=0)

    def walk(
        self,
        what: str,
        workflows: dict[str, Workflow],
        end: datetime,
        visit: Callable[[Workflow, Round], Iterator[Event]],
        candidates: Callable[[Round], Iterable[str]] | None = None,
    ) -> None:
        """Go on with the round of this kind, and begin the next one when it is over."""
        round = self.cursor.rounds.get(what)
        if round is None:
            start = min(end - timedelta(seconds=1), end - self.options.lookback)
            round = Round(start=start, end=end)
        elif round.place == _DONE:
            if end <= round.end:
                return
            round = Round(start=round.end, end=end)
        self.cursor.rounds[what] = round
        ids = set(workflows) & set(candidates(round)) if candidates else set(workflows)
        for id in round.left(ids):
            if self.limits.reached():
                return
            self.events += list(visit(workflows[id], round))
            round.place = id
        round.place = _DONE

    def batch_jobs(self, workflows: dict[str, Workflow], now: datetime) -> None:
        """Batch jobs of workflows that can have any."""
        if not self.client.server.has("batch_jobs"):
            self.notes.append(f"batch jobs: {self.client.server.why_not('batch_jobs')}")
            return
        able = {id: w for id, w in workflows.items() if w.trigger.get("type") == "batch"}
        self.walk(
            "batch_jobs",
            able,
            now - timedelta(seconds=5),
            lambda workflow, round: self.observer.batch_jobs(workflow, round, self.cursor),
        )

    def failed_runs(self, workflows: dict[str, Workflow], now: datetime) -> None:
        """Failed runs, of workflows that have any."""
        if not self.client.server.has("invocation_results"):
            return
        hours = self.options.horizon + timedelta(hours=2)

        def failing(round: Round) -> Iterable[str]:
            since = f"-{int((now - round.start + hours).total_seconds() // 3600) + 1}h"
            metrics = self.client.workflows.global_metrics(after=since)
            counted = {metric.workflow_id for metric in metrics if metric.failed}
            # Counts are of events; runs of batch jobs are not among them.
            return counted | {id for id, w in workflows.items() if w.trigger.get("type") == "batch"}

        end = now - timedelta(seconds=60)
        self.walk("failed_runs", workflows, end, self.observer.failed_runs, failing)

    def counts(self, workflows: dict[str, Workflow], now: datetime) -> None:
        """The whole hours that are over for long enough."""
        end = (now - self.options.counts_lag).replace(minute=0, second=0)
        round = self.cursor.rounds.get("counts")
        if round is None:
            start = end - max(self.options.lookback, timedelta(hours=1))
            start = start.replace(minute=0, second=0)
            self.cursor.rounds["counts"] = Round(start=start, end=end)

        def counted(round: Round) -> Iterable[str]:
            if not self.client.server.has("global_metrics"):
                return set(workflows)
            hours = int((now - round.start).total_seconds() // 3600) + 2
            return {m.workflow_id for m in self.client.workflows.global_metrics(after=f"-{hours}h")}

        self.walk("counts", workflows, end, self.observer.counts, counted)

    def sentence(self, made: int) -> str:
        """All of it in words."""
        by_kind = Counter(event.kind for event in self.events)
        said = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in by_kind.items())
        what = "Nothing new in PostHog"
        if made:
            what = f"{made} observation{'s' * (made != 1)} made ({said})"
        notes = [self._named(note) for note in self.notes]
        return ". ".join([what, f"{self.limits.used} requests", *notes]) + "."

    def _named(self, note: str) -> str:
        """A note with the names of the workflows whose ids it has."""
        for id, name in self.names.items():
            note = note.replace(f"workflow {id}", f'workflow "{name}" ({id})')
        return note


#: The place of a round that is over; it sorts after every id.
_DONE = "~"
