"""Moments of a cron rule, and those that a schedule missed while Dagster's daemon was down.

Facts: a daemon that was down evaluates a schedule for the newest moment alone. The instance keeps a
tick per moment that was evaluated, and when the schedule was switched on; it does not keep since
when the schedule has had its cron rule, so that is kept in the instance's key-value storage.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

#: Ticks that are looked through for the one before.
_TICKS = 200
#: Moments longer ago than this are not looked for.
_LONGEST = timedelta(days=31)


def moments_between(cron: str, timezone: str, after: datetime, before: datetime) -> list[datetime]:
    """The moments of a cron rule after `after` and before `before`, oldest first, in UTC."""
    rule = dg.TimeWindowPartitionsDefinition(
        start=after.astimezone(ZoneInfo(timezone)),  # its wall clock is what counts
        fmt="%Y-%m-%dT%H:%M%z",
        cron_schedule=cron,
        timezone=timezone,
        end_offset=1,  # the window that has begun, too
    )
    moments = [
        rule.time_window_for_partition_key(key).start.astimezone(UTC)
        for key in rule.get_partition_keys(current_time=before)
    ]
    return [moment for moment in moments if after < moment < before]


def missed_moments(
    instance: dg.DagsterInstance, name: str, cron: str, timezone: str, moment: datetime
) -> list[datetime]:
    """Moments before the one that is being evaluated for which the schedule was on and was not
    evaluated, oldest first."""
    found = [
        state
        for state in (instance.all_instigator_state() if instance.schedule_storage else [])
        if state.instigator_type.value == "SCHEDULE"
        and state.instigator_name == name
        and any(tick.timestamp == moment.timestamp() for tick in _ticks(instance, state))
    ]
    bounds = [_evaluated_up_to(instance, state, cron, timezone, moment) for state in found]
    if not bounds:
        return []
    after = max(*bounds, moment - _LONGEST)
    return moments_between(cron, timezone, after, moment)


def _ticks(instance: dg.DagsterInstance, state: Any) -> Sequence[Any]:
    return instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)


def _evaluated_up_to(
    instance: dg.DagsterInstance, state: Any, cron: str, timezone: str, moment: datetime
) -> datetime:
    """Up to when nothing was missed: the tick before, or when it was switched on or changed."""
    data = state.instigator_data
    bounds = [
        getattr(data, "start_timestamp", None) or 0.0,
        _has_rule_since(instance, state, f"{cron} {timezone}", cron, moment),
        *(
            tick.timestamp
            for tick in _ticks(instance, state)
            if tick.timestamp < moment.timestamp() and tick.status.value != "FAILURE"
        ),
    ]
    return datetime.fromtimestamp(max(bounds), UTC)


def _has_rule_since(
    instance: dg.DagsterInstance, state: Any, rule: str, cron: str, moment: datetime
) -> float:
    """Since when the schedule has been seen to have this rule."""
    key = f"hog_dagster/schedule/{state.selector_id}"
    storage = instance.daemon_cursor_storage
    text = storage.get_cursor_values({key}).get(key)
    known = json.loads(text) if text else None
    if known is not None and known["rule"] == rule:
        return float(known["since"])
    data = state.instigator_data
    since = moment.timestamp()
    if known is None and getattr(data, "cron_schedule", None) == cron:
        since = getattr(data, "start_timestamp", None) or since
    storage.set_cursor_values({key: json.dumps({"rule": rule, "since": since})})
    return since
