"""What a sensor remembers between two ticks: a record, kept as JSON in its cursor.

Facts: Dagster keeps the text that a tick returns, and a renamed sensor starts without one.
"""

from typing import TypeVar

import msgspec

_C = TypeVar("_C", bound="Cursor")


class Cursor(msgspec.Struct, kw_only=True):
    """All that is remembered."""

    version: int = 1

    def dump(self) -> str:
        """For `SensorResult`."""
        return msgspec.json.encode(self).decode()


def read_cursor(kind: type[_C], text: str | None) -> _C | None:
    """The cursor; None where there is none, or none of this version that can be read."""
    try:
        cursor = msgspec.json.decode(text or "null", type=kind | None)
    except msgspec.DecodeError:
        return None
    return cursor if cursor is not None and cursor.version == 1 else None
