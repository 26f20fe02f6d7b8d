"""The sandbox of the demo and of `hog-dagster dev`: its world, its outage, its environment."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from hog_dagster.sandbox import Generation, Sandbox

DEMO_HOME = Path(".hog/demo")
#: Complete days that the demo loads.
DAYS = 14


@contextmanager
def start_sandbox(home: Path, generation: str) -> "Iterator[Sandbox]":
    """The demo's PostHog: its world and its first moment are kept in the home."""
    from hog_dagster.sandbox import Sandbox

    kept = home / f"sandbox-{generation}.json"
    if not kept.exists():
        # Well before midnight, so that a second run finds the same complete days.
        began = min(datetime.now(UTC), _end_of_day(datetime.now(UTC)) - timedelta(minutes=30))
        first = {"began": began.isoformat(), "port": _free_port()}
        kept.write_text(json.dumps(first), encoding="utf-8")
    settings = json.loads(kept.read_text(encoding="utf-8"))
    began = datetime.fromisoformat(settings["began"])
    there = (home / f"sandbox-{generation}.state").exists()
    sandbox = Sandbox(
        generation=cast("Generation", generation),
        now=max(began, min(datetime.now(UTC), _end_of_day(began) - timedelta(minutes=15))),
        port=settings["port"],
        state_path=home / f"sandbox-{generation}.state",
        marker_lag=1.0,
    )
    try:
        sandbox.start()
    except OSError as error:
        raise click.ClickException(
            f"The sandbox of {home} cannot listen on 127.0.0.1:{settings['port']} "
            f"({error.strerror or error}): another hog-dagster dev or demo may be running; stop "
            "it, or name another home."
        ) from None
    try:
        if not there:
            add_outage(sandbox, _end_of_day(began) - timedelta(days=1, minutes=10))
        yield sandbox
    finally:
        sandbox.stop()


def add_outage(sandbox: "Sandbox", begin: datetime) -> None:
    """An outage of ten minutes from `begin`: runs of two workflows failed.

    Those of one had sent nothing, and are due. Those of the other had sent an e-mail, which would
    go out again. Servers of April and May 2026 block runs instead.
    """
    world = sandbox.world
    flows = {workflow.name: workflow.id for workflow in world.workflows.values()}
    if not world.newer:
        world.add_blocked_runs(flows["Trial ending"], 8, at=begin + timedelta(minutes=5))
        return
    for name, step, number, error in (
        ("Trial ending", "action_function_email_trial", 16, "SMTP server did not respond"),
        ("Welcome new users", "action_function_email_tips", 8, "SMTP server did not respond"),
    ):
        for index in range(number):
            person = world.people[index]
            world.add_run(
                flows[name],
                "failed",
                begin + timedelta(seconds=30 * index),
                distinct_id=person.distinct_id,
                person_id=person.id,
                fails_at=step,
                error_kind="timeout",
                error_message=error,
            )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def demo_environment(home: Path, sandbox: "Sandbox") -> dict[str, str]:
    """The environment that points the default code location at the sandbox."""
    newsletters = [
        workflow.id
        for workflow in sandbox.world.workflows.values()
        if workflow.trigger.get("type") == "batch" and workflow.status == "active"
    ]
    cron = f"0 {send_moment(home).hour} * * *"
    return {
        "DAGSTER_HOME": str(home),
        "POSTHOG_HOST": sandbox.url,
        "POSTHOG_API_KEY": sandbox.api_key,
        "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        "HOG_DAGSTER_WAREHOUSE": str(home / "warehouse.duckdb"),
        "HOG_DAGSTER_LEDGER": f"sqlite:///{home / 'ledger.sqlite'}",
        "HOG_DAGSTER_START_DATE": str(first_day(sandbox.clock.now())),
        "HOG_DAGSTER_BATCH_SCHEDULES": json.dumps({newsletters[0]: cron}),
        "HOG_DAGSTER_DRY_RUN": "false",
        "HOG_DAGSTER_SEND_UNCOUNTED": "true",
    }


def _end_of_day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def began_at(home: Path) -> datetime:
    """When the first sandbox of this home began."""
    return min(
        datetime.fromisoformat(json.loads(kept.read_text(encoding="utf-8"))["began"])
        for kept in home.glob("sandbox-*.json")
    )


def send_moment(home: Path) -> datetime:
    """The full hour before that."""
    return began_at(home).replace(minute=0, second=0, microsecond=0)


def first_day(now: datetime) -> Any:
    return now.astimezone(UTC).date() - timedelta(days=DAYS)
