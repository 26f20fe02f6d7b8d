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
from hog_dagster.posthog.models import Reputation, SendingAllowance

__all__ = ["Mail", "read_mail"]

T = TypeVar("T")
#: Without these a batch is sent as it was before there were such endpoints.
_ABSENT = (errors.PermissionDenied, errors.EndpointMissing)


@dataclass(frozen=True, slots=True)
class Mail:
    """How things stand with the e-mail of a project and of one workflow.

    Attributes:
        stopped: why no e-mail of the workflow would go out; empty when nothing is known to stop it.
        allowance: what the project may send; None where it is not shown or does not hold.
        suppressed: addresses on the suppression list; None where they are not shown.
        opted_out: recipients who opted out of all marketing messages; None likewise.
        notes: a sentence for each part that could not be read.
    """

    stopped: str = ""
    allowance: SendingAllowance | None = None
    suppressed: int | None = None
    opted_out: int | None = None
    notes: tuple[str, ...] = field(default=())

    def waits(self, audience: int) -> str:
        """How long the caps make the last mail of an audience wait; empty for no time or unknown.

        Args:
            audience: people, one e-mail each.
        """
        of = self.allowance
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

    def sentences(self, audience: int | None) -> list[str]:
        """What a person should know before the send; nothing where nothing was read."""
        said = []
        if of := self.allowance:
            said.append(
                f"the sending tier {of.tier} allows {of.emails_per_hour or 0:,} e-mails an hour "
                f"and {of.emails_per_day or 0:,} a day ({of.emails_sent_last_day or 0:,} sent in "
                "the last day)"
            )
            if audience is not None and (wait := self.waits(audience)):
                said.append(f"the last e-mail waits {wait}")
        if self.suppressed is not None:
            said.append(f"{self.suppressed:,} addresses of the project are suppressed")
        if self.opted_out is not None:
            said.append(f"{self.opted_out:,} opted out of all marketing messages")
        return said


def read_mail(client: PostHogClient, workflow_id: str, name: str) -> Mail:
    """Read how things stand with a workflow's e-mail.

    What the server or the key does not show is a sentence in `notes`. Three requests; a fourth
    where reputation is not shown.

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
    state = found or tried(messaging.suspension, "Whether PostHog has suspended e-mail")
    stopped = ""
    if state is not None and state.email_sending_suspended:
        reason = state.email_sending_suspension_reason or "no reason given"
        stopped = f"PostHog has suspended e-mail of this project ({reason}): nothing would go out"
    elif found is not None:
        stopped = _stopped_by(found, workflow_id, name)
    suppressed = opted_out = None
    if not stopped:
        passing = (errors.ServerError, errors.NotFound)
        suppressed = tried(messaging.count_suppressions, "Suppressed addresses", *passing)
        opted_out = tried(messaging.count_opt_outs, "Opt-outs", *passing)
    allowance = found.sending_allowance if found is not None else None
    return Mail(
        stopped,
        allowance if allowance is not None and allowance.enforced else None,
        suppressed,
        opted_out,
        tuple(notes),
    )


def _stopped_by(found: Reputation, workflow_id: str, name: str) -> str:
    """Why the mail provider or a pause of the workflow lets nothing out."""
    aws = found.aws if isinstance(found.aws, dict) else {}
    if aws.get("sending_status") == "DISABLED":
        return "the mail provider has paused e-mail of this project: nothing would go out"
    for row in found.workflows:
        if row.hog_flow_id == workflow_id and row.email_sending_paused:
            reason = row.email_sending_paused_reason or "no reason given"
            return (
                f'PostHog has paused the e-mail of workflow "{name}" ({workflow_id}): {reason}: '
                "resume it in PostHog first"
            )
    return ""
