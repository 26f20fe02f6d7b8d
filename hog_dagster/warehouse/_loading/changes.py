"""What an existing table needs to be as it is declared: columns to add, to widen, to retype."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hog_dagster.warehouse.errors import SchemaConflict
from hog_dagster.warehouse.schema import Column, Table, widens


@dataclass(frozen=True)
class Changes:
    """What an existing table needs: columns to add, columns to widen to their declared type, and
    columns that may take it because they hold nothing but nulls."""

    added: list[Column] = field(default_factory=list)
    widened: list[Column] = field(default_factory=list)
    retyped: list[Column] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.widened or self.retyped)


def plan_changes(
    table: Table,
    stored: Mapping[str, str],
    *,
    holds_nothing: Callable[[Column], bool],
    loses_digits: Callable[[Column], bool],
) -> Changes:
    """The changes that bring an existing table to its declaration.

    ``stored`` maps the database's column names to our type names. A stored type that is already
    wider than the declared one is left alone. ``holds_nothing`` is asked whether a column has no
    value in any row, ``loses_digits`` whether a column of whole numbers holds one that no double
    is. Raises SchemaConflict for any other difference.
    """
    changes = Changes()
    for column in table.columns:
        have = stored.get(column.name)
        if have is None:
            changes.added.append(column)
        elif have == column.type or widens(column.type, have):
            continue
        elif widens(have, column.type) or (
            (have, column.type) == ("bigint", "double") and not loses_digits(column)
        ):
            changes.widened.append(column)
        elif holds_nothing(column):
            changes.retyped.append(column)
        else:
            raise SchemaConflict(
                f"{table.schema}.{table.name}: column {column.name} is {have} in the database and "
                f"{column.type} in the declaration, which cannot be converted without loss. Give "
                "the column another name, or drop the table and load it again"
            )
    return changes
