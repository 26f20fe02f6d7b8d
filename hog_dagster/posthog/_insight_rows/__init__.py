"""An insight's result as tidy rows: one row per number that PostHog shows, in column ``value``.

Pure functions of what the API answers, one module per kind of insight; they know neither HTTP nor
a database. Facts: PostHog's query runners, and responses of a real server of every kind.
"""

from hog_dagster.posthog._insight_rows.clickhouse import CellType, cell_type
from hog_dagster.posthog._insight_rows.columns import RowColumn, TidyRows
from hog_dagster.posthog._insight_rows.sql import column_names, fit_cell
from hog_dagster.posthog._insight_rows.tidy import (
    COLUMNS,
    ResultState,
    kind_of,
    result_state,
    tidy_rows,
    to_frame,
)

__all__ = [
    "COLUMNS",
    "CellType",
    "ResultState",
    "RowColumn",
    "TidyRows",
    "cell_type",
    "column_names",
    "fit_cell",
    "kind_of",
    "result_state",
    "tidy_rows",
    "to_frame",
]
