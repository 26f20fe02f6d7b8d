"""Requests runs of the replay job: not while one is under way, not too soon after one failed, and
under a run key that a failed run does not burn.

Facts: a run key is used up by a run in any state, a failed one too, for ever, so the key carries
which run came before. It is unique per sensor and code location only, so runs under way are looked
for by their tag over the whole instance, and runs an operator launched by their config.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunRecord, RunsFilter

from hog_dagster.actions import Source
from hog_dagster.jobs import DETECTION_TAG, IN_PROGRESS, NAME_TAG, WORKFLOW_TAG
from hog_dagster.policies import same_id

#: Tag with a fingerprint of the runs that are to be replayed.
RUNS_TAG = "hog_dagster/runs"
DRY_RUN_TAG = "hog_dagster/dry_run"
_LONGEST_BACKOFF = 3600.0
_LOOK_BACK = 20


@dataclass
class RunRequests:
    """What a tick knows of the runs of its job, and the requests it makes; the same is requested
    again after so many seconds, which double each time, up to an hour."""

    instance: dg.DagsterInstance
    job_name: str
    dry_run: bool
    retry_after: float = 60.0

    def under_way(self) -> set[str]:
        """Workflows (ids, or what an operator's config calls them) that a run of the job, of
        whatever origin, is acting on or queued for."""
        runs = self.instance.get_runs(
            RunsFilter(job_name=self.job_name, statuses=list(IN_PROGRESS)), limit=500
        )
        workflows: set[str] = set()
        for run in runs:
            tagged = run.tags.get(WORKFLOW_TAG)
            workflows.update([tagged] if tagged else _configured(run.run_config))
        return workflows

    def wait_of(self, source_id: str, now: datetime) -> float:
        """Seconds to wait before the next run for a workflow: doubles with each run that failed."""
        records = self._records(source_id)
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
        source: Source,
        runs: Sequence[dict[str, Any]],
        config: dict[str, Any],
        *,
        detection: str = "",
    ) -> dg.RunRequest | None:
        """The request for a run that replays these runs; None when it is too soon for it."""
        fingerprint = _fingerprint(runs, self.dry_run)
        ended = self._records(source.id, any_kind=True)
        earlier = [one for one in ended if one.dagster_run.tags.get(RUNS_TAG) == fingerprint]
        if self.dry_run and earlier:
            return None
        if earlier and self._again_in(earlier) > 0:
            return None
        tags = {
            WORKFLOW_TAG: source.id,
            NAME_TAG: source.name or source.id,
            RUNS_TAG: fingerprint,
            DETECTION_TAG: detection or "-",
        }
        if self.dry_run:
            tags[DRY_RUN_TAG] = "true"
        after = ended[0].dagster_run.run_id[:8] if ended else "first"
        named = "workflows" if source.type == "workflow" else "hog_functions"
        given = {named: [source.id], "runs": list(runs), **config}
        return dg.RunRequest(
            run_key=f"{source.id}:{fingerprint}:{after}",
            run_config={"ops": {f"{self.job_name}_op": {"config": given}}},
            tags=tags,
        )

    def _again_in(self, earlier: Sequence[RunRecord]) -> float:
        ended = max(r.end_time or r.update_timestamp.timestamp() for r in earlier)
        pause = min(self.retry_after * 2 ** (len(earlier) - 1), _LONGEST_BACKOFF)
        return ended + pause - datetime.now(UTC).timestamp()

    def _records(self, source_id: str, *, any_kind: bool = False) -> Sequence[RunRecord]:
        """Ended runs of the job for a workflow, newest first."""
        records = self.instance.get_run_records(
            RunsFilter(job_name=self.job_name, tags={WORKFLOW_TAG: source_id}), limit=_LOOK_BACK
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


def _configured(run_config: Any) -> Iterator[str]:
    """The workflows and functions an operator's run names in its config."""
    ops = run_config.get("ops") if isinstance(run_config, dict) else None
    for op in (ops or {}).values():
        config = (op or {}).get("config") or {}
        for name in ("workflows", "hog_functions"):
            given = config.get(name) or ()
            for text in [given] if isinstance(given, str) else given:
                yield same_id(str(text))
