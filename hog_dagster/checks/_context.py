"""What every check shares: the open warehouse, loaded partitions, groups of rows, results.

Facts: a check runs after the assets it looks at, or alone; a table that never loaded is no fault of
its rows.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster._dagster.resources import takes_resources
from hog_dagster.assets import HOG_FUNCTIONS, WORKFLOWS, ReadBy
from hog_dagster.lineage import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.policies import QueryTable, Severity
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import By, Measure, Table, Warehouse, Window
from hog_dagster.warehouse.errors import TableMissing, WarehouseError

_ROWS_SHOWN = 20


@dataclass(frozen=True)
class BatchSchedule:
    """A schedule of Dagster that sends batch jobs, as `build_batch_job_schedule` was given it."""

    name: str
    workflow_id: str
    cron: str
    timezone: str = "UTC"
    variables: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Project:
    """What is checked: the arguments of `build_posthog_checks`."""

    partitions_def: dg.TimeWindowPartitionsDefinition
    tables: Collection[str] | None = None
    options: AssetOptions = field(default_factory=AssetOptions)
    workflows: WorkflowSelection = field(default_factory=WorkflowSelection)
    hog_functions: HogFunctionSelection = field(default_factory=HogFunctionSelection)
    batch_schedules: Sequence[BatchSchedule] = ()
    level: str | None = None
    read_by: ReadBy = "auto"
    queries: Sequence[tuple[QueryTable, dg.TimeWindowPartitionsDefinition | None]] = ()


@dataclass(frozen=True)
class CheckOutcome:
    """What a check found: a sentence or two, numbers for Dagster's plots under stable keys, and a
    table of what is wrong."""

    passed: bool
    text: str
    numbers: Mapping[str, float | int] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass
class CheckContext:
    """What a check has at hand."""

    context: dg.AssetCheckExecutionContext
    posthog: PostHogResource
    warehouse: Warehouse
    key: dg.AssetKey

    @property
    def project(self) -> int:
        """The project's number."""
        return int(self.posthog.project_id)

    @property
    def scope(self) -> dict[str, Any]:
        """The project's rows."""
        return {"project_id": self.project}

    @property
    def client(self) -> PostHogClient:
        """The client; a check that uses it costs requests."""
        return self.posthog.client

    def now(self) -> datetime:
        """This moment by PostHog's clock, which rows carry the time of; by ours where PostHog does
        not answer. One request where it has not been asked for anything yet."""
        with suppress(PostHogError, dg.Failure):
            return self.posthog.client.server.read_clock().now()
        return datetime.now(UTC)

    def loaded(self, partitions_def: dg.TimeWindowPartitionsDefinition) -> dict[str, Window]:
        """The partitions that were loaded, with their windows, oldest first."""
        keys = self.context.instance.get_materialized_partitions(self.key)
        windows = {}
        for key in keys:
            window = partitions_def.time_window_for_partition_key(key)
            windows[key] = Window(window.start, window.end)
        return dict(sorted(windows.items(), key=lambda item: item[1]))

    def grouped(
        self,
        table: Table,
        by: Sequence[By],
        *,
        window: Window | None = None,
        at_least: int = 1,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Rows of the project by columns, most rows first; the count is in `rows`."""
        return self.warehouse.aggregate(
            table, by=by, window=window, scope=self.scope, at_least=at_least, limit=limit
        )

    def newest(self, table: Table) -> datetime | None:
        """The newest moment of the project's rows; None when there are none."""
        column = table.time_column or "_loaded_at"
        measures: dict[str, Measure] = {"newest": ("max", column)}
        (row,) = self.warehouse.aggregate(table, measures=measures, scope=self.scope)
        return row["newest"]

    def names(self, catalog: Table = WORKFLOWS) -> dict[str, str]:
        """Id -> name of workflows or hog functions, as their catalog was loaded."""
        try:
            found = self.warehouse.read(catalog, columns=["id", "name"], scope=self.scope)
        except TableMissing:
            return {}
        return {row["id"]: row["name"] or row["id"] for row in found.to_pylist()}

    def named(self, text: str) -> str:
        """A text of PostHog's client with the names of the workflows and functions it is about."""
        for what, catalog in (("workflow", WORKFLOWS), ("hog function", HOG_FUNCTIONS)):
            if f" for {what} " not in text:
                continue
            with suppress(WarehouseError):
                for id, name in self.names(catalog).items():
                    text = text.replace(f" for {what} {id}", f' for {what} "{name}" ({id})')
        return text


NOTHING_LOADED = CheckOutcome(True, "Nothing has been loaded yet.")
NO_PARTITION = CheckOutcome(True, "No partition has been loaded yet.")
NO_ROWS = CheckOutcome(True, "There are no rows.")


@dataclass(frozen=True)
class Plan:
    """A check to be made. One that `asks` PostHog may take its time; others share a connection."""

    name: str
    table: Table
    judge: Callable[[CheckContext], CheckOutcome]
    severity: Severity
    description: str
    asks: bool = False


def checks_of(plans: Iterable[Plan], options: AssetOptions) -> list[dg.AssetChecksDefinition]:
    """The checks of each table as one step, any subset of them executable.

    A step is a process under Dagster's default executor, so a table's checks share one. A check
    that cannot be made (a scope is missing, PostHog does not answer) warns and says why: it does
    not fail the run that loaded the rows.
    """
    by_table: dict[Table, list[Plan]] = {}
    for plan in plans:
        by_table.setdefault(plan.table, []).append(plan)
    return [_step(table, of_table, options) for table, of_table in by_table.items()]


def _step(table: Table, plans: Sequence[Plan], options: AssetOptions) -> dg.AssetChecksDefinition:
    key = options.key(table.name)

    @takes_resources(
        dg.multi_asset_check,
        options.prefix,
        name=options.named(f"{table.name}_checks"),
        specs=[
            dg.AssetCheckSpec(plan.name, asset=key, description=plan.description) for plan in plans
        ],
        can_subset=True,
        pool=options.pool,
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        posthog: PostHogResource,
        warehouse: WarehouseResource,
    ) -> Iterable[dg.AssetCheckResult]:
        chosen = {check_key.name for check_key in context.selected_asset_check_keys}
        wanted = [plan for plan in plans if plan.name in chosen]
        with warehouse.open() as opened:
            at_hand = CheckContext(context, posthog, opened, key)
            with opened.reading():
                here = [_result(plan, at_hand) for plan in wanted if not plan.asks]
            yield from here
            yield from (_result(plan, at_hand) for plan in wanted if plan.asks)

    return check


def _result(plan: Plan, check: CheckContext) -> dg.AssetCheckResult:
    level = plan.severity
    try:
        outcome = plan.judge(check)
    except TableMissing:
        outcome = NOTHING_LOADED
    except (PostHogError, WarehouseError) as error:
        text = check.named(str(error))
        outcome, level = CheckOutcome(False, f"This could not be checked: {text}"), "warn"
        check.context.log.warning(f"{plan.table.name} {plan.name}: {text}")
    return result_of(outcome, name=plan.name, key=check.key, severity=level)


def result_of(
    outcome: CheckOutcome, *, name: str, key: dg.AssetKey, severity: str
) -> dg.AssetCheckResult:
    """What a check found, as Dagster takes it."""
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=key,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity[severity.upper()],
        description=outcome.text,
        metadata=_metadata(outcome),
    )


