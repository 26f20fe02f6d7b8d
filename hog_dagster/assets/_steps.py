"""The step that loads tables: it opens the warehouse, counts requests, loads, and reports.

A table's module gives the rows and what is special about its metadata. A number that is stable from
load to load stands under a stable key, because Dagster plots those.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._guard import SnapshotGuard
from hog_dagster.assets._owner_names import named_rows
from hog_dagster.assets._project_hosts import opened_with
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse

Row = Mapping[str, Any]
Batches = Iterator[pa.RecordBatch]
Results = Iterator[dg.MaterializeResult | dg.AssetCheckResult]


@dataclass
class Step:
    """One run of a step, with the warehouse open."""

    context: dg.AssetExecutionContext
    posthog: PostHogResource
    warehouse: Warehouse
    options: AssetOptions
    #: What was read of the warehouse when it was opened.
    first: Any = None
    #: Sentences for the metadata of the table that is loaded next.
    notes: list[str] = field(default_factory=list)
    #: Whether PostHog is asked for anything.
    asks: bool = True

    def __post_init__(self) -> None:
        self.project = int(self.posthog.project_id)
        self.scope = {"project_id": self.project}
        self._begun = self._now()

    @cached_property
    def client(self) -> PostHogClient:
        """The open client."""
        return self.posthog.client

    def selected(self, tables: Iterable[Table]) -> list[Table]:
        """The tables that the run loads."""
        keys = self.context.selected_asset_keys
        return [table for table in tables if self.options.key(table.name) in keys]

    def guard(self, table: Table, owner: str, names: Mapping[str, str | None]) -> SnapshotGuard:
        """A guard for the objects, id -> name, that a snapshot has rows of."""
        return SnapshotGuard(
            self.warehouse, table, owner, self.scope, self.context.log.warning, names
        )

    def warn(self, sentence: str) -> None:
        """Say something in the log and in the metadata of the table, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.context.log.warning(sentence)

    def spent(self, load: LoadResult) -> loading.Loaded:
        """A load with the requests and seconds since the step, or the last load, began."""
        requests, started = self._begun
        self._begun = self._now()
        return loading.Loaded(load, self._begun[0] - requests, self._begun[1] - started)

    def _now(self) -> tuple[int, float]:
        return (self.client.requests_made if self.asks else 0), time.monotonic()

    def load(
        self,
        table: Table,
        rows: Iterable[Row],
        *,
        upsert: bool = False,
        finish: Callable[[Batches], Batches] | None = None,
        absent: tuple[type[errors.PostHogError], ...] = (),
        guard: SnapshotGuard | None = None,
        names: Mapping[str, str | None] | None = None,
        numbers: Callable[[LoadResult], Mapping[str, Any]] = lambda load: {},
        listing: Callable[[], Mapping[str, Any]] = dict,
        **shown: Any,
    ) -> dg.MaterializeResult:
        """Replace the project's rows of a snapshot.

        Args:
            table: the declared table.
            rows: read while they are loaded.
            upsert: whether rows that are not given stay.
            finish: changes the batches.
            absent: errors that say that server or key lack the endpoint: what was loaded stays.
            guard: which objects could not be read.
            names: id of the workflow -> its name, where the table has a column for that.
            numbers: what else there is to say of the rows; called after the load.
            listing: what others may rely on, said where the rows were read.
            shown: as of `metadata`.
        """
        if names is not None:
            rows = named_rows(table, rows, names)
        batches = loading.arrow_batches(table, rows, project_id=self.project)
        if finish is not None:
            batches = finish(batches)
        said: Mapping[str, Any] = {}
        with self.warehouse.loading():
            try:
                if upsert:
                    load = self.warehouse.upsert(table, batches)
                else:
                    load = self.warehouse.replace(table, batches, scope=self.scope)
                said = listing()
            except absent as error:
                self.notes.clear()
                self.warn(f"Not read, what was loaded earlier stays: {error}")
                self.warehouse.upsert(table, [])
                load = LoadResult(rows=self.warehouse.count(table, scope=self.scope))
            metadata = self.metadata(table, load, numbers=numbers(load), **shown)
        gaps = guard.metadata() if guard is not None else {}
        return dg.MaterializeResult(
            asset_key=self.options.key(table.name), metadata={**gaps, **metadata, **said}
        )

    def metadata(
        self,
        table: Table,
        load: LoadResult,
        *,
        spent: loading.Loaded | None = None,
        url: str = "",
        order_by: str | None = None,
        rows_key: str = "dagster/row_count",
        numbers: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The metadata of one load: numbers, a link, the first rows, and the notes until now. The
        load cost what was `spent` since the last one by default."""
        shown = loading.preview(self.warehouse, table, project_id=self.project, order_by=order_by)
        notes, self.notes = self.notes, []
        spent = spent or self.spent(load)
        return {
            **loading.about(
                table,
                warehouse=self.warehouse,
                url=url or self.posthog.workflows_url,
                notes=notes,
            ),
            rows_key: load.rows,
            **(numbers or {}),
            **loading.cost(spent),
            **(loading.share_of_limits(self.client) if spent.requests else {}),
            **({"preview": shown} if shown is not None else {}),
        }


def load_step(
    options: AssetOptions,
    *,
    name: str,
    specs: Sequence[dg.AssetSpec],
    first: Callable[[Any], Any] = lambda step: None,
    make: Callable[..., Any] = Step,
    **more: Any,
) -> Callable[[Callable[[Any], Results]], dg.AssetsDefinition]:
    """A decorator: the function is given the `Step` of a run and yields what it loaded.

    `first` reads the warehouse in the connection that opens it, into `Step.first`; `make` makes the
    step of context, PostHog, warehouse and options; `more` is of `loading.table_assets`.
    """

    def decorate(load: Callable[[Any], Results]) -> dg.AssetsDefinition:
        def run(
            context: dg.AssetExecutionContext,
            posthog: PostHogResource,
            warehouse: WarehouseResource,
        ) -> Results:
            def begin(opened: Warehouse) -> Any:
                step = make(context, posthog, opened, options)
                step.first = first(step)
                return step

            with dagster_failures(), opened_with(warehouse, posthog, begin) as (_, step):
                yield from load(step)

        return loading.table_assets(options, name=name, specs=specs, **more)(run)

    return decorate


def snapshot_step(
    options: AssetOptions,
    tables: Mapping[Table, Sequence[Table]],
    *,
    group: str,
    name: str,
    metadata: Callable[[Table], Mapping[str, Any]] = lambda table: {},
    **more: Any,
) -> Callable[[Callable[[Step], Results]], dg.AssetsDefinition]:
    """`load_step` for tables of how things stand now: each, and those that it comes after. Of
    several any subset can be loaded."""
    specs = snapshot_specs(options, tables, group, metadata)
    return load_step(options, name=name, specs=specs, can_subset=len(tables) > 1, **more)


def snapshot_specs(
    options: AssetOptions,
    tables: Mapping[Table, Sequence[Table]],
    group: str,
    metadata: Callable[[Table], Mapping[str, Any]] = lambda table: {},
) -> list[dg.AssetSpec]:
    """The specs of `snapshot_step`."""
    return [
        loading.table_spec(
            table,
            options,
            group=group,
            deps=[options.key(one.name) for one in upstream],
            metadata=metadata(table),
        )._replace(skippable=len(tables) > 1)
        for table, upstream in tables.items()
    ]
