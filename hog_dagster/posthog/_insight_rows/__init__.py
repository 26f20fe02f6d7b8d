"""An insight's result as tidy rows: one row per number that PostHog shows, in column ``value``.

Pure functions of what the API answers, one module per kind of insight; they know neither HTTP nor
a database. Facts: PostHog's query runners, and responses of a real server of every kind.
"""

from hog_dagster.posthog._insight_rows.clickhouse import CellType, cell_type
from hog_dagster.posthog._insight_rows.columns import ColumnType, RowColumn, TidyRows
from hog_dagster.posthog._insight_rows.frame import frame_of, to_frame
from hog_dagster.posthog._insight_rows.sql import column_names, columns_of, fit_cell
from hog_dagster.posthog._insight_rows.tidy import (
    COLUMNS,
    KINDS,
    ResultState,
    kind_of,
    result_state,
    tidy_rows,
)

__all__ = [
    "COLUMNS",
    "KINDS",
    "CellType",
    "ColumnType",
    "ResultState",
    "RowColumn",
    "TidyRows",
    "cell_type",
    "column_names",
    "columns_of",
    "fit_cell",
    "frame_of",
    "kind_of",
    "result_state",
    "tidy_rows",
    "to_frame",
]
