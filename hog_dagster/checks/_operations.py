"""Checks of the operation of a project: actions in doubt, requests that are left, sensor ticks.

Facts: Dagster's daemon keeps a row for each tick, of skips too, and the state of a sensor that is
on by its code alone from its first tick on. The store of the rate limiter holds how much of the
limit is used: no request is made.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster._dagster.resources import takes_resources
from hog_dagster.alerts import Alert, AlertNotSent, channels_of, check_url, message
from hog_dagster.checks._context import CheckOutcome, result_of
from hog_dagster.ledger import LedgerError, State
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import AlertPolicy
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resources import LedgerResource, PostHogResource

#: The name of the asset that has the checks.
OPERATIONS = "operations"
_IN_DOUBT, _REQUESTS, _TICKS = "nothing_in_doubt", "requests_are_left", "sensors_tick"
_FAILED_TICKS = 3
#: Metadata of a result: its alert was sent by the check itself.
_ALERTED = "hog_dagster/alerted"


def build_operations_checks(
    policy: AlertPolicy | None = None,
    *,
    options: AssetOptions | None = None,
    alert_sensor: str = "",
    project: str = "Dagster",
) -> tuple[dg.AssetSpec, dg.AssetChecksDefinition]:
    """The checks `nothing_in_doubt`, `requests_are_left` and `sensors_tick`, and the asset
    `operations` that they belong to.

    They need the resources `posthog` and `ledger`, and make no request to PostHog.

    Args:
        policy: the thresholds.
        options: how our assets look.
        alert_sensor: name of the sensor that sends alerts. When that sensor does not tick, the
            check sends the alert itself, once, by the channels of the policy.
        project: what the message begins with.

    Returns:
        The asset, which nothing materializes, and its checks.
    """
    limits, options = policy or AlertPolicy.model_construct(), options or AssetOptions()
    key = options.key(OPERATIONS)
    spec = dg.AssetSpec(
        key,
        description="What runs in Dagster for this project: its sensors, its actions, its "
        "requests. It holds no rows; its checks are run on a schedule.",
        group_name=options.group_for("actions"),
        kinds={"posthog"},
        owners=list(options.owners),
        tags=dict(options.tags),
    )
    described = {
        _IN_DOUBT: "No action is in doubt for long.",
        _REQUESTS: "Requests to PostHog are left in the hour's limit of the key.",
        _TICKS: "Each sensor of this code location that is on ticks, and its ticks succeed.",
    }

    @takes_resources(
        dg.multi_asset_check,
        options.prefix,
        name=options.named("operations_checks"),
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=said) for name, said in described.items()
        ],
        can_subset=True,
        pool=options.pool,
    )
    def operations_checks(
        context: dg.AssetCheckExecutionContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> Iterator[dg.AssetCheckResult]:
        chosen = {check.name for check in context.selected_asset_check_keys}
        found = {
            _IN_DOUBT: lambda: _in_doubt(
                posthog, ledger, timedelta(minutes=limits.in_doubt_minutes)
            ),
            _REQUESTS: lambda: _requests(posthog, limits.min_free_requests),
            _TICKS: lambda: _ticks(context, timedelta(minutes=limits.max_silent_minutes)),
        }
        for name in described:
            if name not in chosen:
                continue
            severity = "warn" if name == _REQUESTS else "error"
            try:
                outcome = found[name]()
            except (PostHogError, LedgerError, dg.Failure) as error:
                said = error.description if isinstance(error, dg.Failure) else error
                outcome = CheckOutcome(False, f"This could not be checked: {said}")
                severity = "warn"
            result = result_of(outcome, name=name, key=key, severity=severity)
            if name == _TICKS and alert_sensor in _named(outcome):
                said = _alert_once(context, key, limits, outcome, project)
                yield result.with_metadata({**(result.metadata or {}), **said})
            else:
                yield result

    return spec, operations_checks


def silent_sensors(
    instance: dg.DagsterInstance,
    *,
    at_most: timedelta,
    repository_id: str | None = None,
    known: Collection[str] | None = None,
    now: datetime | None = None,
) -> dict[str, str]:
    """Sensors and schedules that are on and do not tick, or whose ticks fail: name -> why.

    A sensor may go ``at_most`` so long without a tick, or three times its interval. ``known`` are
    the names in the code: Dagster keeps the state of those that are no longer there.
    """
    now = now or _now()
    found: dict[str, str] = {}
    if instance.schedule_storage is None:  # an instance without storage
        return found
    for state in instance.all_instigator_state(repository_selector_id=repository_id):
        if not state.is_running or (known is not None and state.instigator_name not in known):
            continue
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=_FAILED_TICKS
        )
        if state.instigator_type.value == "SENSOR":
            data: Any = state.instigator_data
            since = max(
                [tick.timestamp for tick in ticks],
                default=getattr(data, "last_sensor_start_timestamp", None) or now.timestamp(),
            )
            since = max(since, getattr(data, "last_sensor_start_timestamp", None) or 0.0)
            longest = max(at_most, timedelta(seconds=3 * (getattr(data, "min_interval", 0) or 0)))
            silent = now - datetime.fromtimestamp(since, UTC)
            if silent > longest:
                minutes = int(silent.total_seconds() / 60)
                found[state.instigator_name] = f"has not ticked for {minutes} minutes"
                continue
        if len(ticks) == _FAILED_TICKS and all(tick.is_failure for tick in ticks):
            found[state.instigator_name] = f"its last {_FAILED_TICKS} ticks failed"
    return found


def _now() -> datetime:
    """The current time by this machine's clock, which ticks and the ledger use too."""
    return datetime.now(UTC)


