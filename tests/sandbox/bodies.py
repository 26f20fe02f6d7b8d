"""Request bodies that a real server was given, and the responses it gave, in short."""

import copy
from itertools import pairwise
from typing import Any

UNKNOWN = "01900000-0000-0000-0000-000000000000"

SIGNED_UP = {"id": "signed up", "name": "signed up", "type": "events", "order": 0}
COMPILED = ["_H", 1, 32, "signed up", 32, "event", 1, 1, 11, 3, 1, 4, 1]

TRIGGER: dict[str, Any] = {
    "id": "trigger_node",
    "name": "Trigger",
    "description": "",
    "type": "trigger",
    "config": {
        "type": "event",
        "filters": {"source": "events", "events": [SIGNED_UP], "properties": []},
    },
    "created_at": 0,
    "updated_at": 0,
}
DELAY: dict[str, Any] = {
    "id": "action_delay",
    "name": "Wait",
    "description": "",
    "type": "delay",
    "config": {"delay_duration": "1d"},
}
WEBHOOK: dict[str, Any] = {
    "id": "action_hook",
    "name": "Webhook",
    "description": "",
    "type": "function",
    "config": {
        "template_id": "template-webhook",
        "inputs": {
            "url": {"value": "https://example.com/in"},
            "method": {"value": "POST"},
            "body": {"value": {"email": "{person.properties.email}"}},
            "headers": {"value": {}},
            "debug": {"value": False},
        },
    },
}
EXIT: dict[str, Any] = {
    "id": "exit_node",
    "name": "Exit",
    "description": "",
    "type": "exit",
    "config": {"reason": "Default exit"},
}


def workflow(*actions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The body of a create that a real server accepts, with changes."""
    steps = list(actions) or [TRIGGER, DELAY, WEBHOOK, EXIT]
    ids = [step["id"] for step in steps]
    edges = [{"from": before, "to": after, "type": "continue"} for before, after in pairwise(ids)]
    body = {
        "name": "Onboarding",
        "description": "desc",
        "status": "draft",
        "exit_condition": "exit_only_at_end",
        "edges": edges,
        "actions": steps,
        "variables": [{"key": "coupon", "type": "string", "default": "NONE"}],
    }
    return copy.deepcopy({**body, **changes})


def trigger(**config: Any) -> dict[str, Any]:
    """The trigger action with another config."""
    return {**TRIGGER, "config": config}


def raised(kind: str, code: str, detail: str, attr: str | None = None) -> dict[str, Any]:
    """The body of an error that was raised."""
    return {"type": kind, "code": code, "detail": detail, "attr": attr}
