"""The table `batch_results`: of each batch job whom it reached, and why not the others.

Facts: a job is `completed` when its runs are queued, also when PostHog cut the audience or every
mail is lost. Sent messages and states of runs are kept for 30 days, lines and metrics for 90. A
number comes from what PostHog wrote; where nothing shows it, it is null, not zero.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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
        rows = _rows(step, [one for one in flows if _sends_batches(one)], guard)
        yield step.load(BATCH_RESULTS, rows, upsert=True, guard=guard, order_by="-created_at")

    return batch_results


def _sends_batches(workflow: Workflow) -> bool:
    return (workflow.trigger.get("type") or BATCH_TRIGGERS[0]) in BATCH_TRIGGERS


def _rows(step: Step, flows: Sequence[Workflow], guard: SnapshotGuard) -> Iterator[Row]:
    """Rows of jobs that may have changed since they were loaded."""
    client, now = step.client, loading.server_now(step.client)
    loaded = loading.rows_before(step.warehouse, BATCH_RESULTS, scope=step.scope)
    known = {row["batch_job_id"]: row for row in loaded}
    sent = _counted_by_us(step)
    of = {flow.id: flow for flow in flows}
    jobs: dict[str, tuple[Workflow, BatchJob]] = {}

    def jobs_of(workflow_id: str) -> list[Row]:
        for job in client.workflows.batch_jobs(workflow_id):
            if _may_change(job, known.get(job.id), now):
                jobs[job.id] = of[workflow_id], job
        return []

    yield from guard.each(list(of), jobs_of, workers=step.options.workers)
    evidence = read_evidence(client, list(jobs))
    for one in evidence.values():
        for sentence in one.why_not:
            step.warn(sentence)
    for id, (flow, job) in jobs.items():
        yield _Job(step, flow, job, evidence[id], known.get(id, {}), sent.get(id), now).row()


def _counted_by_us(step: Step) -> dict[str, int]:
    """Batch job -> the audience that our send counted, where `batch_sends` was loaded."""
    found: dict[str, int] = {}
    for row in loading.rows_before(step.warehouse, BATCH_SENDS, scope=step.scope):
        request = json.loads(row["request"] or "{}")
        audience = request.get("audience") if isinstance(request, dict) else None
        if row["remote_id"] and isinstance(audience, int):
            found[row["remote_id"]] = audience
    return found


def _may_change(job: BatchJob, row: Row | None, now: datetime) -> bool:
    """Whether PostHog may show other numbers of a job than were loaded."""
    age = now - job.created_at if job.created_at is not None else timedelta(0)
    if age >= KEPT:
        return False
    return row is None or age < SETTLED or row["waiting"] != 0


@dataclass
class _Job:
    """A job, what shows how it went, and how it was loaded before."""

    step: Step
    flow: Workflow
    job: BatchJob
    seen: JobEvidence
    earlier: Row
    counted_by_us: int | None
    now: datetime
    #: Numbers -> what they were read from.
    said: dict[str, str] = field(default_factory=dict)

    def row(self) -> Row:
        """The job's row."""
        seen, said = self.seen, self.said
        counted, limit = self._audience()
        runs = None if seen.runs is None else sum(seen.runs.values())
        limit, cut = self._cut(counted, limit, runs)
        messages, reached = self._messages()
        if runs is not None:
            said["runs, failed"] = "states of runs"
        suppressed = self._mails("suppressed")
        if seen.lines is not None:
            said["opted out"] = "log lines"
        if seen.waiting is not None:
            said["waiting"] = "log lines of runs under way"
        sentences = [f"{what}: {source}" for what, source in said.items()]
        if lost := self._mails("suspended"):
            sentences.append(f"{lost} e-mails lost to a suspension")
        if bounced := self._mails("would_bounce"):
            sentences.append(f"{bounced} e-mails held back that would bounce")
        return {
            "batch_job_id": self.job.id,
            "workflow_id": self.flow.id,
            "workflow_name": self.flow.name,
            "created_at": self.job.created_at,
            "counted": counted,
            "audience_limit": limit,
            "cut": cut,
            "runs": runs,
            "reached": reached,
            "messages": messages,
            "failed": None if seen.runs is None else seen.runs.get("failed", 0),
            "suppressed": suppressed,
            "opted_out": None if seen.lines is None else seen.lines["opted_out"],
            "waiting": seen.waiting,
            "evidence": "; ".join(sentences) or "none",
        }

    def _audience(self) -> tuple[int | None, int | None]:
        """How many people the job was for, and how many PostHog lets it reach."""
        job, ours, client = self.job, self.counted_by_us, self.step.client
        limit = self.earlier.get("audience_limit")
        known = ours if ours is not None else self.earlier.get("counted")
        if known is not None:
            self.said["counted"] = "our send" if ours is not None else "an earlier load"
        young = job.created_at is not None and self.now - job.created_at <= COUNTED_WITHIN
        if not young or (known is not None and limit is not None):
            return known, limit
        if not client.server.has("blast_radius"):
            return known, limit
        filters = job.filters if isinstance(job.filters, Mapping) else {}
        emails = any(step.type == _SENDS_EMAIL for step in self.flow.actions)
        try:
            radius = client.workflows.blast_radius(filters, sends_email=emails)
        except (errors.PermissionDenied, errors.InvalidRequest) as error:
            self.step.warn(f"The audience of batch jobs was not counted: {error}")
            return known, limit
        if known is None:
            self.said["counted"] = f"user_blast_radius at {self.now:%Y-%m-%d %H:%M} UTC"
            known = radius.affected
        return known, limit if limit is not None else radius.limit

    def _cut(
        self, counted: int | None, limit: int | None, runs: int | None
    ) -> tuple[int | None, bool | None]:
        """The limit of the audience, and whether PostHog cut it there."""
        if (cut := self.seen.cut) is not None:
            self.said["cut"] = "the job's log line"
            # Older builds write the line where the audience is just the limit, too.
            whole = counted is not None and cut and counted <= cut
            return cut or limit, not whole
        if self.earlier.get("cut"):
            self.said["cut"] = "the job's log line, in an earlier load"
            return limit, True
        if counted is None or runs is None:
            return limit, None
        whole = runs >= counted or (limit is not None and counted <= limit)
        if not whole and (limit is None or runs < limit):
            return limit, None
        self.said["cut"] = "runs and the audience counted"
        return limit, not whole

    def _messages(self) -> tuple[int | None, int | None]:
        """Messages that left, and how many different people they left for."""
        earlier, metrics = self.earlier, self.seen.metrics
        counted = None if metrics is None else metrics.get("sent", 0)
        found: tuple[int | None, int | None] | None = None
        if self.step.client.server.has("sent_messages"):
            if earlier.get("reached") is not None and counted == earlier.get("messages"):
                found = counted, earlier["reached"]
            else:
                found = self._listed(counted)
        if found is not None:
            self.said["messages, reached"] = "sent messages"
            return found
        if counted is not None:
            self.said["messages"] = "metrics"
        return counted, None

    def _listed(self, counted: int | None) -> tuple[int, int] | None:
        """The same by PostHog's list of messages; None where that does not tell."""
        people: set[str] = set()
        number = 0
        sent = self.step.client.messaging.sent_messages(self.flow.id, parent_run_id=self.job.id)
        try:
            for one in sent:
                number += 1
                people.add((one.recipient or "").strip().lower() or str(one.distinct_id))
        except (errors.PermissionDenied, errors.WindowTooDense) as error:
            self.step.warn(f"Sent messages of batch jobs were not read: {error}")
            return None
        # A server that is not set up to keep messages lists none, whatever left.
        return (number, len(people)) if number or counted == 0 else None

    def _mails(self, what: str) -> int | None:
        """A number of e-mails by the metrics of the job, else by its runs' lines."""
        metrics, lines, source = self.seen.metrics, self.seen.lines, ""
        number = None
        if metrics is not None and (metrics.get(what) or lines is None):
            number, source = metrics.get(what, 0), "metrics"
        elif lines is not None:
            number, source = lines[what], "log lines"
        if number is not None and what == "suppressed":
            self.said[what] = source
        return number
