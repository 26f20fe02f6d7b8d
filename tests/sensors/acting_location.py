"""A code location as a user writes one: everything from environment variables."""

from datetime import timedelta

import dagster as dg

from hog_dagster.jobs import build_batch_job, build_replay_job
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.schedules import build_batch_job_schedule
from hog_dagster.sensors import build_blocked_runs_sensor, build_workflow_health_sensor

NEWSLETTER = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"

replay = build_replay_job()
batch = build_batch_job()

defs = dg.Definitions(
    jobs=[replay, batch],
    sensors=[
        build_blocked_runs_sensor(
            job=replay, dry_run=False, verify=timedelta(0), minimum_interval_seconds=1
        ),
        build_workflow_health_sensor(minimum_interval_seconds=1),
    ],
    schedules=[
        build_batch_job_schedule(
            NEWSLETTER,
            "0 * * * *",
            name="newsletter",
            job=batch,
            dry_run=False,
            execution_timezone="Europe/Berlin",
        )
    ],
    resources={
        "posthog": PostHogResource(
            host=dg.EnvVar("ACTING_TEST_HOST"),
            api_key=dg.EnvVar("ACTING_TEST_KEY"),
            project_id=dg.EnvVar("ACTING_TEST_PROJECT"),
        ),
        "ledger": LedgerResource(url=dg.EnvVar("ACTING_TEST_LEDGER")),
    },
)
