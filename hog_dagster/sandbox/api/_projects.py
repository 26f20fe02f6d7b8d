"""Who and where: the project, its organisation's user, and the key itself.

Facts: recorded `projects/{id}/`; the personal_api_keys view, which answers about the key in use to
any key.
"""

from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._groups import list_types
from hog_dagster.sandbox.api._ingestion import PROJECT_TOKEN

ORGANISATION = "01a1fbfc-5ff0-0000-2f3b-5a1c0f4e7d21"
BORN = "2025-03-03T09:00:00Z"


def project_row(call: Call) -> dict[str, Any]:
    """The project, as far as integrations read it."""
    captured = call.site.world.mail.capture_events
    shown = call.site.generation == "current" and captured is not None
    mail = {"workflows_config": {"capture_workflows_engagement_events": captured}} if shown else {}
    return {
        "id": call.project_id,
        "organization": ORGANISATION,
        "name": "Sandbox",
        "product_description": None,
        "created_at": BORN,
        "effective_membership_level": 15,
        "has_group_types": bool(call.site.world.group_types),
        "group_types": list_types(call).body,
        "live_events_token": None,
        "updated_at": BORN,
        "uuid": "01a1fbfc-601f-0000-8d7e-1f0f2c9a5b44",
        "api_token": PROJECT_TOKEN,
        "app_urls": [],
        "slack_incoming_webhook": None,
        "anonymize_ips": False,
        "completed_snippet_onboarding": True,
        "ingested_event": True,
        "test_account_filters": [],
        "timezone": call.site.timezone,
        "is_demo": False,
        "access_control": False,
        "week_start_day": None,
        **mail,
    }


def retrieve_project(call: Call) -> Answer:
    """GET /api/projects/{id}/."""
    return Answer(project_row(call))


def list_projects(call: Call) -> Answer:
    """GET /api/projects/."""
    fields = ("id", "uuid", "organization", "api_token", "name", "timezone", "is_demo")
    row = project_row(call)
    body = {"count": 1, "next": None, "previous": None}
    return Answer({**body, "results": [{name: row[name] for name in fields}]})


def retrieve_user(call: Call) -> Answer:
    """GET /api/users/@me/."""
    user = call.site.world.user
    team = {"id": call.project_id, "name": "Sandbox", "timezone": call.site.timezone}
    organisation = {"id": ORGANISATION, "name": "Sandbox"}
    names = "uuid distinct_id first_name last_name email is_email_verified"
    about = {"team": team, "organization": organisation, "organizations": [organisation]}
    return Answer({"date_joined": BORN, **fields(user, names), **about})


def retrieve_organization(call: Call) -> Answer:
    """GET /api/organizations/{id}/: the one there is, also as ``@current``."""
    if call.args["id"] not in (ORGANISATION, "@current"):
        raise errors.not_found()
    row = project_row(call)
    team = {name: row[name] for name in ("id", "uuid", "organization", "name", "timezone")}
    return Answer(
        {
            "id": ORGANISATION,
            "name": "Sandbox",
            "slug": "sandbox",
            "logo_media_id": None,
            "created_at": BORN,
            "updated_at": BORN,
            "membership_level": 15,
            "teams": [team],
            "projects": [{"id": row["id"], "name": row["name"], "created_at": BORN}],
            "available_product_features": [],
            "is_member_join_email_enabled": True,
            "metadata": {},
            "member_count": 1,
        }
    )


def retrieve_key(call: Call) -> Answer:
    """GET /api/personal_api_keys/{id}/: only ``@current`` can be asked with a key."""
    if call.args["id"] != "@current":
        raise errors.denied("You do not have permission to perform this action.")
    key = call.key
    names = {"id": key.name, "label": key.name, "value": None}
    times = {"created_at": BORN, "last_used_at": call.now, "last_rolled_at": None}
    may = {
        "user_id": call.site.world.user.id,
        "scopes": list(key.scopes) if key.scopes is not None else None,
        "scoped_teams": list(key.teams),
        "scoped_organizations": [],
    }
    return Answer({**names, "mask_value": f"phx_...{key.value[-4:]}", **times, **may})
