"""`hog-dagster check`: the project's YAML, and what it names, against the state; offline.

Facts: the definitions are built as Dagster builds them, and PostHog is not asked.
"""

import json

import click
from rich.console import Console

from hog_dagster.cli._output import Output
from hog_dagster.cli._project import find_project, project_options


@click.command()
@click.option("--strict", is_flag=True, help="Warnings make the exit code 1 too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@project_options
def command(module: str | None, component: str | None, strict: bool, as_json: bool) -> int:
    """Check the project's YAML: fields, values, and the names of workflows, insights and groups.

    PostHog is not asked: names are looked up in the state, as dg utils refresh-defs-state left it.
    Under HOG_DAGSTER_STRICT=true Dagster itself refuses to load what is a warning here.
    """
    say = Output("check", Console(), as_json)
    try:
        project = find_project(module, component)
    except ValueError as error:
        if not as_json:
            raise
        print(json.dumps({"ok": False, "problems": str(error).splitlines(), "warnings": []}))
        return 1
    bad = strict and bool(project.notes)
    say.fields |= {"ok": not bad, "problems": [], "warnings": list(project.notes)}
    say.text(f"{project.where[0].upper()}{project.where[1:]}")
    for note in project.notes:
        say.text(f"warning: {note}")
    if not project.notes:
        say.text("Nothing is wrong.")
    say.end()
    return int(bad)
