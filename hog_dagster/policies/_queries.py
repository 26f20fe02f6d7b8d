"""HogQL queries that are loaded as tables: what a user may set about one.

Facts: the bounds of a partition are written into the text, in the place of {start} and {end}; what
stands in quotes or comments is left as it is.
"""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hog_dagster.policies._values import AssetPath, Name, Record, TagKey, TagValue, day_that_came

#: What a column of a query's table can be.
ColumnType = Literal["text", "bigint", "double", "boolean", "timestamptz", "date", "json"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
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
    """Name of the table, and of the asset after the key prefix: lower-case letters, digits and
    underscores."""
    hogql: str
    """One SELECT in HogQL, without ORDER BY and LIMIT. {start} and {end} are replaced by the
    partition's bounds: timestamp >= {start} AND timestamp < {end}."""
    key: list[Name] = []
    """Columns that identify a row, used to order and page the rows; the time first if there is one:
    [timestamp, uuid]. Required for more than 50,000 rows."""
    types: dict[str, ColumnType] = {}
    """Column types (text, bigint, double, boolean, timestamptz, date, json) that replace those of
    ClickHouse."""
    partitions: Literal["daily", "hourly", "snapshot"] = "daily"
    """daily or hourly (UTC), or snapshot: load the whole table each time."""
    start_date: Annotated[str, AfterValidator(day_that_came)] | None = None
    """First day of the partitions (UTC), for example 2026-01-31. The default is the project's first
    day."""
    lookback: int = Field(default=0, ge=0, le=90)
    """How many earlier partitions to load again with each partition, for late rows."""
    page_rows: int = Field(default=50_000, ge=1, le=50_000)
    """The maximum number of rows per request. Fewer rows need less memory and more requests."""
    description: str = ""
    """Description of the table and the asset."""
    deps: list[AssetPath] = []
    """Asset keys that the asset depends on."""
    owners: list[Name] = []
    """Owners of the asset, in addition to those of every asset."""
    tags: dict[TagKey, TagValue] = {}
    """Tags of the asset, in addition to those of every asset."""

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
                "its name becomes a table's name: give at most 60 lower-case letters, digits and "
                "underscores, a letter first."
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
