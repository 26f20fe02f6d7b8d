"""What a JSON value looks like after PostgreSQL kept it in a jsonb column.

Facts: numbers are numeric, so 1e16 comes back as 10000000000000000 and -0.0 as 0.0; keys are sorted
by length, then by bytes.
"""

from decimal import Decimal
from typing import Any

__all__ = ["as_text", "jsonb"]


def jsonb(value: Any) -> Any:
    """The value as it is read back."""
    if isinstance(value, float):
        number = Decimal(repr(value))
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent >= 0:
            return int(number)
        return value + 0.0 if value else 0.0
    if isinstance(value, list):
        return [jsonb(item) for item in value]
    if isinstance(value, dict):
        ordered = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: jsonb(value[key]) for key in ordered}
    return value


def as_text(value: Any) -> Any:
    """The value with every number in it as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    return value
