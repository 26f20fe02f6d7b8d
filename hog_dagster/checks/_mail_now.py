"""Does e-mail wait for the sending tier, and are opens captured? Both are asked of PostHog.

Facts: mail over a cap of the tier waits with its run at `running`; it is tried again within an
hour, and each try is a line of the run's log. Events of e-mail (sent, delivered, opened, bounced)
are captured only where the project says so, and are not made up for later.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial

from hog_dagster.assets import SENDING_REPUTATION, WORKFLOW_BATCH_JOBS
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, Project
from hog_dagster.policies import Deliverability
from hog_dagster.posthog import errors
from hog_dagster.warehouse.errors import TableMissing

#: What the names of all events of e-mail begin with.
_EVENTS = "$workflows_email_"
#: Mail that waits writes a line within an hour; lines show some minutes late.
_TRIED_WITHIN = timedelta(hours=2)
_WAITING = """
SELECT whose, count() AS waiting FROM (
  SELECT log_source_id AS whose, instance_id, argMax(message, timestamp) AS newest
  FROM log_entries WHERE log_source = 'hog_flow' AND timestamp >= toDateTime({since}, 'UTC')
  GROUP BY log_source_id, instance_id
) WHERE newest LIKE '%reached its email sending limit of%'
GROUP BY whose ORDER BY waiting DESC, whose LIMIT 1000
"""
_CAPTURED = """
SELECT count() AS events FROM events
WHERE event = '$workflows_email_sent' AND timestamp >= toDateTime({since}, 'UTC') LIMIT 1
"""
_SWITCH = (
    "Switch them on in PostHog (the project's workflows_config."
    "capture_workflows_engagement_events); nothing is captured for e-mail of before."
)


def mail_now_plans(project: Project, rule: Deliverability) -> Iterator[Plan]:
    """The checks `mail_does_not_wait`, of one request by HogQL alone, and, where a table reads the
    events of e-mail, `email_events_are_captured`, of one request, two where the project does not
    say."""
    yield Plan(
        "mail_does_not_wait",
        SENDING_REPUTATION,
        partial(_waiting, rule),
        rule.severity,
        f"At most {rule.max_waiting} runs wait for the caps of the sending tier.",
        asks=True,
    )
    if rule.events if rule.events is not None else _reads_events(project):
        yield Plan(
            "email_events_are_captured",
            SENDING_REPUTATION,
            _captured,
            rule.severity,
            "PostHog captures the events of e-mail (sent, delivered, opened, bounced) that are "
            "read.",
            asks=True,
        )


def _reads_events(project: Project) -> bool:
    """Whether something that is loaded is made of e-mail events."""
    if project.tables is None or "message_events" in project.tables:
        return True
    return any(_EVENTS in query.hogql for query, _ in project.queries)


def _waiting(rule: Deliverability, check: CheckContext) -> CheckOutcome:
    if why := check.client.server.why_not("hogql_query"):
        return CheckOutcome(True, f"Which e-mail waits is shown by HogQL alone: {why}")
    found = check.client.query.rows(
        _WAITING,
        values={"since": _since(check, _TRIED_WITHIN)},
        name="hog_dagster mail_does_not_wait",
    )
    names = _names(check)
    rows = [
        {"of": names.get(row["whose"], row["whose"]), "waiting": int(row["waiting"])}
        for row in found
    ]
    waiting = sum(row["waiting"] for row in rows)
    text = "No e-mail waits for the caps of the sending tier."
    if waiting:
        text = (
            f"{waiting:,} runs wait for the caps of the sending tier; most of them: "
            f"{rows[0]['of']}. Their e-mail goes out as the caps allow, which may take days."
        )
    return CheckOutcome(waiting <= rule.max_waiting, text, {"posthog/waiting": waiting}, rows)


def _names(check: CheckContext) -> dict[str, str]:
    """Id -> name of workflows, and of batch jobs, whose runs write under the job's id."""
    names = check.names()
    with suppress(TableMissing):
        jobs = check.warehouse.read(
            WORKFLOW_BATCH_JOBS, columns=["id", "workflow_id"], scope=check.scope
        )
        for row in jobs.to_pylist():
            name = names.get(row["workflow_id"], row["workflow_id"])
            names[row["id"]] = f"{name}, batch job {row['id']}"
    return names


def _captured(check: CheckContext) -> CheckOutcome:
    client = check.client
    try:
        said = client.server.project().captures_email_events
    except errors.PermissionDenied:
        said = None
    if said is not None:
        text = "PostHog captures e-mail events."
        return CheckOutcome(said, text if said else f"E-mail events are switched off. {_SWITCH}")
    unknown = "Whether e-mail events are captured does not show"
    if why := client.server.why_not("hogql_query"):
        return CheckOutcome(True, f"{unknown}: {why}")
    ((row),) = client.query.rows(
        _CAPTURED,
        values={"since": _since(check, timedelta(days=30))},
        name="hog_dagster email_events_are_captured",
    )
    events, sent = int(row["events"]), _sent(check)
    numbers = {"posthog/events": events}
    if events:
        text = f"{events:,} e-mails of the last 30 days have events."
        return CheckOutcome(True, text, numbers)
    if not sent:
        return CheckOutcome(True, f"{unknown}: no e-mail of the last 30 days is known.", numbers)
    text = f"{sent:,} e-mails were sent in 30 days, and none has an event. {_SWITCH}"
    return CheckOutcome(False, text, numbers)


def _sent(check: CheckContext) -> int:
    """E-mails of 30 days, by the newest reading that was loaded."""
    found = check.warehouse.read(
        SENDING_REPUTATION, columns=["emails_sent"], scope=check.scope, order_by="-day", limit=1
    )
    return next((row["emails_sent"] or 0 for row in found.to_pylist()), 0)


def _since(check: CheckContext, length: timedelta) -> str:
    return f"{check.now() - length:%Y-%m-%d %H:%M:%S}"
