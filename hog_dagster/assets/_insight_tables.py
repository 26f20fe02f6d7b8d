"""The declared tables of insights: the catalog, one table per kind of result, one per SQL insight.

Sources: `GET /insights/` and `GET /insights/:id/`; the result columns are those of
`hog_dagster.posthog._insight_rows`, which says what each number is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hog_dagster.assets._workflow_tables import RAW, declare
from hog_dagster.lineage import sql_table_name
from hog_dagster.posthog import INSIGHT_COLUMNS, RowColumn, column_names
from hog_dagster.warehouse import Column, Table

_ABOUT = {
    "trends": "Results of trends insights: one row per point, total or heat map cell.",
    "funnels": "Results of funnels: one row per step's count and conversion time, per bin of time "
    "to convert, per bucket of a conversion trend.",
    "retention": "Results of retention insights: one row per cohort and interval since it began.",
    "paths": "Results of path insights: how many went from one node to the next, and how long.",
    "stickiness": "Results of stickiness insights: people by the number of intervals they were "
    "active in.",
    "lifecycle": "Results of lifecycle insights: new, returning, resurrecting and (negative) "
    "dormant people per bucket.",
    "unknown": "Results of insights of a kind that has no table of its own, whole, as JSON.",
}
_NAMES = {"unknown": "insight_other"}


def _columns(columns: Sequence[RowColumn]) -> list[Column]:
    return [Column(c.name, c.type, c.description, nullable=c.nullable) for c in columns]


#: kind of result -> its table.
RESULT_TABLES: Mapping[str, Table] = {
    kind: declare(
        _NAMES.get(kind, f"insight_{kind}"),
        _ABOUT[kind],
        *_columns(columns),
        key=("insight_id", "row_number"),
    )
    for kind, columns in INSIGHT_COLUMNS.items()
}

INSIGHTS = declare(
    "insights",
    "One row per saved insight: what it shows, whose it is, where it hangs, when it was computed.",
    Column("id", "bigint", "The insight's number.", nullable=False),
    Column("short_id", "text", "Its short id, as in its web address."),
    Column("name", "text", "Its name, or the one PostHog derived for it."),
    Column("description", "text", "What its authors wrote about it."),
    Column("kind", "text", "trends, funnels, retention, paths, stickiness, lifecycle, sql, ..."),
    Column("tags", "json", "Its tags, a JSON list."),
    Column("dashboards", "json", "Ids of the dashboards it is on, a JSON list."),
    Column("favorited", "boolean", "Whether it is a favourite."),
    Column("created_by_email", "text", "Whose it is: who made it."),
    Column("created_at", "timestamptz", "When it was made (UTC)."),
    Column("last_modified_by_email", "text", "Who last changed what it shows."),
    Column(
        "last_modified_at",
        "timestamptz",
        "When what it shows last changed (UTC); tags and dashboards do not move it.",
    ),
    Column("last_refresh", "timestamptz", "When PostHog last computed it (UTC), where it says so."),
    Column("url", "text", "Its page in PostHog."),
    Column("query", "json", "Its query, as JSON."),
    Column(
        "deleted_seen_at",
        "timestamptz",
        "When a listing first lacked it (UTC): it was deleted, or is not saved any more. Null "
        "while it is there.",
    ),
    RAW,
    key=("id",),
)


def _older_name(short_id: str) -> str | None:
    """What the table was called before, the short id as it is; None where that has not changed."""
    older = f"insight_sql_{short_id}"
    return older if older != sql_table_name(short_id) else None


def sql_table(
    short_id: str, title: str, columns: Sequence[RowColumn]
) -> tuple[Table, dict[str, str]]:
    """The table of a SQL insight as its response declares it, and answer name -> column name."""
    names = dict(
        zip(
            [column.name for column in columns],
            _names([column.name for column in columns]),
            strict=True,
        )
    )
    declared = [Column(names[c.name], c.type, c.description, nullable=c.nullable) for c in columns]
    about = f"Rows of the SQL insight {title}, as its query answers them."
    table = declare(sql_table_name(short_id), about, *declared)
    return replace(table, former=_older_name(short_id)), names


def sql_row(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A row of a SQL insight under its table's column names."""
    return {names[name]: value for name, value in row.items()}


def _names(names: Sequence[str]) -> list[str]:
    """Names a database takes; our own (with an underscore in front) stay as they are."""
    ours = [name for name in names if name in _OURS]
    theirs = [name for name in names if name not in _OURS]
    plain = dict(zip(theirs, column_names(theirs), strict=True))
    taken = {*ours, "project_id", "_loaded_at"}
    return [name if name in _OURS else _free(plain[name], taken) for name in names]


_OURS = frozenset({"_row_number", "_computed_at", "_unknown", "_raw"})


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}_"
    taken.add(name)
    return name
