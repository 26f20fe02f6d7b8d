"""The rooms of the sandbox: world, engine, api, server, each of which imports only those before it.

Imports are read from the source, lazy ones and those under `TYPE_CHECKING` included.
"""

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SANDBOX = "hog_dagster.sandbox"
ROOMS = ("world", "engine", "api", "server")
HTTP = ("asyncio", "http", "httpx", "socket", "starlette", "uvicorn")


@cache
def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in (ROOT / "hog_dagster" / "sandbox").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def imported(path: Path) -> list[tuple[str, str]]:
    """Each module that a file imports, and the name from it, or an empty one."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += ((one.name, "") for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            found += ((node.module or "", one.name) for one in node.names)
    return found


@cache
def users() -> list[Path]:
    """The files that name a room of the sandbox, its own among them."""
    return [
        path
        for folder in ("hog_dagster", "tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if f"{SANDBOX}." in path.read_text("utf-8")
    ]


@cache
def edges() -> dict[str, set[str]]:
    """Module of the sandbox -> the modules of the sandbox that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, path in modules().items():
        for other, name in imported(path):
            target = f"{other}.{name}" if f"{other}.{name}" in modules() else other
            if target in modules() and target != module:
                found[module].add(target)
    return found


def room_of(module: str) -> str:
    return module.removeprefix(SANDBOX).lstrip(".").partition(".")[0]


def test_every_module_stands_in_a_room() -> None:
    assert {room_of(module) for module in modules()} == {"", *ROOMS}


def test_a_room_imports_only_those_before_it() -> None:
    up = [
        f"{module} imports {other}"
        for module, others in edges().items()
        for other in others
        if room_of(module) in ROOMS
        if ROOMS.index(room_of(other)) > ROOMS.index(room_of(module))
    ]
    assert up == []


def test_nothing_is_imported_in_a_circle() -> None:
    assert [*TopologicalSorter(edges()).static_order()]


def test_rooms_import_only_what_others_export() -> None:
    seen = [
        f"{module} imports {other}"
        for module, others in edges().items()
        for other in others
        if room_of(module) != room_of(other)
        if "._" in other.removeprefix(SANDBOX)
    ]
    assert seen == []


def test_the_product_imports_the_front_of_the_sandbox_only() -> None:
    inside = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in users()
        if path.is_relative_to(ROOT / "hog_dagster") and path not in modules().values()
        for module, _ in imported(path)
        if module.startswith(f"{SANDBOX}.")
    }
    assert inside == set()


@pytest.mark.parametrize("room", ["world", "engine"])
def test_no_http_below_the_api(room: str) -> None:
    found = {
        f"{module} imports {other}"
        for module, path in modules().items()
        if room_of(module) == room
        for other, _ in imported(path)
        if other.partition(".")[0] in HTTP
    }
    assert found == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_what_is_imported_from_it(room: str) -> None:
    front = f"{SANDBOX}.{room}"
    taken = {
        name
        for path in users()
        if ROOT / "hog_dagster" / "sandbox" / room not in path.parents
        for module, name in imported(path)
        if module == front and not name.startswith("_")
    }
    assert taken == set(import_module(front).__all__)
