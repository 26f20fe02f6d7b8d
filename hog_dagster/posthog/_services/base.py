"""What every service of the client shares: calling an endpoint, reading its response into models.

Facts: the register of endpoints; which answers a write may give is each endpoint's effect.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from pydantic import TypeAdapter, ValidationError

from hog_dagster._shared.secrets import without_arguments
from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._listing import by_id_or_name, id_of
from hog_dagster.posthog._pagination.lists import read_all, read_cursor, walk_cursor
from hog_dagster.posthog._pagination.time_walk import PageSizes
from hog_dagster.posthog._responses import Response, decode
from hog_dagster.posthog._retry import NO_LIMITS, CallLimits
from hog_dagster.posthog._transport.transport import Transport
from hog_dagster.posthog._write_outcomes import has_shape, success_flaw
from hog_dagster.posthog.models.base import Model

logger = logging.getLogger("hog_dagster.posthog")

M = TypeVar("M", bound=Model)
S = TypeVar("S", bound="Service")
E = TypeVar("E", bound=errors.PostHogError)

#: Keys of rows that are the address of a person.
_ADDRESSES = ("email", "identifier")
#: Rows asked for per page of a list; servers clamp more than this.
PAGE = 500
#: Pages of a list that should have none; beyond this it goes round in circles.
MOST_PAGES = 1_000


class Service:
    """The endpoints of one kind of object, in one project.

    A service whose objects have names sets `_noun` and overrides `_every`; then each of its
    endpoints takes a name for an id.
    """

    #: What its objects are, in the plural.
    _noun: str = ""

    def __init__(self, transport: Transport, project_id: int) -> None:
        self._transport = transport
        self._project_id = project_id
        self._limits = NO_LIMITS
        #: What responses showed of the server; services that differ in limits alone share it.
        self._facts: dict[str, Any] = {}
        self._others: dict[type[Service], Service] = {}
        #: What is known of the pages of each endpoint.
        self._sizes: defaultdict[str, PageSizes] = defaultdict(PageSizes)

    def _with_limits(self, limits: CallLimits) -> Self:
        """This service with calls that keep to limits too; it shares everything else."""
        limited = copy.copy(self)
        limited._limits = self._limits.and_also(limits)
        return limited

    def _beside(self, kind: type[S]) -> S:
        """Another service of the project, within this one's limits."""
        if kind not in self._others:
            self._others[kind] = kind(self._transport, self._project_id)
        return cast("S", self._others[kind])._with_limits(self._limits)

    def _send(
        self,
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        retry: bool | None = None,
        timeout: float | None = None,
    ) -> Response:
        """The endpoint's answer of status 2xx; of a write, in the endpoint's own shape.

        Raises:
            OutcomeUnknown: a write was answered with something else.
        """
        given = arguments or {}
        for name, value in given.items():
            if not str(value).strip() or str(value) in (".", ".."):
                raise ValueError(f"{endpoint.name}: {name} is empty")

        def ask(id: str | None = None) -> Response:
            return self._transport.send(
                endpoint,
                self._project_id,
                given if id is None else {**given, "id": id},
                params=params,
                body=body,
                headers=headers,
                retry=retry,
                timeout=timeout,
                limits=self._limits,
            )

        id = given.get("id")
        if self._noun and isinstance(id, str):
            again = endpoint.effect == "read"
            response = by_id_or_name(id, ask, self._every, self._noun, again=again)
        else:
            response = ask()
        if endpoint.effect != "read":
            if flaw := success_flaw(response, read(response)):
                raise malformed(response, flaw)
            if has_shape(response):
                response.recognised()
        return response

    def _every(self) -> Iterable[Model]:
        """All objects of the service, to find one by its name."""
        raise NotImplementedError

    def _id(self, id: str) -> str:
        """The id of an object given by its id or its name, for SQL."""
        return id_of(id, self._every, self._noun) if self._noun else id

    def _call(
        self, endpoint: Endpoint, arguments: Mapping[str, object] | None = None, **options: Any
    ) -> Any:
        """The endpoint's answer as Python values; None for an empty body."""
        return read(self._send(endpoint, arguments, **options))

    def _one(
        self,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None = None,
        **options: Any,
    ) -> M:
        """The endpoint's answer as one model."""
        response = self._send(endpoint, arguments, **options)
        return shaped(response, model, read(response))

    def _many(
        self,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None = None,
        **options: Any,
    ) -> list[M]:
        """The endpoint's answer, a bare array, as models.

        Should a build answer in pages, all of them are read.
        """
        response = self._send(endpoint, arguments, **options)
        data = read(response)
        if isinstance(data, dict) and is_page(data) and "next" in data:
            return list(self._following(model, endpoint, arguments, response, data, options))
        return shaped(response, list[model], data)

    def _following(
        self,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None,
        response: Response,
        page: dict[str, Any],
        options: Mapping[str, Any],
    ) -> Iterator[M]:
        """The rows of a page and of all that follow it, each row once.

        Only the query of ``next`` is used, on the endpoint's own path: it may name another host.
        """
        seen: set[str] = set()
        params: dict[str, Any] | None = None
        for _ in range(MOST_PAGES):
            rows: list[M] = shaped(response, list[model], page["results"])
            for row in rows:
                mark = str(getattr(row, "id", None) or row.model_dump_json())
                if mark not in seen:
                    seen.add(mark)
                    yield row
            following = page["next"]
            if not following:
                count = page.get("count")
                if isinstance(count, int) and count > len(seen):
                    raise errors.UnsettledList(
                        f"{endpoint.name}: {len(seen)} rows came of {count}: the list changed "
                        "while it was read. Try again."
                    )
                return
            if not isinstance(following, str) or not (query := urlsplit(following).query):
                raise malformed(response, "its next page cannot be asked for")
            last, params = params, {**(options.get("params") or {}), **dict(parse_qsl(query))}
            if params == last:
                raise malformed(response, "its next page is itself")
            response = self._send(endpoint, arguments, **{**options, "params": params})
            page = read(response)
            if not isinstance(page, dict) or not is_page(page) or "next" not in page:
                raise malformed(response, "it is no page of the list")
        raise malformed(response, f"the list has more than {MOST_PAGES} pages")

    def _paged(
        self,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        limit: int = PAGE,
        key: str = "id",
    ) -> Iterator[M]:
        """Every row of a limit/offset list once, as models, lazily."""
        reading = Reading(self, model, endpoint, arguments, key=key)

        def fetch(size: int, offset: int) -> Any:
            return reading.page({**(params or {}), "limit": size, "offset": offset or None})

        return reading.models(read_all(fetch, limit=limit, identify=lambda row: row[key]))

    def _by_cursor(
        self,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> Iterator[M]:
        """Every row of a cursor list once, as models, lazily."""
        reading = Reading(self, model, endpoint, arguments, key=key)

        def fetch(cursor: str | None) -> tuple[list[Any], str | None]:
            page = reading.page({**(params or {}), "cursor": cursor})
            return page["results"], read_cursor(page.get("next"))

        return reading.models(walk_cursor(fetch, identify=reading.identify))


class Reading(Generic[M]):
    """One reading of a list: its pages as they are asked for, its rows as models.

    Every row must have the ``key`` and is told apart by it; without one by its id, or as a whole.
    """

    _last: Response

    def __init__(
        self,
        service: Service,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None = None,
        *,
        key: str = "",
    ) -> None:
        self._ask = lambda params: service._send(endpoint, arguments, params=params)
        self._model, self._key = model, key

    def body(self, params: Mapping[str, Any]) -> Any:
        """A response of the list, read."""
        self._last = self._ask(params)
        return read(self._last)

    def page(
        self, params: Mapping[str, Any], shown: Callable[[Any], bool] | None = None
    ) -> dict[str, Any]:
        """A page of the list: a body for which ``shown`` holds, by default :func:`is_page`."""
        page = self.body(params)
        if not (shown or is_page)(page):
            raise self.malformed("it is no page of a list")
        self.checked(page["results"])
        self._last.recognised()
        return page

    def checked(self, rows: list[Any]) -> list[dict[str, Any]]:
        """The rows, each an object that has the key."""
        if not all(isinstance(row, dict) for row in rows):
            raise self.malformed("not every row is an object")
        if self._key and not all(
            isinstance(row.get(self._key), str | int) and row[self._key] != "" for row in rows
        ):
            raise self.malformed(f"not every row has {self._key}")
        return rows

    def identify(self, row: Mapping[str, Any]) -> str:
        """What tells a row apart."""
        return str(row[self._key] if self._key else row.get("id") or row)

    def models(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[M]:
        """The rows as models, lazily."""
        for row in rows:
            if self._key:
                yield row_of(self._last, self._model, row, self._key)
            else:
                yield shaped(self._last, self._model, row)

    def malformed(self, why: str) -> errors.PostHogError:
        """The error for the last response."""
        return malformed(self._last, why)


def is_page(body: Any) -> bool:
    """Whether a body is a page of a list, and not something else that holds ``results``."""
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        return False
    return "next" in body or isinstance(body.get("count"), int)


def read(response: Response) -> Any:
    """The body of a 2xx answer as Python values; None when it is empty.

    Raises:
        MalformedResponse: it is a web page or broken JSON, and nothing was changed by asking.
        OutcomeUnknown: the same after a write.
    """
    if not response.content.strip():
        return None
    if response.is_html:
        raise malformed(response, "it is a web page, so POSTHOG_HOST is probably wrong")
    try:
        return decode(response.content)
    except ValueError:
        raise malformed(response, "it is not whole JSON, or nested too deeply") from None


def counted(response: Response, name: str) -> int:
    """The whole number of this name in a body."""
    body = read(response)
    number = body.get(name) if isinstance(body, dict) else None
    if not isinstance(number, int):
        raise malformed(response, f"it holds no {name}")
    response.recognised()
    return number


def shaped(response: Response, shape: Any, data: Any) -> Any:
    """``data`` as ``shape``: a model, or a list of one."""
    try:
        if isinstance(shape, type) and issubclass(shape, Model):
            found = shape.model_validate(data)
        else:
            found = _adapter(shape).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        # What a reader of ours says quotes what it read.
        why = first["msg"] if first["type"] != "value_error" else "it cannot be read"
        raise malformed(response, f"{where}: {why}") from None
    if _is_more_than_anything(response, found):
        response.recognised()
    return found


def row_of(response: Response, model: type[M], row: Mapping[str, Any], key: str) -> M:
    """A row of a list as a model. A field that cannot be read is left out with a warning, so that
    one odd object costs no other one. No warning repeats an address."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        said = error.errors(include_input=False, include_url=False)
    odd = {str(one["loc"][0]) for one in said if one["loc"]} - {key}
    kept = {name: value for name, value in row.items() if name not in odd}
    if len(kept) < len(row):
        named = row.get("id", "") if key in _ADDRESSES else row[key]
        logger.warning(
            "%s: %s has an odd %s, which is passed over",
            response.endpoint.name,
            f"{model.__name__} {str(named)[:100]}".rstrip(),
            ", ".join(sorted(odd)),
        )
    return shaped(response, model, kept)


def _is_more_than_anything(response: Response, found: Any) -> bool:
    """Whether a body holds something of its shape: all fields of some models may be missing, so any
    object is one, as an empty array is any list."""
    if isinstance(found, Model):
        return bool(found.model_fields_set & set(type(found).model_fields))
    return response.content.strip() != b"[]"


_adapter = functools.cache(TypeAdapter)


def instead(kind: type[E], error: errors.PostHogError, message: str) -> E:
    """Another error in the place of one, with all that is known of it."""
    names = ("status", "code", "detail", "attr", "method", "url", "request_id", "outcome")
    return kind(message, **{name: getattr(error, name) for name in names})


def malformed(response: Response, why: str) -> errors.PostHogError:
    """The error for a 2xx answer that cannot be used: by whether asking changed something."""
    kind, rest = errors.MalformedResponse, ""
    if response.endpoint.effect != "read":
        kind = errors.OutcomeUnknown
        rest = " It may have happened: find out before sending it again."
    url = without_arguments(response.url)
    path = url.partition("?")[0]
    return kind(
        f"{response.endpoint.method} {path} answered {response.status} with a body that cannot be "
        f"used: {why}.{rest}",
        status=response.status,
        method=response.endpoint.method,
        url=url,
        request_id=response.request_id,
    )
