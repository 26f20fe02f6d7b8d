"""The ``query`` service: HogQL, and reading a whole table of any size with it, page by page.

Facts: PostHog's query view, the constants and functions of its HogQL, and a running server's
answers: 100 rows without a LIMIT and 50,000 at most, times in the project's zone with an offset,
an identical query answered from a cache for hours unless ``refresh`` forces a new one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import msgspec

from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import insights as endpoints
from hog_dagster.posthog._responses import Response
from hog_dagster.posthog._services.base import Service, malformed, read
from hog_dagster.posthog._services.fields import given

#: Rows PostHog answers a query with at most; it cuts a larger LIMIT down without a word.
MOST_ROWS = 50_000
#: Seconds: a query may wait for half a minute and then run for one.
TIMEOUT_S = 150.0
_NAME_LENGTH = 128


@dataclass(frozen=True, slots=True)
class QueryPage:
    """Rows of one response.

    Attributes:
        columns: the columns' names.
        types: ClickHouse's type of each column, ``DateTime64(6, 'UTC')`` say.
        rows: the values of each row, as the response's JSON holds them.
        size: bytes of the response.
        cut: whether PostHog says that there are more rows than these.
    """

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]
    size: int = 0
    cut: bool = False

    def __len__(self) -> int:
        return len(self.rows)


class Queries(Service):
    """SQL over the project's data: ``client.query``."""

    def rows(
        self,
        sql: str,
        *,
        values: Mapping[str, Any] | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_S,
    ) -> list[dict[str, Any]]:
        """The rows of one query, all of them: POST .../query/, scope query:read.

        Always calculated anew, never from PostHog's cache. For more than 50,000 rows see
        :meth:`pages`.

        Args:
            sql: one SELECT in HogQL. Without a LIMIT PostHog answers 100 rows.
            values: what stands for ``{name}`` in the SQL.
            name: what PostHog's query log calls it, 128 characters.
            tags: ``productKey`` and ``scene`` for the query log.
            timeout: seconds to wait for the response.

        Returns:
            A mapping per row. Times are text with the offset of the project's zone.

        Raises:
            QueryTooLarge: there are more rows than came, or it took too long.
            InvalidRequest: PostHog cannot read the SQL; ``detail`` says what is wrong with it.
            ValueError: two columns have the same name.

        Example:
            >>> client.query.rows("SELECT event, count() AS n FROM events GROUP BY event LIMIT 500")
        """
        page, _ = self._page(sql, values, name, tags, timeout)
        if len(set(page.columns)) < len(page.columns):
            raise ValueError(f"query: several columns have one name: {', '.join(page.columns)}")
        if page.cut or len(page) >= MOST_ROWS:
            raise errors.QueryTooLarge(
                f"POST /query/: there may be more than the {len(page):,} rows that came. "
                + ("Put a LIMIT into the SQL, " if page.cut else "Narrow it, ")
                + "or read it with client.query.pages()."
            )
        return [dict(zip(page.columns, row, strict=True)) for row in page.rows]

    def page(
        self,
        sql: str,
        *,
        values: Mapping[str, Any] | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_S,
    ) -> QueryPage:
        """One response as it came: POST .../query/, scope query:read, one request.

        At most 50,000 rows; 100 without a LIMIT in the SQL. For all rows see :meth:`pages`.

        Args:
            sql, values, name, tags, timeout: as of :meth:`rows`.

        Raises:
            QueryTooLarge: it took too long, or too much memory.
            InvalidRequest: PostHog cannot read the SQL.
        """
        return self._page(sql, values, name, tags, timeout)[0]

    def pages(
        self,
        sql: str,
        *,
        key: Sequence[str],
        values: Mapping[str, Any] | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = MOST_ROWS,
        timeout: float = TIMEOUT_S,
    ) -> Iterator[QueryPage]:
        """Every row of a query once, lazily, in ascending order of ``key``: POST .../query/.

        Scope query:read. One request per ``limit`` rows. Each asks for the rows from the last key
        on, so rows that come or go elsewhere meanwhile hide none and double none. Rows with one
        key always come in one page; a row that is stored twice comes twice.

        Args:
            sql: one SELECT without ORDER BY and LIMIT, whose columns have names.
            key: the columns to order and page by: text, numbers, dates or times, never null.
            values: what stands for ``{name}`` in the SQL.
            name: what PostHog's query log calls it.
            tags: ``productKey`` and ``scene`` for the query log.
            limit: rows per request, at most 50,000.
            timeout: seconds to wait for each response.

        Raises:
            QueryTooLarge: it took too long, or a whole page of rows has one key.
            InvalidRequest: PostHog cannot read the SQL.
            ValueError: no key, or one whose type cannot be compared.
        """
        if not key:
            raise ValueError("query: pages() needs a key to page by")
        if not 1 <= limit <= MOST_ROWS:
            raise ValueError(f"query: limit={limit}; PostHog answers 1 to {MOST_ROWS:,} rows")
        ask = partial(self._page, values=values, name=name, tags=tags, timeout=timeout)
        return self._walk(ask, sql, list(key), limit)

    def _walk(
        self, ask: Callable[[str], tuple[QueryPage, Response]], sql: str, key: list[str], limit: int
    ) -> Iterator[QueryPage]:
        order, where, before = ", ".join(key), "", None
        while True:
            text = f"SELECT * FROM ({sql}){where} ORDER BY {order} LIMIT {limit}"  # noqa: S608
            page, response = ask(text)
            if len(page) == 0:
                return
            if missing := [column for column in key if column not in page.columns]:
                raise ValueError(f"query: the key column {missing[0]} is not selected")
            if self._sizes[endpoints.QUERY_ROWS.name].is_last(len(page), limit):
                yield page
                return
            places = [page.columns.index(column) for column in key]
            last = [page.rows[-1][place] for place in places]
            end = len(page) - 1
            while end and [page.rows[end - 1][place] for place in places] == last:
                end -= 1
            if end == 0:
                if len(page) < limit:
                    yield page
                    return
                raise errors.QueryTooLarge(
                    f"POST /query/: {limit:,} rows or more have one {order}. Add columns to the "
                    "key that tell them apart."
                )
            if last == before:
                raise malformed(response, "it holds rows from before the key that was asked for")
            before = last
            if None in last:
                column = key[last.index(None)]
                raise ValueError(f"query: the key column {column} is null in some rows")
            where = " WHERE " + from_key(key, last, [page.types[place] for place in places])
            del page.rows[end:]
            yield page
            del page  # else two pages are held while the next one comes

    def _page(
        self,
        sql: str,
        values: Mapping[str, Any] | None,
        name: str | None,
        tags: Mapping[str, str] | None,
        timeout: float,
    ) -> tuple[QueryPage, Response]:
        """The rows of one response, and the response."""
        query = given(kind="HogQLQuery", query=sql, values=dict(values or {}) or None)
        labels: dict[str, Any] = {}
        if "labels refused" not in self._facts:
            labels = given(name=(name or "")[:_NAME_LENGTH] or None, tags=dict(tags or {}) or None)
        body = {"query": {**query, **labels}, "refresh": "force_blocking"}
        try:
            response = self._send(endpoints.QUERY_ROWS, body=body, timeout=timeout)
        except errors.InvalidRequest as error:
            if not labels or not _about_labels(error):
                raise
            self._facts["labels refused"] = True
            body["query"] = query
            response = self._send(endpoints.QUERY_ROWS, body=body, timeout=timeout)
        return _page_of(response), response


