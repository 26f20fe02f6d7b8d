"""The sensor that observes which workflows fail too often, and requests runs for them.

Facts: `metrics/global` counts every workflow in one request, runs and steps added up, batch runs
left out; older servers count one workflow per request, exact by the UTC hour. A relative window
("-24h") is read alike in every time zone. A tick with asset events and neither requests nor a skip
reason looks empty in Dagster's UI.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import text_of
from hog_dagster.lineage import PostHogMetadata
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.resources import PostHogResource
from hog_dagster.sensors._cursor import Cursor, read_cursor
from hog_dagster.sensors._tick import TIME_BUDGET, limited


@dataclass(frozen=True, slots=True)
class WorkflowHealth:
    """How a workflow did in the window: successes and failures of runs and steps, added up."""

    workflow_id: str
    succeeded: int
    failed: int

    @property
    def share(self) -> float:
        """Failures per success or failure, 0 to 1."""
        whole = self.succeeded + self.failed
        return self.failed / whole if whole else 0.0

    def sentence(self, name: str = "") -> str:
        """In words, with the workflow's name where that is known."""
        label = f"{name} ({self.workflow_id})" if name else self.workflow_id
        return (
            f"workflow {label}: {self.failed} failures and {self.succeeded} successes "
            f"({self.share:.0%} failed)"
        )


#: Makes run requests for workflows that turned unhealthy at this tick.
OnUnhealthy = Callable[[Sequence[WorkflowHealth]], Iterable[dg.RunRequest]]


