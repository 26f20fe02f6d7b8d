"""Which endpoints about messages each server generation has, and which scopes they ask."""

from hog_dagster.sandbox.api import _messaging_activity as messaging_activity
from hog_dagster.sandbox.api import _messaging_exports as messaging_exports
from hog_dagster.sandbox.api import _messaging_lists as messaging_lists
from hog_dagster.sandbox.api import _messaging_recipients as recipients
from hog_dagster.sandbox.api import _sent_messages as assets
from hog_dagster.sandbox.api._calls import Endpoint, Family, Handler, Site

__all__ = ["messaging_family"]

Entry = tuple[str, str, Handler, tuple[str, ...] | None]

READ, WRITE = ("hog_flow:read",), ("hog_flow:write",)
READ_PEOPLE = ("hog_flow:read", "person:read")
EXPORTS = ("batch_export:read",)
SUPPRESSIONS = "messaging_suppressions/suppressions/"
PREFERENCES, EXPORT = "messaging_preferences/", "batch_exports/{id}/"

#: Lists and messages, which servers of 2025 and of the middle of 2026 lack.
_NEWEST: list[Entry] = [
    ("GET", "persons/{id}/emails/", assets.person_emails, ("person:read",)),
    # The handler asks for person:read as well where the build does.
    ("GET", SUPPRESSIONS, messaging_lists.list_suppressions, READ),
    ("POST", SUPPRESSIONS + "add_suppression/", messaging_lists.add_suppression, WRITE),
    ("POST", SUPPRESSIONS + "remove_suppression/", messaging_lists.remove_suppression, WRITE),
    ("GET", PREFERENCES + "opt_outs/", messaging_lists.list_opt_outs, READ),
    ("POST", PREFERENCES + "add_opt_out/", messaging_lists.add_opt_out, WRITE),
    ("POST", PREFERENCES + "remove_opt_out/", messaging_lists.remove_opt_out, WRITE),
    ("POST", PREFERENCES + "bulk_add_opt_outs/", messaging_lists.bulk_add_opt_outs, WRITE),
    ("GET", PREFERENCES + "export_opt_outs_csv/", messaging_lists.export_opt_outs, READ),
    ("GET", "messaging_recipients/", recipients.list_recipients, READ_PEOPLE),
    ("GET", "messaging_recipients/coverage/", recipients.coverage, READ_PEOPLE),
    ("GET", "messaging_categories/", messaging_lists.list_categories, READ),
]
_EXPORTS: list[Entry] = [
    ("GET", "batch_exports/", messaging_exports.list_exports, EXPORTS),
    ("GET", EXPORT, messaging_exports.retrieve_export, EXPORTS),
    ("GET", EXPORT + "runs/", messaging_exports.list_runs, EXPORTS),
    ("GET", EXPORT + "backfills/", messaging_exports.list_backfills, EXPORTS),
]


def messaging_family(site: Site) -> Family:
    """Lists, messages of a person, batch exports and the activity log of the generation."""
    newest = site.generation == "current"
    # Older builds have the activity log for their own interface alone.
    scopes = ("activity_log:read",) if newest else None
    activity: Entry = ("GET", "activity_log/", messaging_activity.activity_log, scopes)
    found = [*(_NEWEST if newest else []), *_EXPORTS, activity]
    return Family("messaging", tuple(Endpoint(*entry) for entry in found))
