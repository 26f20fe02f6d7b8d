"""What tests of actions share: a PostHog in this process, a clock that only moves when somebody
waits, a ledger in memory, and a Dagster run for each call.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hog_dagster.actions import (
    Actor,
    BatchSend,
    BlockedRun,
    Detection,
    Result,
    RunToRerun,
    ScheduleToCreate,
    Source,
    Summary,
    TimeWindow,
    create_schedule,
    detect_blocked,
    detect_failed,
    reconcile,
    replay_blocked,
    rerun_failed,
    send_batch,
)
from hog_dagster.ledger import Entry, Ledger
from hog_dagster.policies import BatchPolicy, ReplayPolicy
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog._transport.transport import Timeouts
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.api import endpoint_groups
from hog_dagster.sandbox.server._app import Application
from hog_dagster.sandbox.server._transport import SandboxTransport
from hog_dagster.sandbox.world import step

__all__ = ["HOUR", "NARROW", "NOW", "Place", "VirtualClock", "mail", "wait", "webhook"]

NOW = datetime(2026, 11, 20, 9, 0, 0, 250_000, tzinfo=UTC)
HOUR = 3600.0
#: Scopes of a key that may not query.
NARROW = (
    *(f"{what}:{how}" for what in ("hog_flow", "hog_function") for how in ("read", "write")),
    *(f"{what}:read" for what in ("person", "group", "user", "project")),
)


class VirtualClock:
    """True time, and what a machine shows of it; both move when somebody waits."""

    def __init__(self, now: datetime = NOW) -> None:
        self.true = now
        #: How far the machine's wall clock is ahead of the truth.
        self.step = timedelta(0)
        self._began = now

    def now(self) -> datetime:
        return self.true + self.step

    def monotonic(self) -> float:
        return (self.true - self._began).total_seconds() + 1000.0

    def sleep(self, seconds: float) -> None:
        self.true += timedelta(seconds=max(0.0, seconds))


class _ServersClock:
    """The same time as PostHog shows it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.true

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


class _Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, msg: str, /) -> None:
        self.said.append(msg)

    warning = error = info


