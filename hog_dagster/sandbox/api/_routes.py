"""Which endpoints each server generation has, and which scopes they ask: the tables of PostHog's
views.
"""

from hog_dagster.sandbox.api import _batch_jobs as batch
from hog_dagster.sandbox.api import _blocked_runs as replay
from hog_dagster.sandbox.api import _function_actions as actions
from hog_dagster.sandbox.api import _function_drafts as function_drafts
from hog_dagster.sandbox.api import _function_rows as templates
from hog_dagster.sandbox.api import _group_writes as group_writes
from hog_dagster.sandbox.api import _groups as groups
from hog_dagster.sandbox.api import _hog_functions as functions
from hog_dagster.sandbox.api import _ingestion as ingestion
from hog_dagster.sandbox.api import _insights as insights
from hog_dagster.sandbox.api import _messaging_activity as activity
from hog_dagster.sandbox.api import _messaging_exports as exports
from hog_dagster.sandbox.api import _messaging_lists as lists
from hog_dagster.sandbox.api import _messaging_recipients as recipients
from hog_dagster.sandbox.api import _messaging_reputation as reputation
from hog_dagster.sandbox.api import _projects as projects
from hog_dagster.sandbox.api import _query as query
from hog_dagster.sandbox.api import _runs as runs
from hog_dagster.sandbox.api import _schedules as schedules
from hog_dagster.sandbox.api import _sent_messages as messages
from hog_dagster.sandbox.api import _test_runs as testruns
from hog_dagster.sandbox.api import _usage_metrics as usage_metrics
from hog_dagster.sandbox.api import _workflow_drafts as drafts
from hog_dagster.sandbox.api import _workflow_writes as editing
from hog_dagster.sandbox.api import _workflows as workflows
from hog_dagster.sandbox.api._calls import Answer, Call, Endpoint, EndpointGroup, Handler, Site
from hog_dagster.sandbox.api._function_rows import find as find_function
from hog_dagster.sandbox.api._logs import answer_logs
from hog_dagster.sandbox.api._metrics import answer_metrics, answer_totals, global_metrics

#: None for scopes: closed to every key.
Entry = tuple[str, str, Handler, tuple[str, ...] | None]

READ, WRITE = ("hog_flow:read",), ("hog_flow:write",)
PEOPLE, GROUP = ("person:read",), ("group:read",)
READ_PEOPLE = READ + PEOPLE
ROOT, ONE = "hog_flows/", "hog_flows/{id}/"
RUNS, REVISION = "invocation_results/", "revisions/{version}/"
RUN = RUNS + "{invocation_id}/"
FUNCTION_READ, FUNCTION_WRITE = ("hog_function:read",), ("hog_function:write",)
FUNCTIONS, FUNCTION = "hog_functions/", "hog_functions/{id}/"
TEMPLATES, PUBLIC_TEMPLATES = "hog_function_templates/", "/api/public_hog_function_templates/"
GROUP_READ, GROUP_WRITE = ("group:read",), ("group:write",)
INSIGHT_READ, INSIGHT_WRITE = ("insight:read",), ("insight:write",)
QUERY, ACTIVITY, EXPORTS = ("query:read",), ("activity_log:read",), ("batch_export:read",)
SUPPRESSIONS = "messaging_suppressions/suppressions/"
PREFERENCES, EXPORT = "messaging_preferences/", "batch_exports/{id}/"


def _readings(one: str, find: Handler | object, scopes: tuple[str, ...]) -> list[Entry]:
    """What a workflow and a hog function are read by alike: their log and their counts."""

    def of(answer: object) -> Handler:
        def handler(call: Call) -> Answer:
            return answer(call, find(call).id)  # type: ignore[operator]

        return handler

    return [
        ("GET", one + "logs/", of(answer_logs), scopes),
        ("GET", one + "metrics/", of(answer_metrics), scopes),
        ("GET", one + "metrics/totals/", of(answer_totals), scopes),
    ]


# -- workflows -------------------------------------------------------------------------------------

