"""`PostHogProjectComponent`: the whole integration of a PostHog project from a few lines of YAML.

Facts: Dagster keeps a component's state (here: a snapshot of workflows, hog functions and insights)
apart from its YAML and refreshes it with `dg utils refresh-defs-state`, and at each load under
`dagster dev`; settings resolved from `{{ env.X }}` are plain values, so they are kept out of `repr`
and out of Dagster's UI.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster.components import DefsStateConfig
from dagster.components.resolved.core_models import OpSpec
from dagster_shared.serdes.objects.models.defs_state_info import DefsStateManagementType

from hog_dagster._dagster.internals import DefinitionsLoadContext
from hog_dagster._dagster.resources import Step
from hog_dagster.components._build import build_posthog_definitions
from hog_dagster.components._fields import ComponentFields
from hog_dagster.components._names import check_names, refuse_namesakes
from hog_dagster.components._scaffolder import PostHogProjectScaffolder
from hog_dagster.components._state import CLOUD, read_state, selected_state
from hog_dagster.components._translation import ComponentTranslator
from hog_dagster.ledger import default_url
from hog_dagster.lineage import (
    Customization,
    PostHogProps,
    PostHogTranslator,
    Snapshot,
    read_kept,
)
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resources import LedgerResource, PostHogResource, missing_settings_text

_log = logging.getLogger("hog_dagster")
_REFRESH = "dg utils refresh-defs-state"


class StateNotRead(click.ClickException):
    """The state of a component was not read; `dg` shows the sentence, without a traceback."""


@dg.scaffold_with(PostHogProjectScaffolder)
class PostHogProjectComponent(ComponentFields, dg.StateBackedComponent):
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
        op = self.op or OpSpec()
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
            selection=self.workflows,
            functions=self.hog_functions,
            insights=self.insights,
            groups=self.groups,
            messaging=self.messaging,
            queries=self.queries,
            options=self._options(),
            read_by=self.read_by,
            messages=self.messages,
            snapshot=snapshot,
            translator=ComponentTranslator(self),
            customization=Customization(
                execute=self.execute if overridden else None,
                op_name=op.name,
                op_tags=op.tags or {},
                pool=op.pool,
                backfill_policy=op.backfill_policy,
            ),
            checks=self.checks,
            schedules=self.schedules,
            sensors=self.sensors,
            batch_jobs=self.batch_jobs,
            safety=self.safety,
            alerts=self.alerts,
            hide_settings=True,
        )
