"""A code location with one sensor, `asking`, that asks for the order of a cell of the fault matrix.

Replays and reruns are asked for by the product's own sensor, the other actions by a user's.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import dagster as dg

from hog_dagster.jobs import build_batch_job, build_replay_job, build_schedule_create_job
from hog_dagster.policies import ReplayPolicy
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sensors import build_failed_runs_sensor
from tests.acting_kit import DAILY
from tests.faults.columns import COLUMNS, GRACE, Order

order = Order(**json.loads(os.environ["FAULTS_TEST_ORDER"]))
given: dict[str, Any] = {
    "workflow": order.target,
    "dry_run": False,
    "grace_seconds": GRACE,
    "lock_wait_seconds": 30.0,
    "reconcile_seconds": 0.0,
}


def asking_for(job: dg.JobDefinition, **config: Any) -> dg.SensorDefinition:
    @dg.sensor(name="asking", job=job, minimum_interval_seconds=1)
    def asking(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
        run_config = {"ops": {f"{job.name}_op": {"config": {**given, **config}}}}
        yield dg.RunRequest(run_key="the order", run_config=run_config)

    return asking


if order.column == "batch job":
    sensor = asking_for(build_batch_job(), key=order.key, skip_if_running=False)
elif order.column == "schedule create":
    sensor = asking_for(build_schedule_create_job(), **DAILY)
else:
    sensor = build_failed_runs_sensor(
        "asking",
        job=build_replay_job(),
        policy=ReplayPolicy(
            dry_run=False, grace_seconds=GRACE, verify_seconds=0, lock_wait_seconds=30
        ),
        hog_functions=COLUMNS[order.column].function,
        minimum_interval_seconds=1,
    )

defs = dg.Definitions(
    sensors=[sensor],
    jobs=[sensor.job],
    resources={
        "posthog": PostHogResource(
            host=dg.EnvVar("FAULTS_TEST_HOST"),
            api_key=dg.EnvVar("FAULTS_TEST_KEY"),
            project_id=dg.EnvVar("FAULTS_TEST_PROJECT"),
        ),
        "ledger": LedgerResource(url=dg.EnvVar("FAULTS_TEST_LEDGER")),
    },
)
