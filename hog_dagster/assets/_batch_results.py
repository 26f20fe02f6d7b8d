"""The table `batch_results`: of each batch job whom it reached, and why not the others.

Facts: a job is `completed` when its runs are queued, also when PostHog cut the audience or every
mail is lost. Sent messages and states of runs are kept for 30 days, lines and metrics for 90. A
number comes from what PostHog wrote; where nothing shows it, it is null, not zero.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._batch_evidence import JobEvidence, read_evidence
from hog_dagster.assets._guard import SnapshotGuard
from hog_dagster.assets._log_sources import BATCH_TRIGGERS
from hog_dagster.assets._message_tables import BATCH_RESULTS, PERSONAL
from hog_dagster.assets._shared_reads import workflows_of
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.assets._workflow_tables import BATCH_SENDS, WORKFLOWS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import BatchJob, Workflow
from hog_dagster.warehouse import Table

__all__ = ["build_batch_results_asset"]

#: Before PostHog begins to delete what a job's numbers are read from.
KEPT = timedelta(days=29)
#: A job whose mail waits for nothing does not change any more after this.
SETTLED = timedelta(days=7)
#: How long after a job an audience that is counted now is taken for the job's.
COUNTED_WITHIN = timedelta(days=1)
_SENDS_EMAIL = "function_email"


def build_batch_results_asset(
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    name: str = "posthog_batch_results",
) -> dg.AssetsDefinition:
    """The asset `batch_results`: a row per batch job of the last 30 days.

    Needs the resources `posthog` (scopes hog_flow:read, person:read and query:read) and
    `warehouse`. Requests: one per batch workflow; four of PostHog's SQL per 200 jobs; one per 500
    messages of a job whose number of messages changed; one per job of the last day to count its
    audience. Jobs of more than 7 days ago that wait for nothing are not read again.

    Args:
        options: how the asset looks.
        selection: which workflows; all by default.
        name: of the step.

    Returns:
        The assets definition.
    """
    options, selection = options or AssetOptions(), selection or WorkflowSelection()

    @snapshot_step(
        options,
        {BATCH_RESULTS: (WORKFLOWS, BATCH_SENDS)},
        group="messaging",
        name=name,
        metadata=lambda table: {"posthog/personal_data": PERSONAL[table.name]},
    )
    def batch_results(step: Step) -> Results:
        flows = [one for one in workflows_of(step.client) if one in selection]
        guard = step.guard(BATCH_RESULTS, "workflow_id", {one.id: one.name for one in flows})
        rows = _Results(step).rows([one for one in flows if _sends_batches(one)], guard)
        yield step.load(BATCH_RESULTS, rows, upsert=True, guard=guard, order_by="-created_at")

    return batch_results


def _sends_batches(workflow: Workflow) -> bool:
    return (workflow.trigger.get("type") or BATCH_TRIGGERS[0]) in BATCH_TRIGGERS


class _Results:
    """Reads jobs and what shows how they went."""

    def __init__(self, step: Step) -> None:
        self.step, self.client = step, step.client

    def rows(self, flows: Sequence[Workflow], guard: SnapshotGuard) -> Iterator[Row]:
        """Rows of jobs that may have changed since they were loaded."""
        now = loading.server_now(self.client)
        known = {row["batch_job_id"]: row for row in self._loaded(BATCH_RESULTS)}
        sent = self._counted_by_us()
        of = {flow.id: flow for flow in flows}
        jobs: dict[str, tuple[Workflow, BatchJob]] = {}

        def jobs_of(workflow_id: str) -> list[Row]:
            for job in self.client.workflows.batch_jobs(workflow_id):
                if _may_change(job, known.get(job.id), now):
                    jobs[job.id] = of[workflow_id], job
            return []

        yield from guard.each(list(of), jobs_of, workers=self.step.options.workers)
        evidence = read_evidence(self.client, list(jobs))
        for one in evidence.values():
            for sentence in one.why_not:
                self.step.warn(sentence)
        for flow, job in jobs.values():
            earlier = known.get(job.id, {})
            yield self._row(flow, job, evidence[job.id], earlier, sent.get(job.id), now)

    def _row(
        self,
        flow: Workflow,
        job: BatchJob,
        seen: JobEvidence,
        earlier: Row,
        counted: int | None,
        now: datetime,
    ) -> Row:
        said: dict[str, str] = {}
        audience = self._audience(flow, job, earlier, counted, now, said)
        limit, cut = _cut(audience, earlier, seen, said)
        messages, reached = self._messages(flow.id, job.id, seen, earlier, said)
        runs = None if seen.runs is None else sum(seen.runs.values())
        said |= {} if runs is None else {"runs, failed": "states of runs"}
        suppressed = _from(seen, "suppressed", said)
        opted_out = None if seen.lines is None else seen.lines["opted_out"]
        said |= {} if opted_out is None else {"opted out": "log lines"}
        said |= {} if seen.waiting is None else {"waiting": "log lines of runs under way"}
        lost = _from(seen, "suspended", {})
        bounced = _from(seen, "would_bounce", {})
        sentences = [f"{what}: {source}" for what, source in said.items()]
        sentences += [f"{lost} e-mails lost to a suspension"] if lost else []
        sentences += [f"{bounced} e-mails held back that would bounce"] if bounced else []
        return {
            "batch_job_id": job.id,
            "workflow_id": flow.id,
            "workflow_name": flow.name,
            "created_at": job.created_at,
            "counted": audience[0],
            "audience_limit": limit,
            "cut": cut,
            "runs": runs,
            "reached": reached,
            "messages": messages,
            "failed": None if seen.runs is None else seen.runs.get("failed", 0),
            "suppressed": suppressed,
            "opted_out": opted_out,
            "waiting": seen.waiting,
            "evidence": "; ".join(sentences) or "none",
        }

    def _audience(
        self,
        flow: Workflow,
        job: BatchJob,
        earlier: Row,
        counted: int | None,
        now: datetime,
        said: dict[str, str],
    ) -> tuple[int | None, int | None]:
        """How many people the job was for, and how many PostHog lets it reach."""
        limit = earlier.get("audience_limit")
        known = counted if counted is not None else earlier.get("counted")
        if known is not None:
            said["counted"] = "our send" if counted is not None else "an earlier load"
        young = job.created_at is not None and now - job.created_at <= COUNTED_WITHIN
        if not young or (known is not None and limit is not None):
            return known, limit
        if not self.client.server.has("blast_radius"):
            return known, limit
        filters = job.filters if isinstance(job.filters, Mapping) else {}
        emails = any(step.type == _SENDS_EMAIL for step in flow.actions)
        try:
            radius = self.client.workflows.blast_radius(filters, sends_email=emails)
        except (errors.PermissionDenied, errors.InvalidRequest) as error:
            self.step.warn(f"The audience of batch jobs was not counted: {error}")
            return known, limit
        if known is None:
            said["counted"] = f"user_blast_radius at {now:%Y-%m-%d %H:%M} UTC"
            known = radius.affected
        return known, limit if limit is not None else radius.limit

    def _messages(
        self, flow: str, job: str, seen: JobEvidence, earlier: Row, said: dict[str, str]
    ) -> tuple[int | None, int | None]:
        """Messages that left, and how many different people they left for."""
        counted = None if seen.metrics is None else seen.metrics.get("sent", 0)
        if not self.client.server.has("sent_messages"):
            said |= {} if counted is None else {"messages": "metrics"}
            return counted, None
        if earlier.get("reached") is not None and counted == earlier.get("messages"):
            said["messages, reached"] = "sent messages"
            return counted, earlier["reached"]
        people: set[str] = set()
        number = 0
        try:
            for one in self.client.messaging.sent_messages(flow, parent_run_id=job):
                number += 1
                people.add((one.recipient or "").strip().lower() or str(one.distinct_id))
        except (errors.PermissionDenied, errors.WindowTooDense) as error:
            self.step.warn(f"Sent messages of batch jobs were not read: {error}")
            said |= {} if counted is None else {"messages": "metrics"}
            return counted, None
        if not number and counted != 0:
            # A server that is not set up to keep messages lists none, whatever left.
            said |= {} if counted is None else {"messages": "metrics"}
            return counted, None
        said["messages, reached"] = "sent messages"
        return number, len(people)

    def _counted_by_us(self) -> dict[str, int]:
        """Batch job -> the audience that our send counted, where `batch_sends` was loaded."""
        found: dict[str, int] = {}
        for row in self._loaded(BATCH_SENDS):
            request = json.loads(row["request"] or "{}")
            audience = request.get("audience") if isinstance(request, dict) else None
            if row["remote_id"] and isinstance(audience, int):
                found[row["remote_id"]] = audience
        return found

    def _loaded(self, table: Table) -> list[dict[str, Any]]:
        return loading.rows_before(self.step.warehouse, table, scope=self.step.scope)


def _may_change(job: BatchJob, row: Row | None, now: datetime) -> bool:
    """Whether PostHog may show other numbers of a job than were loaded."""
    age = now - job.created_at if job.created_at is not None else timedelta(0)
    if age >= KEPT:
        return False
    return row is None or age < SETTLED or row["waiting"] != 0


def _cut(
    audience: tuple[int | None, int | None], earlier: Row, seen: JobEvidence, said: dict[str, str]
) -> tuple[int | None, bool | None]:
    """The limit of the audience, and whether PostHog cut it there."""
    counted, limit = audience
    if seen.cut is not None:
        said["cut"] = "the job's log line"
        # Older builds write the line where the audience is just the limit, too.
        whole = counted is not None and seen.cut and counted <= seen.cut
        return seen.cut or limit, not whole
    if earlier.get("cut"):
        said["cut"] = "the job's log line, in an earlier load"
        return limit, True
    runs = None if seen.runs is None else sum(seen.runs.values())
    if counted is None or runs is None:
        return limit, None
    if runs >= counted or (limit is not None and counted <= limit):
        said["cut"] = "runs and the audience counted"
        return limit, False
    if limit is not None and runs >= limit:
        said["cut"] = "runs and the audience counted"
        return limit, True
    return limit, None


def _from(seen: JobEvidence, what: str, said: dict[str, str]) -> int | None:
    """A number of e-mails by the metrics of the job, else by its runs' lines."""
    if seen.metrics is not None and (seen.metrics.get(what) or seen.lines is None):
        said[what.replace("_", " ")] = "metrics"
        return seen.metrics.get(what, 0)
    if seen.lines is not None:
        said[what.replace("_", " ")] = "log lines"
        return seen.lines[what]
    return None
