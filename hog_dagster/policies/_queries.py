"""HogQL queries that are loaded as tables: what a user may set about one.

Facts: the bounds of a partition are written into the text, in the place of {start} and {end}; what
stands in quotes or comments is left as it is.
"""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hog_dagster.policies._values import AssetPath, Name, Record, TagKey, TagValue, day_that_came

__all__ = ["QueryTable"]

#: What a column of a query's table can be.
ColumnType = Literal["text", "bigint", "double", "boolean", "timestamptz", "date", "json"]
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,59}")
#: Quoted text, names in quotes, comments, and what stands in braces outside of them.
_BRACES = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/|\{\s*([A-Za-z_][\w.]*)\s*\}""",
    re.DOTALL,
)


#: The tables that are there without queries.
TAKEN = frozenset(
    """
    batch_results batch_sends blocked_runs group_activity group_history group_pushes group_types
    groups hog_function_logs hog_function_metrics hog_function_runs hog_functions insight_funnels
    insight_lifecycle insight_other insight_paths insight_retention insight_stickiness
    insight_trends insights message_categories message_events opt_outs projects replays
    sending_reputation sent_messages suppressions workflow_actions workflow_activity
    workflow_batch_jobs workflow_edges workflow_errors workflow_logs workflow_metrics
    workflow_runs workflow_schedules workflows
    """.split()  # noqa: SIM905
)


class QueryTable(Record):
    """A HogQL query whose rows are loaded as a table, all of them."""

    name: str
    """Name of the table: lower-case letters, digits and underscores; of the asset, too, after the
    prefix."""
    hogql: str
    """One SELECT in HogQL, without ORDER BY and LIMIT. {start} and {end} stand for the partition's
    bounds, as instants: timestamp >= {start} AND timestamp < {end}."""
    key: list[Name] = []
    """Columns of the query that its rows are ordered and paged by, the time first where there is
    one: [timestamp, uuid]. Needed from 50,000 rows on."""
    types: dict[str, ColumnType] = {}
    """Column -> type (text, bigint, double, boolean, timestamptz, date, json), instead of what
    ClickHouse calls it."""
    partitions: Literal["daily", "hourly", "snapshot"] = "daily"
    """daily or hourly (UTC), or snapshot: the whole table each time."""
    start_date: Annotated[str, AfterValidator(day_that_came)] | None = None
    """The first day of its partitions (UTC), 2026-01-31 say; the project's by default."""
    lookback: int = Field(default=0, ge=0, le=90)
    """How many partitions before each are read again with it, for late rows."""
    page_rows: int = Field(default=50_000, ge=1, le=50_000)
    """Rows of a request, at most; less makes less memory and more requests."""
    description: str = ""
    """Of the table and the asset."""
    deps: list[AssetPath] = []
    """Asset keys that the asset stands downstream of."""
    owners: list[Name] = []
    """Owners of the asset, besides the others'."""
    tags: dict[TagKey, TagValue] = {}
    """Tags of the asset, besides the others'."""

    @property
    def partitioned(self) -> bool:
        """Whether it has partitions."""
        return self.partitions != "snapshot"

    @property
    def first_day(self) -> date | None:
        """The first day of its partitions, where it has one of its own."""
        return date.fromisoformat(self.start_date) if self.start_date else None

    def check(self) -> None:
        """Refuse what cannot work, before anything is asked of PostHog.

        Raises:
            ValueError: one sentence, with the query's name.
        """
        wrong = self._wrong()
        if wrong:
            raise ValueError(f"Query {self.name!r}: {wrong}")

    def bound(self, start: str, end: str) -> str:
        """The SQL with the bounds in the place of {start} and {end}, its last semicolon cut.

        Args:
            start, end: as HogQL writes them.
        """

        def fill(match: re.Match[str]) -> str:
            return {"start": start, "end": end}.get(match[1] or "", match[0])

        return _BRACES.sub(fill, self.hogql).strip().rstrip(";").rstrip()

    def _wrong(self) -> str | None:
        if not _NAME.fullmatch(self.name):
            return (
                "the name becomes a table's: give lower-case letters, digits and underscores, at "
                "most 60, no digit first."
            )
        if self.name in TAKEN:
            return "another table has this name; give the query another one."
        if not self.hogql.strip(" \t\n;"):
            return "its hogql is empty."
        found = {match[1] for match in _BRACES.finditer(self.hogql) if match[1]}
        if unknown := sorted(found - {"start", "end"}):
            return (
                f"nothing is known to put in the place of {{{unknown[0]}}}; only {{start}} and "
                "{end} are filled in."
            )
        missing = [name for name in ("start", "end") if name not in found]
        if self.partitioned and missing:
            return (
                f"its hogql has no {{{missing[0]}}}, so that every partition would hold the same "
                "rows: compare a time with {start} and {end}, or set partitions: snapshot."
            )
        if not self.partitioned and found:
            return (
                f"it is a snapshot, and its hogql has {{{min(found)}}}: set partitions to daily or "
                "hourly, or leave the bounds out."
            )
        if doubled := sorted({name for name in self.key if self.key.count(name) > 1}):
            return f"its key names the column {doubled[0]} twice."
        if self.lookback and not self.partitioned:
            return "it is a snapshot, which has no partitions to look back to."
        return None
