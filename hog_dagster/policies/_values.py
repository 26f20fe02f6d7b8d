"""The base of every record of settings, and the kinds of values they hold, checked when given.

Facts: YAML writes one item of a list as a text, reads `2026-08-01` as a date and `yes` as true; a
cron rule, a zone or a regular expression that cannot be read fails much later, in a tick or a run.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

__all__ = [
    "Cron",
    "Day",
    "Id",
    "Moment",
    "Name",
    "Pattern",
    "Record",
    "Size",
    "Zone",
    "kinds_of",
    "nearest",
    "size_of_memory",
]


class Record(BaseModel):
    """A group of settings: it cannot change, knows its fields, and takes one item for a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields.get(info.field_name or "")
        return value if field is None else as_meant(value, field.annotation)


def as_meant(value: Any, hint: Any) -> Any:
    """A value of YAML as the field means it: one item as a list of one, a date as text.

    Raises:
        ValueError: true or false stands where something else belongs.
    """
    kinds = kinds_of(hint)
    if isinstance(value, bool) and bool not in kinds and kinds & {int, float, str, list}:
        raise ValueError("give " + ("a number" if kinds & {int, float} else "a text in quotes"))
    if isinstance(value, date | datetime) and not kinds & {date, datetime}:
        value = value.isoformat()
    if list in kinds and str not in kinds and isinstance(value, str | int | float | Mapping):
        return [value] if dict not in kinds else value
    return value


def kinds_of(hint: Any) -> set[Any]:
    """The plain types a field takes: `list` for any sequence, `dict` for any mapping."""
    origin = get_origin(hint)
    if origin is Annotated:
        return kinds_of(get_args(hint)[0])
    if origin in (Union, UnionType):
        return set().union(*(kinds_of(arg) for arg in get_args(hint)))
    if origin in (list, tuple, Sequence):
        return {list}
    if origin in (dict, Mapping):
        return {dict}
    if origin is Literal:
        return {str}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {str}
    return {hint}


def nearest(word: str, known: Sequence[str] | Mapping[str, Any] | set[str]) -> str:
    """The known word that was most likely meant; empty when none is near."""
    folded = {one.casefold(): one for one in known}
    found = get_close_matches(word.casefold(), folded, 1, 0.6)
    return folded[found[0]] if found else ""


def _cron(text: str) -> str:
    import dagster as dg  # Its schedules decide what a cron rule is, and are not quick to import.

    try:
        dg.ScheduleDefinition(name="any", cron_schedule=text, job_name="any")
    except dg.DagsterInvalidDefinitionError:
        said = "give a cron rule of five fields, such as 0 9 * * 1, or @daily"
    else:
        return text
    raise ValueError(said)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        near = nearest(text, available_timezones())
        hint = f"did you mean {near}?" if near else "such as Europe/Berlin or UTC"
        raise ValueError(f"give an IANA time zone; {hint}") from None
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"give a regular expression ({error})") from None
    return text


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("give a day such as 2026-01-31") from None
    return text


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("give ISO 8601, such as 2026-12-01T09:00:00+01:00") from None
    return text


def _id(text: str) -> str:
    try:
        UUID(text)
    except ValueError:
        raise ValueError("give an id (a UUID); names go under `names`") from None
    return text


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("give a name")
    return text


def size_of_memory(text: str) -> str:
    """The text, when it is a size of memory.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"\s*\d+(\.\d+)?\s*([KMGT]i?B|%)\s*", text, re.IGNORECASE):
        raise ValueError("give a size such as 512MB or 2GB")
    return text


def moment_of(text: str | None) -> datetime | None:
    """A checked moment; without an offset it is UTC."""
    if not text:
        return None
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


#: A cron rule; a day; an IANA time zone; a regular expression; a time in ISO 8601; a UUID; a size
#: of memory; any text.
Cron = Annotated[str, AfterValidator(_cron)]
Day = Annotated[str, AfterValidator(_day)]
Zone = Annotated[str, AfterValidator(_zone)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Moment = Annotated[str, AfterValidator(_moment)]
Id = Annotated[str, AfterValidator(_id)]
Size = Annotated[str, AfterValidator(size_of_memory)]
Name = Annotated[str, AfterValidator(_name)]
