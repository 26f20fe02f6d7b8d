"""A command that was killed in the middle leaves no more behind than a Dagster run does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hog_dagster.actions import command_owner, command_runs
from hog_dagster.ledger import Action, Ledger
from tests.acting_kit import house
from tests.faults.processes import PROCESSES


def _act(url: str, actions: list[Action], pipe: Any) -> None:
    """Claim actions as a command does, mark the second one as sent two hours ago, and stay."""
    with command_owner() as owner, Ledger(url) as book:
        claims = book.claim_all(actions, owner)
        long_ago = datetime.now(UTC) - timedelta(hours=2)
        book.mark_sent([claims[1].entry], server_time=long_ago)
        pipe.send(owner)
        pipe.recv()


def test_actions_of_a_command_that_was_killed_are_reconciled_as_those_of_a_dead_run(
    tmp_path: Path,
) -> None:
    with house(tmp_path, "docs") as home:
        workflow = home.sandbox.world.add_workflow()["id"]
        runs = [run["instance_id"] for run in home.sandbox.world.add_blocked_runs(workflow, 2)]
        actions = [Action(home.project_id, "replay", workflow, run) for run in runs]
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=_act, args=(home.ledger_url, actions, theirs))
        process.start()
        owner = ours.recv()
        assert command_runs(owner) is True
        home.reconcile()
        assert [*home.states().values()] == ["claimed", "sent"], "its command still runs"
        process.kill()
        process.join(30)
        assert command_runs(owner) is False
        home.reconcile()
        assert [*home.states().values()] == ["not_sent", "not_sent"]
