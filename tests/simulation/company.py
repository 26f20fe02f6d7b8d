"""What happens beside the processes: users, PostHog's moods, clocks, operators, backups."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hog_dagster.sandbox.engine._batches import send_batch
from tests.simulation.books import Snapshot
from tests.simulation.places import KEY, NARROW, NARROW_KEY

if TYPE_CHECKING:
    from tests.simulation.history import History

__all__ = ["Company"]

#: Endpoints that a server may lack, or lose.
REMOVABLE = (
    "invocation_results_count",
    "invocation_result",
    "invocation_results",
    "global_metrics",
    "sent_messages",
    "blast_radius",
    "hogql_runs",
    "rerun",
    "blocked_runs",
    "cancel_batch_job",
)
HOUR = 3600.0


class Company:
    """Schedules what else happens in a history."""

    def __init__(self, history: "History", dice: random.Random) -> None:
        self.history = history
        self.dice = dice
        self.scheduler = history.scheduler
        self.places = history.places
        self.world = history.places.sandbox.world
        self.site = history.places.sandbox.site
        self.trace = history.trace
        #: (kind, target) of rows that others made and that nothing tells from ours.
        self.lost: set[str] = set()
        self.backup: Snapshot | None = None
        self.lookalikes: set[tuple[str, str]] = set()

    def invite(self, end: float) -> None:
        """Draw who comes when."""
        coming: tuple[tuple[str, Callable[[], None], int], ...] = (
            ("local steps", self.step_local_clock, 3),
            ("server steps", self.step_server_clock, 2),
            ("operator", self.operator, 3),
            ("kills", self.kill_somebody, 2),
            ("foreign", self.foreign, 1),
            ("worker down", self.worker_down, 2),
            ("worker fails", self.worker_fails, 4),
            ("key refused", self.key_refused, 1),
            ("generation change", self.change_generation, 2),
            ("endpoints missing", self.lose_endpoint, 3),
            ("merges", self.merge, 2),
        )
        if "ledger swapped" in self.history.plan.trouble and self.history.books.url is None:
            at = self.dice.uniform(0, end)
            self.scheduler.after(self.dice.uniform(0, at), self.back_up)
            self.scheduler.after(at, self.swap_ledger)
            self.scheduler.after(self.dice.uniform(at, end * 1.1), self.history.books.put_back)
        self._coming = [one for one in coming if one[0] in self.history.plan.trouble]
        for _, do, most in self._coming:
            for _ in range(self.dice.randint(1, most)):
                self.scheduler.after(self.dice.uniform(0, end), do)
        self.history.truth.watcher = self._come_near

    def _come_near(self, _request: Any) -> None:
        """Much of what goes wrong does so while a request is under way, or soon after."""
        for name, do, _ in self._coming:
            if self.dice.random() < (0.4 if name == "foreign" else 0.15):
                soon = self.dice.choice((0.01, 0.1, 10.0, 100.0, 600.0)) * self.dice.random()
                self.scheduler.after(soon, do)

    def leave(self) -> None:
        """From now on PostHog is well."""
        self.places.behave_well()
        self.history.books.put_back()
        self.site.keys = _keys(self.places.key)
        self.history.truth.watcher = lambda _request: None
        if self.dice.random() < 0.5:
            self.site.missing -= self.lost
        self.history.forget_clients()

    def say(self, what: str, count: str) -> None:
        self.scheduler.counts[count] += 1
        self.trace("world", what)

    # --- clocks and processes -------------------------------------------------------------------

    def kill_somebody(self) -> None:
        running = [p for p in self.scheduler.processes.values() if p.running]
        if running:
            self.dice.choice(running).kill()

    def step_local_clock(self) -> None:
        seconds = self.dice.choice((-40000, -3600, -300, 300, 3600, 40000))
        self.history.clock.offset += timedelta(seconds=seconds)
        self.say(f"the local clock is stepped by {seconds} s", "fault: local clock stepped")

    def step_server_clock(self) -> None:
        seconds = self.dice.choice((-30, -1.5, 1.5, 30))
        self.places.clock.skew += timedelta(seconds=seconds)
        self.say(f"PostHog's clock is stepped by {seconds} s", "fault: server clock stepped")

    # --- other users, and PostHog's schedules ---------------------------------------------------

    def foreign(self) -> None:
        order = self.dice.choice(self.history.orders)
        getattr(self, f"_foreign_{order.kind}")(order)

    def _foreign_rerun(self, order: Any) -> None:
        now = self.places.clock.now()
        body = {
            "filter": {
                "window_start": (now - timedelta(days=20)).isoformat(),
                "window_end": (now + timedelta(minutes=1)).isoformat(),
                "invocation_ids": [self.dice.choice(order.runs)],
            }
        }
        root = "hog_flows" if order.target_type == "workflow" else "hog_functions"
        response = self.places.as_user(f"{root}/{order.target}/rerun/", body)
        self.say(
            f"a user reruns a run: {response.status_code} {response.text[:80]}", "foreign rerun"
        )

    def _foreign_replay(self, order: Any) -> None:
        path = f"hog_flows/{order.target}/replay_all_blocked_runs/"
        response = self.places.as_user(path, {})
        self.say(
            f"a user replays all: {response.status_code} {response.text[:80]}", "foreign replay"
        )

    def _foreign_batch_send(self, order: Any) -> None:
        workflow = self.world.workflows[order.target]
        who = self.dice.choice(("the same user", "another user", "a schedule", "other variables"))
        if who == "a schedule":
            self.world.add_schedule(
                order.target,
                f"FREQ=HOURLY;COUNT={self.dice.choice((1, 1, 3))}",
                starts_at=self.places.clock.now() + timedelta(minutes=self.dice.choice((2, 40))),
                variables=order.variables,
                created_at=self.places.clock.now(),
            )
        elif who == "another user":
            job = self.world.add_batch_job(
                order.target,
                created_by=self.world.colleague,
                variables=order.variables,
                tracked=self.world.newer,
            )
            send_batch(self.world, workflow, job, newer=self.world.newer)
        else:
            variables = order.variables
            if who == "other variables":
                variables = {**variables, "tier": "silver"}
            if who == "the same user" or self.world.created_at or not order.variables:
                self.lookalikes.add(("batch_send", order.target))
            token = self.places.as_user(
                "hog_flows/user_blast_radius/", {"filters": {"properties": []}}
            ).json()
            body = {"variables": variables, "confirm_token": token.get("confirm_token")}
            self.places.as_user(f"hog_flows/{order.target}/batch_jobs/", body)
        self.say(f"{who} sends a batch job of {order.target}", f"foreign batch: {who}")

    def _foreign_schedule_create(self, order: Any) -> None:
        who = self.dice.choice(("the same", "another"))
        rule = "FREQ=DAILY" if who == "the same" else "FREQ=WEEKLY"
        if who == "the same":
            self.lookalikes.add(("schedule_create", order.target))
        body = {
            "rrule": rule,
            "starts_at": order.starts_at,
            "timezone": "UTC",
            "variables": dict(order.variables),
        }
        response = self.places.as_user(f"hog_flows/{order.target}/schedules/", body)
        self.say(f"a user makes {who} schedule: {response.status_code}", f"foreign schedule: {who}")

    # --- PostHog's moods ------------------------------------------------------------------------

    def worker_down(self) -> None:
        self.world.worker_down = True
        self.say("PostHog's worker is down", "fault: worker down")

        def up() -> None:
            self.world.worker_down = False
            self.trace("world", "PostHog's worker is up again")

        self.scheduler.after(self.dice.uniform(5, 2000), up)

    def worker_fails(self) -> None:
        aborts = self.dice.random() < 0.3
        effect = not aborts and self.dice.random() < 0.5
        self.world.fail_rerun_page(effect=effect, aborts=aborts)
        self.say(
            f"the next page of a rerun job fails (effect {effect}, aborts {aborts})",
            "fault: worker aborts" if aborts else "fault: worker fails a page",
        )

    def merge(self) -> None:
        self.world.merge_now()
        self.say("ClickHouse merges", "merged")

    def key_refused(self) -> None:
        self.site.keys = _keys("phx_other")
        self.say("the key is refused", "fault: key refused")

        def again() -> None:
            if self.dice.random() < 0.5:
                self.places.key = f"phx_new_{self.dice.randrange(10**6)}"
            self.site.keys = _keys(self.places.key)
            self.trace("world", "a key is accepted again")

        self.scheduler.after(self.dice.uniform(5, 3000), again)

    def change_generation(self) -> None:
        others = [g for g in ("docs", "mid2026", "current") if g != self.site.generation]
        generation: Any = self.dice.choice(others)
        self.places.become(generation)
        self.history.forget_clients()
        self.say(f"the server is a {generation} one from now on", "fault: generation changed")

    def lose_endpoint(self) -> None:
        name = self.dice.choice(REMOVABLE)
        self.lost.add(name)
        self.site.missing.add(name)
        self.say(f"the endpoint {name} is gone", "fault: endpoint gone")

    # --- backups --------------------------------------------------------------------------------

    def back_up(self) -> None:
        self.backup = self.history.books.backup()
        self.trace("world", "the ledger is backed up")

    def swap_ledger(self) -> None:
        """Another ledger takes the place of ours, while no run is under way."""
        if any(process.running for process in self.scheduler.processes.values()):
            return
        lost = self.backup is None or self.dice.random() < 0.4
        known = 0 if lost or self.backup is None else self.backup.changes
        if not any(change.step == "mark_sent" for change in self.history.books.changes[known:]):
            return  # it lacks nothing that was sent
        self.history.books.swap(None if lost else self.backup)
        what = "an empty ledger" if lost else "an old backup"
        self.say(f"{what} is in the ledger's place", f"fault: {what}")

    # --- operators ------------------------------------------------------------------------------

    def operator(self) -> None:
        """Looks into PostHog, at the truth, and says what became of some rows in doubt."""
        self.history.operator_decides(lambda _row: self.dice.random() < 0.5)


def _keys(key: str) -> dict[str, Any]:
    from hog_dagster.sandbox import Key

    wide = key != NARROW_KEY
    scopes = ("*",) if wide else tuple(NARROW)
    return {
        KEY: Key(value=KEY, name="somebody in the UI", scopes=("*",)),
        key: Key(value=key, name="ours", scopes=scopes),
    }
