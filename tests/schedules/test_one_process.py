"""The jobs of refreshes run in one process, and keep to pools all the same."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from hog_dagster.schedules import build_snapshot_schedule

POOL = "posthog_reads"
_CLAIMED = "another run's step"


@dg.asset(pool=POOL)
def one() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"pid": os.getpid()})


@dg.asset(pool=POOL)
def other() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"pid": os.getpid()})


def job() -> dg.JobDefinition:
    """The job of a schedule over both."""
    made = build_snapshot_schedule([one, other])
    defs = dg.Definitions(assets=[one, other], schedules=[made])
    return defs.resolve_job_def("refresh_posthog_snapshots_job")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 1)
        yield instance


def test_steps_of_a_refresh_run_in_the_process_of_the_run(instance: dg.DagsterInstance):
    with dg.execute_job(dg.reconstructable(job), instance=instance) as done:
        assert done.success
        kinds = [event.event_type_value for event in done.all_events]
        made = [
            event.step_materialization_data.materialization
            for event in done.all_events
            if event.is_step_materialization
        ]
    assert len(made) == 2
    assert [one.metadata["pid"].value for one in made] == [os.getpid()] * 2
    assert "STEP_WORKER_STARTED" not in kinds


def test_a_step_waits_for_its_pool(instance: dg.DagsterInstance):
    storage = instance.event_log_storage
    assert storage.claim_concurrency_slot(POOL, "other", _CLAIMED).is_claimed
    results: list[bool] = []

    def refresh() -> None:
        with dg.execute_job(dg.reconstructable(job), instance=instance) as done:
            results.append(done.success)

    thread = threading.Thread(target=refresh)
    thread.start()
    pending: set[str] = set()
    while not pending and thread.is_alive():
        pending = {one.step_key for one in storage.get_concurrency_info(POOL).pending_steps}
        pending -= {_CLAIMED}
    assert pending
    assert (
        instance.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION))
        == []
    )
    storage.free_concurrency_slot_for_step("other", _CLAIMED)
    thread.join(60)
    assert results == [True]
