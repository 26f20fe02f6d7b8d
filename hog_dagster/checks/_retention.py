"""Does anything expire before it was loaded? PostHog deletes runs after 30 days, the rest after 90.

Facts: what PostHog deleted cannot be read any more, so a partition that has not loaded in time is
lost. Dagster's record of materializations says what was loaded, an empty day included.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from hog_dagster.assets import RETENTION_DAYS, SENT_MESSAGES
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, Project
from hog_dagster.checks._rows import TIME_TABLES
from hog_dagster.policies import Retention
from hog_dagster.warehouse import Table


def retention_plans(project: Project, rule: Retention) -> Iterator[Plan]:
    """The check `loads_before_it_expires` on the tables of logs, metrics, runs and messages. It
    asks PostHog for the time alone."""
    for table in (*TIME_TABLES, SENT_MESSAGES):
        kept = RETENTION_DAYS[table.name]
        yield Plan(
            "loads_before_it_expires",
            table,
            partial(_judge, project, rule, table),
            rule.severity,
            f"Every partition is loaded at least {rule.days} days before PostHog deletes its rows, "
            f"which it keeps for {kept} days.",
        )


def _judge(project: Project, rule: Retention, table: Table, check: CheckContext) -> CheckOutcome:
    """Looks for partitions that PostHog deletes soon and that were not loaded."""
    partitions_def, now = project.partitions_def, check.now()
    gone = now - timedelta(days=RETENTION_DAYS[table.name])
    loaded = set(check.context.instance.get_materialized_partitions(check.key))
    lost, soon = [], []
    for key in partitions_def.get_partition_keys(current_time=now):
        if key in loaded:
            continue
        window = partitions_def.time_window_for_partition_key(key)
        if window.end <= gone:
            lost.append(key)
        elif window.start < gone + timedelta(days=rule.days):
            hours = (window.start - gone).total_seconds() / 3600
            soon.append({"partition": key, "hours_left": round(max(hours, 0.0), 1)})
    said = [] if soon else ["Nothing is about to expire."]
    if lost:
        said.append(
            f"{len(lost)} partitions, {lost[0]} to {lost[-1]}, were never loaded and are gone "
            "in PostHog; a later start date of the partitions takes them off the record."
        )
    if soon:
        first, last = soon[0]["partition"], soon[-1]["partition"]
        said.append(
            f"{len(soon)} partitions were not loaded and PostHog deletes the first in "
            f"{soon[0]['hours_left']} hours. Run: hog-dagster backfill --from {first[:10]} "
            f"--to {last[:10]} --tables {table.name}"
        )
    numbers = {"posthog/expiring": len(soon), "posthog/expired": len(lost)}
    return CheckOutcome(not soon, " ".join(said), numbers, soon)
