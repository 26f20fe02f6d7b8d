"""What an operator's limit in dagster.yaml takes hold of: the pool of everything that acts."""

import dagster as dg
import pytest

from hog_dagster.jobs import (
    ACTIONS_POOL,
    batch_job_asset,
    create_workflow_schedule,
    replay_runs,
    send_batch_job,
)

WORKFLOW = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"


@pytest.mark.parametrize("job", [replay_runs, send_batch_job, create_workflow_schedule])
def test_a_job_that_acts_is_in_the_pool_and_is_retried_only_when_its_process_died(
    job: dg.JobDefinition,
) -> None:
    assert [node.definition.pools for node in job.nodes] == [{ACTIONS_POOL}]
    assert job.run_tags["dagster/retry_on_asset_or_op_failure"] == "false"
    assert int(job.run_tags["dagster/max_retries"]) > 0


def test_a_batch_asset_is_in_the_pool() -> None:
    assert batch_job_asset(WORKFLOW).op.pools == {ACTIONS_POOL}
