"""The YAML field `warehouse`: which engine holds the tables.

Facts: what `{{ env.X }}` resolved to is a plain value, so it is kept out of `repr`. A text alone is
a DuckDB file or a postgresql:// URL.
"""

import re
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from hog_dagster._shared.home import default_warehouse
from hog_dagster.policies import Record, Size, did_you_mean
from hog_dagster.resources import (
    DltWarehouse,
    DuckDBWarehouse,
    PostgresWarehouse,
    WarehouseResource,
)

#: What dlt has of its own.
_DESTINATIONS = tuple(
    """
    athena bigquery clickhouse databricks dremio duckdb ducklake fabric filesystem lance lancedb
    motherduck mssql postgres qdrant redshift snowflake sqlalchemy synapse weaviate
    """.split()  # noqa: SIM905
)
_POSTGRES = ("postgresql://", "postgres://", "postgresql+")


class DltFields(Record):
    """An engine that dlt reaches."""

    destination: str
    """Name of the dlt destination, such as bigquery, snowflake or filesystem."""
    credentials: str | None = Field(default=None, repr=False)
    """Connection string. Without it, dlt reads its own configuration."""
    bucket_url: str | None = None
    """Folder or bucket of the filesystem destination."""
    table_format: Literal["delta", "iceberg", "hive", "native"] | None = None
    """Table format of the filesystem destination: delta."""

    @field_validator("destination")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value in _DESTINATIONS or re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value):
            return value
        known = f"give one of {', '.join(_DESTINATIONS)}, or the path of your own, pkg.name say"
        raise ValueError(did_you_mean(value, _DESTINATIONS, known))


class WarehouseFields(Record):
    """Where the tables are: one of duckdb, postgres and dlt."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra={"x-or-text": True})

    duckdb: str | None = None
    """Path of a DuckDB file."""
    memory_limit: Size | None = None
    """Memory that DuckDB may use, such as 2GB. The default is 512MB."""
    postgres: str | None = Field(default=None, repr=False)
    """A postgresql:// URL."""
    reader_role: str | None = None
    """PostgreSQL role that is granted SELECT on every table."""
    dlt: DltFields | None = None
    """Another engine, loaded by dlt."""
    lock_timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """How long a load waits for another load before it fails."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith(_POSTGRES):
            return {"postgres": value}
        if "://" in value:
            scheme = value.partition("://")[0]
            raise ValueError(
                f"{scheme}:// is not known: give a DuckDB file, a postgresql:// URL, or dlt: with "
                "a destination"
            )
        return {"duckdb": value}

    @field_validator("duckdb", mode="after")
    @classmethod
    def _is_a_file(cls, value: str | None) -> str | None:
        if value is not None and ("://" in value or not value.strip()):
            raise ValueError("give the path of a file; a postgresql:// URL goes under postgres")
        return value

    @field_validator("postgres", mode="after")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_POSTGRES):
            raise ValueError("give postgresql://user:password@host:5432/database")
        return value

    @model_validator(mode="after")
    def _names_one_engine(self) -> Self:
        if sum(one is not None for one in (self.duckdb, self.postgres, self.dlt)) > 1:
            raise ValueError("it names several engines; give one of duckdb, postgres, dlt")
        if self.memory_limit is not None and (self.postgres or self.dlt):
            raise ValueError("memory_limit is of duckdb, and this is another engine: leave it out")
        if self.reader_role is not None and not self.postgres:
            raise ValueError("reader_role is of postgres, and this is another engine: leave it out")
        return self

    def __repr__(self) -> str:
        return f"WarehouseFields({self.resource().kind})"

    __str__ = __repr__

    def resource(self) -> WarehouseResource:
        """As assets use it."""
        if self.postgres is not None:
            return PostgresWarehouse(
                url=self.postgres,
                reader_role=self.reader_role,
                lock_timeout_seconds=self.lock_timeout_seconds,
            )
        if self.dlt is not None:
            return DltWarehouse(
                **self.dlt.model_dump(), lock_timeout_seconds=self.lock_timeout_seconds
            )
        limit = {} if self.memory_limit is None else {"memory_limit": self.memory_limit}
        return DuckDBWarehouse(
            path=self.duckdb or default_warehouse(),
            lock_timeout_seconds=self.lock_timeout_seconds,
            **limit,
        )
