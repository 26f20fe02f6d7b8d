"""PostgreSQL's catalog: tables made and widened as declared, keys, comments, grants.

Run inside the transaction of a load. Nothing is changed, and no lock taken, where all is as
declared already. Facts: pg_class, pg_attribute, pg_constraint in PostgreSQL's manual.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg

from hog_dagster.warehouse._loading.changes import plan_changes
from hog_dagster.warehouse._postgres.errors import said
from hog_dagster.warehouse._sql import Statements, quote
from hog_dagster.warehouse._sql import postgres as sql
from hog_dagster.warehouse._sql.definitions import Definitions
from hog_dagster.warehouse.errors import SchemaConflict, raise_plainly
from hog_dagster.warehouse.schema import Column, Table

NUMERIC = "numeric"
"""A column of numbers of any length, each exact."""

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
    rows = con.execute(sql.COLUMNS.encode(), [table.schema, table.name]).fetchall()
    columns = [
        Column(name, _type_name(kind), comment or "", not required)
        for name, kind, required, comment in rows
    ]
    return columns or None


def _type_name(kind: str) -> str:
    return _NAMES.get(kind) or kind.replace("numeric(", "decimal(")


def wire_types(con: psycopg.Connection[Any], table: Table) -> dict[str, str]:
    """How the table's columns are sent: the types they have, json told apart from jsonb."""
    rows = con.execute(sql.COLUMNS.encode(), [table.schema, table.name]).fetchall()
    return {name: "plain json" if kind == "json" else _type_name(kind) for name, kind, *_ in rows}


def takes(declared: str, stored: str) -> bool:
    """Whether a column of another type than the declared one has room for each of its values."""
    number = declared in ("bigint", "integer", "double") or declared.startswith("decimal")
    return stored == NUMERIC and number


def numeric_types(
    con: psycopg.Connection[Any], table: Table, columns: Sequence[str]
) -> dict[str, str]:
    """The type that numeric columns are read as: a decimal of 38 digits that holds each of the
    table's values; text where none does, or one is NaN or infinite."""
    row = con.execute(sql.digits(table, columns).encode()).fetchone() or ()
    return {name: _decimal_of(*row[2 * i : 2 * i + 2]) for i, name in enumerate(columns) if row}


def _decimal_of(scale: int | None, greatest: Decimal | None) -> str:
    if greatest is None:
        return "decimal(38,0)"
    if scale is None or not greatest.is_finite():
        return "text"
    before = max(greatest.adjusted() + 1, 0) if greatest else 0
    return f"decimal(38,{scale})" if before + scale <= 38 else "text"


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
    con.execute(sql.lock(shared=False).encode(), [advisory_key("ddl", table.schema)])
    for statement in _changes(con, table, reader_role, whole=whole):
        try:
            con.execute(statement.encode())
        except (psycopg.IntegrityError, psycopg.NotSupportedError, psycopg.InternalError) as error:
            # Old rows that break a new key, a view that hangs on a column's type.
            failure = SchemaConflict(
                f"{table.schema}.{table.name} cannot be brought to its declaration: {said(error)}"
            )
        else:
            continue
        raise_plainly(failure)


def _take_over(con: psycopg.Connection[Any], table: Table) -> None:
    """Rename the table from what it was called before, where only that one is there."""
    if not table.former or describe_table(con, table) is not None:
        return
    con.execute(sql.lock(shared=False).encode(), [advisory_key("ddl", table.schema)])
    former = replace(table, name=table.former, former=None)
    if describe_table(con, table) is None and describe_table(con, former) is not None:
        con.execute(Definitions(sql.PLAIN, former).rename_to(table.name).encode())


def _changes(
    con: psycopg.Connection[Any], table: Table, reader_role: str | None, *, whole: bool
) -> list[str]:
    """The statements that bring the database to the declaration; none, as a rule."""
    make = Definitions(sql.PLAIN, table)
    stored = describe_table(con, table)
    drop_key, add_key = _key_changes(con, table)
    statements: list[str] = []
    if stored is None:
        if not _one(con, sql.SCHEMA_EXISTS, [quote(table.schema)]):
            statements.append(make.create_schema())
        statements.append(make.create_table())
        if table.time_column is not None:
            statements.append(sql.index_by_time(table))
    else:
        _refuse_views(con, table)
        changes = plan_changes(
            table,
            _as_declared(table, stored),
            holds_nothing=lambda column: whole or not _one(con, make.has_value(column), []),
            loses_digits=lambda column: bool(_one(con, make.loses_digits(column), [])),
        )
        statements += drop_key  # first: a column of the old key may be gone from the declaration
        statements += [make.add_column(column) for column in changes.added]
        if whole and {column.name for column in changes.added} & set(table.key):
            # Else the rows that are about to go, which have no value there, break the new key.
            statements.append(Statements(sql.PLAIN, table).delete(None, {}).sql)
        statements += [make.retype(column, "value") for column in changes.widened]
        # By way of text, which every type goes to and comes from: a value that another load puts
        # there meanwhile is converted or refused, never lost.
        how = "nothing" if whole else "text"
        statements += [make.retype(column, how) for column in changes.retyped]
        declared = set(table.column_names)
        statements += [
            make.drop_not_null(column.name)
            for column in stored
            if not column.nullable and column.name not in declared
        ]
    statements += add_key
    have = {column.name: column.description for column in stored or ()}
    statements += make.comments(_one(con, sql.TABLE_COMMENT, [table.schema, table.name]), have)
    if reader_role is not None:
        statements += _grants(con, table, reader_role)
    return statements


def _as_declared(table: Table, stored: Sequence[Column]) -> dict[str, str]:
    """The types of the stored columns; the declared one where the stored one holds its values."""
    return {
        column.name: (
            table.column(column.name).type
            if column.name in table and takes(table.column(column.name).type, column.type)
            else column.type
        )
        for column in stored
    }


def _refuse_views(con: psycopg.Connection[Any], table: Table) -> None:
    if _one(con, sql.KIND, [table.schema, table.name]) not in ("r", "p"):
        raise SchemaConflict(
            f"{table.schema}.{table.name} is a view or another object in the database; drop or "
            "rename it"
        )


def _key_changes(con: psycopg.Connection[Any], table: Table) -> tuple[list[str], list[str]]:
    """What drops a primary key that is another one now, and what makes the declared one."""
    row = con.execute(sql.KEY.encode(), [table.schema, table.name]).fetchone()
    current = tuple(row[1]) if row else ()
    if set(current) == set(table.key):
        return [], []
    drop = [sql.drop_constraint(table, row[0])] if row else []
    return drop, [sql.add_key(table)] if table.key else []


def _grants(con: psycopg.Connection[Any], table: Table, role: str) -> list[str]:
    if not _one(con, sql.ROLE_EXISTS, [role]):
        raise SchemaConflict(
            f"the reader role {role!r} does not exist in the database; create it "
            f"(CREATE ROLE {quote(role)}), or leave reader_role out"
        )
    names = [role, quote(table.schema), role, sql.table_ref(table)]
    return [] if _one(con, sql.MAY_READ, names) else sql.grants(table, role)


def _one(con: psycopg.Connection[Any], statement: str, values: list[Any]) -> Any:
    row = con.execute(statement.encode(), values or None).fetchone()
    return row[0] if row else None
