"""Which form a response takes: JSON, CSV where the endpoint has it, or none that the client
accepts.

Facts: Django REST framework's content negotiation and CSV renderer, and what a server of 2025-08
answered: only insights are rendered as CSV, `?format=` beats the Accept header, and both are looked
at before the key is.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hog_dagster.sandbox.api import errors

JSON, CSV = "application/json", "text/csv"
_FORMATS = {"json": JSON, "csv": CSV}


def form_of(query: str, accept: str, *, offers_csv: bool) -> str:
    """The media type of the response.

    `format` of the query picks by name, 404 for one that is not offered; 406 for an Accept header
    that names none.
    """
    offered = [JSON, CSV] if offers_csv else [JSON]
    wanted = parse_qs(query).get("format", [""])[-1]
    if wanted:
        offered = [form for form in offered if form == _FORMATS.get(wanted)]
        if not offered:
            raise errors.not_found()
    accepted = [part.split(";")[0].strip().lower() for part in (accept or "*/*").split(",")]
    for precise in (True, False):  # A type that is named comes before a star.
        for media_type in accepted:
            for form in offered:
                if ("*" not in media_type) == precise and _matches(form, media_type):
                    return form
    raise errors.not_acceptable()


def _matches(form: str, media_type: str) -> bool:
    kind, _, sub = media_type.partition("/")
    own_kind, _, own_sub = form.partition("/")
    return kind in ("*", own_kind) and sub in ("*", own_sub)


def as_csv(body: Any) -> bytes:
    """A body as CSV: a row per element of a list, one for anything else, nested names with dots."""
    plain = msgspec.to_builtins(body)
    rows = [dict(_flat("", row)) for row in (plain if isinstance(plain, list) else [plain])]
    names = sorted({name for row in rows for name in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="")
    if names:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(str(key), held) for key, held in value.items()]
    elif isinstance(value, list):
        parts = [(str(place), held) for place, held in enumerate(value)]
    else:
        yield name, "" if value is None else value
    for key, held in parts:
        yield from _flat(f"{name}.{key}" if name else key, held)
