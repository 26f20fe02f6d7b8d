"""The plan of the house: which room may import which, what a room exports, how that is documented.

The floors are those of docs/architecture.md. Imports are read from the source, lazy ones and those
under `TYPE_CHECKING` included; nothing is imported for it.
"""

import ast
import copy
import inspect
import pickle
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hog_dagster._shared.lazy import Lazy
from scripts.reference import ROOMS, for_users

ROOT = Path(__file__).parents[1]
PRODUCT = "hog_dagster"
#: From the ground up. What stands on one line may import each other, if that is no circle.
FLOORS = (
    ("_version", "_shared"),
    ("posthog", "warehouse", "ledger", "policies"),
    ("_dagster", "actions", "lineage", "resources", "settings"),
    ("assets", "jobs", "io_manager"),
    ("alerts", "sensors", "schedules", "checks"),
    ("components",),
    ("definitions", "cli", "testing", "sandbox", "", "__main__"),
)
#: None of these imports another.
GROUND = FLOORS[1]
IMPORT_THE_SANDBOX = ("cli", "testing", "sandbox")
EXCUSED: tuple[str, ...] = ()


@cache
def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in (ROOT / PRODUCT).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def room_of(module: str) -> str:
    return [*module.split("."), ""][1]


@cache
def imported(source: str) -> list[tuple[str, str]]:
    """Each module of ours that a source imports, and the name from it, or an empty one."""
    found: list[tuple[str, str]] = []
    if PRODUCT not in source:
        return found
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += ((one.name, "") for one in node.names if one.name.startswith(PRODUCT))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PRODUCT):
            found += ((node.module or "", one.name) for one in node.names)
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules it imports."""
    edges: dict[str, set[str]] = {}
    for module, path in modules().items():
        edges[module] = set()
        for other, name in imported(path.read_text("utf-8")):
            target = f"{other}.{name}" if f"{other}.{name}" in modules() else other
            if target != module:
                edges[module].add(target)
    return edges


@cache
def sources() -> dict[str, str]:
    """Every source by its path: product, tests, examples, and the Python blocks of pages."""
    found = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for folder in (PRODUCT, "tests", "bench", "examples", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    }
    for page in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]:
        text = page.read_text("utf-8")
        for number, block in enumerate(re.findall(r"```py(?:thon)?\n(.*?)```", text, re.DOTALL)):
            found[f"{page.relative_to(ROOT).as_posix()}:{number}"] = block
    return found


def rooms() -> list[str]:
    """Rooms with a front door: packages that list what they export."""
    private = ("_shared", "_dagster", "sandbox")
    return sorted(
        {
            room_of(module)
            for module, path in modules().items()
            if path.name == "__init__.py" and module.count(".") == 1
        }
        - set(private)
    )


def listed(room: str, name: str = "__all__") -> list[str]:
    """A list of names in the `__init__` of a room."""
    for node in ast.parse(modules()[f"{PRODUCT}.{room}"].read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return list(ast.literal_eval(node.value))
    return []


@cache
def taken() -> dict[str, dict[str, set[str]]]:
    """Room -> name -> who imports it by the front door from outside the room."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path, source in sources().items():
        for module, name in imported(source):
            room = room_of(module)
            if module == f"{PRODUCT}.{room}" and not path.startswith(f"{PRODUCT}/{room}/"):
                found[room][name].add(path)
    return found


# --- floors and circles ---------------------------------------------------------------------------


def test_no_import_goes_up() -> None:
    level = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    up = [
        f"{module} imports {other}"
        for module, others in imports().items()
        if module != PRODUCT  # Its names are imported when they are first used.
        for other in others
        if level[room_of(other)] > level[room_of(module)]
    ]
    assert up == []


def test_no_room_on_the_ground_imports_another() -> None:
    across = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if room_of(module) in GROUND and room_of(other) in GROUND
        if room_of(module) != room_of(other)
    ]
    assert across == []


def test_only_commands_and_testing_import_the_sandbox() -> None:
    importers = {
        room_of(module)
        for module, others in imports().items()
        for other in others
        if room_of(other) == "sandbox"
    }
    assert importers <= set(IMPORT_THE_SANDBOX)


