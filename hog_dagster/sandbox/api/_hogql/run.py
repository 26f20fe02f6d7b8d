"""Running HogQL: names resolved, functions translated, the query run by DuckDB over the sandbox's
tables.

Facts: PostHog's HogQL, as far as reading logs, metrics, runs, events and groups needs it: a default
of 100 rows, at most 50,000, dates in the project's time zone, errors as the server words them.
"""

import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
from dateutil.parser import isoparse
from sqlglot import exp

from hog_dagster.sandbox.api._calls import Site
from hog_dagster.sandbox.api._hogql.dialect import parse, pretty, printed, source_of
from hog_dagster.sandbox.api._hogql.functions import FUNCTIONS, MACROS, unsupported
from hog_dagster.sandbox.api._hogql.tables import SORTED_BY, STAR, SYSTEM, load
from hog_dagster.sandbox.api._hogql.types import cells, column_type
from hog_dagster.sandbox.api._insight_math.query_data import Computed, TooSlow, UserError

DEFAULT_LIMIT, MAX_LIMIT = 100, 50_000
RUNS = "hog_invocation_results"
#: Tables that servers of the docs generation do not have.
NEWER_TABLES = ("hog_invocation_results",)
#: Functions that servers of the docs generation do not have.
NEWER_FUNCTIONS = re.compile(r"\b(toDateTime64)\s*\(", re.IGNORECASE)
_JSON = {
    "properties": "properties",
    "person.properties": "person_properties",
    **{f"group_{index}.properties": f"group_{index}_properties" for index in range(5)},
}
#: Functions with two pairs of brackets, of which the first has a level.
_LEVELS = (exp.ParameterizedAgg, exp.Quantile)
#: Functions of the present: the sandbox's clock says when that is.
_PRESENT = {"now": "timestamptz", "today": "date", "yesterday": "date"}
_ALIASES = {
    "person.id": "person_id",
    "person.created_at": "person_created_at",
    **{f"group_{index}.key": f"$group_{index}" for index in range(5)},
}


#: Connections that no query uses; making one takes 40 ms, most queries take less.
_IDLE: deque[duckdb.DuckDBPyConnection] = deque(maxlen=8)


def _connect() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:", config={"threads": 1})
    con.execute("SET enable_external_access = false")
    for macro in MACROS:
        con.execute(macro)
    return con


def run(site: Site, query: dict[str, Any]) -> Computed:
    """Answer a HogQLQuery: UserError for a 400, TooSlow for a 504."""
    text = str(query.get("query") or "")
    if not site.newer and (unknown := NEWER_FUNCTIONS.search(text)):
        raise UserError(unsupported(unknown[1], without=unknown[1]))
    tree = parse(text, query.get("values"))
    selected = [item.copy() for item in tree.selects]
    names = [_name(item) for item in selected]
    starless = [item.copy() for item in _below_stars(tree).selects]
    limit = _limit(tree)
    text = pretty(tree, DEFAULT_LIMIT + 1 if limit is None else None)
    tables = {name: _named_values(tree, name) for name in _tables(site, tree)}
    _Resolver(tree, [*tables], site.clock.now().astimezone(site.zone)).resolve()
    if limit is None:
        tree = tree.limit(DEFAULT_LIMIT + 1, copy=False)
    elif limit > MAX_LIMIT:
        tree = tree.limit(MAX_LIMIT, copy=False)
    text_to_run = tree.sql(dialect="duckdb", normalize_functions=False)
    try:
        con = _IDLE.pop()
    except IndexError:
        con = _connect()
    try:
        con.execute(f"SET TimeZone = '{site.timezone}'")
        for name, only in tables.items():
            con.register(name, load(site, name, only))
        try:
            if site.queries.sorted_a_second is not None and not site.queries.allows(
                _sorted(con, tree)
            ):
                raise TooSlow
            relation = con.sql(text_to_run)
            described = list(zip(relation.columns, map(str, relation.types), strict=True))
            found: pa.Table = relation.to_arrow_table()
        except duckdb.Error as error:
            raise UserError(_complaint(error)) from None
    finally:
        for name in tables:
            con.unregister(name)
        _IDLE.append(con)
    kinds = [kind for _, kind in described]
    # A star may stand for one column.
    starred = any(isinstance(item, exp.Star) or item.is_star for item in selected)
    starred = starred or len(names) != len(described)
    columns = [name for name, _ in described] if starred else names
    nodes: list[exp.Expr | None] = [None] * len(described)
    if len(starless) == len(described) and not any(item.is_star for item in starless):
        nodes = [*starless]
    elif len(starless) == 1:
        nodes = [exp.column(name) for name, _ in described]
    more: bool | None = None
    if limit is None:
        more, found = found.num_rows > DEFAULT_LIMIT, found.slice(0, DEFAULT_LIMIT)
    shown = [cells(column, site.zone) for column in found.columns]
    return Computed(
        [list(row) for row in zip(*shown, strict=True)],
        has_more=more,
        columns=columns,
        types=[
            [name, column_type(node, kind, site.timezone)]
            for name, node, kind in zip(columns, nodes, kinds, strict=True)
        ],
        hogql=text,
        limit=DEFAULT_LIMIT if limit is None else None,
        offset=0 if limit is None else None,
    )


