"""Inputs of hog functions as PostHog wants them written: merged with what is stored, secrets kept.

Facts: PostHog's inputs serializers of both generations: a write replaces the whole map and blanks
what is left out; ``{"secret": true}`` keeps a stored secret, and older servers take it so even with
a new ``value`` beside it; an input is an object with ``value``, never the bare value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: What the server works out by itself from an input.
_DERIVED = ("bytecode", "transpiled", "order", "input_deps")


def checked_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as they are sent.

    Raises:
        ValueError: an input is a bare value, or they are no mapping.
    """
    if not isinstance(inputs, Mapping):
        raise ValueError(f"inputs must be a mapping of names to inputs, not {inputs!r:.60}")
    return {name: _checked(name, value) for name, value in inputs.items() if value is not None}


def merged_inputs(
    stored: Mapping[str, Any] | None, changes: Mapping[str, Any], secrets: Collection[str]
) -> dict[str, Any]:
    """All inputs to send so that those in ``changes`` change (None empties one) and the others stay
    as they are stored; ``secrets`` are the names of those that hold a secret.

    Raises:
        ValueError: a new input is a bare value.
    """
    merged = {
        name: {key: part for key, part in value.items() if key not in _DERIVED}
        for name, value in (stored or {}).items()
        if isinstance(value, Mapping) and name not in changes
    }
    for name, value in changes.items():
        if value is not None:
            merged[name] = _checked(name, value)
        elif name in secrets:
            merged[name] = {"value": ""}  # To leave a secret out would keep it.
    return merged


def secret_names(schema: object) -> frozenset[str]:
    """Names of the inputs a schema declares secret."""
    items = schema if isinstance(schema, list) else []
    return frozenset(
        str(item["key"])
        for item in items
        if isinstance(item, Mapping) and item.get("secret") and "key" in item
    )


def _checked(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not ("value" in value or value.get("secret") is True):
        raise ValueError(
            f'input {name} must be an object: {{"value": ...}}, or {{"secret": True}} to keep the '
            "secret that is stored"
        )
    if "value" in value:
        # Older servers keep the stored secret when both are there, and drop the new one.
        return {key: part for key, part in value.items() if key != "secret"}
    return dict(value)
