"""Evidence about reruns: the log lines that PostHog's rerun worker wrote, and the runs' states.

Facts: a rerun request is answered at once and worked off later, page by page, by a worker. It
writes, under the workflow's id, lines about the job (`Re-run page done. queued=N skipped=M`,
`Re-run finished. queued=N skipped=M`, `Re-run aborted: ...`; `instance_id` is the job) and about
each run (`Re-queued by re-run job <job>.`; `instance_id` is the run). Lines can lag by minutes.
A closed window of invocation results proves nothing; the run's detail shows its newest state.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from hog_dagster.actions._claims import Finding, waiting
from hog_dagster.actions._protocol import Actor, Source, text_of
from hog_dagster.actions._runs import RunToRerun, has_changed, has_hogql, read_states
from hog_dagster.actions._summary import Outcome
from hog_dagster.ledger import Entry
from hog_dagster.posthog import RunState, errors

#: A rerun may stay in PostHog's queue for this many grace times.
PATIENCE = 4
#: Lines this much older than the request are read too: clocks, whole seconds.
MARGIN = timedelta(minutes=5)
#: Lines are stamped by PostHog's clock; none of a request is older than the request by more.
SLACK = timedelta(seconds=5)
#: Every line of the worker has this in it, in some case; search ignores case.
SEARCH = "re-run"
#: Lines about a job, without those about each of its runs.
ABOUT_JOBS = ("re-run page", "re-run finished", "re-run aborted")
#: How the line about a run begins.
REQUEUED = "Re-queued by re-run job"

_REQUEUED = re.compile(r"re-queued by re-run job ([0-9a-z-]+)", re.IGNORECASE)
_TOTALS = re.compile(r"re-run (page done|finished)\. queued=(\d+) skipped=(\d+)", re.IGNORECASE)
_PAGE_FAILED = re.compile(r"re-run page failed", re.IGNORECASE)
_ABORTED = re.compile(r"re-run aborted: (.*)", re.IGNORECASE | re.DOTALL)
_ABOUT_JOB = re.compile(r"^\W*re-run ", re.IGNORECASE)


def run_of(entry: Entry) -> str:
    """The run that a rerun action is about: its subject without the number."""
    return entry.subject.partition("#")[0]


@dataclass
class Job:
    """What the log says of one rerun job.

    Attributes:
        first_at: when its first line was written.
        queued: how many runs it has queued, in all so far.
        skipped: how many it has skipped.
        ended: `finished` or `aborted`; empty while it is going, or as far as is known.
        why: why it was aborted.
        runs: runs with a line that names it.
        page_failed: a page of it failed; runs that this page had queued are in no count.
    """

    first_at: datetime
    queued: int = 0
    skipped: int = 0
    ended: str = ""
    why: str = ""
    runs: set[str] = field(default_factory=set)
    page_failed: bool = False

    @property
    def named(self) -> int:
        """How many runs have a line that names it."""
        return len(self.runs)

    @property
    def accounted(self) -> bool:
        """It is over, and every run that it queued has its line."""
        return bool(self.ended) and not self.page_failed and self.named >= self.queued


class RerunEvidence:
    """Reads the worker's lines of one workflow or function once, and states as they are needed.

    Args:
        actor: who reconciles.
        source: the workflow or function.
        entries: its reruns that are in doubt.
    """

    def __init__(self, actor: Actor, source: Source, entries: Sequence[Entry]) -> None:
        self.actor = actor
        self.source = source
        self.entries = list(entries)
        actor.know_the_time()
        self.read_at = actor.earliest()  # absences are judged by the time before reading
        self._states: dict[str, RunState | None] = {}
        self._possible: dict[tuple[str, datetime | None], dict[str, Job]] = {}
        #: Why the worker's lines cannot be read; then their absence shows nothing.
        self._unread = ""

    # --- what is read --------------------------------------------------------------------------

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Rerun jobs since the first of the requests, by id."""
        sent = [e.server_sent_at or e.sent_at or e.created_at for e in self.entries]
        lines = self._lines(min(sent) - MARGIN)
        jobs: dict[str, Job] = {}
        for line in sorted(lines, key=lambda line: line.timestamp):
            if requeued := _REQUEUED.search(line.message):
                job = jobs.setdefault(requeued[1], Job(line.timestamp))
                job.runs.add(line.instance_id)
            elif _ABOUT_JOB.search(line.message):
                _read_progress(jobs.setdefault(line.instance_id, Job(line.timestamp)), line.message)
        self._add_lines_of_batches(jobs, min(sent) - MARGIN)
        self._add_rows(jobs, min(sent) - MARGIN)
        return jobs

    def _lines(self, since: datetime) -> list[Any]:
        """The worker's lines since then, as far as this server shows them to this key."""
        service = self.source.service(self.actor.client)
        read = partial(
            service.logs,
            self.source.id,
            after=since,
            before=self.actor.latest() + timedelta(minutes=10),
        )
        try:
            return list(read(search=SEARCH))
        except errors.WindowTooDense:
            # One page of a job writes the lines of all its runs in one millisecond.
            lines = [line for search in ABOUT_JOBS for line in read(search=search)]
        except (errors.EndpointMissing, errors.PermissionDenied) as error:
            self._unread, lines = text_of(error), []
        runs = list(dict.fromkeys(map(run_of, self.entries)))
        if has_hogql(self.actor):
            more = service.log_lines(self.source.id, ids=runs, since=since, message_prefix=REQUEUED)
            return [*lines, *more]
        if not self._unread:
            for run in runs:
                lines += read(instance_id=run, search=SEARCH)
        return lines

    def _add_lines_of_batches(self, jobs: dict[str, Job], since: datetime) -> None:
        """Runs of a batch job log under the job's id, which only HogQL shows."""
        batches: dict[str, list[str]] = defaultdict(list)
        for entry in self.entries:
            if parent := entry.request.get("parent_run_id"):
                batches[parent].append(run_of(entry))
        if not batches or not has_hogql(self.actor):
            return
        service = self.source.service(self.actor.client)
        for parent, runs in batches.items():
            lines = service.log_lines(parent, ids=runs, since=since, message_prefix=REQUEUED)
            for line in lines:
                if requeued := _REQUEUED.search(line.message):
                    job = jobs.setdefault(requeued[1], Job(line.timestamp))
                    job.first_at = min(job.first_at, line.timestamp)
                    job.runs.add(line.instance_id)

    def _add_rows(self, jobs: dict[str, Job], since: datetime) -> None:
        """Jobs that have a row of their own and no line yet, where HogQL shows them."""
        if not has_hogql(self.actor):
            return
        for row in self.source.service(self.actor.client).rerun_jobs(self.source.id, since=since):
            jobs.setdefault(row.job_id, Job(row.first_row_at))

    @cached_property
    def _posts(self) -> dict[str, set[str]]:
        """Job id -> the requests of this ledger that it came of."""
        posts: dict[str, set[str]] = defaultdict(set)
        known = self.actor.ledger.with_remote_ids(
            self.actor.project_id, "rerun", self.source.id, self.jobs
        )
        for entry in known:
            if entry.remote_id:
                posts[entry.remote_id].add(_post_of(entry))
        return posts

    def state(self, run: str) -> RunState | None:
        """The run's newest state; None when PostHog has no row of it left."""
        if run not in self._states:
            wanted = [run]
            if has_hogql(self.actor):
                wanted = [name for name in map(run_of, self.entries) if name not in self._states]
            found = read_states(self.actor, self.source, map(RunToRerun, {*wanted, run}))
            self._states |= {name: found.get(name) for name in {*wanted, run}}
        return self._states[run]

    # --- what it shows -------------------------------------------------------------------------

    def finding(self, entry: Entry) -> Finding:
        """What the evidence shows of one rerun."""
        found = self._accepted(entry) if entry.remote_id else self._unanswered(entry)
        if found.outcome is Outcome.NOT_SENT and self._unread:
            seen = f"the log lines of rerun jobs cannot be read here: {self._unread}"
            return Finding(Outcome.IN_DOUBT, f"{seen} {self.actor.remedy(entry)}".rstrip("."))
        return found

    def _accepted(self, entry: Entry) -> Finding:
        """PostHog's response named the job."""
        job_id, run = entry.remote_id or "", run_of(entry)
        job = self.jobs.get(job_id)
        if job is not None and run in job.runs:
            return _confirmed(f"the run's log says that rerun job {job_id} queued it", job_id)
        size = int(entry.request.get("post_size") or 0)
        if job is not None and job.ended and size and job.queued >= size:
            return _confirmed(f"rerun job {job_id} says that it queued all {size} runs", job_id)
        # The state before a skip: a page that failed can have run the run, and its line got lost.
        state = self.state(run)
        if state is not None and (changed := has_changed(state, entry.request)):
            return _confirmed(changed, job_id)
        counted = job is not None and job.queued + job.skipped >= size
        if job is not None and job.ended == "finished" and job.accounted and counted:
            note = f"rerun job {job_id} finished and skipped the run (queued={job.queued}"
            return Finding(Outcome.NOT_SENT, f"{note} skipped={job.skipped})")
        if not self.actor.grace_over(entry, PATIENCE, at=self.read_at):
            seen = f"rerun job {job_id} is queued, and not yet seen to run this run"
            return waiting(self.actor, entry, seen, PATIENCE)
        if job is not None and job.ended == "aborted" and job.accounted and state is not None:
            return Finding(Outcome.NOT_SENT, f"rerun job {job_id} was aborted: {job.why}")
        seen = f"PostHog accepted rerun job {job_id}, and nothing shows whether it ran this run"
        return Finding(Outcome.IN_DOUBT, f"{seen}. {self.actor.remedy(entry)}".rstrip("."))

    def _unanswered(self, entry: Entry) -> Finding:
        """Nobody knows which job the request became, if any."""
        run = run_of(entry)
        possible = self._jobs_of(entry)
        for job_id, job in possible.items():
            if run in job.runs:
                return _confirmed(f"the run's log says that rerun job {job_id} queued it", job_id)
        state = self.state(run)
        if state is not None and (changed := has_changed(state, entry.request)):
            return _confirmed(changed)
        if not self.actor.grace_over(entry, PATIENCE, at=self.read_at):
            return waiting(self.actor, entry, "no rerun job has queued the run yet", PATIENCE)
        if state is None:
            seen = "PostHog has no row of the run left (it keeps them 30 days)"
            return Finding(Outcome.IN_DOUBT, f"{seen}. {self.actor.remedy(entry)}".rstrip("."))
        unaccounted = [job_id for job_id, job in possible.items() if not job.accounted]
        if unaccounted:
            seen = (
                f"rerun job {unaccounted[0]} is not in this ledger, and nothing shows whether it "
                "ran this run"
            )
            return Finding(Outcome.IN_DOUBT, f"{seen}. {self.actor.remedy(entry)}".rstrip("."))
        note = "no rerun job queued the run within the grace time, and its state is as it was"
        return Finding(Outcome.NOT_SENT, note)

    def _jobs_of(self, entry: Entry) -> dict[str, Job]:
        """The jobs that this action's request can have become: the same for all of one request."""
        key = _post_of(entry), entry.server_sent_at or entry.sent_at
        if key not in self._possible:
            self._possible[key] = {
                job_id: job for job_id, job in self.jobs.items() if self._may_be(job_id, entry)
            }
        return self._possible[key]

    def _may_be(self, job_id: str, entry: Entry) -> bool:
        """Whether a job can be what this request became."""
        posts = self._posts.get(job_id)
        if posts and _post_of(entry) not in posts:
            return False
        sent = entry.server_sent_at or entry.sent_at
        return sent is None or self.jobs[job_id].first_at >= sent - SLACK


def _post_of(entry: Entry) -> str:
    """The request that carried an action; the action itself in ledgers of before."""
    return str(entry.request.get("post") or f"action {entry.id}")


def _confirmed(note: str, remote_id: str | None = None) -> Finding:
    return Finding(Outcome.CONFIRMED, note, remote_id)


def _read_progress(job: Job, message: str) -> None:
    if totals := _TOTALS.search(message):
        job.queued = max(job.queued, int(totals[2]))
        job.skipped = max(job.skipped, int(totals[3]))
        if totals[1].lower() == "finished":
            job.ended = "finished"
    elif _PAGE_FAILED.search(message):
        job.page_failed = True
    elif aborted := _ABORTED.search(message):
        job.ended, job.why = "aborted", " ".join(aborted[1].split())[:200]
