"""Function templates that a fresh project has, as far as the sandbox needs them: their inputs,
which are required, which secret.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["STEP_TEMPLATES", "secret_inputs"]


def _input(key: str, type: str = "string", *, required: bool = False, secret: bool = False) -> Any:
    return {"key": key, "type": type, "required": required, "secret": secret}


#: template id -> its inputs schema.
STEP_TEMPLATES: Mapping[str, list[dict[str, Any]]] = {
    "template-webhook": [
        _input("url", required=True),
        _input("method", "choice"),
        _input("body", "json"),
        _input("headers", "dictionary"),
        _input("debug", "boolean"),
    ],
    "template-slack": [
        _input("slack_workspace", "integration", required=True),
        _input("channel", "integration_field", required=True),
        _input("blocks", "json"),
        _input("text"),
    ],
    "template-email": [_input("email", "native_email", required=True)],
    "template-twilio": [
        _input("twilio_account", "integration", required=True),
        _input("from_number", "integration_field", required=True),
        _input("to_number", required=True),
        _input("message", required=True),
    ],
    "template-source-webhook": [
        _input("event", required=True),
        _input("distinct_id", required=True),
        _input("properties", "dictionary"),
        _input("auth_header", secret=True),
        _input("debug", "boolean"),
    ],
    "template-crm-contact": [
        _input("access_token", required=True, secret=True),
        _input("email", required=True),
        _input("properties", "dictionary"),
    ],
}


def secret_inputs(template_id: Any) -> set[str]:
    """The keys of a template's secret inputs."""
    return {item["key"] for item in STEP_TEMPLATES.get(template_id, []) if item["secret"]}
