"""A code location that only observes: everything from environment variables."""

import os
from pathlib import Path

import dagster as dg

from hog_dagster.lineage._graph import load_posthog_asset_specs
from hog_dagster.lineage._records import Snapshot
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sensors import build_observing_sensor

snapshot = Snapshot.read(Path(os.environ["OBSERVING_TEST_SNAPSHOT"]))
assert snapshot is not None
specs = load_posthog_asset_specs(snapshot)

defs = dg.Definitions(
    assets=specs,
    sensors=[
        build_observing_sensor(
            specs=specs,
            known=snapshot,
            minimum_interval_seconds=1,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ],
    resources={
        "posthog": PostHogResource(
            host=dg.EnvVar("OBSERVING_TEST_HOST"),
            api_key=dg.EnvVar("OBSERVING_TEST_KEY"),
            project_id=dg.EnvVar("OBSERVING_TEST_PROJECT"),
        ),
        "ledger": LedgerResource(url=dg.EnvVar("OBSERVING_TEST_LEDGER")),
    },
)
