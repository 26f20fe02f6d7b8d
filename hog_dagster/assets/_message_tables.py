"""The declared tables of messages: what was sent, what became of it, who must get none.

Sources: `GET /hog_flows/{id}/assets/`, `/hog_flows/{id}/batch_jobs/`, `/hog_flows/reputation/`,
`/messaging_suppressions/suppressions/`, `/messaging_preferences/opt_outs/`, `/activity_log/`, and
PostHog's SQL.
"""

from hog_dagster.assets._workflow_tables import WORKFLOW, WORKFLOW_NAME, declare
from hog_dagster.warehouse import Column

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
    "batch_results": "None.",
    "message_events": "Addresses, distinct ids, subjects and clicked links are loaded with "
    "`recipients: keep` only; with `hash` (the default) the hash of an address, a pseudonym.",
    "workflow_activity": "Names and addresses of users, and what a change was from and to, are "
    "loaded with `recipients: keep` only; with `hash` (the default) the hash of a user's address, "
    "a pseudonym.",
}

_HASH = Column(
    "recipient_hash",
    "text",
    "A hash of the address in lower case, the same in all tables of the project; null with "
    "`recipients: drop`.",
)
_RECIPIENT = (
    _HASH,
    Column("recipient", "text", "The address; null unless `recipients: keep`."),
)

SENT_MESSAGES = declare(
    "sent_messages",
    "One row per run and message step that sent an e-mail or a push message, in the partition of "
    "its newest send. Mail that was suppressed, suspended or opted out of has no row. PostHog "
    "keeps sent messages for 30 days. Personal data: " + PERSONAL["sent_messages"],
    WORKFLOW,
    WORKFLOW_NAME,
    Column("invocation_id", "text", "The run.", nullable=False),
    Column("action_id", "text", "The step.", nullable=False),
    Column("batch_job_id", "text", "The batch job that started the run; empty for all others."),
    Column("kind", "text", "email or push."),
    *_RECIPIENT,
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
    *_RECIPIENT,
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
    *_RECIPIENT,
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

BATCH_RESULTS = declare(
    "batch_results",
    "One row per batch job of the last 30 days: how many people it was for, whom it reached, and "
    "why not the others. PostHog calls a job completed when its runs are queued, whether mail goes "
    "out or not. A number that nothing shows is null. Jobs of more than 30 days ago stay as they "
    "were loaded. Personal data: " + PERSONAL["batch_results"],
    Column("batch_job_id", "text", "The batch job.", nullable=False),
    WORKFLOW,
    WORKFLOW_NAME,
    Column("created_at", "timestamptz", "When the job was made (UTC)."),
    Column(
        "counted",
        "bigint",
        "People the audience had: as our send counted it, else as PostHog counted it within a day "
        "of the job.",
    ),
    Column("audience_limit", "bigint", "People that PostHog lets such a batch reach at most."),
    Column("cut", "boolean", "Whether PostHog left out the people above the limit."),
    Column("runs", "bigint", "Runs that the job started."),
    Column("reached", "bigint", "Different addresses and people that a message left for."),
    Column("messages", "bigint", "Messages that left: one per run and message step."),
    Column("failed", "bigint", "Runs that stand at failed."),
    Column("suppressed", "bigint", "E-mails skipped for a suppressed address."),
    Column("opted_out", "bigint", "Runs in which a message was skipped for an opt-out."),
    Column("waiting", "bigint", "Runs under way whose e-mail waits for a sending limit."),
    Column(
        "evidence",
        "text",
        "What each number was read from, and what else became of e-mails: lost to a suspension, "
        "held back because they would bounce.",
    ),
    key=("batch_job_id",),
)

MESSAGE_EVENTS = declare(
    "message_events",
    "One row per event that PostHog captured about an e-mail of a workflow: sent, delivered, "
    "opened, link_clicked, bounced, blocked (a spam complaint), failed, unsubscribed. Only where "
    "the project captures them (setting capture_workflows_engagement_events), from then on. Events "
    "do not name the run: `match` says how it was found. Personal data: "
    + PERSONAL["message_events"],
    Column("uuid", "text", "The event.", nullable=False),
    Column("event", "text", "sent, delivered, opened, ...", nullable=False),
    Column("at", "timestamptz", "When it happened (UTC).", nullable=False),
    Column("workflow_id", "text", "The workflow; null for unsubscribed, which names none."),
    WORKFLOW_NAME,
    Column("action_id", "text", "The message step."),
    *_RECIPIENT,
    Column("distinct_id", "text", "Whom it was for; null unless `recipients: keep`."),
    Column("subject", "text", "The subject; null unless `recipients: keep`."),
    Column("link_url", "text", "The link; null unless `recipients: keep`."),
    Column("category", "text", "Of unsubscribed: the category's key, or $all."),
    Column("source", "text", "Of unsubscribed: one_click or preferences_page."),
    Column("invocation_id", "text", "The run of the message, from `sent_messages`."),
    Column("batch_job_id", "text", "The batch job that started that run; empty for none."),
    Column(
        "match",
        "text",
        "exact: one message of this step went to this address by then; nearest: of several the one "
        "sent last before; null: none was loaded.",
    ),
    key=("uuid",),
    time_column="at",
)

WORKFLOW_ACTIVITY = declare(
    "workflow_activity",
    "One row per change of a workflow that PostHog noted: created, updated, deleted, e-mail "
    "resumed. Batch jobs, runs, reruns, suppressions and opt-outs leave none, and an entry that "
    "PostHog could not write is missing. Entries that PostHog shows no more stay. Personal data: "
    + PERSONAL["workflow_activity"],
    Column("id", "text", "The entry.", nullable=False),
    Column("workflow_id", "text", "The workflow (hog flow)."),
    Column("workflow_name", "text", "What the entry calls the workflow."),
    Column("activity", "text", "What was done."),
    Column("at", "timestamptz", "When (UTC).", nullable=False),
    Column("changed", "json", "Names of the fields that changed, as a JSON list."),
    Column(
        "changes",
        "json",
        "The changes from and to, without values of inputs; null unless `recipients: keep`.",
    ),
    Column(
        "user_hash",
        "text",
        "A hash of the user's address, as in the other tables; null with `recipients: drop`, and "
        "where no person did it.",
    ),
    Column("user_email", "text", "The user's address; null unless `recipients: keep`."),
    Column("user_name", "text", "The user's name; null unless `recipients: keep`."),
    Column("is_system", "boolean", "Whether PostHog did it by itself."),
    Column("trigger", "json", "What did it where it was no person."),
    key=("id",),
)