@pytest.mark.parametrize("of", ["modules", "rooms"])
def test_nothing_is_imported_in_a_circle(of: str) -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for module, others in imports().items():
        for other in others:
            one, two = (module, other) if of == "modules" else (room_of(module), room_of(other))
            if one not in ("", PRODUCT) and one != two and room_of(module) not in EXCUSED:
                edges[one].add(two)
    assert circle(edges) == []


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of a circle in the order of its imports; empty when there is none."""
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for other in sorted(edges.get(module, ())):
            if found := follow(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := follow(module, []))), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


# --- what a room exports --------------------------------------------------------------------------


def test_private_stays_private() -> None:
    seen = [
        f"{path} imports {module} {name}".strip()
        for path, source in sources().items()
        if path.startswith((PRODUCT, "examples", "docs", "README"))
        for module, name in imported(source)
        if (room := private_room(f"{module}.{name}")) is not None
        if not path.startswith(f"{PRODUCT}/{room}") and not room.startswith(EXCUSED)
    ]
    assert seen == []


def private_room(module: str) -> str | None:
    """The path of the room that has this private name to itself; None when it is not private."""
    parts = module.rstrip(".").split(".")[1:]
    if parts and parts[0] in ("_version", "_shared", "_dagster"):
        parts = parts[1:]  # They are the product's, not one room's.
    for number, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            return "/".join(parts[:number])
    return None


def test_private_names_are_known() -> None:
    assert private_room("hog_dagster.posthog._retry.Call") == "posthog"
    assert private_room("hog_dagster.assets._catalog") == "assets"
    assert private_room("hog_dagster.jobs.batch_job_asset") is None
    assert private_room("hog_dagster._shared.clock.Clock") is None


@pytest.mark.parametrize("room", rooms())
def test_what_is_imported_from_a_room_is_in_its_list(room: str) -> None:
    below = {
        module.split(".")[2] for module in modules() if module.startswith(f"{PRODUCT}.{room}.")
    }
    missing = {
        name: sorted(paths)
        for name, paths in taken()[room].items()
        if name and name not in below and not name.startswith("_") and name not in listed(room)
        if not all(path.startswith(("tests/", "scripts/", "bench/")) for path in paths)
    }
    assert missing == {}


@cache
def words_of_pages() -> set[str]:
    """Every word of the pages that are written by hand."""
    pages = [page for page in ROOT.glob("docs/**/*.md") if "reference" not in page.parts]
    return {word for page in pages for word in re.findall(r"\w+", page.read_text("utf-8"))}


@pytest.mark.parametrize("room", rooms())
def test_what_a_room_lists_is_imported_or_documented(room: str) -> None:
    unknown = set(listed(room)) - set(taken()[room]) - words_of_pages()
    assert unknown == set()


@pytest.mark.parametrize("room", rooms())
def test_names_for_other_rooms_are_imported_by_them(room: str) -> None:
    """What no other room imports is for users, and then it stands in the reference."""
    internal = listed(room, "INTERNAL")
    assert set(internal) <= set(listed(room))
    for name in internal:
        users = {path.partition("/")[0] for path in taken()[room][name]}
        assert users & {PRODUCT, "tests", "bench"}, f"{name} is imported by nobody"
        assert not users & {"docs", "examples"}, (
            f"{name} is for users: a page or example imports it"
        )


@pytest.mark.parametrize("room", rooms())
def test_a_room_lists_what_it_has(room: str) -> None:
    module = import_module(f"{PRODUCT}.{room}")
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), f"{room} lists {name} and does not have it"


# --- docstrings -----------------------------------------------------------------------------------


def public() -> Iterator[Any]:
    for name in ROOMS:
        module = import_module(name)
        for one in for_users(module):
            value = getattr(module, one)
            if isinstance(value, type) or inspect.isroutine(value):
                yield pytest.param(value, id=f"{name.removeprefix(PRODUCT)}.{one}")


@pytest.mark.parametrize("value", public())
def test_a_public_name_says_what_it_is(value: Any) -> None:
    own = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    text = inspect.cleandoc(own or "")
    assert re.match(r"[A-Z`:*].{10,}[.:]", text.partition("\n\n")[0], re.DOTALL), "no sentence"


def functions() -> list[Any]:
    """Public functions; fixtures, whose arguments pytest gives, are none."""
    return [
        one
        for one in public()
        if inspect.isfunction(one.values[0])
        and not hasattr(one.values[0], "_pytestfixturefunction")
    ]


@pytest.mark.parametrize("value", functions())
def test_a_public_function_says_what_it_takes_and_returns(value: Any) -> None:
    text = inspect.cleandoc(value.__doc__ or "")
    signature = inspect.signature(value)
    if signature.parameters:
        assert re.search(r"^Args:$", text, re.MULTILINE), "no section Args"
        described = text.partition("Args:\n")[2]
        named = set(re.findall(r"^    \*{0,2}([\w, *]+):", described, re.MULTILINE))
        names = {name.strip(" *") for group in named for name in group.split(",")}
        assert set(signature.parameters) - names == set()
    if signature.return_annotation not in (None, "None", inspect.Signature.empty):
        assert re.search(r"^(Returns|Yields):$", text, re.MULTILINE), "no section Returns"


def test_the_reference_lists_no_name_for_other_rooms() -> None:
    module = ModuleType("room")
    module.__dict__.update(__all__=["mine", "yours"], INTERNAL=("mine",))
    assert for_users(module) == ["yours"]


# --- the page -------------------------------------------------------------------------------------


def test_each_row_of_the_page_leads_to_what_it_names() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| .+ \| \[(\S+)\]\(\.\./(\S+)\) \| `(\w+)` \|$", page, re.MULTILINE)
    assert len(rows) >= 25
    for shown, path, name in rows:
        assert shown == path
        defined = rf"^(?:\s*(?:def|class) {name}\b|{name}\b|.* = {name}\()"
        assert re.search(defined, (ROOT / path).read_text("utf-8"), re.MULTILINE), (path, name)


def test_the_page_has_the_floors() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    picture = page.partition("```text\n")[2].partition("```")[0].splitlines()
    lines = {room: number for number, line in enumerate(picture) for room in line[:45].split()}
    shown = [room for floor in FLOORS for room in floor if not room.startswith("_") and room]
    assert set(shown) <= set(lines)
    for lower, upper in pairwise(FLOORS[1:]):
        assert all(
            lines[one] > lines[two] for one in lower for two in upper if {one, two} <= set(lines)
        )


def test_a_module_that_is_imported_late_can_be_copied_and_pickled() -> None:
    late = Lazy("json")
    for one in (copy.deepcopy(late), pickle.loads(pickle.dumps(late))):  # noqa: S301
        assert one.dumps([1]) == "[1]"
