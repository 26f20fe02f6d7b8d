"""Runs and batch jobs that PostHog or people started, told apart from those Dagster caused.

Facts: the ledger knows every batch job and rerun that Dagster asked for, by PostHog's id of it; one
whose outcome is still open cannot be told apart yet, and is looked at again. Newer servers list
failed runs by the moment they were due. Counts by hour are of both generations; they arrive late,
so an hour is counted a while after its end, and runs of batch jobs are not among them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.actions import rerun_subject
from hog_dagster.assets import EMAILS, OF_RUNS, Source, WorkflowLogSource, metric_rows, success_rate
from hog_dagster.ledger import Action, Entry, Ledger, State
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import BatchJob, InvocationResult, Workflow
from hog_dagster.sensors._observer_state import Event, Observed, Places, Round
from hog_dagster.warehouse import Window

_ENDED = ("completed", "cancelled", "failed")
_RERUNS = 20


@dataclass(frozen=True)
class Observer:
    """Looks at one workflow at a time; what Dagster caused stands in the ledger. The rest is as in
    `build_observing_sensor`."""

    client: PostHogClient
    ledger: Ledger
    places: Places
    grace: timedelta
    horizon: timedelta
    most_events: int

    def _event(
        self,
        workflow: Workflow,
        kind: str,
        id: str,
        text: str,
        metadata: Mapping[str, Any],
        page: str = "logs",
    ) -> Event:
        project = f"{self.client.host}/project/{self.client.project_id}"
        about: dict[str, Any] = {
            "hog_dagster/object_id": workflow.id,
            "hog_dagster/object_name": workflow.name or "",
            "hog_dagster/url": dg.MetadataValue.url(
                f"{project}/{workflow.pages}/{workflow.id}/{page}"
            ),
        }
        key = self.places.key("workflow", workflow.id)
        said = f"Workflow {workflow.name or workflow.id}: {text}"
        return Event(id, key, kind, said, {**metadata, **about})

    # --- batch jobs -----------------------------------------------------------------------------

    def batch_jobs(self, workflow: Workflow, round: Round, cursor: Observed) -> Iterator[Event]:
        """Batch jobs made in the round that Dagster did not send, and the ends of earlier ones.

        Endpoint: GET .../hog_flows/{id}/batch_jobs/.
        """
        sends = list(
            self.ledger.entries(
                project_id=self.client.project_id, kind="batch_send", target_id=workflow.id
            )
        )
        ours = {send.remote_id for send in sends if send.remote_id}
        jobs = {job.id: job for job in self.client.workflows.batch_jobs(workflow.id)}
        for job in sorted(jobs.values(), key=lambda job: (str(job.created_at), job.id)):
            again = cursor.jobs.get(job.id, ("", ""))[1]
            if job.id in ours:
                cursor.jobs.pop(job.id, None)
                continue
            if again == "running":
                if job.status in _ENDED:
                    del cursor.jobs[job.id]
                    yield self._batch_event(workflow, job, f"{job.status}")
                continue
            if again != "whose" and not round.holds(job.created_at):
                continue
            if self._may_be_ours(job, sends, round.end):
                cursor.jobs[job.id] = (workflow.id, "whose")
                continue
            cursor.jobs.pop(job.id, None)
            yield self._batch_event(workflow, job, "sent")
            if self.client.server.has("cancel_batch_job") and job.status not in _ENDED:
                cursor.jobs[job.id] = (workflow.id, "running")
        for id in [id for id, (of, _) in cursor.jobs.items() if of == workflow.id]:
            if id not in jobs:
                del cursor.jobs[id]

    def _may_be_ours(self, job: BatchJob, sends: Sequence[Entry], now: datetime) -> bool:
        if job.created_at is None:
            return False
        for send in sends:
            sent = send.server_sent_at or send.sent_at
            if send.remote_id is None and send.open and sent is not None:
                near = abs(job.created_at - sent) <= self.grace
                if near and now - job.created_at <= self.grace * 4:
                    return True
        return False

    def _batch_event(self, workflow: Workflow, job: BatchJob, what: str) -> Event:
        maker = getattr(job.created_by, "email", None)
        by = maker or ("a schedule of PostHog" if job.created_by is None else "somebody")
        metadata: dict[str, Any] = {
            "hog_dagster/batch_job_id": job.id,
            "hog_dagster/status": job.status or "unknown",
            "hog_dagster/caused_by": by,
        }
        if job.created_at is not None:
            metadata["hog_dagster/sent_at"] = dg.MetadataValue.timestamp(job.created_at)
        text = f"batch job {what} outside Dagster, by {by}"
        return self._event(workflow, "batch_job", f"batch_job:{job.id}:{what}", text, metadata)

    # --- failed runs ----------------------------------------------------------------------------

    def failed_runs(self, workflow: Workflow, round: Round) -> Iterator[Event]:
        """Runs that failed in the round and that Dagster did not run again itself.

        Endpoint: GET .../hog_flows/{id}/invocation_results/ (newer servers).
        """
        listed = self.client.workflows.invocation_results(
            workflow.id,
            after=round.start - self.horizon,
            before=round.end + timedelta(seconds=1),
            status="failed",
        )
        failed = [run for run in listed if round.holds(_ended(run))]
        ours = self._reruns(workflow.id, failed)
        runs = sorted(
            (run for run in failed if run.invocation_id not in ours),
            key=lambda run: (str(_ended(run)), run.invocation_id),
        )
        for run in runs[: self.most_events]:
            yield self._failed_event(workflow, run)
        if rest := runs[self.most_events :]:
            yield self._rest_event(workflow, rest, round)

    def _reruns(self, workflow_id: str, runs: Sequence[InvocationResult]) -> set[str]:
        """Runs whose last attempt Dagster asked for."""
        again = [run for run in runs if run.is_retry or (run.attempts or 1) > 1]
        sent = [
            Action(
                self.client.project_id, "rerun", workflow_id, rerun_subject(run.invocation_id, n)
            )
            for run in again
            for n in range(1, _RERUNS + 1)
        ]
        ours = set()
        for entry in self.ledger.get_all(sent) if sent else ():
            if entry.state in (State.SENT, State.IN_DOUBT, State.CONFIRMED):
                ours.add(entry.subject.partition("#")[0])
        return ours

    def _failed_event(self, workflow: Workflow, run: InvocationResult) -> Event:
        metadata: dict[str, Any] = {
            "hog_dagster/run_id": run.invocation_id,
            "hog_dagster/status": run.status or "failed",
            "hog_dagster/error_kind": run.error_kind or "",
            "hog_dagster/attempts": run.attempts or 1,
        }
        for field in ("scheduled_at", "finished_at"):
            if (moment := getattr(run, field)) is not None:
                metadata[f"hog_dagster/{field}"] = dg.MetadataValue.timestamp(moment)
        if run.duration_ms is not None:
            metadata["hog_dagster/duration_ms"] = float(run.duration_ms)
        return self._event(
            workflow,
            "failed_run",
            f"run:{run.invocation_id}:{run.attempts or 1}",
            f"a run failed ({run.error_kind or 'kind not given'})",
            metadata,
            f"logs?instanceId={run.invocation_id}",
        )

    def _rest_event(
        self, workflow: Workflow, runs: Sequence[InvocationResult], round: Round
    ) -> Event:
        kinds = Counter(run.error_kind or "not given" for run in runs)
        return self._event(
            workflow,
            "failed_runs",
            f"runs:{workflow.id}:{round.start.isoformat()}:{round.end.isoformat()}",
            f"{len(runs)} more runs failed",
            {
                "hog_dagster/failed": len(runs),
                "hog_dagster/error_kinds": dg.MetadataValue.json(dict(kinds)),
            },
        )

    # --- counts by hour -------------------------------------------------------------------------

    def counts(self, workflow: Workflow, round: Round) -> Iterator[Event]:
        """How many runs ended in the round's whole hours, and what Dagster replayed of them.

        Endpoint: GET .../hog_flows/{id}/metrics/, one request and one per step.
        """
        steps = (action.id for action in workflow.actions if action.type != "trigger")
        source = Source(workflow.id, tuple(steps))
        window = Window(round.start, round.end)
        numbers = _added_up(metric_rows(self.client, WorkflowLogSource(), source, window))
        if not any(numbers.values()):
            return
        hours = round.end - round.start
        emails = any(numbers[name] for name in EMAILS)
        metadata: dict[str, Any] = {
            f"posthog/{name}": count
            for name, count in numbers.items()
            if emails or name not in EMAILS
        }
        rate = success_rate(numbers["succeeded"], numbers["failed"])
        if rate is not None:
            metadata["posthog/success_rate"] = rate
        metadata |= {
            "hog_dagster/replayed_by_dagster": self._replayed(workflow.id, round),
            "hog_dagster/hours": float(f"{hours.total_seconds() / 3600:.4f}"),
            "hog_dagster/from": dg.MetadataValue.timestamp(round.start),
            "hog_dagster/to": dg.MetadataValue.timestamp(round.end),
        }
        yield self._event(
            workflow,
            "counts",
            f"counts:{workflow.id}:{round.start.isoformat()}:{round.end.isoformat()}",
            f"{numbers['succeeded']:,} run{'s' * (numbers['succeeded'] != 1)} succeeded and "
            f"{numbers['failed']:,} failed from {round.start:%H:%M} to {round.end:%H:%M} UTC",
            metadata,
            "metrics",
        )

    def _replayed(self, workflow_id: str, round: Round) -> int:
        sent = self.ledger.entries(
            project_id=self.client.project_id,
            kind=["replay", "rerun"],
            target_id=workflow_id,
            state=[State.CONFIRMED, State.SENT, State.IN_DOUBT],
            since=round.start - self.grace,
        )
        return sum(1 for entry in sent if round.holds(entry.server_sent_at or entry.sent_at))


def _added_up(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Runs by the run level, e-mails by the steps."""
    named = {metric: name for name, metrics in EMAILS.items() for metric in metrics}
    numbers = dict.fromkeys([*OF_RUNS, *EMAILS], 0)
    for row in rows:
        if row["metric"] in OF_RUNS and row["level"] == "run":
            numbers[row["metric"]] += row["value"]
        elif row["metric"] in named:
            numbers[named[row["metric"]]] += row["value"]
    return numbers


def _ended(run: InvocationResult) -> datetime | None:
    return run.finished_at or run.started_at or run.scheduled_at