def _about_labels(error: errors.InvalidRequest) -> bool:
    """Whether a server older than names and tags of queries complains about those."""
    said = (error.detail or "").lower()
    return "extra" in said and (".name" in said or ".tags" in said or "forbidden" in said)


class _Body(msgspec.Struct):
    """A response of the usual shape. Rows are tuples: Python's garbage collector looks at every
    list again and again, which takes four times as long as reading them."""

    results: list[tuple[Any, ...]]
    columns: list[str]
    types: list[tuple[str, str]] | None = None
    hasMore: bool | None = None
    error: None = None


_USUAL = msgspec.json.Decoder(_Body)


def _page_of(response: Response) -> QueryPage:
    try:
        body = _USUAL.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _unusual(response)
    response.recognised()
    types = [kind for _, kind in body.types or ()]
    return _page(response, body.columns, types, body.results, bool(body.hasMore))


def _unusual(response: Response) -> QueryPage:
    """A response that says something else, or less: what is wrong with it, or what it holds."""
    body = read(response)
    if not isinstance(body, dict):
        raise malformed(response, "it is no object")
    if body.get("error"):
        raise errors.InvalidRequest(
            f"POST /query/ answered with an error: {body['error']}",
            status=response.status,
            detail=str(body["error"]),
            method=response.endpoint.method,
            url=response.url,
        )
    rows, columns = body.get("results"), body.get("columns")
    if not isinstance(rows, list) or not isinstance(columns, list):
        raise malformed(response, "it holds no results and columns")
    if not all(isinstance(row, list) for row in rows):
        raise malformed(response, "its rows have not one value per column")
    if not all(isinstance(column, str) for column in columns):
        raise malformed(response, "not every column has a name")
    kinds = body.get("types")
    types = [
        str(item[1]) if isinstance(item, list) and len(item) > 1 else ""
        for item in (kinds if isinstance(kinds, list) else [])
    ]
    return _page(response, columns, types, [tuple(row) for row in rows], bool(body.get("hasMore")))


