"""Group types, groups and their history and activity as tables.

Facts: HogQL gives 50,000 groups a request, of all types together. `GET /groups/` gives 100, newest
first, and cannot be asked for changes only, so every load reads all; newer servers answer it
from ClickHouse, a little behind. A type that HogQL shows no group of is asked for there, too. A
type that neither way shows whole is a gap: what was loaded of it earlier stays, and no other type
is affected.
"""

import hashlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._group_tables import (
    GROUP_ACTIVITY,
    GROUP_HISTORY,
    GROUP_TYPES,
    GroupColumn,
    groups_table,
)
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.assets._report import Gap, gaps_metadata
from hog_dagster.assets._shared_reads import group_types_of, recall, remember
from hog_dagster.assets._sql_table import NO_SCOPE, ReadBy
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import PostHogClient, errors, fit_cell
from hog_dagster.posthog.models import Group, GroupActivity, GroupType
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["build_groups_assets"]

_COMPLETE = "is_complete"
_REMEDY = "Give the key the scope query:read, so that they are read by HogQL."


def build_groups_assets(
    *,
    options: AssetOptions | None = None,
    columns: Sequence[GroupColumn] = (),
    group_types: Sequence[str] = (),
    activity_of: Sequence[tuple[str, str]] = (),
    history: bool = False,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The assets `group_types` and `groups`, `group_activity` for chosen groups, and on request
    `group_history`; one step, any subset of them materializable.

    Needs the resources `posthog` (scopes group:read and query:read; activity_log:read for the
    activity) and `warehouse`. Requests: one, one per 50,000 groups, one per 100 changes of each
    chosen group; without query:read one per 100 groups of each type. What no way shows keeps the
    rows of the last load, stands in the metadata `gaps` and fails the check `is_complete`.

    Args:
        options: how the assets look.
        columns: properties that `groups` has as typed columns, besides all of them as JSON.
        group_types: only groups of these types (names); all by default.
        activity_of: groups whose activity is loaded, as (type, key).
        history: keep what properties were, with valid_from and valid_to, in `group_history`;
            it grows by one row per changed group and loading.
        read_by: `auto` reads groups by PostHog's SQL where key and server let us, by REST
            elsewhere; `rest` and `hogql` by that only.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    table = groups_table(columns)
    types_key = options.key(GROUP_TYPES.name)
    upstream: dict[Table, list[dg.AssetKey]] = {GROUP_TYPES: [], table: [types_key]}
    if history:
        upstream[GROUP_HISTORY] = [options.key(table.name)]
    if activity_of:
        upstream[GROUP_ACTIVITY] = [types_key]

    @loading.table_assets(
        options,
        name="posthog_groups",
        specs=[
            loading.table_spec(one, options, group="groups", deps=deps)._replace(skippable=True)
            for one, deps in upstream.items()
        ],
        check_specs=[
            dg.AssetCheckSpec(
                _COMPLETE,
                asset=options.key(table.name),
                description="Every group of the chosen types could be read.",
            )
        ],
        can_subset=True,
    )
    def groups(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            client = posthog.client
            types = group_types_of(client)
            chosen = _chosen(types, group_types)
            work = _Work(posthog, client, opened, options, chosen, read_by)
            selected = {one for one in upstream if options.key(one.name) in _keys(context)}
            if GROUP_TYPES in selected:
                yield work.load(GROUP_TYPES, (_type_row(t) for t in types))
            if table in selected or GROUP_HISTORY in selected:
                yield from work.land_groups(table, columns, selected)
            check = dg.AssetCheckKey(options.key(table.name), _COMPLETE)
            if check in context.selected_asset_check_keys and table in selected:
                yield work.completeness(check)
            if GROUP_ACTIVITY in selected:
                yield work.load(GROUP_ACTIVITY, work.activity(types, activity_of))

    return groups


def _keys(context: dg.AssetExecutionContext) -> Any:
    return context.selected_asset_keys


def _chosen(types: Sequence[GroupType], names: Sequence[str]) -> list[GroupType]:
    known = {one.group_type: one for one in types}
    if missing := [name for name in names if name not in known]:
        raise ValueError(
            f"PostHog has no group type {', '.join(missing)}; it has "
            f"{', '.join(known) or 'none at all'}"
        )
    return [known[name] for name in names] if names else list(types)


class _Work:
    """The loading of one run."""

    def __init__(
        self,
        posthog: PostHogResource,
        client: PostHogClient,
        warehouse: Warehouse,
        options: AssetOptions,
        types: Sequence[GroupType],
        read_by: ReadBy = "auto",
    ) -> None:
        self.posthog, self.client, self.warehouse = posthog, client, warehouse
        self.read_by, self.notes = read_by, list[str]()
        self.options, self.types = options, types
        self.project = int(posthog.project_id)
        self.gaps: dict[int, Gap] = {}
        self.shown: dict[int, set[str]] = {}
        #: Keys of the type in which HogQL failed, which it had shown before.
        self.begun: dict[int, set[str]] = {}

    def load(self, table: Table, rows: Iterator[Mapping[str, Any]]) -> dg.MaterializeResult:
        """Replace a table by the rows."""
        requests, started = self.client.requests_made, time.monotonic()
        batches = loading.arrow_batches(table, rows, project_id=self.project)
        with self.warehouse.loading():
            load = self.warehouse.replace(table, batches, scope={"project_id": self.project})
            return self._result(table, load, requests, started)

    def land_groups(
        self, table: Table, columns: Sequence[GroupColumn], selected: set[Table]
    ) -> Iterator[dg.MaterializeResult]:
        """Load the groups as they are now, and how that differs from what they were."""
        hashes: dict[tuple[int, str], tuple[str, Mapping[str, Any]]] | None = (
            {} if GROUP_HISTORY in selected else None
        )

        def rows() -> Iterator[Mapping[str, Any]]:
            for group in self._groups():
                row = _group_row(group, self._name_of(group.group_type_index), columns)
                if hashes is not None:
                    key = (group.group_type_index, group.group_key)
                    hashes[key] = (_hash(group.group_properties), row)
                yield row

        if table in selected:
            yield self.load(table, itertools.chain(rows(), self._hidden(table)))
        elif hashes is not None:
            for _ in rows():
                pass
        if hashes is not None:
            yield self._land_history(hashes)

    def _groups(self) -> Iterator[Group]:
        """Every group that can be read, once: by HogQL, and by REST from where that fails."""
        left = {one.group_type_index: one for one in self.types}
        refused = recall(self.client, NO_SCOPE) if self.read_by == "auto" else None
        seen: set[str] = set()  # Of the type that is being read.
        reading: int | None = None
        if self.read_by != "rest" and left and refused is None:
            try:
                for group in self.client.groups.by_query(sorted(left)):
                    if group.group_type_index != reading:
                        if reading is not None:
                            del left[reading]
                        reading = group.group_type_index
                        seen.clear()
                    seen.add(group.group_key)
                    yield group
                if reading is not None:
                    del left[reading]
                if self.read_by == "hogql":
                    return
                seen.clear()
            except errors.AuthenticationError:
                raise
            except errors.PostHogError as error:
                if self.read_by == "hogql":
                    raise
                if isinstance(error, errors.MissingScope):
                    remember(self.client, NO_SCOPE, error)
                refused = error
        if refused is not None:
            self.notes.append(f"Groups were read by REST, because HogQL did not work: {refused}")
        if reading is not None and seen:
            self.begun[reading] = seen
        for group in interleave(list(left.values()), self._of_type, workers=self.options.workers):
            if group.group_key not in self.begun.get(group.group_type_index, ()):
                yield group

    def _of_type(self, one: GroupType) -> Iterator[Group]:
        shown = self.shown[one.group_type_index] = set(self.begun.get(one.group_type_index, ()))
        try:
            for group in self.client.groups.list_whole(one.group_type_index):
                shown.add(group.group_key)
                yield group
        except errors.IncompleteList as error:
            self.gaps[one.group_type_index] = Gap(
                f"groups of type {one.group_type}", None, str(error), _REMEDY
            )
        else:
            del self.shown[one.group_type_index]

    def _hidden(self, table: Table) -> Iterator[Mapping[str, Any]]:
        """The rows of the last load, of types with a gap, of groups that were not shown now."""
        if not self.gaps:
            return
        scope = {"project_id": self.project, "group_type_index": sorted(self.gaps)}
        with suppress(TableMissing):
            for batch in self.warehouse.read_batches(table, scope=scope):
                for row in batch.to_pylist():
                    if row["group_key"] not in self.shown[row["group_type_index"]]:
                        yield row

    def completeness(self, key: dg.AssetCheckKey) -> dg.AssetCheckResult:
        """Whether every group could be read."""
        said = [f"- {gap.object}: {gap.why} {gap.remedy}" for gap in self._gaps()]
        return dg.AssetCheckResult(
            check_name=key.name,
            asset_key=key.asset_key,
            passed=not said,
            description="\n".join(said) or None,
            metadata={"posthog/gaps": len(said)},
        )

    def _gaps(self) -> list[Gap]:
        return [gap for _, gap in sorted(self.gaps.items())]

    def _name_of(self, index: int) -> str | None:
        return next((t.group_type for t in self.types if t.group_type_index == index), None)

    def _land_history(
        self, now: Mapping[tuple[int, str], tuple[str, Mapping[str, Any]]]
    ) -> dg.MaterializeResult:
        requests, started = self.client.requests_made, time.monotonic()
        moment = loading.server_now(self.client)
        open_rows = self._open_history()
        # A group that could not be read has not ended.
        held = {key: row for key, row in open_rows.items() if key in now or key[0] not in self.gaps}
        changed = list(_history_rows(now, held, moment))
        with self.warehouse.loading():
            load = self.warehouse.upsert(
                GROUP_HISTORY,
                loading.arrow_batches(GROUP_HISTORY, changed, project_id=self.project),
            )
            return self._result(GROUP_HISTORY, load, requests, started, "posthog/rows_written")

    def _open_history(self) -> dict[tuple[int, str], dict[str, Any]]:
        """The rows of `group_history` that hold until now, of the types that were read."""
        indexes = [one.group_type_index for one in self.types]
        scope = {"project_id": self.project, "valid_to": None, "group_type_index": indexes}
        try:
            found = self.warehouse.read(GROUP_HISTORY, scope=scope).to_pylist() if indexes else []
        except TableMissing:
            return {}
        return {(row["group_type_index"], row["group_key"]): row for row in found}

    def activity(
        self, types: Sequence[GroupType], chosen: Sequence[tuple[str, str]]
    ) -> Iterator[Mapping[str, Any]]:
        """The changes of the chosen groups; a group that is not there has none."""
        for group_type, key in chosen:
            (one,) = _chosen(types, [group_type])
            try:
                entries = list(self.client.groups.activity(one.group_type_index, key))
            except errors.NotFound:
                continue
            for place, entry in enumerate(reversed(entries)):
                yield _activity_row(one, key, entry, place)

    def _result(
        self,
        table: Table,
        load: LoadResult,
        requests: int,
        started: float,
        rows_key: str = "dagster/row_count",
    ) -> dg.MaterializeResult:
        metadata = loading.result_metadata(
            table,
            loading.Loaded(load, self.client.requests_made - requests, time.monotonic() - started),
            warehouse=self.warehouse,
            posthog=self.posthog,
            url=f"{self.posthog.project_url}/groups/0",
            shown=loading.preview(self.warehouse, table, project_id=self.project),
            rows_key=rows_key,
            notes=self.notes if table.name == "groups" else (),
        )
        if table.name == "groups":
            metadata |= gaps_metadata(self._gaps())
        return dg.MaterializeResult(asset_key=self.options.key(table.name), metadata=metadata)


def _type_row(one: GroupType) -> Mapping[str, Any]:
    return {
        "group_type_index": one.group_type_index,
        "group_type": one.group_type,
        "name_singular": one.name_singular,
        "name_plural": one.name_plural,
        "created_at": one.created_at,
        "_raw": one.model_extra or None,
    }


def _group_row(
    group: Group, group_type: str | None, columns: Sequence[GroupColumn]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "group_type_index": group.group_type_index,
        "group_type": group_type,
        "group_key": group.group_key,
        "properties": group.group_properties,
        "created_at": group.created_at,
    }
    raw: dict[str, Any] = dict(group.model_extra or {})
    for column in columns:
        value = group.group_properties.get(column.property)
        fits, cell = fit_cell(value, column.type)
        row[column.column_name()] = cell
        if not fits:
            raw[column.property] = value
    return row | {"_raw": raw or None}


def _hash(properties: Mapping[str, Any]) -> str:
    return hashlib.sha256((loading.json_text(properties) or "").encode()).hexdigest()


def _history_rows(
    now: Mapping[tuple[int, str], tuple[str, Mapping[str, Any]]],
    before: Mapping[tuple[int, str], Mapping[str, Any]],
    moment: datetime,
) -> Iterator[Mapping[str, Any]]:
    """The rows that end, and those that begin, at this loading."""
    for key, row in before.items():
        if key not in now or now[key][0] != row["properties_hash"]:
            ended = {k: v for k, v in row.items() if k not in ("project_id", "_loaded_at")}
            yield ended | {"valid_to": moment}
    for key, (digest, row) in now.items():
        if key not in before or before[key]["properties_hash"] != digest:
            yield {
                "group_type_index": key[0],
                "group_type": row["group_type"],
                "group_key": key[1],
                "valid_from": moment,
                "valid_to": None,
                "properties": row["properties"],
                "properties_hash": digest,
            }


def _activity_row(one: GroupType, key: str, entry: GroupActivity, place: int) -> Mapping[str, Any]:
    detail = entry.detail if isinstance(entry.detail, Mapping) else {}
    changes = detail.get("changes")
    change = changes[0] if isinstance(changes, list) and changes else {}
    change = change if isinstance(change, Mapping) else {}
    user = entry.user if isinstance(entry.user, Mapping) else {}
    return {
        "group_type_index": one.group_type_index,
        "group_type": one.group_type,
        "group_key": key,
        "entry": str(entry.id) if entry.id is not None else f"{place}",
        "activity": entry.activity,
        "property": detail.get("name"),
        "before": loading.json_text(change.get("before")),
        "after": loading.json_text(change.get("after")),
        "user_email": user.get("email"),
        "created_at": entry.created_at,
        "detail": detail,
    }
