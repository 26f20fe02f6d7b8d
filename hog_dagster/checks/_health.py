"""Do workflows do well? Failure rate, delivery rate, and volume against the same weekday.

Facts: `workflow_metrics` holds counts by level; runs are the rows of level run, e-mails are counted
by step. A person's weekday habits make yesterday a bad measure for today, so a day is compared with
the same weekday of the weeks before. Nothing is asked of PostHog.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from statistics import median

import dagster as dg

from hog_dagster.assets import (
    HOG_FUNCTION_METRICS,
    WORKFLOW_METRICS,
    HogFunctionLogSource,
    LogSource,
    WorkflowLogSource,
)
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, Project
from hog_dagster.policies import DeliveryRate, FailureRate, VolumeAnomaly
from hog_dagster.warehouse import Measure, Table, Window

_UNDELIVERED = ("email_failed", "email_bounced", "email_bounced_hard", "email_blocked")
_DAY = timedelta(days=1)


def failure_rate_plans(_: Project, rule: FailureRate) -> Iterator[Plan]:
    """The check `runs_succeed` on `workflow_metrics` and `hog_function_metrics`."""
    for log_source, table in (
        (WorkflowLogSource(), WORKFLOW_METRICS),
        (HogFunctionLogSource(), HOG_FUNCTION_METRICS),
    ):
        what = log_source.name.replace("_", " ")
        yield Plan(
            "runs_succeed",
            table,
            partial(_failures, rule, log_source, table),
            rule.severity,
            f"At most {rule.threshold:.0%} of the runs of one of the {what} fail in "
            f"{rule.hours} hours.",
        )


def _failures(
    rule: FailureRate, log_source: LogSource, table: Table, check: CheckContext
) -> CheckOutcome:
    rows, failed_in_all, runs_in_all = [], 0, 0
    for name, of in _counts(check, log_source, table, rule.hours, level="run").items():
        failed, runs = of["failed"], of["failed"] + of["succeeded"]
        failed_in_all, runs_in_all = failed_in_all + failed, runs_in_all + runs
        if runs >= rule.min_runs and failed / runs > rule.threshold:
            rows.append({"of": name, "failed": failed, "runs": runs} | _rate(failed, runs))
    text = (
        f"{failed_in_all:,} of {runs_in_all:,} runs failed in the newest {rule.hours} loaded "
        f"hours; {len(rows)} {log_source.name.replace('_', ' ')} are above {rule.threshold:.0%}."
    )
    rate = failed_in_all / runs_in_all if runs_in_all else 0.0
    numbers = {"posthog/failure_rate": round(rate, 4), "posthog/runs": runs_in_all}
    return CheckOutcome(not rows, text, numbers, sorted(rows, key=lambda row: -row["rate"]))


def delivery_rate_plans(_: Project, rule: DeliveryRate) -> Iterator[Plan]:
    """The check `emails_arrive` on `workflow_metrics`."""

    def judge(check: CheckContext) -> CheckOutcome:
        rows, arrived_in_all, sent_in_all = [], 0, 0
        counts = _counts(check, WorkflowLogSource(), WORKFLOW_METRICS, rule.hours, level="action")
        for workflow, of in counts.items():
            sent = of["email_sent"]
            arrived = of["email_delivered"] or sent - sum(of[name] for name in _UNDELIVERED)
            arrived_in_all, sent_in_all = arrived_in_all + arrived, sent_in_all + sent
            if sent >= rule.min_emails and arrived / sent < rule.threshold:
                rows.append(
                    {"workflow": workflow, "sent": sent, "arrived": arrived} | _rate(arrived, sent)
                )
        text = (
            f"{arrived_in_all:,} of {sent_in_all:,} e-mails arrived in the newest {rule.hours} "
            f"loaded hours; {len(rows)} workflows are below {rule.threshold:.0%}."
        )
        rate = arrived_in_all / sent_in_all if sent_in_all else 1.0
        numbers = {"posthog/delivery_rate": round(rate, 4), "posthog/emails": sent_in_all}
        return CheckOutcome(not rows, text, numbers, sorted(rows, key=lambda row: row["rate"]))

    yield Plan(
        "emails_arrive",
        WORKFLOW_METRICS,
        judge,
        rule.severity,
        f"At least {rule.threshold:.0%} of a workflow's e-mails arrive.",
    )


def volume_plans(project: Project, rule: VolumeAnomaly) -> Iterator[Plan]:
    """The check `volume_is_usual` on `workflow_metrics`."""

    def judge(check: CheckContext) -> CheckOutcome:
        days = _whole_days(check, project.partitions_def)
        if not days:
            return CheckOutcome(True, "No whole day has been loaded yet.")
        newest = max(days)
        same = [newest - timedelta(weeks=n) for n in range(1, rule.weeks + 1)]
        same = [day for day in same if day in days]
        if len(same) < 3:
            return CheckOutcome(
                True, f"{len(same)} earlier {newest:%A}s have been loaded; three are needed."
            )
        by_day = {day: _runs_of_day(check, day) for day in [newest, *same]}
        rows = []
        workflows = {workflow for of in by_day.values() for workflow in of}
        for workflow in workflows:
            runs = by_day[newest].get(workflow, 0)
            usual = median(by_day[day].get(workflow, 0) for day in same)
            if abs(runs - usual) < rule.min_runs or rule.low * usual <= runs <= rule.high * usual:
                continue
            rows.append({"workflow": workflow, "runs": runs, "usual": usual})
        total = sum(by_day[newest].values())
        usual = median(sum(by_day[day].values()) for day in same)
        text = (
            f"{newest:%A %Y-%m-%d} had {total:,} runs; the {len(same)} {newest:%A}s before it had "
            f"{usual:,.0f} (median). {len(rows)} workflows are far off."
        )
        numbers = {
            "posthog/runs": total,
            "posthog/usual_runs": float(usual),
            "posthog/volume_ratio": round(total / usual, 4) if usual else 1.0,
        }
        names = check.names()
        rows = [{**row, "workflow": names.get(row["workflow"], row["workflow"])} for row in rows]
        rows.sort(key=lambda row: -abs(row["runs"] - row["usual"]))
        return CheckOutcome(not rows, text, numbers, rows)

    yield Plan(
        "volume_is_usual",
        WORKFLOW_METRICS,
        judge,
        rule.severity,
        f"Each workflow's newest day has {rule.low:g} to {rule.high:g} times the runs of the same "
        "weekday before.",
    )


def _rate(part: int, whole: int) -> dict[str, float]:
    return {"rate": round(part / whole, 4)}


def _counts(
    check: CheckContext, log_source: LogSource, table: Table, hours: int, *, level: str
) -> dict[str, Mapping[str, int]]:
    """Name -> metric -> count, over the newest loaded hours."""
    newest = check.newest(table)
    if newest is None:
        return {}
    end = newest + timedelta(hours=1)
    window = Window(end - timedelta(hours=hours), end)
    names = check.names(log_source.catalog)
    counted = _summed(check, log_source, table, window, level)
    return {names.get(id, id): of for id, of in counted.items()}


def _summed(
    check: CheckContext, log_source: LogSource, table: Table, window: Window, level: str
) -> dict[str, Mapping[str, int]]:
    scope = {**check.scope, "level": level} if "level" in table else check.scope
    measures: dict[str, Measure] = {"value": ("sum", "value")}
    found = check.warehouse.aggregate(
        table, by=[log_source.id_column, "metric"], measures=measures, window=window, scope=scope
    )
    summed: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in found:
        summed[row[log_source.id_column]][row["metric"]] += row["value"] or 0
    return dict(summed)


def _runs_of_day(check: CheckContext, day: date) -> dict[str, int]:
    counted = _summed(check, WorkflowLogSource(), WORKFLOW_METRICS, Window.day(day), "run")
    return {workflow: of["succeeded"] + of["failed"] for workflow, of in counted.items()}


def _whole_days(
    check: CheckContext, partitions_def: dg.TimeWindowPartitionsDefinition
) -> set[date]:
    """The UTC days that were loaded from their first to their last hour."""
    hours: dict[date, float] = defaultdict(float)
    for window in check.loaded(partitions_def).values():
        for start, end in _by_day(window.start, window.end):
            hours[start.date()] += (end - start).total_seconds() / 3600
    return {day for day, loaded in hours.items() if loaded >= 24}


def _by_day(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        yield start, min(end, midnight)
        start = midnight
