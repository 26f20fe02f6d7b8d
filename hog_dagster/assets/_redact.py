"""Takes secrets and personal data out of inputs and log messages before they are loaded.

Facts: docs-era servers return webhook headers and API keys in clear text inside actions and
triggers; newer ones mask them as ``{"secret": true}``. Log messages carry bracket tokens such as
``[Person:<uuid>|<display name>]`` whose display name is often an e-mail address. What is a secret
in a text is in :mod:`hog_dagster._shared.secrets`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hog_dagster._shared.secrets import MASKS, REDACTED, SECRET_NAME, Mask, without_secrets

if TYPE_CHECKING:
    import pyarrow as pa

#: What happens to the text of log messages: `keep` loads it as it is, `mask` takes out e-mail
#: addresses, display names, distinct ids, keys, tokens and credentials, `drop` loads an empty text.
MessagePolicy = Literal["keep", "mask", "drop"]

_COMPILED = ("bytecode", "bytecode_error", "transpiled")
#: No value of a URL's parameters in a definition is loaded.
_PARAMETERS = re.compile(r"(?<=[?&#])([^=&#\s]+)=[^&#\s]+")
_INPUT_MAPS = ("inputs", "headers", "mappings")
#: What a pair such as ``{"key": "api_key", "default": ...}`` holds, whose name is a value itself.
_PAIR_VALUES = ("value", "default")


def redact_definition(value: Any, *, _inside_inputs: bool = False) -> Any:
    """A workflow's or function's JSON without the values of its inputs, secrets or compiled code.

    Every value under ``inputs``, ``headers`` or ``mappings`` is replaced by ``[redacted]`` (the
    names stay, so that one sees what is configured); so is all below a name that speaks of a
    secret, the value of a pair that is named so (``{"key": "api_key", "default": ...}``) or marked
    ``"secret": true``, any token that looks like a key, and user or query parts of URLs.
    """
    if isinstance(value, Mapping):
        hidden = _PAIR_VALUES if _is_secret_pair(value) else ()
        return {
            str(name): _redact_field(str(name), item, _inside_inputs or name in hidden)
            for name, item in value.items()
            if name not in _COMPILED
        }
    if isinstance(value, str):
        return REDACTED if _inside_inputs else _redact_text(value)
    if isinstance(value, Sequence):
        return [redact_definition(item, _inside_inputs=_inside_inputs) for item in value]
    if _inside_inputs and value is not None and not isinstance(value, bool):
        return REDACTED
    return value


def _redact_field(name: str, item: Any, inside_inputs: bool) -> Any:
    if inside_inputs and _is_setting(name, item):
        return item
    holds = name.lower().endswith(_INPUT_MAPS) or SECRET_NAME.search(name)
    if inside_inputs or holds:
        if isinstance(item, bool) and not inside_inputs:
            return item
        if name == "value" or not isinstance(item, Mapping | list):
            return item if item in (None, "") or item is True else REDACTED
        return redact_definition(item, _inside_inputs=True)
    return redact_definition(item)


def _is_setting(name: str, item: Any) -> bool:
    """Whether it is a setting of an input, and not an input that is called so."""
    if name == "order":
        return isinstance(item, int)
    return name == "templating" and (isinstance(item, bool) or item in ("hog", "liquid"))


def _is_secret_pair(value: Mapping[str, Any]) -> bool:
    named = (value.get("key"), value.get("name"))
    return value.get("secret") is True or any(
        isinstance(name, str) and SECRET_NAME.search(name) for name in named
    )


def _redact_text(text: str) -> str:
    text = without_secrets(text)
    if "://" in text:
        text = _PARAMETERS.sub(lambda found: f"{found[1]}={REDACTED}", text)
    return text


def redact_messages(messages: "pa.Array", policy: MessagePolicy) -> "pa.Array":
    """A column of log messages under the chosen policy."""
    import pyarrow as pa

    if policy == "keep":
        return messages
    if policy == "drop":
        return pa.repeat(pa.scalar("", messages.type), len(messages))
    data = messages.buffers()[2]
    text = b"" if data is None else data.to_pybytes()
    for mask in MASKS:
        messages = _masked(messages, mask, text)
    return messages


def _masked(messages: "pa.Array", mask: Mask, text: bytes) -> "pa.Array":
    """A column with one kind of thing taken out: one pass of RE2 over the rows that may hold it."""
    import pyarrow.compute as pc

    needles = [re.escape(needle.decode()) for needle in mask.needles if needle in text]
    if not needles:
        return messages
    literal = pc.MatchSubstringOptions("|".join(needles))
    suspects = pc.call_function("match_substring_regex", [messages], literal)
    count = pc.call_function("sum", [suspects]).as_py()
    options = pc.ReplaceSubstringOptions(pattern=mask.pattern, replacement=mask.replacement)
    if 2 * (count or 0) > len(messages):
        return pc.call_function("replace_substring_regex", [messages], options)
    chosen = suspects.fill_null(False)
    replaced = pc.call_function("replace_substring_regex", [messages.filter(chosen)], options)
    return pc.call_function("replace_with_mask", [messages, chosen, replaced])