_WORKFLOWS: list[Entry] = [
    ("GET", ROOT, workflows.list_workflows, READ),
    ("POST", ROOT, editing.create, WRITE),
    ("GET", ONE, workflows.retrieve, READ),
    ("PUT", ONE, editing.update, WRITE),
    ("PATCH", ONE, editing.update, WRITE),
    ("DELETE", ONE, editing.destroy, WRITE),
    *_readings(ONE, workflows.find, READ),
]
_MIDDLE: list[Entry] = [
    ("GET", ONE + RUNS, runs.invocation_results, READ_PEOPLE),
    ("GET", ONE + RUN, runs.invocation_result, READ_PEOPLE),
    ("POST", ONE + "rerun/", runs.rerun, WRITE + PEOPLE + GROUP),
]
#: Generation -> actions that others lack.
_MORE: dict[str, list[Entry]] = {
    "docs": [
        ("GET", ONE + "blocked_runs/", replay.blocked_runs, READ),
        ("POST", ONE + "replay_blocked_run/", replay.replay_blocked_run, WRITE),
        ("POST", ONE + "replay_all_blocked_runs/", replay.replay_all_blocked_runs, WRITE),
    ],
    "mid2026": _MIDDLE,
    "current": [
        *_MIDDLE,
        ("GET", ROOT + "metrics/global/", global_metrics, READ),
        ("GET", ROOT + "reputation/", reputation.reputation, READ),
        ("GET", ROOT + "email_sending_suspension/", reputation.suspension, READ),
        ("POST", ONE + "resume_email_sending/", reputation.resume_email_sending, WRITE),
        ("GET", ONE + "assets/", messages.assets, READ_PEOPLE),
        ("GET", ONE + "assets/content/", messages.asset_content, READ_PEOPLE),
        ("POST", ONE + "batch_jobs/{job_id}/cancel/", batch.cancel_batch_job, WRITE),
        ("GET", ONE + "invocation_results_count/", runs.invocation_results_count, READ_PEOPLE),
        ("POST", ONE + "invocations/cancel/", runs.cancel_invocations, WRITE),
        ("POST", ONE + "run/", runs.run_now, WRITE),
        ("PATCH", ONE + "graph/", drafts.patch_graph, WRITE),
        ("POST", ONE + "publish/", drafts.publish, WRITE),
        ("POST", ONE + "discard_draft/", drafts.discard_draft, WRITE),
        ("GET", ONE + "revisions/", drafts.list_revisions, READ),
        ("GET", ONE + REVISION, drafts.retrieve_revision, READ),
        ("POST", ONE + REVISION + "restore/", drafts.restore_revision, WRITE),
    ],
}


def _workflow_actions(site: Site) -> list[Entry]:
    sends = WRITE + PEOPLE if site.newer else WRITE
    tests = WRITE + GROUP if site.newer else WRITE
    schedule = ONE + "schedules/{schedule_id}/"
    return [
        ("POST", ROOT + "bulk_delete/", editing.bulk_delete, WRITE),
        ("POST", ROOT + "user_blast_radius/", batch.user_blast_radius, READ_PEOPLE),
        ("GET", ONE + "batch_jobs/", batch.list_batch_jobs, READ),
        ("POST", ONE + "batch_jobs/", batch.create_batch_job, sends),
        ("GET", ONE + "schedules/", schedules.list_schedules, READ),
        ("POST", ONE + "schedules/", schedules.create_schedule, sends),
        ("PATCH", schedule, schedules.update_schedule, WRITE),
        ("DELETE", schedule, schedules.delete_schedule, WRITE),
        ("POST", ONE + "invocations/", testruns.test_invocation, tests),
        *_MORE[site.generation],
    ]


# -- hog functions ---------------------------------------------------------------------------------

