"""Checks of single fields of a body or a query, in the words of Django REST framework."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call, read_datetime


def present(body: Mapping[str, Any], *names: str, attr: str = "") -> None:
    """Raise 400 for the first of the names that a body lacks; `attr` is where the body stands."""
    for name in names:
        if name not in body:
            raise errors.required(f"{attr}__{name}" if attr else name)


def text(value: Any, attr: str, most: int | None = None, *, blank: bool = True) -> str:
    """A CharField: numbers are texts too."""
    if value is None:
        raise errors.validation("null", "This field may not be null.", attr)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise errors.bad_input("Not a valid string.", attr)
    if not blank and not str(value).strip():
        raise errors.validation("blank", "This field may not be blank.", attr)
    if most is not None and len(str(value)) > most:
        words = f"Ensure this field has no more than {most} characters."
        raise errors.validation("max_length", words, attr)
    return str(value)


def integer(value: Any, attr: str, least: int | None = None, most: int | None = None) -> int:
    """An IntegerField: numbers as texts too, no booleans, no fractions."""
    try:
        number = int(re.sub(r"\.0*\s*$", "", str(value)))
    except ValueError:
        raise errors.bad_input("A valid integer is required.", attr) from None
    if most is not None and number > most:
        words = f"Ensure this value is less than or equal to {most}."
        raise errors.validation("max_value", words, attr)
    if least is not None and number < least:
        words = f"Ensure this value is greater than or equal to {least}."
        raise errors.validation("min_value", words, attr)
    return number


def integer_param(call: Call, name: str, default: int, least: int, most: int | None = None) -> int:
    """The same of a query parameter."""
    given = call.param(name)
    return default if given is None else integer(given, name, least, most)


def boolean(value: Any, attr: str) -> bool:
    """A BooleanField, as far as clients use it."""
    if value not in (True, False) and str(value).lower() not in ("true", "false"):
        raise errors.bad_input("Must be a valid boolean.", attr)
    return str(value).lower() in ("true", "1")


def choice(value: Any, choices: Collection[str], attr: str) -> None:
    if value is None:
        raise errors.validation("null", "This field may not be null.", attr)
    if value not in choices:
        raise errors.invalid_choice(value, attr)


def list_of(value: Any, attr: str, most: int | None = None) -> list[Any]:
    """A ListField."""
    if not isinstance(value, list):
        words = f'Expected a list of items but got type "{type(value).__name__}".'
        raise errors.validation("not_a_list", words, attr)
    if most is not None and len(value) > most:
        words = f"Ensure this field has no more than {most} elements."
        raise errors.validation("max_length", words, attr)
    return value


def dictionary(value: Any, attr: str) -> dict[str, Any]:
    """A DictField."""
    if not isinstance(value, dict):
        words = f'Expected a dictionary of items but got type "{type(value).__name__}".'
        raise errors.validation("not_a_dict", words, attr)
    return value


def nested(value: Any, attr: str) -> dict[str, Any]:
    """The body of a serializer within another."""
    if not isinstance(value, dict):
        words = f"Invalid data. Expected a dictionary, but got {type(value).__name__}."
        raise errors.bad_input(words, f"{attr}__non_field_errors")
    return value


def time(value: Any, attr: str) -> datetime:
    """A DateTimeField; without an offset it is UTC."""
    try:
        return read_datetime(str(value), UTC)
    except ValueError:
        raise errors.bad_input(
            "Datetime has wrong format. Use one of these formats instead: "
            "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
            attr,
        ) from None
