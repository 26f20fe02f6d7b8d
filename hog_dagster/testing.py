"""The test kit: a PostHog of your own for tests of your pipelines and for notebooks.

Facts: pytest takes fixtures from the modules that the topmost `conftest.py` names in
`pytest_plugins`; PostHog's quota is counted per key, so each sandbox has a key of its own and no
test inherits what another one used up.

In `conftest.py`::

    pytest_plugins = ["hog_dagster.testing"]

In a test::

    def test_names(posthog_sandbox, posthog_client):
        posthog_sandbox.world.add_workflow("Onboarding")
        assert [workflow.name for workflow in posthog_client.workflows.list()] == ["Onboarding"]

In a notebook, without pytest::

    with open_sandbox(populate=True) as sandbox, client_of(sandbox) as client:
        ...

Needs the extra ``hog-dagster[sandbox]``. The product never imports this module.
"""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hog_dagster.resources import (
    DuckDBWarehouse,
    LedgerResource,
    PostHogResource,
    WarehouseResource,
)

if TYPE_CHECKING:
    import pytest

    from hog_dagster.posthog import PostHogClient
    from hog_dagster.sandbox import Sandbox

__all__ = [
    "client_of",
    "duckdb_warehouse",
    "environment_of",
    "loaded",
    "open_sandbox",
    "posthog_client",
    "posthog_environment",
    "posthog_ledger",
    "posthog_resource",
    "posthog_resources",
    "posthog_sandbox",
    "posthog_sandbox_options",
    "resources_of",
]


def _fixture() -> Any:
    """pytest's decorator; without pytest, as in a notebook, one that does nothing."""
    try:
        import pytest
    except ModuleNotFoundError:
        return lambda function: function
    return pytest.fixture


fixture = _fixture()


# --- for notebooks and for fixtures of your own ---------------------------------------------------


@contextmanager
def open_sandbox(**options: Any) -> "Iterator[Sandbox]":
    """A PostHog server of your own, on 127.0.0.1, with an empty project, until the block ends.

    What a replay or rerun does shows at once here; `Sandbox` itself takes its time, as PostHog
    does. Everything else is as there.

    Args:
        options: of `hog_dagster.sandbox.Sandbox`: `generation="docs"` for an older server with
            blocked runs, `populate=True` for a believable project, `now=` for where its clock
            starts, `keys=` for keys with fewer scopes, ...

    Yields:
        The running sandbox; `url`, `api_key` and `project_id` say how to reach it.

    Raises:
        MissingExtra: the extra `sandbox` is not installed.

    Example:
        .. code-block:: python

            with open_sandbox() as sandbox:
                workflow = sandbox.world.add_workflow("Onboarding")
                sandbox.world.add_run(workflow["id"], "failed")
    """
    from hog_dagster.sandbox import Sandbox

    given = {
        "populate": False,
        "marker_lag": 0.0,
        "keys": {f"phx_{uuid.uuid4().hex}": ["*"]},
        **options,
    }
    with Sandbox(**given) as sandbox:
        sandbox.world.rerun_lag = sandbox.world.rerun_takes = 0.0
        yield sandbox


def client_of(sandbox: "Sandbox") -> "PostHogClient":
    """A client with the sandbox's first key; a context manager that closes it.

    Args:
        sandbox: the PostHog.

    Returns:
        The client.
    """
    from hog_dagster.posthog import PostHogClient

    return PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id)


def resources_of(sandbox: "Sandbox", folder: str | Path | None = None) -> dict[str, Any]:
    """The resources `posthog`, `warehouse` and `ledger` for assets and jobs, on the sandbox.

    Args:
        sandbox: the PostHog.
        folder: where the DuckDB file and the ledger go; a new temporary folder by default.

    Returns:
        Resource by name.

    Example:
        .. code-block:: python

            dg.materialize([workflows, my_asset], resources=resources_of(sandbox))
    """
    folder = _folder(folder)
    return {
        "posthog": _resource_of(sandbox),
        "warehouse": DuckDBWarehouse(path=str(folder / "warehouse.duckdb")),
        "ledger": LedgerResource(url=f"sqlite:///{folder / 'ledger.sqlite'}"),
    }


