"""What loading a code location warns of: nothing that its users cannot change."""

import subprocess
import sys

CODE = """
import os
os.environ |= {"POSTHOG_API_KEY": "", "POSTHOG_PROJECT_ID": ""}
import dagster as dg
from hog_dagster.definitions import defs
defs.get_repository_def().get_all_jobs()

@dg.sensor(job_name="replay_runs", owners=["team:mine"])
def mine(context): ...
"""


def test_dagsters_copies_of_sensors_warn_of_no_owners_and_a_users_own_sensor_does() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", CODE], capture_output=True, text=True, check=True
    )
    warned = [line for line in run.stderr.splitlines() if "BetaWarning" in line]
    assert len(warned) == 1
    assert warned[0].startswith("<string>:8")
