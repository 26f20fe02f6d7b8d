"""Models of messages and of who must get none: what was sent, suppressions, opt-outs, reputation.

Facts: PostHog's message assets, suppression, preference and category serializers, and the hog_flow
view's reputation.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hog_dagster.posthog.models.base import (
    Instant,
    LenientDict,
    LenientInstant,
    LenientList,
    Model,
    UserReference,
)

__all__ = [
    "BulkOptOutAnswer",
    "EmailRates",
    "EmailSuspension",
    "MessageCategory",
    "OptOut",
    "Recipient",
    "Reputation",
    "ResumedEmail",
    "SendingAllowance",
    "SentMessage",
    "Suppression",
    "WorkflowReputation",
]


class SentMessage(Model):
    """A message that left: GET .../hog_flows/{id}/assets/. One row per run and step.

    Attributes:
        function_id: the workflow; builds before September 2026 leave it out.
        parent_run_id: the batch job's id, empty for other runs.
        kind: email or push.
        recipient: the address in "to"; cc and bcc leave no row.
        sent_at: of the newest send of the step in its run.
    """

    invocation_id: str
    action_id: str = ""
    function_id: str | None = None
    function_name: str | None = None
    parent_run_id: str | None = None
    kind: str | None = None
    distinct_id: str | None = None
    person_id: str | None = None
    recipient: str | None = None
    subject: str | None = None
    status: str | None = None
    sent_at: LenientInstant = None


class Suppression(Model):
    """An address that gets no mail at all: GET .../messaging_suppressions/suppressions/.

    Attributes:
        identifier: the address in lower case.
        source: BOUNCE, COMPLAINT or MANUAL.
        transient_bounce_count: soft bounces in a row.
    """

    id: str | None = None
    identifier: str
    source: str | None = None
    reason: str | None = None
    transient_bounce_count: int | None = None
    last_bounce_at: LenientInstant = None
    last_bounce_diagnostic: str | None = None
    suppressed: bool | None = None
    suppressed_at: LenientInstant = None
    created_at: LenientInstant = None
    updated_at: LenientInstant = None


class OptOut(Model):
    """What a recipient wants: GET .../messaging_preferences/opt_outs/.

    Attributes:
        identifier: the address as it was given: upper and lower case are different recipients.
        preferences: a category's id, or ``$all``, to OPTED_OUT, OPTED_IN or NO_PREFERENCE.
    """

    id: str | None = None
    identifier: str
    updated_at: LenientInstant = None
    preferences: LenientDict = Field(default_factory=dict)


class BulkOptOutAnswer(Model):
    """POST .../messaging_preferences/bulk_add_opt_outs/: how many pairs are out, how many not.

    Attributes:
        opted_out: distinct pairs of recipient and category, those that were out before included.
        errors: the first ten entries that were passed over, and why.
    """

    total: int
    opted_out: int
    skipped: int = 0
    errors: LenientList[str] = Field(default_factory=list)


class MessageCategory(Model):
    """A topic of messages that people opt out of: GET .../messaging_categories/, or by HogQL.

    Attributes:
        key: its name in other calls.
        category_type: marketing or transactional; nobody can opt out of the latter.
    """

    id: str
    key: str
    name: str | None = None
    description: str | None = None
    public_description: str | None = None
    category_type: str | None = None
    deleted: bool | None = None
    created_at: LenientInstant = None
    updated_at: LenientInstant = None
    created_by: UserReference = None


class EmailSuspension(Model):
    """Whether the project's e-mail is suspended: GET .../hog_flows/email_sending_suspension/.

    Attributes:
        email_sending_suspended: None where the response does not say.
    """

    email_sending_suspended: bool | None = None
    email_sending_suspended_at: Instant | None = None
    email_sending_suspension_reason: str = ""


class EmailRates(Model):
    """E-mail of 30 days.

    Attributes:
        bounce_rate: hard bounces by mails sent, from 0 to 1.
        complaint_rate: spam complaints by mails sent, from 0 to 1.
    """

    bounce_rate: float | None = None
    complaint_rate: float | None = None
    emails_sent: int | None = None


class WorkflowReputation(EmailRates):
    """The same of one workflow; paused or not where the server says so."""

    hog_flow_id: str
    hog_flow_name: str | None = None
    email_sending_paused: bool | None = None
    email_sending_paused_at: LenientInstant = None
    email_sending_paused_reason: str | None = None


class ResumedEmail(Model):
    """A workflow whose e-mail goes out again: POST .../hog_flows/{id}/resume_email_sending/."""

    email_sending_paused: bool
    email_sending_paused_at: LenientInstant = None
    email_sending_paused_reason: str | None = None
    email_sending_resumed_at: LenientInstant = None


class Recipient(Model):
    """An address that PostHog knows: GET .../messaging_recipients/.

    Attributes:
        email: in lower case.
        all_marketing: OPTED_IN, OPTED_OUT or NO_PREFERENCE.
        topics: a category's key to OPTED_IN or OPTED_OUT; only those that were set.
        suppression: source, reason, suppressed_at; None when it is not suppressed.
        persons: up to three persons with this address.
        last_sent_at: of the last 30 days.
    """

    email: str
    all_marketing: str | None = None
    topics: LenientDict = Field(default_factory=dict)
    suppression: Any = None
    persons: LenientList[Any] = Field(default_factory=list)
    person_count: int | None = None
    last_sent_at: LenientInstant = None
    preferences_updated_at: LenientInstant = None


class SendingAllowance(Model):
    """What the project may send; it holds only where ``enforced``.

    Attributes:
        tier: from 0 to ``max_tier``.
        max_batch_audience: people that a batch of e-mail reaches at most.
    """

    tier: int | None = None
    max_tier: int | None = None
    emails_per_hour: int | None = None
    emails_per_day: int | None = None
    max_batch_audience: int | None = None
    emails_sent_last_hour: int | None = None
    emails_sent_last_day: int | None = None
    enforced: bool = False


class Reputation(EmailSuspension):
    """How the project's e-mail is received: GET .../hog_flows/reputation/.

    Attributes:
        aws: what the provider says: health, sending status, findings; None where it is not shown.
        reputation: of the whole project; None when nothing was sent in 30 days.
        workflows: the 50 worst, worst first.
        isps: by mailbox provider, where the project has that.
        sending_allowance: None where the server has no tiers or does not know.
    """

    aws: Any = None
    reputation: EmailRates | None = None
    workflows: LenientList[WorkflowReputation] = Field(default_factory=list[WorkflowReputation])
    isps: LenientList[Any] = Field(default_factory=list)
    sending_allowance: SendingAllowance | None = None