def environment_of(sandbox: "Sandbox", folder: str | Path | None = None) -> dict[str, str]:
    """The variables that point definitions at the sandbox: those of README, and DAGSTER_HOME.

    For definitions that read `dg.EnvVar("POSTHOG_API_KEY")`, YAML that reads `{{ env.X }}`, and
    `hog_dagster.definitions`.

    Args:
        sandbox: the PostHog.
        folder: the Dagster home, with the DuckDB file and the ledger in it; a new temporary folder
            by default.

    Returns:
        Value by name of the variable.
    """
    folder = _folder(folder)
    return {
        "POSTHOG_HOST": sandbox.url,
        "POSTHOG_API_KEY": sandbox.api_key,
        "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        "DAGSTER_HOME": str(folder),
        "HOG_DAGSTER_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "HOG_DAGSTER_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
    }


def loaded(
    warehouse: WarehouseResource, table: str, *, order_by: str | None = None
) -> list[dict[str, Any]]:
    """The rows of a table in schema `posthog`, as dictionaries.

    Args:
        warehouse: where it was loaded.
        table: its name, `workflow_logs` say.
        order_by: a column.

    Returns:
        One dictionary for each row, column to value.

    Raises:
        hog_dagster.warehouse.errors.WarehouseError: there is no such table; the text names it.
    """
    path = ("posthog", table)
    with warehouse.open() as opened:
        columns = opened.read_named(path).column_names
        found = opened.read_named(path, columns)
    return (found if order_by is None else found.sort_by(order_by)).to_pylist()


def _resource_of(sandbox: "Sandbox") -> PostHogResource:
    return PostHogResource(
        host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
    )


def _folder(folder: str | Path | None) -> Path:
    made = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="hog-dagster-"))
    made.mkdir(parents=True, exist_ok=True)
    return made.absolute()


# --- fixtures for pytest --------------------------------------------------------------------------


@fixture
def posthog_sandbox_options() -> dict[str, Any]:
    """What the sandbox is started with; override it in your `conftest.py`, module or class.

    Or for one test: ``@pytest.mark.parametrize("posthog_sandbox_options", [{"populate": True}])``.
    """
    return {}


@fixture
def posthog_sandbox(posthog_sandbox_options: dict[str, Any]) -> "Iterator[Sandbox]":
    """A PostHog of this test's own, with an empty project."""
    with open_sandbox(**posthog_sandbox_options) as sandbox:
        yield sandbox


@fixture
def posthog_client(posthog_sandbox: "Sandbox") -> "Iterator[PostHogClient]":
    """A client of the sandbox."""
    with client_of(posthog_sandbox) as client:
        yield client


@fixture
def posthog_resource(posthog_sandbox: "Sandbox") -> PostHogResource:
    """The resource `posthog`, on the sandbox."""
    return _resource_of(posthog_sandbox)


@fixture
def duckdb_warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """The resource `warehouse`: a DuckDB file of this test's own. `loaded` reads its tables."""
    return DuckDBWarehouse(path=str(tmp_path / "posthog" / "warehouse.duckdb"))


@fixture
def posthog_ledger(tmp_path: Path) -> LedgerResource:
    """The resource `ledger`: a file of this test's own. Jobs that send to people need it."""
    return LedgerResource(url=f"sqlite:///{tmp_path / 'posthog' / 'ledger.sqlite'}")


@fixture
def posthog_resources(
    posthog_resource: PostHogResource,
    duckdb_warehouse: DuckDBWarehouse,
    posthog_ledger: LedgerResource,
) -> dict[str, Any]:
    """All three, by the names that hog_dagster's assets and jobs ask for."""
    return {
        "posthog": posthog_resource,
        "warehouse": duckdb_warehouse,
        "ledger": posthog_ledger,
    }


@fixture
def posthog_environment(
    posthog_sandbox: "Sandbox", tmp_path: Path, monkeypatch: "pytest.MonkeyPatch"
) -> dict[str, str]:
    """Environment variables set for this test, so that your definitions talk to the sandbox."""
    environment = environment_of(posthog_sandbox, tmp_path / "posthog")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
