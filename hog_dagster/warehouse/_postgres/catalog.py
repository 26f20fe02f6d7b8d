"""PostgreSQL's catalog: tables made and widened as declared, keys, comments, grants.

Run inside the transaction of a load. Nothing is changed, and no lock taken, where all is as
declared already. Facts: pg_class, pg_attribute, pg_constraint in PostgreSQL's manual.
"""

import hashlib
from dataclasses import replace
from typing import Any

import psycopg

from hog_dagster.warehouse._sql.conditions import literal, quote
from hog_dagster.warehouse.base import plan_changes
from hog_dagster.warehouse.errors import SchemaConflict
from hog_dagster.warehouse.schema import Column, Table

__all__ = ["advisory_key", "check_names", "describe_table", "prepare", "sql_type", "table_ref"]

_TYPES = {
    "text": "text",
    "bigint": "bigint",
    "integer": "integer",
    "double": "double precision",
    "boolean": "boolean",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "date": "date",
    "json": "jsonb",
    "bytes": "bytea",
}
_NAMES: dict[str, str] = {sql: name for name, sql in _TYPES.items()}
_LONGEST_NAME = 63


def sql_type(type_name: str) -> str:
    """PostgreSQL's name of one of our column types."""
    return _TYPES.get(type_name) or type_name.replace("decimal", "numeric")


def table_ref(table: Table) -> str:
    return f"{quote(table.schema)}.{quote(table.name)}"