def _sorted(con: duckdb.DuckDBPyConnection, tree: exp.Query) -> int:
    """How many rows the query sorts."""
    if tree.args.get("order") is None:
        return 0
    whole = tree.copy()
    for clause in ("order", "limit", "offset"):
        whole.set(clause, None)
    inner = whole.sql(dialect="duckdb", normalize_functions=False)
    return int(con.sql(f"SELECT count(*) FROM ({inner})").fetchall()[0][0])  # noqa: S608


def _name(node: exp.Expr) -> str:
    return node.alias if isinstance(node, exp.Alias) else printed(node)


def _below_stars(tree: exp.Query) -> exp.Query:
    """The SELECT whose columns `SELECT * FROM (...)` shows, as many of them as stand around it."""
    while isinstance(tree, exp.Select) and len(tree.selects) == 1 and tree.selects[0].is_star:
        inner = source_of(tree)
        if not isinstance(inner, exp.Subquery) or tree.args.get("joins"):
            break
        below = inner.unnest()
        if not isinstance(below, exp.Query):
            break
        tree = below
    return tree


def _limit(tree: exp.Query) -> int | None:
    clause = tree.args.get("limit")
    if clause is None:
        return None
    value = clause.expression
    if not isinstance(value, exp.Literal) or value.is_string:
        raise UserError("LIMIT must be a number")
    return int(value.this)


def _tables(site: Site, tree: exp.Query) -> list[str]:
    """The real tables a query reads. Raises UserError for one that does not exist."""
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    found: dict[str, None] = {}
    for table in tree.find_all(exp.Table):
        _of_the_database(site, table)
        name = table.name
        if name in local:
            continue
        unknown = name not in STAR or (name in NEWER_TABLES and not site.newer)
        unknown = unknown or (name == RUNS and "hogql_runs" in site.missing)
        if unknown or table.db:
            raise UserError(f"Unknown table `{name}`.")
        found[name] = None
    return list(found)


def _of_the_database(site: "Site", table: exp.Table) -> None:
    """``system.<name>`` under the name that the table has here, where the server has it."""
    name = f"{SYSTEM}{table.name}"
    has = site.generation == "current" and "hogql_system" not in site.missing
    if table.db == "system" and name in STAR and has:
        alias = table.alias_or_name
        table.set("db", None)
        table.set("this", exp.to_identifier(name))
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    elif table.name.startswith(SYSTEM) or table.db == "system":
        raise UserError(f"Unknown table `{table.db + '.' if table.db else ''}{table.name}`.")


def _named_values(tree: exp.Query, name: str) -> dict[str, list[str]]:
    """The values a query names of the columns that its table is sorted by: column -> values.

    Only conditions that every row must meet, of a table that the query reads once and alone.
    """
    found: dict[str, list[str]] = {}
    (table, *more) = [table for table in tree.find_all(exp.Table) if table.name == name]
    select = table.parent_select
    if more or not isinstance(select, exp.Select) or select.args.get("joins"):
        return found
    where = select.args.get("where")
    for condition in where.this.flatten() if where and isinstance(where.this, exp.And) else ():
        column = condition.this
        if not isinstance(column, exp.Column) or column.table or condition.args.get("query"):
            continue
        if column.name not in SORTED_BY.get(name, ()):
            continue
        if isinstance(condition, exp.EQ):
            values = [condition.expression]
        elif isinstance(condition, exp.In):
            values = condition.expressions
        else:
            continue
        if values and all(isinstance(value, exp.Literal) and value.is_string for value in values):
            texts = {value.this for value in values}
            found[column.name] = sorted(texts.intersection(found.get(column.name, texts)))
    return found


