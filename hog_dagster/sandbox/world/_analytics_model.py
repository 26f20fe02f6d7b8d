"""The rows of groups, events, persons, insights and the activity log in the sandbox's world."""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

from hog_dagster.sandbox.world._model import User


class GroupType(Struct, kw_only=True):
    """A group type of the project."""

    group_type: str
    group_type_index: int
    name_singular: str | None = None
    name_plural: str | None = None
    detail_dashboard: int | None = None
    default_columns: list[str] | None = None
    created_at: datetime | None = None


class UsageMetric(Struct, kw_only=True):
    """A usage metric of a group type."""

    id: str
    group_type_index: int
    name: str
    format: str = "numeric"
    interval: int = 7
    display: str = "number"
    filters: dict[str, Any] = field(default_factory=dict)
    math: str = "count"
    math_property: str | None = None


class Group(Struct, kw_only=True):
    """A group.

    `listed` is what the eventually consistent store holds: the properties, from a moment on.
    """

    id: int
    group_type_index: int
    group_key: str
    created_at: datetime
    group_properties: dict[str, Any] = field(default_factory=dict)
    notebook: str | None = None
    listed: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)


class Activity(Struct, kw_only=True):
    """An entry of the activity log."""

    item_id: str
    scope: str
    activity: str
    created_at: datetime
    detail: dict[str, Any]
    user: User | None = None


class Event(Struct, kw_only=True):
    """A captured event."""

    uuid: str
    event: str
    timestamp: datetime
    distinct_id: str
    person_id: str
    properties: dict[str, Any] = field(default_factory=dict)


class PersonRow(Struct, kw_only=True):
    """A person as events know them; `created_at` is None for one that has no row of its own."""

    id: str
    distinct_ids: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


class Dashboard(Struct, kw_only=True):
    """A dashboard, as far as insights point to one."""

    id: int
    name: str
    unlisted: bool = False


class Result(Struct, kw_only=True):
    """A calculated query: what the cache keeps."""

    result: Any
    last_refresh: datetime
    target_age: datetime
    next_refresh: datetime
    timezone: str
    has_more: bool | None = None
    columns: list[str] | None = None
    types: Any = None
    hogql: str | None = None
    resolved_date_range: dict[str, Any] | None = None
    limit: int | None = None
    offset: int | None = None


class Calculation(Struct, kw_only=True):
    """An asynchronous calculation and where it stands."""

    id: str
    query: dict[str, Any]
    started: datetime
    due: datetime
    expires: datetime
    task_id: str
    insight_id: int | None = None
    error: bool = False
    error_message: str | None = None
    complete: bool = False


class Insight(Struct, kw_only=True):
    """A saved insight."""

    id: int
    short_id: str
    created_at: datetime
    updated_at: datetime
    last_modified_at: datetime
    name: str | None = None
    derived_name: str | None = None
    description: str | None = ""
    query: dict[str, Any] | None = None
    filters: dict[str, Any] = field(default_factory=dict)
    order: int | None = None
    deleted: bool = False
    saved: bool = True
    favorited: bool = False
    is_sample: bool = False
    tags: list[str] = field(default_factory=list)
    dashboards: list[int] = field(default_factory=list)
    created_by: User | None = None
    last_modified_by: User | None = None
    last_viewed_at: datetime | None = None
