"""Asks Dagster for runs of the replay job: not while one is under way, not too soon after one
failed, and under a run key that a failed run does not burn.

Facts: a run key is used up by a run in any state, a failed one too, for ever, so the key carries
which run came before. It is unique per sensor and code location only, so runs under way are looked
for by their tag over the whole instance, and runs an operator launched by their config.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunRecord, RunsFilter

from hog_dagster.jobs.running import IN_PROGRESS, WORKFLOW_TAG

__all__ = ["RUNS_TAG", "SEEN_TAG", "Asking"]

#: Tag with a fingerprint of the runs that are to be replayed.
RUNS_TAG = "hog_dagster/runs"
DRY_RUN_TAG = "hog_dagster/dry_run"
#: Tag with what the tick saw of the workflow.
SEEN_TAG = "hog_dagster/seen"
_LONGEST_BACKOFF = 3600.0
_LOOK_BACK = 20


@dataclass
class Asking:
    """What a tick knows of the runs of its job.

    Args:
        instance: the Dagster instance.
        job_name: the job the sensor asks runs of.
        dry_run: whether the sensor's runs only say what they would do.
        retry_after: seconds until the same is asked for again; doubles each time, up to an hour.
    """

    instance: dg.DagsterInstance
    job_name: str
    dry_run: bool
    retry_after: float = 60.0

    def under_way(self) -> set[str]:
        """Workflows that a run of the job, of whatever origin, is acting on or queued for."""
        runs = self.instance.get_runs(
            RunsFilter(job_name=self.job_name, statuses=list(IN_PROGRESS)), limit=500
        )
        workflows: set[str] = set()
        for run in runs:
            workflows.add(run.tags.get(WORKFLOW_TAG) or _configured_workflow(run.run_config))
        return workflows - {""}

    def wait_of(self, workflow_id: str, now: datetime) -> float:
        """Seconds to wait before the next run for a workflow: doubles with each run that failed."""
        records = self._records(workflow_id)
        failed = 0
        for record in records:
            if record.dagster_run.status is DagsterRunStatus.SUCCESS:
                break
            failed += 1
        if not records or not failed:
            return 0.0
        ended = records[0].end_time or records[0].update_timestamp.timestamp()
        pause = min(self.retry_after * 2 ** (failed - 1), _LONGEST_BACKOFF)
        return max(0.0, ended + pause - now.timestamp())

    def request(
        self,
        workflow_id: str,
        runs: Sequence[dict[str, Any]],
        config: dict[str, Any],
        *,
        seen: str = "",
    ) -> dg.RunRequest | None:
        """The request for a run that replays these runs; None when it is too soon to ask again.

        Args:
            workflow_id: the workflow.
            runs: what is to be replayed.
            config: the rest of the job's config.
            seen: what the tick saw, in words, for whoever looks at the run.
        """
        fingerprint = _fingerprint(runs, self.dry_run)
        earlier = [
            record
            for record in self._records(workflow_id, any_kind=True)
            if record.dagster_run.tags.get(RUNS_TAG) == fingerprint
        ]
        if self.dry_run and earlier:
            return None
        if earlier and self._again_in(earlier) > 0:
            return None
        tags = {WORKFLOW_TAG: workflow_id, RUNS_TAG: fingerprint, SEEN_TAG: seen or "-"}
        if self.dry_run:
            tags[DRY_RUN_TAG] = "true"
        last = self._records(workflow_id, any_kind=True)
        after = last[0].dagster_run.run_id[:8] if last else "first"
        return dg.RunRequest(
            run_key=f"{workflow_id}:{fingerprint}:{after}",
            run_config={
                "ops": {
                    f"{self.job_name}_op": {
                        "config": {"workflow_id": workflow_id, "runs": list(runs), **config}
                    }
                }
            },
            tags=tags,
        )

    def _again_in(self, earlier: Sequence[RunRecord]) -> float:
        ended = max(r.end_time or r.update_timestamp.timestamp() for r in earlier)
        pause = min(self.retry_after * 2 ** (len(earlier) - 1), _LONGEST_BACKOFF)
        return ended + pause - datetime.now(UTC).timestamp()

    def _records(self, workflow_id: str, *, any_kind: bool = False) -> Sequence[RunRecord]:
        """Ended runs of the job for a workflow, newest first."""
        records = self.instance.get_run_records(
            RunsFilter(job_name=self.job_name, tags={WORKFLOW_TAG: workflow_id}), limit=_LOOK_BACK
        )
        return [
            record
            for record in records
            if record.dagster_run.status not in IN_PROGRESS
            and (any_kind or record.dagster_run.tags.get(DRY_RUN_TAG) != "true")
        ]


def _fingerprint(runs: Sequence[dict[str, Any]], dry_run: bool) -> str:
    names = "\n".join(sorted(str(run["instance_id"]) for run in runs))
    return ("dry-" if dry_run else "") + hashlib.sha256(names.encode()).hexdigest()[:20]


def _configured_workflow(run_config: Any) -> str:
    """The workflow an operator's run names in its config."""
    if not isinstance(run_config, dict):
        return ""
    for op in (run_config.get("ops") or {}).values():
        workflow = ((op or {}).get("config") or {}).get("workflow_id")
        if workflow:
            return str(workflow)
    return ""
