"""Hog, the language of hog functions: is it well formed, and bytecode in shape only.

The sandbox does not run Hog; a test run is decided by what the source plainly says.
"""

import re
from typing import Any

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|--[^\n]*|/\*.*?\*/)
      |(?P<text>f?'(?:[^'\\]|\\.)*'|f?"(?:[^"\\]|\\.)*"|`[^`]*`)
      |(?P<number>\d+(?:\.\d+)?)
      |(?P<name>[A-Za-z_$][\w$]*)
      |(?P<sign>:=|->|=>|==|!=|<=|>=|\?\?|\?\.|=~\*?|!~\*?|\|\||[-+*/%<>=!?:.,;()\[\]{}|])
      |(?P<space>\s+)""",
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {")": "(", "]": "[", "}": "{"}
_OPERATORS = {"+", "*", "/", "%", "==", "!=", "<=", ">=", ":=", "??", ".", ","}
#: Functions that only PostHog's own templates may call.
RESERVED = {"sendEmail", "sendSms", "sendPushNotification"}


class HogError(ValueError):
    """The source is not well formed."""


def _tokens(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None:
            raise HogError(f"unexpected {source[place]!r}")
        kind = match.lastgroup or ""
        if kind not in ("space", "comment"):
            found.append((kind, match[0]))
        place = match.end()
    return found


def compile_hog(source: str) -> list[Any]:
    """Bytecode in shape only: the header, then a push per literal and a call per called name."""
    tokens = _tokens(source)
    _check(tokens)
    code: list[Any] = ["_H", 1]
    for place, (kind, text) in enumerate(tokens):
        called = place + 1 < len(tokens) and tokens[place + 1][1] == "("
        if kind == "text":
            code += [32, text.strip("f").strip("'\"`")]
        elif kind == "number":
            code += [33, float(text) if "." in text else int(text)]
        elif kind == "name" and called and text not in ("if", "while", "for", "catch"):
            code += [2, text, 1]
    return code


def _check(tokens: list[tuple[str, str]]) -> None:
    opened: list[str] = []
    for place, (_, text) in enumerate(tokens):
        after = tokens[place + 1][1] if place + 1 < len(tokens) else None
        if text in "([{":
            opened.append(text)
        elif text in _PAIRS and (not opened or opened.pop() != _PAIRS[text]):
            raise HogError(f"unexpected {text!r}")
        if text in _OPERATORS:
            before = tokens[place - 1][1] if place else None
            ends = after in (None, ")", "]", "}", ";") and text != ","
            if ends or (after in _OPERATORS) or (text != "." and before in (None, "(", ";")):
                raise HogError(f"unexpected {text!r}")
        if text == "let" and (after is None or not re.match(r"[A-Za-z_$]", after)):
            raise HogError("expected a name after let")
        touching = tokens[place][0] == "name" and place + 1 < len(tokens)
        if touching and tokens[place + 1][0] == "name" and text not in _WORDS | {"let"}:
            following = tokens[place + 1][1]
            if following not in _WORDS and following not in ("in", "and", "or", "not", "else"):
                raise HogError(f"unexpected {following!r}")
    if opened:
        raise HogError(f"{opened[-1]!r} is never closed")


_WORDS = {
    "return", "if", "else", "while", "for", "fun", "fn", "let", "throw", "try", "catch", "finally",
    "in", "and", "or", "not", "like", "ilike", "is", "null", "true", "false",
}  # fmt: skip


def reserved_functions(source: str) -> set[str]:
    """The reserved functions that a source calls."""
    tokens = _tokens(source)
    names = {
        text
        for place, (kind, text) in enumerate(tokens[:-1])
        if kind == "name" and tokens[place + 1][1] == "("
    }
    return names & RESERVED


def thrown(source: str) -> str | None:
    """The message of a `throw Error('...')` that every run reaches; None when there is none."""
    depth = 0
    tokens = _tokens(source)
    for place, (_, text) in enumerate(tokens):
        depth += (text == "{") - (text == "}")
        guarded = place and tokens[place - 1][1] == ")"
        if text == "throw" and depth == 0 and not guarded:
            words = [item for kind, item in tokens[place : place + 6] if kind == "text"]
            return words[0].strip("f").strip("'\"") if words else "Error"
    return None


def text_bytecode(text: str) -> list[Any]:
    """Bytecode of a literal, or of the path of a ``{a.b.c}`` template."""
    if text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        path = text[1:-1].split(".")
        reverse = [item for part in reversed(path) for item in (32, part)]
        return ["_H", 1, *reverse, 1, len(path)]
    return ["_H", 1, 32, text]


def event_bytecode(event: dict[str, Any]) -> list[Any]:
    """Bytecode of a filter by the name of the event."""
    return ["_H", 1, 32, event.get("id"), 32, "event", 1, 1, 11, 3, 1, 4, 1]


def compile_template(value: Any) -> Any:
    """Bytecode of an input's value, of each text in it."""
    if isinstance(value, str):
        return text_bytecode(value)
    if isinstance(value, dict):
        return {key: compile_template(item) for key, item in value.items()}
    if isinstance(value, list):
        return [compile_template(item) for item in value]
    return value


def compile_inputs(
    inputs: dict[str, Any], schema: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Inputs as they are stored: with bytecode where they are templates, and their order."""
    kinds = {item.get("key"): item.get("type") for item in schema}
    stored: dict[str, dict[str, Any]] = {}
    for order, (key, item) in enumerate(inputs.items()):
        kept = {name: item[name] for name in ("value", "templating") if name in item}
        kind = kinds.get(key, "string")
        if item.get("value") and kind in ("string", "dictionary", "json", "email", "native_email"):
            kept["bytecode"] = compile_template(item["value"])
        kept["order"] = order
        stored[key] = kept
    return stored


def compile_filters(filters: dict[str, Any]) -> dict[str, Any]:
    """Filters as they are stored: with their source and bytecode."""
    kept = {"source": "events", **{k: v for k, v in filters.items() if k != "bytecode"}}
    events = kept.get("events") or []
    kept["bytecode"] = event_bytecode(events[0]) if events else ["_H", 1, 29]
    return kept
