"""Statements that make and change tables, for the engines whose tables are made here."""

from collections.abc import Mapping

from sqlglot import exp

from hog_dagster.warehouse._sql.dialects import Dialect
from hog_dagster.warehouse.schema import Column, Table


class Definitions:
    """The statements that bring a table to its declaration."""

    def __init__(self, dialect: Dialect, table: Table) -> None:
        self._dialect = dialect
        self._table = table

    def _target(self) -> exp.Table:
        return self._dialect.table((self._table.schema, self._table.name))

    def _sql(self, expression: exp.Expr) -> str:
        return self._dialect.sql(expression)

    def create_schema(self) -> str:
        """Make the schema, unless it is there."""
        schema = exp.Table(db=self._dialect.identifier(self._table.schema))
        return self._sql(exp.Create(this=schema, kind="SCHEMA", exists=True))

    def create_table(self) -> str:
        """Make the table."""
        columns = [self._defined(column) for column in self._table.columns]
        schema = exp.Schema(this=self._target(), expressions=columns)
        return self._sql(exp.Create(this=schema, kind="TABLE"))

    def create_temporary(self, name: str, numbered: str) -> str:
        """Make a table of the same columns that ends with the transaction, and a column that
        numbers its rows."""
        columns = [self._defined(column) for column in self._table.columns]
        identity = exp.ColumnConstraint(kind=exp.GeneratedAsIdentityColumnConstraint(this=True))
        kind = exp.DataType.build("bigint")
        columns.append(
            exp.ColumnDef(
                this=self._dialect.identifier(numbered), kind=kind, constraints=[identity]
            )
        )
        schema = exp.Schema(this=self._dialect.table([name]), expressions=columns)
        made = exp.Create(
            this=schema,
            kind="TABLE",
            properties=exp.Properties(
                expressions=[exp.TemporaryProperty(), exp.OnCommitProperty(delete=False)]
            ),
        )
        # sqlglot knows what becomes of the rows at the end, not of the table.
        return self._sql(made).replace("ON COMMIT PRESERVE ROWS", "ON COMMIT DROP")

    def _defined(self, column: Column) -> exp.ColumnDef:
        name = self._dialect.identifier(column.name)
        return exp.ColumnDef(this=name, kind=self._dialect.kind(column.type))

    def add_column(self, column: Column) -> str:
        """Add a column."""
        return self._alter(self._defined(column))

    def rename_to(self, name: str) -> str:
        """Give the table another name in its schema."""
        return self._alter(exp.AlterRename(this=self._dialect.table([name])))

    def retype(self, column: Column, using: str) -> str:
        """Give a column its declared type; its values come from its ``value``, by way of ``text``,
        or from ``nothing``."""
        kind = self._dialect.kind(column.type)
        name = self._dialect.column(column.name)
        source: exp.Expr = name
        if using == "nothing":
            source = exp.null()
        elif using == "text":
            source = exp.cast(name, "text")
        return self._alter(
            exp.AlterColumn(this=name.copy(), dtype=kind, using=exp.cast(source, kind))
        )

    def drop_not_null(self, column: str) -> str:
        """Let a column be null."""
        name = self._dialect.column(column)
        return self._alter(exp.AlterColumn(this=name, drop=True, allow_null=True))

    def _alter(self, action: exp.Expr) -> str:
        return self._sql(exp.Alter(this=self._target(), kind="TABLE", actions=[action]))

    def comment_table(self) -> str:
        """Write the table's description."""
        text = exp.Literal.string(self._table.description)
        return self._sql(exp.Comment(this=self._target(), kind="TABLE", expression=text))

    def comment_column(self, column: Column) -> str:
        """Write a column's description."""
        target = self._target()
        name = exp.Column(
            this=self._dialect.identifier(column.name),
            table=target.this.copy(),
            db=target.args["db"].copy(),
        )
        text = exp.Literal.string(column.description)
        return self._sql(exp.Comment(this=name, kind="COLUMN", expression=text))

    def comments(self, table_has: str | None, have: Mapping[str, str]) -> list[str]:
        """Write the descriptions that are other than the comments there are, by column."""
        table = self._table
        made = [self.comment_table()] if table.description not in ("", table_has) else []
        return made + [
            self.comment_column(column)
            for column in table.columns
            if column.description not in ("", have.get(column.name, ""))
        ]

    # -- what is asked before a column is changed

    def has_value(self, column: Column) -> str:
        """Whether a column has a value in any row."""
        return self._exists(column, "IS NOT NULL")

    def loses_digits(self, column: Column) -> str:
        """Whether a column holds a whole number beyond those that are all doubles too."""
        return self._exists(column, "NOT BETWEEN -9007199254740992 AND 9007199254740992")

    def _exists(self, column: Column, condition: str) -> str:
        name = self._sql(self._dialect.column(column.name))
        of = self._sql(self._target())
        return f"SELECT EXISTS (SELECT 1 FROM {of} WHERE {name} {condition})"
