"""Do batches reach their audience? Cut audiences, and batches that reached fewer than they should.

Facts: PostHog cuts an audience over its limit off in silence, and calls a batch job completed when
its runs are enqueued: mail that is suspended, suppressed or opted out of fails none of them.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from hog_dagster.assets import BATCH_RESULTS
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan
from hog_dagster.policies import Deliverability


def batch_plans(rule: Deliverability) -> Iterator[Plan]:
    """The plans of `audiences_are_whole` and `batches_reach_their_audience`."""
    yield Plan(
        "audiences_are_whole",
        BATCH_RESULTS,
        partial(_whole, rule),
        rule.severity,
        f"PostHog cut off the audience of no batch job of the last {rule.batch_days} days.",
    )
    yield Plan(
        "batches_reach_their_audience",
        BATCH_RESULTS,
        partial(_reached, rule),
        rule.severity,
        f"Batch jobs of the last {rule.batch_days} days reached at least "
        f"{rule.min_reached_share:.0%} of those who were not cut off, are on no list and do not "
        f"wait; those of the last {rule.settle_hours:g} hours are left alone.",
    )


def _jobs(rule: Deliverability, check: CheckContext) -> list[Mapping[str, Any]]:
    """Batch jobs that are looked at, newest first."""
    rows = check.warehouse.read(BATCH_RESULTS, scope=check.scope, order_by="-created_at")
    since = check.now() - timedelta(days=rule.batch_days)
    return [row for row in rows.to_pylist() if row["created_at"] and row["created_at"] >= since]


def _whole(rule: Deliverability, check: CheckContext) -> CheckOutcome:
    jobs = _jobs(rule, check)
    rows = [
        {**_named(job), "counted": job["counted"], "audience_limit": job["audience_limit"]}
        for job in jobs
        if job["cut"]
    ]
    text = f"No audience of {len(jobs)} batch jobs was cut off."
    if rows:
        text = (
            f"PostHog cut off the audience of {len(rows)} of {len(jobs)} batch jobs: the rest got "
            f"nothing, and it is not sent later. The newest: {_label(rows[0])}."
        )
    return CheckOutcome(not rows, text, {"posthog/cut_batches": len(rows)}, rows)


def _reached(rule: Deliverability, check: CheckContext) -> CheckOutcome:
    until = check.now() - timedelta(hours=rule.settle_hours)
    jobs = [job for job in _jobs(rule, check) if job["created_at"] <= until]
    known = [job for job in jobs if job["counted"] is not None and job["reached"] is not None]
    rows = [row for job in known if (row := _fell_short(rule, job))]
    text = f"{len(known) - len(rows)} of {len(known)} batch jobs reached their audience."
    if unknown := len(jobs) - len(known):
        text += f" Of {unknown} more it is not known how many they should reach, or reached."
    if rows:
        first = rows[0]
        text += (
            f" The newest that did not: {_label(first)}, reached {first['reached']:,} of "
            f"{first['reachable']:,}. Was e-mail suspended, or the workflow paused?"
        )
    missed = sum(row["reachable"] - row["reached"] for row in rows)
    numbers = {"posthog/short_batches": len(rows), "posthog/not_reached": missed}
    return CheckOutcome(not rows, text, numbers, rows)


def _fell_short(rule: Deliverability, job: Mapping[str, Any]) -> dict[str, Any] | None:
    """A batch job that reached fewer than it should; None for one that did not."""
    counted, limit = job["counted"], job["audience_limit"]
    audience = min(counted, limit) if job["cut"] and limit is not None else counted
    held = {name: job[name] or 0 for name in ("suppressed", "opted_out", "waiting")}
    reachable = max(audience - sum(held.values()), 0)
    if job["reached"] >= rule.min_reached_share * reachable:
        return None
    return {
        **_named(job),
        "reached": job["reached"],
        "reachable": reachable,
        "counted": counted,
        **held,
        "evidence": job["evidence"],
    }


def _named(job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "workflow": job["workflow_name"] or job["workflow_id"],
        "batch_job": job["batch_job_id"],
        "sent_at": f"{job['created_at']:%Y-%m-%d %H:%M}",
    }


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['workflow']} at {row['sent_at']} UTC (batch job {row['batch_job']})"
