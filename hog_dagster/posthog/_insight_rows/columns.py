"""What a tidy row of an insight is made of: declared columns, and a builder that keeps to them.

The declarations are plain data, so that this package needs neither a database nor Dagster; each
maps one to one onto a warehouse column of the same name and type.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

ColumnType = Literal[
    "text", "bigint", "integer", "double", "boolean", "timestamptz", "date", "json"
]


class UnknownShape(ValueError):
    """A part of a response that is not of any shape known to this package."""


@dataclass(frozen=True, slots=True)
class RowColumn:
    """One column of tidy rows: its name, its type, what it holds, whether it may be null."""

    name: str
    type: ColumnType
    description: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class TidyRows:
    """The tidy rows of one insight.

    Attributes:
        kind: ``trends``, ``funnels``, ``retention``, ``paths``, ``stickiness``, ``lifecycle``,
            ``sql`` or ``unknown``.
        columns: the columns of ``rows``, in order; the same for every insight of a kind, but for
            ``sql``, whose columns are the query's own.
        rows: one mapping per row, with every declared column. Cells of type ``json`` hold Python
            values.
        has_more: what PostHog said of rows it left out: for ``sql``, the query's LIMIT cut it
            short; for ``trends``, an Other bucket exists. None when it said nothing.
        problems: one sentence for each part of the response that could not be read as rows. Such
            a part is in ``_raw`` of some row.
    """

    kind: str
    columns: tuple[RowColumn, ...]
    rows: list[dict[str, Any]]
    has_more: bool | None = None
    problems: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether anything was loaded in ``_raw``: PostHog answered more or other than is known."""
        return bool(self.problems) or any(row.get("_raw") is not None for row in self.rows)


HEAD: tuple[RowColumn, ...] = (
    RowColumn("insight_id", "bigint", "The insight's number.", nullable=False),
    RowColumn("short_id", "text", "The insight's short id, as in its web address."),
    RowColumn("insight_name", "text", "The insight's name, or the one PostHog derived for it."),
    RowColumn(
        "row_number", "integer", "Place of the row in PostHog's response, from 0.", nullable=False
    ),
)

TAIL: tuple[RowColumn, ...] = (
    RowColumn("value", "double", "The number PostHog shows."),
    RowColumn(
        "computed_at", "timestamptz", "The moment PostHog computed the result (its last_refresh)."
    ),
    RowColumn(
        "_unknown",
        "boolean",
        "True when this part of the response has a shape that is not known; it is whole in _raw.",
        nullable=False,
    ),
    RowColumn("_raw", "json", "What PostHog answered beyond the columns of this table, else null."),
)

SERIES: tuple[RowColumn, ...] = (
    RowColumn("series_index", "integer", "Place of the series in the response, from 0."),
    RowColumn("series_order", "integer", "Place of the series (or formula) in the query, from 0."),
    RowColumn(
        "series_kind",
        "text",
        "What is counted: event, all_events, action, data_warehouse, group, formula or other.",
    ),
    RowColumn("series_name", "text", "The series' custom name, else its event, action or table."),
    RowColumn("event", "text", "The event counted; null for an action, all events or a formula."),
    RowColumn("action_id", "bigint", "The action counted; null for anything else."),
    RowColumn("label", "text", "The label PostHog gives the series."),
)

BREAKDOWN: tuple[RowColumn, ...] = (
    RowColumn(
        "breakdown_1",
        "text",
        "First breakdown's value; Other and None for PostHog's remaining and missing values; the "
        "name of a cohort.",
    ),
    RowColumn("breakdown_2", "text", "Second breakdown's value."),
    RowColumn("breakdown_3", "text", "Third breakdown's value."),
    RowColumn(
        "breakdowns",
        "json",
        "All breakdowns as a list of objects: property, type, value as PostHog sent it, name.",
    ),
)

COMPARE: tuple[RowColumn, ...] = (
    RowColumn("compare_label", "text", "current or previous, when the insight compares periods."),
)

BUCKET: tuple[RowColumn, ...] = (
    RowColumn("bucket_start", "timestamptz", "Start of the time bucket, in UTC."),
    RowColumn(
        "bucket_local", "text", "Start of the bucket in the project's zone, ISO 8601 with offset."
    ),
    RowColumn("bucket_date", "date", "Date of the bucket's start in the project's zone."),
    RowColumn("bucket_label", "text", "PostHog's label of the bucket."),
    RowColumn("interval", "text", "Length of a bucket: minute, hour, day, week, month ..."),
    RowColumn("timezone", "text", "The project's time zone when the result was computed."),
)

# How PostHog writes the kind of an entity in filters and funnel steps.
ACTION_TYPES = frozenset({"actions", "action"})


@dataclass(slots=True)
class RowBuilder:
    """Collects rows of declared columns; a cell that is not declared is an error of ours."""

    columns: tuple[RowColumn, ...]
    insight_id: int | None
    short_id: str | None
    insight_name: str | None
    computed_at: datetime | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _blank: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._blank = dict.fromkeys(column.name for column in self.columns)
        self._blank.update(
            insight_id=self.insight_id,
            short_id=self.short_id,
            insight_name=self.insight_name,
            computed_at=self.computed_at,
            _unknown=False,
        )

    def add(self, *cells: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Add a row of the given cells; the rest is null."""
        row = dict(self._blank)
        for mapping in (*cells, more):
            if unknown := mapping.keys() - row.keys():
                raise KeyError(f"no such columns: {', '.join(sorted(unknown))}")
            row.update(mapping)
        row["row_number"] = len(self.rows)
        self.rows.append(row)
        return row

    def add_unknown(self, part: object, reason: str) -> None:
        """Load a part of the response whole, with the reason why it is not rows."""
        row = self.add(_unknown=True, _raw=part)
        if "metric" in row:
            row["metric"] = "unknown"
        self.problems.append(reason)

    def add_each(
        self, items: Any, what: str, add: Callable[[Mapping[str, Any], int], Iterable[str]]
    ) -> None:
        """Add the rows of every item of a result; an item of no known shape is kept whole.

        ``add`` adds the rows of the item with this number, and gives the fields it knows.

        Raises:
            UnknownShape: the result is not a list.
        """
        if not isinstance(items, list):
            raise UnknownShape(f"{type(items).__name__} where a list of {what} items belongs")
        for index, item in enumerate(items):
            start = len(self.rows)
            try:
                if not isinstance(item, Mapping):
                    raise UnknownShape(f"{type(item).__name__} where an object belongs")
                self.note_extra(item, add(item, index), start)
            except UnknownShape as problem:
                del self.rows[start:]
                self.add_unknown(item, f"{what} {index}: {problem}")

    def note_extra(self, item: Mapping[str, Any], known: Iterable[str], start: int) -> None:
        """Keep the fields of ``item`` that no column takes in ``_raw`` of its first row."""
        known = frozenset(known)
        extra = {name: value for name, value in item.items() if name not in known}
        if not extra:
            return
        if len(self.rows) == start:
            self.add(_raw=extra)
        else:
            self.rows[start]["_raw"] = extra
        self.problems.append(f"fields that are not known: {', '.join(sorted(extra))}")
