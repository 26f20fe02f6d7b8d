"""The sensor that finds blocked or failed runs and asks for their replay. It never POSTs.

Facts: a tick has 60 seconds, and one that is cut off saves no cursor and may be repeated, so it
stops in time, keeps its place, and leaves every act to a run; a sensor resource given as a
parameter has its `EnvVar`s resolved, one closed over has not.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.actions._detection import Rules, Seen, look_at_blocked, look_at_failed
from hog_dagster.actions._protocol import Acting, text_of
from hog_dagster.failures import dagster_failures
from hog_dagster.jobs.replay import replay_blocked_runs
from hog_dagster.posthog import errors
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sensors._run_requests import Asking

__all__ = ["blocked_runs_sensor", "build_blocked_runs_sensor"]

#: A tick is cut off after 60 seconds; some deployments cut earlier.
TIME_BUDGET = 40.0
#: One request may take so long at most, so that one slow answer does not use up the tick.
READ_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a sensor was built with."""

    rules: Rules
    dry_run: bool
    max_runs_per_tick: int
    max_runs_per_request: int
    allow: frozenset[str]
    deny: frozenset[str]
    grace: timedelta
    time_budget: float
    job_config: dict[str, Any]


@dataclass
class Look:
    """What a tick has seen and asked for so far."""

    seen: list[Seen] = field(default_factory=list)
    requests: list[dg.RunRequest] = field(default_factory=list)
    asked_for: int = 0
    notes: list[str] = field(default_factory=list)
    place: str = ""
    candidates: int = 0

    def sentence(self) -> str:
        """All of it in words."""
        what = f"Looked at {len(self.seen)} of {self.candidates} workflows"
        due = [seen.sentence() for seen in self.seen if seen.counts or seen.due or seen.partly]
        return ". ".join([what, *due[:20], *self.notes]) + "."


