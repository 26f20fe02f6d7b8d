"""Workflow graphs: default steps and edges, and what the server derives from a graph it stores.

Facts: recorded answers. Bytecode is right in shape, and equal to the recorded one for plain cases.
"""

from itertools import pairwise
from typing import Any

from hog_dagster.sandbox.world._function_templates import STEP_TEMPLATES
from hog_dagster.sandbox.world._hog import event_bytecode, text_bytecode
from hog_dagster.sandbox.world._model import Workflow

_BILLABLE = ("function", "function_email", "function_sms", "function_push")
_TEMPLATED = ("string", "json", "dictionary", "email", "native_email")


def step(
    id: str, type: str, config: dict[str, Any], name: str = "", **fields: Any
) -> dict[str, Any]:
    """An action of a workflow as the server stores it."""
    name = name or type.replace("_", " ").capitalize()
    about = {"id": id, "name": name, "description": "", "filters": None}
    return {**about, "type": type, "config": config, **fields}


def shown_action(action: dict[str, Any]) -> dict[str, Any]:
    """A stored action as retrieve, create and update show it: what was left out reads null."""
    dated = ("created_at", "updated_at")
    held = {name: action[name] for name in dated if name in action}
    shown = {name: action.get(name) for name in ("id", "name", "description", "on_error")}
    shown["description"] = action.get("description", "")
    rest = {name: action.get(name) for name in ("filters", "type", "config", "output_variable")}
    return {**shown, **held, **rest}


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
    """Derive what the server derives: trigger, billable action types, bytecode, input order."""
    if isinstance(row.trigger_masking, dict) and "hash" in row.trigger_masking:
        row.trigger_masking["bytecode"] = text_bytecode(str(row.trigger_masking["hash"]))
    if isinstance(row.conversion, dict):
        _compile_conversion(row.conversion)
    if not isinstance(row.actions, list):
        return
    for action in row.actions:
        if isinstance(action.get("config"), dict):
            _compile_config(action["type"], action["config"])
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
        return event_trigger("signed up")
    if kind == "batch":
        return {"type": "batch", "filters": {"properties": []}}
    if kind in ("webhook", "manual", "tracking_pixel"):
        inputs = {"event": {"value": "$hook"}, "distinct_id": {"value": "{request.body.user}"}}
        return {"type": kind, "template_id": "template-source-webhook", "inputs": inputs}
    return {"type": kind}


def _compile_config(kind: str, config: dict[str, Any]) -> None:
    if kind == "trigger" and config.get("type") == "event":
        _compile_filters(config.get("filters"))
    for condition in config.get("conditions") or []:
        if isinstance(condition, dict):
            _compile_filters(condition.get("filters"))
    for event in config.get("events") or []:
        if isinstance(event, dict):
            _compile_filters(event.get("filters"))
    if kind == "wait_until_condition":
        config.setdefault("condition", {"filters": None})
    inputs = config.get("inputs")
    schema = STEP_TEMPLATES.get(config.get("template_id", ""))
    if schema is not None and isinstance(inputs, dict):
        config["inputs"] = {
            item["key"]: _compiled_input(inputs[item["key"]], item["type"], order)
            for order, item in enumerate(schema)
            if isinstance(inputs.get(item["key"]), dict)
        }


def _compile_conversion(conversion: dict[str, Any]) -> None:
    filters = conversion.get("filters")
    for event in conversion.get("events") or []:
        if isinstance(event, dict):
            _compile_filters(event.get("filters"))
    conversion["bytecode"] = _properties(filters) if filters else []


def _compile_filters(filters: Any) -> None:
    if not isinstance(filters, dict) or not filters:
        return
    filters.setdefault("source", "events")
    events = filters.get("events")
    properties = filters.get("properties") or []
    filters["bytecode"] = event_bytecode(events[0]) if events else _properties(properties)


def _properties(properties: list[Any]) -> list[Any]:
    code: list[Any] = ["_H", 1]
    for item in properties:
        value = item.get("value")
        wanted = value[0] if isinstance(value, list) and value else value
        code += [32, wanted, 32, item.get("key"), 32, "properties", 32, "person", 1, 3, 11]
    return [*code, 3, len(properties)] if properties else [*code, 29]


def _compiled_input(value: dict[str, Any], kind: str, order: int) -> dict[str, Any]:
    compiled = dict(value)
    if "value" in value and kind in _TEMPLATED:
        code = _bytecode(value["value"])
        if code is not None:
            compiled["bytecode"] = code
    return {**compiled, "order": order}


def _bytecode(value: Any) -> Any:
    if isinstance(value, str):
        return text_bytecode(value)
    if isinstance(value, dict) and value:
        return {key: _bytecode(item) for key, item in value.items()}
    return None


def event_trigger(name: str) -> dict[str, Any]:
    event = {"id": name, "name": name, "type": "events", "order": 0}
    return {"type": "event", "filters": {"source": "events", "events": [event], "properties": []}}


def email_step(id: str, subject: str) -> dict[str, Any]:
    email = {
        "from": "team@example.com",
        "to": "{person.properties.email}",
        "subject": subject,
        "text": f"Hi {{person.properties.name}},\n{subject}.",
    }
    config = {"template_id": "template-email", "inputs": {"email": {"value": email}}}
    return step(id, "function_email", config, subject)


def webhook_step(
    id: str, url: str, body: str = "user", path: str = "{person.id}", **more: Any
) -> dict[str, Any]:
    inputs = {
        "url": {"value": url},
        "method": {"value": "POST"},
        "headers": {"value": {"Authorization": "Bearer hook-2b7c19"}},
        "body": {"value": {body: path}},
        **more,
    }
    return step(id, "function", {"template_id": "template-webhook", "inputs": inputs}, "Webhook")


def _webhook() -> dict[str, Any]:
    url, email = "https://example.com/in", "{person.properties.email}"
    more = {"headers": {"value": {}}, "debug": {"value": False}}
    return webhook_step("action_hook", url, "email", email, **more)
