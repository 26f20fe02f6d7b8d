"""Answers of newer servers over all workflows: global metrics, e-mail reputation.

Facts: the hog_flow view's metrics/global, reputation and email_sending_suspension actions.
"""

from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._metrics import as_sql, read_bound

__all__ = ["global_metrics", "reputation", "suspension"]


def global_metrics(call: Call) -> Answer:
    """GET hog_flows/metrics/global/: worst first.

    Steps and runs are counted together, batch runs not.
    """
    world, now, zone = call.site.world, call.now, call.site.zone
    text = call.param("before")
    rows: list[dict[str, Any]] = []
    for source in world.metrics.sources():
        if source not in world.workflows:
            continue
        counts = {"succeeded": 0, "failed": 0}
        found = world.metrics.rows(
            source,
            now=now,
            after=as_sql(read_bound(call.param("after") or "-7d", zone, now), newer=True),
            before=as_sql(read_bound(text, zone, now), newer=True) if text else None,
            names=counts,
        )
        seen = False
        for _, name, _, count in found:
            counts[name] += count
            seen = True
        if seen:
            rows.append({"workflow_id": source, **counts})
    rows.sort(key=lambda row: row["failed"], reverse=True)
    return Answer(rows)


def reputation(call: Call) -> Answer:
    """GET hog_flows/reputation/: bounce and complaint rates of 30 days of e-mail."""
    world, now = call.site.world, call.now
    jobs = {job.id: job.workflow_id for job in world.batch_jobs.values()}
    counts: dict[str, dict[str, int]] = {}
    names = {"email_sent": "sent", "email_bounced_hard": "bounced", "email_blocked": "complained"}
    for source in world.metrics.sources():
        workflow = jobs.get(source, source)
        for _, name, _, count in world.metrics.rows(
            source, now=now, after=now - timedelta(days=30), names=names
        ):
            row = counts.setdefault(workflow, {"sent": 0, "bounced": 0, "complained": 0})
            row[names[name]] += count
    search = (call.param("search") or "").lower()
    rows = [
        {"hog_flow_id": key, "hog_flow_name": world.workflows[key].name or "", **_rates(row)}
        for key, row in counts.items()
        if key in world.workflows
        and row["sent"] > 0
        and search in (world.workflows[key].name or "").lower()
    ]
    rows.sort(key=lambda row: (-row["complaint_rate"], -row["bounce_rate"], -row["emails_sent"]))
    all_of_them = {
        name: sum(row[name] for row in counts.values())
        for name in ("sent", "bounced", "complained")
    }
    return Answer(
        {
            "aws": None,
            "reputation": _rates(all_of_them) if all_of_them["sent"] else None,
            "workflows": rows[:50],
            "email_sending_suspended": False,
            "email_sending_suspended_at": None,
            "email_sending_suspension_reason": "",
            "sending_allowance": None,
        }
    )


def suspension(call: Call) -> Answer:
    """GET hog_flows/email_sending_suspension/."""
    return Answer(
        {
            "email_sending_suspended": False,
            "email_sending_suspended_at": None,
            "email_sending_suspension_reason": "",
        }
    )


def _rates(row: dict[str, int]) -> dict[str, Any]:
    sent = row["sent"]
    return {
        "bounce_rate": min(row["bounced"] / sent, 1.0) if sent else 0.0,
        "complaint_rate": min(row["complained"] / sent, 1.0) if sent else 0.0,
        "emails_sent": sent,
    }
