"""Workflow graphs: default steps, edges, and the fields the server derives from them (trigger,
bytecode, order).
"""

from itertools import pairwise
from typing import Any

from hog_dagster.sandbox.model import Workflow

__all__ = ["build_actions", "build_edges", "compile_graph", "derive_trigger", "step"]

_BILLABLE = ("function", "function_email", "function_sms", "function_push")


def step(
    id: str, type: str, config: dict[str, Any], name: str = "", **fields: Any
) -> dict[str, Any]:
    """An action of a workflow in the shape the server stores."""
    return {
        "id": id,
        "name": name or type.replace("_", " ").capitalize(),
        "description": "",
        "on_error": None,
        "filters": None,
        "type": type,
        "config": config,
        "output_variable": None,
        **fields,
    }


def build_actions(trigger: str | dict[str, Any], actions: Any) -> list[dict[str, Any]]:
    """A whole graph: the trigger, the given steps (a webhook when None), the exit."""
    steps: list[dict[str, Any]] = list(actions) if actions is not None else [_webhook()]
    if not any(action.get("type") == "trigger" for action in steps):
        config = dict(trigger) if isinstance(trigger, dict) else _trigger_config(trigger)
        first = step("trigger_node", "trigger", config, "Trigger", created_at=0, updated_at=0)
        steps.insert(0, first)
    if not any(action.get("type") == "exit" for action in steps):
        steps.append(step("exit_node", "exit", {"reason": "Default exit"}, "Exit"))
    return steps


def build_edges(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Edges that chain the actions in order."""
    ids = [action["id"] for action in actions]
    return [{"to": after, "type": "continue", "from": before} for before, after in pairwise(ids)]


def compile_graph(row: Workflow) -> None:
    """Derive what the server derives: trigger, billable action types, bytecode of inputs and
    filters.
    """
    if not isinstance(row.actions, list):
        return
    for action in row.actions:
        config = action.get("config")
        if not isinstance(config, dict):
            continue
        if isinstance(config.get("filters"), dict):
            _compile_filters(config["filters"])
        for index, value in enumerate((config.get("inputs") or {}).values()):
            if isinstance(value, dict):
                _compile_input(value, index)
    row.trigger = derive_trigger(row.actions)
    row.billable_action_types = sorted(
        {action["type"] for action in row.actions if action.get("type") in _BILLABLE}
    )


def derive_trigger(actions: list[dict[str, Any]]) -> dict[str, Any]:
    """The trigger a row shows: the config of its trigger action."""
    for action in actions:
        if action.get("type") == "trigger":
            return action.get("config") or {}
    return {}


def _trigger_config(kind: str) -> dict[str, Any]:
    if kind == "event":
        event = {"id": "signed up", "name": "signed up", "type": "events", "order": 0}
        return {
            "type": "event",
            "filters": {"source": "events", "events": [event], "properties": []},
        }
    if kind == "batch":
        return {"type": "batch", "filters": {"properties": []}}
    if kind in ("webhook", "manual", "tracking_pixel"):
        return {"type": kind, "template_id": "template-source-webhook", "inputs": {}}
    return {"type": kind}


def _webhook() -> dict[str, Any]:
    inputs = {
        "url": {"value": "https://example.com/in"},
        "method": {"value": "POST"},
        "body": {"value": {"email": "{person.properties.email}"}},
        "headers": {"value": {}},
        "debug": {"value": False},
    }
    config = {"template_id": "template-webhook", "inputs": inputs}
    return step("action_hook", "function", config, "Webhook")


def _compile_filters(filters: dict[str, Any]) -> None:
    events = filters.get("events")
    if events and "bytecode" not in filters:
        name = events[0].get("id")
        filters["bytecode"] = ["_H", 1, 32, name, 32, "event", 1, 1, 11, 3, 1, 4, 1]


def _compile_input(value: dict[str, Any], order: int) -> None:
    if "value" in value and "bytecode" not in value:
        code = _bytecode(value["value"])
        if code is not None:
            value["bytecode"] = code
    value.setdefault("order", order)


def _bytecode(value: Any) -> Any:
    """Bytecode in shape only: a literal, or the path of a ``{a.b.c}`` template."""
    if isinstance(value, str):
        if value.startswith("{") and value.endswith("}"):
            path = value[1:-1].split(".")
            reverse = [item for part in reversed(path) for item in (32, part)]
            return ["_H", 1, *reverse, 1, len(path)]
        return ["_H", 1, 32, value]
    if isinstance(value, dict) and value:
        return {key: _bytecode(item) for key, item in value.items()}
    return None
