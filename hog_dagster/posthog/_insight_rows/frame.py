"""Tidy rows as a pandas DataFrame, for notebooks. pandas is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hog_dagster.posthog._insight_rows.columns import ColumnType, RowColumn, TidyRows
from hog_dagster.posthog._insight_rows.tidy import tidy_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of", "to_frame"]

_DTYPES: dict[ColumnType, str] = {
    "text": "string",
    "bigint": "Int64",
    "integer": "Int64",
    "double": "float64",
    "boolean": "boolean",
    "json": "object",
}
_INTERNAL = ("_row_number", "_computed_at", "_unknown", "_raw")


def to_frame(insight: Mapping[str, Any], *, timezone: str | None = None) -> pd.DataFrame:
    """An insight's result as a tidy DataFrame: one row per number PostHog shows, in ``value``.

    A SQL insight gives one row per row and the query's own columns. ``frame.attrs`` holds
    ``insight_id``, ``short_id``, ``kind``, ``computed_at``, ``has_more`` and ``problems``.

    Args:
        insight: an insight as the API gives it, with its ``query`` and its ``result``.
        timezone: the project's time zone, for answers that leave ``timezone`` null.

    Returns:
        The frame; empty when the result has no rows.

    Raises:
        NoResult: the result is null: not cached, still computing, or failed.
    """
    tidy = tidy_rows(insight, timezone=timezone)
    frame = frame_of(tidy)
    frame.attrs.update(
        insight_id=insight.get("id"),
        short_id=insight.get("short_id"),
        kind=tidy.kind,
        computed_at=insight.get("last_refresh"),
        has_more=tidy.has_more,
        problems=list(tidy.problems),
    )
    return frame


def frame_of(tidy: TidyRows) -> pd.DataFrame:
    """The rows as a DataFrame with one dtype per declared type."""
    import pandas as pd

    columns = tidy.columns
    if tidy.kind == "sql" and not tidy.drifted:
        columns = tuple(column for column in columns if column.name not in _INTERNAL)
    series = {column.name: _series(column, tidy.rows) for column in columns}
    return pd.DataFrame(series, columns=[column.name for column in columns])


def _series(column: RowColumn, rows: list[dict[str, Any]]) -> pd.Series:
    import pandas as pd

    values = [row[column.name] for row in rows]
    if column.type == "timestamptz":
        return pd.Series(pd.to_datetime(values, utc=True)).astype("datetime64[us, UTC]")
    if column.type == "date":
        return pd.Series(pd.array(values, dtype="datetime64[s]"))
    return pd.Series(values, dtype=_DTYPES[column.type])
