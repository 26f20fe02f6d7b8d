"""Statements that only PostgreSQL has: its catalog, locks, COPY, keys and grants.

Nothing outlives its transaction: settings are local to it, so that a pooler may hand the connection
to somebody else at its end.
"""

from collections.abc import Sequence

from sqlglot import exp

from hog_dagster.warehouse._sql.dialects import Dialect, quote
from hog_dagster.warehouse._sql.statements import Statements
from hog_dagster.warehouse.schema import Table

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


def drop_constraint(table: Table, name: str) -> str:
    """Take a constraint away."""
    return f"ALTER TABLE {table_ref(table)} DROP CONSTRAINT {quote(name)}"


def grants(table: Table, role: str) -> list[str]:
    """Let a role read the table."""
    return [
        f"GRANT USAGE ON SCHEMA {quote(table.schema)} TO {quote(role)}",
        f"GRANT SELECT ON TABLE {table_ref(table)} TO {quote(role)}",
    ]
