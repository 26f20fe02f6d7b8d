"""What all models share: unknown fields are kept, known ones are read leniently.

Facts: shapes of PostHog's responses that changed between server generations.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Count",
    "Creator",
    "Instant",
    "LenientDict",
    "LenientInstant",
    "LenientList",
    "Model",
    "User",
    "UserReference",
    "utc",
]

T = TypeVar("T")


class Model(BaseModel):
    """Base of all models. Fields PostHog adds are in ``model_extra``, never an error."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", populate_by_name=True, protected_namespaces=()
    )

    def __repr__(self) -> str:
        """One line: what it is called, its id and its state; ``model_dump()`` has all of it."""
        shown = [
            f"{name}={_short(value)}"
            for name in _SHOWN
            if name in type(self).model_fields and (value := getattr(self, name, None)) is not None
        ]
        if not shown:
            shown = [
                f"{name}={_short(value)}"
                for name in list(type(self).model_fields)[:4]
                if (value := getattr(self, name, None)) is not None
            ]
        return f"{type(self).__name__}({', '.join(shown[:5])})"

    __str__ = __repr__


#: Fields that tell an object apart, in this order.
_SHOWN = (
    "name",
    "derived_name",
    "group_key",
    "group_type",
    "short_id",
    "id",
    "instance_id",
    "invocation_id",
    "timestamp",
    "level",
    "type",
    "status",
    "enabled",
    "version",
    "updated_at",
    "count",
    "message",
)
_WIDEST = 40


def _short(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S %Z}".strip()
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= _WIDEST else f"{value[: _WIDEST - 3]}...")
    if isinstance(value, list | tuple | dict):
        return f"{len(cast('list[Any]', value))} items"
    return type(value).__name__


def _list(value: Any) -> Any:
    # Old rows hold {} where a list belongs, and null where nothing was ever set.
    return [] if value is None or value == {} else value


def _dict(value: Any) -> Any:
    return {} if value is None or value == [] else value


def utc(value: Any) -> Any:
    """A time as PostHog writes it, or a datetime, as an aware one in UTC."""
    if isinstance(value, str):
        # Some endpoints write an empty text where a time is not known.
        value = datetime.fromisoformat(value) if value else None
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except OverflowError:  # in UTC it lies before year 1 or after year 9999
            raise ValueError("a time that no calendar of UTC has") from None
    return value


#: A number as databases keep it: a larger one is a mistake, and costs its own object alone.
Count = Annotated[int, Field(ge=-(2**63), lt=2**63)]
LenientList = Annotated[list[T], BeforeValidator(_list)]
LenientDict = Annotated[dict[str, Any], BeforeValidator(_dict)]
#: A point in time, always aware and in UTC; one without a zone is read as UTC.
Instant = Annotated[datetime, BeforeValidator(utc)]


def _utc_or_none(value: Any) -> Any:
    try:
        read = utc(value)
    except ValueError:
        return None
    return read if isinstance(read, datetime) else None


#: The same; what cannot be read as a time is None, so that one odd row costs no list.
LenientInstant = Annotated[datetime | None, BeforeValidator(_utc_or_none)]


class User(Model):
    """Who made something: ``created_by`` of most objects."""

    id: int | None = None
    uuid: str | None = None
    distinct_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None


#: A user as an object, an integer id, a UUID, or nobody, depending on server and endpoint.
UserReference = User | int | str | None


def _creator(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return User.model_validate(value)
        except ValueError:
            return User.model_construct(**cast("dict[str, Any]", value))
    return value if value is None or isinstance(value, (int, str, User)) else str(value)


#: The same where an odd one must stay visible as somebody: nobody at all means something there.
Creator = Annotated[UserReference, BeforeValidator(_creator)]
