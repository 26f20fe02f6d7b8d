"""What a server can do for this key, one name per endpoint, and how to ask without doing anything.

Facts: a server answers 404 ``Endpoint not found.`` on a path it does not have; 404 ``Not found.``
about an object that is not there; 403 ``does not support personal API key access`` or 405 to a
method that a path does not have, and to actions that no key may use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hog_dagster.posthog._endpoints import Endpoint, messaging, project
from hog_dagster.posthog._endpoints import hog_functions as functions
from hog_dagster.posthog._endpoints import workflows as flows
from hog_dagster.posthog._endpoints.insights import QUERY_ROWS

__all__ = ["CAPABILITIES", "NOBODY", "Capability"]

#: The id of an object that cannot be there.
NOBODY = "00000000-0000-0000-0000-000000000000"

#: ``get``: GET of the path itself. ``post``: GET of a path that only takes POST, which closes it to
#: keys when it is there. ``list``: the same for a path that reads as an object's id where it is
#: missing, so that any 404 or 400 says so. ``hogql``: a query.
How = Literal["get", "post", "list", "hogql"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a server can offer.

    Attributes:
        name: as ``client.server.has(name)`` takes it.
        endpoint: whose responses decide.
        how: how it is asked for without effect.
        query: what ``hogql`` asks, each until one works.
    """

    name: str
    endpoint: Endpoint
    how: How = "get"
    query: tuple[str, ...] = ()

    @property
    def probe(self) -> Endpoint:
        """The harmless request."""
        if self.how == "hogql":
            return self.endpoint
        return replace(
            self.endpoint, name=f"probe of {self.endpoint.name}", method="GET", effect="read"
        )

    def arguments(self) -> dict[str, str]:
        """What fills the path of the probe: ids of nobody."""
        names = ("id", "invocation_id", "job_id", "person_id")
        return {name: NOBODY for name in names if f"{{{name}}}" in self.endpoint.path}


_ALL = (
    Capability("logs", flows.LOGS),
    Capability("metrics", flows.METRIC_TOTALS),
    Capability("hogql_query", QUERY_ROWS, "hogql", ("SELECT 1",)),
    Capability(
        "hogql_runs",
        QUERY_ROWS,
        "hogql",
        (
            "SELECT 1 FROM hog_invocation_results LIMIT 1",
            "SELECT 1 FROM posthog.hog_invocation_results LIMIT 1",
        ),
    ),
    Capability("batch_jobs", flows.BATCH_JOBS),
    Capability("cancel_batch_job", flows.CANCEL_BATCH_JOB, "post"),
    Capability("schedules", flows.SCHEDULES),
    Capability("blast_radius", flows.BLAST_RADIUS, "list"),
    Capability("test_invocation", flows.TEST_INVOCATION, "post"),
    Capability("blocked_runs", flows.BLOCKED_RUNS),
    Capability("invocation_results", flows.INVOCATION_RESULTS),
    Capability("invocation_results_count", flows.INVOCATION_RESULTS_COUNT),
    Capability("invocation_result", flows.INVOCATION_RESULT),
    Capability("rerun", flows.RERUN, "post"),
    Capability("cancel_invocations", flows.CANCEL_INVOCATIONS, "post"),
    Capability("run", flows.RUN, "post"),
    Capability("global_metrics", flows.GLOBAL_METRICS),
    Capability("version_metrics", flows.VERSION_METRICS),
    Capability("revisions", flows.REVISIONS),
    Capability("sent_messages", messaging.SENT_MESSAGES),
    Capability("messages_of_person", messaging.PERSON_MESSAGES),
    Capability("suppressions", messaging.SUPPRESSIONS),
    Capability("opt_outs", messaging.OPT_OUTS),
    Capability("bulk_add_opt_outs", messaging.BULK_ADD_OPT_OUTS, "post"),
    Capability("message_categories", messaging.CATEGORIES),
    Capability("recipients", messaging.RECIPIENTS),
    Capability("resume_email_sending", messaging.RESUME, "post"),
    Capability(
        "hogql_suppressions",
        QUERY_ROWS,
        "hogql",
        ("SELECT 1 FROM system.message_suppressions LIMIT 1",),
    ),
    Capability("reputation", messaging.REPUTATION, "list"),
    Capability("email_suspension", messaging.SUSPENSION, "list"),
    Capability(
        "hogql_preferences",
        QUERY_ROWS,
        "hogql",
        ("SELECT 1 FROM system.message_recipient_preferences LIMIT 1",),
    ),
    Capability(
        "hogql_categories",
        QUERY_ROWS,
        "hogql",
        ("SELECT 1 FROM system.message_categories LIMIT 1",),
    ),
    Capability("batch_exports", project.EXPORTS),
    Capability("activity_log", project.ACTIVITY),
    Capability("function_logs", functions.LOGS),
    Capability("function_invocation_results", functions.INVOCATION_RESULTS),
    Capability("function_invocation_results_count", functions.INVOCATION_RESULTS_COUNT),
    Capability("function_invocation_result", functions.INVOCATION_RESULT),
    Capability("function_rerun", functions.RERUN, "post"),
    Capability("function_revisions", functions.REVISIONS),
)
#: Every capability, by name.
CAPABILITIES: Mapping[str, Capability] = {capability.name: capability for capability in _ALL}
