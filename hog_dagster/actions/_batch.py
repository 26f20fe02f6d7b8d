"""Sends a workflow's batch job once per key: checks first, one POST, evidence when in doubt.

Facts: POST batch_jobs mails the whole audience each time it is asked and has no idempotency key; on
older servers it accepts workflows that are not active or not triggered by batch, without sending
anything. `user_blast_radius` counts the audience of given filters and gives a confirm token that is
good for 15 minutes. The status of a job moves only on newer servers, and at best effort; elsewhere
it stays `queued` for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.actions._claims import claim, reconcile_first
from hog_dagster.actions._dry_run import would_send
from hog_dagster.actions._mail import Mail, read_mail, share
from hog_dagster.actions._protocol import Actor, Sent, Source, growing_pauses
from hog_dagster.actions._row_evidence import (
    RowEvidence,
    maker_of,
    same_variables,
    variables_summary,
)
from hog_dagster.actions._summary import Outcome, Result
from hog_dagster.ledger import ClaimLost, Entry, LockLost, State
from hog_dagster.policies import BatchPolicy
from hog_dagster.posthog import ENDPOINTS
from hog_dagster.posthog.models import BatchJob, Workflow

#: A job PostHog still shows as under way after this long is taken for stuck, not for running.
STUCK_AFTER = timedelta(hours=12)
UNDER_WAY = ("waiting", "queued", "active")
#: The status a job is made with: on servers that do not keep it, all jobs have it for ever.
MADE_WITH = ("waiting", "queued")
#: Where no status ever moved, a job older than this is under way only while runs of it are.
QUEUED_AT_MOST = timedelta(hours=1)
SENDING_STEPS = ("function_email", "function_sms", "function_push")


@dataclass(frozen=True, slots=True)
class BatchSend:
    """A batch job to send.

    Args:
        workflow: the workflow; its trigger must be of type batch.
        key: the natural key: of all requests with one key, one is sent, ever.
        variables: values that replace the workflow's own variables.
        again_after: skip if the same workflow and variables were sent, with another key, less than
            this ago: a second click.
    """

    workflow: Source
    key: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    again_after: timedelta = timedelta(0)


def send_batch(actor: Actor, send: BatchSend, policy: BatchPolicy) -> Result:
    """Send a batch job once per key. Hold the workflow's lock.

    A send in doubt is reconciled for `policy.reconcile_seconds` before it is left to the next run.

    Endpoints: GET hog_flows/{id}, GET batch_jobs, POST user_blast_radius, POST batch_jobs; of a
    workflow that sends e-mail also GET hog_flows/reputation, suppressions and opt_outs, once.

    Raises:
        PostHogError: PostHog could not be read; nothing was sent by this call.
    """
    deadline = actor.clock.monotonic() + policy.reconcile_seconds
    mail: list[Mail] = []
    for pause in growing_pauses():
        result = _Batch(actor, send, policy, mail).run()
        left = deadline - actor.clock.monotonic()
        if result.outcome is not Outcome.IN_DOUBT or left <= 0:
            return result
        actor.log.warning(f"The batch job is in doubt, reading evidence: {result.why}")
        actor.pause(max(0.1, min(pause, left)))
    raise AssertionError("pauses never end")


def batch_evidence(actor: Actor, workflow_id: str) -> RowEvidence:
    """What the workflow's batch jobs show of sends in doubt."""
    return RowEvidence(
        actor,
        "batch_send",
        workflow_id,
        "batch job",
        "batch_jobs",
        lambda: actor.client.workflows.batch_jobs(workflow_id),
        lambda row, request: isinstance(row, BatchJob) and same_variables(row.variables, request),
    )


def sending_steps(workflow: Workflow) -> list[str]:
    """Names of the workflow's steps that send messages to people: e-mail, SMS, push."""
    return [step.name or step.id for step in workflow.actions if step.type in SENDING_STEPS]


