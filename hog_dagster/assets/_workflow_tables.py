"""The declared tables of PostHog Workflows: names, types and what each column means.

Sources: `GET /hog_flows/`, `/batch_jobs/`, `/schedules/`, `/logs/`, `/metrics/`, `/blocked_runs/`
and `/invocation_results/`, and the ledger of actions. Every table starts with the project and ends
with the time when the row was loaded.
"""

from hog_dagster.assets._departed import DELETED
from hog_dagster.ledger import LEDGER_FIELDS
from hog_dagster.warehouse import Column, Table

_PROJECT = Column("project_id", "bigint", "The PostHog project.", nullable=False)
_LOADED = Column("_loaded_at", "timestamptz", "When this row was loaded (UTC).", nullable=False)
RAW = Column("_raw", "json", "Fields of PostHog's response that have no column, as JSON.")
WORKFLOW = Column("workflow_id", "text", "The workflow (hog flow).", nullable=False)
WORKFLOW_NAME = Column(
    "workflow_name",
    "text",
    "The workflow's name when the row was loaded; null where it is not known.",
)
#: The columns that say which workflow a row belongs to.
_OWNER = (WORKFLOW, WORKFLOW_NAME)
_BATCH_JOB = Column(
    "batch_job_id",
    "text",
    "The batch job that started the run; empty for all others. Only PostHog's SQL shows those.",
    nullable=False,
)


def declare(
    name: str,
    description: str,
    *columns: Column,
    key: tuple[str, ...] = (),
    time_column: str | None = None,
) -> Table:
    """A table of ours: the project comes first, the time of the load last."""
    return Table(
        name,
        columns=(_PROJECT, *columns, _LOADED),
        description=description,
        key=("project_id", *key) if key else (),
        time_column=time_column,
    )


def log_columns(run: str) -> tuple[Column, ...]:
    """The columns of a log line; `run` is what PostHog calls one execution."""
    return (
        Column("instance_id", "text", f"The {run} that wrote the line.", nullable=False),
        Column("timestamp", "timestamptz", "When it was written (UTC).", nullable=False),
        Column("level", "text", "DEBUG, INFO, WARN or ERROR."),
        Column("message", "text", "The text; personal data is masked unless configured otherwise."),
    )


WORKFLOWS = declare(
    "workflows",
    "One row per PostHog workflow: what it is called, whether it is live, what starts it.",
    Column("id", "text", "The workflow's id.", nullable=False),
    Column("name", "text", "Its name in PostHog; null while it has none."),
    Column("description", "text", "What its authors wrote about it."),
    Column("status", "text", "draft, active or archived; only active ones run."),
    Column("version", "bigint", "Moves when the live definition changes (newer servers only)."),
    Column("trigger_type", "text", "What starts a run: event, webhook, batch, schedule, ..."),
    Column("exit_condition", "text", "When a person leaves the workflow early."),
    Column("action_count", "bigint", "How many steps it has, the trigger included."),
    Column("billable_action_types", "json", "Kinds of steps that PostHog bills, a JSON list."),
    Column("variables", "json", "Variables a batch job or schedule may set, a JSON list."),
    Column("trigger", "json", "The trigger's settings as JSON, secrets taken out."),
    Column("conversion", "json", "The goal's settings as JSON, secrets taken out."),
    Column("created_by_email", "text", "Who made it; null when that account is gone."),
    Column("created_at", "timestamptz", "When it was made (UTC)."),
    Column("updated_at", "timestamptz", "When it last changed, a draft's edits included (UTC)."),
    Column("url", "text", "Its page in PostHog."),
    DELETED,
    RAW,
    key=("id",),
)

WORKFLOW_ACTIONS = declare(
    "workflow_actions",
    "One row per step of a workflow: trigger, e-mail, delay, branch, exit and so on.",
    *_OWNER,
    Column("action_id", "text", "The step's id, unique in its workflow.", nullable=False),
    Column("position", "bigint", "Its place in the definition, from 0.", nullable=False),
    Column("name", "text", "The step's name."),
    Column("description", "text", "What its authors wrote about it."),
    Column("type", "text", "trigger, function_email, delay, conditional_branch, exit, ..."),
    Column("template_id", "text", "The function template behind the step, if it is a function."),
    Column("on_error", "text", "What a failing step does to the run: continue, abort, ..."),
    Column("config", "json", "The step's settings as JSON; values of inputs are taken out."),
    Column("filters", "json", "Conditions for the step to run, as JSON."),
    RAW,
    key=("workflow_id", "action_id", "position"),
)

