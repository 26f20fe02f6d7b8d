"""Statements that only PostgreSQL has: its catalog, locks, COPY, keys and grants.

Nothing outlives its transaction: settings are local to it, so that a pooler may hand the connection
to somebody else at its end.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp

from hog_dagster.warehouse._sql.dialects import Dialect, Statement, quote
from hog_dagster.warehouse._sql.statements import Statements, bound
from hog_dagster.warehouse.schema import Column, Table, Window

__all__ = [
    "COLUMNS",
    "DIALECT",
    "HOLDER",
    "KEY",
    "KIND",
    "LOCK_TIMEOUT",
    "MAY_READ",
    "PLAIN",
    "ROLE_EXISTS",
    "SCHEMA_EXISTS",
    "SETTINGS",
    "TABLE_COMMENT",
    "add_key",
    "copy_from",
    "copy_to",
    "count_in",
    "delete_all",
    "digits",
    "drop_constraint",
    "grants",
    "holds_no_value",
    "index_by_time",
    "insert_last",
    "lock",
    "loses_digits",
    "table_ref",
    "take_replaced",
    "wire",
]

DIALECT = Dialect("postgres", binds=True)
PLAIN = Dialect("postgres")
"""For statements without placeholders."""

SETTINGS = (
    "SET LOCAL TIME ZONE 'UTC'; SET LOCAL client_encoding = 'UTF8'; "
    "SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; "
    "SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; "
    "SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off; "
    "SET LOCAL transform_null_equals = off"
)
LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
HOLDER = """
    SELECT a.pid, coalesce(a.client_addr::text, 'the server itself')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted
      AND (l.classid::bigint << 32) | l.objid::bigint = ANY(%s)
"""
# A domain is the type it is made of; all enums are one type.
COLUMNS = """
    SELECT a.attname, kind.name, a.attnotnull, col_description(c.oid, a.attnum)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (
        WITH RECURSIVE made_of(id, modifier) AS (
            SELECT a.atttypid, a.atttypmod
            UNION ALL
            SELECT t.typbasetype, t.typtypmod
            FROM made_of JOIN pg_type t ON t.oid = made_of.id AND t.typtype = 'd'
        )
        SELECT CASE t.typtype WHEN 'e' THEN 'enum' ELSE format_type(id, modifier) END AS name
        FROM made_of JOIN pg_type t ON t.oid = made_of.id AND t.typtype <> 'd'
    ) AS kind
    WHERE n.nspname = %s AND c.relname = %s
    ORDER BY a.attnum
"""
KIND = (
    "SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relname = %s"
)
KEY = """
    SELECT k.conname, array(
        SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
        ORDER BY u.place)
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'p' AND n.nspname = %s AND c.relname = %s
"""
TABLE_COMMENT = (
    "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
)
SCHEMA_EXISTS = "SELECT to_regnamespace(%s) IS NOT NULL"
ROLE_EXISTS = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
MAY_READ = (
    "SELECT coalesce(has_schema_privilege(%s, to_regnamespace(%s)::oid, 'USAGE') "
    "AND has_table_privilege(%s, to_regclass(%s)::oid, 'SELECT'), false)"
)


def table_ref(table: Table) -> str:
    """The table's name in a statement without placeholders."""
    return f"{quote(table.schema)}.{quote(table.name)}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(quote(name) for name in names)


def lock(*, shared: bool) -> str:
    """Take an advisory lock until the end of the transaction."""
    return f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(%s)"


def copy_from(target: str, columns: Sequence[str]) -> str:
    """Take rows from the client in binary."""
    return f"COPY {target} ({_names(columns)}) FROM STDIN (FORMAT binary)"


def copy_to(query: str) -> str:
    """Give the rows of a query to the client as CSV."""
    return f"COPY ({query}) TO STDOUT (FORMAT csv)"


def take_replaced(table: Table, stage: str) -> str:
    """Take away the rows whose key is among the staged ones."""
    same = " AND ".join(f"t.{quote(name)} = s.{quote(name)}" for name in table.key)
    return f"DELETE FROM {table_ref(table)} t USING {stage} s WHERE {same}"


