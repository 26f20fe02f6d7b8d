"""A run that is terminated while it follows a batch job cancels the job, if that was asked for."""

import os
import signal
from pathlib import Path

import dagster as dg
import pytest

from tests.acting_kit import House, house
from tests.daemon_kit import IN_PROCESS, write_settings
from tests.faults.processes import PROCESSES, wait_until

pytestmark = pytest.mark.integration


def _follow(home: tuple[str, str, int, str], folder: str, workflow: str, cancel: bool) -> None:
    url, key, project, ledger = home
    with dg.DagsterInstance.from_config(folder) as instance:
        House(url, key, project, instance, ledger).batch(
            workflow, key="1", follow_seconds=60, cancel_on_termination=cancel
        )


@pytest.mark.parametrize("cancel", [True, False])
def test_a_terminated_run_cancels_its_batch_job_if_asked_to(tmp_path: Path, cancel: bool) -> None:
    write_settings(tmp_path, IN_PROCESS)
    with house(tmp_path, "current") as home:
        sandbox = home.sandbox
        sandbox.world.add_person()
        workflow = sandbox.world.add_workflow("N", trigger="batch")["id"]
        what = (home.url, home.api_key, home.project_id, home.ledger_url)
        process = PROCESSES.Process(target=_follow, args=(what, str(tmp_path), workflow, cancel))
        process.start()
        # Once before sending, once following.
        wait_until(lambda: sandbox.count("GET", f"*/{workflow}/batch_jobs/") >= 2, 90)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)  # what a run worker makes of a termination
        process.join(60)
        assert process.exitcode is not None
        cancelled = sandbox.count("POST", "*/cancel/") == 1
        assert cancelled is cancel
        statuses = {job.status for job in sandbox.world.batch_jobs.values()}
        assert ("cancelled" in statuses) is cancel
        assert len(sandbox.world.batch_sends) == 1
        assert home.states() == {"batch_send:1": "confirmed"}
