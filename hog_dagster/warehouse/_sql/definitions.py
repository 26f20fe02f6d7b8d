"""Statements that make and change tables, for the engines whose tables are made here."""

from sqlglot import exp

from hog_dagster.warehouse._sql.dialects import Dialect
from hog_dagster.warehouse.schema import Column, Table

__all__ = ["Definitions"]


class Definitions:
    """The statements that bring a table to its declaration.

    Args:
        dialect: of the engine.
        table: the declared table.
    """

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
        """Give a column its declared type.

        Args:
            column: as declared.
            using: where its values come from: ``value``, by way of ``text``, or ``nothing``.
        """
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
