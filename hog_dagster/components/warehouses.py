"""The YAML field `warehouse`: which engine the tables land in.

Facts: what `{{ env.X }}` resolved to is a plain value, so it is kept out of `repr`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from hog_dagster.homes import default_warehouse
from hog_dagster.resources import (
    DltWarehouse,
    DuckDBWarehouse,
    PostgresWarehouse,
    WarehouseResource,
)

__all__ = ["WarehouseFields"]


@dataclass(frozen=True)
class WarehouseFields(dg.Resolvable):
    """Where the tables land: one of duckdb, postgres and dlt.

    Args:
        duckdb: a DuckDB file.
        memory_limit: of duckdb: the memory it may use, such as 2GB.
        postgres: a postgresql:// URL.
        reader_role: of postgres: a role that is granted SELECT on every table made.
        dlt: fields of `DltWarehouse`: destination, credentials, bucket_url, table_format.
    """

    duckdb: str | None = None
    memory_limit: str | None = None
    postgres: str | None = None
    reader_role: str | None = None
    dlt: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.duckdb, self.postgres, self.dlt)) > 1:
            raise ValueError("warehouse names several engines; give one of duckdb, postgres, dlt")

    def __repr__(self) -> str:
        return f"WarehouseFields({self.resource().kind})"

    def resource(self) -> WarehouseResource:
        """As assets use it."""
        if self.postgres is not None:
            return PostgresWarehouse(url=self.postgres, reader_role=self.reader_role)
        if self.dlt is not None:
            return DltWarehouse(**self.dlt)
        limit = {} if self.memory_limit is None else {"memory_limit": self.memory_limit}
        return DuckDBWarehouse(path=self.duckdb or default_warehouse(), **limit)