class _Resolver:
    """Turns HogQL's names and functions into DuckDB's, in place."""

    def __init__(self, tree: exp.Query, tables: list[str], now: datetime) -> None:
        self.tree = tree
        self.now = now
        self.tables = tables
        self.known = {column for table in tables for column in STAR[table]}
        self.known |= set(_JSON.values()) if "events" in tables else {"properties"} & self.known
        self.local = {alias.alias for alias in tree.find_all(exp.Alias)}
        self.local |= {item.name for item in tree.find_all(exp.Lambda) for item in item.expressions}
        self.sources = {table.alias_or_name for table in tree.find_all(exp.Table)}
        self.sources |= {sub.alias for sub in tree.find_all(exp.Subquery) if sub.alias}
        self.sources |= {cte.alias for cte in tree.find_all(exp.CTE)}

    def resolve(self) -> None:
        for select in list(self.tree.find_all(exp.Select)):
            self._star(select)
        calls = self.tree.find_all(exp.Anonymous, exp.AnonymousAggFunc, *_LEVELS)
        for node in reversed(list(calls)):  # the innermost first
            if isinstance(node, _LEVELS):
                self._quantile(node)
            else:
                self._function(node)
        for node in list(self.tree.find_all(exp.Bracket)):
            self._bracket(node)
        for node in list(self.tree.find_all(exp.Column)):
            self._column(node)

    def _star(self, select: exp.Select) -> None:
        table = source_of(select)
        if not isinstance(table, exp.Table) or table.name not in self.tables:
            return
        whole = [exp.column(name, quoted=True) for name in STAR[table.name]]
        parts = [whole if isinstance(item, exp.Star) else [item] for item in select.expressions]
        select.set("expressions", [item for part in parts for item in part])

    def _bracket(self, node: exp.Bracket) -> None:
        """``properties['key']``: JSON is read as text."""
        column = node.this
        if not isinstance(column, exp.Column) or len(node.expressions) != 1:
            return
        chain, key = self._chain(column), node.expressions[0]
        held = _JSON.get(".".join(chain))
        if held and isinstance(key, exp.Literal) and key.is_string:
            node.replace(_extract(held, [key.this]))

    def _column(self, node: exp.Column) -> None:
        chain = self._chain(node)
        if isinstance(node.this, exp.Star) or not chain:
            return
        for length in (2, 1):
            held = _JSON.get(".".join(chain[:length]))
            if held and held in self.known and len(chain) > length:
                node.replace(_extract(held, chain[length:]))
                return
        whole = ".".join(chain)
        name = _JSON.get(whole) or _ALIASES.get(whole) or chain[-1]
        if len(chain) > 1 and whole not in _JSON and whole not in _ALIASES:
            raise UserError(f"Unable to resolve field: {chain[0]}")
        if name not in self.known and name not in self.local and not self._hidden(name):
            raise UserError(f"Unable to resolve field: {whole}")
        table = node.table if node.table in self.sources else None
        node.replace(exp.column(name, table=table, quoted=True))

    def _hidden(self, name: str) -> bool:
        return "events" in self.tables and name in ("person_created_at", "person_properties")

    def _chain(self, node: exp.Column) -> list[str]:
        parts = [part.name for part in node.parts]
        return parts[1:] if len(parts) > 1 and parts[0] in self.sources else parts

    def _function(self, node: exp.Anonymous | exp.AnonymousAggFunc) -> None:
        name = node.this if isinstance(node.this, str) else node.this.name
        lower, args = name.lower(), node.expressions
        if lower not in FUNCTIONS:
            raise UserError(unsupported(name))
        if FUNCTIONS[lower] in ("todatetime", "todatetime64") and args:
            self._moment(node, args)
        elif lower in ("grouparray", "groupuniqarray"):
            _collected(node, unique=lower == "groupuniqarray")
        elif lower in _PRESENT:
            moment = self.now - timedelta(days=lower == "yesterday")
            text = str(moment if lower == "now" else moment.date())
            node.replace(exp.cast(exp.Literal.string(text), _PRESENT[lower]))
        elif lower == "multiif":
            _cases(node)
        elif lower in ("uniq", "uniqexact", "countdistinct"):
            distinct = exp.Distinct(expressions=[arg.copy() for arg in args])
            node.replace(exp.Count(this=distinct))
        else:
            found = [arg.copy() for arg in args]
            node.replace(exp.Anonymous(this=FUNCTIONS[lower], expressions=found))

    def _moment(self, node: exp.Expr, args: list[exp.Expr]) -> None:
        """A written date becomes the instant it means; of anything else only the type changes."""
        first, zone = args[0], None
        if len(args) > 1 and isinstance(args[-1], exp.Literal) and args[-1].is_string:
            zone = args[-1].this
        if isinstance(first, exp.Literal) and first.is_string:
            node.replace(_instant(first.this, zone))
        elif isinstance(first, exp.Literal):
            node.replace(exp.Anonymous(this="to_timestamp", expressions=[first.copy()]))
        else:
            node.replace(exp.cast(first.copy(), "timestamptz"))

    def _quantile(self, node: exp.ParameterizedAgg | exp.Quantile) -> None:
        if isinstance(node, exp.Quantile):
            args = [node.this.copy(), node.args["quantile"].copy()]
            node.replace(exp.Anonymous(this="quantile_cont", expressions=args))
            return
        name = str(node.this if isinstance(node.this, str) else node.this.name).lower()
        if name not in ("quantile", "quantileexact"):
            raise UserError(unsupported(name))
        value, level = node.args["params"][0].copy(), node.expressions[0].copy()
        node.replace(exp.Anonymous(this="quantile_cont", expressions=[value, level]))


