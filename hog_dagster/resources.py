"""Dagster resources around PostHog, warehouse and ledger; they open and close per run or tick.

Facts: Dagster resolves `EnvVar` fields only when a resource is handed to an asset, op, sensor or
schedule as a parameter, so nothing here reads a field before `setup_for_execution`; the UI shows a
literal key in clear text, so keys belong in `dg.EnvVar("POSTHOG_API_KEY")`.
"""

import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator

from hog_dagster._shared.described import Described
from hog_dagster.policies import size_of_memory
from hog_dagster.settings import connection_settings

if TYPE_CHECKING:
    from hog_dagster.ledger import Ledger
    from hog_dagster.posthog import PostHogClient, RateLimitEvent
    from hog_dagster.warehouse import Warehouse

__all__ = [
    "DltWarehouse",
    "DuckDBWarehouse",
    "LedgerResource",
    "PostHogResource",
    "PostgresWarehouse",
    "WarehouseResource",
]


if TYPE_CHECKING:
    _Resource = dg.ConfigurableResource[Any]
else:

    class _Resource(Described, dg.ConfigurableResource):
        """What all of them have."""


class PostHogResource(_Resource):
    """A PostHog project, as one personal API key sees it.

    The client is opened on first use and closed when the run or the sensor tick ends. All that use
    the same key keep to its rate limit together (PostHog counts per key: 480 requests a minute and
    4,800 an hour; 240 and 1,200 for insights): the processes of one machine, or of all machines
    with `rate_limit`. Waits of more than 5 seconds and 429 responses are in the log of the run.

    Example:
        .. code-block:: python

            import dagster as dg
            from hog_dagster import PostHogResource

            @dg.asset
            def workflow_names(posthog: PostHogResource) -> list[str]:
                return [w.name for w in posthog.client.workflows.list()]

            defs = dg.Definitions(
                assets=[workflow_names],
                resources={
                    "posthog": PostHogResource(
                        host="https://eu.posthog.com",
                        api_key=dg.EnvVar("POSTHOG_API_KEY"),
                        project_id=dg.EnvVar("POSTHOG_PROJECT_ID"),
                    )
                },
            )
    """

    host: str = "https://us.posthog.com"
    """Address of the PostHog app: https://us.posthog.com, https://eu.posthog.com or your own. Not
    an ingestion host (*.i.posthog.com)."""
    api_key: str = Field(repr=False)
    """Personal API key (phx_...). Give it as dg.EnvVar, not as a literal. Scopes: hog_flow:read to
    read; hog_flow:write, person:read and group:read to replay and to send."""
    project_id: str
    """Number of the project, as in its URL: https://us.posthog.com/project/<number>."""
    max_wait_seconds: float = Field(default=3700.0, ge=0, le=86_400)
    """How long a request may wait for the rate limit before it fails with `Throttled`."""
    read_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """How long PostHog may pause within a response before the request fails."""
    headroom: float = Field(default=0.9, gt=0, le=1)
    """The share of PostHog's rate limit that this key may use, from 0 to 1. The rest is left to
    other users of the key."""

    rate_limit: str | None = Field(default=None, repr=False)
    """Where requests are counted against the rate limit: postgresql://user:password@host/database
    for all machines that use the same database, or a directory for the processes of one machine.
    The default is HOG_DAGSTER_RATE_LIMIT, else the ledger's database if that is PostgreSQL, else a
    directory of the user."""
    ca_file: str | None = None
    """PEM file of the certificate authorities to trust, for a PostHog server or proxy with a
    private certificate. The default is HOG_DAGSTER_CA_FILE, else SSL_CERT_FILE, else the public
    authorities."""
    client_certificate: str | None = None
    """PEM file of a client certificate and its private key, for a PostHog server or proxy that
    requires one. The default is HOG_DAGSTER_CLIENT_CERTIFICATE."""

    _client: Any = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _log: Any = PrivateAttr(default=None)

    @field_validator("project_id", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        if hasattr(value, "env_var_name"):  # dg.EnvVar.int is an int to Python, whose value is 0
            return dg.EnvVar(value.env_var_name)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def client(self) -> "PostHogClient":
        """The open client.

        Raises:
            dagster.Failure: a setting is missing or wrong; the text names it.
        """
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> "PostHogClient":
        from hog_dagster._dagster.failures import dagster_failures
        from hog_dagster.posthog import PostHogClient, Timeouts

        for name in ("host", "api_key", "project_id"):
            value = getattr(self, name)
            if isinstance(value, dg.EnvVar):
                raise dg.Failure(
                    f"PostHogResource.{name} is the unresolved EnvVar {value.env_var_name!r}: "
                    "take the resource as a parameter of your asset, op, sensor or schedule "
                    "(posthog: PostHogResource), so that Dagster reads the variable first.",
                    allow_retries=False,
                )
        missing = [
            variable
            for variable, value in (
                ("POSTHOG_API_KEY", self.api_key),
                ("POSTHOG_PROJECT_ID", self.project_id),
            )
            if not value.strip()
        ]
        if missing:
            raise dg.Failure(missing_settings_text(missing), allow_retries=False)
        with dagster_failures():
            client = PostHogClient(
                host=self.host,
                api_key=self.api_key,
                project_id=self.project_id,
                timeout=Timeouts(read=self.read_timeout_seconds),
                max_wait=self.max_wait_seconds,
                headroom=self.headroom,
                on_rate_limit=self._log_rate_limit,
                **connection_settings(
                    rate_limit=self.rate_limit,
                    ca_file=self.ca_file,
                    client_certificate=self.client_certificate,
                ),
            )
        for watched in _WATCHED:
            watched.append(client)
        return client

    def _log_rate_limit(self, event: "RateLimitEvent") -> None:
        """A long wait, a 429, a change of where is counted: into the log of the run."""
        log = self._log
        if log is not None:
            (log.info if event.kind == "wait" else log.warning)(event.message)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember the log of the run, in which waits for the rate limit are events."""
        self._log = context.log

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connection when the run or the tick ends."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    @property
    def project_url(self) -> str:
        """The project's page in PostHog's UI."""
        return f"{self.host.rstrip('/')}/project/{self.project_id}"

    @property
    def workflows_url(self) -> str:
        """The page of all workflows in PostHog's UI; that of servers of 2025 where the client has
        read workflows of such a one."""
        pages = self._client.workflows.pages if self._client is not None else "workflows"
        return f"{self.project_url}/{pages}"

    def workflow_url(self, workflow_id: str, tab: str = "workflow") -> str:
        """A workflow's page in PostHog's UI; tabs are `workflow`, `metrics`, `logs`."""
        return f"{self.workflows_url}/{workflow_id}/{tab}"


_WATCHED: "list[list[PostHogClient]]" = []


@contextmanager
def watched_clients() -> "Iterator[list[PostHogClient]]":
    """Every client that a resource of this process opens until the block ends, so that a command
    can count the requests of the runs it started."""
    opened: list[PostHogClient] = []
    _WATCHED.append(opened)
    try:
        yield opened
    finally:
        _WATCHED.remove(opened)


def missing_settings_text(missing: list[str]) -> str:
    """The sentence for settings that are not there: what to set, and what else to do."""
    return (
        f"No PostHog project is configured: {' and '.join(missing)} "
        f"{'is' if len(missing) == 1 else 'are'} not set. Set POSTHOG_API_KEY to a personal API "
        "key (PostHog: Settings > Personal API keys), POSTHOG_PROJECT_ID to the number in the "
        "project's URL, and POSTHOG_HOST if it is not https://us.posthog.com; then reload the code "
        "location. To look around without an account, run `hog-dagster demo`."
    )


class WarehouseResource(_Resource):
    """Base of the warehouse resources: annotate a parameter with it to take the configured one."""

    _log: Any = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember the log of the run, in which long waits for others are events."""
        self._log = context.log

    def _waits(self, sentence: str) -> None:
        if self._log is not None:
            self._log.warning(sentence)

    @abstractmethod
    @contextmanager
    def open(self) -> "Iterator[Warehouse]":
        """Open the warehouse; nothing is held open or locked except while reading or writing.

        Raises:
            hog_dagster.warehouse.errors.WarehouseError: it cannot be opened; the text says why.
        """
        raise NotImplementedError  # pragma: no cover
        yield

    @property
    def kind(self) -> str:
        """The engine's name, as Dagster's `kinds` know it."""
        return "duckdb"


class DuckDBWarehouse(WarehouseResource):
    """The embedded default: one DuckDB file; writers of any process take turns by a lock file.

    Example:
        .. code-block:: python

            DuckDBWarehouse(path="warehouse/posthog.duckdb", memory_limit="2GB")
    """

    path: str
    """Path of the DuckDB file. The file and its folder are created if missing."""
    lock_timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """How long a load waits for another load before it fails."""
    memory_limit: str = "512MB"
    """Memory that DuckDB may use, such as 512MB or 2GB; beyond it, DuckDB uses the disk. Rows of
    several megabytes each need more."""

    @field_validator("memory_limit")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        try:
            return size_of_memory(value)
        except ValueError as error:
            raise ValueError(f"memory_limit is {value!r}; {error}") from None

    @contextmanager
    def open(self) -> "Iterator[Warehouse]":
        from hog_dagster.warehouse import DuckDB

        path = Path(self.path).expanduser()
        with DuckDB(
            path,
            lock_timeout=self.lock_timeout_seconds,
            memory_limit=self.memory_limit,
            on_wait=self._waits,
        ) as warehouse:
            yield warehouse


class PostgresWarehouse(WarehouseResource):
    """Tables in a PostgreSQL database, loaded by binary COPY. Needs the extra `postgres`.

    Example:
        .. code-block:: python

            PostgresWarehouse(url=dg.EnvVar("WAREHOUSE_URL"), reader_role="analysts")
    """

    url: str = Field(repr=False)
    """Address of the database: postgresql://user:password@host:5432/database."""
    reader_role: str | None = None
    """PostgreSQL role that is granted SELECT on every table."""
    lock_timeout_seconds: float = Field(default=300.0, gt=0, le=86_400)
    """How long a load waits for another load of the same table before it fails."""

    @contextmanager
    def open(self) -> "Iterator[Warehouse]":
        from hog_dagster.warehouse import Postgres

        with Postgres(
            self.url, reader_role=self.reader_role, lock_timeout=self.lock_timeout_seconds
        ) as warehouse:
            yield warehouse

    @property
    def kind(self) -> str:
        return "postgres"


class DltWarehouse(WarehouseResource):
    """Tables in an engine that dlt reaches: BigQuery, Snowflake, Databricks, ClickHouse, Redshift,
    Delta on object storage. Needs the extra `dlt` and what dlt needs for the destination.

    Each load is handed to dlt as Arrow; how far it is atomic is up to the destination, and
    `hog_dagster.warehouse._dlt.adapter` says which are.

    Example:
        .. code-block:: python

            DltWarehouse(
                destination="snowflake",
                credentials=dg.EnvVar("SNOWFLAKE_URL"),
            )
            DltWarehouse(destination="filesystem", bucket_url="s3://lake", table_format="delta")
    """

    destination: str
    """Name of the dlt destination: bigquery, snowflake, filesystem, ..."""
    credentials: str | None = Field(default=None, repr=False)
    """Connection string. Without it, dlt reads its own configuration."""
    bucket_url: str | None = None
    """Folder or bucket of the filesystem destination."""
    table_format: str | None = None
    """Table format of the filesystem destination: delta."""
    lock_timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """How long a load waits for another load on this machine before it fails."""

    @contextmanager
    def open(self) -> "Iterator[Warehouse]":
        from hog_dagster.warehouse import Dlt

        options = {"credentials": self.credentials, "bucket_url": self.bucket_url}
        with Dlt(
            self.destination,
            table_format=self.table_format,
            lock_timeout=self.lock_timeout_seconds,
            **{name: value for name, value in options.items() if value is not None},
        ) as warehouse:
            yield warehouse

    @property
    def kind(self) -> str:
        return "delta" if self.table_format == "delta" else self.destination


class LedgerResource(_Resource):
    """The record of every action that must not be repeated: in a SQLite file, or in PostgreSQL.

    Every code location and every machine that acts on the same PostHog project must use the same
    ledger: in production, the PostgreSQL of Dagster's own storage.
    """

    url: str = Field(repr=False)
    """Address of the ledger: sqlite:///path/ledger.sqlite or
    postgresql://user:password@host:5432/database."""

    _ledger: Any = PrivateAttr(default=None)

    @property
    def ledger(self) -> "Ledger":
        """The open ledger."""
        if self._ledger is None:
            from hog_dagster.ledger import Ledger

            self._ledger = Ledger(self.url)
        return self._ledger

    @contextmanager
    def open(self) -> "Iterator[Ledger]":
        """The ledger as a context manager; it is closed when the run or the tick ends."""
        yield self.ledger

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give the connections back."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
