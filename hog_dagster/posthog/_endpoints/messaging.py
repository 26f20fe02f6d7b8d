"""The endpoints of messages: what was sent, who must get none, whether mail goes out.

Facts: PostHog's hog_flow, persons, message_suppressions, message_preferences and message_categories
viewsets of summer and autumn 2026.
"""

from __future__ import annotations

from dataclasses import replace

from hog_dagster.posthog._endpoints import EndpointGroup

_PROJECT = "/api/projects/{project_id}/"
_PEOPLE = ("hog_flow:read", "person:read")
_JULY, _SEPTEMBER = "current (July 2026 on)", "current (September 2026 on)"

_flows = EndpointGroup(
    "messaging", _PROJECT + "hog_flows/", ("hog_flow:read",), ("hog_flow:write",)
)
_project = replace(_flows, base=_PROJECT, read=_PEOPLE)
_sent = replace(_flows, read=_PEOPLE, servers="current (2026-06-25 on)")
_suppressed = replace(
    _project,
    base=_PROJECT + "messaging_suppressions/suppressions/",
    servers=_JULY,
    instead="Suppressed addresses and opt-outs are kept by newer PostHog servers only.",
)
_preferences = replace(
    _suppressed,
    base=_PROJECT + "messaging_preferences/",
    read=("hog_flow:read",),
    servers="current (August 2026 on)",
)
_CLOSED = "Opt-outs can be read by HogQL with the scope query:read: client.messaging.preferences()."

SENT_MESSAGES = _sent.reads(
    "sent_messages",
    "{id}/assets/",
    instead="Sent messages are not listed on this server; the runs' log lines name them.",
    notes="bare array, at most 500, 30 days kept; one row per run and step, a resend overwrites it",
)
CONTENT = _sent.reads(
    "content",
    "{id}/assets/content/",
    instead="The bodies of sent messages are not kept by this server.",
    notes="HTML as it was sent",
)
PERSON_MESSAGES = _project.reads(
    "messages_of_person",
    "persons/{person_id}/emails/",
    scopes=("person:read",),
    servers="current (2026-06-30 on)",
    instead="E-mails of a person are not listed on this server; read sent_messages(id).",
    notes="bare array over all workflows, at most 500, without an order among equal times",
)
SUPPRESSIONS = _suppressed.reads(
    "suppressions",
    notes="active ones; pages by number, newest change first; older builds ask for hog_flow:read "
    "only",
)
ADD_SUPPRESSION = _suppressed.sets(
    "add_suppression",
    "add_suppression/",
    "POST",
    notes="the address is trimmed and put in lower case; senders see it up to 5 minutes later",
)
REMOVE_SUPPRESSION = _suppressed.sets(
    "remove_suppression",
    "remove_suppression/",
    "POST",
    notes="204; the address comes back with its next bounce",
)
OPT_OUTS = _preferences.reads(
    "opt_outs",
    "opt_outs/",
    closed=_CLOSED,
    notes="without a category those out of all, with one those with an entry for it; pages by "
    "number",
)
ADD_OPT_OUT = _preferences.sets(
    "add_opt_out",
    "add_opt_out/",
    "POST",
    notes="the identifier is kept as given: its case matters",
)
REMOVE_OPT_OUT = _preferences.sends(
    "remove_opt_out",
    "remove_opt_out/",
    notes="undoes an opt-out that came meanwhile; for one marketing category of somebody out "
    "of all, it writes an opt-out for each of the others",
)
BULK_ADD_OPT_OUTS = _preferences.sets(
    "bulk_add_opt_outs", "bulk_add_opt_outs/", "POST", notes="1 to 1,000, in one transaction"
)
EXPORT_OPT_OUTS = _preferences.reads(
    "export_opt_outs",
    "export_opt_outs_csv/",
    servers="current (2026-08-04 on)",
    closed=_CLOSED,
    notes="text/csv, all in one response; cells that begin with = + - @ have a quote before them",
)
RECIPIENTS = _project.reads(
    "recipients",
    "messaging_recipients/",
    servers=_SEPTEMBER,
    instead="Read suppressions() and preferences().",
    notes="by address, cursor, 200 a page; one row per address in lower case",
)
RECIPIENTS_COVERAGE = _project.reads(
    "persons_without_email",
    "messaging_recipients/coverage/",
    servers=_SEPTEMBER,
    instead="Count persons without the property email by HogQL.",
)
RESUME = _flows.sends(
    "resume_email_sending",
    "{id}/resume_email_sending/",
    servers=_SEPTEMBER,
    instead="This server pauses no workflow's e-mail.",
    notes="400 when it is not paused, so a repeat is refused; 403 for a pause by PostHog's staff",
)
CATEGORIES = _project.reads(
    "categories",
    "messaging_categories/",
    scopes=("hog_flow:read",),
    servers="current; refused to scoped keys where it was seen",
    instead="Categories of messages are kept by newer PostHog servers only.",
    closed="Categories can be read by HogQL with the scope query:read.",
    notes="read by HogQL (system.message_categories) where that works",
)
REPUTATION = _flows.reads(
    "reputation",
    "reputation/",
    servers="current (2026-07-03 on)",
    instead="How e-mail is received does not show on this server; metrics count bounces.",
    notes="30 days, the 50 worst workflows; cached for a minute",
)
SUSPENSION = _flows.reads(
    "suspension",
    "email_sending_suspension/",
    servers="current (2026-07-22 on)",
    instead="Whether e-mail is suspended does not show on this server.",
)