def _extract(column: str, keys: list[str]) -> exp.Expr:
    path = "$" + "".join(f'."{key}"' for key in keys)
    args = [exp.column(column, quoted=True), exp.Literal.string(path)]
    return exp.Anonymous(this="json_extract_string", expressions=args)


def _collected(node: exp.Expr, *, unique: bool) -> None:
    """groupArray leaves nulls out, which DuckDB's list does not."""
    inner = node.expressions[0] if node.expressions else exp.Null()
    if isinstance(inner, exp.Distinct):
        unique, inner = True, inner.expressions[0]
    value = inner.copy()
    arg = exp.Distinct(expressions=[value]) if unique else value
    listed = exp.Anonymous(this="list", expressions=[arg])
    given = exp.Not(this=exp.Is(this=inner.copy(), expression=exp.Null()))
    found: exp.Expr = exp.Filter(this=listed, expression=exp.Where(this=given))
    if unique:
        found = exp.Anonymous(this="list_sort", expressions=[found])
    node.replace(exp.Coalesce(this=found, expressions=[exp.Array(expressions=[])]))


def _cases(node: exp.Expr) -> None:
    args = [arg.copy() for arg in node.expressions]
    case = exp.Case()
    for index in range(0, len(args) - 1, 2):
        case = case.when(args[index], args[index + 1], copy=False)
    node.replace(case.else_(args[-1], copy=False))


def _instant(text: str, zone: str | None) -> exp.Expr:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        try:
            value = isoparse(text)
        except ValueError:
            raise UserError(f"Cannot parse string '{text}' as DateTime") from None
    naive = value.tzinfo is None
    words = value.isoformat(sep=" ")
    if naive and zone:
        stamp = exp.cast(exp.Literal.string(words), "timestamp")
        return exp.Anonymous(this="timezone", expressions=[exp.Literal.string(zone), stamp])
    return exp.cast(exp.Literal.string(words), "timestamptz")


def _complaint(error: duckdb.Error) -> str:
    lines = iter(_sentences(str(error)))
    first = next(lines, "Query failed")
    missing = re.search(r'Referenced column "([^"]+)"', first)
    return f"Unable to resolve field: {missing[1]}" if missing else first


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip():
            yield re.sub(r"^\w+( \w+)? Error: ", "", line.strip())