def insert_last(table: Table, stage: str, number: str) -> str:
    """Insert of the staged rows the last one of each key."""
    names, keys = _names(table.column_names), _names(table.key)
    return (
        f"INSERT INTO {table_ref(table)} ({names}) SELECT DISTINCT ON ({keys}) {names} "
        f"FROM {stage} ORDER BY {keys}, {quote(number)} DESC"
    )


def wire(statements: Statements, name: str) -> exp.Expr:
    """A column as CSV text that Arrow reads without guessing."""
    term = statements.term(name)
    if isinstance(term, exp.Null):
        return term
    column, kind = statements.column(name), statements.table.column(name).type
    if kind in ("timestamptz", "timestamp"):
        # extract() is exact (numeric); the count of microseconds needs no date parser.
        seconds = exp.Extract(this=exp.var("epoch"), expression=column)
        million = exp.Literal.number(1_000_000)
        return exp.cast(exp.paren(exp.Mul(this=seconds, expression=million)), "bigint")
    if kind == "bytes":
        return exp.Anonymous(this="encode", expressions=[column, exp.Literal.string("hex")])
    return exp.cast(column, "int") if kind == "boolean" else column


def count_in(table: Table, windows: Sequence[Window], scope: Mapping[str, Any]) -> Statement:
    """How many rows lie between two neighbours of all the windows' ends: one pass whatever the
    number of windows."""
    ends = sorted({end for window in windows for end in (window.start, window.end)})
    time_column = table.time_column or ""
    naive = table.column(time_column).type == "timestamp"
    statements = Statements(DIALECT, table)
    only = statements.condition_sql(Window(ends[0], ends[-1]), scope)
    column = DIALECT.sql(statements.column(time_column))
    return Statement(
        f"SELECT width_bucket({column}, %s), count(*) FROM {DIALECT.sql(statements.target)} "
        f"WHERE {only.sql} GROUP BY 1",
        [[bound(end, naive) for end in ends], *only.values],
    )


def holds_no_value(table: Table, column: Column) -> str:
    """Whether a column is null in every row."""
    name = quote(column.name)
    return f"SELECT NOT EXISTS (SELECT 1 FROM {table_ref(table)} WHERE {name} IS NOT NULL)"


def loses_digits(table: Table, column: Column) -> str:
    """Whether a column holds a whole number beyond those that are all doubles too."""
    name = quote(column.name)
    return (
        f"SELECT EXISTS (SELECT 1 FROM {table_ref(table)} "
        f"WHERE {name} NOT BETWEEN -9007199254740992 AND 9007199254740992)"
    )


def digits(table: Table, columns: Sequence[str]) -> str:
    """Of each column of numeric: how many digits it has after the point at most, and its greatest
    number (NaN is greater than any)."""
    terms = (f"max(scale({quote(name)})), max(abs({quote(name)}))" for name in columns)
    return f"SELECT {', '.join(terms)} FROM {table_ref(table)}"


def index_by_time(table: Table) -> str:
    """An index of a few kilobytes whatever the table's size, which loads do not feel: rows of one
    window are next to each other, which is all a block range index needs."""
    time = quote(table.time_column or "")
    return f"CREATE INDEX ON {table_ref(table)} USING brin ({time}) WITH (autosummarize)"


def add_key(table: Table) -> str:
    """Make the declared key the primary key."""
    return f"ALTER TABLE {table_ref(table)} ADD PRIMARY KEY ({_names(table.key)})"


def delete_all(table: Table) -> str:
    """Take all rows of a table out."""
    return f"DELETE FROM {table_ref(table)}"


def drop_constraint(table: Table, name: str) -> str:
    """Take a constraint away."""
    return f"ALTER TABLE {table_ref(table)} DROP CONSTRAINT {quote(name)}"


def grants(table: Table, role: str) -> list[str]:
    """Let a role read the table."""
    return [
        f"GRANT USAGE ON SCHEMA {quote(table.schema)} TO {quote(role)}",
        f"GRANT SELECT ON TABLE {table_ref(table)} TO {quote(role)}",
    ]
