"""Control of a sandbox over HTTP, under ``/_sandbox/``: the same reach a test has in its own
process.
"""

from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from hog_dagster.sandbox.api import Answer, Call, Endpoint, EndpointGroup, errors, read_datetime
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.server._endpoint_names import check_names
from hog_dagster.sandbox.server._faults import Fault, fault_as
from hog_dagster.sandbox.server._site import SandboxSite
from hog_dagster.sandbox.world import MAIL_SETTINGS, SETTINGS

_BUILDER_PREFIXES = ("add_", "emit_", "start_", "give_up", "fail_rerun", "merge_now", "forget_")


def status(site: SandboxSite, call: Call) -> Answer:
    """GET /_sandbox/: what this sandbox is and how far it has come."""
    return Answer(
        {
            "generation": site.generation,
            "project_id": site.project_id,
            "timezone": site.timezone,
            "seed": site.seed,
            "now": site.clock.now(),
            "requests": len(site.records.all()),
            "workflows": len(site.world.workflows),
            "replays": len(site.world.replays),
            "batch_sends": len(site.world.batch_sends),
            "executions": len(site.world.executions),
            "messages": len(site.world.messages),
            "missing": sorted(site.missing),
        }
    )


def move_clock(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/clock/ with ``now`` (ISO), ``advance`` (seconds) or ``freeze`` (boolean)."""
    body, clock = call.object(), site.clock
    if "now" in body:
        clock.set(_moment(body["now"]))
    if "advance" in body:
        clock.advance(float(body["advance"]))
    if "freeze" in body:
        if body["freeze"]:
            clock.freeze()
        else:
            clock.resume()
    settle(site.world)
    return Answer({"now": clock.now()})


def read_world(site: SandboxSite, call: Call) -> Answer:
    """GET /_sandbox/world/: what there is and what really happened."""
    world = site.world
    rows = world.workflows.values()
    return Answer(
        {
            "workflows": [{"id": row.id, "name": row.name, "status": row.status} for row in rows],
            "replays": world.replays,
            "batch_sends": world.batch_sends,
            "executions": world.executions,
            "messages": world.messages,
            "test_sends": world.test_sends,
        }
    )


def build(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/world/{builder}/: call a builder of the world; the body is its arguments."""
    name = call.args["builder"]
    builder = getattr(site.world, name, None)
    if not name.startswith(_BUILDER_PREFIXES) or builder is None:
        raise errors.plain_error(404, f"the sandbox's world has no builder {name!r}")
    return Answer({"result": builder(**_with_times(call.object()))}, 201)


def change_settings(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/settings/ with any of the world's lags and flags."""
    world = site.world
    homes: dict[str, Any] = dict.fromkeys(SETTINGS, world)
    homes |= dict.fromkeys(MAIL_SETTINGS, world.mail)
    for name, value in call.object().items():
        if name not in homes:
            raise errors.plain_error(400, f"{name!r} is not a setting; there are {tuple(homes)}")
        setattr(homes[name], name, value)
    return Answer({name: getattr(home, name) for name, home in homes.items()})


def control_endpoints(site: SandboxSite) -> EndpointGroup:
    """All controls; what needs no more than a line stands here."""
    root, faults, records = "/_sandbox/", site.faults, site.records

    def count(site: SandboxSite, call: Call) -> Answer:
        method, path = call.param("method") or "*", call.param("path") or "*"
        return Answer({"count": records.count(method, path)})

    def forget(site: SandboxSite, call: Call) -> Answer:
        records.clear()
        return Answer({"requests": []})

    def take_back(site: SandboxSite, call: Call) -> Answer:
        faults.clear()
        return Answer({"faults": []})

    def order(site: SandboxSite, call: Call) -> Answer:
        """With the fields of a fault; or, of a named one, method, path, effect, times and after."""
        name, body = call.args.get("name"), call.object()
        fault = fault_as(name, **body) if name else msgspec.convert(body, Fault, strict=True)
        return Answer(faults.add(fault), 201)

    def lack(site: SandboxSite, call: Call) -> Answer:
        site.missing = check_names(call.object()["names"])
        return Answer({"missing": sorted(site.missing)})

    entries = (
        ("GET", root, status),
        ("GET", root + "clock/", lambda site, call: Answer({"now": call.now})),
        ("POST", root + "clock/", move_clock),
        ("GET", root + "requests/", lambda site, call: Answer({"requests": records.all()})),
        ("DELETE", root + "requests/", forget),
        ("GET", root + "requests/count/", count),
        ("GET", root + "faults/", lambda site, call: Answer({"faults": faults.all()})),
        ("POST", root + "faults/", order),
        ("DELETE", root + "faults/", take_back),
        ("POST", root + "faults/{name}/", order),
        ("POST", root + "missing/", lack),
        ("GET", root + "world/", read_world),
        ("POST", root + "world/{builder}/", build),
        ("POST", root + "settings/", change_settings),
    )
    endpoints = (Endpoint(method, path, partial(do, site), ()) for method, path, do in entries)
    return EndpointGroup("control", tuple(endpoints))


def _with_times(value: Any, name: str = "") -> Any:
    """Arguments from JSON, with texts read as datetimes where a builder wants one."""
    if isinstance(value, dict):
        return {key: _with_times(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    if isinstance(value, str) and (name in ("at", "timestamp") or name.endswith("_at")):
        return _moment(value)
    return value


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset: write it with Z or +00:00")
    return read_datetime(str(text))