def build_workflow_health_sensor(
    name: str = "workflow_health_sensor",
    *,
    resource_prefix: str = "",
    window_hours: int = 24,
    min_failed: int = 10,
    min_failure_share: float = 0.1,
    allow_workflows: Collection[str] = (),
    deny_workflows: Collection[str] = (),
    remind_after: timedelta = timedelta(hours=6),
    asset_key: dg.AssetKey | Sequence[str] | str = ("posthog", "workflows"),
    specs: Iterable[dg.AssetSpec] = (),
    on_unhealthy: OnUnhealthy | None = None,
    job: dg.JobDefinition | None = None,
    time_budget_seconds: float = TIME_BUDGET,
    minimum_interval_seconds: int = 300,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> dg.SensorDefinition:
    """A sensor that observes each workflow that fails over a threshold: on its own asset where it
    has one, else on the workflows table.

    It needs the resource `posthog`. An observation is made when a workflow turns unhealthy, again
    after `remind_after` while it stays so, and once when it has recovered; its metadata say which
    workflow, how many failed, and where to look. It only reads PostHog.

    Args:
        name: of the sensor.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        window_hours: how far back to count.
        min_failed: unhealthy is who failed at least so often ...
        min_failure_share: ... and in at least this share of what finished, 0 to 1.
        allow_workflows: only these workflows; all when empty.
        deny_workflows: never these.
        remind_after: how long until an unhealthy workflow is observed again.
        asset_key: the asset the observations are of.
        specs: the external assets, from `load_posthog_asset_specs`: a workflow that has one is
            observed on it.
        on_unhealthy: makes run requests for workflows that turned unhealthy; needs `job`.
        job: what those requests run.
        time_budget_seconds: how long a tick may look (older servers: one request per workflow).
        minimum_interval_seconds: between two ticks.
        default_status: whether it is on when first loaded.

    Returns:
        The sensor.

    Raises:
        ValueError: `on_unhealthy` without `job`.
    """
    if on_unhealthy is not None and job is None:
        raise ValueError("on_unhealthy makes run requests: say of which job, with job=")
    key = asset_key
    if not isinstance(key, dg.AssetKey):
        key = dg.AssetKey.from_coercible(key if isinstance(key, str) else list(key))
    allow, deny = frozenset(allow_workflows), frozenset(deny_workflows)
    own = _workflow_keys(specs)

    @takes_resources(
        dg.sensor,
        resource_prefix,
        name=name,
        job=job,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description="Observes workflows that fail over a threshold. It only reads PostHog.",
    )
    def workflow_health(
        context: dg.SensorEvaluationContext, posthog: PostHogResource
    ) -> dg.SensorResult:
        # Cursors of earlier versions say `told` for `observed`.
        text = (context.cursor or "").replace('"told"', '"observed"', 1)
        memory = read_cursor(_Memory, text) or _Memory()
        with dagster_failures():
            deadline = time.monotonic() + time_budget_seconds
            client = limited(posthog.client, deadline)
            seen, notes = _look(client, window_hours, allow, deny, memory, deadline)
        now, names = datetime.now(UTC), _Names(client)
        events: list[dg.AssetObservation] = []
        fresh: list[WorkflowHealth] = []
        sick = 0
        for health in seen:
            id = health.workflow_id
            unhealthy = health.failed >= min_failed and health.share >= min_failure_share
            sick += unhealthy
            before = memory.observed.get(id)
            if unhealthy and before is None:
                fresh.append(health)
            if before is None and not unhealthy:
                continue
            if before is not None and unhealthy and now - before < remind_after:
                continue
            if unhealthy:
                memory.observed[id] = now
            else:
                del memory.observed[id]
            state = "unhealthy" if unhealthy else "recovered"
            place = own.get(id, key)
            events.append(_observation(place, health, names.of(id), state, window_hours, posthog))
        said = (
            f"{sick} of {len(seen)} workflows checked failed at least {min_failed} times "
            f"in {window_hours} hours; {len(events)} observations made."
        )
        said = " ".join([said, *notes])
        requests = list(on_unhealthy(fresh)) if on_unhealthy is not None and fresh else []
        if requests:
            context.log.info(said)
        return dg.SensorResult(
            run_requests=requests or None,
            skip_reason=None if requests else said,
            asset_events=events,
            cursor=memory.dump(),
        )

    return workflow_health


def _workflow_keys(specs: Iterable[dg.AssetSpec]) -> dict[str, dg.AssetKey]:
    """Workflow id -> its own asset."""
    known = ((PostHogMetadata.extract(spec.metadata), spec.key) for spec in specs)
    return {own.id: key for own, key in known if own.type == "workflow" and own.id}


class _Memory(Cursor):
    """Which workflows are unhealthy, with the moment of the last observation; where to go on."""

    observed: dict[str, datetime] = {}
    after: str = ""


def _look(
    client: PostHogClient,
    hours: int,
    allow: frozenset[str],
    deny: frozenset[str],
    memory: _Memory,
    deadline: float,
) -> tuple[list[WorkflowHealth], list[str]]:
    """How workflows did, and what else is worth knowing; the memory gets its new place."""

    def wanted(workflow_id: str) -> bool:
        return workflow_id not in deny and (not allow or workflow_id in allow)

    if client.server.has("global_metrics"):
        counted = {
            metric.workflow_id: WorkflowHealth(metric.workflow_id, metric.succeeded, metric.failed)
            for metric in client.workflows.global_metrics(after=f"-{hours}h")
            if wanted(metric.workflow_id)
        }
        gone = [WorkflowHealth(id, 0, 0) for id in memory.observed if id not in counted]
        memory.after = ""
        return [*counted.values(), *gone], []
    names = sorted(
        allow - deny or {w.id for w in client.workflows.list(status="active") if wanted(w.id)}
    )
    start = next((i for i, name in enumerate(names) if name > memory.after), 0)
    present = client.server.clock.now()
    end = present.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    seen = [WorkflowHealth(gone, 0, 0) for gone in sorted(set(memory.observed) - set(names))]
    notes: list[str] = []
    for visited, workflow_id in enumerate(names[start:] + names[:start]):
        if visited and time.monotonic() >= deadline:
            notes.append("Stopped for time; the next tick goes on from here.")
            break
        memory.after = workflow_id
        try:
            seen.append(_count(client, workflow_id, end - timedelta(hours=hours), end))
        except errors.NotFound:
            continue
        except (errors.AuthenticationError, errors.Throttled) as error:
            if not visited:
                raise
            notes.append(text_of(error))
            break
        except errors.PostHogError as error:  # its failure is not the others'
            notes.append(f"{workflow_id}: {text_of(error)}")
    return seen, notes


def _count(
    client: PostHogClient, workflow_id: str, start: datetime, end: datetime
) -> WorkflowHealth:
    counts = {"succeeded": 0, "failed": 0}
    for point in client.workflows.hourly_metrics(workflow_id, start=start, end=end):
        if point.name in counts:
            counts[point.name] += point.value
    return WorkflowHealth(workflow_id, **counts)


class _Names:
    """Names of workflows, listed when the first one is asked for: one request per 500."""

    def __init__(self, client: PostHogClient) -> None:
        self._client = client
        self._known: dict[str, str] | None = None

    def of(self, workflow_id: str) -> str:
        """The name; empty where it has none, or PostHog cannot be asked now."""
        if self._known is None:
            self._known = {}
            with suppress(errors.PostHogError):
                self._known = {one.id: one.name or "" for one in self._client.workflows.list()}
        return self._known.get(workflow_id, "")


def _observation(
    key: dg.AssetKey,
    health: WorkflowHealth,
    name: str,
    state: str,
    hours: int,
    posthog: PostHogResource,
) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=key,
        description=f"{state.capitalize()}: {health.sentence(name)} in {hours} hours",
        metadata={
            "workflow_id": health.workflow_id,
            "workflow_name": name,
            "state": state,
            "failed": health.failed,
            "succeeded": health.succeeded,
            "failure_share": round(health.share, 4),
            "window_hours": hours,
            "workflow": dg.MetadataValue.url(posthog.workflow_url(health.workflow_id, "metrics")),
        },
    )


#: The sensor under its default name: STOPPED.
workflow_health_sensor = build_workflow_health_sensor()
