"""What all models share: unknown fields are kept, known ones are read leniently.

Facts: shapes of PostHog's answers that changed between server generations.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = ["Instant", "LenientDict", "LenientList", "Model", "User", "UserReference", "utc"]

T = TypeVar("T")


class Model(BaseModel):
    """Base of all models. Fields PostHog adds are in ``model_extra``, never an error."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


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
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return value


LenientList = Annotated[list[T], BeforeValidator(_list)]
LenientDict = Annotated[dict[str, Any], BeforeValidator(_dict)]
#: A point in time, always aware and in UTC; one without a zone is read as UTC.
Instant = Annotated[datetime, BeforeValidator(utc)]


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
