"""A project on a PostHog whose clock stands where the pages' dates are."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.sandbox import Sandbox
from tests.cli.conftest import DgProject, Done
from tests.cli.conftest import project as project
from tests.cli.conftest import typed as typed
from tests.howtos.kit import Walk, environment_of

#: The pages are of the days before this.
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)


@pytest.fixture
def walk(
    project: DgProject,
    typed: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Walk]]:
    """Make a walk; its arguments are the sandbox's."""
    with ExitStack() as stack:

        def made(**options: Any) -> Walk:
            given = {"populate": False, "limits": False, "now": NOW, **options}
            sandbox = stack.enter_context(Sandbox(**given))
            environment = dict(environment_of(sandbox, tmp_path))
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            instance = stack.enter_context(
                dg.DagsterInstance.from_config(environment["DAGSTER_HOME"])
            )
            return Walk(project, sandbox, typed, environment, instance)

        yield made
