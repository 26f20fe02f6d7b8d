"""What keeps a batch's e-mail from people, read before it is sent: suspension, pause, caps, lists.

Facts: PostHog takes a batch job while the project's e-mail is suspended, and drops every mail of
it; mail over the sending tier's caps waits for hours or days; suppressed and opted-out addresses
are skipped. None of these fails the job. How many of one audience are on the lists is not shown:
the counts are of the whole project. Servers before July 2026 show none of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import EmailSuspension, Reputation, SendingAllowance

T = TypeVar("T")
#: Without these a batch is sent as it was before there were such endpoints.
_ABSENT = (errors.PermissionDenied, errors.EndpointMissing)
_NOT_SUSPENDED = "the project's e-mail is not suspended"
_PAUSE_UNKNOWN = ", whether the workflow's is paused does not show"


@dataclass(frozen=True, slots=True)
class Mail:
    """How things stand with the e-mail of a project and of one workflow.

    Attributes:
        stopped: why no e-mail of the workflow would go out; empty when nothing is known to stop it.
        checked: what was found not to stop it, as a sentence; empty when that was not shown.
        allowance: what the project may send; None where it is not shown. It holds where `enforced`.
        suppressed: addresses on the suppression list; None where they are not shown.
        opted_out: recipients who opted out of all marketing messages; None likewise.
        notes: a sentence for each part that could not be read.
    """

    stopped: str = ""
    checked: str = ""
    allowance: SendingAllowance | None = None
    suppressed: int | None = None
    opted_out: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def caps(self) -> SendingAllowance | None:
        """The allowance where it holds."""
        return self.allowance if self.allowance is not None and self.allowance.enforced else None

    def waits(self, audience: int) -> str:
        """How long the caps make the last mail of an audience wait; empty for no time or unknown.

        Args:
            audience: people, one e-mail each.
        """
        of = self.caps
        if of is None:
            return ""
        hours = 0.0
        for cap, used, length in (
            (of.emails_per_hour, of.emails_sent_last_hour, 1),
            (of.emails_per_day, of.emails_sent_last_day, 24),
        ):
            if cap:
                over = audience - max(cap - (used or 0), 0)
                hours = max(hours, over / cap * length)
        if hours <= 0:
            return ""
        return "about an hour" if hours < 1.5 else f"about {round(hours):,} hours"

    def sentences(self, audience: int | None, people: int | None) -> list[str]:
        """What a person should know before the send; nothing where nothing was read.

        Args:
            audience: how many people PostHog would reach; None when they were not counted.
            people: how many the project has; None likewise.
        """
        said = [self.checked] if self.checked else []
        if of := self.caps:
            said.append(
                f"the sending tier {of.tier} allows {of.emails_per_hour or 0:,} e-mails an hour, "
                f"{of.emails_per_day or 0:,} a day and {of.max_batch_audience or 0:,} people a "
                f"batch ({of.emails_sent_last_day or 0:,} sent in the last day)"
            )
            if audience is not None and (wait := self.waits(audience)):
                said.append(f"the last e-mail waits {wait}")
        elif self.allowance is not None:
            said.append("no sending tier limits it")
        for number, what in (
            (self.suppressed, "addresses of the project are suppressed"),
            (self.opted_out, "opted out of all marketing messages"),
        ):
            if number is not None:
                part = share(number, people)
                of_all = "" if part is None else f" ({part:.1%} of its {people:,} people)"
                said.append(f"{number:,} {what}{of_all}")
        return said


def share(number: int | None, people: int | None) -> float | None:
    """Which part of a project's people so many addresses are; None where that says nothing.

    Args:
        number: addresses, which need not be of people that are known.
        people: of the project.
    """
    if number is None or not people or number > people:
        return None
    return number / people


def read_mail(client: PostHogClient, workflow_id: str, name: str) -> Mail:
    """Read how things stand with a workflow's e-mail.

    What the server or the key does not show is a sentence in `notes`. Three requests; a fourth
    where reputation does not show a suspension.

    Endpoints: GET hog_flows/reputation, GET hog_flows/email_sending_suspension, GET suppressions,
    GET opt_outs.

    Args:
        client: of the project.
        workflow_id: the workflow.
        name: its name, by which its row is found.

    Raises:
        PostHogError: whether mail is suspended could not be read, and not for lack of an endpoint
            or a scope.
    """
    notes: list[str] = []

    def tried(read: Callable[[], T], what: str, *more: type[errors.PostHogError]) -> T | None:
        try:
            return read()
        except (*_ABSENT, *more) as error:
            notes.append(f"{what} could not be read: {error}")
            return None

    messaging = client.messaging
    found = tried(
        lambda: messaging.reputation(search=name or None), "The sending tier", errors.ServerError
    )
    state: EmailSuspension | None = found
    if state is None or state.email_sending_suspended is None:
        state = tried(messaging.suspension, "Whether PostHog has suspended e-mail")
    suspended = None if state is None else state.email_sending_suspended
    stopped = checked = ""
    if state is not None and suspended:
        reason = state.email_sending_suspension_reason or "no reason given"
        stopped = f"PostHog has suspended e-mail of this project ({reason}): nothing would go out"
    elif found is not None:
        stopped, checked = _stopped_by(found, workflow_id, name)
    elif suspended is False:
        checked = _NOT_SUSPENDED
    if state is not None and suspended is None:
        notes.append("PostHog does not show whether the project's e-mail is suspended.")
        checked = ""
    suppressed = opted_out = None
    if not stopped:
        passing = (errors.ServerError, errors.NotFound)
        suppressed = tried(messaging.count_suppressions, "Suppressed addresses", *passing)
        opted_out = tried(messaging.count_opt_outs, "Opt-outs", *passing)
    return Mail(
        stopped,
        "" if stopped else checked,
        found.sending_allowance if found is not None else None,
        suppressed,
        opted_out,
        tuple(notes),
    )


def _stopped_by(found: Reputation, workflow_id: str, name: str) -> tuple[str, str]:
    """Why the mail provider or a pause of the workflow lets nothing out; what was seen of them."""
    aws = found.aws if isinstance(found.aws, dict) else {}
    if aws.get("sending_status") == "DISABLED":
        return "the mail provider has paused e-mail of this project: nothing would go out", ""
    paused, reason = None, "no reason given"
    for row in found.workflows:
        if row.hog_flow_id == workflow_id:
            paused = row.email_sending_paused
            reason = row.email_sending_paused_reason or reason
    if paused:
        why = (
            f'PostHog has paused the e-mail of workflow "{name}" ({workflow_id}): {reason}: '
            "resume it in PostHog first"
        )
        return why, ""
    # PostHog lists workflows that sent e-mail in the last 30 days, at most 50 of one search.
    of_workflow = " and the workflow's is not paused" if paused is False else _PAUSE_UNKNOWN
    return "", _NOT_SUSPENDED + of_workflow