_FUNCTIONS: list[Entry] = [
    ("GET", FUNCTIONS, functions.list_functions, FUNCTION_READ),
    ("POST", FUNCTIONS, functions.create, FUNCTION_WRITE),
    ("GET", FUNCTION, functions.retrieve, FUNCTION_READ),
    ("PUT", FUNCTION, functions.update, FUNCTION_WRITE),
    ("PATCH", FUNCTION, functions.update, FUNCTION_WRITE),
    ("GET", TEMPLATES, templates.list_templates, FUNCTION_READ),
    ("GET", TEMPLATES + "{id}/", templates.retrieve_template, FUNCTION_READ),
]
#: Actions that older servers closed to every key, and newer ones opened.
_ACTIONS: list[Entry] = [
    *_readings(FUNCTION, find_function, FUNCTION_READ),
    ("POST", FUNCTION + "invocations/", actions.invocations, FUNCTION_WRITE),
    ("PATCH", FUNCTIONS + "rearrange/", actions.rearrange, FUNCTION_WRITE),
]
_OLDER_ACTIONS: list[Entry] = [
    *_ACTIONS,
    ("POST", FUNCTION + "broadcast/", actions.broadcast, FUNCTION_WRITE),
    ("GET", FUNCTIONS + "icons/", actions.icons, FUNCTION_READ),
    ("GET", FUNCTIONS + "icon/", actions.icon, FUNCTION_READ),
]
_NEWER_ACTIONS: list[Entry] = [
    *_ACTIONS,
    ("DELETE", FUNCTION, functions.destroy, None),
    ("GET", FUNCTIONS + "icons/", actions.icons, None),
    ("GET", FUNCTIONS + "icon/", actions.icon, None),
    ("POST", FUNCTION + "enable_backfills/", actions.enable_backfills, None),
    ("POST", FUNCTION + "rerun/", actions.rerun, FUNCTION_WRITE + PEOPLE + GROUP),
    # No server was seen to have these two: see `Sandbox(function_results=...)`.
    ("GET", FUNCTION + RUNS, runs.function_results, FUNCTION_READ + PEOPLE),
    ("GET", FUNCTION + RUN, runs.function_result, FUNCTION_READ + PEOPLE),
    ("GET", FUNCTIONS + "masked_secrets/", actions.masked_secrets, FUNCTION_READ),
]
_DRAFTS: list[Entry] = [
    ("POST", FUNCTION + "publish/", function_drafts.publish, FUNCTION_WRITE),
    ("POST", FUNCTION + "discard_draft/", function_drafts.discard_draft, FUNCTION_WRITE),
    ("GET", FUNCTION + "revisions/", function_drafts.list_revisions, FUNCTION_READ),
    ("GET", FUNCTION + REVISION, function_drafts.retrieve_revision, FUNCTION_READ),
    ("POST", FUNCTION + REVISION + "restore/", function_drafts.restore_revision, FUNCTION_WRITE),
]


def _function_endpoints(site: Site) -> tuple[Endpoint, ...]:
    if site.newer:
        late = _DRAFTS if site.generation == "current" else []
        return _plain([*_FUNCTIONS, *_NEWER_ACTIONS, *late])
    destroy: Entry = ("DELETE", FUNCTION, functions.destroy, FUNCTION_WRITE)
    return (*_plain([*_FUNCTIONS, destroy]), *_plain(_OLDER_ACTIONS, custom=True))


# -- groups, insights, queries, captured events ----------------------------------------------------

_GROUPS: list[Entry] = [
    ("GET", "groups/", groups.list_groups, GROUP_READ),
    ("POST", "groups/", group_writes.create, GROUP_WRITE),
    ("GET", "groups/find/", groups.find, GROUP_READ),
    ("POST", "groups/update_property/", group_writes.update_property, GROUP_WRITE),
    ("POST", "groups/delete_property/", group_writes.delete_property, GROUP_WRITE),
    ("POST", "groups/upsert_properties/", group_writes.upsert_properties, GROUP_WRITE),
    ("GET", "groups/activity/", groups.activity, ACTIVITY),
    ("GET", "groups/property_values/", groups.property_values, GROUP_READ),
    ("GET", "groups/related/", groups.related, GROUP_READ),
    ("GET", "groups_types/", groups.list_types, GROUP_READ),
    ("DELETE", "groups_types/{index}/", groups.destroy_type, GROUP_WRITE),
]
_INSIGHTS: list[Entry] = [
    ("GET", "insights/", insights.list_insights, INSIGHT_READ),
    ("POST", "insights/", insights.create, INSIGHT_WRITE),
    ("GET", "insights/{id}/", insights.retrieve, INSIGHT_READ),
    ("PUT", "insights/{id}/", insights.update, INSIGHT_WRITE),
    ("PATCH", "insights/{id}/", insights.update, INSIGHT_WRITE),
    ("DELETE", "insights/{id}/", insights.destroy, INSIGHT_WRITE),
    ("GET", "insights/activity/", insights.all_activity, ACTIVITY),
    ("GET", "insights/{id}/activity/", insights.activity, ACTIVITY),
    ("GET", "insights/my_last_viewed/", insights.closed, None),
    ("POST", "insights/cancel/", insights.closed, None),
]
_OLDER_INSIGHTS: list[Entry] = [("POST", "insights/{id}/viewed/", insights.closed, None)]
_NEWER_INSIGHTS: list[Entry] = [
    ("POST", "insights/viewed/", insights.closed, None),
    ("GET", "insights/trending/", insights.trending, INSIGHT_READ),
]
_QUERY: list[Entry] = [
    ("POST", "query/", query.post_query, QUERY),
    ("GET", "query/{id}/", query.query_status, QUERY),
    ("DELETE", "query/{id}/", query.cancel_query, QUERY),
]
_PUBLIC: list[Entry] = [
    *(
        ("POST", path, ingestion.capture, ())
        for path in ("/batch/", "/capture/", "/e/", "/i/v0/e/", "/track/")
    ),
    ("GET", PUBLIC_TEMPLATES, templates.list_templates, ()),
]


