"""The text below a field of a record describes the field: in YAML, run config, UI and pages.

Facts: pydantic's own `use_attribute_docstrings` looks for each class through all frames, which took
0.8 s of loading a code location, and Python's parser takes 0.2 s for these modules.
"""

import inspect
import re
import sys
from functools import cache
from typing import Annotated, Any

from pydantic import Field

#: What begins in a module: a class, or something else; and in a class: a field, a text in three
#: quotes, or something else.
_PARTS = re.compile(
    r'^(?:class (?P<name>\w+)|[@\w])|^    (?:(?P<field>\w+): |"""(?P<text>.*?)"""|[@\w])',
    re.MULTILINE | re.DOTALL,
)


class Described:
    """Stands before pydantic's base; text below a field of a subclass is its description."""

    def __init_subclass__(cls, **options: Any) -> None:
        hints = inspect.get_annotations(cls)
        texts = _texts(cls.__module__).get(cls.__name__, {}) if hints else {}
        for name in texts.keys() & hints.keys():
            hints[name] = Annotated[hints[name], Field(description=texts[name])]
        cls.__annotations__ = hints
        super().__init_subclass__(**options)


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the text below it; nothing where there is no source, as in a notebook."""
    try:
        source = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return {}
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    field = ""
    for part in _PARTS.finditer(source):
        if not part[0].startswith(" "):
            fields, field = found.setdefault(part["name"] or "", {}), ""
        elif part["text"] is None:
            field = part["field"] or ""
        elif field:
            fields[field], field = " ".join(part["text"].split()), ""
    return found
