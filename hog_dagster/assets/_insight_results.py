"""Results of insights as tidy tables, one per kind and one per SQL insight.

Facts: reading an insight is one request (240 a minute, 1,200 an hour per key), more when PostHog
computes in the background; a query that fails is the insight's own matter and not the run's; a
null result is never an empty one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from logging import Logger
from typing import Any, Self

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._insight_tables import RESULT_TABLES, sql_row, sql_table
from hog_dagster.assets._insights import INSIGHTS
from hog_dagster.assets._shared_reads import insights_of
from hog_dagster.assets._steps import Results, Row, Step, load_step
from hog_dagster.lineage import (
    AssetOptions,
    InsightInfo,
    InsightSelection,
    find_selection,
    insight_key,
    sql_table_name,
)
from hog_dagster.posthog import PostHogClient, TidyRows, errors
from hog_dagster.posthog.models import Insight
from hog_dagster.warehouse import LoadResult, Table
from hog_dagster.warehouse.errors import SchemaConflict, TableMissing

_HAS_RESULT, _KNOWN_SHAPE, _WHOLE = "every_insight_has_a_result", "shape_is_known", "is_whole"
_SHOWN = 20
#: Insights that are read at the same time, at most: PostHog runs few queries of a project at once.
_WORKERS = 3
#: Faults that may be over when the whole is tried again.
_PASSING = (errors.ServerError, errors.TransportError, errors.Throttled)
#: What no other insight would fare better with.
_FATAL = (errors.AuthenticationError, errors.PermissionDenied, errors.ConfigurationError)


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
    sql_keys = {
        info.short_id: options.key(sql_table_name(info.short_id))
        for info in known
        if info.kind == "sql"
    }

    @load_step(
        options,
        name="posthog_insight_results",
        specs=list(_specs(options, known)),
        check_specs=list(_checks(options, sql_keys.values())),
        can_subset=True,
    )
    def insight_results(step: Step) -> Results:
        tables = step.selected(RESULT_TABLES.values())
        kinds = [kind for kind, table in RESULT_TABLES.items() if table in tables]
        chosen = [
            (insight, selection)
            for insight in insights_of(step.client)
            if (selection := find_selection(insight, selections)) is not None
            and _wanted(step, insight, kinds, sql_keys)
        ]
        readings = _read_insights(
            step.client, chosen, workers=options.workers, log=step.context.log
        )
        results = _Results(step, sql_keys)
        for kind in sorted(kinds):
            yield from results.load_kind(kind, [r for r in readings if r.kind == kind])
        for reading in readings:
            if reading.kind == "sql":
                yield from results.load_sql(reading)
        yield from results.absent_sql(readings)

    return insight_results


def _specs(options: AssetOptions, known: Sequence[InsightInfo]) -> Iterator[dg.AssetSpec]:
    catalog = options.key(INSIGHTS.name)
    # As snapshots are kept, but for how often.
    options = replace(options, snapshots=options.results)
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
                **loading.freshness_of(options),
                skippable=True,
            )


def _checks(
    options: AssetOptions, sql_keys: Collection[dg.AssetKey]
) -> Iterator[dg.AssetCheckSpec]:
    for table in RESULT_TABLES.values():
        for check, said in _OF_KINDS.items():
            yield dg.AssetCheckSpec(check, asset=options.key(table.name), description=said)
    for key in sql_keys:
        for check, said in _OF_SQL.items():
            yield dg.AssetCheckSpec(check, asset=key, description=said)


_OF_KINDS = {
    _HAS_RESULT: "Every selected insight's result could be read.",
    _KNOWN_SHAPE: "No response has a part of an unknown shape (column _raw).",
}
_OF_SQL = {
    _WHOLE: "The query's LIMIT did not cut its rows short.",
    _HAS_RESULT: "The insight's result could be read.",
    _KNOWN_SHAPE: "Every value fits its column's type.",
}


def _wanted(
    step: Step, insight: Insight, kinds: Collection[str], sql_keys: Mapping[str, dg.AssetKey]
) -> bool:
    if insight.kind != "sql":
        return insight.kind in kinds
    key = sql_keys.get(insight.short_id or "")
    # One without an asset of its own loads with a run of everything.
    return key in step.context.selected_asset_keys if key else len(kinds) == len(RESULT_TABLES)


@dataclass(frozen=True)
class Reading:
    """One insight as it was read: its tidy rows, or the error that stands in their place."""

    insight: Insight
    tidy: TidyRows | None = None
    error: Exception | None = None

    @property
    def kind(self) -> str:
        return self.tidy.kind if self.tidy else self.insight.kind

    @property
    def name(self) -> str:
        return f"{self.insight.title} ({self.insight.short_id or self.insight.id})"

    @property
    def computed_at(self) -> datetime | None:
        return self.insight.last_refresh

    def failed(self, error: Exception) -> Self:
        """The same reading, but for the error that its loading met."""
        return replace(self, tidy=None, error=error)


def _read_insights(
    client: PostHogClient,
    chosen: Sequence[tuple[Insight, InsightSelection]],
    *,
    workers: int = _WORKERS,
    log: Logger | Any,
) -> list[Reading]:
    """The results of the chosen insights in their order, as fresh as their selections ask; three at
    most are read at the same time."""
    zone = cache(lambda: _zone_of(client))  # Asked for when the first response lacks it.

    def read(one: tuple[Insight, InsightSelection]) -> Iterable[Reading]:
        insight, selection = one
        try:
            found = client.insights.result(
                insight.id, refresh=selection.refresh, timeout=selection.timeout
            )
            timezone = None if found.timezone else zone()
            yield Reading(found, tidy=found.tidy_rows(timezone=timezone))
        except _FATAL:
            raise
        except errors.PostHogError as error:
            log.warning(f"insight {insight.title} ({insight.short_id}) was not read: {error}")
            yield Reading(insight, error=error)

    found = {
        reading.insight.id: reading
        for reading in interleave(chosen, read, workers=min(workers, _WORKERS))
    }
    readings = [found[insight.id] for insight, _ in chosen]
    failed = [reading.error for reading in readings if reading.error]
    if failed and len(failed) == len(readings) and all(map(_passing, failed)):
        raise failed[0]
    return readings


def _passing(error: Exception | None) -> bool:
    return isinstance(error, _PASSING) and not error.permanent


def _zone_of(client: PostHogClient) -> str | None:
    """The project's time zone; without the scope project:read buckets keep their local time."""
    try:
        return client.server.project().timezone
    except errors.PostHogError:
        return None


