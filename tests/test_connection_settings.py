"""How PostHog is reached: from Python, YAML and the environment alike; what a run says of it."""

from pathlib import Path

import dagster as dg
import pytest

from hog_dagster import (
    DuckDBWarehouse,
    LedgerResource,
    PostHogProjectComponent,
    PostHogResource,
    build_posthog_definitions,
)
from hog_dagster.posthog._transport import limited as _limited
from hog_dagster.sandbox import Sandbox
from hog_dagster.settings import connection_settings

SHARED = "postgresql://me:s3cr3t@db.example.com/ledger"
OTHER = "postgresql://me:s3cr3t@db.example.com/limits"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RATE_LIMIT", "LEDGER", "CA_FILE", "CLIENT_CERTIFICATE"):
        monkeypatch.delenv(f"HOG_DAGSTER_{name}", raising=False)


def counted(resource: PostHogResource) -> str:
    """Where a client of the resource counts."""
    return resource.client.rate_limit_counted


def made(ledger: str, tmp_path: Path, rate_limit: str | None = None) -> PostHogResource:
    definitions = build_posthog_definitions(
        posthog=PostHogResource(api_key="phx_k", project_id="1", rate_limit=rate_limit),
        warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
        ledger=LedgerResource(url=ledger),
    )
    found = (definitions.resources or {})["posthog"]
    assert isinstance(found, PostHogResource)
    return found


def test_the_ledgers_postgres_is_where_all_machines_count(tmp_path: Path) -> None:
    assert counted(made(SHARED, tmp_path)).endswith("in postgresql://me@db.example.com/ledger")
    assert "this machine" in counted(made(f"sqlite:///{tmp_path}/l.sqlite", tmp_path))


def test_what_is_given_comes_before_the_environment_and_that_before_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOG_DAGSTER_LEDGER", SHARED)
    assert counted(PostHogResource(api_key="phx_k", project_id="1")).endswith("/ledger")
    monkeypatch.setenv("HOG_DAGSTER_RATE_LIMIT", OTHER)
    assert counted(PostHogResource(api_key="phx_k", project_id="1")).endswith("/limits")
    assert counted(made(SHARED, tmp_path)).endswith("/limits")
    assert str(tmp_path) in counted(made(SHARED, tmp_path, rate_limit=str(tmp_path)))


def test_the_ledger_of_the_environment_is_put_into_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's UI shows settings of resources, a password too."""
    monkeypatch.setenv("HOG_DAGSTER_LEDGER", SHARED)
    resource = made(SHARED, tmp_path)
    assert resource.rate_limit is None
    assert counted(resource).endswith("in postgresql://me@db.example.com/ledger")


def test_a_variable_for_the_ledger_is_read_when_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @dg.op
    def look(posthog: PostHogResource) -> None:
        seen.append(counted(posthog))

    @dg.job
    def looking() -> None:
        look()

    posthog = made(dg.EnvVar("MY_LEDGER"), tmp_path)  # type: ignore[arg-type]
    path = tmp_path / "l.sqlite"
    for url in (SHARED, f"sqlite:///{path}", str(path)):
        monkeypatch.setenv("MY_LEDGER", url)
        assert looking.execute_in_process(resources={"posthog": posthog}).success
    assert seen[0].endswith("in postgresql://me@db.example.com/ledger")
    assert "this machine" in seen[1]
    assert "this machine" in seen[2]
    assert not path.exists()


@pytest.mark.parametrize("variable", ["MY_LEDGER", "HOG_DAGSTER_LEDGER"])
def test_the_path_of_a_ledger_is_not_taken_for_a_directory_to_count_in(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setenv(variable, str(path))
    for url in (dg.EnvVar(variable), str(path)):
        assert made(url, tmp_path).rate_limit is None


def test_yaml_environment_and_python_have_the_same_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = set(connection_settings())
    assert fields <= set(PostHogResource.model_fields)
    assert fields <= set(PostHogProjectComponent.model_fields)
    for name in fields:
        monkeypatch.setenv(f"HOG_DAGSTER_{name.upper()}", f" {name} ")
    assert connection_settings() == {name: name for name in fields}
    given = {name: f"given {name}" for name in fields}
    assert connection_settings(**given) == given  # type: ignore[arg-type]


def test_the_url_of_the_database_is_in_no_repr() -> None:
    resource = PostHogResource(api_key="phx_k", project_id="1", rate_limit=SHARED)
    assert "s3cr3t" not in repr(resource) + str(resource)
    component = PostHogProjectComponent(rate_limit=SHARED)
    assert "s3cr3t" not in repr(component) + str(component)


def test_long_waits_and_refusals_are_in_the_log_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limited, "LONG_WAIT_S", 0.2)  # 5 seconds, in earnest.

    @dg.op
    def read(posthog: PostHogResource) -> None:
        posthog.client.server.key()

    @dg.job
    def reading() -> None:
        read()

    with Sandbox("docs", limits=False, populate=False) as sandbox:
        sandbox.fail(path="*", status=429, headers={"Retry-After": "1"}, times=1)
        sandbox.fail(path="*", status=503, headers={"Retry-After": "1"}, times=1)
        posthog = PostHogResource(host=sandbox.url, api_key=sandbox.api_key, project_id="1")
        with dg.DagsterInstance.ephemeral() as instance:
            run = reading.execute_in_process(resources={"posthog": posthog}, instance=instance)
            logged = [entry.user_message for entry in instance.all_logs(run.run_id)]
    (refused,) = [line for line in logged if line.startswith("PostHog answered 429")]
    assert "GET /api/personal_api_keys/@current/" in refused
    assert "the rate limit default of this key for 1 s" in refused
    waits = [line for line in logged if "is tried again in 1 s" in line]
    assert len(waits) == 2
    assert "503" in waits[1]
