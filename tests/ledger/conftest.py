"""Ledgers on both engines, and actions in each state."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from hog_dagster.ledger import Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger(url) as ledger:
        yield ledger


@pytest.fixture
def numbers() -> Iterator[int]:
    """Numbers for subjects that are all different."""
    return itertools.count(1)
