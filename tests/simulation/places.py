"""Puts into the sandbox what orders are about, and knows what must become of them."""

import random
from datetime import datetime, timedelta
from typing import Any

import httpx

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.api import endpoint_groups
from hog_dagster.sandbox.server._app import Application
from hog_dagster.sandbox.server._transport import SandboxTransport
from hog_dagster.sandbox.world import step
from tests.simulation.orders import Order
from tests.simulation.plan import Plan
from tests.simulation.scheduler import START, Scheduler
from tests.simulation.sources import Message, follow_rerun_jobs, run_is_visibly_failed

__all__ = ["KEY", "NARROW_KEY", "Places", "ServerTime"]

#: A key for everything, and one that may not use HogQL.
KEY, NARROW_KEY = "phx_wide", "phx_narrow"
NARROW = ["hog_flow:write", "hog_function:write", "person:read", "group:read", "project:read"]
#: What shows the runs of hog functions to a wide key, and to a narrow one.
READS = (("hogql_runs",), ("function_invocation_results", "function_invocation_result"))
KINDS = {"workflow": "hog_flow", "hog_function": "hog_function"}


class ServerTime:
    """PostHog's clock: right, but for a skew that can be stepped."""

    def __init__(self, scheduler: Scheduler, skew: timedelta) -> None:
        self.scheduler = scheduler
        self.skew = skew

    def now(self) -> datetime:
        return self.scheduler.true_time() + self.skew

    def advance(self, seconds: float) -> datetime:
        raise RuntimeError("time passes in the scheduler")


