"""``python -m scripts.reference``: renew the pages of docs/ that are made from the source.

Facts: public names are what a room lists in `__all__`, without those in its `INTERNAL`; docstrings
are Google's form; commands are click's; columns of tables are declared with a description each. A
test fails while a page is old.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import click

from hog_dagster._shared.markdown import cell
from hog_dagster.cli import _group
from hog_dagster.posthog import PostHogClient
from hog_dagster.settings import Settings, variable_of
from hog_dagster.warehouse import Table

__all__ = ["for_users", "pages"]

DOCS = Path(__file__).parents[1] / "docs"
#: Module -> what its page says first.
ROOMS = {
    "hog_dagster": "What most projects need: resources, the component, the builders.",
    "hog_dagster.posthog": "The client, without Dagster, a database or Arrow.",
    "hog_dagster.assets": "Builders of single tables.",
    "hog_dagster.lineage": "What PostHog has, as asset specs: selections, translator, records.",
    "hog_dagster.checks": "Builders of asset checks.",
    "hog_dagster.jobs": "Builders of the jobs that act.",
    "hog_dagster.sensors": "Builders of sensors.",
    "hog_dagster.schedules": "Builders of schedules.",
    "hog_dagster.policies": "Records of settings. YAML, Python and run config use the same ones.",
    "hog_dagster.components": "The component, and what its fields hold in Python.",
    "hog_dagster.warehouse": "Where rows are loaded.",
    "hog_dagster.ledger": "The memory of what was sent.",
    "hog_dagster.testing": "Fixtures and helpers for tests of your own pipelines.",
}
#: Where tables are declared.
DECLARED = (
    "hog_dagster.assets._workflow_tables",
    "hog_dagster.assets._function_tables",
    "hog_dagster.assets._group_tables",
    "hog_dagster.assets._insight_tables",
    "hog_dagster.assets._message_tables",
    "hog_dagster.assets._messaging_tables",
    "hog_dagster.assets._project_hosts",
)
MADE = (
    "<!-- made by scripts/reference.py: change the source and run python -m scripts.reference -->"
)
VARIABLES, END_OF_VARIABLES = (
    "<!-- variables: made by scripts/reference.py -->",
    "<!-- end of variables -->",
)
BEGIN, END = "<!-- commands: made by scripts/reference.py -->", "<!-- end of commands -->"
_SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Yields": "Yields",
    "Raises": "Raises",
    "Example": "Example",
    "Examples": "Example",
    "Note": "Note",
}


def pages() -> dict[Path, str]:
    """Every page that is made, with what it must hold."""
    made = {DOCS / "reference" / f"{module}.md": room_page(module) for module in ROOMS}
    made[DOCS / "reference" / "index.md"] = index_page()
    made[DOCS / "tables.md"] = tables_page()
    made[DOCS / "settings.md"] = settings_page(DOCS / "settings.md")
    made[DOCS / "commands.md"] = commands_page(DOCS / "commands.md")
    return made


# --- Python ---------------------------------------------------------------------------------------


def index_page() -> str:
    rows = [f"| [`{module}`]({module}.md) | {said} |" for module, said in ROOMS.items()]
    toctree = ["```{toctree}", ":hidden:", "", *ROOMS, "```"]
    return "\n".join(
        [
            MADE,
            "# Python reference",
            "",
            "Every public name, from its own docstring. Names that begin with `_` are private.",
            "",
            "| module | what is in it |",
            "| --- | --- |",
            *rows,
            "",
            *toctree,
            "",
        ]
    )


def for_users(room: ModuleType) -> list[str]:
    """The names of a room's `__all__` that are not in its `INTERNAL`, which is for other rooms."""
    return [name for name in room.__all__ if name not in getattr(room, "INTERNAL", ())]


def room_page(module: str) -> str:
    """A page with every name that a room exports for users."""
    room = import_module(module)
    parts = [MADE, f"# `{module}`", "", ROOMS[module], ""]
    for name in sorted(for_users(room), key=lambda name: (name.islower(), name.lower())):
        value = getattr(room, name)
        if name.startswith("__") or inspect.ismodule(value):
            continue
        if isinstance(value, type):
            parts += class_part(name, value)
        elif callable(value):
            parts += [f"## `{name}`", "", signature(name, value), "", text_of(value), ""]
        else:
            parts += [f"## `{name}`", "", f"`{_short(repr(value))}`", ""]
    if module == "hog_dagster.posthog":
        parts += services()
    return "\n".join(parts).rstrip() + "\n"


