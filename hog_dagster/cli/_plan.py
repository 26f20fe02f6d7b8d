"""`hog-dagster plan`: how many requests refresh, backfill and sensors take, and of which share.

It asks PostHog how large the project is and computes the rest; see `hog_dagster.request_plan`.
"""

import argparse
from collections.abc import Sequence

import dagster as dg
from rich.console import Console
from rich.table import Table

from hog_dagster.posthog import PostHogClient
from hog_dagster.project_size import measure
from hog_dagster.request_plan import Line, Project, Requests, Way, backfill, refresh, sensors
from hog_dagster.resources import PostHogResource

__all__ = ["add_arguments", "plan", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--days", type=int, default=30, help="days of a backfill (30)")
    parser.add_argument("--reread", type=int, default=3, help="days the nightly job reads (3)")


def run(args: argparse.Namespace) -> int:
    """Show the plan of the project that the environment names."""
    posthog = PostHogResource(
        host=dg.EnvVar("POSTHOG_HOST").get_value("https://us.posthog.com") or "",
        api_key=dg.EnvVar("POSTHOG_API_KEY").get_value("") or "",
        project_id=dg.EnvVar("POSTHOG_PROJECT_ID").get_value("") or "",
    )
    with dg.build_resources({"posthog": posthog}) as built:
        plan(built.posthog.client, Console(), days=args.days, reread=args.reread)
    return 0


def plan(client: PostHogClient, console: Console, *, days: int, reread: int) -> None:
    """Measure the project and print what it takes, by the way it is read and by the other one.

    Args:
        client: an open client.
        console: where it is printed.
        days: of the backfill.
        reread: partitions that the nightly job reads.
    """
    project, way, notes = measure(client, client.server.read_clock().now())
    console.print(
        f"{project.workflows:,} workflows ({project.ran:,} ran on the last whole day), "
        f"{project.functions:,} hog functions, {project.insights:,} insights, "
        f"{len(project.groups)} group types; rows are read by {way}."
    )
    for note in notes:
        console.print(note)
    ways: tuple[Way, ...] = ("HogQL", "REST")
    for one in sorted(ways, key=lambda name: name != way):
        console.print(_table(project, one, days, reread))
    console.print(
        "Shares are of what a day of PostHog's hourly limits lets through: 115,200 requests, "
        "57,600 queries, 28,800 requests of insights; per minute 480, 240 and 240."
    )


def _table(project: Project, way: Way, days: int, reread: int) -> Table:
    shown = Table(title=f"Requests by {way}", title_justify="left")
    shown.add_column("what")
    for name in ("each", "a day", "share of a day"):
        shown.add_column(name, justify="right")
    lines: Sequence[Line] = [*refresh(project, way, days=reread), *sensors(project)]
    total = Requests()
    for line in lines:
        total += line.day
        shown.add_row(
            line.what, f"{line.requests.total:,}", f"{line.day.total:,}", _share(line.day)
        )
    shown.add_section()
    shown.add_row("a day in all", "", f"{total.total:,}", _share(total))
    once = backfill(project, way, days)
    shown.add_row(f"backfill of {days} days, once", f"{once.total:,}", "", _share(once))
    return shown


def _share(requests: Requests) -> str:
    return f"{requests.share:.1%}"
