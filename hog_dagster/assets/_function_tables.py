"""The declared tables of hog functions: names, types and what each column means.

Sources: `GET /hog_functions/`, `/hog_functions/{id}/metrics/` and `/hog_functions/{id}/logs/`.
"""

from hog_dagster.assets._departed import DELETED
from hog_dagster.assets._workflow_tables import RAW, declare, log_columns, run_columns
from hog_dagster.warehouse import Column

_FUNCTION = Column("function_id", "text", "The hog function.", nullable=False)
_FUNCTION_NAME = Column(
    "function_name",
    "text",
    "The function's name when the row was loaded; null where it is not known.",
)
#: The columns that say which hog function a row belongs to.
_OWNER = (_FUNCTION, _FUNCTION_NAME)

HOG_FUNCTIONS = declare(
    "hog_functions",
    "One row per hog function: destinations, transformations, site apps and other pipelines.",
    Column("id", "text", "The function's id.", nullable=False),
    Column("name", "text", "Its name in PostHog."),
    Column("description", "text", "What its authors wrote about it."),
    Column("type", "text", "destination, transformation, site_app, ..."),
    Column("enabled", "boolean", "Whether it is switched on."),
    Column(
        "status",
        "text",
        "What PostHog's watcher makes of it: healthy, degraded, disabled, ...; unknown while it "
        "is switched off.",
    ),
    Column("status_code", "bigint", "The watcher's number for it; 0 says nothing."),
    Column("status_tokens", "double", "What is left of its budget before the watcher slows it."),
    Column("template_id", "text", "The template it was made from; null for one's own code."),
    Column("template_name", "text", "That template's name."),
    Column("template_status", "text", "stable, beta, alpha, deprecated, ..."),
    Column("execution_order", "bigint", "Its place among the transformations, lowest first."),
    Column("version", "bigint", "Moves when the live definition changes (newer servers only)."),
    Column("has_draft", "boolean", "Whether changes wait to be published (newer servers only)."),
    Column("source", "text", "What it is fed with: events, person-updates, ..."),
    Column("filters", "json", "Conditions for it to run, as JSON, secrets taken out."),
    Column("inputs", "json", "Names of its inputs, as JSON; every value is taken out."),
    Column("mappings", "json", "Its event mappings, as JSON; every value is taken out."),
    Column("masking", "json", "How often it may run for the same thing, as JSON."),
    Column("code_sha256", "text", "Digest of its source code: changes when the code does."),
    Column("created_by_email", "text", "Who made it; null when that account is gone."),
    Column("created_at", "timestamptz", "When it was made (UTC)."),
    Column("updated_at", "timestamptz", "When it last changed (UTC)."),
    Column("url", "text", "Its page in PostHog."),
    DELETED,
    RAW,
    key=("id",),
)

HOG_FUNCTION_METRICS = declare(
    "hog_function_metrics",
    "Counts per hog function and UTC hour: invocations succeeded, failed, filtered, ...",
    *_OWNER,
    Column("hour", "timestamptz", "Start of the hour (UTC).", nullable=False),
    Column("metric", "text", "succeeded, failed, filtered, fetch, dropped, ...", nullable=False),
    Column("value", "bigint", "How often in that hour; hours with none have no row."),
    key=("function_id", "hour", "metric"),
    time_column="hour",
)

HOG_FUNCTION_LOGS = declare(
    "hog_function_logs",
    "Every log line of every invocation, with the text treated as configured (keep, mask or drop).",
    *_OWNER,
    *log_columns("invocation"),
    time_column="timestamp",
)

HOG_FUNCTION_RUNS = declare(
    "hog_function_runs",
    "One row per invocation of a hog function, as it stands now, in the partition of when it was "
    "first due. PostHog keeps them for 30 days.",
    *run_columns(*_OWNER),
    key=("function_id", "invocation_id", "first_scheduled_at"),
    time_column="first_scheduled_at",
)
