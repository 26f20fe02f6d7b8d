"""From an insight, as the API gives it, to tidy rows of its kind, or a frame of them; and what a
null result means. pandas is imported only when a frame is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hog_dagster.posthog._insight_rows import funnels, paths, retention, series, sql
from hog_dagster.posthog._insight_rows.cells import find_zone, moment, text, whole
from hog_dagster.posthog._insight_rows.columns import (
    HEAD,
    TAIL,
    ColumnType,
    RowBuilder,
    RowColumn,
    TidyRows,
    UnknownShape,
)
from hog_dagster.posthog._insight_rows.query import read_query
from hog_dagster.posthog.errors import NoResult

if TYPE_CHECKING:
    import pandas as pd

ResultState = Literal["ready", "not_cached", "computing", "failed"]

_ADDERS = {
    "trends": series.add_trends,
    "funnels": funnels.add_rows,
    "retention": retention.add_rows,
    "paths": paths.add_rows,
    "stickiness": series.add_stickiness,
    "lifecycle": series.add_lifecycle,
}
#: The columns of every kind that is one table; those of ``sql`` are its query's own.
COLUMNS: dict[str, tuple[RowColumn, ...]] = {
    "trends": series.TRENDS,
    "funnels": funnels.COLUMNS,
    "retention": retention.COLUMNS,
    "paths": paths.COLUMNS,
    "stickiness": series.STICKINESS,
    "lifecycle": series.LIFECYCLE,
    "unknown": (*HEAD, *TAIL),
}
_DTYPES: dict[ColumnType, str] = {
    "text": "string",
    "bigint": "Int64",
    "integer": "Int64",
    "double": "float64",
    "boolean": "boolean",
    "json": "object",
}
_INTERNAL = ("_row_number", "_computed_at", "_unknown", "_raw")


def kind_of(insight: Mapping[str, Any]) -> str:
    """The kind of an insight's rows, from its query alone: ``sql`` or one of ``COLUMNS``."""
    return read_query(insight).kind


def result_state(insight: Mapping[str, Any]) -> ResultState:
    """Whether an insight has its result, and if not, why.

    ``ready``: there is one (it may be empty, or older than a calculation under way).
    ``computing``: a calculation has been started. ``failed``: it failed, or was refused, and
    ``query_status.error_message`` says why. ``not_cached``: nobody has asked for it.
    """
    if insight.get("result") is not None:
        return "ready"
    status = insight.get("query_status")
    if not isinstance(status, Mapping) or not status:
        return "not_cached"
    if status.get("error") or status.get("error_message"):
        return "failed"
    return "not_cached" if status.get("complete") else "computing"


def tidy_rows(insight: Mapping[str, Any], *, timezone: str | None = None) -> TidyRows:
    """The tidy rows of an insight: one per number PostHog shows, the number in ``value``.

    SQL insights and data tables: one row per row, with the query's own columns. Nothing is dropped:
    what has no known shape is in ``_raw``. The time zone is for answers that leave theirs null.

    Raises:
        NoResult: the result is null.
    """
    state = result_state(insight)
    if state != "ready":
        raise NoResult(_why(insight, state), state=state)
    query = read_query(insight)
    zone = find_zone(insight.get("timezone") or timezone)
    computed_at = moment(insight.get("last_refresh"))
    more = insight.get("hasMore")
    has_more = more if isinstance(more, bool) else None
    if query.kind == "sql":
        try:
            return replace(sql.sql_rows(insight, zone, computed_at), has_more=has_more)
        except Exception as problem:
            columns, row = sql.TAIL, dict.fromkeys(column.name for column in sql.TAIL)
            row.update(_row_number=0, _computed_at=computed_at, _unknown=True)
            row["_raw"] = {name: insight.get(name) for name in ("columns", "types", "result")}
            return TidyRows("sql", columns, [row], has_more, (_said(problem),))
    rows = _builder(insight, query.kind)
    try:
        if query.kind not in _ADDERS:
            raise UnknownShape(f"a query of kind {query.source_kind}")
        _ADDERS[query.kind](insight["result"], query, zone, rows)
    except Exception as problem:
        # A response of another shape than any seen may break any expectation above; it must load
        # whole all the same, and fail a check instead of the run.
        rows = _builder(insight, query.kind)
        rows.add_unknown(insight["result"], _said(problem))
    return TidyRows(query.kind, rows.columns, rows.rows, has_more, tuple(rows.problems))


def to_frame(insight: Mapping[str, Any], *, timezone: str | None = None) -> pd.DataFrame:
    """The rows of :func:`tidy_rows` as a DataFrame with one dtype per declared type.

    ``frame.attrs`` holds ``insight_id``, ``short_id``, ``kind``, ``computed_at``, ``has_more`` and
    ``problems``.
    """
    import pandas as pd

    tidy = tidy_rows(insight, timezone=timezone)
    columns = tidy.columns
    if tidy.kind == "sql" and not tidy.drifted:
        columns = tuple(column for column in columns if column.name not in _INTERNAL)
    cells = {column.name: _series(column, tidy.rows) for column in columns}
    frame = pd.DataFrame(cells, columns=[column.name for column in columns])
    frame.attrs.update(
        insight_id=insight.get("id"),
        short_id=insight.get("short_id"),
        kind=tidy.kind,
        computed_at=insight.get("last_refresh"),
        has_more=tidy.has_more,
        problems=list(tidy.problems),
    )
    return frame


def _series(column: RowColumn, rows: list[dict[str, Any]]) -> pd.Series:
    import pandas as pd

    values = [row[column.name] for row in rows]
    if column.type == "timestamptz":
        return pd.Series(pd.to_datetime(values, utc=True)).astype("datetime64[us, UTC]")
    if column.type == "date":
        return pd.Series(pd.array(values, dtype="datetime64[s]"))
    return pd.Series(values, dtype=_DTYPES[column.type])


def _builder(insight: Mapping[str, Any], kind: str) -> RowBuilder:
    name = insight.get("name") or insight.get("derived_name")
    return RowBuilder(
        columns=COLUMNS[kind],
        insight_id=whole(insight.get("id")),
        short_id=text(insight.get("short_id")),
        insight_name=text(name),
        computed_at=moment(insight.get("last_refresh")),
    )


def _said(problem: Exception) -> str:
    if isinstance(problem, UnknownShape):
        return str(problem)
    return f"{type(problem).__name__} while reading the response"


def _why(insight: Mapping[str, Any], state: ResultState) -> str:
    about = f"insight {insight.get('short_id') or insight.get('id')}"
    if state == "computing":
        return f"{about} is being computed: ask again, or poll its query_status"
    if state == "failed":
        status = insight.get("query_status") or {}
        return f"{about} failed: {status.get('error_message') or 'PostHog does not say why'}"
    return f"{about} has no result in PostHog's cache: ask with refresh='blocking' or 'async'"
