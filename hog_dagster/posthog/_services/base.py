"""What every service of the client shares: calling an endpoint, reading its answer into models.

Facts: the register of endpoints; which answers a write may give is each endpoint's effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import TypeAdapter, ValidationError

from hog_dagster._shared.secrets import without_arguments
from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._listing import by_id_or_name, id_of
from hog_dagster.posthog._pagination.offset_pages import read_all
from hog_dagster.posthog._responses import Answer, decode
from hog_dagster.posthog._transport.transport import Transport
from hog_dagster.posthog._write_outcomes import has_shape, success_flaw
from hog_dagster.posthog.models.base import Model

__all__ = ["Service"]

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
    ) -> Answer:
        """The endpoint's answer of status 2xx; of a write, in the endpoint's own shape.

        Raises:
            OutcomeUnknown: a write was answered with something else.
        """
        given = arguments or {}
        for name, value in given.items():
            if not str(value).strip() or str(value) in (".", ".."):
                raise ValueError(f"{endpoint.name}: {name} is empty")

        def ask(id: str | None = None) -> Answer:
            return self._transport.send(
                endpoint,
                self._project_id,
                given if id is None else {**given, "id": id},
                params=params,
                body=body,
                headers=headers,
                retry=retry,
                timeout=timeout,
            )

        id = given.get("id")
        if self._noun and isinstance(id, str):
            answer = by_id_or_name(id, ask, self._every, self._noun)
        else:
            answer = ask()
        if endpoint.effect != "read":
            if flaw := success_flaw(answer, read(answer)):
                raise misshapen(answer, flaw)
            if has_shape(answer):
                answer.recognised()
        return answer

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
        answer = self._send(endpoint, arguments, **options)
        return shaped(answer, model, read(answer))

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
        answer = self._send(endpoint, arguments, **options)
        data = read(answer)
        if isinstance(data, dict) and is_page(data) and "next" in data:
            return list(self._following(model, endpoint, arguments, answer, data, options))
        return shaped(answer, list[model], data)

    def _following(
        self,
        model: type[M],
        endpoint: Endpoint,
        arguments: Mapping[str, object] | None,
        answer: Answer,
        page: dict[str, Any],
        options: Mapping[str, Any],
    ) -> Iterator[M]:
        """The rows of a page and of all that follow it, each row once.

        Only the query of ``next`` is used, on the endpoint's own path: it may name another host.
        """
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            rows: list[M] = shaped(answer, list[model], page["results"])
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
                raise misshapen(answer, "its next page cannot be asked for")
            params = {**(options.get("params") or {}), **dict(parse_qsl(query))}
            answer = self._send(endpoint, arguments, **{**options, "params": params})
            page = read(answer)
            if not isinstance(page, dict) or not is_page(page) or "next" not in page:
                raise misshapen(answer, "it is no page of the list")
        raise misshapen(answer, f"the list has more than {MOST_PAGES} pages")

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
        last: Answer | None = None

        def fetch(size: int, offset: int) -> Any:
            nonlocal last
            query = {**(params or {}), "limit": size, "offset": offset or None}
            last = self._send(endpoint, arguments, params=query)
            page = read(last)
            if not is_page(page):
                raise misshapen(last, "it is no page of a list")
            if not all(isinstance(row, dict) and key in row for row in page["results"]):
                raise misshapen(last, f"not every row has {key}")
            last.recognised()
            return page

        for row in read_all(fetch, limit=limit, identify=lambda row: row[key]):
            assert last is not None
            yield shaped(last, model, row)


def is_page(body: Any) -> bool:
    """Whether a body is a page of a list, and not something else that holds ``results``."""
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        return False
    return "next" in body or isinstance(body.get("count"), int)


def read(answer: Answer) -> Any:
    """The body of a 2xx answer as Python values; None when it is empty.

    Raises:
        MalformedAnswer: it is a web page or broken JSON, and nothing was changed by asking.
        OutcomeUnknown: the same after a write.
    """
    if not answer.content.strip():
        return None
    if answer.is_html:
        raise misshapen(answer, "it is a web page, so POSTHOG_HOST is probably wrong")
    try:
        return decode(answer.content)
    except ValueError:
        raise misshapen(answer, "it is not whole JSON, or nested too deeply") from None


def shaped(answer: Answer, shape: Any, data: Any) -> Any:
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
        raise misshapen(answer, f"{where}: {why}") from None
    if _is_more_than_anything(answer, found):
        answer.recognised()
    return found


def _is_more_than_anything(answer: Answer, found: Any) -> bool:
    """Whether a body holds something of its shape: all fields of some models may be missing, so any
    object is one, as an empty array is any list."""
    if isinstance(found, Model):
        return bool(found.model_fields_set & set(type(found).model_fields))
    return answer.content.strip() != b"[]"


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(shape: Any) -> TypeAdapter[Any]:
    if shape not in _adapters:
        _adapters[shape] = TypeAdapter(shape)
    return _adapters[shape]


def misshapen(answer: Answer, why: str) -> errors.PostHogError:
    """The error for a 2xx answer that cannot be used: by whether asking changed something."""
    kind, rest = errors.MalformedAnswer, ""
    if answer.endpoint.effect != "read":
        kind = errors.OutcomeUnknown
        rest = " It may have happened: find out before sending it again."
    url = without_arguments(answer.url)
    path = url.partition("?")[0]
    return kind(
        f"{answer.endpoint.method} {path} answered {answer.status} with a body that cannot be "
        f"used: {why}.{rest}",
        status=answer.status,
        method=answer.endpoint.method,
        url=url,
        request_id=answer.request_id,
    )
