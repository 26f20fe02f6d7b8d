"""Group types, groups and their history and activity as tables.

Facts: HogQL gives 50,000 groups a request, of all types together. `GET /groups/` gives 100, newest
first, and cannot be asked for changes only, so every load reads all; newer servers answer it
from ClickHouse, a little behind. A type that HogQL shows no group of is asked for there, too. A
type that neither way shows whole is a gap: what was loaded of it earlier stays, and no other type
is affected.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._group_tables import (
    GROUP_ACTIVITY,
    GROUP_HISTORY,
    GROUP_TYPES,
    GroupColumn,
    groups_table,
)
from hog_dagster.assets._report import Gap, gaps_metadata
from hog_dagster.assets._shared_reads import group_types_of, recall, remember
from hog_dagster.assets._sql_table import NO_SCOPE, ReadBy
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import errors, fit_cell
from hog_dagster.posthog.models import Group, GroupActivity, GroupType
from hog_dagster.warehouse import Table

_COMPLETE = "is_complete"
_REMEDY = "Give the key the scope query:read, so that they are read by HogQL."
#: (index of the type, key of the group).
GroupKey = tuple[int, str]
#: A group's hash of properties, and its row.
Now = Mapping[GroupKey, tuple[str, Row]]


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
    tables: dict[Table, Sequence[Table]] = {GROUP_TYPES: [], table: [GROUP_TYPES]}
    if history:
        tables[GROUP_HISTORY] = [table]
    if activity_of:
        tables[GROUP_ACTIVITY] = [GROUP_TYPES]
    complete = dg.AssetCheckSpec(
        _COMPLETE,
        asset=options.key(table.name),
        description="Every group of the chosen types could be read.",
    )

    @snapshot_step(options, tables, group="groups", name="posthog_groups", check_specs=[complete])
    def groups(step: Step) -> Results:
        types = group_types_of(step.client)
        work = _Groups(step, _chosen(types, group_types), read_by)
        selected = step.selected(tables)
        if GROUP_TYPES in selected:
            rows = (loading.row_of(GROUP_TYPES, one, _raw=one.model_extra or None) for one in types)
            yield work.load(GROUP_TYPES, rows)
        if table in selected or GROUP_HISTORY in selected:
            yield from work.load_groups(table, columns, selected)
        if complete.key in step.context.selected_asset_check_keys and table in selected:
            yield work.completeness(complete.key)
        if GROUP_ACTIVITY in selected:
            yield work.load(GROUP_ACTIVITY, work.activity(types, activity_of))

    return groups


def _chosen(types: Sequence[GroupType], names: Sequence[str]) -> list[GroupType]:
    known = {one.group_type: one for one in types}
    if missing := [name for name in names if name not in known]:
        raise ValueError(
            f"PostHog has no group type {', '.join(missing)}; it has "
            f"{', '.join(known) or 'none at all'}"
        )
    return [known[name] for name in names] if names else list(types)


class _Groups:
    """The loading of one run."""

    def __init__(self, step: Step, types: Sequence[GroupType], read_by: ReadBy) -> None:
        self.step, self.client, self.types = step, step.client, types
        self.read_by = read_by
        self.gaps: dict[int, Gap] = {}
        self.shown: dict[int, set[str]] = {}
        #: Keys of the type in which HogQL failed, which it had shown before.
        self.begun: dict[int, set[str]] = {}

    def load(self, table: Table, rows: Iterator[Row], **more: Any) -> dg.MaterializeResult:
        """Load a table; metadata of groups names their gaps."""
        if table.name == "groups":
            more["listing"] = lambda: gaps_metadata(self._gaps())
        url = f"{self.step.posthog.project_url}/groups/0"
        return self.step.load(table, rows, url=url, **more)

    def load_groups(
        self, table: Table, columns: Sequence[GroupColumn], selected: Sequence[Table]
    ) -> Iterator[dg.MaterializeResult]:
        """Load the groups as they are now, and how that differs from what they were."""
        with_history = GROUP_HISTORY in selected
        now: dict[GroupKey, tuple[str, Row]] = {}
        types = {one.group_type_index: one.group_type for one in self.types}

        def rows() -> Iterator[Row]:
            for group in self._groups():
                row = _group_row(group, types.get(group.group_type_index), columns)
                if with_history:
                    key = (group.group_type_index, group.group_key)
                    now[key] = (_hash(group.group_properties), row)
                yield row

        if table in selected:
            yield self.load(table, itertools.chain(rows(), self._hidden(table)))
        else:
            for _ in rows():
                pass
        if with_history:
            moment, before = loading.server_now(self.client), self._open_history()
            # A group that could not be read has not ended.
            held = {k: row for k, row in before.items() if k in now or k[0] not in self.gaps}
            yield self.load(
                GROUP_HISTORY,
                _history_rows(now, held, moment),
                upsert=True,
                rows_key="posthog/rows_written",
            )

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
            self.step.notes.append(
                f"Groups were read by REST, because HogQL did not work: {refused}"
            )
        if reading is not None and seen:
            self.begun[reading] = seen
        for group in interleave(
            list(left.values()), self._of_type, workers=self.step.options.workers
        ):
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

    def _hidden(self, table: Table) -> Iterator[Row]:
        """The rows of the last load, of types with a gap, of groups that were not shown now."""
        if not self.gaps:
            return
        scope = {**self.step.scope, "group_type_index": sorted(self.gaps)}
        for row in loading.rows_in(loading.loaded_before(self.step.warehouse, table, None, scope)):
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

    def _open_history(self) -> dict[GroupKey, Row]:
        """The rows of `group_history` that hold until now, of the types that were read."""
        indexes = [one.group_type_index for one in self.types]
        scope = {**self.step.scope, "valid_to": None, "group_type_index": indexes}
        found = loading.rows_before(self.step.warehouse, GROUP_HISTORY, scope=scope)
        return {(row["group_type_index"], row["group_key"]): row for row in found}

    def activity(
        self, types: Sequence[GroupType], chosen: Sequence[tuple[str, str]]
    ) -> Iterator[Row]:
        """The changes of the chosen groups; a group that is not there has none."""
        for group_type, key in chosen:
            (one,) = _chosen(types, [group_type])
            try:
                entries = list(self.client.groups.activity(one.group_type_index, key))
            except errors.NotFound:
                continue
            for place, entry in enumerate(reversed(entries)):
                yield _activity_row(one, key, entry, place)


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


def _history_rows(now: Now, before: Mapping[GroupKey, Row], moment: datetime) -> Iterator[Row]:
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


def _activity_row(one: GroupType, key: str, entry: GroupActivity, place: int) -> Row:
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