WORKFLOW_EDGES = declare(
    "workflow_edges",
    "One row per arrow between two steps of a workflow.",
    *_OWNER,
    Column("position", "bigint", "Its place in the definition, from 0.", nullable=False),
    Column("from_action_id", "text", "The step it leaves."),
    Column("to_action_id", "text", "The step it enters."),
    Column("type", "text", "continue or branch."),
    Column("branch_index", "bigint", "Which branch of the step it is, from 0."),
    RAW,
    key=("workflow_id", "position"),
)

WORKFLOW_SCHEDULES = declare(
    "workflow_schedules",
    "One row per schedule of a workflow that starts by itself.",
    *_OWNER,
    Column("id", "text", "The schedule's id.", nullable=False),
    Column("status", "text", "active, paused or completed."),
    Column("rrule", "text", "When it fires, an iCalendar recurrence rule in its time zone."),
    Column("starts_at", "timestamptz", "The first moment it may fire (UTC)."),
    Column("timezone", "text", "The zone the rule is read in."),
    Column("next_run_at", "timestamptz", "When it fires next (UTC); null until PostHog plans it."),
    Column("variables", "json", "Variables handed to the runs, as JSON."),
    Column("created_at", "timestamptz", "When it was made (UTC)."),
    Column("updated_at", "timestamptz", "When it last changed (UTC)."),
    RAW,
    key=("workflow_id", "id"),
)

WORKFLOW_BATCH_JOBS = declare(
    "workflow_batch_jobs",
    "One row per batch job: each one sent a workflow to its whole audience.",
    *_OWNER,
    Column("id", "text", "The batch job's id.", nullable=False),
    Column("status", "text", "queued, active, completed, ...; older servers leave it at queued."),
    Column("filters", "json", "The audience's filters, as JSON."),
    Column("variables", "json", "Variables handed to the runs, as JSON."),
    Column("created_by_email", "text", "Who sent it; null when a schedule did."),
    Column("created_at", "timestamptz", "When it was sent (UTC)."),
    Column("updated_at", "timestamptz", "When its status last changed (UTC)."),
    RAW,
    key=("workflow_id", "id"),
)

WORKFLOW_METRICS = declare(
    "workflow_metrics",
    "Counts per workflow, step and UTC hour: runs succeeded and failed, e-mails sent and opened.",
    *_OWNER,
    _BATCH_JOB,
    Column(
        "level",
        "text",
        "run: counts of whole runs; action: counts of one step; removed: counts of steps that are "
        "gone, or cannot be kept apart from theirs (by REST only). Never add levels up.",
        nullable=False,
    ),
    Column("action_id", "text", "The step; empty on rows of level run.", nullable=False),
    Column("hour", "timestamptz", "Start of the hour (UTC).", nullable=False),
    Column("metric", "text", "succeeded, failed, email_sent, email_opened, ...", nullable=False),
    Column("value", "bigint", "How often in that hour; hours with none have no row."),
    key=("workflow_id", "batch_job_id", "level", "action_id", "hour", "metric"),
    time_column="hour",
)

WORKFLOW_LOGS = declare(
    "workflow_logs",
    "Every log line of every run, with the text treated as configured (keep, mask or drop).",
    *_OWNER,
    _BATCH_JOB,
    *log_columns("run"),
    time_column="timestamp",
)

