"""The rows and switches of a project's mail: lists, categories, allowance, pauses, batch exports.

Facts: PostHog's message suppressions, recipient preferences, message categories, sending tiers and
batch exports. Times are aware; a list of (moment, value) is the history of a value, because what
sends the mail sees a change late.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

from hog_dagster.sandbox.world._model import User

OUT, IN = "OPTED_OUT", "OPTED_IN"


class Tier(Struct, frozen=True):
    """What a project of one tier may send."""

    hour: int
    day: int
    audience: int


TIERS = (
    Tier(50, 100, 100),
    Tier(200, 1_000, 1_000),
    Tier(600, 3_000, 3_000),
    Tier(2_000, 10_000, 10_000),
    Tier(6_000, 30_000, 30_000),
    Tier(20_000, 100_000, 100_000),
    Tier(60_000, 300_000, 300_000),
    Tier(200_000, 1_000_000, 1_000_000),
)


class Suppression(Struct, kw_only=True):
    """An address that gets no mail, or got none before: the row is kept when it is removed."""

    id: str
    identifier: str
    created_at: datetime
    updated_at: datetime
    source: str = "BOUNCE"
    reason: str | None = None
    transient_bounce_count: int = 0
    last_bounce_at: datetime | None = None
    last_bounce_diagnostic: str | None = None
    suppressed: bool = False
    suppressed_at: datetime | None = None
    #: What the senders can have seen: (from when on, whether suppressed).
    history: list[tuple[datetime, bool]] = field(default_factory=list)


class Preference(Struct, kw_only=True):
    """What a recipient wants: category id, or ``$all``, to OPTED_IN or OPTED_OUT.

    The identifier is kept as it was given: its case matters.
    """

    id: str
    identifier: str
    created_at: datetime
    updated_at: datetime
    preferences: dict[str, str] = field(default_factory=dict)
    history: list[tuple[datetime, dict[str, str]]] = field(default_factory=list)


class Category(Struct, kw_only=True):
    """A topic of messages."""

    id: str
    key: str
    name: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    public_description: str = ""
    category_type: str = "marketing"
    deleted: bool = False
    created_by: User | None = None


class EmailPause(Struct, kw_only=True):
    """A workflow whose e-mail is paused."""

    at: datetime
    reason: str
    by_staff: bool = False


class Bucket(Struct, kw_only=True):
    """A token bucket of one of the caps; below zero: slots that were given out ahead."""

    tokens: float
    at: datetime


class BatchExport(Struct, kw_only=True):
    """A batch export, which writes rows to a destination at an interval."""

    id: str
    name: str
    created_at: datetime
    last_updated_at: datetime
    model: str = "events"
    destination: dict[str, Any] = field(default_factory=dict)
    interval: str = "hour"
    paused: bool = False
    last_paused_at: datetime | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    schema: Any = None
    filters: Any = None
    timezone: str = "UTC"
    offset_day: int | None = None
    offset_hour: int | None = None
    hogql_query: str | None = None


class BatchExportRun(Struct, kw_only=True):
    """One run of a batch export over one interval; an interval can have several."""

    id: str
    batch_export: str
    created_at: datetime
    data_interval_start: datetime | None
    data_interval_end: datetime
    status: str = "Completed"
    records_completed: int | None = 0
    records_total_count: int | None = None
    bytes_exported: int | None = None
    latest_error: str | None = None
    finished_at: datetime | None = None
    last_updated_at: datetime | None = None
    backfill: str | None = None


class Backfill(Struct, kw_only=True):
    """Runs of a batch export over a stretch of the past."""

    id: str
    batch_export: str
    created_at: datetime
    start_at: datetime | None
    end_at: datetime | None
    status: str = "Completed"
    total_runs: int | None = None
    finished_runs: int | None = None
    finished_at: datetime | None = None
    last_updated_at: datetime | None = None


#: What can be set over HTTP too.
MAIL_SETTINGS = (
    *("access", "allowance_shown", "assets_build", "cache_lag", "capture_events"),
    *("categories_open", "opt_outs_open", "pauses_shown", "provider_paused"),
    *("suppressions_enforced", "suppressions_need_people", "suppressions_written"),
    *("suspension_lag", "tier", "tiers", "unreachable_domains"),
)


class MailState(Struct, kw_only=True):
    """All of a project's mail that is no run and no message, and the switches of its behaviour.

    Attributes:
        suspended: (since, reason) of a suspension of the project; the list is its history.
        handed: (when, addresses) of what was handed to the provider, of the last day.
        tier: the project's tier.
        tiers: ``off``, ``shadow`` or ``enforce``: whether the caps hold.
        allowance_shown: whether `reputation` has an allowance at all (from 2026-08-27 on).
        pauses_shown: whether it says which workflows are paused.
        provider_paused: whether the provider paused the project.
        suppressions_written: whether bounces and complaints write rows.
        suppressions_enforced: whether senders skip suppressed addresses.
        suppressions_need_people: whether the list asks for person:read too (newer builds).
        opt_outs_open: whether keys may use the calls about opt-outs.
        categories_open: whether keys may read categories; no server was seen to allow it.
        capture_events: whether e-mails of workflows leave events, from then on; None: they do not,
            and the project does not say so.
        access: what the key's user may do with workflows: none, viewer or editor.
        cache_lag: seconds until the senders see a change of the lists.
        suspension_lag: the same for a suspension.
        assets_build: ``september`` lists messages in a total order, with what they are of;
            ``june`` in the order of time alone, and reads ``%`` and ``_`` of a search.
        unreachable_domains: domains to which no mail is sent.
    """

    suppressions: dict[str, Suppression] = field(default_factory=dict)
    preferences: dict[str, Preference] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)
    suspended: list[tuple[datetime, str | None]] = field(default_factory=list)
    paused: dict[str, EmailPause] = field(default_factory=dict)
    handed: list[tuple[datetime, int]] = field(default_factory=list)
    hour: Bucket | None = None
    day: Bucket | None = None
    exports: dict[str, BatchExport] = field(default_factory=dict)
    export_runs: list[BatchExportRun] = field(default_factory=list)
    backfills: list[Backfill] = field(default_factory=list)
    tier: int = 7
    tiers: str = "off"
    allowance_shown: bool = True
    pauses_shown: bool = True
    provider_paused: bool = False
    suppressions_written: bool = True
    suppressions_enforced: bool = True
    suppressions_need_people: bool = True
    opt_outs_open: bool = True
    categories_open: bool = False
    capture_events: bool | None = False
    access: str = "editor"
    cache_lag: float = 300.0
    suspension_lag: float = 150.0
    assets_build: str = "september"
    unreachable_domains: list[str] = field(default_factory=list)

    @property
    def caps(self) -> Tier:
        """What the tier allows."""
        return TIERS[min(max(self.tier, 0), len(TIERS) - 1)]

    @property
    def enforced(self) -> bool:
        return self.tiers == "enforce"

    def audience_cap(self, flat: int, *, sends_email: bool) -> int:
        """How many people a batch reaches at most."""
        if self.enforced and sends_email:
            return min(flat, self.caps.audience)
        return flat
