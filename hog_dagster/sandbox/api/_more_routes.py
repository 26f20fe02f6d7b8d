"""Which endpoints of hog functions, groups, insights and queries each server generation has, and
which scopes they ask.
"""

from hog_dagster.sandbox.api import _function_actions as function_actions
from hog_dagster.sandbox.api import _function_drafts as function_drafts
from hog_dagster.sandbox.api import _function_templates as function_templates
from hog_dagster.sandbox.api import _group_writes as group_writes
from hog_dagster.sandbox.api import _groups as groups
from hog_dagster.sandbox.api import _hog_functions as hog_functions
from hog_dagster.sandbox.api import _ingestion as ingestion
from hog_dagster.sandbox.api import _insights as insights
from hog_dagster.sandbox.api import _query as query
from hog_dagster.sandbox.api import _runs as runs
from hog_dagster.sandbox.api import _usage_metrics as usage_metrics
from hog_dagster.sandbox.api._calls import Endpoint, Family, Handler, Site

__all__ = ["more_families"]

Entry = tuple[str, str, Handler, tuple[str, ...] | None]

READ, WRITE = ("hog_function:read",), ("hog_function:write",)
READ_PEOPLE = ("hog_function:read", "person:read")
RERUN = ("hog_function:write", "person:read", "group:read")
GROUP_READ, GROUP_WRITE = ("group:read",), ("group:write",)
INSIGHT_READ, INSIGHT_WRITE = ("insight:read",), ("insight:write",)
QUERY = ("query:read",)
ROOT, ONE = "hog_functions/", "hog_functions/{id}/"
TEMPLATES, PUBLIC_TEMPLATES = "hog_function_templates/", "/api/public_hog_function_templates/"
REVISION = ONE + "revisions/{version}/"
METRICS = "groups_types/{index}/metrics/"

_FUNCTIONS: list[Entry] = [
    ("GET", ROOT, hog_functions.list_functions, READ),
    ("POST", ROOT, hog_functions.create, WRITE),
    ("GET", ONE, hog_functions.retrieve, READ),
    ("PUT", ONE, hog_functions.update, WRITE),
    ("PATCH", ONE, hog_functions.update, WRITE),
    ("GET", TEMPLATES, function_templates.list_templates, READ),
    ("GET", TEMPLATES + "{id}/", function_templates.retrieve_template, READ),
]
#: Actions that older servers closed to every key, and newer ones opened.
_ACTIONS: list[Entry] = [
    ("GET", ONE + "logs/", hog_functions.logs, READ),
    ("GET", ONE + "metrics/", hog_functions.metrics, READ),
    ("GET", ONE + "metrics/totals/", hog_functions.totals, READ),
    ("POST", ONE + "invocations/", function_actions.invocations, WRITE),
    ("PATCH", ROOT + "rearrange/", function_actions.rearrange, WRITE),
]
_OLDER_ACTIONS: list[Entry] = [
    ("POST", ONE + "broadcast/", function_actions.broadcast, WRITE),
    ("GET", ROOT + "icons/", function_actions.icons, READ),
    ("GET", ROOT + "icon/", function_actions.icon, READ),
    ("DELETE", ONE, hog_functions.destroy, WRITE),
]
#: None: closed to every key on newer servers too.
_NEWER: list[Entry] = [
    ("DELETE", ONE, hog_functions.destroy, None),
    ("GET", ROOT + "icons/", function_actions.icons, None),
    ("GET", ROOT + "icon/", function_actions.icon, None),
    ("POST", ONE + "enable_backfills/", function_actions.enable_backfills, None),
    ("POST", ONE + "rerun/", function_actions.rerun, RERUN),
    # No server was seen to have these two: see `Sandbox(function_results=...)`.
    ("GET", ONE + "invocation_results/", runs.function_results, READ_PEOPLE),
    ("GET", ONE + "invocation_results/{invocation_id}/", runs.function_result, READ_PEOPLE),
    ("POST", ONE + "publish/", function_drafts.publish, WRITE),
    ("POST", ONE + "discard_draft/", function_drafts.discard_draft, WRITE),
    ("GET", ONE + "revisions/", function_drafts.list_revisions, READ),
    ("GET", REVISION, function_drafts.retrieve_revision, READ),
    ("POST", REVISION + "restore/", function_drafts.restore_revision, WRITE),
    ("GET", ROOT + "masked_secrets/", function_actions.masked_secrets, READ),
]
_GROUPS: list[Entry] = [
    ("GET", "groups/", groups.list_groups, GROUP_READ),
    ("POST", "groups/", group_writes.create, GROUP_WRITE),
    ("GET", "groups/find/", groups.find, GROUP_READ),
    ("POST", "groups/update_property/", group_writes.update_property, GROUP_WRITE),
    ("POST", "groups/delete_property/", group_writes.delete_property, GROUP_WRITE),
    ("POST", "groups/upsert_properties/", group_writes.upsert_properties, GROUP_WRITE),
    ("GET", "groups/activity/", groups.activity, ("activity_log:read",)),
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
    ("GET", "insights/activity/", insights.all_activity, ("activity_log:read",)),
    ("GET", "insights/{id}/activity/", insights.activity, ("activity_log:read",)),
    ("GET", "insights/my_last_viewed/", insights.closed, None),
    ("POST", "insights/cancel/", insights.closed, None),
]
_QUERY: list[Entry] = [
    ("POST", "query/", query.post_query, QUERY),
    ("GET", "query/{id}/", query.query_status, QUERY),
    ("DELETE", "query/{id}/", query.cancel_query, QUERY),
]
_CAPTURE: list[Entry] = [
    ("POST", path, ingestion.capture, ())
    for path in ("/batch/", "/capture/", "/e/", "/i/v0/e/", "/track/")
]


