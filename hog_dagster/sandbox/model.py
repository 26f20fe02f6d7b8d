"""The rows of the sandbox's world.

Plain structs, so that a world can be written to JSON and read back.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

__all__ = [
    "BatchJob",
    "BatchSend",
    "Person",
    "Replay",
    "RerunJob",
    "Revision",
    "Run",
    "Schedule",
    "TestSend",
    "User",
    "Workflow",
]


class User(Struct, kw_only=True):
    """A member of the organisation, as PostHog nests one in `created_by`."""

    id: int = 1
    uuid: str = "01a1fbfc-600e-0000-d7b2-3c0c9fbda4f3"
    distinct_id: str = "nyS329V2IP3KuRFmTPaQj1CT3Pj8HV6EdNE79sIakJY"
    first_name: str = "Owner"
    last_name: str = "One"
    email: str = "owner@example.com"
    is_email_verified: bool | None = None
    hedgehog_config: Any = None
    role_at_organization: str | None = None


class Person(Struct, kw_only=True):
    """A person of the project: the audience of batch jobs, the actor of runs."""

    id: str
    distinct_id: str
    properties: dict[str, Any]


class Revision(Struct, kw_only=True):
    """A version of a workflow's content (newer servers)."""

    version: int
    created_at: datetime
    content: dict[str, Any]
    created_by: User | None = None


class Workflow(Struct, kw_only=True):
    """A workflow (hog flow)."""

    id: str
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    description: str = ""
    version: int = 1
    status: str = "draft"
    created_by: User | None = None
    trigger: Any = field(default_factory=dict)
    trigger_masking: Any = None
    conversion: Any = None
    exit_condition: str = "exit_on_conversion"
    edges: Any = field(default_factory=dict)
    actions: Any = field(default_factory=dict)
    abort_action: str | None = None
    variables: Any = field(default_factory=list)
    billable_action_types: list[str] = field(default_factory=list)
    draft: dict[str, Any] | None = None
    draft_updated_at: datetime | None = None
    revisions: list[Revision] = field(default_factory=list)


class Schedule(Struct, kw_only=True):
    """A schedule of a workflow."""

    id: str
    workflow_id: str
    rrule: str
    starts_at: datetime
    created_at: datetime
    updated_at: datetime
    timezone: str = "UTC"
    variables: dict[str, Any] = field(default_factory=dict)
    status: str = "active"
    next_run_at: datetime | None = None


class BatchJob(Struct, kw_only=True):
    """A batch job: one mass send."""

    id: str
    workflow_id: str
    created_at: datetime
    updated_at: datetime
    status: str = "queued"
    filters: Any = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    created_by: User | None = None
    tracked: bool = False


class Run(Struct, kw_only=True):
    """A run (invocation) of a workflow, as newer servers list it.

    `busy_until` and `next_status` say when it ends and how; `failed_before` that it has failed
    once, which a rerun's count never forgets; `job` that it is the row of a rerun job and no run
    at all.
    """

    invocation_id: str
    workflow_id: str
    scheduled_at: datetime
    status: str = "succeeded"
    error_kind: str = ""
    error_message: str = ""
    distinct_id: str = ""
    person_id: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 1
    is_retry: bool = False
    globals: dict[str, Any] = field(default_factory=dict)
    busy_until: datetime | None = None
    next_status: str | None = None
    retry_status: str = "succeeded"
    failed_before: bool = False
    job: bool = False


class RerunJob(Struct, kw_only=True):
    """A rerun that was asked for and waits for its worker."""

    id: str
    workflow_id: str
    due: datetime
    filter: dict[str, Any]


class TestSend(Struct, kw_only=True):
    """A step that a test invocation really executed, because mocking was switched off."""

    workflow_id: str
    action_id: str
    at: datetime


class Replay(Struct, kw_only=True):
    """A replay or rerun that really happened: somebody got the messages of that run again."""

    workflow_id: str
    instance_id: str
    at: datetime
    kind: str = "replay"
    action_id: str | None = None
    event_uuid: str | None = None
    new_instance_id: str | None = None


class BatchSend(Struct, kw_only=True):
    """A batch job that really went out, and to whom."""

    workflow_id: str
    batch_job_id: str
    at: datetime
    audience: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
