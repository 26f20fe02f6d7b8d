"""Which PostHog project a command works on: the `dg` project it stands in, a module, or neither.

Facts: `dg` marks a project by `[tool.dg]` in pyproject.toml, or by dg.toml, and runs it in its
folder, with the variables of its `.env`; Dagster's own `[tool.dagster]` names a module; a component
reads its state when its definitions are built. Whichever it is, a command takes the resources of
the definitions, so it writes where they write.
"""

import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from hog_dagster.cli._loading import first_line, loading
from hog_dagster.cli._output import Output

ENVIRONMENT = "hog_dagster.definitions"
_F = TypeVar("_F", bound=Callable[..., Any])


class Usage(click.UsageError):
    """The command line, or the place where it is typed, asks for what cannot be; says what to
    give. Its exit code is 2."""


def project_options(function: _F) -> _F:
    """The options `--component` and `--module`; the command takes them by these names."""
    function = click.option(
        "-m",
        "--module",
        metavar="MODULE",
        help="A module with Dagster definitions, instead of the project of this folder; "
        f"{ENVIRONMENT} is the environment.",
    )(function)
    return click.option(
        "--component",
        metavar="NAME",
        help="Which PostHog project, where there are several: its name, its folder in defs, or its "
        "number.",
    )(function)


@dataclass(frozen=True)
class Opened:
    """The resources of a project, with their variables read: `PostHogResource`, a warehouse's,
    `LedgerResource`. (Their room imports Dagster, which `--help` does not wait for.)"""

    posthog: Any
    warehouse: Any
    ledger: Any


@dataclass(frozen=True)
class Project:
    """The project that a command works on."""

    where: str  # for people: what was found, and where
    definitions: Any  # Dagster's
    prefix: str = ""  # what stands before the names of its resources and jobs, `eu_` say
    folder: Path | None = None  # of a `dg` project
    notes: tuple[str, ...] = ()  # what was warned of while the definitions were loaded

    @property
    def facts(self) -> Any:
        """Its limits, selection, and what it needs: `ProjectFacts`."""
        from hog_dagster.components import ProjectFacts

        return ProjectFacts.read(self.definitions, self.prefix)

    def table_key(self, table: str) -> Any:
        """The asset key of a table, or None where these definitions do not read it.

        Facts: a table's asset says in its metadata which table it is.
        """
        import dagster as dg

        prefix = self.prefix.removesuffix("_")
        usual = dg.AssetKey(["posthog", *([prefix] if prefix else []), table])
        graph = self.definitions.resolve_asset_graph()
        if graph.has(usual):
            return usual
        found = [
            key
            for key in graph.get_all_asset_keys()
            if key.path[-1] == table
            and str(graph.get(key).metadata.get("dagster/table_name", "")).endswith(f".{table}")
        ]
        return found[0] if len(found) == 1 else None

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """The resources, until the block ends; a Usage where a variable they read is not set."""
        import dagster as dg

        names = ("posthog", "warehouse", "ledger")
        wanted = {name: self.definitions.resources[self.prefix + name] for name in names}
        with ExitStack() as stack:
            try:
                built = stack.enter_context(dg.build_resources(wanted))
            except dg.DagsterInvalidConfigError as error:
                raise Usage(_unset(error)) from None
            yield Opened(built.posthog, built.warehouse, built.ledger)

    def said(self, opened: Opened) -> str:
        """The first line of a command: what it works on."""
        posthog = opened.posthog
        return (
            f"{_upper(self.where)}: PostHog project {posthog.project_id or '?'} "
            f"at {posthog.host}, {warehouse_place(opened.warehouse)}, "
            f"ledger {ledger_place(opened.ledger.url)}"
        )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def warehouse_place(warehouse: Any) -> str:
    """Where the tables are, without a password."""
    if hasattr(warehouse, "path"):
        return f"DuckDB {Path(warehouse.path).expanduser().absolute()}"
    if hasattr(warehouse, "url"):
        return f"warehouse {ledger_place(warehouse.url)}"
    return f"{getattr(warehouse, 'destination', warehouse.kind)} by dlt"


def ledger_place(url: str) -> str:
    """Where a ledger is, without a password."""
    from hog_dagster.ledger import location_of, read_url

    try:
        return location_of(read_url(url))
    except ValueError:
        return "at an address that cannot be read"


