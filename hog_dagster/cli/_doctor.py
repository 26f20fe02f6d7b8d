"""`hog-dagster doctor`: can this key, this server, this warehouse and this ledger do what is asked?

Facts: the environment of the default code location, which the command reads as that does. Nothing
is changed, in PostHog or here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hog_dagster.cli._doctor_stores import store_rows
from hog_dagster.posthog import PostHogClient, Timeouts, errors
from hog_dagster.posthog.doctor import FEATURES, Row, diagnose
from hog_dagster.posthog.settings import check_api_key, check_host, check_project_id

__all__ = ["add_arguments", "needs", "run"]

_DEFAULT_HOST = "https://us.posthog.com"
_MAX_WAIT_S = 3.0
_TIMEOUTS = Timeouts(connect=5.0, read=20.0, write=10.0)
#: What the assets of the default code location read.
_ALWAYS = ("workflows", "workflow_logs", "workflow_metrics")
_STYLES = {"ok": "green", "off": "dim", "warn": "yellow", "fail": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command. The key comes from POSTHOG_API_KEY alone."""
    parser.add_argument("--host", help=f"default: POSTHOG_HOST, else {_DEFAULT_HOST}")
    parser.add_argument("--project-id", help="default: POSTHOG_PROJECT_ID")
    names = [feature.name for feature in FEATURES]
    parser.add_argument(
        "--need",
        action="append",
        default=[],
        choices=names,
        metavar="FEATURE",
        help=f"fail unless this works too; repeatable: {', '.join(names)}",
    )


def run(args: argparse.Namespace, console: Console | None = None) -> int:
    """Look at everything and print what was found.

    A host, key or project that cannot be used at all gives a paragraph instead of the table.

    Returns:
        0 when all that is configured can work, else 1.
    """
    console = console or Console()
    environ = os.environ
    rows: list[Row] = []
    try:
        host, project_id = _settings(args, environ)
        needed = needs(environ) | set(args.need)
        key = environ.get("POSTHOG_API_KEY", "")
        with PostHogClient(
            host, key, project_id, timeout=_TIMEOUTS, max_wait=_MAX_WAIT_S
        ) as client:
            for row in diagnose(client, features=needed):
                if row.status == "fail" and row.check in ("key", "project", "server"):
                    return _give_up(row.advice)
                rows.append(row)
            rows.append(Row("requests", "ok", f"{client.requests_made} made for this check"))
    except errors.PostHogError as error:
        return _give_up(str(error))
    rows.extend(store_rows(environ, host, check_project_id(project_id)))
    console.print(_table(rows))
    if any(row.status == "fail" for row in rows):
        console.print("Something that is configured cannot work: see the lines marked fail.")
        return 1
    console.print("All that is configured can work.")
    return 0


def needs(environ: Mapping[str, str]) -> set[str]:
    """Names of the features that the environment asks for.

    Reading workflows always; replays once they are no dry run; batch jobs once one is scheduled.

    Raises:
        ConfigurationError: HOG_DAGSTER_BATCH_SCHEDULES is no JSON object.
    """
    found: set[str] = set(_ALWAYS)
    if environ.get("HOG_DAGSTER_DRY_RUN", "").strip().lower() in ("0", "false", "no", "off"):
        found.add("replay")
    text = environ.get("HOG_DAGSTER_BATCH_SCHEDULES", "").strip() or "{}"
    try:
        schedules = json.loads(text)
    except json.JSONDecodeError:
        schedules = None
    if not isinstance(schedules, dict):
        raise errors.ConfigurationError(
            "HOG_DAGSTER_BATCH_SCHEDULES is not a JSON object of workflow id to cron."
        )
    if schedules:
        found.add("send_batch_job")
    return found


def _settings(args: argparse.Namespace, environ: Mapping[str, str]) -> tuple[str, str]:
    """Host and project, checked together with the key, so that one look names all that is wrong.

    Raises:
        ConfigurationError: a setting is missing or cannot be right.
    """
    host = args.host or environ.get("POSTHOG_HOST", "").strip() or _DEFAULT_HOST
    project_id = args.project_id or environ.get("POSTHOG_PROJECT_ID", "")
    wrong: list[str] = []
    for check, value in (
        (check_host, host),
        (check_api_key, environ.get("POSTHOG_API_KEY", "")),
        (check_project_id, project_id),
    ):
        try:
            check(value)
        except errors.ConfigurationError as error:
            wrong.append(str(error))
    if wrong:
        raise errors.ConfigurationError(" ".join(wrong))
    return host, project_id


def _give_up(why: str) -> int:
    print(f"hog-dagster doctor: {' '.join(why.split())}", file=sys.stderr)
    return 1


def _table(rows: Iterable[Row]) -> Table:
    """The rows as a table; what to do stands below what was found."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("found", overflow="fold")
    for row in rows:
        found = Text(row.value)
        if row.advice:
            found.append(f"\n-> {row.advice}", style="dim" if row.status == "off" else "bold")
        table.add_row(Text(row.status, style=_STYLES[row.status]), row.check, found)
    return table
