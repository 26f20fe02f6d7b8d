"""The rows of hog functions, groups, insights and events in the sandbox's world, and what a test
may switch.

Plain structs, so that a world can be written to JSON and read back.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

from hog_dagster.sandbox.world._model import User

__all__ = [
    "Activity",
    "Calculation",
    "Dashboard",
    "Event",
    "FamilyState",
    "FunctionRevision",
    "FunctionSend",
    "Group",
    "GroupType",
    "HogFunction",
    "Insight",
    "PersonRow",
    "Result",
    "UsageMetric",
]


class FunctionRevision(Struct, kw_only=True):
    """A live configuration that a hog function had (newer servers)."""

    version: int
    created_at: datetime
    content: dict[str, Any]
    created_by: User | None = None


class HogFunction(Struct, kw_only=True):
    """A hog function. Secret input values are kept apart and never answered."""

    id: str
    created_at: datetime
    updated_at: datetime
    type: str | None = "destination"
    name: str | None = ""
    description: str = ""
    created_by: User | None = None
    enabled: bool = False
    deleted: bool = False
    hog: str = ""
    bytecode: Any = None
    transpiled: str | None = None
    inputs_schema: list[dict[str, Any]] = field(default_factory=list)
    inputs: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    filters: dict[str, Any] = field(default_factory=dict)
    masking: dict[str, Any] | None = None
    mappings: list[dict[str, Any]] | None = None
    icon_url: str | None = None
    template_id: str | None = None
    execution_order: int | None = None
    state: int = 1
    tokens: int = 10000
    version: int = 0
    draft: dict[str, Any] | None = None
    draft_updated_at: datetime | None = None
    draft_secrets: dict[str, Any] | None = None
    batch_export_id: str | None = None
    revisions: list[FunctionRevision] = field(default_factory=list)


class FunctionSend(Struct, kw_only=True):
    """A hog function that really ran because the API was asked: a test without mocks, a broadcast,
    a rerun.
    """

    function_id: str
    at: datetime
    kind: str
    target: str = ""


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


class FamilyState(Struct, kw_only=True):
    """Everything of these families that is in the project, and the switches of their behaviour.

    Attributes:
        sends: every execution of a hog function that really happened through the API.
        capture_failure: group writes store first and then fail with this: ``capture_error`` (400)
            or an HTTP status of the capture service.
        groups_lag: seconds until a written group shows in lists and property values of newer
            servers (`find` sees it at once).
        crm: whether `find` makes a notebook for a group it is asked for.
        upsert_properties: whether the short-lived endpoint of that name exists.
        ingestion_lag: seconds until a captured ``$groupidentify`` has changed its group.
        calculation_seconds: how long an asynchronous calculation takes.
        calculation_failure: how calculations fail: a message the user may see, "" for a crash
            without one, None for not at all.
        concurrency_limited: insights in a list answer that too many queries run at once.
        log_transformations: whether that feature is on in the project (newer servers).
    """

    hog_functions: dict[str, HogFunction] = field(default_factory=dict)
    sends: list[FunctionSend] = field(default_factory=list)
    group_types: dict[int, GroupType] = field(default_factory=dict)
    usage_metrics: dict[str, UsageMetric] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    activity: list[Activity] = field(default_factory=list)
    persons: dict[str, PersonRow] = field(default_factory=dict)
    person_ids: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    pending: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    insights: dict[int, Insight] = field(default_factory=dict)
    dashboards: dict[int, Dashboard] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    calculations: dict[str, Calculation] = field(default_factory=dict)
    capture_failure: str | int | None = None
    groups_lag: float = 0.0
    crm: bool = False
    upsert_properties: bool = False
    ingestion_lag: float = 1.0
    calculation_seconds: float = 0.2
    calculation_failure: str | None = None
    concurrency_limited: bool = False
    log_transformations: bool = False
