"""`hog-dagster plan`: how many requests refresh, backfill and sensors take, and of which share.

It asks PostHog how large the project is and computes the rest; see `hog_dagster.cli._request_plan`.
"""

from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from hog_dagster.cli._output import Output
from hog_dagster.cli._project import Project, check_key, find_project, project_options
from hog_dagster.cli._project_size import Chosen, measure
from hog_dagster.cli._request_plan import Line, Requests, Way, backfill, refresh, sensors
from hog_dagster.posthog import PostHogClient

_WAYS: tuple[Way, ...] = ("HogQL", "REST")


@click.command()
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Days of a backfill.",
)
@click.option(
    "--reread",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Days that the nightly job reads (schedules.reread).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@project_options
def command(
    module: str | None, component: str | None, days: int, reread: int, as_json: bool
) -> int:
    """Say how many requests a day the project takes, and of which share of PostHog's limits.

    PostHog is asked how large the project is; the rest is computed, for both ways of reading rows.
    """
    say = Output("plan", Console(), as_json)
    project = find_project(module, component)
    with project.opened() as opened:
        said = project.said(opened)
        say.fields["project"] = said
        say.text(said)
        plan(opened.posthog.client, say, days=days, reread=reread, chosen=chosen_by(project))
    say.end()
    return 0


def chosen_by(project: Project) -> Chosen:
    """What of PostHog's project the definitions read."""
    facts = project.facts
    return Chosen(
        facts.workflows,
        facts.hog_functions if project.table_key("hog_functions") is not None else None,
        insights=project.table_key("insights") is not None,
        groups=project.table_key("groups") is not None,
        read_by=facts.read_by,
    )


def plan(
    client: PostHogClient, say: Output, *, days: int, reread: int, chosen: Chosen | None = None
) -> None:
    """Measure the project and print what it takes, by the way it is read and by the other one.
    `reread` partitions are read by the nightly job."""
    check_key(client, say)
    project, way, notes = measure(client, client.server.read_clock().now(), chosen=chosen)
    say.text(
        f"{project.workflows:,} workflows ({project.ran:,} ran on the last whole day), "
        f"{project.functions:,} hog functions, {project.insights:,} insights, "
        f"{len(project.groups)} group types; rows are read by {way}."
    )
    for note in notes:
        say.text(note)
    say.fields |= {"read_by": way, "notes": notes, "size": asdict(project)}
    for one in sorted(_WAYS, key=lambda name: name != way):
        lines = [*refresh(project, one, days=reread), *sensors(project)]
        once = backfill(project, one, days)
        say.fields[one] = {
            "lines": [
                {"what": line.what, "each": line.requests.total, "a_day": line.day.total}
                | {"share_of_a_day": line.day.share}
                for line in lines
            ],
            "backfill": {"days": days, "requests": once.total, "share_of_a_day": once.share},
        }
        if not say.json:
            say.console.print(_table(one, lines, once, days))
    say.text(
        "Shares are of what a day of PostHog's hourly limits lets through: 115,200 requests, "
        "57,600 queries, 28,800 requests of insights; per minute 480, 240 and 240."
    )


def _table(way: Way, lines: Sequence[Line], once: Requests, days: int) -> Table:
    shown = Table(title=f"Requests by {way}", title_justify="left")
    shown.add_column("what")
    for name in ("each", "a day", "share of a day"):
        shown.add_column(name, justify="right")
    for line in lines:
        shown.add_row(
            line.what, f"{line.requests.total:,}", f"{line.day.total:,}", _share(line.day)
        )
    shown.add_section()
    total = sum((line.day for line in lines), Requests())
    shown.add_row("a day in all", "", f"{total.total:,}", _share(total))
    shown.add_row(f"backfill of {days} days, once", f"{once.total:,}", "", _share(once))
    return shown


def _share(requests: Requests) -> str:
    return f"{requests.share:.1%}"