def _page(
    response: Response,
    columns: list[str],
    types: list[str],
    rows: list[tuple[Any, ...]],
    more: bool,
) -> QueryPage:
    width = len(columns)
    if not set(map(len, rows)) <= {width}:
        raise malformed(response, "its rows have not one value per column")
    if len(types) != width:
        types = [""] * width
    return QueryPage(columns, types, rows, len(response.content), more)


def from_key(
    key: Sequence[str], values: Sequence[Any], types: Sequence[str], *, strictly: bool = False
) -> str:
    """The condition for rows from these key values on, in ascending order, nulls last.

    Args:
        key: the columns.
        values: theirs, as a response holds them.
        types: ClickHouse's, as the response names them.
        strictly: without the rows that have these values themselves.

    Raises:
        ValueError: a value cannot be compared with in HogQL.
    """
    column, value, kind = identifier(key[0]), values[0], types[0]
    rest = from_key(key[1:], values[1:], types[1:], strictly=strictly) if len(key) > 1 else ""
    if value is None:
        if _bare(kind).startswith("Float"):
            raise ValueError(f"query: the key column {key[0]} holds NaN; leave those rows out")
        return f"({column} IS NULL AND {rest})" if rest else ("1 = 0" if strictly else _null(key))
    literal = _literal(key[0], value, kind)
    nulls = f" OR {_null(key)}" if kind == "" or "Nullable(" in kind else ""
    if rest:
        return f"({column} > {literal}{nulls} OR ({column} = {literal} AND {rest}))"
    later = f"{column} {'>' if strictly else '>='} {literal}{nulls}"
    return f"({later})" if nulls else later


def identifier(name: str) -> str:
    """A column's name as HogQL writes it."""
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _null(key: Sequence[str]) -> str:
    return f"{identifier(key[0])} IS NULL"


def _bare(kind: str) -> str:
    """A type without what wraps it: `LowCardinality(Nullable(String))` is `String`."""
    while kind.startswith(("LowCardinality(", "Nullable(")):
        kind = kind.partition("(")[2][:-1]
    return kind


def _literal(column: str, value: Any, kind: str) -> str:
    """A value of a response as HogQL writes it."""
    bare = _bare(kind)
    if re.match(r"DateTime64\([789]\b", bare):
        raise ValueError(
            f"query: the key column {column} of type {kind} has more digits than answers show: "
            f"select toDateTime64({column}, 6)"
        )
    if bare.startswith("DateTime"):
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError(f"query: the key column {column} holds times without an offset")
        return instant(moment)
    if bare.startswith("Date"):
        return f"toDate({quoted(date.fromisoformat(str(value)[:10]).isoformat())})"
    if isinstance(value, str) and bare == "UUID":
        return f"toUUID({quoted(value)})"
    if isinstance(value, str) and (bare in ("String", "") or bare.startswith("FixedString")):
        return quoted(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    raise ValueError(
        f"query: cannot page by {column} of type {kind or type(value).__name__}: select it as "
        "text, toString(...)"
    )


def instant(moment: datetime) -> str:
    """A moment as HogQL writes it, exact to the microsecond, whatever the project's time zone.

    Every server keeps the microseconds of this; those of 2025 have no toDateTime64.

    Args:
        moment: a time with a zone.

    Returns:
        A HogQL expression, to be put into a query as it is.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return f"toDateTime('{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z')"


def quoted(text: str) -> str:
    """Text as HogQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