def _named(outcome: CheckOutcome) -> set[str]:
    return {str(row["name"]) for row in outcome.rows if "name" in row}


def _alert_once(
    context: dg.AssetCheckExecutionContext,
    key: dg.AssetKey,
    policy: AlertPolicy,
    outcome: CheckOutcome,
    project: str,
) -> dict[str, Any]:
    """Send the alert of the alert sensor itself, unless the check's last result says it was sent.
    Returns metadata for the result, which records that it was sent; empty when it was not."""
    check = dg.AssetCheckKey(key, _TICKS)
    history = context.instance.event_log_storage.get_asset_check_execution_history(check, limit=5)
    last = next((one.evaluation for one in history if one.status.value != "PLANNED"), None)
    if last is not None and not last.passed and _ALERTED in last.metadata:
        return {_ALERTED: True}
    url = check_url(policy.webserver_url, key.path, check.name)
    where = f"check {check.name} of {key.to_user_string()}"
    alert = Alert(f"{where}:{context.run.run_id}", outcome.text, where, "", url)
    sent = 0
    for channel in channels_of(policy):
        try:
            if fault := channel.send(message([alert], project)):
                context.log.warning(fault)
            sent += 1
        except AlertNotSent as error:
            context.log.warning(str(error))
    return {_ALERTED: True} if sent else {}


def _in_doubt(posthog: PostHogResource, ledger: LedgerResource, longest: timedelta) -> CheckOutcome:
    now = _now()
    with ledger.open() as book:
        open_actions = book.entries(
            project_id=int(posthog.project_id), state=[State.SENT, State.IN_DOUBT]
        )
        rows = [
            {
                "action": entry.id,
                "kind": entry.kind,
                "target": entry.target_name or entry.target_id,
                "sent": entry.sent_at,
            }
            for entry in open_actions
            if now - (entry.sent_at or entry.updated_at) > longest
        ]
    text = (
        f"{len(rows)} actions are in doubt for more than {longest.total_seconds() / 60:g} minutes."
    )
    if rows:
        text += (
            " See them by `hog-dagster ledger list --in-doubt`, look into PostHog, and say what "
            "became of each by `hog-dagster ledger resolve ID --as confirmed` or `--as not-sent`."
        )
    return CheckOutcome(not rows, text, {"posthog/in_doubt": len(rows)}, rows)


def _requests(posthog: PostHogResource, least: float) -> CheckOutcome:
    rows, low = [], []
    numbers: dict[str, float | int] = {}
    for line in posthog.client.server.usage():
        if line.seconds < 3600:
            continue
        numbers[f"posthog/free_{line.bucket}"] = line.free
        rows.append({"limit": line.bucket, "free": line.free, "of": line.allowed})
        if line.free < least * line.allowed:
            low.append(f"{line.free:,} of {line.allowed:,} {line.bucket} requests an hour are left")
    text = "; ".join(low) + "." if low else "Requests are left in each of PostHog's limits."
    if low:
        text += (
            " Runs wait for the rest of the hour. Give other work that uses this key a key of its "
            "own, or read less: `hog-dagster plan` says what takes how many."
        )
    return CheckOutcome(not low, text, numbers, rows)


def _ticks(context: dg.AssetCheckExecutionContext, longest: timedelta) -> CheckOutcome:
    origin: Any = context.run.remote_job_origin
    repository = origin.repository_origin.get_selector_id() if origin is not None else None
    known: set[str] | None = None
    if origin is not None:
        here = context.repository_def
        known = {one.name for one in [*here.sensor_defs, *here.schedule_defs]}
    silent = silent_sensors(
        context.instance, at_most=longest, repository_id=repository, known=known
    )
    rows = [{"name": name, "why": why} for name, why in sorted(silent.items())]
    text = "; ".join(f"{row['name']} {row['why']}" for row in rows[:5])
    if len(silent) > 5:
        text += f"; {len(silent) - 5} more"
    if silent:
        text += (
            ". See its ticks in Dagster under Automation; where none ticks, see that the daemon "
            "runs (`dagster-daemon liveness-check`)."
        )
    else:
        text = "Every sensor that is on ticks."
    return CheckOutcome(not silent, text, {"posthog/silent": len(silent)}, rows)
