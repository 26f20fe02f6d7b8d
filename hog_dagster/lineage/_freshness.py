"""How a table is kept fresh: when it counts as stale, and when it is read again by itself.

Facts: a freshness policy only informs; an automation condition acts once somebody switches on
Dagster's automation sensor, which is STOPPED at first. `on_cron` waits for everything upstream to
be materialized, and PostHog's own objects never are, so the cron tick alone decides here. Rows
arrive late, so the newest partitions are read again.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg


@dataclass(frozen=True)
class Freshness:
    """When a table is stale, and when it is read again."""

    warn_after: timedelta  # Dagster's UI warns when the table was not materialized for this long
    stale_after: timedelta  # and shows it as failed after this long
    cron: str | None  # when automation reads it, in UTC; None leaves that to schedules and people
    reread: timedelta = timedelta(0)  # the last stretch, whose partitions are read each time

    def freshness_policy(self) -> dg.FreshnessPolicy:
        """For the asset's spec."""
        return dg.FreshnessPolicy.time_window(
            fail_window=self.stale_after, warn_window=self.warn_after
        )

    def automation_condition(self, *, partitioned: bool) -> dg.AutomationCondition[Any] | None:
        """For the asset's spec: at each cron tick, and not while it is being read."""
        if self.cron is None:
            return None
        due = dg.AutomationCondition.cron_tick_passed(self.cron).since_last_handled()
        condition = due & ~dg.AutomationCondition.in_progress()
        if partitioned:
            newest = dg.AutomationCondition.in_latest_time_window(self.reread or None)
            condition = newest & condition
        return condition.with_label(f"at {self.cron} (UTC)")


#: Catalogs and other tables of how things stand now: read hourly.
SNAPSHOTS = Freshness(timedelta(hours=3), timedelta(hours=26), "5 * * * *")
#: Results of insights: every morning, because each insight costs a request of a small quota.
INSIGHT_RESULTS = Freshness(timedelta(hours=27), timedelta(hours=51), "35 5 * * *")
#: Tables of daily partitions: the last three days, every night.
DAILY_PARTITIONS = Freshness(
    timedelta(hours=27), timedelta(hours=51), "20 1 * * *", timedelta(days=3)
)
#: Tables of hourly partitions: the last six hours, every hour.
HOURLY_PARTITIONS = Freshness(
    timedelta(hours=3), timedelta(hours=9), "20 * * * *", timedelta(hours=6)
)
