"""The inputs of hog functions: their schema, their values, their secrets.

Facts: PostHog's input serializers of both generations and recorded 400 answers. A secret is kept by
its marker, or by being left out.
"""

from typing import Any

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.world import compile_inputs

INPUT_TYPES = (
    *("string", "number", "boolean", "dictionary", "choice", "json", "integration"),
    *("integration_field", "email", "native_email"),
)
NEWER_INPUT_TYPES = (
    *("integration_multi", "posthog_assignee", "posthog_ticket_tags", "posthog_business_hours"),
    "non_failure_status_codes",
)
MASK = "********"


def check_schema(schema: Any, *, newer: bool) -> list[dict[str, Any]]:
    """An inputs schema with its defaults filled in. Raises the server's 400."""
    known = INPUT_TYPES + (NEWER_INPUT_TYPES if newer else ())
    kept: list[dict[str, Any]] = []
    for index, item in enumerate(fields.list_of(schema, "inputs_schema")):
        attr = f"inputs_schema__{index}"
        fields.present(fields.nested(item, attr), "type", attr=attr)
        if item["type"] not in known:
            raise errors.invalid_choice(item["type"], f"{attr}__type")
        fields.present(item, "key", attr=attr)
        first = {"type": item["type"], "key": item["key"]}
        kept.append({**first, "required": False, "secret": False, "hidden": False, **item})
    return kept


def check_inputs(
    given: Any, schema: list[dict[str, Any]], stored: dict[str, Any], *, newer: bool
) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """(public inputs, secret inputs, keys of secrets that came with a value of their own)."""
    fields.dictionary(given, "inputs")
    public: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    supplied: set[str] = set()
    for item in schema:
        key, attr = str(item["key"]), f"inputs__{item['key']}"
        value = fields.nested(given.get(key) or {}, attr)
        if item.get("secret"):
            marker = bool(value.get("secret")) and value.get("value", MASK) == MASK
            if marker or not value:
                if marker and newer and not stored.get(key):
                    raise errors.bad_input(
                        "No value is saved for this secret input. Enter the value again.", attr
                    )
                value = stored.get(key) or {}
            else:
                supplied.add(key)
        if newer and not value and item.get("required") and item.get("default") is not None:
            value = {"value": item["default"]}
        if item.get("required") and value.get("value") in (None, ""):
            raise errors.bad_input("This field is required.", attr)
        if "value" not in value:
            continue
        _value(value["value"], item, attr)
        (secrets if item.get("secret") else public)[key] = {
            name: value[name] for name in ("value", "templating") if name in value
        }
    return compile_inputs(public, schema), secrets, supplied


#: Type of input -> the types of its value, and what is said of others.
_WRONG: dict[str, tuple[Any, str]] = {
    "string": (str, "Value must be a string."),
    "number": (int | float, "Value must be a number."),
    "boolean": (bool | str, "Value must be a boolean or a template string."),
    "dictionary": (dict, "Value must be a dictionary."),
    "integration": (int, "Value must be an Integration ID."),
}


def _value(value: Any, item: dict[str, Any], attr: str) -> None:
    if not value:
        return
    kind = item["type"]
    wrong = _email(value) if kind in ("email", "native_email") else None
    if kind in _WRONG and not isinstance(value, _WRONG[kind][0]):
        wrong = _WRONG[kind][1]
    if wrong is not None:
        raise errors.bad_input(wrong, attr)


def _email(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "Value must be an email object."
    missing = [f"'{name}'" for name in ("from", "to", "subject") if not value.get(name)]
    if not value.get("text") and not value.get("html"):
        missing.append("either 'text' or 'html'")
    if not missing:
        return None
    return f"Missing {'value' if len(missing) == 1 else 'values'} for {', '.join(missing)}."
