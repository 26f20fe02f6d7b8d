"""What an endpoint is to the sandbox: a path, a method, the scopes it asks, and a function that
answers it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode
from zoneinfo import ZoneInfo

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._auth import Key
from hog_dagster.sandbox.api._query_slots import QuerySlots
from hog_dagster.sandbox.world import Clock, Generation, World

_JSON = "application/json"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(kw_only=True)
class Site:
    """What handlers know of the server that they answer for."""

    clock: Clock
    world: World
    generation: Generation = "current"
    project_id: int = 1
    #: The project's time zone by name; `zone` is the same as an object.
    timezone: str = "UTC"
    seed: int = 1
    #: Whether rows of equal time come in another order on each request.
    shuffle_ties: bool = False
    #: Names of endpoints that answer 404 ``Endpoint not found.``; may change at any time.
    missing: set[str] = field(default_factory=set)
    #: Queries at the same time; its settings may change at any time.
    queries: QuerySlots = field(default_factory=QuerySlots)

    @property
    def newer(self) -> bool:
        """Whether this is one of the newer generations."""
        return self.generation != "docs"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


@dataclass
class Answer:
    """A success: a body to encode as JSON (None: no body; bytes: as they are), status, headers."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One request, as a handler sees it."""

    site: Site
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    raw_body: bytes
    args: Mapping[str, str]
    base_url: str
    key: Key
    project_id: int

    @property
    def now(self) -> datetime:
        return self.site.clock.now()

    @property
    def agent(self) -> bool:
        """Whether the client says it is an agent, which newer servers allow less."""
        return self.headers.get("x-posthog-client", "").lower() == "mcp"

    def param(self, name: str) -> str | None:
        """The last value of a query parameter; an empty one counts as not given."""
        values = self.params(name)
        return values[-1] or None if values else None

    def params(self, name: str) -> list[str]:
        """All values of a repeated query parameter."""
        return parse_qs(self.query, keep_blank_values=True).get(name, [])

    def link(self, **changes: Any) -> str:
        """This request's own address with other query parameters; None takes one away."""
        params = {**dict(parse_qsl(self.query, keep_blank_values=True)), **changes}
        kept = sorted((name, value) for name, value in params.items() if value is not None)
        return f"{self.base_url}{self.path}?{urlencode(kept)}"

    def data(self) -> Any:
        """The parsed body, {} when empty. A list makes older servers crash."""
        if not self.raw_body:
            return {}
        media_type = self.headers.get("content-type", "").split(";")[0].strip()
        if media_type == _JSON:
            try:
                found = json.loads(self.raw_body)
            except ValueError as error:
                raise errors.parse_error(f"JSON parse error - {error}") from None
            if isinstance(found, list) and not self.site.newer:
                raise errors.server_error()
            return found
        if media_type == _FORMS[0]:
            return dict(parse_qsl(self.raw_body.decode("utf-8", "replace"), keep_blank_values=True))
        if media_type in _FORMS:
            return {}
        raise errors.unsupported_media_type(self.headers.get("content-type", ""))

    def object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        data = self.data()
        if not isinstance(data, dict):
            raise errors.bad_input(
                f"Invalid data. Expected a dictionary, but got {type(data).__name__}.",
                "non_field_errors",
            )
        return data


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Endpoint:
    """One method on one path."""

    method: str
    #: Below ``/api/projects/{project_id}/``, unless it begins with a slash.
    path: str
    handler: Handler
    #: What a key needs; () for none in particular; None when no key may call it.
    scopes: tuple[str, ...] | None
    #: An action beyond list, retrieve, create, update and destroy.
    custom: bool = False


@dataclass(frozen=True)
class EndpointGroup:
    """Endpoints that share a throttle bucket; `public` ones need no key and are not throttled, and
    some are answered as CSV on request."""

    name: str
    endpoints: tuple[Endpoint, ...]
    bucket: str = "default"
    public: bool = False
    csv: bool = False


def fields(row: object, names: str, **more: Any) -> dict[str, Any]:
    """The named fields of a row in this order; `more` has those that the row lacks or has
    otherwise."""
    return {name: more[name] if name in more else getattr(row, name) for name in names.split()}


def odd_time(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """A listed row with the `created_at` that the world's switch of that name asks for."""
    how = call.site.world.created_at
    if how is None:
        return row
    if how == "missing":
        return {name: value for name, value in row.items() if name != "created_at"}
    return {**row, "created_at": None if how == "null" else how}


def read_datetime(text: str, zone: Any = UTC) -> datetime:
    """An ISO-8601 datetime; one without an offset is read in `zone`."""
    value = datetime.fromisoformat(text)
    return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC)
