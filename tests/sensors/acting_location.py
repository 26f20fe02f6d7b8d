"""A code location as a user writes one: everything from environment variables."""

import dagster as dg

from hog_dagster.jobs import build_batch_job, build_replay_job
from hog_dagster.policies import BatchPolicy, ReplayPolicy
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.schedules import build_batch_job_schedule
from hog_dagster.sensors import build_failed_runs_sensor, build_workflow_health_sensor

NEWSLETTER = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"

replay = build_replay_job()
batch = build_batch_job()

defs = dg.Definitions(
    jobs=[replay, batch],
    sensors=[
        build_failed_runs_sensor(
            job=replay,
            policy=ReplayPolicy(dry_run=False, verify_seconds=0),
            minimum_interval_seconds=1,
        ),
        build_workflow_health_sensor(minimum_interval_seconds=1),
    ],
    schedules=[
        build_batch_job_schedule(
            NEWSLETTER,
            "0 * * * *",
            name="newsletter",
            job=batch,
            policy=BatchPolicy(dry_run=False, skip_if_running=False),
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
