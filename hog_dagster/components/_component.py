"""`PostHogProjectComponent`: the whole integration of a PostHog project from a few lines of YAML.

Facts: Dagster keeps a component's state (here: a snapshot of workflows, hog functions and insights)
apart from its YAML and refreshes it with `dg utils refresh-defs-state`, and at each load under
`dagster dev`; settings resolved from `{{ env.X }}` are plain values, so they are kept out of `repr`
and out of Dagster's UI.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

import click
import dagster as dg
from dagster.components import DefsStateConfig, DefsStateConfigArgs, ResolvedDefsStateConfig
from dagster.components.resolved.core_models import OpSpec
from dagster_shared.serdes.objects.models.defs_state_info import DefsStateManagementType
from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hog_dagster._dagster.internals import DefinitionsLoadContext
from hog_dagster._dagster.resources import Step
from hog_dagster.assets import MessagePolicy, ReadBy
from hog_dagster.components._build import build_posthog_definitions
from hog_dagster.components._names import check_names, refuse_namesakes
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
from hog_dagster.components._scaffolder import PostHogProjectScaffolder
from hog_dagster.components._settings import YamlSettings, own_fields
from hog_dagster.components._state import (
    CLOUD,
    chosen_functions,
    chosen_insights,
    read_state,
    selected_state,
)
from hog_dagster.components._translation import ComponentTranslator, Translation
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
from hog_dagster.ledger import default_url
from hog_dagster.lineage import (
    AssetOptions,
    Customization,
    PostHogProps,
    PostHogTranslator,
    Snapshot,
    read_kept,
)
from hog_dagster.policies import CheckRules, TagKey, TagValue, as_meant
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resources import LedgerResource, PostHogResource, missing_settings_text

__all__ = ["PostHogProjectComponent", "StateNotRead"]

_log = logging.getLogger("hog_dagster")
_REFRESH = "dg utils refresh-defs-state"


class StateNotRead(click.ClickException):
    """The state of a component was not read; `dg` shows the sentence, without a traceback."""


@dg.scaffold_with(PostHogProjectScaffolder)
class PostHogProjectComponent(YamlSettings, dg.StateBackedComponent, dg.Model, dg.Resolvable):
    """A PostHog project: its workflows, hog functions, groups and insights as assets with lineage,
    their metrics, logs, runs and results as tables, with checks; sensors and schedules that replay
    and send, once each, when you switch them on.

    Its resources are called `posthog`, `warehouse` and `ledger`. A second project in the same code
    location has a `name`, which then stands before the names of what is its own.

    Example:
        .. code-block:: yaml

            type: hog_dagster.PostHogProjectComponent
            attributes:
              host: "{{ env.POSTHOG_HOST }}"
              api_key: "{{ env.POSTHOG_API_KEY }}"
              project_id: "{{ env.POSTHOG_PROJECT_ID }}"
              warehouse:
                duckdb: warehouse.duckdb
              partitions:
                start_date: "2026-08-01"
              workflows:
                statuses: [active]
              safety:
                max_audience: 20000
                deny_workflows: [Password reset]
              sensors:
                replay:
                  running: true
                  dry_run: true
                  allow_workflows: [Trial ending]
              batch_jobs:
                - workflow: Monthly newsletter
                  cron: 0 9 1 * *
                  timezone: Europe/Berlin
                  dry_run: true
              checks:
                failure_rate:
                  threshold: 0.05
                  severity: error
              translation:
                owners: [team:growth]

    Override `get_asset_spec` to change how assets look, and `execute` to run code around each step:

        .. code-block:: python

            class Ours(PostHogProjectComponent):
                def execute(self, context, step):
                    context.log.info("PostHog is read now")
                    yield from step()
    """

    name: Annotated[str, AfterValidator(checked_word)] = Field(
        default="",
        description="Tells this project apart from another one in the same code location: it "
        "stands before the names of its resources, jobs, sensors, schedules and groups, and in its "
        "asset keys (posthog/eu/workflows).",
        examples=["eu"],
    )
    host: Annotated[str | None, AfterValidator(checked_host)] = Field(
        default="https://us.posthog.com",
        description="Address of the PostHog app: https://us.posthog.com, which it is when nothing "
        "is given, https://eu.posthog.com or your own.",
        examples=["{{ env.POSTHOG_HOST }}"],
    )
    api_key: Annotated[str | None, AfterValidator(checked_key)] = Field(
        default=None,
        repr=False,
        description="Personal API key (phx_...), from the environment.",
        examples=["{{ env.POSTHOG_API_KEY }}"],
    )
    project_id: Annotated[str | int | None, AfterValidator(checked_project)] = Field(
        default=None,
        description="Number of the project, as in its URL.",
        examples=["{{ env.POSTHOG_PROJECT_ID }}"],
    )
    headroom: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of PostHog's rate limit this key may use; the rest is left to others.",
    )
    read_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long PostHog may pause within a response before the call is given up.",
    )
    max_wait_seconds: float = Field(
        default=3700.0, ge=0, description="Longest wait for the rate limit before a call gives up."
    )
    warehouse: WarehouseFields = Field(
        default_factory=WarehouseFields,
        description="Where the tables are: fields, or a DuckDB file or postgresql:// URL alone; "
        "by default a DuckDB file in DAGSTER_HOME.",
    )
    ledger: Annotated[str | None, AfterValidator(checked_ledger)] = Field(
        default=None,
        repr=False,
        description="sqlite:///... or postgresql://...: the record of actions, shared by all "
        "that acts on this project; by default HOG_DAGSTER_LEDGER, else a file in DAGSTER_HOME.",
    )
    rate_limit: Annotated[str | None, AfterValidator(checked_rate_limit)] = Field(
        default=None,
        repr=False,
        description="Where the use of the rate limit is counted: postgresql://... for all machines "
        "that name the same database, a directory for the processes of one; by default "
        "HOG_DAGSTER_RATE_LIMIT, else the ledger's database when that is PostgreSQL.",
        examples=["{{ env.HOG_DAGSTER_RATE_LIMIT }}"],
    )
    ca_file: Annotated[str | None, AfterValidator(checked_file)] = Field(
        default=None,
        description="PEM file of the certificate authorities that are trusted; by default "
        "HOG_DAGSTER_CA_FILE, else SSL_CERT_FILE, else the public ones.",
    )
    client_certificate: Annotated[str | None, AfterValidator(checked_file)] = Field(
        default=None,
        description="PEM file of a certificate and its private key, for a PostHog that asks for "
        "one; by default HOG_DAGSTER_CLIENT_CERTIFICATE.",
    )
    partitions: Partitions = Field(
        default_factory=Partitions,
        description="How logs, metrics and runs are cut.",
    )
    workflows: Workflows = Field(
        default_factory=Workflows, description="Which workflows; all by default."
    )
    hog_functions: HogFunctions | None = Field(
        default_factory=HogFunctions,
        description="Which hog functions; all by default, null for none.",
    )
    insights: Sequence[Insights] | None = Field(
        default_factory=lambda: (Insights(),),
        description="Which saved insights, and how fresh; all by default, null for none.",
    )
    groups: Groups | None = Field(
        default_factory=Groups, description="Which groups; all by default, null for none."
    )
    messaging: Messaging | None = Field(
        default=None,
        description="Sent messages, suppressions, opt-outs, categories and reputation, and what "
        "becomes of people's addresses; none by default, {} for all with addresses hashed.",
    )
    queries: Annotated[Sequence[Query], AfterValidator(checked_tables)] = Field(
        default=(), description="HogQL queries that are loaded as tables: events, persons, ..."
    )
    messages: MessagePolicy = Field(
        default="mask",
        description="What happens to the text of log lines, which can hold personal data: mask, "
        "keep or drop.",
    )
    read_by: ReadBy = Field(
        default="auto",
        description="auto reads logs, metrics and runs by PostHog's SQL where key and server let "
        "us, by REST elsewhere; rest and hogql by that only.",
    )
    schedules: Schedules = Field(
        default_factory=Schedules, description="When tables are read again."
    )
    safety: SafetyLimits = Field(
        default_factory=SafetyLimits,
        description="Limits of the whole project; whatever is set here holds for everything below, "
        "and for runs that somebody launches by hand.",
    )
    sensors: Sensors = Field(
        default_factory=Sensors, description="Which sensors, and what they do."
    )
    batch_jobs: Sequence[BatchJob] = Field(
        default=(), description="Workflows that Dagster sends to their audience, and when."
    )
    checks: CheckRules | None = Field(
        default_factory=CheckRules,
        description="Thresholds and severities of the checks; null switches one off, or all.",
    )
    alerts: Alerts | None = Field(
        default=None,
        description="Messages in Slack, to a web hook or by e-mail about what fails; none by "
        "default.",
    )
    key_prefix: Sequence[Prefix] = Field(
        default=("posthog",),
        description="What stands before every asset's name in its key; posthog, and the name where "
        "one is given, by default.",
    )
    group_name: Annotated[str, AfterValidator(checked_group)] | None = Field(
        default=None, description="One asset group for everything; several by default."
    )
    owners: Sequence[Annotated[str, AfterValidator(checked_owner)]] = Field(
        default=(), description="Owners of every asset; by default who made the object in PostHog."
    )
    tags: Mapping[TagKey, TagValue] = Field(
        default_factory=dict, description="Tags of every asset."
    )
    workers: int = Field(default=8, ge=1, le=100, description="How many objects are read at once.")
    op: OpSpec | None = Field(
        default=None,
        description="Of every step: what stands before its name, its tags, its pool, the backfill "
        "policy.",
    )
    translation: Translation = Field(
        default=None,
        description="Changes how assets look; in templates, `spec` is the asset so far and `props` "
        "what it stands for (props.type, props.id, props.name).",
    )
    defs_state: ResolvedDefsStateConfig = Field(
        default=DefsStateConfigArgs.local_filesystem(),
        description="Where the snapshot of workflows, hog functions and insights is kept: "
        "`management_type` is LOCAL_FILESYSTEM, VERSIONED_STATE_STORAGE or "
        "LEGACY_CODE_SERVER_SNAPSHOTS.",
    )

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

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Where the snapshot is kept, one per project."""
        which = self.name or self.project_id or "unset"
        return DefsStateConfig.from_args(
            self.defs_state, default_key=f"{type(self).__name__}[{which}]"
        )

    # --- what a user may override -----------------------------------------------------------------

    def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
        """How the asset of an object or a table looks; override it to change that in Python.

        Args:
            props: what the asset stands for: `props.type`, `props.id`, `props.name`, and the
                object itself.
        """
        spec = PostHogTranslator().get_asset_spec(props)
        return self.translation(spec, props) if self.translation else spec

    def execute(self, context: dg.AssetExecutionContext, step: Step) -> Iterable[Any]:
        """Run one step that loads tables; override it to run code before and after.

        Args:
            context: of the step.
            step: does the work; yields `MaterializeResult`s and check results.

        The resources of the step are those of the context: `context.resources.posthog`, say.
        """
        yield from step()

    # --- state ----------------------------------------------------------------------------------

    def write_state_to_path(self, state_path: Path) -> None:
        """Read workflows, hog functions and insights and keep what the lineage needs.

        Raises:
            PostHogError: PostHog cannot be asked.
            ValueError: a setting is missing or wrong.
        """
        try:
            if missing := self._missing():
                raise ValueError(missing_settings_text(missing))
            snapshot = read_state(self, loading=self._loading)
        except (PostHogError, ValueError) as error:
            # State of this kind is read at every load, which must not fail for it.
            kind = self.defs_state_config.management_type
            if kind is not DefsStateManagementType.LEGACY_CODE_SERVER_SNAPSHOTS:
                raise
            _log.warning("PostHog's objects were not read: %s", error)
            snapshot = Snapshot(host="", project_id=0, taken_at=datetime.now(UTC))
        for note in snapshot.notes:
            _log.warning(note)
        snapshot.write(state_path)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions, whether or not PostHog can be asked."""
        self._loading = True
        try:
            return super().build_defs(context)
        finally:
            self._loading = False

    async def refresh_state(self, project_root: Path) -> str:
        """Read the objects again, and keep them where `defs_state` says.

        While definitions are loaded, which under `dagster dev` includes this, a PostHog that
        cannot be asked is a warning and what was kept stays; for a command it is an error.

        Raises:
            StateNotRead: PostHog cannot be asked, or a setting is missing or wrong.
        """
        try:
            return await super().refresh_state(project_root)
        except (PostHogError, ValueError) as error:
            if not self._loading:
                raise StateNotRead(str(error)) from error
            if not self._missing():
                _log.warning("PostHog's objects were not read again: %s", error)
            kept = DefinitionsLoadContext.get().get_defs_key_state_info(self.defs_state_config.key)
            return kept.version if kept else None  # type: ignore[return-value]

    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        """The definitions; without a snapshot those of the tables, jobs, sensors and schedules."""
        refuse_namesakes(self, context)
        snapshot, unreadable = read_kept(state_path)
        if unreadable:
            _log.warning(
                "%s PostHog's objects are not in the lineage. Run: %s", unreadable, _REFRESH
            )
        if missing := self._missing():
            _log.warning(missing_settings_text(missing))
        elif snapshot is None and not unreadable:
            _log.warning(
                "No snapshot of PostHog project %s is kept yet, so its workflows, hog functions "
                "and insights are not in the lineage. Run: %s",
                self.project_id,
                _REFRESH,
            )
        if snapshot is not None:
            check_names(self, snapshot, self._source)
            snapshot = selected_state(self, snapshot)
        self._source.end()
        for note in self._source.notes:
            _log.warning("%s", note)
        overridden = type(self).execute is not PostHogProjectComponent.execute
        return build_posthog_definitions(
            posthog=PostHogResource(
                host=self.host or CLOUD,
                api_key=self.api_key or "",
                project_id=str(self.project_id or ""),
                rate_limit=self.rate_limit,
                ca_file=self.ca_file,
                client_certificate=self.client_certificate,
                headroom=self.headroom,
                read_timeout_seconds=self.read_timeout_seconds,
                max_wait_seconds=self.max_wait_seconds,
            ),
            warehouse=self.warehouse.resource(),
            ledger=LedgerResource(url=self.ledger or default_url()),
            start_date=self.partitions.day,
            name=self.name,
            every=self.partitions.every,
            lookback=self.partitions.lookback,
            selection=self.workflows.selection(),
            functions=chosen_functions(self),
            insights=chosen_insights(self),
            groups=self.groups,
            messaging=self.messaging,
            queries=self.queries,
            options=self._options(),
            read_by=self.read_by,
            messages=self.messages,
            snapshot=snapshot,
            translator=ComponentTranslator(self),
            customization=self._customization(overridden),
            checks=self.checks,
            schedules=self.schedules,
            sensors=self.sensors,
            batch_jobs=self.batch_jobs,
            safety=self.safety,
            alerts=self.alerts,
            hide_settings=True,
        )

    # --- inside ---------------------------------------------------------------------------------

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

    def _customization(self, overridden: bool) -> Customization:
        op = self.op or OpSpec()
        return Customization(
            execute=self.execute if overridden else None,
            op_name=op.name,
            op_tags=op.tags or {},
            pool=op.pool,
            backfill_policy=op.backfill_policy,
        )
