"""What the server checks in a workflow's body before it stores it, in its order and in its words.

Facts: the serializers of PostHog's hog_flow view and recorded 400 answers. Only the first error is
shown. Drafts are lenient on older servers; newer ones are strict with every caller that uses a key.
"""

import json
import re
from typing import Any

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.world import STEP_TEMPLATES

STATUSES = ("draft", "active", "archived")
EXIT_CONDITIONS = (
    "exit_on_conversion",
    "exit_on_trigger_not_matched",
    "exit_on_trigger_not_matched_or_conversion",
    "exit_only_at_end",
)
ON_ERROR = ("continue", "abort", "complete", "branch")
FUNCTION_TRIGGERS = ("webhook", "manual", "tracking_pixel")
TRIGGERS = ("event", "batch", "schedule", *FUNCTION_TRIGGERS)
NEWER_TRIGGERS = ("data-warehouse-table", "data-warehouse-view", "internal-event")
ACTION_TYPES = (
    *("trigger", "function", "function_email", "function_sms", "function_push", "delay"),
    *("wait_until_condition", "wait_until_time_window", "conditional_branch"),
    *("random_cohort_branch", "exit"),
)
_DELAY = re.compile(r"^\d*\.?\d+[dhm]$")
_DELAY_TEXT = (
    "delay_duration must be a string matching ^\\d*\\.?\\d+[dhm]$ (e.g. '30m', '2h', '1d'). "
)
_NO_SECONDS = {
    False: "Seconds and ISO-8601 formats are not supported.",
    True: "ISO-8601 formats are not supported. For seconds, use a fraction of a minute.",
}
_UNWRAPPED = (
    "Each conditional_branch condition must wrap its filters in a 'filters' key, e.g. {conditions: "
    "[{filters: {properties: [...]}}]} (same shape as a trigger's filters). A condition without "
    "'filters' compiles to always-false and never matches."
)


def check_workflow(body: dict[str, Any], *, partial: bool, strict: bool, newer: bool) -> None:
    """Raise the 400 that the server would answer to this body.

    In a `partial` one, a PATCH's, nothing is required; `strict` checks steps in full.
    """
    if body.get("name") is not None:
        fields.text(body["name"], "name", 400)
    if "status" in body:
        fields.choice(body["status"], STATUSES, "status")
    if body.get("trigger_masking") is not None:
        _masking(body["trigger_masking"])
    if "exit_condition" in body:
        fields.choice(body["exit_condition"], EXIT_CONDITIONS, "exit_condition")
    if newer and "edges" in body:
        _edges(body["edges"])
    if "actions" in body:
        _actions(body["actions"], strict=strict, newer=newer)
    elif not partial:
        raise errors.required("actions")
    if "variables" in body:
        _variables(body["variables"])


def check_ids(actions: Any) -> None:
    """Raise when two actions share an id (newer servers)."""
    ids = [action.get("id") for action in actions if isinstance(action, dict)]
    twice = sorted({str(item) for item in ids if ids.count(item) > 1})
    if twice:
        raise errors.bad_input(f"Duplicate action id(s): {', '.join(twice)}", "actions")


def check_one_trigger(actions: Any) -> None:
    """Raise unless exactly one action is a trigger; asked of stored ones on every update."""
    rows = actions if isinstance(actions, list) else []
    if sum(isinstance(row, dict) and row.get("type") == "trigger" for row in rows) != 1:
        raise errors.bad_input("Exactly one trigger action is required", "actions")


def check_actions(actions: Any, *, newer: bool) -> None:
    """The strict check of stored actions when a draft is switched on.

    Older servers flatten what they found to its first entry, that of the trigger, which is fine:
    the client reads "{}". Newer ones name each step and its fault.
    """
    parts: list[str] = []
    for index, action in enumerate(actions if isinstance(actions, list) else []):
        try:
            _action_fields(action, f"{index}", newer=newer)
            _step(action, f"{index}", newer=newer)
        except errors.ApiError as error:
            parts.append(f"step '{action.get('name') or 'unnamed'}': {error.body['detail']}")
    if not parts:
        return
    if not newer:
        raise errors.bad_input("{}")
    raise errors.bad_input(
        f"Can't enable this workflow. Fix {'; '.join(parts)} and try again.", "actions"
    )


def _masking(masking: Any) -> None:
    ttl = fields.nested(masking, "trigger_masking").get("ttl")
    if ttl is not None:
        fields.integer(ttl, "trigger_masking__ttl", 60, 94608000)
    fields.present(masking, "hash", attr="trigger_masking")


def _edges(edges: Any) -> None:
    for index, edge in enumerate(fields.list_of(edges, "edges")):
        given = edge if isinstance(edge, dict) else {}
        fields.present(given, "to", "type", "from", attr=f"edges__{index}")