def more_families(site: Site) -> list[Family]:
    """Hog functions, templates, groups, insights, queries and ingestion of the generation."""
    public = ("GET", PUBLIC_TEMPLATES, function_templates.list_templates, ())
    return [
        Family("hog_functions", _function_endpoints(site)),
        Family("groups", _group_endpoints(site)),
        Family("insights", _plain(_insights(site)), bucket="insights", csv=True),
        Family("query", _plain(_QUERY), bucket="query"),
        Family("ingestion", _plain([*_CAPTURE, public]), public=True),
    ]


def _insights(site: Site) -> list[Entry]:
    if not site.newer:
        return [*_INSIGHTS, ("POST", "insights/{id}/viewed/", insights.closed, None)]
    return [
        *_INSIGHTS,
        ("POST", "insights/viewed/", insights.closed, None),
        ("GET", "insights/trending/", insights.trending, INSIGHT_READ),
    ]


def _function_endpoints(site: Site) -> tuple[Endpoint, ...]:
    if site.newer:
        newer = [entry for entry in _NEWER if site.generation == "current" or not _late(entry[1])]
        return _plain([*_FUNCTIONS, *_ACTIONS, *newer])
    older = [Endpoint(*entry, custom=True) for entry in [*_ACTIONS, *_OLDER_ACTIONS[:-1]]]
    return (*_plain([*_FUNCTIONS, _OLDER_ACTIONS[-1]]), *older)


def _late(path: str) -> bool:
    """Whether an action of hog functions came after the middle of 2026."""
    return any(word in path for word in ("revisions", "publish", "discard_draft"))


def _group_endpoints(site: Site) -> tuple[Endpoint, ...]:
    scope = "usage_metric" if site.newer else "group"
    read, write = (f"{scope}:read",), (f"{scope}:write",)
    one = METRICS + "{id}/"
    metrics: list[Entry] = [
        ("GET", METRICS, usage_metrics.list_metrics, read),
        ("POST", METRICS, usage_metrics.create, write),
        ("GET", one, usage_metrics.retrieve, read),
        ("PUT", one, usage_metrics.update, write),
        ("PATCH", one, usage_metrics.update, write),
        ("DELETE", one, usage_metrics.destroy, write),
    ]
    found = [*_GROUPS, *metrics]
    if not site.newer:
        found.append(
            ("GET", "groups/property_definitions/", groups.property_definitions, GROUP_READ)
        )
    return _plain(found)


def _plain(entries: list[Entry]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(*entry) for entry in entries)
