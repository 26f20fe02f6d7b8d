"""Models of insights and of the calculations behind their results.

Facts: PostHog's insight serializers (full and basic rows) and QueryStatus, as servers answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from hog_dagster.posthog import _insight_rows as insight_rows
from hog_dagster.posthog.models.base import (
    Instant,
    LenientDict,
    LenientList,
    Model,
    UserReference,
)

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["DashboardTile", "Insight", "QueryStatus"]

#: Fields that the rows of an insight are made from as they are.
_NEEDED = (
    *("id", "short_id", "name", "derived_name", "filters", "query", "result"),
    *("columns", "types", "timezone", "last_refresh"),
)


class DashboardTile(Model):
    """An insight's place on a dashboard: an item of ``dashboard_tiles``."""

    id: int | None = None
    dashboard_id: int | None = None
    deleted: bool | None = None


class QueryStatus(Model):
    """How a calculation stands: ``query_status`` of an insight and of GET .../query/{id}/.

    ``error`` can be true while ``complete`` is still false: either ends it.
    """

    id: str | None = None
    team_id: int | None = None
    complete: bool | None = None
    error: bool | None = None
    error_message: str | None = None
    insight_id: int | str | None = None
    dashboard_id: int | str | None = None
    task_id: str | None = None
    query_async: bool | None = None
    start_time: Instant | None = None
    pickup_time: Instant | None = None
    end_time: Instant | None = None
    expiration_time: Instant | None = None
    query_progress: Any = None
    labels: Any = None
    results: Any = None

    @property
    def running(self) -> bool:
        """Whether the calculation is still under way."""
        return not (self.complete or self.error or self.error_message)


class Insight(Model):
    """An insight: GET .../insights/ (``basic`` rows leave much out) and GET .../insights/{id}/.

    ``result`` is None for three reasons, which ``state`` tells apart; an empty result is a list.
    """

    id: int
    short_id: str | None = None
    name: str | None = None
    derived_name: str | None = None
    description: str | None = None
    filters: LenientDict = Field(default_factory=dict)
    query: dict[str, Any] | None = None
    order: int | None = None
    deleted: bool | None = None
    dashboards: LenientList[Any] = Field(default_factory=list)
    dashboard_tiles: LenientList[DashboardTile] = Field(default_factory=list[DashboardTile])
    tags: LenientList[str] = Field(default_factory=list)
    favorited: bool | None = None
    saved: bool | None = None
    is_sample: bool | None = None
    created_at: Instant | None = None
    created_by: UserReference = None
    updated_at: Instant | None = None
    last_modified_at: Instant | None = None
    last_modified_by: UserReference = None
    last_viewed_at: Instant | None = None
    last_refresh: Instant | None = None
    cache_target_age: Instant | None = None
    next_allowed_client_refresh: Instant | None = None
    refreshing: bool | None = None
    is_cached: bool | None = None
    timezone: str | None = None
    result: Any = None
    has_more: bool | None = Field(default=None, alias="hasMore")
    columns: list[Any] | None = None
    types: list[Any] | None = None
    hogql: str | None = None
    query_status: QueryStatus | None = None
    filters_hash: str | None = None
    effective_restriction_level: int | None = None
    effective_privilege_level: int | None = None
    user_access_level: str | None = None
    resolved_date_range: Any = None
    alerts: LenientList[Any] = Field(default_factory=list)
    search_match_type: str | None = None

    @property
    def title(self) -> str:
        """Its name, else the one PostHog derived, else its short id."""
        return self.name or self.derived_name or self.short_id or str(self.id)

    @property
    def kind(self) -> str:
        """trends, funnels, retention, paths, stickiness, lifecycle, sql or unknown."""
        return insight_rows.kind_of(self._answer())

    @property
    def state(self) -> insight_rows.ResultState:
        """``ready``, or why there is no result: ``not_cached``, ``computing`` or ``failed``."""
        return insight_rows.result_state(self._answer())

    @property
    def dashboard_ids(self) -> list[int]:
        """The dashboards it is on, from whichever field the server still fills."""
        tiles = [t.dashboard_id for t in self.dashboard_tiles if t.dashboard_id and not t.deleted]
        older = [d for d in self.dashboards if isinstance(d, int)]
        return sorted({*tiles, *older})

    def tidy_rows(self, *, timezone: str | None = None) -> insight_rows.TidyRows:
        """Its result as tidy rows with declared columns; see :mod:`insight_rows`.

        Args:
            timezone: the project's time zone, for answers that leave ``timezone`` null.

        Raises:
            NoResult: the result is null; its ``state`` says why.
        """
        return insight_rows.tidy_rows(self._answer(), timezone=timezone)

    def to_frame(self, *, timezone: str | None = None) -> pd.DataFrame:
        """Its result as a tidy pandas DataFrame: one row per number PostHog shows, in ``value``.

        A SQL insight gives one row per row and the query's own columns.

        Args:
            timezone: the project's time zone, for answers that leave ``timezone`` null.

        Raises:
            NoResult: the result is null; its ``state`` says why.

        Example:
            >>> client.insights.result("AaVQ8Ijw").to_frame().groupby("event")["value"].sum()
        """
        return insight_rows.to_frame(self._answer(), timezone=timezone)

    def _answer(self) -> dict[str, Any]:
        """What the rows need, as the API gives it; the result itself is not copied."""
        status = self.query_status
        return {
            **{name: getattr(self, name) for name in _NEEDED},
            "hasMore": self.has_more,
            "query_status": None if status is None else status.model_dump(exclude={"results"}),
        }
