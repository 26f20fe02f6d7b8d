"""All messages of a project as the table has them, whatever was sent again or deleted meanwhile."""

import random
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import SENT_MESSAGES, build_sent_messages_asset
from hog_dagster.assets._recipients import Recipients
from hog_dagster.sandbox import Sandbox
from tests.assets import kit
from tests.assets.kit import NOW

DAYS = dg.DailyPartitionsDefinition(start_date="2026-10-20", end_date="2026-11-28")
WORKFLOWS, PEOPLE, LIMIT = 20, 97, 500


def filled(sandbox: Sandbox, each: int) -> list[str]:
    """Workflows with messages of 26 days: three at each moment, some sent again on other days."""
    world, chance = sandbox.world, random.Random(3)
    steps = kit.mail_steps()
    for number in range(PEOPLE):
        world.add_person(f"p{number}", email=f"P{number}@example.com")
    runs: list[str] = []
    for place in range(WORKFLOWS):
        workflow = world.add_workflow(f"w{place}", actions=steps)["id"]
        for number in range(each):
            at = NOW - timedelta(days=27) + timedelta(days=26) * (number // 3) / (each // 3)
            who = f"p{(number * 7 + place) % PEOPLE}"
            runs.append(
                world.add_run(
                    workflow, "succeeded", at, distinct_id=who, logged=False
                ).invocation_id
            )
            if number % 20 == 0:
                later = at + timedelta(hours=chance.choice([2, 30, 60]))
                if later < NOW - timedelta(hours=1):
                    world.add_rerun(runs[-1], later, logged=False)
    return runs


def truth(sandbox: Sandbox) -> dict[tuple[str, str, str], tuple[datetime, str]]:
    """Workflow, run and step to the newest send, and the hash of whom it reached."""
    people, found = Recipients("hash", 1), {}
    for one in sorted(sandbox.world.messages, key=lambda message: message.at):
        key = (one.source_id, one.invocation_id, one.action_id)
        found[key] = (one.at, people.hashed(one.recipient))
    return found


@pytest.mark.parametrize("each", [30, pytest.param(2_500, marks=pytest.mark.slow)])
def test_every_run_and_step_is_one_row_with_its_newest_send(
    resources: Any, instance: dg.DagsterInstance, each: int
) -> None:
    with Sandbox(populate=False, limits=False, now=NOW, shuffle_ties=True) as sandbox:
        sandbox.clock.freeze(NOW)
        sandbox.world.merge = "random"
        runs, found = filled(sandbox, each), resources(sandbox)

        def load(first: str, last: str) -> int:
            before = sandbox.count("GET", "*/assets/")
            dg.materialize(
                [build_sent_messages_asset(DAYS)],
                resources={name: found[name] for name in ("posthog", "warehouse")},
                instance=instance,
                run_config=kit.QUIET,
                tags=kit.days(first, last),
            )
            return sandbox.count("GET", "*/assets/") - before

        def loaded() -> dict[tuple[str, str, str], tuple[datetime, str]]:
            with found["warehouse"].open() as warehouse:
                rows = warehouse.read(SENT_MESSAGES).to_pylist()
            table = {
                (row["workflow_id"], row["invocation_id"], row["action_id"]): (
                    row["sent_at"],
                    row["recipient_hash"],
                )
                for row in rows
            }
            assert len(table) == len(rows)
            return table

        requests = load("2026-10-25", "2026-11-21")
        assert len(loaded()) == WORKFLOWS * each
        assert loaded() == truth(sandbox)
        # One more asks whether the server lists messages at all.
        assert requests <= WORKFLOWS * each / LIMIT + WORKFLOWS + 1
        for run in runs[:: each // 10]:
            sandbox.world.add_rerun(run, NOW + timedelta(hours=30), logged=False)
        sandbox.clock.advance(timedelta(days=4).total_seconds())  # PostHog deletes the oldest.
        for days in (("2026-11-21", "2026-11-25"), ("2026-10-25", "2026-11-25")):
            load(*days)
            assert loaded() == truth(sandbox)