def newest(loaded: Mapping[str, Window], days: int) -> dict[str, Window]:
    """Of the loaded partitions, oldest first, those of the newest days."""
    if not loaded:
        return {}
    since = max(window.end for window in loaded.values()) - timedelta(days=days)
    return {key: window for key, window in loaded.items() if window.start >= since}


def gaps_of(check: CheckContext, partitions: Iterable[str | None]) -> list[Mapping[str, Any]]:
    """The gaps in the metadata of each partition's newest materialization; None is the whole
    table's."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for key in partitions:
        of = dg.AssetRecordsFilter(check.key, asset_partitions=[key] if key is not None else None)
        records = check.context.instance.fetch_materializations(of, limit=1).records
        event = records[0].asset_materialization if records else None
        table = event.metadata.get("gaps") if event is not None else None
        if isinstance(table, dg.TableMetadataValue):
            found |= {tuple(row.data.items()): dict(row.data) for row in table.records}
    return list(found.values())


def differing(
    rows: Sequence[Mapping[str, Any]], tolerance: float
) -> tuple[list[Mapping[str, Any]], dict[str, float | int]]:
    """The rows of which PostHog counts (`in_posthog`) others than are `loaded`, and how many are
    missing and too many, as numbers."""
    wrong = [one for one in rows if abs(_missing(one)) > tolerance * one["loaded"]]
    missing = sum(max(_missing(one), 0) for one in wrong)
    surplus = sum(max(-_missing(one), 0) for one in wrong)
    return wrong, {"posthog/missing": missing, "posthog/surplus": surplus}


def _missing(row: Mapping[str, Any]) -> int:
    return row["in_posthog"] - row["loaded"]


def _metadata(outcome: CheckOutcome) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.int(value)
        if isinstance(value, int)
        else dg.MetadataValue.float(value)
        for name, value in outcome.numbers.items()
    }
    if outcome.rows:
        shown = [dg.TableRecord(_plain(row)) for row in outcome.rows[:_ROWS_SHOWN]]
        columns = [dg.TableColumn(name) for name in shown[0].data]
        metadata["found"] = dg.MetadataValue.table(shown, schema=dg.TableSchema(columns=columns))
        if len(outcome.rows) > _ROWS_SHOWN:
            metadata["found_in_all"] = len(outcome.rows)
    return metadata


def _plain(row: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    return {
        name: value if value is None or isinstance(value, str | int | float | bool) else str(value)
        for name, value in row.items()
    }