def find_project(module: str | None = None, component: str | None = None) -> Project:
    """The project a command works on, by the options `--module` and `--component`. Several, or none
    that fits, are a Usage which names them; definitions that cannot be loaded a ValueError.
    """
    warnings.simplefilter("ignore")
    if module:
        return _of_module(module, component)
    found = _dg_project(Path.cwd())
    if found is None:
        named = _dagster_module(Path.cwd())
        return _of_module(named or ENVIRONMENT, component)
    root, settings = found
    if settings.get("directory_type") == "workspace":
        projects = ", ".join(one["path"] for one in _workspace_projects(settings)) or "none"
        raise Usage(
            f"{root} is a dg workspace: go into one of its projects ({projects}), or name --module."
        )
    return _of_dg_project(root, component)


def check_key(client: Any, say: Output) -> None:
    """Ask PostHog whose key this is, before anything else is asked with it; one request. A key that
    cannot be used is a ConfigurationError, in the sentence of `hog-dagster doctor`.
    """
    from hog_dagster.posthog import errors, key_refusal

    with say.waiting_for(client.host):
        why = key_refusal(client)
    if why:
        raise errors.ConfigurationError(why)


# --- a dg project -------------------------------------------------------------------------------


def _dg_project(start: Path) -> tuple[Path, dict[str, Any]] | None:
    from dagster_shared.utils.config import discover_config_file, load_toml_as_dict

    config = discover_config_file(start)
    if config is None:
        return None
    read = load_toml_as_dict(config)
    settings = read if config.stem == "dg" else read.get("tool", {}).get("dg", {})
    return config.parent, dict(settings)


def dg_project_folder() -> Path | None:
    """The folder of the dg project around the working directory; None where there is none."""
    found = _dg_project(Path.cwd())
    if found is None or found[1].get("directory_type") == "workspace":
        return None
    return found[0]


def definitions_module(root: Path) -> str:
    """The module with the definitions of a dg project."""
    found = _dg_project(root)
    settings = found[1].get("project", {}) if found else {}
    named = settings.get("code_location_target_module")
    return named or f"{settings.get('root_module', root.name)}.definitions"


def _workspace_projects(settings: dict[str, Any]) -> list[dict[str, str]]:
    return list(settings.get("workspace", {}).get("projects", []))


