"""The rows of the sandbox's world.

Plain structs, so that a world can be written to JSON and read back.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct, field


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
    """A version of the content of a workflow or hog function (newer servers)."""

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
    revisions: list[Revision] = field(default_factory=list)


class FunctionSend(Struct, kw_only=True):
    """A hog function that really ran because the API was asked: a test, a broadcast, a rerun."""

    function_id: str
    at: datetime
    kind: str
    target: str = ""


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
    """A run (invocation) of a workflow or hog function: its job in the queue, not its rows."""

    invocation_id: str
    workflow_id: str
    scheduled_at: datetime
    kind: str = "hog_flow"
    status: str = "succeeded"
    error_kind: str = ""
    error_message: str = ""
    event_uuid: str = ""
    distinct_id: str = ""
    person_id: str = ""
    parent_run_id: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    is_retry: bool = False
    globals: dict[str, Any] = field(default_factory=dict)
    #: Whether the queue holds it; such a run is not run again.
    in_flight: bool = False
    #: The step at which executions fail that are to fail; the last that sends by default.
    fails_at: str | None = None
    #: When the queue takes it up next; `at_step` is where, `waited` the wait that is over then.
    busy_until: datetime | None = None
    queued_at: datetime | None = None
    at_step: int = 0
    waited: int | None = None
    cause: str = "first"
    #: How this execution ends, and how a rerun will.
    next_status: str | None = None
    retry_status: str = "succeeded"
    #: When PostHog notices that the run is stuck.
    repair_at: datetime | None = None
    #: When its e-mail, which waits for the project's cap, may go out.
    mail_slot: datetime | None = None

    @property
    def function_id(self) -> str:
        """What it is a run of."""
        return self.workflow_id


class RunRow(Struct, kw_only=True):
    """One row that the writer filed about a run: its columns, when it arrives, when it merges."""

    kind: str
    function_id: str
    invocation_id: str
    status: str
    scheduled_at: datetime
    first_scheduled_at: datetime
    version: int
    visible_at: datetime
    parent_run_id: str = ""
    attempts: int = 0
    is_retry: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    error_kind: str = ""
    error_message: str = ""
    event_uuid: str = ""
    distinct_id: str = ""
    person_id: str = ""
    globals: dict[str, Any] = field(default_factory=dict)
    gone: tuple[datetime, datetime] | None = None

    @property
    def key(self) -> str:
        return self.invocation_id

    @property
    def at(self) -> datetime:
        return self.scheduled_at


class AssetRow(Struct, kw_only=True):
    """One row about an e-mail (or push) that was handed to its provider."""

    function_id: str
    invocation_id: str
    action_id: str
    recipient: str
    sent_at: datetime
    version: int
    visible_at: datetime
    kind: str = "email"
    parent_run_id: str = ""
    distinct_id: str = ""
    person_id: str = ""
    subject: str = ""
    body: str = ""
    gone: tuple[datetime, datetime] | None = None

    @property
    def key(self) -> str:
        return f"{self.invocation_id}/{self.action_id}"

    @property
    def at(self) -> datetime:
        return self.sent_at


class Execution(Struct, kw_only=True):
    """One execution of a run that really began.

    Its cause is first, replay (of a blocked run), rerun or batch; `number` counts from 1; an empty
    `from_step` is the trigger; a replay has the run that it began as `new_invocation_id`.
    """

    source_id: str
    invocation_id: str
    at: datetime
    cause: str = "first"
    number: int = 1
    from_step: str = ""
    new_invocation_id: str | None = None


class SentMessage(Struct, kw_only=True):
    """A message that left: an email, sms, push or webhook call, of the run's n-th execution."""

    source_id: str
    invocation_id: str
    action_id: str
    at: datetime
    recipient: str
    kind: str = "email"
    execution: int = 1


class PageFailure(Struct, kw_only=True):
    """How a page of a rerun job goes wrong: with an `effect` its runs are queued before it fails,
    without a line or a count of them; one that `aborts` ends the job."""

    why: str = "Timeout exceeded"
    effect: bool = False
    aborts: bool = False


class RerunJob(Struct, kw_only=True):
    """A rerun that was asked for, and how far its worker has come."""

    id: str
    workflow_id: str
    due: datetime
    filter: dict[str, Any]
    kind: str = "hog_flow"
    created_at: datetime
    queued: int = 0
    skipped: int = 0
    pages: int = 0
    cursor: tuple[datetime, str] | None = None
    done: bool = False


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
