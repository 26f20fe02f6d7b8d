"""The endpoints of messages: what was sent, who must get none, whether mail goes out.

Facts: PostHog's hog_flow, persons, message_suppressions, message_preferences and message_categories
viewsets of summer and autumn 2026.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

PROJECT = "/api/projects/{project_id}/"
FLOWS, FLOW = PROJECT + "hog_flows/", PROJECT + "hog_flows/{id}/"
SUPPRESSED = PROJECT + "messaging_suppressions/suppressions/"
PREFERENCES = PROJECT + "messaging_preferences/"
READ, WRITE = ("hog_flow:read",), ("hog_flow:write",)
READ_PEOPLE = ("hog_flow:read", "person:read")
_NO_LIST = "Suppressed addresses and opt-outs are kept by newer PostHog servers only."
_OPENED = "current (August 2026 on)"
_CLOSED = "Opt-outs can be read by HogQL with the scope query:read: client.messaging.preferences()."

SENT_MESSAGES = Endpoint(
    "messaging.sent_messages",
    "GET",
    FLOW + "assets/",
    READ_PEOPLE,
    servers="current (2026-06-25 on)",
    instead="Sent messages are not listed on this server; the runs' log lines name them.",
    notes="bare array, at most 500, 30 days kept; one row per run and step, a resend overwrites it",
)
CONTENT = Endpoint(
    "messaging.content",
    "GET",
    FLOW + "assets/content/",
    READ_PEOPLE,
    servers="current (2026-06-25 on)",
    instead="The bodies of sent messages are not kept by this server.",
    notes="HTML as it was sent",
)
PERSON_MESSAGES = Endpoint(
    "messaging.messages_of_person",
    "GET",
    PROJECT + "persons/{person_id}/emails/",
    ("person:read",),
    servers="current (2026-06-30 on)",
    instead="E-mails of a person are not listed on this server; read sent_messages(id).",
    notes="bare array over all workflows, at most 500, without an order among equal times",
)
SUPPRESSIONS = Endpoint(
    "messaging.suppressions",
    "GET",
    SUPPRESSED,
    READ_PEOPLE,
    servers="current (July 2026 on)",
    instead=_NO_LIST,
    notes="active ones; pages by number, newest change first; older builds ask for hog_flow:read "
    "only",
)
ADD_SUPPRESSION = Endpoint(
    "messaging.add_suppression",
    "POST",
    SUPPRESSED + "add_suppression/",
    WRITE,
    "absolute",
    "current (July 2026 on)",
    instead=_NO_LIST,
    notes="the address is trimmed and put in lower case; senders see it up to 5 minutes later",
)
REMOVE_SUPPRESSION = Endpoint(
    "messaging.remove_suppression",
    "POST",
    SUPPRESSED + "remove_suppression/",
    WRITE,
    "absolute",
    "current (July 2026 on)",
    instead=_NO_LIST,
    notes="204; the address comes back with its next bounce",
)
OPT_OUTS = Endpoint(
    "messaging.opt_outs",
    "GET",
    PREFERENCES + "opt_outs/",
    READ,
    servers=_OPENED,
    instead=_NO_LIST,
    closed=_CLOSED,
    notes="without a category those out of all, with one those with an entry for it; pages by "
    "number",
)
ADD_OPT_OUT = Endpoint(
    "messaging.add_opt_out",
    "POST",
    PREFERENCES + "add_opt_out/",
    WRITE,
    "absolute",
    _OPENED,
    instead=_NO_LIST,
    notes="the identifier is kept as given: its case matters",
)
REMOVE_OPT_OUT = Endpoint(
    "messaging.remove_opt_out",
    "POST",
    PREFERENCES + "remove_opt_out/",
    WRITE,
    "act",
    _OPENED,
    instead=_NO_LIST,
    notes="undoes an opt-out that came meanwhile; for one marketing category of somebody out "
    "of all, it writes an opt-out for each of the others",
)
BULK_ADD_OPT_OUTS = Endpoint(
    "messaging.bulk_add_opt_outs",
    "POST",
    PREFERENCES + "bulk_add_opt_outs/",
    WRITE,
    "absolute",
    _OPENED,
    instead=_NO_LIST,
    notes="1 to 1,000, in one transaction",
)
EXPORT_OPT_OUTS = Endpoint(
    "messaging.export_opt_outs",
    "GET",
    PREFERENCES + "export_opt_outs_csv/",
    READ,
    servers="current (2026-08-04 on)",
    instead=_NO_LIST,
    closed=_CLOSED,
    notes="text/csv, all in one response; cells that begin with = + - @ have a quote before them",
)
RECIPIENTS = Endpoint(
    "messaging.recipients",
    "GET",
    PROJECT + "messaging_recipients/",
    READ_PEOPLE,
    servers="current (September 2026 on)",
    instead="Read suppressions() and preferences().",
    notes="by address, cursor, 200 a page; one row per address in lower case",
)
RECIPIENTS_COVERAGE = Endpoint(
    "messaging.persons_without_email",
    "GET",
    PROJECT + "messaging_recipients/coverage/",
    READ_PEOPLE,
    servers="current (September 2026 on)",
    instead="Count persons without the property email by HogQL.",
)
RESUME = Endpoint(
    "messaging.resume_email_sending",
    "POST",
    FLOW + "resume_email_sending/",
    WRITE,
    "act",
    "current (September 2026 on)",
    instead="This server pauses no workflow's e-mail.",
    notes="400 when it is not paused, so a repeat is refused; 403 for a pause by PostHog's staff",
)
CATEGORIES = Endpoint(
    "messaging.categories",
    "GET",
    PROJECT + "messaging_categories/",
    READ,
    servers="current; refused to scoped keys where it was seen",
    instead="Categories of messages are kept by newer PostHog servers only.",
    closed="Categories can be read by HogQL with the scope query:read.",
    notes="read by HogQL (system.message_categories) where that works",
)
REPUTATION = Endpoint(
    "messaging.reputation",
    "GET",
    FLOWS + "reputation/",
    READ,
    servers="current (2026-07-03 on)",
    instead="How e-mail is received does not show on this server; metrics count bounces.",
    notes="30 days, the 50 worst workflows; cached for a minute",
)
SUSPENSION = Endpoint(
    "messaging.suspension",
    "GET",
    FLOWS + "email_sending_suspension/",
    READ,
    servers="current (2026-07-22 on)",
    instead="Whether e-mail is suspended does not show on this server.",
)

register(*(value for value in list(globals().values()) if isinstance(value, Endpoint)))