class Place:
    """A PostHog project and a ledger; each method acts as a Dagster run of its own.

    Args:
        generation: of the sandbox.
        scopes: of the key; all of them by default.
        ledger: another ledger than a new one.
        read_timeout: of the client, in seconds.
        grace: of the actions, in seconds.
        options: of the sandbox.
    """

    def __init__(
        self,
        generation: Any = "current",
        *,
        scopes: Iterable[str] = ("*",),
        read_timeout: float = 60.0,
        grace: float = 900.0,
        limits: Any = False,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        given = {"latency": 0.02, "marker_lag": 0.0, "keys": {"phx_ours": list(scopes)}, **options}
        self.sandbox = Sandbox(
            generation, populate=False, limits=limits, clock=_ServersClock(self.clock), **given
        )
        self.world = self.sandbox.world
        self.world.add_person("ada", email="ada@example.com")
        self.ledger = Ledger.in_memory(clock=self.clock)
        self.read_timeout, self.grace = read_timeout, grace
        self.log = _Log()
        #: Runs that Dagster believes to be running; no other one is.
        self.running: set[str] = set()
        self._runs = count(1)
        self._transport = self.sandbox.transport()

    # --- what is there ---------------------------------------------------------------------------

    def workflow(self, name: str = "Onboarding", **fields: Any) -> Source:
        made = self.world.add_workflow(name, **fields)
        return Source(made["id"], "workflow", made["name"])

    def function(self, name: str = "Destination", **fields: Any) -> Source:
        made = self.world.add_hog_function(name, **fields)
        row: Any = made["id"] if isinstance(made, Mapping) else made.id
        return Source(row, "hog_function", name)

    def failed(self, source: Source, ago: float = HOUR, **fields: Any) -> str:
        """A run that failed so many seconds ago."""
        at = self.clock.true - timedelta(seconds=ago)
        given = {"distinct_id": "ada", **fields}
        add = self.world.add_run if source.type == "workflow" else self.world.add_function_run
        return add(source.id, "failed", at, **given).invocation_id

    def blocked(self, source: Source, n: int = 1) -> list[str]:
        return [run["instance_id"] for run in self.world.add_blocked_runs(source.id, n)]

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def become(self, generation: Any) -> None:
        """The server is replaced by one of another generation, with the same data."""
        site = self.sandbox.site
        site.generation = site.world.generation = generation
        self._transport = SandboxTransport(site, Application(site, endpoint_groups(site), []))

    # --- what is done ----------------------------------------------------------------------------

    def client(self) -> PostHogClient:
        return PostHogClient(
            self.sandbox.url,
            self.sandbox.api_key,
            self.sandbox.project_id,
            limits=False,
            max_wait=120.0,
            timeout=Timeouts(read=self.read_timeout),
            transport=self._transport,
            clock=self.clock,
        )

    def actor(self, *, grace: float | None = None) -> Actor:
        """A Dagster run that begins now; all earlier ones are over."""
        return Actor(
            self.client(),
            self.ledger,
            f"run-{next(self._runs)}",
            log=self.log,
            alive=lambda owner: owner in self.running,
            clock=self.clock,
            grace=timedelta(seconds=self.grace if grace is None else grace),
        )

    def rerun(
        self,
        source: Source,
        runs: Sequence[str | RunToRerun],
        actor: Actor | None = None,
        **policy: Any,
    ) -> Summary:
        who = actor or self.actor()
        named = [run if isinstance(run, RunToRerun) else RunToRerun(run) for run in runs]
        with who.holding(source.id, 0.0) as held:
            assert held
            return rerun_failed(who, source, named, replay_policy(**policy))

    def replay(
        self, source: Source, runs: Sequence[str], actor: Actor | None = None, **policy: Any
    ) -> Summary:
        who = actor or self.actor()
        named = [BlockedRun(run) for run in runs]
        with who.holding(source.id, 0.0) as held:
            assert held
            return replay_blocked(who, source, named, replay_policy(**policy))

    def batch(
        self,
        source: Source,
        key: str = "2026-11-20",
        variables: Mapping[str, Any] | None = None,
        actor: Actor | None = None,
        again_after: float = 0.0,
        **policy: Any,
    ) -> Result:
        who = actor or self.actor()
        send = BatchSend(source, key, variables or {}, timedelta(seconds=again_after))
        given = {"dry_run": False, "skip_if_running": False, "reconcile_seconds": 0.0, **policy}
        with who.holding(source.id, 0.0) as held:
            assert held
            return send_batch(who, send, BatchPolicy(**given))

    def schedule(
        self, source: Source, actor: Actor | None = None, rrule: str = "FREQ=DAILY", **fields: Any
    ) -> Result:
        who = actor or self.actor()
        given = {"dry_run": False, "starts_at": datetime(2031, 5, 1, 9, tzinfo=UTC), **fields}
        with who.holding(source.id, 0.0) as held:
            assert held
            return create_schedule(who, ScheduleToCreate(source, rrule, **given))

    def detect_failed(self, source: Source, **policy: Any) -> Detection:
        window = TimeWindow(self.clock.true - timedelta(days=29))
        wanted = {name: policy.pop(name) for name in ("wanted", "deadline") if name in policy}
        return detect_failed(self.actor(), source, replay_policy(**policy), window, **wanted)

    def detect_blocked(self, source: Source) -> Detection:
        window = TimeWindow(self.clock.true - timedelta(days=29))
        return detect_blocked(self.actor(), source, replay_policy(), window)

    def reconcile(self) -> Summary:
        return reconcile(self.actor())

    # --- what came of it -------------------------------------------------------------------------

    def again(self) -> dict[str, int]:
        """How often each run was replayed or run again."""
        causes = ("replay", "rerun")
        return dict(Counter(x.invocation_id for x in self.world.executions if x.cause in causes))

    def messages(self, run: str) -> list[str]:
        """Steps whose messages left for a run, in order."""
        return [one.action_id for one in self.world.messages if one.invocation_id == run]

    def sends(self, source: Source) -> int:
        return sum(send.workflow_id == source.id for send in self.world.batch_sends)

    def schedules(self, source: Source) -> int:
        return sum(row.workflow_id == source.id for row in self.world.schedules.values())

    def posts(self, path: str = "*/rerun/") -> int:
        return self.sandbox.count("POST", path)

    def entries(self, **filters: Any) -> list[Entry]:
        return list(self.ledger.entries(**filters))

    def states(self) -> dict[str, str]:
        return {entry.subject: str(entry.state) for entry in self.entries()}


def replay_policy(**fields: Any) -> ReplayPolicy:
    return ReplayPolicy(
        **{"dry_run": False, "verify_seconds": 0.0, "already_sent": "allow", **fields}
    )


def mail(id: str, name: str = "") -> dict[str, Any]:
    """A step that sends an e-mail."""
    email = {
        "from": {"name": "The team", "email": "team@example.com"},
        "to": "{person.properties.email}",
        "subject": "Hi",
    }
    config = {"template_id": "template-email", "inputs": {"email": {"value": email}}}
    return step(id, "function_email", config, name)


def webhook(id: str, name: str = "") -> dict[str, Any]:
    """A step that calls another system."""
    inputs = {"url": {"value": "https://example.com/in"}}
    return step(id, "function", {"template_id": "template-webhook", "inputs": inputs}, name)


def wait(id: str, duration: str = "1h") -> dict[str, Any]:
    """A step that waits."""
    return step(id, "delay", {"delay_duration": duration})
