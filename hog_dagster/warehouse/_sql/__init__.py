"""The one place that writes SQL: statements of declared tables, in the dialect of any engine.

Statements are put together as sqlglot's expressions, so that each engine gets its own quotes, types
and functions. Engines that bind values (DuckDB, PostgreSQL) get placeholders, the others literals.
What only one engine has (its catalog, its locks, COPY) is in ``duckdb`` and ``postgres``.
"""

from hog_dagster.warehouse._sql.dialects import Dialect, Statement, quote
from hog_dagster.warehouse._sql.statements import (
    Between,
    By,
    Measure,
    Place,
    Second,
    Statements,
    bound,
    named,
    order_terms,
)

__all__ = [
    "Between",
    "By",
    "Dialect",
    "Measure",
    "Place",
    "Second",
    "Statement",
    "Statements",
    "bound",
    "named",
    "order_terms",
    "quote",
]
