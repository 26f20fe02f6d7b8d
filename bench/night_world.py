"""The project of the part "a night": 1,000 workflows, 300 hog functions, 20 insights, groups.

It is built in a sandbox, day by day. Figures of a day are small on purpose: what is measured are
requests, and those follow the number of objects, not the number of rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step

__all__ = ["Project", "build"]

WORKFLOWS, BATCH, FUNCTIONS, INSIGHTS, GROUP_TYPES = 1_000, 20, 300, 20, 3
#: Of 300 functions, so many are switched off, and so many run in browsers.
SWITCHED_OFF, IN_BROWSERS = 30, 30
GROUPS = (150, 80, 40)
_TRENDS = {
    "kind": "InsightVizNode",
    "source": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "signed up"}]},
}


@dataclass
class Project:
    """What was built.

    Args:
        workflows: ids of event workflows.
        batch: ids of batch workflows.
        functions: ids of hog functions that run on PostHog's servers.
        idle: workflows that never ran.
    """

    workflows: list[str]
    batch: list[str]
    functions: list[str]
    idle: frozenset[str]

    def add_day(self, sandbox: Sandbox, day: datetime) -> None:
        """A day of runs, lines and counts of everything that is not idle."""
        world, at = sandbox.world, day + timedelta(hours=9)
        for n, workflow in enumerate(w for w in self.workflows if w not in self.idle):
            failed = n % 20 == 0
            _runs(world, workflow, workflow, at + timedelta(seconds=n), failed=failed)
        for n, workflow in enumerate(w for w in self.batch if w not in self.idle):
            moment = at + timedelta(minutes=n)
            job = world.add_batch_job(workflow, created_at=moment, status="completed")
            _runs(world, workflow, job.id, moment, job=job.id)
        for n, function in enumerate(self.functions):
            moment = at + timedelta(seconds=n)
            world.add_function_run(function, scheduled_at=moment, sends=False)
            world.add_logs(function, [_line(function, moment, "sent")])
            world.emit_metric(function, moment, "succeeded", "success")


def build(sandbox: Sandbox, *, before: datetime, idle: float = 0.0) -> Project:
    """Build the project in an empty sandbox.

    Args:
        sandbox: an empty one.
        before: everything was made ten days before this moment.
        idle: the share of the workflows, batch workflows among them, that never run.
    """
    world, made = sandbox.world, before - timedelta(days=10)
    workflows: list[str] = []
    batch: list[str] = []
    for n in range(WORKFLOWS):
        kind = "batch" if n % (WORKFLOWS // BATCH) == 0 else "event"
        row = world.add_workflow(
            f"Workflow {n}",
            kind,
            _steps(),
            created_at=made,
            updated_at=made + timedelta(seconds=n),
        )
        (batch if kind == "batch" else workflows).append(row["id"])
        if kind == "batch":
            world.add_schedule(row["id"], "FREQ=DAILY", created_at=made, status="paused")
    functions: list[str] = []
    for n in range(FUNCTIONS):
        browser, off = n < IN_BROWSERS, n >= FUNCTIONS - SWITCHED_OFF
        row = world.add_hog_function(
            f"Function {n}",
            "site_app" if browser else "destination",
            enabled=not off,
            created_at=made,
            updated_at=made,
        )
        if not browser and not off:
            functions.append(row["id"])
    for n in range(INSIGHTS):
        world.add_insight(f"Insight {n}", _TRENDS)
    for index in range(GROUP_TYPES):
        world.add_group_type(f"type_{index}")
        for n in range(GROUPS[index]):
            world.add_group(
                index, f"group {n}", {"plan": "free"}, created_at=made + timedelta(seconds=n)
            )
    resting = frozenset(
        [*workflows[: round(len(workflows) * idle)], *batch[: round(len(batch) * idle)]]
    )
    return Project(workflows, batch, functions, resting)


def _steps() -> list[dict[str, Any]]:
    """Four steps between trigger and exit: six in all."""
    email = {"inputs": {"email": {"value": {"to": "{person.properties.email}", "subject": "Hi"}}}}
    hook = {"template_id": "template-webhook", "inputs": {"url": {"value": "https://example.com"}}}
    return [
        step("action_delay", "delay", {"delay_duration": "1s"}),
        step("action_hook", "function", hook),
        step("action_mail", "function_email", email),
        step("action_second_hook", "function", hook),
    ]


def _runs(
    world: Any, workflow: str, source: str, at: datetime, *, failed: bool = False, job: str = ""
) -> None:
    """A run of a workflow, filed under itself or its batch job: row, lines, counts."""
    ended = at + timedelta(seconds=2)
    run = world.add_run(
        workflow,
        "failed" if failed else "succeeded",
        at,
        finished_at=ended,
        parent_run_id=job,
        logged=False,
        sends=False,
        error_kind="http_5xx" if failed else "",
        error_message="HTTP 500" if failed else "",
    )
    second = timedelta(seconds=1)
    texts = ("Executing action [Action:action_hook]", "Workflow completed")
    world.add_logs(
        source,
        [_line(run.invocation_id, at + n * second, text) for n, text in enumerate(texts)],
    )
    steps = ["action_delay", "action_hook", "action_mail", "action_second_hook", "exit_node"]
    for name in steps[:2] if failed else steps:
        world.emit_metric(source, at, "succeeded", "success", instance_id=name)
    if failed:
        world.emit_metric(source, ended, "failed", "failure", instance_id=steps[2])
    world.emit_metric(source, at, "triggered", "other")
    name, kind = ("failed", "failure") if failed else ("succeeded", "success")
    world.emit_metric(source, ended, name, kind)


def _line(run: str, at: datetime, text: str) -> dict[str, Any]:
    return {"instance_id": run, "timestamp": at, "level": "INFO", "message": text}
