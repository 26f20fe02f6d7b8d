"""What every check shares: the open warehouse, landed partitions, counting by SQL, results.

Facts: a check runs after the assets it looks at, or alone; a table that never landed is no fault of
its rows. The few statements here are plain SQL, and hold no value that is not ours.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets.options import AssetOptions
from hog_dagster.assets.workflow_tables import WORKFLOWS
from hog_dagster.policies import Severity
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Table, Warehouse, Window
from hog_dagster.warehouse.errors import TableMissing, WarehouseError

__all__ = ["Judge", "Plan", "Scene", "Verdict", "checks_of", "newest_windows", "quoted", "table_of"]

_ROWS_SHOWN = 20


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Args:
        passed: whether all is well.
        text: one or two sentences.
        numbers: plain numbers for Dagster's plots, under stable keys.
        rows: what was found, as a table.
    """

    passed: bool
    text: str
    numbers: Mapping[str, float | int] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass
class Scene:
    """What a check has at hand."""

    context: dg.AssetCheckExecutionContext
    posthog: PostHogResource
    warehouse: Warehouse
    key: dg.AssetKey
    asked: bool = False

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
        self.asked = True
        return self.posthog.client

    def now(self) -> datetime:
        """This moment."""
        return datetime.now(UTC)

    def landed(self, partitions_def: dg.TimeWindowPartitionsDefinition | None) -> dict[str, Window]:
        """The partitions that landed, with their windows, oldest first."""
        if partitions_def is None:
            return {}
        keys = self.context.instance.get_materialized_partitions(self.key)
        windows = {}
        for key in keys:
            window = partitions_def.time_window_for_partition_key(key)
            windows[key] = Window(window.start, window.end)
        return dict(sorted(windows.items(), key=lambda item: item[1]))

    def grouped(
        self,
        table: Table,
        by: Sequence[str],
        *,
        window: Window | None = None,
        having: str = "",
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Rows of the project by some expressions, most rows first; the count is in `rows`.

        Args:
            table: the table.
            by: column names (quoted with `quoted`) or SQL expressions with `as`.
            window: rows of this window only.
            having: a condition on `count(*)`.
            limit: at most so many groups.
        """
        places = ", ".join(str(place) for place in range(1, len(by) + 1))
        where = [f'"project_id" = {self.project}']
        if window is not None and table.time_column is not None:
            column = quoted(table.time_column)
            where.append(f"{column} >= '{window.start.isoformat()}'")
            where.append(f"{column} < '{window.end.isoformat()}'")
        having = f" having {having}" if having else ""
        sql = (
            f'select {", ".join(by)}, count(*) as "rows" from {table_of(table)} '
            f"where {' and '.join(where)} group by {places}{having} "
            f'order by "rows" desc limit {limit}'
        )
        return self.warehouse.query(sql).to_pylist()

    def newest(self, table: Table) -> datetime | None:
        """The newest moment of the project's rows; None when there are none."""
        column = quoted(table.time_column or "_loaded_at")
        sql = (
            f'select max({column}) as "newest" from {table_of(table)} '
            f'where "project_id" = {self.project}'
        )
        return self.warehouse.query(sql).column("newest").to_pylist()[0]

    def names(self, catalog: Table = WORKFLOWS) -> dict[str, str]:
        """Id -> name of workflows or hog functions, as their catalog landed."""
        try:
            found = self.warehouse.read(catalog, columns=["id", "name"], scope=self.scope)
        except TableMissing:
            return {}
        return {row["id"]: row["name"] or row["id"] for row in found.to_pylist()}


#: Looks, and says what it found.
Judge = Callable[[Scene], Verdict]


@dataclass(frozen=True)
class Plan:
    """A check to be made.

    Args:
        name: of the check.
        table: the table it is of.
        judge: looks, and says what it found.
        severity: of a fault.
        description: for the UI.
    """

    name: str
    table: Table
    judge: Judge
    severity: Severity
    description: str


def checks_of(plans: Iterable[Plan], options: AssetOptions) -> list[dg.AssetChecksDefinition]:
    """The checks of each table as one step, any subset of them executable.

    A step is a process under Dagster's default executor, so a table's checks share one. A check
    that cannot be made (a scope is missing, PostHog does not answer) warns and says why: it does
    not fail the run that landed the rows.

    Args:
        plans: the checks.
        options: how our assets look.
    """
    by_table: dict[Table, list[Plan]] = {}
    for plan in plans:
        by_table.setdefault(plan.table, []).append(plan)
    return [_step(table, of_table, options) for table, of_table in by_table.items()]


def _step(table: Table, plans: Sequence[Plan], options: AssetOptions) -> dg.AssetChecksDefinition:
    key = options.key(table.name)

    @dg.multi_asset_check(
        name=options.named(f"{table.name}_checks"),
        specs=[
            dg.AssetCheckSpec(plan.name, asset=key, description=plan.description) for plan in plans
        ],
        can_subset=True,
        pool=options.pool,
    )
    @prefixed(options.prefix)
    def check(
        context: dg.AssetCheckExecutionContext,
        posthog: PostHogResource,
        warehouse: WarehouseResource,
    ) -> Iterable[dg.AssetCheckResult]:
        chosen = {check_key.name for check_key in context.selected_asset_check_keys}
        with warehouse.open() as opened:
            for plan in plans:
                if plan.name in chosen:
                    yield _result(plan, Scene(context, posthog, opened, key))

    return check


def _result(plan: Plan, scene: Scene) -> dg.AssetCheckResult:
    level = plan.severity
    try:
        verdict = plan.judge(scene)
    except TableMissing:
        verdict = Verdict(True, "Nothing has landed yet.")
    except (PostHogError, WarehouseError) as error:
        verdict, level = Verdict(False, f"This could not be checked: {error}"), "warn"
        scene.context.log.warning(f"{plan.table.name} {plan.name}: {error}")
    return dg.AssetCheckResult(
        check_name=plan.name,
        asset_key=scene.key,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity[level.upper()],
        description=verdict.text,
        metadata=_metadata(verdict, scene),
    )


def newest_windows(landed: Mapping[str, Window], days: int) -> list[Window]:
    """The newest landed days as stretches of neighbours, oldest first."""
    if not landed:
        return []
    first = max(window.end for window in landed.values()) - timedelta(days=days)
    stretches: list[Window] = []
    for window in landed.values():
        if window.start < first:
            continue
        if stretches and stretches[-1].end == window.start:
            stretches[-1] = Window(stretches[-1].start, window.end)
        else:
            stretches.append(window)
    return stretches


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def table_of(table: Table) -> str:
    """A table's name in SQL."""
    return f"{quoted(table.schema)}.{quoted(table.name)}"


def _metadata(verdict: Verdict, scene: Scene) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.int(value)
        if isinstance(value, int)
        else dg.MetadataValue.float(value)
        for name, value in verdict.numbers.items()
    }
    if verdict.rows:
        shown = [dg.TableRecord(_plain(row)) for row in verdict.rows[:_ROWS_SHOWN]]
        columns = [dg.TableColumn(name) for name in shown[0].data]
        metadata["found"] = dg.MetadataValue.table(shown, schema=dg.TableSchema(columns=columns))
        if len(verdict.rows) > _ROWS_SHOWN:
            metadata["found_in_all"] = len(verdict.rows)
    return metadata


def _plain(row: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    return {
        name: value if value is None or isinstance(value, str | int | float | bool) else str(value)
        for name, value in row.items()
    }
