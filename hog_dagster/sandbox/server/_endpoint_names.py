"""A name for every endpoint, by which a test can take it away while the server runs."""

from collections.abc import Iterable

_FLOW, _FUNCTION = "hog_flows/{id}/", "hog_functions/{id}/"

#: Path below the project, without the last slash -> name.
ENDPOINT_NAMES = {
    "hog_flows/metrics/global": "global_metrics",
    "hog_flows/reputation": "reputation",
    "hog_flows/email_sending_suspension": "suspension",
    "hog_flows/user_blast_radius": "blast_radius",
    "hog_flows/bulk_delete": "bulk_delete",
    _FLOW + "assets": "sent_messages",
    _FLOW + "assets/content": "sent_message_content",
    _FLOW + "batch_jobs": "batch_jobs",
    _FLOW + "batch_jobs/{job_id}/cancel": "cancel_batch_job",
    _FLOW + "blocked_runs": "blocked_runs",
    _FLOW + "discard_draft": "discard_draft",
    _FLOW + "graph": "graph",
    _FLOW + "invocation_results": "invocation_results",
    _FLOW + "invocation_results/{invocation_id}": "invocation_result",
    _FLOW + "invocation_results_count": "invocation_results_count",
    _FLOW + "invocations": "test_run",
    _FLOW + "invocations/cancel": "cancel_runs",
    _FLOW + "logs": "logs",
    _FLOW + "metrics": "metrics",
    _FLOW + "metrics/totals": "metric_totals",
    _FLOW + "publish": "publish",
    _FLOW + "replay_all_blocked_runs": "replay_all",
    _FLOW + "replay_blocked_run": "replay",
    _FLOW + "rerun": "rerun",
    _FLOW + "resume_email_sending": "resume_email_sending",
    _FLOW + "revisions": "revisions",
    _FLOW + "run": "run",
    _FLOW + "schedules": "schedules",
    _FLOW + "schedules/{schedule_id}": "schedule",
    _FUNCTION + "invocation_results": "function_invocation_results",
    _FUNCTION + "invocation_results/{invocation_id}": "function_invocation_result",
    _FUNCTION + "logs": "function_logs",
    _FUNCTION + "metrics": "function_metrics",
    _FUNCTION + "metrics/totals": "function_metric_totals",
    _FUNCTION + "rerun": "function_rerun",
    "activity_log": "activity_log",
    "batch_exports": "batch_exports",
    "batch_exports/{id}": "batch_export",
    "batch_exports/{id}/backfills": "batch_export_backfills",
    "batch_exports/{id}/runs": "batch_export_runs",
    "messaging_categories": "message_categories",
    "messaging_preferences/add_opt_out": "add_opt_out",
    "messaging_preferences/bulk_add_opt_outs": "bulk_add_opt_outs",
    "messaging_preferences/export_opt_outs_csv": "export_opt_outs_csv",
    "messaging_preferences/opt_outs": "opt_outs",
    "messaging_preferences/remove_opt_out": "remove_opt_out",
    "messaging_recipients": "recipients",
    "messaging_recipients/coverage": "recipients_coverage",
    "messaging_suppressions/suppressions": "suppressions",
    "messaging_suppressions/suppressions/add_suppression": "add_suppression",
    "messaging_suppressions/suppressions/remove_suppression": "remove_suppression",
    "persons/{id}/emails": "person_emails",
    "query": "query",
}
#: Names that are no path: the table of runs in HogQL, and its tables of the database.
MORE = ("hogql_runs", "hogql_system")
_PROJECT = "/api/projects/{project_id}/"


def name_of(path: str) -> str:
    """The name of an endpoint by its route; its path where it has no name of its own."""
    short = path.removeprefix(_PROJECT).rstrip("/")
    return ENDPOINT_NAMES.get(short, short)


def check_names(names: Iterable[str]) -> set[str]:
    """The names as a set; a ValueError for one that is no endpoint's."""
    wanted, known = set(names), {*ENDPOINT_NAMES.values(), *MORE}
    for name in sorted(wanted - known):
        if "/" not in name:
            raise ValueError(f"no endpoint is called {name!r}; there are {sorted(known)}")
    return wanted
