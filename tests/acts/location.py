"""A code location with one sensor, `acts`, that asks for the order of a cell of the fault matrix.

Replays and reruns are asked for by the product's own sensor, the other acts by a user's.
"""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from hog_dagster.jobs import build_batch_job, build_replay_job, build_schedule_create_job
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sensors import build_blocked_runs_sensor
from tests.acting_kit import DAILY
from tests.acts.columns import GRACE, Order

order = Order(**json.loads(os.environ["ACTS_TEST_ORDER"]))
given: dict[str, Any] = {
    "workflow_id": order.workflow,
    "dry_run": False,
    "grace_seconds": GRACE,
    "lock_wait_seconds": 30.0,
}


def asking(job: dg.JobDefinition, **config: Any) -> dg.SensorDefinition:
    @dg.sensor(name="acts", job=job, minimum_interval_seconds=1)
    def acts(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
        run_config = {"ops": {f"{job.name}_op": {"config": {**given, **config}}}}
        yield dg.RunRequest(run_key="the order", run_config=run_config)

    return acts


if order.column == "batch job":
    sensor = asking(build_batch_job(), key=order.key, settle_seconds=0.0)
elif order.column == "schedule create":
    sensor = asking(build_schedule_create_job(), settle_seconds=0.0, **DAILY)
elif order.column == "bulk replay":
    sensor = asking(build_replay_job(), runs=order.runs, mode="bulk", verify_seconds=0.0)
else:
    sensor = build_blocked_runs_sensor(
        "acts",
        job=build_replay_job(),
        dry_run=False,
        grace=timedelta(seconds=GRACE),
        verify=timedelta(0),
        minimum_interval_seconds=1,
    )

defs = dg.Definitions(
    sensors=[sensor],
    jobs=[sensor.job],
    resources={
        "posthog": PostHogResource(
            host=dg.EnvVar("ACTS_TEST_HOST"),
            api_key=dg.EnvVar("ACTS_TEST_KEY"),
            project_id=dg.EnvVar("ACTS_TEST_PROJECT"),
        ),
        "ledger": LedgerResource(url=dg.EnvVar("ACTS_TEST_LEDGER")),
    },
)