class Places:
    """The sandbox of a history, and the builders of its orders."""

    def __init__(self, plan: Plan, scheduler: Scheduler, dice: random.Random) -> None:
        follow_rerun_jobs()
        self.plan = plan
        self.scheduler = scheduler
        self.dice = dice
        self.clock = ServerTime(scheduler, plan.server_skew)
        self.key = KEY if "hogql" in plan.trouble else NARROW_KEY
        self.sandbox = self._serve(plan.generation)
        self.transport = self.sandbox.transport()
        self._behave()
        self.people = [self.sandbox.world.add_person() for _ in range(2)]
        #: Blocked runs whose event is still there.
        self.replayable: set[str] = set()

    def _serve(self, generation: Any) -> Sandbox:
        return Sandbox(
            generation,
            seed=self.plan.seed + 1,
            now=START + self.plan.server_skew,
            clock=self.clock,  # type: ignore[arg-type]
            populate=False,
            limits=False,
            keys={KEY: ["*"], NARROW_KEY: NARROW},
            shuffle_ties=True,
            function_results=self.key == NARROW_KEY,
        )

    def become(self, generation: Any) -> None:
        """The server is replaced by one of another generation, with the same data."""
        site = self.sandbox.site
        site.generation = site.world.generation = generation
        self.transport = SandboxTransport(site, Application(site, endpoint_groups(site), []))

    def _behave(self) -> None:
        """Lags, losses and forms of this PostHog."""
        plan, dice, world = self.plan, self.dice, self.sandbox.world
        lags = plan.lags
        world.marker_lag, world.log_lag = lags["marker"], lags["log"]
        world.rerun_lag, world.rerun_log_lag = lags["rerun"], dice.choice((None, lags["marker"]))
        world.row_lag, world.row_lag_spread = lags["row"] / 2, lags["row"] / 2
        world.rerun_takes = dice.choice((0.5, 5.0, 100.0))
        world.rerun_page_size = dice.choice((1, 2, 200))
        world.merge = dice.choice(("random", "random", "never", "now"))
        world.schedule_poll = 30.0
        if plan.generation != "docs":
            world.rerun_form = dice.choice(("before_85156", "after_85156"))
            world.rerun_resumes = dice.random() < 0.5
            world.stored_action = dice.random() < 0.5
        world.assets_captured = dice.random() < 0.7
        if "rows lost" in plan.trouble:
            world.row_loss = 0.15
        elif "lines lost" in plan.trouble:
            world.log = self._losing(world.log)  # type: ignore[method-assign]
        if "stuck" in plan.trouble:
            world.stuck, world.stuck_repair = 0.3, dice.choice((None, 600.0))
        if "odd lists" in plan.trouble:
            world.batch_jobs_page = dice.choice((None, 1, 2))
            world.variables_merged = dice.random() < 0.5
            world.variables_as_text = dice.random() < 0.5
            world.created_at = dice.choice((None, None, "missing", "null"))

    def _losing(self, log: Any) -> Any:
        """Some of the rerun worker's lines never arrive; the rows of runs do."""

        def losing(source_id: str, instance_id: str, *rest: Any, **named: Any) -> None:
            if "re-run" not in str(rest[2]).lower() or self.dice.random() > 0.7:
                log(source_id, instance_id, *rest, **named)

        return losing

    def behave_well(self) -> None:
        """From now on rows arrive, runs end, the worker is there, keys work."""
        world = self.sandbox.world
        world.row_loss = world.stuck = 0.0
        world.worker_down = False
        world.page_failures.clear()
        self.clock_is_right = True

    def send(self, request: httpx.Request) -> httpx.Response:
        """Serve a request."""
        return self.transport.handle_request(request)

    def as_user(self, path: str, body: Any) -> httpx.Response:
        """A request of a person who uses PostHog's UI: no request of ours."""
        request = httpx.Request(
            "POST",
            f"https://posthog.test/api/projects/1/{path}",
            headers={"Authorization": f"Bearer {KEY}", "host": "posthog.test"},
            json=body,
        )
        response = self.send(request)
        response.read()
        return response

    # --- orders ---------------------------------------------------------------------------------

    def orders(self, number: int, kind: str) -> list[Order]:
        """Make something to be done."""
        if kind == "both":
            return self._both(f"order{number}")
        return [getattr(self, f"_{kind}")(f"order{number}")]

    def _both(self, name: str) -> list[Order]:
        """Blocked runs that newer servers behind the same address show as failed."""
        blocked = self._replay(name)
        at = self.clock.now() - timedelta(hours=1)
        for run in blocked.runs:
            self.sandbox.world.add_run(
                blocked.target, "failed", at, run, retry_status="succeeded", sends=False
            )
        rerun = Order(name + "b", "rerun", blocked.target, runs=blocked.runs, already_sent="allow")
        return [blocked, rerun]

    def _replay(self, name: str) -> Order:
        world, dice = self.sandbox.world, self.dice
        workflow = self._named(world.add_workflow("Blocked")["id"], "workflow")
        runs = world.add_blocked_runs(
            workflow,
            dice.randint(1, 3),
            unreplayable=dice.choice((0, 0, 0, 1)),
            at=self.clock.now() - timedelta(minutes=dice.choice((1, 60, 2000))),
            spacing=dice.choice((0.0, 30.0)),
        )
        self.replayable |= {
            run["instance_id"] for run in runs if run["event_uuid"] in world.event_uuids
        }
        ids = tuple(self._named(run["instance_id"], "run") for run in runs)
        return Order(name, "replay", workflow, runs=ids)

    def _rerun(self, name: str) -> Order:
        world, dice = self.sandbox.world, self.dice
        steps = [_hook("a"), _mail("b"), _hook("c")][dice.choice((0, 1)) :]
        workflow = self._named(world.add_workflow("Failing", actions=steps)["id"], "workflow")
        fails_at = dice.choice(steps)["id"]
        at = self.clock.now() - timedelta(minutes=dice.choice((30, 90, 3000)))
        apart = dice.choice((0, 1, 40))
        runs = [
            self._named(
                world.start_run(
                    workflow,
                    at=at + timedelta(seconds=number * apart),
                    ends="failed",
                    fails_at=fails_at if dice.random() < 0.7 else steps[0]["id"],
                    retry_status=dice.choice(("succeeded", "succeeded", "failed")),
                    distinct_id=dice.choice(self.people).distinct_id,
                ).invocation_id,
                "run",
            )
            for number in range(dice.randint(1, 3))
        ]
        return Order(
            name,
            "rerun",
            workflow,
            runs=tuple(runs),
            max_reruns=dice.choice((1, 1, 2, 3)),
            already_sent=dice.choice(("skip", "allow", "allow", "if_resumes")),
            slice_size=dice.choice((1, 2, 500)),
        )

    def _rerun_function(self, name: str) -> Order:
        world, dice = self.sandbox.world, self.dice
        function = self._named(world.add_hog_function("Destination")["id"], "function")
        at = self.clock.now() - timedelta(minutes=dice.choice((30, 90, 3000)))
        runs = [
            self._named(
                world.add_function_run(
                    function,
                    "failed",
                    at + timedelta(seconds=number),
                    retry_status=dice.choice(("succeeded", "failed")),
                ).invocation_id,
                "run",
            )
            for number in range(dice.randint(1, 3))
        ]
        return Order(
            name,
            "rerun",
            function,
            target_type="hog_function",
            runs=tuple(runs),
            max_reruns=dice.choice((1, 2)),
            slice_size=dice.choice((1, 500)),
        )

    def _batch_send(self, name: str) -> Order:
        return Order(
            name,
            "batch_send",
            self._batch_workflow(),
            key=self.dice.choice(("2026-11-02T09:00:00Z", "spring mail")),
            variables=self.dice.choice(({}, {"tier": "gold", "n": 3})),
        )

    def _schedule_create(self, name: str) -> Order:
        return Order(
            name,
            "schedule_create",
            self._batch_workflow(),
            key="nightly",
            starts_at=(self.clock.now() + timedelta(days=400)).replace(microsecond=0).isoformat(),
        )

    def _batch_workflow(self) -> str:
        made = self.sandbox.world.add_workflow(
            "Mailing", trigger="batch", variables=[{"key": "tier", "default": "none"}]
        )
        return self._named(made["id"], "workflow")

    def _named(self, identifier: str, kind: str) -> str:
        self.scheduler.trace.name(identifier, kind)
        return identifier

    # --- what must become of it -----------------------------------------------------------------

    def must(self, order: Order, executions: list[Any], messages: list[Message]) -> set[str]:
        """What has to have happened in the end, as far as it still can."""
        if order.kind == "replay":
            return self._must_replay(order) if self._serves("blocked_runs") else set()
        if order.kind == "rerun":
            return self._must_rerun(order, executions, messages)
        return {order.key}

    def _serves(self, name: str) -> bool:
        site = self.sandbox.site
        if name in site.missing:
            return False
        return (site.generation == "docs") == (name == "blocked_runs")

    def _must_replay(self, order: Order) -> set[str]:
        shown = self.send(
            httpx.Request(
                "GET",
                f"https://posthog.test/api/projects/1/hog_flows/{order.target}/blocked_runs/",
                headers={"Authorization": f"Bearer {KEY}", "host": "posthog.test"},
            )
        )
        shown.read()
        listed = {run["instance_id"] for run in shown.json().get("results", [])}
        return {run for run in order.runs if run in self.replayable and run in listed}

    def _must_rerun(self, order: Order, executions: list[Any], messages: list[Message]) -> set[str]:
        flow = order.target_type == "workflow"
        needed = (
            ("rerun", "logs", "invocation_results", "invocation_result")
            if flow
            else ("function_rerun", "function_logs", *READS[self.key == NARROW_KEY])
        )
        if not all(self._serves(name) for name in needed):
            return set()
        again = {one.invocation_id for one in executions if one.cause in ("rerun", "replay")}
        sent = {one.invocation_id for one in messages}
        runs = set()
        for run in order.runs:
            if run in again or (flow and run in sent and order.already_sent != "allow"):
                continue
            if run_is_visibly_failed(self.sandbox, KINDS[order.target_type], order.target, run):
                runs.add(run)
        return runs


def _hook(name: str) -> dict[str, Any]:
    inputs = {"url": {"value": f"https://example.com/{name}"}, "method": {"value": "POST"}}
    config = {"template_id": "template-webhook", "inputs": inputs}
    return step(f"action_function_{name}", "function", config, f"Webhook {name}")


def _mail(name: str) -> dict[str, Any]:
    email = {
        "to": {"email": "{person.properties.email}", "name": ""},
        "from": "team@example.com",
        "subject": "Hello",
    }
    config = {"template_id": "template-email", "inputs": {"email": {"value": email}}}
    return step(f"action_function_email_{name}", "function_email", config, f"Mail {name}")
