"""Blocked runs and their replay (older servers only).

Facts: the view of April 2026 and its recorded answers. The list is a query over log rows; a replay
is accepted as often as it is asked for, and its marker shows only after a while.
"""

import re
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._workflows import find
from hog_dagster.sandbox.world import (
    Execution,
    LogRow,
    Replay,
    Workflow,
    from_micros,
    send_all,
    uuid7_time,
)

DEDUP = "duplicate execution detected"
MARKER = "[Replay] Queued"
_ACTION = re.compile(r"\[Action:([^\]]+)\]")
_EVENT = re.compile(r"for event ([0-9a-fA-F-]{36})")
_OTHER = re.compile(r"invocation \(([0-9a-fA-F-]{36})\)")
_WAIT = "action_wait_until_condition_"


def blocked(call: Call, workflow: Workflow) -> list[dict[str, Any]]:
    """The blocked runs of a workflow, newest first, ties in no promised order."""
    site, now = call.site, call.now
    logs, world = site.world.logs, site.world
    replayed = {row.instance_id for row in logs.select(workflow.id, now=now, search=MARKER)}
    found = logs.select(workflow.id, now=now, search=DEDUP, shuffle=site.shuffle_ties)
    return [
        _result(row)
        for row in found
        if from_micros(row.at) >= world.incident_start
        and (world.incident_end is None or from_micros(row.at) <= world.incident_end)
        and row.instance_id not in replayed
        and _fingerprint(row)
    ]


def blocked_runs(call: Call) -> Answer:
    """GET hog_flows/{id}/blocked_runs/.

    With the project's flag off: 200 and an empty list, whatever the id.
    """
    if not call.site.world.blocked_runs_flag:
        return Answer({"results": []})
    workflow = find(call)
    limit, offset = _integer(call, "limit", 100), _integer(call, "offset", 0)
    limit, offset = min(limit, 1000), max(offset, 0)
    rows = blocked(call, workflow)
    return Answer(
        {
            "results": rows[offset : offset + limit],
            "has_next": len(rows) > offset + limit,
            "limit": limit,
            "offset": offset,
        }
    )


def replay_blocked_run(call: Call) -> Answer:
    """POST hog_flows/{id}/replay_blocked_run/.

    Not idempotent; `action_id` is believed as it comes.
    """
    workflow = _allowed(call)
    body = call.data()
    body = body if isinstance(body, dict) else {}
    names = ("event_uuid", "action_id", "instance_id")
    event, action, instance = (body.get(name) for name in names)
    if not event or not action or not instance:
        raise errors.plain_error(400, "event_uuid, action_id, and instance_id are required")
    world, now = call.site.world, call.now
    since, id = now - timedelta(days=30), str(instance)
    rows = world.logs.select(workflow.id, now=now, search=DEDUP, instance_id=id, after=since)
    if not rows:
        raise errors.plain_error(404, f"Blocked run {instance} not found for this workflow")
    logged = _EVENT.search(rows[0].message)
    if logged is None or logged[1] != event:
        raise errors.plain_error(400, "event_uuid does not match the blocked run")
    if event not in world.event_uuids:
        raise errors.plain_error(404, f"Event {event} not found")
    if world.worker_down:
        raise errors.status_error(400, "Failed to replay run")
    _replay(call, workflow, str(instance), str(action), str(event))
    return Answer({"status": "queued"})


def replay_all_blocked_runs(call: Call) -> Answer:
    """POST hog_flows/{id}/replay_all_blocked_runs/: the whole list, again what is still on it."""
    workflow = _allowed(call)
    succeeded = failed = skipped = 0
    for row in blocked(call, workflow):
        if not row["event_uuid"] or row["event_uuid"] not in call.site.world.event_uuids:
            skipped += 1
            continue
        if call.site.world.worker_down:
            failed += 1
            continue
        _replay(call, workflow, row["instance_id"], row["action_id"], row["event_uuid"])
        succeeded += 1
    return Answer({"succeeded": succeeded, "failed": failed, "skipped": skipped})


def _allowed(call: Call) -> Workflow:
    if not call.site.world.blocked_runs_flag:
        raise errors.plain_error(403, "This feature is not enabled")
    return find(call)


def _replay(call: Call, workflow: Workflow, instance: str, action: str, event: str) -> None:
    """Start a new run at the blocked step: the effect on people. The marker row follows late."""
    world, now = call.site.world, call.now
    fresh = world.ids.run(now)
    replayed = Replay(workflow_id=workflow.id, instance_id=instance, at=now, action_id=action)
    replayed.event_uuid, replayed.new_instance_id = event, fresh
    world.happened.append(replayed)
    world.add_execution(
        Execution(
            source_id=workflow.id,
            invocation_id=instance,
            at=now,
            cause="replay",
            number=world.execution_count(instance) + 1,
            from_step=action,
            new_invocation_id=fresh,
        )
    )
    send_all(world, workflow, instance, "", now, action)
    lag = world.marker_lag
    marker = f"{MARKER} for replay at [Action:{action}] as invocation {fresh}"
    resuming = f"Resuming workflow execution at [Action:{action}]"
    world.write_log(workflow.id, instance, "INFO", marker, lag=lag)
    world.write_log(workflow.id, fresh, "DEBUG", resuming, lag=lag)
    world.metrics.add(workflow.id, now, "succeeded", "success", 1)


def _fingerprint(row: LogRow) -> bool:
    """Whether a dedup message is one of the incident's, and not a duplicate rightly caught."""
    action = _ACTION.search(row.message)
    if action is None or not action[1].startswith(_WAIT):
        return False
    started = uuid7_time(row.instance_id)
    if started is None:
        return False
    age = from_micros(row.at) - started
    if not timedelta(milliseconds=-1) <= age <= timedelta(minutes=15):
        return False
    other = _OTHER.search(row.message)
    return other is None or uuid7_time(other[1]) is None


def _result(row: LogRow) -> dict[str, Any]:
    action, event = _ACTION.search(row.message), _EVENT.search(row.message)
    return {
        "instance_id": row.instance_id,
        "timestamp": from_micros(row.at).isoformat(),
        "action_id": action[1] if action else None,
        "event_uuid": event[1] if event else None,
        "message": row.message,
    }


def _integer(call: Call, name: str, default: int) -> int:
    given = call.params(name)
    try:
        return int(given[-1]) if given else default
    except ValueError:
        raise errors.plain_error(400, f"{name} must be an integer") from None
