"""The declared tables of what became of messages: batch results, e-mail events, changes.

Sources: `GET /hog_flows/{id}/batch_jobs/`, `/hog_flows/{id}/assets/`, PostHog's SQL over
`hog_invocation_results`, `log_entries`, `app_metrics` and `events`, and `GET /activity_log/`.
"""

from hog_dagster.assets._messaging_tables import ADDRESS, HASH
from hog_dagster.assets._workflow_tables import declare
from hog_dagster.warehouse import Column

__all__ = ["BATCH_RESULTS", "MESSAGE_EVENTS", "PERSONAL_OF_RESULTS", "WORKFLOW_ACTIVITY"]

#: What each table's asset says of personal data.
PERSONAL_OF_RESULTS = {
    "batch_results": "None.",
    "message_events": "Addresses, distinct ids, subjects and clicked links are loaded with "
    "`recipients: keep` only; with `hash` (the default) the hash of an address, a pseudonym.",
    "workflow_activity": "Names and addresses of users, and what a change was from and to, are "
    "loaded with `recipients: keep` only; with `hash` (the default) the hash of a user's address, "
    "a pseudonym.",
}

_WORKFLOW = Column("workflow_id", "text", "The workflow (hog flow).", nullable=False)
_NAME = Column(
    "workflow_name",
    "text",
    "The workflow's name when the row was loaded; null where it is not known.",
)

BATCH_RESULTS = declare(
    "batch_results",
    "One row per batch job of the last 30 days: how many people it was for, whom it reached, and "
    "why not the others. PostHog calls a job completed when its runs are queued, whether mail goes "
    "out or not. A number that nothing shows is null. Jobs of more than 30 days ago stay as they "
    "were loaded. Personal data: " + PERSONAL_OF_RESULTS["batch_results"],
    Column("batch_job_id", "text", "The batch job.", nullable=False),
    _WORKFLOW,
    _NAME,
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
    + PERSONAL_OF_RESULTS["message_events"],
    Column("uuid", "text", "The event.", nullable=False),
    Column("event", "text", "sent, delivered, opened, ...", nullable=False),
    Column("at", "timestamptz", "When it happened (UTC).", nullable=False),
    Column("workflow_id", "text", "The workflow; null for unsubscribed, which names none."),
    _NAME,
    Column("action_id", "text", "The message step."),
    HASH,
    ADDRESS,
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
    + PERSONAL_OF_RESULTS["workflow_activity"],
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