WORKFLOW_ERRORS = declare(
    "workflow_errors",
    "Why runs failed: errors of the loaded runs and log lines, one row per partition, workflow, "
    "step and message. Ids, numbers and e-mail addresses are replaced in the message, so that "
    "equal causes are one row.",
    *_OWNER,
    Column("action_id", "text", "The step that failed; empty where none is named.", nullable=False),
    Column("action_name", "text", "The step's name; null where it is not known."),
    Column(
        "partition_start",
        "timestamptz",
        "The partition (UTC): a day, or an hour where the tables have hourly partitions.",
        nullable=False,
    ),
    Column("message", "text", "The error, without what differs between its runs.", nullable=False),
    Column("error_kind", "text", "What kind of failure, where PostHog says."),
    Column("failed_runs", "bigint", "Runs of the partition that stand at failed with this error."),
    Column("log_lines", "bigint", "Log lines of level ERROR with this error."),
    Column("first_at", "timestamptz", "When it happened first (UTC)."),
    Column("last_at", "timestamptz", "When it happened last (UTC)."),
    Column("example_run_id", "text", "The run that it happened to last."),
    Column("example_url", "text", "The page in PostHog that lists the log lines of that run."),
    key=("workflow_id", "action_id", "partition_start", "message"),
    time_column="partition_start",
)

BLOCKED_RUNS = declare(
    "blocked_runs",
    "Runs that wait for a replay: blocked ones on servers that list them, failed ones elsewhere.",
    *_OWNER,
    Column("instance_id", "text", "The run.", nullable=False),
    Column("reason", "text", "blocked (an older server lists it) or failed.", nullable=False),
    Column("at", "timestamptz", "When it was blocked, or was due (UTC)."),
    Column("action_id", "text", "The step it stopped at, where known."),
    Column("event_uuid", "text", "The event that started it, where known."),
    Column("error_kind", "text", "What kind of failure, where known."),
    Column("message", "text", "PostHog's text about it, personal data masked."),
    Column("replayable", "boolean", "False where PostHog lacks the event or the step."),
    key=("workflow_id", "instance_id"),
)


def run_columns(*owner: Column) -> tuple[Column, ...]:
    """The columns of a table of runs; `owner` are those that say whose a run is."""
    return (
        *owner,
        Column("invocation_id", "text", "The run.", nullable=False),
        Column("status", "text", "running, succeeded or failed: as of its newest execution."),
        Column("error_kind", "text", "What kind of failure."),
        Column("error_message", "text", "PostHog's words, personal data masked unless kept."),
        Column("distinct_id", "text", "Whom it ran for; null unless personal data is kept."),
        Column("person_id", "text", "The person it ran for."),
        Column(
            "first_scheduled_at",
            "timestamptz",
            "When it was first due (UTC); reruns do not move it. Where only REST can be asked: the "
            "earliest time that PostHog still had when the run was read.",
            nullable=False,
        ),
        Column("scheduled_at", "timestamptz", "When its newest execution was due (UTC)."),
        Column("started_at", "timestamptz", "When that started (UTC)."),
        Column("finished_at", "timestamptz", "When that ended (UTC)."),
        Column("duration_ms", "bigint", "How long that took, in milliseconds."),
        Column("reruns", "bigint", "How often it was run again; 0 for most."),
        Column(
            "parent_run_id",
            "text",
            "The batch job that started it, empty for none; null where only REST was asked.",
        ),
        RAW,
    )


WORKFLOW_RUNS = declare(
    "workflow_runs",
    "One row per run of a workflow, as it stands now, in the partition of when it was first due. "
    "PostHog keeps runs for 30 days.",
    *run_columns(*_OWNER),
    key=("workflow_id", "invocation_id", "first_scheduled_at"),
    time_column="first_scheduled_at",
)

_ACTION_KEYS = ("action_id", "kind", "target_id", "state")
_ACTION = tuple(
    Column(name, kind, meaning, nullable=name not in _ACTION_KEYS)
    for name, kind, meaning in LEDGER_FIELDS
    if name != "project_id"
)

REPLAYS = declare(
    "replays",
    "One row per replay and rerun that Dagster requested: of which run, when, and its state.",
    *_ACTION,
    key=("action_id",),
)

BATCH_SENDS = declare(
    "batch_sends",
    "One row per batch job that Dagster sent: for which scheduled time, when, and its state.",
    *_ACTION,
    key=("action_id",),
)
