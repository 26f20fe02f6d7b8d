"""What the sandbox's own tests share: a running server and a plain HTTP client on its project."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from hog_dagster.sandbox import Sandbox


class Http(httpx.Client):
    """A plain client on the sandbox's project, with the sandbox's first key."""

    def __init__(self, sandbox: Sandbox, key: str | None = None, **options: Any) -> None:
        headers = {"Authorization": f"Bearer {key or sandbox.api_key}"}
        options.setdefault("verify", False)  # plain HTTP: no certificates to load
        super().__init__(
            base_url=f"{sandbox.url}/api/projects/{sandbox.project_id}", headers=headers, **options
        )
        self.sandbox = sandbox


Start = Callable[..., tuple[Sandbox, Http]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sandbox with the given options: (sandbox, client). Empty, of the docs generation."""
    with ExitStack() as stack:

        def begin(**options: Any) -> tuple[Sandbox, Http]:
            options.setdefault("populate", False)
            options.setdefault("generation", "docs")
            sandbox = stack.enter_context(Sandbox(**options))
            return sandbox, stack.enter_context(Http(sandbox))

        yield begin


@pytest.fixture
def docs(start: Start) -> tuple[Sandbox, Http]:
    """An empty project on a server of the docs generation."""
    return start(generation="docs")


@pytest.fixture
def current(start: Start) -> tuple[Sandbox, Http]:
    """An empty project on a server of the current generation."""
    return start(generation="current")