def services() -> Iterator[str]:
    """What the attributes of a client can do."""
    for name, service in get_type_hints(PostHogClient).items():
        yield from (f"## `client.{name}`", "", text_of(service), "")
        yield from methods(f"client.{name}", service.__mro__[:-1])


def class_part(name: str, value: type) -> Iterator[str]:
    yield from (f"## `{name}`", "")
    fields = getattr(value, "model_fields", None)
    if fields is None:
        yield from (signature(name, value), "")
    yield from (text_of(value), "")
    if fields:
        yield "| field | default | meaning |\n| --- | --- | --- |"
        for field, info in fields.items():
            default = "required" if info.is_required() else _code(repr(_default(info)))
            yield f"| `{field}` | {default} | {_cell(info.description or '')} |"
        yield ""
    yield from methods(name, (value,))


def methods(name: str, bases: Sequence[type]) -> Iterator[str]:
    """Public methods and properties that have a docstring."""
    found = {
        method: function for base in reversed(bases) for method, function in vars(base).items()
    }
    for method, function in sorted(found.items()):
        if method.startswith("_") or not getattr(_plain(function), "__doc__", None):
            continue
        if isinstance(function, property):
            yield from (f"### `{name}.{method}`", "", text_of(function.fget), "")
        elif callable(_plain(function)) and inspect.isroutine(_plain(function)):
            plain = _plain(function)
            yield from (
                f"### `{name}.{method}`",
                "",
                signature(method, plain),
                "",
                text_of(plain),
                "",
            )


def _plain(function: Any) -> Any:
    return getattr(function, "__func__", function)


def _default(info: Any) -> Any:
    return info.get_default(call_default_factory=True)


def signature(name: str, value: Any) -> str:
    """The call as code, one argument a line where it is long."""
    try:
        given = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    shown = [p for p in given.parameters.values() if p.name not in {"self", "cls"}]
    words, star = [], False
    for one in shown:
        if one.kind is one.KEYWORD_ONLY and not star:
            star = True
            words.append("*")
        star = star or one.kind is one.VAR_POSITIONAL
        word = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "") + one.name
        if one.default is not one.empty:
            word += f"={_short(_value(one.default))}"
        words.append(word)
    line = f"{name}({', '.join(words)})"
    if len(line) > 88:
        line = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + ")"
    return f"```text\n{line}\n```"


def _value(value: Any) -> str:
    return value.__name__ if isinstance(value, type) or inspect.isroutine(value) else repr(value)


def _short(text: str) -> str:
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _code(text: str) -> str:
    return f"`{_cell(_short(text))}`"


def _cell(text: str) -> str:
    return cell(text).replace("{", "\\{")


def text_of(value: Any) -> str:
    """A docstring in Google's form as Markdown."""
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    if isinstance(value, type) and text == inspect.cleandoc(value.__base__.__doc__ or " "):  # type: ignore[union-attr]
        text = ""
    parts, title, held = [], "", []
    for line in [*text.splitlines(), ":"]:
        found = re.fullmatch(r"(\w+):", line)
        if line == ":" or (found and found[1] in _SECTIONS):
            parts += _section(title, held)
            title, held = (_SECTIONS[found[1]] if found else ""), []
        else:
            held.append(line)
    return "\n".join(parts).strip()


def _section(title: str, lines: list[str]) -> list[str]:
    if not title:
        return _prose(lines)
    body = inspect.cleandoc("\n" + "\n".join(lines)).splitlines()
    if title in {"Arguments", "Attributes", "Raises"}:
        return [f"**{title}**", "", *_named(body), ""]
    if title == "Example":
        code = [line for line in body if not re.match(r"\.\. code-block::", line)]
        return [
            f"**{title}**",
            "",
            "```text",
            *inspect.cleandoc("\n".join(code)).splitlines(),
            "```",
            "",
        ]
    return [f"**{title}**", "", *_prose(body), ""]


def _named(lines: list[str]) -> list[str]:
    """`name: what it is` as a list."""
    out: list[str] = []
    for line in lines:
        found = re.match(r"\*{0,2}([\w., ]+?)(?: \(.*?\))?: (.*)", line)
        if found and not line.startswith(" "):
            out.append(f"- `{found[1]}`: {_marked(found[2])}")
        elif line.strip():
            out.append(f"  {_marked(line.strip())}")
    return out


