"""The declared tables of messages: what was sent, who must get none, how mail is received.

Sources: `GET /hog_flows/{id}/assets/`, `/messaging_suppressions/suppressions/`,
`/messaging_preferences/opt_outs/`, `/hog_flows/reputation/` and the tables
`system.message_recipient_preferences` and `system.message_categories` of HogQL.
"""

from hog_dagster.assets._workflow_tables import declare
from hog_dagster.warehouse import Column

__all__ = [
    "ADDRESS",
    "HASH",
    "MESSAGE_CATEGORIES",
    "OPT_OUTS",
    "PERSONAL",
    "SENDING_REPUTATION",
    "SENT_MESSAGES",
    "SUPPRESSIONS",
]

#: What each table's asset says of personal data.
PERSONAL = {
    "sent_messages": "Addresses, distinct ids and subjects are loaded with `recipients: keep` "
    "only; with `hash` (the default) the hash of an address, which is a pseudonym: who knows an "
    "address finds its rows. The person's id is always loaded.",
    "suppressions": "Addresses, and what a mail server said of them, are loaded with "
    "`recipients: keep` only; with `hash` (the default) the hash of an address, a pseudonym.",
    "opt_outs": "Addresses are loaded with `recipients: keep` only; with `hash` (the default) the "
    "hash of an address, a pseudonym.",
    "message_categories": "None.",
    "sending_reputation": "None.",
}

HASH = Column(
    "recipient_hash",
    "text",
    "A hash of the address in lower case, the same in all tables of the project; null with "
    "`recipients: drop`.",
)
ADDRESS = Column("recipient", "text", "The address; null unless `recipients: keep`.")

SENT_MESSAGES = declare(
    "sent_messages",
    "One row per run and message step that sent an e-mail or a push message, in the partition of "
    "its newest send. Mail that was suppressed, suspended or opted out of has no row. PostHog "
    "keeps sent messages for 30 days. Personal data: " + PERSONAL["sent_messages"],
    Column("workflow_id", "text", "The workflow (hog flow).", nullable=False),
    Column(
        "workflow_name",
        "text",
        "The workflow's name when the row was loaded; null where it is not known.",
    ),
    Column("invocation_id", "text", "The run.", nullable=False),
    Column("action_id", "text", "The step.", nullable=False),
    Column("batch_job_id", "text", "The batch job that started the run; empty for all others."),
    Column("kind", "text", "email or push."),
    HASH,
    ADDRESS,
    Column("subject", "text", "The subject; null unless `recipients: keep`."),
    Column("distinct_id", "text", "Whom it was for; null unless `recipients: keep`."),
    Column("person_id", "text", "The person it was for."),
    Column("status", "text", "sent: PostHog does not say here what became of it."),
    Column(
        "sent_at",
        "timestamptz",
        "When it was handed to the provider (UTC); a step that sends again in its run moves it.",
        nullable=False,
    ),
    key=("workflow_id", "invocation_id", "action_id", "sent_at"),
    time_column="sent_at",
)

SUPPRESSIONS = declare(
    "suppressions",
    "One row per address that gets no mail at all: it bounced, somebody complained, or a person "
    "put it there. Personal data: " + PERSONAL["suppressions"],
    Column("id", "text", "PostHog's id of the row.", nullable=False),
    HASH,
    ADDRESS,
    Column("source", "text", "BOUNCE, COMPLAINT or MANUAL."),
    Column("reason", "text", "PostHog's words."),
    Column("transient_bounce_count", "bigint", "Soft bounces in a row."),
    Column("last_bounce_at", "timestamptz", "When mail to it last bounced (UTC)."),
    Column(
        "last_bounce_diagnostic",
        "text",
        "What the mail server said; null unless `recipients: keep`.",
    ),
    Column("suppressed_at", "timestamptz", "Since when (UTC)."),
    Column("created_at", "timestamptz", "When PostHog first noted the address (UTC)."),
    Column("updated_at", "timestamptz", "When the row last changed (UTC)."),
    key=("id",),
)

OPT_OUTS = declare(
    "opt_outs",
    "One row per recipient and category that the recipient opted out of. PostHog compares "
    "addresses by upper and lower case, the hash does not. Personal data: " + PERSONAL["opt_outs"],
    Column("id", "text", "PostHog's id of the recipient.", nullable=False),
    Column(
        "category_id",
        "text",
        "The category; $all for all marketing messages.",
        nullable=False,
    ),
    Column("category_key", "text", "The category's key; null where it is not known."),
    HASH,
    ADDRESS,
    Column("updated_at", "timestamptz", "When the recipient's choices last changed (UTC)."),
    key=("id", "category_id"),
)

MESSAGE_CATEGORIES = declare(
    "message_categories",
    "One row per category of messages that people can opt out of.",
    Column("id", "text", "The category's id.", nullable=False),
    Column("key", "text", "Its name in calls of the API.", nullable=False),
    Column("name", "text", "What it is called."),
    Column("description", "text", "What its authors wrote about it."),
    Column("public_description", "text", "What recipients read."),
    Column("category_type", "text", "marketing, or transactional, which nobody can opt out of."),
    Column("created_at", "timestamptz", "When it was made (UTC)."),
    Column("updated_at", "timestamptz", "When it last changed (UTC)."),
    key=("id",),
)

SENDING_REPUTATION = declare(
    "sending_reputation",
    "One row per day (UTC) on which it was read: how e-mail of the last 30 days was received, what "
    "the project may send, and whether sending is suspended. The newest reading of a day stands.",
    Column("day", "timestamptz", "The start of the day (UTC).", nullable=False),
    Column("read_at", "timestamptz", "When it was read (UTC).", nullable=False),
    Column("emails_sent", "bigint", "E-mails of 30 days; null when none was sent."),
    Column("bounce_rate", "double", "Hard bounces by e-mails sent, 0 to 1."),
    Column("complaint_rate", "double", "Spam complaints by e-mails sent, 0 to 1."),
    Column("suspended", "boolean", "Whether PostHog has suspended the project's e-mail."),
    Column("suspended_at", "timestamptz", "Since when (UTC)."),
    Column("suspension_reason", "text", "PostHog's words."),
    Column("paused_workflows", "bigint", "Workflows, of the 50 worst, whose e-mail is paused."),
    Column("provider_status", "text", "What the mail provider says, where PostHog shows it."),
    Column("tier", "bigint", "The project's sending tier; null where the server has none."),
    Column("tier_enforced", "boolean", "Whether the caps below hold."),
    Column("emails_per_hour", "bigint", "E-mails that may be sent in an hour."),
    Column("emails_per_day", "bigint", "E-mails that may be sent in a day."),
    Column("max_batch_audience", "bigint", "People that a batch of e-mail reaches at most."),
    Column("emails_sent_last_hour", "bigint", "E-mails of the hour before it was read."),
    Column("emails_sent_last_day", "bigint", "E-mails of the day before it was read."),
    Column("workflows", "json", "The 50 worst workflows, with their rates, as a JSON list."),
    key=("day",),
)
