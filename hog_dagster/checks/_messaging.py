"""Does e-mail go out, is it well received, is it below the caps of the sending tier?

Facts: PostHog suspends a project and pauses a workflow without failing a run; it judges bounces
over 2 % from 200 e-mails on and complaints over 0.1 % from 1,000 on. Mail over a cap of the sending
tier waits for hours or days. What is here is read from what was loaded; what asks PostHog,
and what is about batch jobs, has modules of its own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from hog_dagster.assets import SENDING_REPUTATION
from hog_dagster.checks._batches import batch_plans
from hog_dagster.checks._context import (
    NOTHING_LOADED,
    CheckContext,
    CheckOutcome,
    Plan,
    Project,
)
from hog_dagster.checks._mail_now import mail_now_plans
from hog_dagster.policies import Deliverability


def deliverability_plans(project: Project, rule: Deliverability) -> Iterator[Plan]:
    """The checks of e-mail on `sending_reputation` and `batch_results`.

    They look at what was loaded and ask PostHog for the time alone, except `mail_does_not_wait`
    (one request, by HogQL) and `email_events_are_captured` (one or two), which is not there where
    no table reads such events. What a server or key does not show fails no check: it says what is
    missing.
    """
    yield Plan(
        "mail_goes_out",
        SENDING_REPUTATION,
        _goes_out,
        rule.severity,
        "PostHog and the mail provider have not suspended the project's e-mail, and no "
        "workflow's is paused.",
    )
    yield Plan(
        "mail_is_well_received",
        SENDING_REPUTATION,
        partial(_well_received, rule),
        rule.severity,
        f"In 30 days at most {rule.max_bounce_rate:.2%} of the e-mails bounced for good, and "
        f"there were complaints about at most {rule.max_complaint_rate:.2%}.",
    )
    yield Plan(
        "mail_is_below_its_caps",
        SENDING_REPUTATION,
        partial(_below_caps, rule),
        rule.severity,
        f"At most {rule.max_cap_share:.0%} of what the sending tier allows in an hour and in a "
        "day was sent: mail over it waits.",
    )
    yield from mail_now_plans(project, rule)
    yield from batch_plans(rule)


def _newest(check: CheckContext) -> Mapping[str, Any] | None:
    found = check.warehouse.read(SENDING_REPUTATION, scope=check.scope, order_by="-day", limit=1)
    return next(iter(found.to_pylist()), None)


def _goes_out(check: CheckContext) -> CheckOutcome:
    row = _newest(check)
    if row is None:
        return NOTHING_LOADED
    said = []
    if row["suspended"]:
        said.append(
            f"PostHog has suspended the project's e-mail ({row['suspension_reason'] or 'no reason'}"
            "): every e-mail is lost, and runs succeed. PostHog's support resumes it."
        )
    if row["provider_status"] == "DISABLED":
        said.append(
            "The mail provider has paused the project's e-mail: every e-mail is lost. The tab "
            "Reputation in PostHog says what to mend."
        )
    paused = [
        {
            "workflow": of.get("hog_flow_name") or of.get("hog_flow_id"),
            "reason": of.get("email_sending_paused_reason") or "",
        }
        for of in _workflows(row)
        if of.get("email_sending_paused")
    ]
    if paused:
        said.append(
            f"The e-mail of {len(paused)} workflows is paused: mend its cause, then resume it in "
            "PostHog."
        )
    numbers = {"posthog/paused_workflows": len(paused)}
    well = "E-mail is neither suspended nor paused."
    if row["suspended"] is None:
        well = "No e-mail is paused; PostHog does not show whether the project's is suspended."
    text = " ".join(said) or well
    return CheckOutcome(not said, _as_of(row, text), numbers, paused)


def _well_received(rule: Deliverability, check: CheckContext) -> CheckOutcome:
    row = _newest(check)
    if row is None:
        return NOTHING_LOADED
    over = _over(rule, row)
    rows = [
        {
            "workflow": of.get("hog_flow_name") or of.get("hog_flow_id"),
            "emails": of.get("emails_sent") or 0,
            "bounce_rate": of.get("bounce_rate") or 0.0,
            "complaint_rate": of.get("complaint_rate") or 0.0,
        }
        for of in _workflows(row)
        if _over(rule, of)
    ]
    emails, bounces = row["emails_sent"] or 0, row["bounce_rate"] or 0.0
    complaints = row["complaint_rate"] or 0.0
    text = (
        f"Of {emails:,} e-mails in 30 days {bounces:.2%} bounced for good and {complaints:.3%} "
        f"were complained about; {len(rows)} workflows are above the thresholds."
    )
    if over:
        text += f" The project is above the threshold of {' and '.join(over)}."
    numbers = {
        "posthog/emails": emails,
        "posthog/bounce_rate": bounces,
        "posthog/complaint_rate": complaints,
    }
    return CheckOutcome(not over and not rows, _as_of(row, text), numbers, rows)


def _over(rule: Deliverability, rates: Mapping[str, Any]) -> list[str]:
    """Which thresholds some rates are above."""
    emails = rates.get("emails_sent") or 0
    over = []
    if emails >= rule.min_emails_bounces and (rates.get("bounce_rate") or 0) > rule.max_bounce_rate:
        over.append("bounces")
    complained = (rates.get("complaint_rate") or 0) > rule.max_complaint_rate
    if emails >= rule.min_emails_complaints and complained:
        over.append("complaints")
    return over


def _below_caps(rule: Deliverability, check: CheckContext) -> CheckOutcome:
    row = _newest(check)
    if row is None:
        return NOTHING_LOADED
    if not row["tier_enforced"]:
        return CheckOutcome(True, _as_of(row, "No sending tier limits the project's e-mail."))
    said: list[str] = []
    numbers: dict[str, float | int] = {"posthog/tier": row["tier"] or 0}
    for period, cap, sent in (
        ("hour", row["emails_per_hour"], row["emails_sent_last_hour"]),
        ("day", row["emails_per_day"], row["emails_sent_last_day"]),
    ):
        share = (sent or 0) / cap if cap else 0.0
        numbers[f"posthog/share_of_{period}"] = round(share, 4)
        if share > rule.max_cap_share:
            said.append(f"{sent:,} of {cap:,} e-mails of the last {period} were sent")
    text = f"Sending tier {row['tier']}: "
    text += (
        f"{', and '.join(said)}. Mail over the cap waits, its runs stay at running."
        if said
        else "e-mail is below its caps."
    )
    return CheckOutcome(not said, _as_of(row, text), numbers)


def _workflows(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The worst workflows of a reading."""
    held = row["workflows"]
    found = json.loads(held) if isinstance(held, str) else held
    return [one for one in found or () if isinstance(one, dict)]


def _as_of(row: Mapping[str, Any], text: str) -> str:
    return f"{text} Read at {row['read_at']:%Y-%m-%d %H:%M} UTC."
