"""One tick of the failed-runs sensor: which workflows failed, which runs are due, what to request.

Facts: a tick that takes longer than its time is cut off and loses its place; so every call to
PostHog ends at one deadline, whatever the server does. No POST is made here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from hog_dagster.actions import (
    Actor,
    Detection,
    Source,
    TimeWindow,
    UnknownSource,
    all_sources,
    detect_blocked,
    detect_failed,
    failing_sources,
    text_of,
)
from hog_dagster.jobs import check_lists
from hog_dagster.policies import ReplayPolicy, Safety, same_id
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sensors._run_requests import RunRequests

#: Seconds a tick may look: it is cut off after 60 seconds, and by some deployments earlier.
TIME_BUDGET = 40.0

#: Seconds that the last call may take after the time is over.
OVERTIME = 10.0
#: PostHog keeps runs for 30 days and refuses a wider window.
KEPT = timedelta(days=30) - timedelta(minutes=5)
#: Workflows that are named in a tick's message.
_NAMED = 20


def limited(client: PostHogClient, deadline: float) -> PostHogClient:
    """The client of a tick that begins calls until a moment: one slow response costs little."""
    return client.with_limits(1.0, read_timeout=10.0, total=15.0, until=deadline + OVERTIME)


@dataclass(frozen=True, slots=True)
class TickOptions:
    """What a sensor was built with; `limits` all hold."""

    policy: ReplayPolicy = field(default_factory=ReplayPolicy)
    limits: tuple[Safety, ...] = ()
    hog_functions: bool = False
    min_age: timedelta = timedelta(0)
    max_age: timedelta = timedelta(hours=24)
    window_from: datetime | None = None
    window_to: datetime | None = None
    failures_in_a_row: int = 1
    max_runs_per_tick: int = 1000
    max_runs_per_request: int = 500
    time_budget: float = TIME_BUDGET


class Tick:
    """What a tick detects and requests: `requests` are for Dagster, `place` and `places` for the
    cursor; `wrong` says that a setting is wrong, so that an operator must look."""

    def __init__(
        self,
        actor: Actor,
        runs: RunRequests,
        options: TickOptions,
        places: Mapping[str, str] | None = None,
    ) -> None:
        self.runs = runs
        self.options = options
        self.deadline = actor.clock.monotonic() + options.time_budget
        self.actor = replace(actor, client=limited(actor.client, self.deadline))
        self.requests: list[dg.RunRequest] = []
        self.place = ""
        self.places = dict(places or {})
        self.wrong = False
        self.detections: list[Detection] = []
        self.notes: list[str] = []
        self.requested = 0
        self.visited = 0
        self.candidates = 0
        self.reruns = self.blocked = self.function_reruns = False

    def sentence(self) -> str:
        """All of it in words."""
        what = f"Read {self.visited} of {self.candidates} workflows with failures"
        due = [one.sentence() for one in self.detections if one.counts or one.due or one.partly]
        said = [what, *due[:_NAMED], *self.notes[:_NAMED]]
        left_out = max(0, len(due) - _NAMED) + max(0, len(self.notes) - _NAMED)
        if left_out:
            said.append(f"{left_out} more")
        return " ".join(one if one.endswith(".") else f"{one}." for one in said)

    def run(self, place: str) -> None:
        """Look at as many workflows as there is time for, beginning after `place`."""
        self.place = place
        sources = self.failing()
        self.candidates = len(sources)
        under_way = self.runs.under_way() if sources else set()
        for source in _rotated(sources, place):
            if not self.may_go_on():
                break
            self.place = source.id
            self.visited += 1
            if {source.id, source.name} & under_way:
                self.notes.append(f"{_name(source)}: a run is under way")
                continue
            self.visit(source)

    # --- which workflows ------------------------------------------------------------------------

    def failing(self) -> list[Source]:
        """Workflows and functions with failures that may be acted on; none when a list is wrong."""
        actor, server = self.actor, self.actor.client.server
        self.reruns, self.blocked = server.has("rerun"), server.has("blocked_runs")
        if self.options.hog_functions:
            self.function_reruns = server.has("function_rerun")
            if not self.function_reruns:
                self.notes.append(f"No hog functions: {server.why_not('function_rerun')}")
        if not (self.reruns or self.blocked or self.function_reruns):
            self.notes.append(server.why_not("blocked_runs"))
            return []
        actor.know_the_time()
        if not self.check_lists():
            return []
        workflows = self.reruns or self.blocked
        found: list[Source] = []
        try:
            if self.reruns or self.function_reruns:
                found = failing_sources(
                    actor,
                    self.window().start,
                    Safety(),
                    workflows=self.reruns,
                    functions=self.function_reruns,
                )
            if self.blocked:  # nothing counts blocked runs: each active workflow is looked at
                active = actor.client.workflows.list(status="active")
                found += [Source(same_id(one.id), name=one.name or "") for one in active]
        except (errors.AuthenticationError, errors.Throttled):
            raise
        except errors.PostHogError as error:
            self.notes.append(f"What failed could not be read at once: {text_of(error)}")
            found = all_sources(actor.client, workflows=workflows, functions=self.function_reruns)
        return [source for source in dict.fromkeys(found) if self.allows(source)]

    def allows(self, source: Source) -> bool:
        return all(limits.allows(source.id, source.name) for limits in self.options.limits)

    def check_lists(self) -> bool:
        """Whether the allow and deny lists can be trusted; says what in them is unknown."""
        listed = [one for one in self.options.limits if one.allow_workflows or one.deny_workflows]
        if not listed:
            return True
        known = all_sources(self.actor.client, functions=self.function_reruns)
        try:
            unknown = [
                note for one in listed for note in check_lists(self.actor.client, one, known)
            ]
        except UnknownSource as error:
            self.wrong = True
            self.notes.append(str(error))
            return False
        self.wrong = bool(unknown)
        self.notes += unknown
        return True

    def window(self) -> TimeWindow:
        """Which runs: of the given window, else by their age."""
        options, now = self.options, self.actor.latest()
        start = options.window_from or self.actor.earliest() - options.max_age
        end = options.window_to
        if options.min_age:
            youngest = self.actor.earliest() - options.min_age
            end = min(end, youngest) if end is not None else youngest
        return TimeWindow(max(start, now - KEPT), end)

    # --- one workflow ---------------------------------------------------------------------------

    def may_go_on(self) -> bool:
        if self.requested >= self.options.max_runs_per_tick:
            most = self.options.max_runs_per_tick
            self.notes.append(f"Stopped at the maximum of {most} runs in one tick")
            return False
        if self.visited and self.actor.clock.monotonic() >= self.deadline:
            self.notes.append("Stopped for time; the next tick goes on from here")
            return False
        return True

    def visit(self, source: Source) -> None:
        """Look at one workflow and request what is due; its failure is not the others'."""
        if (wait := self.runs.wait_of(source.id, datetime.now(UTC))) > 0:
            self.notes.append(f"{_name(source)}: its last run failed, again in {wait:.0f} s")
            return
        try:
            found = self.detect(source)
        except (errors.AuthenticationError, errors.Throttled) as error:
            if self.visited == 1:
                raise
            self.notes.append(text_of(error))
            self.deadline = -math.inf
            return
        except errors.PostHogError as error:
            self.notes.append(f"{_name(source)}: {text_of(error)}")
            return
        self.detections.append(found)
        room = self.options.max_runs_per_tick - self.requested
        runs = found.due[: min(room, self.options.max_runs_per_request)]
        if not runs:
            return
        config = {
            **self.options.policy.model_dump(mode="json"),
            "max_runs": self.options.max_runs_per_request,
        }
        request = self.runs.request(source, runs, config, detection=found.sentence())
        if request is None:
            self.notes.append(f"{_name(source)}: {len(runs)} runs were requested just now")
            return
        self.requests.append(request)
        self.requested += len(runs)
        last = str(runs[-1]["instance_id"])
        self.places.pop(source.id, None)
        if found.place or len(runs) < len(found.due):
            self.places[source.id] = last

    def detect(self, source: Source) -> Detection:
        policy, window = self.options.policy, self.window()
        found = Detection(source)
        if self.blocked and source.type == "workflow":
            found = detect_blocked(self.actor, source, policy, window)
        if not (self.reruns if source.type == "workflow" else self.function_reruns):
            return found
        failed = detect_failed(
            self.actor,
            source,
            policy,
            window,
            failures_in_a_row=self.options.failures_in_a_row,
            wanted=self.options.max_runs_per_request,
            deadline=self.deadline,
            place=self.places.get(source.id, ""),
        )
        failed.due = [*found.due, *failed.due]
        failed.counts = {**found.counts, **failed.counts}
        return failed


def _rotated(sources: list[Source], after: str) -> list[Source]:
    """The workflows by id from the first one after `after` on, then the ones before."""
    ordered = sorted(sources, key=lambda source: source.id)
    start = next((i for i, source in enumerate(ordered) if source.id > after), 0)
    return ordered[start:] + ordered[:start]


def _name(source: Source) -> str:
    return source.name or source.id