class _Results:
    """Loading of what was read, with the outcome of its checks."""

    def __init__(self, step: Step, sql_keys: Mapping[str, dg.AssetKey]) -> None:
        self.step, self.context, self.warehouse = step, step.context, step.warehouse
        self.sql_keys = sql_keys
        self.spent = step.spent(LoadResult())

    def load_kind(self, kind: str, readings: Sequence[Reading]) -> Results:
        """Replace the table's rows by those read; insights that failed keep theirs."""
        table, scope = RESULT_TABLES[kind], self.step.scope
        rows = [row for reading in readings if reading.tidy for row in reading.tidy.rows]
        failed = {reading.insight.id for reading in readings if reading.error}
        read = {reading.insight.id for reading in readings if reading.tidy}
        there = {row["insight_id"] for row in self._loaded(table)}
        replaced = sorted((there - failed) | read)
        with self.warehouse.loading():
            if replaced:
                load = self.warehouse.replace(
                    table, self._batches(table, rows), scope={**scope, "insight_id": replaced}
                )
            else:
                load = self.warehouse.upsert(table, [])
            metadata = self._metadata(table, load, readings)
            metadata["dagster/row_count"] = self.warehouse.count(table, scope=scope)
        key = self.step.options.key(table.name)
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        yield from self._outcomes(key, readings)

    def _batches(self, table: Table, rows: Sequence[Row]) -> Iterator[Any]:
        return loading.arrow_batches(table, rows, project_id=self.step.project)

    def _loaded(self, table: Table) -> list[dict[str, Any]]:
        columns, scope = ["insight_id"], self.step.scope
        try:
            return self.warehouse.aggregate(table, by=columns, scope=scope)
        except TableMissing:
            return []

    def load_sql(self, reading: Reading) -> Results:
        """Replace one SQL insight's table by what was read."""
        short_id = reading.insight.short_id or str(reading.insight.id)
        key = self.sql_keys.get(short_id)
        if reading.tidy is not None:
            table, names = sql_table(short_id, reading.insight.title, reading.tidy.columns)
            batches = self._batches(table, [sql_row(row, names) for row in reading.tidy.rows])
            try:
                load = self.warehouse.replace(table, batches, scope=self.step.scope)
            except SchemaConflict as conflict:
                reading = reading.failed(conflict)
                said = f"{table.schema}.{table.name} was left as it is: {conflict}"
                self.context.log.warning(said)
            else:
                page = f"{self.step.posthog.project_url}/insights/{short_id}"
                metadata = self._metadata(table, load, [reading], page)
                metadata["dagster/row_count"] = load.rows
                if key is None:
                    ours, about = self.step.options.key(table.name), table.description
                    self.context.log_event(
                        dg.AssetMaterialization(ours, description=about, metadata=metadata)
                    )
                else:
                    yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        if key is not None:
            yield from self._outcomes(key, [reading])

    def absent_sql(self, readings: Sequence[Reading]) -> Iterator[dg.AssetCheckResult]:
        """Say of each selected SQL insight that is gone from PostHog that there is no result."""
        seen = {reading.insight.short_id for reading in readings}
        for short_id, key in self.sql_keys.items():
            if short_id not in seen and key in self.context.selected_asset_keys:
                gone = f"{short_id} is not among the selected saved insights any more"
                yield from self._result_of(key, _HAS_RESULT, {"insights": gone})

    def _metadata(
        self, table: Table, load: LoadResult, readings: Sequence[Reading], url: str = ""
    ) -> dict[str, Any]:
        failed = [f"{r.insight.title}: {r.error}" for r in readings if r.error]
        computed = [r.computed_at for r in readings if r.tidy and r.computed_at]
        numbers: dict[str, Any] = {
            "posthog/insights": sum(r.tidy is not None for r in readings),
            "posthog/insights_failed": len(failed),
        }
        if computed:
            behind = loading.server_now(self.step.client) - min(computed)
            numbers["posthog/lag_seconds"] = round(max(0.0, behind.total_seconds()), 1)
            numbers["posthog/oldest_result"] = dg.MetadataValue.timestamp(min(computed))
        self.step.notes = [f"Kept what was loaded earlier of {error}" for error in failed[:_SHOWN]]
        metadata = self.step.metadata(
            table,
            load,
            spent=replace(self.spent, load=load),
            url=url or f"{self.step.posthog.project_url}/saved_insights",
            rows_key="posthog/rows_written",
            numbers=numbers,
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