class _Batch:
    """One look, and one send if there is something to send."""

    def __init__(
        self, actor: Actor, send: BatchSend, policy: BatchPolicy, mail: list[Mail]
    ) -> None:
        self.actor = actor
        self.mail_read = mail
        self.wanted = send
        self.policy = policy
        self.workflow_id = send.workflow.id
        self.evidence = batch_evidence(actor, send.workflow.id)
        self.summary = variables_summary(send.variables)
        self.details: dict[str, Any] = {}

    def result(self, outcome: Outcome, why: str, **more: Any) -> Result:
        return Result(outcome, self.wanted.key, why, details=self.details, **more)

    def run(self) -> Result:
        self.actor.know_the_time()
        action = self.actor.action(
            "batch_send", self.wanted.workflow, self.wanted.key, **self.summary
        )
        known = reconcile_first(
            self.actor, action, self.evidence.finding, dry_run=self.policy.dry_run
        )
        if known is not None:
            return known
        refusal, token = self.checks()
        if refusal is not None:
            if self.policy.dry_run and refusal.outcome is Outcome.NOT_SENT:
                return replace(refusal, why="; ".join([refusal.why, *self.about_mail()]))
            return refusal
        if self.policy.dry_run:
            return self.dry_run(token)
        return self.send(token)

    # --- checks before anything is sent ---------------------------------------------------------

    def checks(self) -> tuple[Result | None, str | None]:
        """Why not to send, if anything; and the token that confirms the audience."""
        client, policy = self.actor.client, self.policy
        workflow = client.workflows.get(self.workflow_id)
        self.details["sends_email"] = any(s.type == "function_email" for s in workflow.actions)
        self.details["messages"] = sending_steps(workflow)
        if why := _unfit(workflow) or self.mail(workflow).stopped:
            return self.result(Outcome.NOT_SENT, why), None
        if click := self.second_click():
            return click, None
        if policy.skip_if_running and (running := self.running()):
            why = f"batch job {running.id} of this workflow is still {running.status}"
            return self.result(Outcome.SKIPPED, why), None
        self.name_strangers()
        if not client.server.has("blast_radius"):
            return self.uncounted(), None
        radius = client.workflows.blast_radius(
            workflow.trigger.get("filters") or {}, sends_email=bool(self.details["sends_email"])
        )
        self.details |= {"audience": radius.affected, "people": radius.total}
        self.shares()
        if policy.max_audience is not None and radius.affected > policy.max_audience:
            why = (
                f"the audience is {radius.affected} people, more than {policy.max_audience} "
                "(max_audience)"
            )
            return self.result(Outcome.NOT_SENT, why), None
        return self.cut(radius.affected, radius.limit), radius.confirm_token

    def mail(self, workflow: Workflow) -> Mail:
        """How things stand with the workflow's e-mail, read once; nothing where it sends none."""
        if not self.mail_read:
            mail = Mail()
            if self.details["sends_email"]:
                mail = read_mail(self.actor.client, workflow.id, workflow.name or "")
            for note in mail.notes:
                self.actor.log.info(f"{note} The batch job is checked without it.")
            self.mail_read.append(mail)
        (mail,) = self.mail_read
        self.details |= {"suppressed": mail.suppressed, "opted_out": mail.opted_out}
        self.details["not_read"] = " ".join(mail.notes) or None
        self.details["mail"] = mail.stopped or mail.checked or None
        if mail.caps is not None:
            self.details["tier"] = mail.caps.tier
        return mail

    def shares(self) -> None:
        """Which part of the project's people is on the lists: of one audience it does not show."""
        for name in ("suppressed", "opted_out"):
            part = share(self.details.get(name), self.details["people"])
            self.details[f"{name}_share"] = None if part is None else round(part, 4)

    def about_mail(self) -> list[str]:
        """What a dry run says of the e-mail."""
        audience = self.details.get("audience")
        if audience is not None:
            audience -= self.details.get("cut", 0)
        mail = self.mail_read[0] if self.mail_read else Mail()
        return mail.sentences(audience, self.details.get("people"))

    def cut(self, audience: int, limit: int | None) -> Result | None:
        """Refuse an audience that PostHog would cut off, unless that is allowed."""
        allowance = self.mail_read[0].caps if self.mail_read else None
        of_tier = allowance.max_batch_audience if allowance is not None else None
        caps = [cap for cap in (limit, of_tier) if cap is not None]
        if not caps:
            return None
        cap = self.details["audience_limit"] = min(caps)
        if audience <= cap:
            return None
        whose = "PostHog's limit"
        if allowance is not None and cap == of_tier:
            whose += f" for e-mail at sending tier {allowance.tier}"
        self.details["cut"] = audience - cap
        why = f"the audience is {audience} people, more than {cap} ({whose})"
        if not self.policy.send_truncated:
            why += ": PostHog would cut off the rest; set send_truncated to send anyway"
            return self.result(Outcome.NOT_SENT, why)
        if not self.policy.dry_run:
            self.actor.log.warning(f"{why}: {audience - cap} of them get nothing")
        return None

    def uncounted(self) -> Result | None:
        if self.policy.max_audience is None or self.policy.send_uncounted:
            return None
        why = (
            "this server cannot count the audience (user_blast_radius), so max_audience="
            f"{self.policy.max_audience} cannot be checked; set send_uncounted to send anyway"
        )
        return self.result(Outcome.NOT_SENT, why)

    def second_click(self) -> Result | None:
        """The same workflow and variables were just sent with another key."""
        if self.wanted.again_after <= timedelta(0):
            return None
        now = self.actor.latest()
        entries = self.actor.ledger.entries(
            project_id=self.actor.project_id, kind="batch_send", target_id=self.workflow_id
        )
        for other in entries:
            sent = other.server_sent_at or other.sent_at
            if (
                other.subject != self.wanted.key
                and other.state in (State.SENT, State.IN_DOUBT, State.CONFIRMED)
                and other.request.get("variables") == self.summary["variables"]
                and sent is not None
                and now - sent < self.wanted.again_after
            ):
                why = (
                    f"the same was sent at {sent:%Y-%m-%d %H:%M:%S} UTC by run {other.owner} "
                    f"(action {other.id}, {other.state}); give a key of its own to send it again"
                )
                return self.result(
                    Outcome.SKIPPED, why, action_id=other.id, remote_id=other.remote_id
                )
        return None

    def name_strangers(self) -> None:
        """Say which newest job PostHog lists that this ledger did not send."""
        strangers = self.evidence.strangers()
        if not strangers:
            return
        newest = strangers[0]
        maker = f"by user {maker_of(newest)}" if maker_of(newest) else "by PostHog's own schedule"
        when = f"{newest.created_at:%Y-%m-%d %H:%M:%S} UTC" if newest.created_at else "some time"
        self.details["newest_unknown_job"] = newest.id
        self.actor.log.info(
            f"{len(strangers)} batch jobs of this workflow are not in this ledger. The newest is "
            f"{newest.id}, made at {when} {maker}."
        )

    def running(self) -> BatchJob | None:
        """An earlier job under way: by its status where the server keeps that, else by its runs."""
        if not self.evidence.listed or not self.actor.client.server.has("cancel_batch_job"):
            return None
        jobs = [job for job in self.evidence.rows if isinstance(job, BatchJob)]
        now = self.actor.latest()
        kept = any(job.status not in MADE_WITH for job in jobs)
        for job in jobs:
            if job.status not in UNDER_WAY or job.created_at is None:
                continue
            age = now - job.created_at
            if age < QUEUED_AT_MOST or (
                age < STUCK_AFTER and (kept or self.has_runs_since(job.created_at))
            ):
                return job
        return None

    def has_runs_since(self, moment: datetime) -> bool:
        """Whether runs of the workflow that were scheduled since then are under way."""
        if not self.actor.client.server.has("invocation_results"):
            return False
        runs = self.actor.client.workflows.newest_results(
            self.workflow_id, after=moment, status="running", limit=1
        )
        return bool(runs)

    # --- sending --------------------------------------------------------------------------------

    def dry_run(self, token: str | None) -> Result:
        body: dict[str, Any] = {"variables": dict(self.wanted.variables)}
        if token is not None:
            body["confirm_token"] = "(the token of this moment)"
        sends = would_send(
            self.actor, ENDPOINTS["workflows.create_batch_job"], self.wanted.workflow, body
        )
        audience = self.details.get("audience")
        people = "an uncounted audience" if audience is None else f"{audience} people"
        email = "e-mail" if self.details["sends_email"] else "no e-mail"
        why = f"would {sends} to {people} ({email}), once for key {self.wanted.key}"
        said = self.about_mail()
        if cut := self.details.get("cut", 0):
            limit = self.details["audience_limit"]
            said.insert(0, f"PostHog stops at {limit} people and cuts off {cut}")
        if said:
            why += ". " + "; ".join(said)
        return self.result(Outcome.DRY_RUN, why)

    def send(self, token: str | None) -> Result:
        actor = self.actor
        request = {
            **self.summary,
            "audience": self.details.get("audience"),
            "audience_limit": self.details.get("audience_limit"),
            "known_up_to": self.evidence.remember(),
            "user": actor.user(),
        }
        action = actor.action("batch_send", self.wanted.workflow, self.wanted.key, **request)
        mine = claim(actor, action)
        if isinstance(mine, Result):
            return mine
        try:
            sent = actor.send(
                [mine],
                lambda client: client.workflows.create_batch_job(
                    self.workflow_id,
                    variables=dict(self.wanted.variables),
                    confirm_token=token,
                ),
                final=False,
            )
            return self.record(sent, mine)
        except LockLost as lost:
            return self.result(Outcome.NOT_SENT, str(lost), action_id=mine.id)
        except ClaimLost as lost:
            return self.result(Outcome.IN_DOUBT, str(lost), action_id=mine.id)

    def record(self, sent: Sent, mine: Entry) -> Result:
        if sent.outcome is not Outcome.CONFIRMED:
            return self.result(sent.outcome, sent.why, action_id=mine.id)
        job: BatchJob = sent.response
        note = f"batch job {job.id} is {job.status}"
        self.actor.ledger.confirm(
            *sent.entries,
            response={"id": job.id, "status": job.status, "created_by": maker_of(job)},
            remote_id=job.id,
            note=note,
        )
        self.actor.log.info(f"Sent {self.wanted.workflow.label}: {note}")
        return self.result(Outcome.CONFIRMED, note, action_id=mine.id, remote_id=job.id)


def _unfit(workflow: Workflow) -> str:
    """Why a workflow cannot be sent as a batch; empty when it can."""
    named = f'workflow "{workflow.name}" ({workflow.id})'
    if workflow.status != "active":
        return f"{named} is {workflow.status}: enable it first"
    if getattr(workflow, "email_sending_paused", False):
        return f"PostHog has paused the e-mail of {named}: resume it in PostHog first"
    kind = workflow.trigger.get("type")
    if kind != "batch":
        return f"{named} is triggered by {kind}, not by batch: a batch job would send nothing"
    return ""
