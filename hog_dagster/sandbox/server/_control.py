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
from hog_dagster.sandbox.server._faults import Fault
from hog_dagster.sandbox.server._proxy_answers import fault_as
from hog_dagster.sandbox.server._site import SandboxSite
from hog_dagster.sandbox.world import MAIL_SETTINGS, SETTINGS

__all__ = ["control_endpoints"]

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


def read_clock(site: SandboxSite, call: Call) -> Answer:
    """GET /_sandbox/clock/."""
    return Answer({"now": call.now})


def move_clock(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/clock/ with ``now`` (ISO-8601), ``advance`` (seconds) or ``freeze``
    (boolean).
    """
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


def list_requests(site: SandboxSite, call: Call) -> Answer:
    """GET /_sandbox/requests/: every API request so far."""
    return Answer({"requests": site.records.all()})


def count_requests(site: SandboxSite, call: Call) -> Answer:
    """GET /_sandbox/requests/count/?method=&path=: how many fit."""
    method, path = call.param("method") or "*", call.param("path") or "*"
    return Answer({"count": site.records.count(method, path)})


def clear_requests(site: SandboxSite, call: Call) -> Answer:
    """DELETE /_sandbox/requests/."""
    site.records.clear()
    return Answer({"requests": []})


def list_faults(site: SandboxSite, call: Call) -> Answer:
    """GET /_sandbox/faults/: the faults on order."""
    return Answer({"faults": site.faults.all()})


def order_fault(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/faults/ with the fields of a fault."""
    return Answer(site.faults.add(msgspec.convert(call.object(), Fault, strict=True)), 201)


def order_named_fault(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/faults/{name}/ with a fault's method, path, effect, times and after."""
    return Answer(site.faults.add(fault_as(call.args["name"], **call.object())), 201)


def change_missing(site: SandboxSite, call: Call) -> Answer:
    """POST /_sandbox/missing/ with ``names``: the endpoints that this server does not have."""
    site.missing = check_names(call.object()["names"])
    return Answer({"missing": sorted(site.missing)})


def clear_faults(site: SandboxSite, call: Call) -> Answer:
    """DELETE /_sandbox/faults/."""
    site.faults.clear()
    return Answer({"faults": []})


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
    """POST /_sandbox/world/{builder}/: call a builder of the world with the body as its
    arguments.
    """
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
    """All controls."""
    root = "/_sandbox/"
    entries = (
        ("GET", root, status),
        ("GET", root + "clock/", read_clock),
        ("POST", root + "clock/", move_clock),
        ("GET", root + "requests/", list_requests),
        ("DELETE", root + "requests/", clear_requests),
        ("GET", root + "requests/count/", count_requests),
        ("GET", root + "faults/", list_faults),
        ("POST", root + "faults/", order_fault),
        ("DELETE", root + "faults/", clear_faults),
        ("POST", root + "faults/{name}/", order_named_fault),
        ("POST", root + "missing/", change_missing),
        ("GET", root + "world/", read_world),
        ("POST", root + "world/{builder}/", build),
        ("POST", root + "settings/", change_settings),
    )
    return EndpointGroup(
        "control",
        tuple(Endpoint(method, path, partial(do, site), ()) for method, path, do in entries),
    )


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