def advisory_key(*parts: str) -> int:
    """The number of an advisory lock for these words: 64 bits, signed."""
    digest = hashlib.blake2b("|".join(("hog_dagster", *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def check_names(table: Table) -> None:
    """SchemaConflict for a name PostgreSQL would cut short in silence."""
    for name in (table.schema, table.name, *table.column_names):
        if len(name.encode()) > _LONGEST_NAME:
            raise SchemaConflict(
                f"{table.schema}.{table.name}: PostgreSQL cuts names at {_LONGEST_NAME} bytes, "
                f"and {name!r} is longer; give it a shorter one"
            )


def describe_table(con: psycopg.Connection[Any], table: Table) -> list[Column] | None:
    """The table's real columns with their comments, or None."""
    rows = con.execute(
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               col_description(c.oid, a.attnum)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = %s AND c.relname = %s
        ORDER BY a.attnum
        """,
        [table.schema, table.name],
    ).fetchall()
    columns = [
        Column(name, _type_name(kind), comment or "", not required)
        for name, kind, required, comment in rows
    ]
    return columns or None


def _type_name(kind: str) -> str:
    return _NAMES.get(kind) or kind.replace("numeric(", "decimal(")


def prepare(
    con: psycopg.Connection[Any], table: Table, reader_role: str | None, *, whole: bool
) -> None:
    """Make the table, or bring it to the declaration. SchemaConflict where no rule does that.

    ``whole`` says that all rows are about to be deleted, so that columns may change their types.
    """
    _take_over(con, table)
    if not _changes(con, table, reader_role, whole=whole):
        return
    # One at a time from here on: CREATE ... IF NOT EXISTS and GRANT fail when they meet themselves.
    con.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("ddl", table.schema)])
    for statement in _changes(con, table, reader_role, whole=whole):
        try:
            con.execute(statement.encode())
        except (psycopg.IntegrityError, psycopg.NotSupportedError, psycopg.InternalError) as error:
            # Old rows that break a new key, a view that hangs on a column's type.
            raise SchemaConflict(
                f"{table.schema}.{table.name} cannot be brought to its declaration: "
                f"{error.diag.message_primary}"
            ) from error


def _take_over(con: psycopg.Connection[Any], table: Table) -> None:
    """Rename the table from what it was called before, where only that one is there."""
    if not table.former or describe_table(con, table) is not None:
        return
    con.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("ddl", table.schema)])
    former = replace(table, name=table.former, former=None)
    if describe_table(con, table) is None and describe_table(con, former) is not None:
        con.execute(f"ALTER TABLE {table_ref(former)} RENAME TO {quote(table.name)}".encode())


def _changes(
    con: psycopg.Connection[Any], table: Table, reader_role: str | None, *, whole: bool
) -> list[str]:
    """The statements that bring the database to the declaration; none, as a rule."""
    ref = table_ref(table)
    stored = describe_table(con, table)
    statements: list[str] = []
    if stored is None:
        if not _one(con, "SELECT to_regnamespace(%s) IS NOT NULL", [quote(table.schema)]):
            statements.append(f"CREATE SCHEMA {quote(table.schema)}")
        columns = ", ".join(f"{quote(c.name)} {sql_type(c.type)}" for c in table.columns)
        statements.append(f"CREATE TABLE {ref} ({columns})")
        if table.time_column is not None:
            # A few kilobytes whatever the table's size, and loads do not feel it: rows of one
            # window land next to each other, which is all a block range index needs.
            time = quote(table.time_column)
            statements.append(f"CREATE INDEX ON {ref} USING brin ({time}) WITH (autosummarize)")
    else:
        _refuse_views(con, table)

        def holds_nothing(column: Column) -> bool:
            name = quote(column.name)
            sql = f"SELECT NOT EXISTS (SELECT 1 FROM {ref} WHERE {name} IS NOT NULL)"
            return whole or bool(_one(con, sql, []))

        types = {c.name: c.type for c in stored}
        changes = plan_changes(table, types, holds_nothing=holds_nothing)
        for column in changes.added:
            name = quote(column.name)
            statements.append(f"ALTER TABLE {ref} ADD COLUMN {name} {sql_type(column.type)}")
        for column in changes.widened:
            name, kind = quote(column.name), sql_type(column.type)
            statements.append(
                f"ALTER TABLE {ref} ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}"
            )
        for column in changes.retyped:
            # By way of text, which every type goes to and comes from: a value that another load
            # puts there meanwhile is converted or refused, never lost.
            name, kind = quote(column.name), sql_type(column.type)
            value = f"NULL::{kind}" if whole else f"{name}::text::{kind}"
            statements.append(f"ALTER TABLE {ref} ALTER COLUMN {name} TYPE {kind} USING {value}")
        declared = set(table.column_names)
        for column in stored:
            if not column.nullable and column.name not in declared:
                statements.append(
                    f"ALTER TABLE {ref} ALTER COLUMN {quote(column.name)} DROP NOT NULL"
                )
    statements += _key_changes(con, table)
    statements += _comments(con, table, stored or [])
    if reader_role is not None:
        statements += _grants(con, table, reader_role)
    return statements


def _refuse_views(con: psycopg.Connection[Any], table: Table) -> None:
    kind = _one(
        con,
        "SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        [table.schema, table.name],
    )
    if kind not in ("r", "p"):
        raise SchemaConflict(
            f"{table.schema}.{table.name} is a view or another object in the database; drop or "
            "rename it"
        )


def _key_changes(con: psycopg.Connection[Any], table: Table) -> list[str]:
    row = con.execute(
        """
        SELECT k.conname, array(
            SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, place)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
            ORDER BY u.place)
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE k.contype = 'p' AND n.nspname = %s AND c.relname = %s
        """,
        [table.schema, table.name],
    ).fetchone()
    current = tuple(row[1]) if row else ()
    if set(current) == set(table.key):
        return []
    statements = []
    if row:
        statements.append(f"ALTER TABLE {table_ref(table)} DROP CONSTRAINT {quote(row[0])}")
    if table.key:
        keys = ", ".join(quote(name) for name in table.key)
        statements.append(f"ALTER TABLE {table_ref(table)} ADD PRIMARY KEY ({keys})")
    return statements


def _comments(con: psycopg.Connection[Any], table: Table, stored: list[Column]) -> list[str]:
    ref = table_ref(table)
    statements = []
    current = _one(
        con,
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        [table.schema, table.name],
    )
    if table.description and current != table.description:
        statements.append(f"COMMENT ON TABLE {ref} IS {literal(table.description)}")
    have = {column.name: column.description for column in stored}
    for column in table.columns:
        if column.description and have.get(column.name) != column.description:
            comment = literal(column.description)
            statements.append(f"COMMENT ON COLUMN {ref}.{quote(column.name)} IS {comment}")
    return statements


def _grants(con: psycopg.Connection[Any], table: Table, role: str) -> list[str]:
    if not _one(con, "SELECT count(*) FROM pg_roles WHERE rolname = %s", [role]):
        raise SchemaConflict(
            f"the reader role {role!r} does not exist in the database; create it "
            f"(CREATE ROLE {quote(role)}), or leave reader_role out"
        )
    schema, ref = quote(table.schema), table_ref(table)
    may_read = _one(
        con,
        "SELECT coalesce(has_schema_privilege(%s, to_regnamespace(%s)::oid, 'USAGE') "
        "AND has_table_privilege(%s, to_regclass(%s)::oid, 'SELECT'), false)",
        [role, schema, role, ref],
    )
    if may_read:
        return []
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}",
        f"GRANT SELECT ON TABLE {ref} TO {quote(role)}",
    ]


def _one(con: psycopg.Connection[Any], sql: str, values: list[Any]) -> Any:
    row = con.execute(sql.encode(), values).fetchone()
    return row[0] if row else None
