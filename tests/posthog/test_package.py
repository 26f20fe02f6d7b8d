"""The client's public surface, and what importing it does not drag in."""

import subprocess
import sys

import hog_dagster.posthog as posthog
from hog_dagster.posthog import models

CHECK = """
import sys, socket
def refuse(*args, **kwargs): raise AssertionError("network at import")
socket.socket.connect = refuse
import hog_dagster.posthog
heavy = {"dagster", "duckdb", "pyarrow", "pandas", "numpy", "sqlalchemy", "starlette", "polars"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_the_client_imports_no_dagster_no_database_and_no_arrow() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECK], capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    assert run.stdout.strip() == "[]"


def test_the_public_names_are_as_listed() -> None:
    for name in posthog.__all__:
        assert hasattr(posthog, name)
    assert {"PostHogClient", "errors", "models", "Timeouts", "Rate"} <= set(posthog.__all__)


def test_every_model_says_which_endpoint_it_stands_for() -> None:
    unsaid = []
    for name, model in vars(models).items():
        own = getattr(model, "__module__", "").rpartition(".")[2]
        if not isinstance(model, type) or own not in ("workflows", "runs", "telemetry", "server"):
            continue
        said = model.__doc__ or ""
        if not any(verb in said for verb in ("GET ", "POST ", "PATCH ", "PUT ")):
            unsaid.append(name)
    assert unsaid == []