def _group_entries(site: Site) -> list[Entry]:
    scope = "usage_metric" if site.newer else "group"
    read, write = (f"{scope}:read",), (f"{scope}:write",)
    every = "groups_types/{index}/metrics/"
    one = every + "{id}/"
    found = [
        *_GROUPS,
        ("GET", every, usage_metrics.list_metrics, read),
        ("POST", every, usage_metrics.create, write),
        ("GET", one, usage_metrics.retrieve, read),
        ("PUT", one, usage_metrics.update, write),
        ("PATCH", one, usage_metrics.update, write),
        ("DELETE", one, usage_metrics.destroy, write),
    ]
    if not site.newer:
        definitions = groups.property_definitions
        found.append(("GET", "groups/property_definitions/", definitions, GROUP_READ))
    return found


# -- messages, exports, the project ----------------------------------------------------------------

#: Lists and messages, which servers of 2025 and of the middle of 2026 lack.
_MESSAGING: list[Entry] = [
    ("GET", "persons/{id}/emails/", messages.person_emails, PEOPLE),
    # The handler asks for person:read as well where the build does.
    ("GET", SUPPRESSIONS, lists.list_suppressions, READ),
    ("POST", SUPPRESSIONS + "add_suppression/", lists.add_suppression, WRITE),
    ("POST", SUPPRESSIONS + "remove_suppression/", lists.remove_suppression, WRITE),
    ("GET", PREFERENCES + "opt_outs/", lists.list_opt_outs, READ),
    ("POST", PREFERENCES + "add_opt_out/", lists.add_opt_out, WRITE),
    ("POST", PREFERENCES + "remove_opt_out/", lists.remove_opt_out, WRITE),
    ("POST", PREFERENCES + "bulk_add_opt_outs/", lists.bulk_add_opt_outs, WRITE),
    ("GET", PREFERENCES + "export_opt_outs_csv/", lists.export_opt_outs, READ),
    ("GET", "messaging_recipients/", recipients.list_recipients, READ_PEOPLE),
    ("GET", "messaging_recipients/coverage/", recipients.coverage, READ_PEOPLE),
    ("GET", "messaging_categories/", lists.list_categories, READ),
]
_EXPORTS: list[Entry] = [
    ("GET", "batch_exports/", exports.list_exports, EXPORTS),
    ("GET", EXPORT, exports.retrieve_export, EXPORTS),
    ("GET", EXPORT + "runs/", exports.list_runs, EXPORTS),
    ("GET", EXPORT + "backfills/", exports.list_backfills, EXPORTS),
]
_PROJECTS: list[Entry] = [
    ("GET", "/api/projects/", projects.list_projects, ("project:read",)),
    ("GET", "/api/projects/{project_id}/", projects.retrieve_project, ("project:read",)),
    ("GET", "/api/users/@me/", projects.retrieve_user, ("user:read",)),
    ("GET", "/api/organizations/{id}/", projects.retrieve_organization, ("organization:read",)),
    ("GET", "/api/personal_api_keys/{id}/", projects.retrieve_key, ()),
]


def endpoint_groups(site: Site) -> list[EndpointGroup]:
    """Everything a server of the site's generation answers."""
    newest = site.generation == "current"
    # Older builds have the activity log for their own interface alone.
    log: Entry = ("GET", "activity_log/", activity.activity_log, ACTIVITY if newest else None)
    actions_of_workflows = _plain(_workflow_actions(site), custom=True)
    more = _NEWER_INSIGHTS if site.newer else _OLDER_INSIGHTS
    return [
        EndpointGroup("workflows", (*_plain(_WORKFLOWS), *actions_of_workflows)),
        EndpointGroup("messaging", _plain([*(_MESSAGING if newest else []), *_EXPORTS, log])),
        EndpointGroup("projects", _plain(_PROJECTS)),
        EndpointGroup("hog_functions", _function_endpoints(site)),
        EndpointGroup("groups", _plain(_group_entries(site))),
        EndpointGroup("insights", _plain([*_INSIGHTS, *more]), bucket="insights", csv=True),
        EndpointGroup("query", _plain(_QUERY), bucket="query"),
        EndpointGroup("ingestion", _plain(_PUBLIC), public=True),
    ]


def _plain(entries: list[Entry], *, custom: bool = False) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(*entry, custom=custom) for entry in entries)
