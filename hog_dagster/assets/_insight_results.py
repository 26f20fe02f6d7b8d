"""Results of insights as tidy tables, one per kind and one per SQL insight.

Facts: reading an insight is one request (240 a minute, 1,200 an hour per key), more when PostHog
computes in the background; a query that fails is the insight's own matter and not the run's; a
null result is never an empty one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._insight_reading import Reading, read_insights
from hog_dagster.assets._insight_tables import RESULT_TABLES, sql_row, sql_table
from hog_dagster.assets._insights import INSIGHTS
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.assets._shared_reads import insights_of
from hog_dagster.lineage import (
    AssetOptions,
    InsightInfo,
    InsightSelection,
    find_selection,
    insight_key,
    sql_table_name,
)
from hog_dagster.posthog.models import Insight
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse
from hog_dagster.warehouse.errors import SchemaConflict, TableMissing

__all__ = ["build_insight_results_asset"]

_HAS_RESULT, _KNOWN_SHAPE, _WHOLE = "every_insight_has_a_result", "shape_is_known", "is_whole"
_SHOWN = 20


def build_insight_results_asset(
    *,
    options: AssetOptions | None = None,
    selections: Sequence[InsightSelection] = (InsightSelection(),),
    known: Sequence[InsightInfo] = (),
) -> dg.AssetsDefinition:
    """The assets `insight_trends`, `insight_funnels`, `insight_retention`, `insight_paths`,
    `insight_stickiness`, `insight_lifecycle`, `insight_other` and one `insight_sql_<short id>`
    (in lower case) per known SQL insight; one step, any subset of them materializable.

    Needs the resources `posthog` (scope insight:read; query:read for the asynchronous refresh
    modes) and `warehouse`. Requests: one per 500 saved insights, one per selected insight, and
    the polls of what PostHog computes in the background.

    A table holds the selected insights' latest results. An insight whose result cannot be had now
    keeps the rows it has; the check `every_insight_has_a_result` names it. A response
    of an unknown shape is loaded into `_raw` and fails the check `shape_is_known`. A SQL insight
    that its LIMIT cuts short fails the check `is_whole`.

    Args:
        options: how the assets look.
        selections: which insights, and how fresh; the first one that an insight is in counts.
        known: the insights as they were when definitions were built (`list_insights`), for the
            lineage and for SQL insights' assets. A SQL insight that is not among them loads all
            the same, as a materialization of its own table.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    specs = list(_specs(options, known))
    sql_keys = {
        info.short_id: options.key(sql_table_name(info.short_id))
        for info in known
        if info.kind == "sql"
    }

    @loading.table_assets(
        options,
        name="posthog_insight_results",
        specs=specs,
        check_specs=list(_checks(options, known)),
        can_subset=True,
    )
    def insight_results(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            client = posthog.client
            started, requests = time.monotonic(), client.requests_made
            wanted = {kind for kind, t in RESULT_TABLES.items() if _selected(context, options, t)}
            chosen = [
                (insight, selection)
                for insight in insights_of(client)
                if (selection := find_selection(insight, selections)) is not None
                and _wanted(context, insight, wanted, sql_keys)
            ]
            readings = read_insights(client, chosen, workers=options.workers, log=context.log)
            cost = loading.Loaded(
                LoadResult(),
                client.requests_made - requests,
                time.monotonic() - started,
            )
            job = _Job(context, posthog, opened, options, cost)
            for kind in sorted(wanted):
                yield from job.land_kind(kind, readings)
            for reading in readings:
                if reading.kind == "sql":
                    yield from job.land_sql(reading, sql_keys)
            yield from job.absent_sql(readings, sql_keys)

    return insight_results


def _specs(options: AssetOptions, known: Sequence[InsightInfo]) -> Iterator[dg.AssetSpec]:
    catalog = options.key(INSIGHTS.name)
    # As snapshots are kept, but for how often.
    options = replace(options, snapshots=options.results)
    freshness = options.snapshots
    for kind, table in RESULT_TABLES.items():
        insights = [insight_key(i, options) for i in known if i.kind == kind]
        deps = [catalog, *insights]
        yield loading.table_spec(table, options, group="insights", deps=deps)._replace(
            skippable=True
        )
    for info in known:
        if info.kind == "sql":
            yield dg.AssetSpec(
                key=options.key(sql_table_name(info.short_id)),
                description=f"Rows of the SQL insight {info.title}.",
                group_name=options.group_for("insights"),
                deps=[insight_key(info, options)],
                kinds={"posthog", options.warehouse_kind, "table"},
                owners=list(options.owners),
                tags=dict(options.tags),
                metadata={"posthog/url": dg.MetadataValue.url(info.url)},
                freshness_policy=freshness.freshness_policy() if freshness else None,
                automation_condition=(
                    freshness.automation_condition(partitioned=False) if freshness else None
                ),
                skippable=True,
            )


def _checks(options: AssetOptions, known: Sequence[InsightInfo]) -> Iterator[dg.AssetCheckSpec]:
    for table in RESULT_TABLES.values():
        key = options.key(table.name)
        yield dg.AssetCheckSpec(
            _HAS_RESULT, asset=key, description="Every selected insight's result could be read."
        )
        yield dg.AssetCheckSpec(
            _KNOWN_SHAPE,
            asset=key,
            description="No response has a part of an unknown shape (column _raw).",
        )
    for info in known:
        if info.kind == "sql":
            key = options.key(sql_table_name(info.short_id))
            yield dg.AssetCheckSpec(
                _WHOLE, asset=key, description="The query's LIMIT did not cut its rows short."
            )
            yield dg.AssetCheckSpec(
                _HAS_RESULT, asset=key, description="The insight's result could be read."
            )
            yield dg.AssetCheckSpec(
                _KNOWN_SHAPE, asset=key, description="Every value fits its column's type."
            )


def _selected(context: dg.AssetExecutionContext, options: AssetOptions, table: Table) -> bool:
    return options.key(table.name) in context.selected_asset_keys


def _wanted(
    context: dg.AssetExecutionContext,
    insight: Insight,
    kinds: set[str],
    sql_keys: Mapping[str, dg.AssetKey],
) -> bool:
    if insight.kind != "sql":
        return insight.kind in kinds
    key = sql_keys.get(insight.short_id or "")
    # One without an asset of its own loads with a run of everything.
    return key in context.selected_asset_keys if key else len(kinds) == len(RESULT_TABLES)


class _Job:
    """Loading of what was read, with the outcome of its checks."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        posthog: PostHogResource,
        warehouse: Warehouse,
        options: AssetOptions,
        cost: loading.Loaded,
    ) -> None:
        self.context, self.posthog, self.warehouse = context, posthog, warehouse
        self.options, self.cost = options, cost
        self.project = int(posthog.project_id)

    def land_kind(
        self, kind: str, readings: Sequence[Reading]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Replace the table's rows by those read; insights that failed keep theirs."""
        table, ours = RESULT_TABLES[kind], [r for r in readings if r.kind == kind]
        key = self.options.key(table.name)
        rows = [row for reading in ours if reading.tidy for row in reading.tidy.rows]
        failed = {reading.insight.id for reading in ours if reading.error}
        read = {reading.insight.id for reading in ours if reading.tidy}
        replaced = sorted((_present(self.warehouse, table, self.project) - failed) | read)
        batches = loading.arrow_batches(table, rows, project_id=self.project)
        with self.warehouse.loading():
            if replaced:
                scope = {"project_id": self.project, "insight_id": replaced}
                load = self.warehouse.replace(table, batches, scope=scope)
            else:
                load = self.warehouse.upsert(table, [])
            metadata = self._metadata(table, load, ours)
            count = self.warehouse.count(table, scope={"project_id": self.project})
        yield dg.MaterializeResult(asset_key=key, metadata={**metadata, "dagster/row_count": count})
        yield from self._outcomes(key, ours)

    def land_sql(
        self, reading: Reading, keys: Mapping[str, dg.AssetKey]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Replace one SQL insight's table by what was read."""
        short_id = reading.insight.short_id or str(reading.insight.id)
        key = keys.get(short_id)
        if reading.tidy is None:
            if key is not None:
                yield from self._outcomes(key, [reading])
            return
        table, names = sql_table(short_id, reading.insight.title, reading.tidy.columns)
        rows = [sql_row(row, names) for row in reading.tidy.rows]
        batches = loading.arrow_batches(table, rows, project_id=self.project)
        try:
            load = self.warehouse.replace(table, batches, scope={"project_id": self.project})
        except SchemaConflict as conflict:
            reading = reading.failed(conflict)
            self.context.log.warning(f"{table.schema}.{table.name} was left as it is: {conflict}")
        else:
            page = f"{self.posthog.project_url}/insights/{short_id}"
            metadata = self._metadata(table, load, [reading], page)
            metadata["dagster/row_count"] = load.rows
            if key is None:
                ours = self.options.key(table.name)
                self.context.log_event(
                    dg.AssetMaterialization(ours, description=table.description, metadata=metadata)
                )
            else:
                yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        if key is not None:
            yield from self._outcomes(key, [reading])

    def absent_sql(
        self, readings: Sequence[Reading], keys: Mapping[str, dg.AssetKey]
    ) -> Iterator[dg.AssetCheckResult]:
        """Say of each selected SQL insight that is gone from PostHog that there is no result."""
        seen = {reading.insight.short_id for reading in readings}
        for short_id, key in keys.items():
            if short_id not in seen and key in self.context.selected_asset_keys:
                gone = f"{short_id} is not among the selected saved insights any more"
                yield from self._result_of(key, _HAS_RESULT, {"insights": gone})

    def _metadata(
        self, table: Table, load: LoadResult, readings: Sequence[Reading], url: str = ""
    ) -> dict[str, Any]:
        errors = [f"{r.insight.title}: {r.error}" for r in readings if r.error]
        computed = [r.computed_at for r in readings if r.tidy and r.computed_at]
        numbers: dict[str, Any] = {
            "posthog/insights": sum(r.tidy is not None for r in readings),
            "posthog/insights_failed": len(errors),
        }
        if computed:
            behind = loading.server_now(self.posthog.client) - min(computed)
            numbers["posthog/lag_seconds"] = round(max(0.0, behind.total_seconds()), 1)
            numbers["posthog/oldest_result"] = dg.MetadataValue.timestamp(min(computed))
        metadata = loading.result_metadata(
            table,
            loading.Loaded(load, self.cost.requests, self.cost.seconds),
            warehouse=self.warehouse,
            posthog=self.posthog,
            url=url or f"{self.posthog.project_url}/saved_insights",
            shown=loading.preview(self.warehouse, table, project_id=self.project),
            rows_key="posthog/rows_written",
            numbers=numbers,
            notes=[f"Kept what was loaded earlier of {error}" for error in errors[:_SHOWN]],
        )
        # One step reads for all the tables, so its requests are of no single one of them.
        metadata["posthog/requests_of_step"] = metadata.pop("posthog/requests")
        return metadata

    def _outcomes(
        self, key: dg.AssetKey, readings: Sequence[Reading]
    ) -> Iterator[dg.AssetCheckResult]:
        failed = {r.name: str(r.error) for r in readings if r.error}
        drifted = {
            r.name: "; ".join(r.tidy.problems) or "unknown fields"
            for r in readings
            if r.tidy and r.tidy.drifted
        }
        yield from self._result_of(key, _HAS_RESULT, failed)
        yield from self._result_of(key, _KNOWN_SHAPE, drifted)
        if any(r.kind == "sql" for r in readings):
            cut = {
                r.name: f"PostHog has more rows than these {len(r.tidy.rows)}; raise the query's "
                "LIMIT (at most 50000)"
                for r in readings
                if r.tidy and r.tidy.has_more
            }
            yield from self._result_of(key, _WHOLE, cut)

    def _result_of(
        self, key: dg.AssetKey, check: str, problems: Mapping[str, str]
    ) -> Iterator[dg.AssetCheckResult]:
        if dg.AssetCheckKey(key, check) in self.context.selected_asset_check_keys:
            shown = [f"- {name}: {said}" for name, said in list(problems.items())[:_SHOWN]]
            yield dg.AssetCheckResult(
                check_name=check,
                asset_key=key,
                passed=not problems,
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(shown) or None,
                metadata={"posthog/problems": len(problems)},
            )


def _present(warehouse: Warehouse, table: Table, project_id: int) -> set[int]:
    """The insights that have rows in the table."""
    found: set[int] = set()
    try:
        for batch in warehouse.read_batches(
            table, columns=["insight_id"], scope={"project_id": project_id}
        ):
            found.update(batch.column(0).unique().to_pylist())
    except TableMissing:
        return set()
    return found
