"""Does anything expire before it was loaded? PostHog deletes runs after 30 days, the rest after 90.

Facts: what PostHog deleted cannot be read any more, so a partition that has not loaded in time is
lost. Dagster's record of materializations says what was loaded, an empty day included.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

import dagster as dg

from hog_dagster.assets import RETENTION_DAYS
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, checks_of
from hog_dagster.checks._rows import TIME_TABLES
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import Retention
from hog_dagster.warehouse import Table

__all__ = ["build_retention_checks", "retention_judge", "retention_plans"]


def build_retention_checks(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    rule: Retention | None = None,
) -> list[dg.AssetChecksDefinition]:
    """The check `loads_before_it_expires` on the tables of logs, metrics and runs.

    It asks PostHog for the time alone.

    Args:
        partitions_def: of the assets.
        options: how the assets look.
        rule: severity, and how long before the end it speaks.

    Returns:
        One definition for each table that has such a check.
    """
    return checks_of(
        retention_plans(partitions_def, rule or Retention()), options or AssetOptions()
    )


def retention_plans(
    partitions_def: dg.TimeWindowPartitionsDefinition, rule: Retention
) -> Iterator[Plan]:
    """The plans of `build_retention_checks`."""
    for table in TIME_TABLES:
        kept = RETENTION_DAYS[table.name]
        yield Plan(
            "loads_before_it_expires",
            table,
            retention_judge(table, partitions_def, rule),
            rule.severity,
            f"Every partition is loaded at least {rule.days} days before PostHog deletes its rows, "
            f"which it keeps for {kept} days.",
        )


def retention_judge(
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    rule: Retention,
) -> Callable[[CheckContext], CheckOutcome]:
    """Looks for partitions of a table that PostHog deletes soon and that were not loaded."""
    kept = timedelta(days=RETENTION_DAYS[table.name])

    def judge(check: CheckContext) -> CheckOutcome:
        now = check.now()
        loaded = set(check.context.instance.get_materialized_partitions(check.key))
        lost, soon = [], []
        for key in partitions_def.get_partition_keys(current_time=now):
            if key in loaded:
                continue
            window = partitions_def.time_window_for_partition_key(key)
            if window.end <= now - kept:
                lost.append(key)
            elif window.start < now - kept + timedelta(days=rule.days):
                hours = (window.start + kept - now).total_seconds() / 3600
                soon.append({"partition": key, "hours_left": round(max(hours, 0.0), 1)})
        numbers = {"posthog/expiring": len(soon), "posthog/expired": len(lost)}
        said: list[str] = []
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
        else:
            said.insert(0, "Nothing is about to expire.")
        text = " ".join(said)
        return CheckOutcome(not soon, text, numbers, soon)

    return judge
