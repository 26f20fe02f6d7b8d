"""The base of every record of settings, and the kinds of values they hold, checked when given.

Facts: YAML writes one item of a list as a text, reads `2026-08-01` as a date and `yes` as true; a
cron rule, a zone or a regular expression that cannot be read fails much later, in a tick or a run.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from enum import Enum
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from hog_dagster._shared.described import Described

T = TypeVar("T")
#: Several values, kept as a tuple; one alone may be given, and any collection in Python.
if TYPE_CHECKING:
    Many = Collection[T]
else:
    Many = tuple[T, ...]


class Record(Described, BaseModel):
    """A group of settings: it cannot change, knows its fields, and takes one item for a list."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields.get(info.field_name or "")
        return value if field is None else as_meant(value, field.annotation)


def as_meant(value: Any, hint: Any) -> Any:
    """A value of YAML as the field means it: one item as a list of one, a date as text. A
    boolean or an infinite number in the place of something else is a ValueError."""
    kinds = kinds_of(hint)
    if isinstance(value, bool) and bool not in kinds and kinds & {int, float, str, list}:
        raise ValueError("give " + ("a number" if kinds & {int, float} else "a text in quotes"))
    if isinstance(value, float) and not math.isfinite(value) and kinds & {int, float}:
        raise ValueError("give a finite number")
    if isinstance(value, date | datetime) and not kinds & {date, datetime}:
        value = value.isoformat()
    if list in kinds and not kinds & {str, dict}:
        one = isinstance(value, str | int | float)
        one = one or (isinstance(value, Mapping) and _holds_records(hint))
        return [value] if one else cast("Any", value)
    return cast("Any", value)


def _holds_records(hint: Any) -> bool:
    """Whether items of a list are records, which YAML writes as mappings."""
    if isinstance(hint, type) and not get_origin(hint):
        return issubclass(hint, BaseModel)
    return any(_holds_records(one) for one in get_args(hint))


def same_id(text: str) -> str:
    """An id in one spelling: a UUID in lower case with dashes, anything else as it is.

    Upper case, no dashes, braces and a `urn:uuid:` prefix are spellings of one UUID.
    """
    stripped = text.strip()
    try:
        return str(UUID(stripped))
    except ValueError:
        return stripped


def kinds_of(hint: Any) -> set[Any]:
    """The plain types a field takes: `list` for any sequence, `dict` for any mapping."""
    origin = get_origin(hint)
    if origin is Annotated:
        return kinds_of(get_args(hint)[0])
    if origin in (Union, UnionType):
        return {kind for arg in get_args(hint) for kind in kinds_of(arg)}
    if origin in (list, tuple, Sequence):
        return {list}
    if origin in (dict, Mapping):
        return {dict}
    if origin is Literal:
        return {str}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {str}
    return {hint}


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Asks whether the known word that is nearest was meant; `otherwise` where none is near."""
    folded = {one.casefold(): one for one in known}
    near = get_close_matches(word.casefold(), folded, 1, 0.6)
    return f"did you mean {folded[near[0]]}?" if near else otherwise


def unknown_field(path: str, known: Iterable[str], parent: str = "") -> str:
    """The sentence for a field at `path` that there is not."""
    names = sorted(known)
    hint = did_you_mean(path.removeprefix(f"{parent}."), names, f"there are {', '.join(names)}.")
    hint = f"did you mean {names[0]}?" if len(names) == 1 else hint
    return f"{path} is no field{f' of {parent}' if parent else ''}: {hint}"


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
        hint = did_you_mean(text, available_timezones(), "such as Europe/Berlin or UTC")
        raise ValueError(f"give an IANA time zone; {hint}") from None
    return text


def _pattern(text: str) -> str:
    if not text.strip():
        raise ValueError("give a regular expression; an empty one matches nothing")
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


def day_that_came(text: str) -> str:
    """The text, when it is a day since 2020 that has begun (UTC); else a ValueError."""
    day = date.fromisoformat(_day(text))
    if day > datetime.now(UTC).date():
        raise ValueError("give a day that has begun: before it there is no partition to read")
    if day.year < 2020:
        raise ValueError("give a day since 2020: PostHog keeps rows for 90 days")
    return text


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("give ISO 8601, such as 2026-12-01T09:00:00+01:00") from None
    return text


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("give an id (a UUID); names go under `names`") from None


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("give a name")
    return text


def _short_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError(
            "give a short id, such as the aB3xY9zQ of /insights/aB3xY9zQ; titles go under `names`"
        )
    return text


def _asset_path(text: str) -> str:
    if not all(part.strip() for part in text.split("/")):
        raise ValueError("give an asset key with a slash between its parts, such as marts/users")
    return text


def _tag_key(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9_.-]{1,63}/|dagster/kind/)?[A-Za-z0-9_.-]{1,63}", text):
        raise ValueError(
            "a tag's key has letters, digits, _, - and ., at most 63 of them, and one / at most"
        )
    return text


def _tag_value(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,63}", text):
        raise ValueError("a tag's value has letters, digits, _, - and ., at most 63 of them")
    return text


def _pool(text: str) -> str:
    if not re.fullmatch(r"\S+", text):
        raise ValueError("give the name of a pool, without spaces")
    return text


def size_of_memory(text: str) -> str:
    """The text, when it is a size of memory; else a ValueError."""
    if not re.fullmatch(r"\s*\d+(\.\d+)?\s*([KMGT]i?B|%)\s*", text, re.IGNORECASE):
        raise ValueError("give a size such as 512MB or 2GB")
    return text


def moment_of(text: str | None) -> datetime | None:
    """A checked moment; without an offset it is UTC."""
    if not text:
        return None
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


#: A cron rule; a day; an IANA time zone; a regular expression; a time in ISO 8601; a UUID; the
#: short id of an insight; a size of memory; an asset key; key and value of a tag; a pool; any text.
Cron = Annotated[str, AfterValidator(_cron)]
Day = Annotated[str, AfterValidator(_day)]
Zone = Annotated[str, AfterValidator(_zone)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Moment = Annotated[str, AfterValidator(_moment)]
Id = Annotated[str, AfterValidator(_id)]
ShortId = Annotated[str, AfterValidator(_short_id)]
Size = Annotated[str, AfterValidator(size_of_memory)]
AssetPath = Annotated[str, AfterValidator(_asset_path)]
TagKey = Annotated[str, AfterValidator(_tag_key)]
TagValue = Annotated[str, AfterValidator(_tag_value)]
Pool = Annotated[str, AfterValidator(_pool)]
Name = Annotated[str, AfterValidator(_name)]