def _of_dg_project(root: Path, component: str | None) -> Project:
    os.chdir(root)  # as dg does: relative paths of its YAML start here
    if Path(".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(".env")
    for folder in (root / "src", root):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.append(str(folder))
    import dagster as dg
    from dagster.components.core.component_tree import ComponentTree

    from hog_dagster.components import PostHogProjectComponent

    with loading(f"The project {root.name}", stored=True) as notes:
        try:
            tree = ComponentTree.for_project(root)
        except (ImportError, dg.DagsterError) as error:
            raise Usage(
                f"The project {root.name} cannot be imported ({first_line(error)}): run "
                f"hog-dagster in its environment, {root / '.venv'} say, or install it there: "
                f"pip install -e {root}"
            ) from None
        found = list(_components(tree, PostHogProjectComponent))
        if not found:
            defs = tree.build_defs()
            return replace(
                _among(defs, f"project {root.name}", component), folder=root, notes=tuple(notes)
            )
        place, chosen = _chosen(found, component, root.name)
        # By its own file, so that nothing else of the project has to load.
        defs = tree.build_defs_at_path(place.path)
    where = f"project {root.name}, component {place.label} ({place.file})"
    return Project(where, defs, f"{chosen.name}_" if chosen.name else "", root, tuple(notes))


_FILES = ("defs.yaml", "defs.yml", "component.yaml")


@dataclass(frozen=True)
class _Place:
    path: Path
    label: str
    file: str


def _components(tree: Any, kind: type) -> Iterator[tuple[_Place, Any]]:
    for loc, decl in tree.find_root_decl().iterate_loc_component_decl_pairs():
        try:
            fits = isinstance(decl.component_type, type) and issubclass(decl.component_type, kind)
        except Exception:  # somebody else's component, which is not ours to report
            continue
        if not fits:
            continue
        path = Path(loc.file_path)
        label = path.relative_to(tree.defs_module_path).as_posix()
        file = next((file for name in _FILES if (file := path / name).exists()), path)
        yield _Place(path, label, os.path.relpath(file)), tree.load_structural_component_at_loc(loc)


def _chosen(found: list[tuple[_Place, Any]], wanted: str | None, root: str) -> tuple[_Place, Any]:
    def names(place: _Place, one: Any) -> set[str]:
        return {one.name, place.label, str(one.project_id or "")} - {""}

    fits = [pair for pair in found if wanted is None or wanted in names(*pair)]
    if len(fits) == 1:
        return fits[0]
    listed = ", ".join(
        f"{one.name or place.label} (PostHog project {one.project_id}, {place.file})"
        for place, one in found
    )
    if wanted is None:
        raise Usage(
            f"The project {root} has {len(found)} PostHog components; name one with "
            f"--component: {listed}."
        )
    said = "no PostHog component" if not fits else f"{len(fits)} PostHog components"
    raise Usage(f"{_upper(said)} called {wanted} in the project {root}; there are: {listed}.")


# --- a module, the environment ------------------------------------------------------------------


def _dagster_module(start: Path) -> str | None:
    """The module that Dagster's `[tool.dagster]` names, in this folder or above."""
    import tomllib

    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            try:
                read = tomllib.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                return None
            named = read.get("tool", {}).get("dagster", {}).get("module_name")
            if named:
                sys.path.append(str(folder))
            return named
    return None


def _of_module(name: str, component: str | None) -> Project:
    import dagster as dg

    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    ours = name == ENVIRONMENT
    with loading("The environment" if ours else f"The module {name}") as notes:
        try:
            if ours:
                sys.modules.pop(name, None)  # it is what the environment is now
            with _without_lineage():
                module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and name.startswith(error.name):
                raise Usage(
                    f"There is no module {error.name} here: name it as Python imports it, and run "
                    "hog-dagster in the environment that it is installed in."
                ) from None
            raise
        found = [one for one in map(_definitions_of, vars(module).values()) if one is not None]
    if not found:
        raise Usage(f"The module {name} has no Definitions: name the one that has, with --module.")
    where = "the environment" if ours else f"module {name}"
    defs = dg.Definitions.merge(*found) if len(found) > 1 else found[0]
    return replace(_among(defs, where, component), notes=tuple(notes))


@contextmanager
def _without_lineage() -> Iterator[None]:
    """Commands show no lineage, so the environment's definitions need not ask PostHog for it."""
    name = "HOG_DAGSTER_LINEAGE"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _definitions_of(value: Any) -> Any:
    import dagster as dg
    from dagster.components.definitions import LazyDefinitions

    if isinstance(value, dg.Definitions):
        return value
    return value() if isinstance(value, LazyDefinitions) else None


def _among(defs: Any, where: str, component: str | None) -> Project:
    """The one PostHog project of these definitions: one that has all three resources."""
    names = set(defs.resources or {})
    prefixes = sorted(
        name.removesuffix("posthog")
        for name in names
        if re.fullmatch(r"(\w+_)?posthog", name)
        and {name.removesuffix("posthog") + one for one in ("warehouse", "ledger")} <= names
    )
    called = {prefix.removesuffix("_") or "posthog": prefix for prefix in prefixes}
    if component is not None and component in called:
        return Project(f"{where}, {component}", defs, called[component])
    if len(called) == 1 and component is None:
        return Project(where, defs, prefixes[0])
    if not called:
        raise Usage(
            f"{_upper(where)} has no PostHog project: its definitions hold no resources "
            f"posthog, warehouse and ledger. Name a module with --module; {ENVIRONMENT} is the "
            "environment."
        )
    if component is None:
        raise Usage(
            f"{_upper(where)} has {len(called)} PostHog projects; name one with --component: "
            f"{', '.join(called)}."
        )
    raise Usage(
        f"{_upper(where)} has no PostHog project {component}; there is: {', '.join(called)}."
    )


def _unset(error: BaseException) -> str:
    named = re.findall(r'environment variable "?(\w+)"?', str(error))
    if not named:
        return " ".join(str(error).split())[:400]
    listed = " and ".join(dict.fromkeys(named))
    return (
        f"{listed} {'is' if len(set(named)) == 1 else 'are'} not set: set it, or write it in .env."
    )