def _prose(lines: list[str]) -> list[str]:
    """Paragraphs; what stands deeper, or after `::`, is a block of text."""
    out: list[str] = []
    block = False
    for line in [*lines, ""]:
        deeper = line.startswith("    ") and not re.match(r"\s*[-*] ", line)
        if deeper and not block and (not out or not out[-1].strip()):
            out += ["```text"]
            block = True
        if block and line.strip() and not deeper:
            while not out[-1].strip():
                out.pop()
            out += ["```", ""]
            block = False
        if re.match(r"\s*\.\. code-block::", line):
            continue
        out.append(line[4:] if block else _marked(line))
    if block:
        while not out[-1].strip():
            out.pop()
        out += ["```", ""]
    return out


def _marked(text: str) -> str:
    """Roles and double backticks as Markdown's."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"::$", ":", text)
    parts = re.split(r"(`[^`]*`)", text)
    plain = [
        re.sub(r"([<{*\[])", r"\\\1", one) if not one.startswith("`") else one for one in parts
    ]
    return "".join(plain)


# --- tables ---------------------------------------------------------------------------------------


def declared() -> dict[str, Table]:
    """Every table that is declared, by name."""
    found: dict[str, Table] = {}
    for module in DECLARED:
        for value in vars(import_module(module)).values():
            for table in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(table, Table):
                    found.setdefault(table.name, table)
    return dict(sorted(found.items()))


def tables_page() -> str:
    """Every declared table with its columns."""
    parts = [
        MADE,
        "# Tables and columns",
        "",
        'All are in schema `posthog`, under asset keys `["posthog", <table>]`. Times are UTC.',
        "Groups, SQL insights and your own queries have columns of their own; the warehouse and",
        "the page of the asset describe them.",
        "",
    ]
    for table in declared().values():
        parts += [f"## `{table.name}`", "", _marked(table.description or ""), ""]
        if table.key:
            parts += [f"Key: {', '.join(f'`{name}`' for name in table.key)}.", ""]
        parts += ["| column | type | meaning |", "| --- | --- | --- |"]
        parts += [
            f"| `{column.name}` | {column.type} | {_cell(_marked(column.description or ''))} |"
            for column in table.columns
        ]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


# --- variables ------------------------------------------------------------------------------------


def settings_page(page: Path) -> str:
    """The page with the variables as they are now."""
    before, _, rest = page.read_text("utf-8").partition(VARIABLES)
    _, _, after = rest.partition(END_OF_VARIABLES)
    rows = ["| variable | meaning | default |", "| --- | --- | --- |"]
    # The project first, then what the rest of the table refers to.
    fields = sorted(Settings.model_fields.items(), key=lambda one: not one[0].startswith("posthog"))
    for name, field in fields:
        extra = field.json_schema_extra
        said = extra.get("default") if isinstance(extra, dict) else None
        if said is None:
            said = {None: "none", "": "none", True: "`true`", False: "`false`"}.get(
                field.default, f"`{field.default}`"
            )
        rows.append(f"| `{variable_of(name)}` | {field.description} | {said} |")
    return "\n".join([f"{before}{VARIABLES}", *rows, f"{END_OF_VARIABLES}{after}"])


# --- commands -------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and command of a command, by its words."""
    context = click.Context(_group, info_name="hog-dagster")
    yield from _below("hog-dagster", _group, context)


def _below(
    words: str, group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{words} {name}", command
        if isinstance(command, click.Group):
            yield from _below(f"{words} {name}", command, context)


def commands_page(page: Path) -> str:
    """The page with the options of every command as they are now."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    parts: list[str] = []
    for words, command in commands():
        context = click.Context(command, info_name=words)
        parts += [f"### `{words}`", "", _marked(_help(command)), ""]
        rows = []
        for option in command.params:
            record = option.get_help_record(context)
            if isinstance(option, click.Argument):
                shown = option.make_metavar(context)
                rows.append(f"| `{_cell(shown)}` |  |")
            elif record and option.name != "help":
                rows.append(f"| `{_cell(record[0])}` | {_cell(_marked(record[1]))} |")
        if rows:
            parts += ["| option | meaning |", "| --- | --- |", *rows, ""]
    return f"{before}{BEGIN}\n" + "\n".join(parts) + f"{END}{after}"


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or command.short_help or "").replace("\b\n", "")


def main() -> int:
    """Write every page that is old."""
    old: Mapping[Path, str] = {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    }
    for path, text in old.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
