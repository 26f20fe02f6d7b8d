"""What every service of the client shares: calling an endpoint, reading its response into models.

Facts: the register of endpoints; which answers a write may give is each endpoint's effect.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import TypeAdapter, ValidationError

from hog_dagster._shared.secrets import without_arguments
from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._listing import by_id_or_name, id_of
from hog_dagster.posthog._pagination.offset_pages import read_all
from hog_dagster.posthog._responses import Response, decode
from hog_dagster.posthog._transport.call_limits import NO_LIMITS, CallLimits
from hog_dagster.posthog._transport.transport import Transport
from hog_dagster.posthog._write_outcomes import has_shape, success_flaw
from hog_dagster.posthog.models.base import Model

__all__ = ["Service"]

logger = logging.getLogger("hog_dagster.posthog")

M = TypeVar("M", bound=Model)

#: Rows asked for per page of a list; servers clamp more than this.
PAGE = 500
#: Pages of a list that should have none; beyond this it goes round in circles.
MOST_PAGES = 1_000


class Service:
    """A family of endpoints of one project.

    A family whose objects have names sets `_noun` and overrides `_every`; then each of its
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

    def _with_limits(self, limits: CallLimits) -> Self:
        """This service with calls that keep to limits too; it shares everything else."""
        limited = copy.copy(self)
        limited._limits = self._limits.and_also(limits)
        for name, part in vars(self).items():
            if isinstance(part, Service):
                setattr(limited, name, part._with_limits(limits))
        return limited

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
                raise misshapen(response, flaw)
            if has_shape(response):
                response.recognised()
        return response

    def _every(self) -> Iterable[Model]:
        """All objects of the family, to find one by its name."""
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
                raise misshapen(response, "its next page cannot be asked for")
            last, params = params, {**(options.get("params") or {}), **dict(parse_qsl(query))}
            if params == last:
                raise misshapen(response, "its next page is itself")
            response = self._send(endpoint, arguments, **{**options, "params": params})
            page = read(response)
            if not isinstance(page, dict) or not is_page(page) or "next" not in page:
                raise misshapen(response, "it is no page of the list")
        raise misshapen(response, f"the list has more than {MOST_PAGES} pages")

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
        last: Response | None = None

        def fetch(size: int, offset: int) -> Any:
            nonlocal last
            query = {**(params or {}), "limit": size, "offset": offset or None}
            last = self._send(endpoint, arguments, params=query)
            page = read(last)
            if not is_page(page):
                raise misshapen(last, "it is no page of a list")
            rows = page["results"]
            if not all(isinstance(r, dict) and isinstance(r.get(key), str | int) for r in rows):
                raise misshapen(last, f"not every row has {key}")
            last.recognised()
            return page

        for row in read_all(fetch, limit=limit, identify=lambda row: row[key]):
            assert last is not None
            yield row_of(last, model, row, key)


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
        raise misshapen(response, "it is a web page, so POSTHOG_HOST is probably wrong")
    try:
        return decode(response.content)
    except ValueError:
        raise misshapen(response, "it is not whole JSON, or nested too deeply") from None


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
        raise misshapen(response, f"{where}: {why}") from None
    if _is_more_than_anything(response, found):
        response.recognised()
    return found


def row_of(response: Response, model: type[M], row: Mapping[str, Any], key: str) -> M:
    """A row of a list as a model. A field that cannot be read is left out with a warning, so that
    one odd object costs no other one."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        said = error.errors(include_input=False, include_url=False)
    odd = {str(one["loc"][0]) for one in said if one["loc"]} - {key}
    kept = {name: value for name, value in row.items() if name not in odd}
    if len(kept) < len(row):
        logger.warning(
            "%s: %s %s has an odd %s, which is passed over",
            response.endpoint.name,
            model.__name__,
            str(row[key])[:100],
            ", ".join(sorted(odd)),
        )
    return shaped(response, model, kept)


def _is_more_than_anything(response: Response, found: Any) -> bool:
    """Whether a body holds something of its shape: all fields of some models may be missing, so any
    object is one, as an empty array is any list."""
    if isinstance(found, Model):
        return bool(found.model_fields_set & set(type(found).model_fields))
    return response.content.strip() != b"[]"


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(shape: Any) -> TypeAdapter[Any]:
    if shape not in _adapters:
        _adapters[shape] = TypeAdapter(shape)
    return _adapters[shape]


def misshapen(response: Response, why: str) -> errors.PostHogError:
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
