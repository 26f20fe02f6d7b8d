"""Whether mail goes out at all: rates of 30 days, the allowance, suspension, paused workflows.

Facts: the hog_flow view's reputation, email_sending_suspension and resume_email_sending actions.
Bounce rates count hard bounces; batch sends count for their workflow, deleted workflows in the
total alone; 50 workflows at most.
"""

from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._workflows import find
from hog_dagster.sandbox.world import TIERS

MOST_WORKFLOWS = 50
_NAMES = {"email_sent": "sent", "email_bounced_hard": "bounced", "email_blocked": "complained"}


def reputation(call: Call) -> Answer:
    """GET hog_flows/reputation/: worst workflows first."""
    world, mail = call.site.world, call.site.world.mail
    counts = _counts(call)
    search = (call.param("search") or "").lower()
    rows: list[dict[str, Any]] = []
    for key, row in counts.items():
        workflow = world.workflows.get(key)
        if workflow is None or row["sent"] <= 0 or search not in (workflow.name or "").lower():
            continue
        shown = {"hog_flow_id": key, "hog_flow_name": workflow.name or "", **_rates(row)}
        if mail.pauses_shown:
            pause = mail.paused.get(key)
            shown |= {
                "email_sending_paused": pause is not None,
                "email_sending_paused_at": pause.at if pause else None,
                "email_sending_paused_reason": pause.reason if pause else "",
            }
        rows.append(shown)
    rows.sort(key=lambda row: (-row["complaint_rate"], -row["bounce_rate"], -row["emails_sent"]))
    total = {name: sum(row[name] for row in counts.values()) for name in _NAMES.values()}
    aws = None
    if mail.provider_paused:
        aws = {"health": "suspended", "sending_status": "DISABLED", "findings": []}
    body = {
        "aws": aws,
        "reputation": _rates(total) if total["sent"] else None,
        "workflows": rows[:MOST_WORKFLOWS],
        **_suspension(call),
    }
    if mail.allowance_shown:
        body["sending_allowance"] = _allowance(call)
    return Answer(body)


def suspension(call: Call) -> Answer:
    """GET hog_flows/email_sending_suspension/."""
    return Answer(_suspension(call))


def resume_email_sending(call: Call) -> Answer:
    """POST hog_flows/{id}/resume_email_sending/: a repeat is refused."""
    workflow, world = find(call), call.site.world
    pause = world.mail.paused.get(workflow.id)
    if pause is None:
        raise errors.bad_input("Email sending is not paused for this workflow.")
    if pause.by_staff:
        raise errors.denied(
            "This pause can only be lifted by PostHog. Contact support to get sending re-enabled."
        )
    del world.mail.paused[workflow.id]
    world.add_activity(
        "HogFlow", workflow.id, "email_sending_resumed", workflow.name or "", user=world.user
    )
    return Answer(
        {
            "email_sending_paused": False,
            "email_sending_paused_at": None,
            "email_sending_paused_reason": "",
            "email_sending_resumed_at": call.now,
        }
    )


def _suspension(call: Call) -> dict[str, Any]:
    history = call.site.world.mail.suspended
    at, reason = history[-1] if history else (None, None)
    held = reason is not None
    return {
        "email_sending_suspended": held,
        "email_sending_suspended_at": at if held else None,
        "email_sending_suspension_reason": reason or "",
    }


def _allowance(call: Call) -> dict[str, Any]:
    mail, now = call.site.world.mail, call.now

    def sent(hours: int) -> int:
        return sum(number for at, number in mail.handed if at > now - timedelta(hours=hours))

    return {
        "tier": mail.tier,
        "max_tier": len(TIERS) - 1,
        "emails_per_hour": mail.caps.hour,
        "emails_per_day": mail.caps.day,
        "max_batch_audience": mail.caps.audience,
        "emails_sent_last_hour": sent(1),
        "emails_sent_last_day": sent(24),
        "enforced": mail.enforced,
    }


def _counts(call: Call) -> dict[str, dict[str, int]]:
    world, now = call.site.world, call.now
    jobs = {job.id: job.workflow_id for job in world.batch_jobs.values()}
    counts: dict[str, dict[str, int]] = {}
    for source in world.metrics.sources():
        found = world.metrics.rows(source, now=now, after=now - timedelta(days=30), names=_NAMES)
        for _, name, _, count in found:
            row = counts.setdefault(jobs.get(source, source), dict.fromkeys(_NAMES.values(), 0))
            row[_NAMES[name]] += count
    return counts


def _rates(row: dict[str, int]) -> dict[str, Any]:
    sent = row["sent"]
    return {
        "bounce_rate": min(row["bounced"] / sent, 1.0) if sent else 0.0,
        "complaint_rate": min(row["complained"] / sent, 1.0) if sent else 0.0,
        "emails_sent": sent,
    }
