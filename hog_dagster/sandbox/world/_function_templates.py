"""Hog function templates: what a fresh project offers. The sources are the sandbox's own."""

from typing import Any


def _input(key: str, type: str, label: str, **fields: Any) -> dict[str, Any]:
    item = {"key": key, "type": type, "label": label, "secret": False, "required": False}
    return {**item, **fields}


def _template(
    id: str,
    name: str,
    description: str,
    code: str,
    inputs: list[dict[str, Any]],
    **fields: Any,
) -> dict[str, Any]:
    return {
        "id": id,
        "name": name,
        "description": description,
        "code": code,
        "code_language": "hog",
        "inputs_schema": inputs,
        "type": "destination",
        "status": "stable",
        "category": ["Custom"],
        "free": False,
        "icon_url": "/static/posthog-icon.svg",
        "filters": None,
        "masking": None,
        "mapping_templates": None,
        **fields,
    }


_WEBHOOK = """let request := {'method': inputs.method, 'body': inputs.body}
request.headers := inputs.headers
if (inputs.debug) {
  print('Sending', inputs.url, request)
}
let answer := fetch(inputs.url, request)
if (answer.status >= 400) {
  throw Error(f'The webhook answered {answer.status}: {answer.body}')
}
"""
_SLACK = """let answer := fetch('https://slack.com/api/chat.postMessage', {
  'method': 'POST',
  'headers': {'Authorization': f'Bearer {inputs.slack_workspace.access_token}'},
  'body': {'channel': inputs.channel, 'text': inputs.text, 'blocks': inputs.blocks}
})
if (answer.status != 200 or answer.body.ok == false) {
  throw Error(f'Slack refused the message: {answer.status}')
}
"""
_CONTACT = """let answer := fetch('https://crm.example.com/v1/contacts', {
  'method': 'POST',
  'headers': {'Authorization': f'Bearer {inputs.access_token}'},
  'body': {'email': inputs.email, 'properties': inputs.properties}
})
if (answer.status >= 400) {
  throw Error(f'The contact was refused: {answer.status}')
}
"""
_DROP = """let held := event
if (held.event == inputs.name) {
  return null
}
return held
"""
_METHODS = [{"label": name, "value": name} for name in ("POST", "PUT", "PATCH", "GET", "DELETE")]

_ALL = (
    _template(
        "template-crm-contact",
        "CRM contact",
        "Creates or updates a contact in the CRM.",
        _CONTACT,
        [
            _input("access_token", "string", "Access token", secret=True, required=True),
            _input("email", "string", "E-mail", required=True, default="{person.properties.email}"),
            _input("properties", "dictionary", "Properties", default={}),
        ],
        status="beta",
        category=["CRM"],
    ),
    _template(
        "template-slack",
        "Slack",
        "Sends a message to a channel.",
        _SLACK,
        [
            _input(
                "slack_workspace", "integration", "Workspace", required=True, integration="slack"
            ),
            _input(
                "channel",
                "integration_field",
                "Channel",
                required=True,
                integration_key="slack_workspace",
                integration_field="slack_channel",
            ),
            _input("blocks", "json", "Blocks", default=[]),
            _input("text", "string", "Text", default="{person.name} did {event.event}"),
        ],
        free=True,
        category=["Customer Success"],
    ),
    _template(
        "template-webhook",
        "HTTP Webhook",
        "Sends the event to an address of yours.",
        _WEBHOOK,
        [
            _input("url", "string", "Webhook URL", required=True),
            _input("method", "choice", "Method", choices=_METHODS, default="POST"),
            _input("body", "json", "JSON Body", default={"event": "{event}", "person": "{person}"}),
            _input(
                "headers",
                "dictionary",
                "Headers",
                default={"Content-Type": "application/json"},
            ),
            _input("debug", "boolean", "Log responses", default=False),
        ],
    ),
    _template(
        "template-old-webhook",
        "Webhook (old)",
        "An earlier way to send events.",
        _WEBHOOK,
        [_input("url", "string", "Webhook URL", required=True)],
        status="deprecated",
    ),
    _template(
        "template-email",
        "E-mail",
        "Sends an e-mail from a workflow.",
        "sendEmail(inputs.email)",
        [_input("email", "native_email", "E-mail", required=True)],
        status="hidden",
    ),
    _template(
        "template-drop-events",
        "Drop events",
        "Drops events of one name before they are stored.",
        _DROP,
        [_input("name", "string", "Event name", required=True)],
        type="transformation",
        free=True,
    ),
    _template(
        "template-source-webhook",
        "Incoming webhook",
        "Captures an event for each request.",
        "postHogCapture({'event': inputs.event, 'distinct_id': inputs.distinct_id})",
        [
            _input("event", "string", "Event name", required=True),
            _input("distinct_id", "string", "Distinct ID", required=True),
            _input("properties", "dictionary", "Properties", default={}),
            _input("auth_header", "string", "Authorization header", secret=True),
            _input("debug", "boolean", "Log requests", default=False),
        ],
        type="source_webhook",
    ),
)

#: template id -> the template, in the order of its name's list.
FUNCTION_TEMPLATES: dict[str, dict[str, Any]] = {row["id"]: row for row in _ALL}


def find_template(template_id: Any) -> dict[str, Any] | None:
    """A template by id, hidden and deprecated ones too."""
    return FUNCTION_TEMPLATES.get(template_id) if isinstance(template_id, str) else None


#: template id -> the inputs schema that a step of a workflow is checked by.
STEP_TEMPLATES: dict[str, list[dict[str, Any]]] = {
    name: FUNCTION_TEMPLATES[name]["inputs_schema"]
    for name in (
        *("template-webhook", "template-slack", "template-email", "template-source-webhook"),
        "template-crm-contact",
    )
}
STEP_TEMPLATES["template-twilio"] = [
    _input("twilio_account", "integration", "Account", required=True),
    _input("from_number", "integration_field", "From", required=True),
    _input("to_number", "string", "To", required=True),
    _input("message", "string", "Message", required=True),
]


def secret_inputs(template_id: Any) -> set[str]:
    """The keys of a template's secret inputs."""
    return {item["key"] for item in STEP_TEMPLATES.get(template_id, []) if item["secret"]}
