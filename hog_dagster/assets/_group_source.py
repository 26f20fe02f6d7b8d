"""What pushes of groups and of lists share: the table they read, however the user named it.

Facts: an asset says which table it is by the metadata `dagster/table_name`; else the last two parts
of its key, or its name in schema `main` or `public`, are the best guess there is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import dagster as dg
import pyarrow as pa

from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import BadRows
from hog_dagster.lineage import AssetOptions
from hog_dagster.warehouse import Table, Warehouse
from hog_dagster.warehouse.errors import InvalidQuery, TableMissing

#: A table as a user may name it.
SourceTable = str | Table | dg.AssetKey | dg.AssetSpec | dg.AssetsDefinition

_TABLE_NAME = "dagster/table_name"


@dataclass(frozen=True)
class GroupSource:
    """A table by its parts, and the asset that makes it, when there is one."""

    parts: tuple[str, ...]
    asset_key: dg.AssetKey | None = None

    @property
    def name(self) -> str:
        return ".".join(self.parts)

    @classmethod
    def of(cls, given: SourceTable) -> Self:
        """The table that is meant.

        Raises:
            ValueError: it names no table, or an assets definition of several.
        """
        if isinstance(given, Table):
            return cls((given.schema, given.name))
        if isinstance(given, str):
            parts = tuple(part.strip('"') for part in given.split("."))
            if not all(parts) or len(parts) > 3:
                raise ValueError(f"{given!r} is no table; give schema.table")
            return cls(parts)
        if isinstance(given, dg.AssetsDefinition):
            specs = list(given.specs)
            if len(specs) != 1:
                keys = ", ".join(spec.key.to_user_string() for spec in specs)
                raise ValueError(f"give one of these assets, not all: {keys}")
            return cls.of(specs[0])
        if isinstance(given, dg.AssetSpec):
            said = given.metadata.get(_TABLE_NAME)
            text = said.value if isinstance(said, dg.TextMetadataValue) else said
            if isinstance(text, str) and text:
                return cls(cls.of(text).parts, given.key)
            return cls.of(given.key)
        return cls(tuple(given.path[-2:]), given)

    def read(self, warehouse: Warehouse, key: str, columns: Sequence[str]) -> pa.Table:
        """The key and the given columns of every row.

        Raises:
            BadRows: the table or one of the columns is not there.
        """
        names = list(dict.fromkeys([key, *columns]))
        try:
            has = warehouse.read_named(self.parts).column_names
        except (InvalidQuery, TableMissing) as error:
            raise BadRows([f"it cannot be read: {error}"], self.name) from None
        if missing := [name for name in names if name not in has]:
            raise BadRows(
                [f"it has no column {name} (it has {', '.join(has)})" for name in missing],
                self.name,
            )
        return warehouse.read_named(self.parts, names)


def push_asset(
    options: AssetOptions,
    key: dg.AssetKey,
    source: GroupSource,
    *,
    description: str,
    group: str,
    metadata: Mapping[str, Any],
    pool: str | None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """A decorator: the function pushes a table's rows."""
    spec = dg.AssetSpec(
        key=key,
        description=description,
        group_name=options.group_for(group),
        deps=[source.asset_key] if source.asset_key else [],
        kinds={"posthog"},
        owners=list(options.owners),
        tags=dict(options.tags),
        metadata={"posthog/source": source.name, **metadata},
    )
    return takes_resources(
        dg.multi_asset,
        options.prefix,
        name="__".join(key.path).replace("-", "_"),
        specs=[spec],
        retry_policy=options.retry_policy,
        pool=pool,
    )


def show_plan(
    context: dg.AssetExecutionContext, key: dg.AssetKey, shown: Mapping[str, Any]
) -> None:
    """Show what a push is going to send, as an observation."""
    plan = dg.AssetObservation(key, description="The plan of a push.", metadata=shown)
    context.log_event(plan)