def _variables(variables: Any) -> None:
    if not isinstance(variables, list):
        raise errors.bad_input(
            f'Expected a list of items but got type "{type(variables).__name__}".',
            "variables__non_field_errors",
        )
    for index, item in enumerate(variables):
        fields.dictionary(item, f"variables__{index}")
    keys = [item.get("key") for item in variables]
    if len(keys) != len(set(keys)):
        raise errors.bad_input("Variable keys must be unique", "variables__non_field_errors")
    if sum(len(json.dumps(item)) for item in variables) > 5120:
        raise errors.bad_input(
            "Total size of variables definition must be less than 5KB",
            "variables__non_field_errors",
        )


def _actions(actions: Any, *, strict: bool, newer: bool) -> None:
    for index, action in enumerate(fields.list_of(actions, "actions")):
        attr = f"actions__{index}"
        _action_fields(fields.nested(action, attr), attr, newer=newer)
        if strict:
            _step(action, attr, newer=newer)


def _action_fields(action: dict[str, Any], attr: str, *, newer: bool) -> None:
    for field, most in (("id", None), ("name", 400)):
        fields.present(action, field, attr=attr)
        fields.text(action[field], f"{attr}__{field}", most, blank=False)
    if action.get("on_error") is not None:
        known = ON_ERROR[:2] if newer else ON_ERROR
        fields.choice(action["on_error"], known, f"{attr}__on_error")
    fields.present(action, "type", attr=attr)
    fields.text(action["type"], f"{attr}__type", 100, blank=False)
    if newer and action["type"] not in ACTION_TYPES:
        raise errors.bad_input(
            f'Unsupported action type "{action["type"]}". '
            f"Valid types are: {', '.join(ACTION_TYPES)}. Steps that act on PostHog data don't get "
            "a type of their own - they are type 'function' with a template_id.",
            f"{attr}__type",
        )
    fields.present(action, "config", attr=attr)


def _step(action: dict[str, Any], attr: str, *, newer: bool) -> None:
    kind, config = action["type"], action["config"]
    if not isinstance(config, dict):
        raise errors.bad_input("Config must be an object.", f"{attr}__config")
    trigger = config.get("type") if kind == "trigger" else None
    if kind == "trigger":
        _trigger(config, attr, newer=newer)
    if "function" in kind or trigger in FUNCTION_TRIGGERS:
        _function(config, attr)
    if kind == "conditional_branch" or "conditions" in config or "condition" in config:
        _conditions(kind, config, attr, newer=newer)
    if kind == "delay":
        duration = config.get("delay_duration")
        if not isinstance(duration, str) or not _DELAY.match(duration):
            raise errors.bad_input(_DELAY_TEXT + _NO_SECONDS[newer], f"{attr}__config")


def _trigger(config: dict[str, Any], attr: str, *, newer: bool) -> None:
    kind = config.get("type")
    if kind not in TRIGGERS and not (newer and kind in NEWER_TRIGGERS):
        raise errors.bad_input("Invalid trigger type", f"{attr}__config")
    if kind == "batch":
        filters = config.get("filters")
        if not filters:
            raise errors.bad_input("Filters are required for batch triggers.", f"{attr}__filters")
        if not isinstance(filters, dict):
            raise errors.bad_input("Filters must be a dictionary.", f"{attr}__filters")
        if not isinstance(filters.get("properties") or [], list):
            raise errors.bad_input("Properties must be an array.", f"{attr}__filters__properties")


def _function(config: dict[str, Any], attr: str) -> None:
    schema = STEP_TEMPLATES.get(config.get("template_id", ""))
    if schema is None:
        raise errors.bad_input("Template not found", f"{attr}__template_id")
    inputs = config.get("inputs") or {}
    for item in schema:
        value = inputs.get(item["key"])
        given = value.get("value") if isinstance(value, dict) else None
        kept = isinstance(value, dict) and value.get("secret") is True
        if item["required"] and not kept and given in (None, ""):
            raise errors.bad_input("This field is required.", f"{attr}__inputs__{item['key']}")


def _conditions(kind: str, config: dict[str, Any], attr: str, *, newer: bool) -> None:
    conditions, single = config.get("conditions") or [], config.get("condition")
    if conditions and single:
        raise errors.bad_input(
            "Cannot specify both 'conditions' and 'condition' fields", f"{attr}__config"
        )
    for condition in [single] if single else conditions:
        filters = condition.get("filters") if isinstance(condition, dict) else None
        if newer and kind == "conditional_branch" and filters is None:
            raise errors.bad_input(_UNWRAPPED, f"{attr}__config")
        if isinstance(filters, dict) and "events" in filters:
            raise errors.bad_input(
                "Event filters are not allowed in conditionals", f"{attr}__non_field_errors"
            )
