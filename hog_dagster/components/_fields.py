"""The fields of `PostHogProjectComponent`, as YAML has them, and what they come to.

Facts: settings resolved from `{{ env.X }}` are plain values, so they are kept out of `repr`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import dagster as dg
from dagster.components import DefsStateConfigArgs, ResolvedDefsStateConfig
from dagster.components.resolved.core_models import OpSpec
from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hog_dagster._shared.described import Described
from hog_dagster.assets import MessagePolicy, ReadBy
from hog_dagster.components._records import (
    Alerts,
    BatchJob,
    Groups,
    HogFunctions,
    Insights,
    Messaging,
    Partitions,
    Query,
    SafetyLimits,
    Schedules,
    Sensors,
    Workflows,
)
from hog_dagster.components._settings import YamlSettings, own_fields
from hog_dagster.components._translation import Translation
from hog_dagster.components._values import (
    Prefix,
    checked_file,
    checked_group,
    checked_host,
    checked_key,
    checked_ledger,
    checked_owner,
    checked_project,
    checked_rate_limit,
    checked_tables,
    checked_word,
)
from hog_dagster.components._warehouses import WarehouseFields
from hog_dagster.components._yaml import Source
from hog_dagster.lineage import (
    AssetOptions,
)
from hog_dagster.policies import CheckRules, TagKey, TagValue, as_meant


class ComponentFields(Described, YamlSettings, dg.Model, dg.Resolvable):
    """The settings of a project; the component says what it makes of them."""

    name: Annotated[str, AfterValidator(checked_word)] = Field(default="", examples=["eu"])
    """Distinguishes this project from another one in the same code location. It prefixes the names
    of the project's resources, jobs, sensors, schedules and groups, and is part of its asset keys
    (posthog/eu/workflows)."""
    host: Annotated[str | None, AfterValidator(checked_host)] = Field(
        default="https://us.posthog.com", examples=["{{ env.POSTHOG_HOST }}"]
    )
    """Address of the PostHog app: https://us.posthog.com (the default), https://eu.posthog.com or
    your own."""
    api_key: Annotated[str | None, AfterValidator(checked_key)] = Field(
        default=None, repr=False, examples=["{{ env.POSTHOG_API_KEY }}"]
    )
    """Personal API key (phx_...), from the environment."""
    project_id: Annotated[str | int | None, AfterValidator(checked_project)] = Field(
        default=None, examples=["{{ env.POSTHOG_PROJECT_ID }}"]
    )
    """Number of the project, as in its URL."""
    headroom: float = Field(default=0.9, gt=0, le=1)
    """The share of PostHog's rate limit that this key may use, from 0 to 1. The rest is left to
    other users of the key."""
    read_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """How long PostHog may pause within a response before the request fails."""
    max_wait_seconds: float = Field(default=3700.0, ge=0, le=86_400)
    """How long a request may wait for the rate limit before it fails."""
    warehouse: WarehouseFields = Field(default_factory=WarehouseFields)
    """Where the tables are: the fields below, or just a DuckDB file or a postgresql:// URL. The
    default is a DuckDB file in DAGSTER_HOME."""
    ledger: Annotated[str | None, AfterValidator(checked_ledger)] = Field(default=None, repr=False)
    """Address of the ledger of actions, sqlite:///... or postgresql://... . Everything that acts on
    this project must share one ledger. The default is HOG_DAGSTER_LEDGER, else a file in
    DAGSTER_HOME."""
    rate_limit: Annotated[str | None, AfterValidator(checked_rate_limit)] = Field(
        default=None, repr=False, examples=["{{ env.HOG_DAGSTER_RATE_LIMIT }}"]
    )
    """Where requests are counted against the rate limit: postgresql://... for all machines that use
    the same database, or a directory for the processes of one machine. The default is
    HOG_DAGSTER_RATE_LIMIT, else the ledger's database if that is PostgreSQL."""
    ca_file: Annotated[str | None, AfterValidator(checked_file)] = None
    """PEM file of the certificate authorities to trust. The default is HOG_DAGSTER_CA_FILE, else
    SSL_CERT_FILE, else the public authorities."""
    client_certificate: Annotated[str | None, AfterValidator(checked_file)] = None
    """PEM file of a client certificate and its private key, for a PostHog server that requires one.
    The default is HOG_DAGSTER_CLIENT_CERTIFICATE."""
    partitions: Partitions = Field(default_factory=Partitions)
    """How the tables of logs, metrics and runs are partitioned."""
    workflows: Workflows = Field(default_factory=Workflows)
    """Which workflows to include. The default is all."""
    hog_functions: HogFunctions | None = Field(default_factory=HogFunctions)
    """Which hog functions to include. The default is all; null means none."""
    insights: Sequence[Insights] | None = Field(default_factory=lambda: (Insights(),))
    """Which saved insights to load, and how fresh their results must be. The default is all; null
    means none."""
    groups: Groups | None = Field(default_factory=Groups)
    """Which groups to load. The default is all; null means none."""
    messaging: Messaging | None = None
    """Which tables about messages to load, and how to treat people's addresses. The default is
    none; {} loads all but events, with addresses hashed."""
    queries: Annotated[Sequence[Query], AfterValidator(checked_tables)] = ()
    """HogQL queries to load as tables: events, persons, ..."""
    messages: MessagePolicy = "mask"
    """How to treat the text of log lines, which can hold personal data: mask, keep or drop it."""
    read_by: ReadBy = "auto"
    """How to read logs, metrics and runs. auto: by HogQL where the key and the server allow it,
    else by REST. rest or hogql: only that way."""
    schedules: Schedules = Field(default_factory=Schedules)
    """When to load tables again."""
    safety: SafetyLimits = Field(default_factory=SafetyLimits)
    """Limits for the whole project. They hold for every setting below and for runs that somebody
    launches by hand."""
    sensors: Sensors = Field(default_factory=Sensors)
    """The sensors and their settings."""
    batch_jobs: Sequence[BatchJob] = ()
    """Workflows that Dagster sends to their audience, and when."""
    checks: CheckRules | None = Field(default_factory=CheckRules)
    """Thresholds and severities of the checks. null turns one check off, or all of them."""
    alerts: Alerts | None = None
    """Alerts about failures, to Slack, a webhook or by e-mail. The default is none."""
    key_prefix: Sequence[Prefix] = ("posthog",)
    """Prefix of every asset key. The default is posthog, followed by `name` if it is set."""
    group_name: Annotated[str, AfterValidator(checked_group)] | None = None
    """One asset group for all assets. The default is several groups."""
    owners: Sequence[Annotated[str, AfterValidator(checked_owner)]] = ()
    """Owners of every asset. The default is the user who created the object in PostHog."""
    tags: Mapping[TagKey, TagValue] = Field(default_factory=dict)
    """Tags of every asset."""
    workers: int = Field(default=8, ge=1, le=100)
    """How many objects to read at the same time."""
    op: OpSpec | None = None
    """Settings of every step: the prefix of its name, its tags, its pool, its backfill policy."""
    translation: Translation = None
    """Changes the attributes of assets. In templates, `spec` is the asset so far, and `props` is
    the object it represents (props.type, props.id, props.name)."""
    defs_state: ResolvedDefsStateConfig = DefsStateConfigArgs.local_filesystem()
    """Where to store the snapshot of workflows, hog functions and insights: `management_type` is
    LOCAL_FILESYSTEM, VERSIONED_STATE_STORAGE or LEGACY_CODE_SERVER_SNAPSHOTS."""

    _source: Source = PrivateAttr(default_factory=Source)
    #: Whether definitions are being loaded: a command that refreshes the state does not load them.
    _loading: bool = PrivateAttr(default=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        given = cls.model_fields.get(info.field_name or "")
        ours = given is not None and info.field_name in own_fields(cls)
        return as_meant(value, given.annotation) if ours and given is not None else value

    @model_validator(mode="after")
    def _names_are_different(self) -> Self:
        names = [job.name for job in self.batch_jobs if job.name]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"batch_jobs: {len(twice)} name{'s are' if len(twice) > 1 else ' is'} given twice "
                f"({', '.join(twice)}): give each batch job a name of its own."
            )
        return self

    def _missing(self) -> list[str]:
        """Variables of the settings without which PostHog cannot be asked, by their own names."""
        named = {
            "POSTHOG_API_KEY": ("api_key", self.api_key),
            "POSTHOG_PROJECT_ID": ("project_id", self.project_id),
        }
        return [
            " and ".join(dict.fromkeys(self._source.unset.get(field, [usual])))
            for usual, (field, value) in named.items()
            if not str(value or "").strip()
        ]

    def _options(self) -> AssetOptions:
        return AssetOptions(
            key_prefix=tuple(self.key_prefix),
            group=self.group_name,
            owners=tuple(self.owners),
            tags=dict(self.tags),
            workers=self.workers,
        )