def build_blocked_runs_sensor(
    name: str = "blocked_runs_sensor",
    *,
    job: dg.JobDefinition = replay_blocked_runs,
    resource_prefix: str = "",
    dry_run: bool = True,
    max_runs_per_tick: int = 100,
    max_runs_per_request: int = 50,
    allow_workflows: Collection[str] = (),
    deny_workflows: Collection[str] = (),
    min_age: timedelta = timedelta(0),
    max_age: timedelta = timedelta(days=30),
    failures_in_a_row: int = 1,
    error_kinds: Collection[str] = (),
    max_reruns: int = 1,
    grace: timedelta = timedelta(minutes=15),
    verify: timedelta = timedelta(minutes=1),
    retry_after: timedelta = timedelta(minutes=1),
    time_budget_seconds: float = TIME_BUDGET,
    minimum_interval_seconds: int = 60,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    description: str | None = None,
) -> dg.SensorDefinition:
    """A sensor that asks for runs of the replay job: for blocked runs where the server lists them,
    else for failed runs.

    It needs the resources `posthog` and `ledger`. Each tick looks at as many workflows as it has
    time for and goes on with the next ones at the next tick, so that none starves; where the server
    counts all workflows in one request, it looks only at those with failures in the age window
    (PostHog leaves batch runs out of that count). A run of a workflow is asked for when the ledger
    does not have it as done, refused, or freshly sent; not while a run for the same workflow is
    under way, nor too soon after one failed. What was seen is the tick's skip reason, or the tag
    `hog_dagster/seen` of the runs it asks for.

    Args:
        name: of the sensor; renaming it loses its place and frees its run keys.
        job: a job made by `build_replay_job`.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        dry_run: the requested runs only say what they would replay; on until you switch it off.
        max_runs_per_tick: ask for at most so many PostHog runs in one tick.
        max_runs_per_request: put at most so many into one Dagster run.
        allow_workflows: only these workflows; all when empty.
        deny_workflows: never these.
        min_age: leave younger runs alone.
        max_age: leave older runs alone (PostHog keeps failed runs 30 days).
        failures_in_a_row: failed runs are only asked for when the workflow failed so often in a
            row: an outage, not one bad input. Costs reading successful runs, too.
        error_kinds: only failed runs with one of these kinds of error; all when empty.
        max_reruns: how often one failed run may be run again in all.
        grace: how late PostHog may be in showing an effect.
        verify: how long a requested run looks for the effects of what it sent.
        retry_after: how long after a run that failed the same is asked for again; doubles each
            time, up to an hour.
        time_budget_seconds: how long a tick may look; at least one workflow is looked at.
        minimum_interval_seconds: between two ticks.
        default_status: whether it is on when first loaded.
        description: for the UI.

    Example:
        .. code-block:: python

            sensor = build_blocked_runs_sensor(
                allow_workflows=["01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"],
                dry_run=True,  # set False when its runs say what you want to be replayed
            )
    """
    options = Options(
        rules=Rules(min_age, max_age, failures_in_a_row, frozenset(error_kinds), max_reruns),
        dry_run=dry_run,
        max_runs_per_tick=max_runs_per_tick,
        max_runs_per_request=max_runs_per_request,
        allow=frozenset(allow_workflows),
        deny=frozenset(deny_workflows),
        grace=grace,
        time_budget=time_budget_seconds,
        job_config={
            "dry_run": dry_run,
            "max_runs": max_runs_per_request,
            "grace_seconds": grace.total_seconds(),
            "verify_seconds": verify.total_seconds(),
            "max_reruns": max_reruns,
            "error_kinds": sorted(error_kinds),
        },
    )

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=description
        or "Finds blocked or failed workflow runs and asks for their replay, once each. It sends "
        "nothing itself.",
    )
    @prefixed(resource_prefix)
    def blocked_runs(
        context: dg.SensorEvaluationContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> dg.SensorResult:
        with dagster_failures(), ledger.open() as book:
            acting = Acting(
                client=posthog.client,
                ledger=book,
                owner=f"sensor:{name}",
                log=context.log,
                grace=options.grace,
            )
            asking = Asking(context.instance, job.name, dry_run, retry_after.total_seconds())
            look = _Tick(acting, asking, options).run(_place(context.cursor))
        cursor = json.dumps({"version": 1, "after": look.place})
        if look.requests:
            context.log.info(look.sentence())
            return dg.SensorResult(run_requests=look.requests, cursor=cursor)
        return dg.SensorResult(skip_reason=look.sentence(), cursor=cursor)

    return blocked_runs


def _place(cursor: str | None) -> str:
    """The workflow that was looked at last; "" when the cursor says nothing that can be read."""
    try:
        read = json.loads(cursor or "{}")
        return str(read.get("after") or "") if isinstance(read, dict) else ""
    except ValueError:
        return ""


class _Tick:
    """One look around."""

    def __init__(self, acting: Acting, asking: Asking, options: Options) -> None:
        self.acting = acting
        self.asking = asking
        self.options = options
        self.deadline = time.monotonic() + options.time_budget
        self.look = Look()
        self.visited = 0

    def run(self, place: str) -> Look:
        self.look.place = place
        with self.little_time():
            server = self.acting.client.server
            newer = server.has("rerun")
            if not newer and not server.has("blocked_runs"):
                self.look.notes.append(server.why_not("blocked_runs"))
                return self.look
            candidates = sorted(self.failing() if newer else self.active())
        self.look.candidates = len(candidates)
        under_way = self.asking.under_way()
        for workflow_id in _rotated(candidates, place):
            if not self.may_go_on():
                break
            self.look.place = workflow_id
            self.visited += 1
            if workflow_id in under_way:
                self.look.notes.append(f"{workflow_id}: a run is under way")
                continue
            self.visit(workflow_id, newer)
        return self.look

    def may_go_on(self) -> bool:
        if self.look.asked_for >= self.options.max_runs_per_tick:
            self.look.notes.append(f"Stopped at the cap of {self.options.max_runs_per_tick} runs")
            return False
        if self.visited and time.monotonic() >= self.deadline:
            self.look.notes.append("Stopped for time; the next tick goes on from here")
            return False
        return True

    def visit(self, workflow_id: str, newer: bool) -> None:
        """Look at one workflow and ask for what is due; its failure is not the others'."""
        now = datetime.now(UTC)
        if (wait := self.asking.wait_of(workflow_id, now)) > 0:
            self.look.notes.append(f"{workflow_id}: its last run failed, again in {wait:.0f} s")
            return
        try:
            with self.little_time():
                seen = self.see(workflow_id, newer)
        except (errors.AuthenticationError, errors.Throttled) as error:
            if not self.look.seen:
                raise
            self.look.notes.append(text_of(error))
            self.deadline = 0.0
            return
        except errors.PostHogError as error:
            self.look.notes.append(f"{workflow_id}: {text_of(error)}")
            return
        self.look.seen.append(seen)
        room = self.options.max_runs_per_tick - self.look.asked_for
        runs = seen.due[: min(room, self.options.max_runs_per_request)]
        if not runs:
            return
        request = self.asking.request(
            workflow_id, runs, self.options.job_config, seen=seen.sentence()
        )
        if request is None:
            self.look.notes.append(f"{workflow_id}: {len(runs)} runs were asked for just now")
            return
        self.look.requests.append(request)
        self.look.asked_for += len(runs)

    def see(self, workflow_id: str, newer: bool) -> Seen:
        if not newer:
            return look_at_blocked(self.acting, workflow_id, self.options.rules)
        return look_at_failed(
            self.acting,
            workflow_id,
            self.options.rules,
            wanted=self.options.max_runs_per_request,
            deadline=self.deadline,
        )

    # --- which workflows ------------------------------------------------------------------------

    def allowed(self, workflow_id: str) -> bool:
        allow = self.options.allow
        return workflow_id not in self.options.deny and (not allow or workflow_id in allow)

    def active(self) -> Iterable[str]:
        """Active workflows of the project; those of the allow-list need no request."""
        if self.options.allow:
            return [name for name in self.options.allow if self.allowed(name)]
        workflows = self.acting.client.workflows.list(status="active")
        return [workflow.id for workflow in workflows if self.allowed(workflow.id)]

    def failing(self) -> Iterable[str]:
        """Workflows with failures in the age window: one request for all of them."""
        # Metrics are counted by the hour, so an hour more than is needed.
        hours = min(int(self.options.rules.max_age.total_seconds() // 3600) + 2, 720)
        metrics = self.acting.client.workflows.global_metrics(after=f"-{hours}h")
        return [m.workflow_id for m in metrics if m.failed > 0 and self.allowed(m.workflow_id)]

    @contextmanager
    def little_time(self) -> Iterator[None]:
        left = max(1.0, self.deadline - time.monotonic())
        with self.acting.client.waiting_at_most(
            min(1.0, left), read_timeout=min(READ_TIMEOUT, left)
        ):
            yield


def _rotated(names: list[str], after: str) -> list[str]:
    """The names from the first one after `after` on, then the ones before."""
    start = next((i for i, name in enumerate(names) if name > after), 0)
    return names[start:] + names[:start]


#: The sensor under its default name: STOPPED, and a dry run.
blocked_runs_sensor = build_blocked_runs_sensor()
