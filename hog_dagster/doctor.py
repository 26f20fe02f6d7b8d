"""`hog-dagster doctor`: can this key, this server, this warehouse and this ledger do what is asked?

Facts: the environment of the default code location, which the command reads as that does. Nothing
is changed, in PostHog or here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping

from rich.console import Console

from hog_dagster.doctor_posthog import ADD, FEATURES, posthog_rows
from hog_dagster.doctor_rows import as_table, failed
from hog_dagster.doctor_stores import store_rows
from hog_dagster.posthog import PostHogClient, Timeouts, errors
from hog_dagster.posthog.settings import check_api_key, check_host, check_project_id

__all__ = ["add_arguments", "needs", "run"]

_DEFAULT_HOST = "https://us.posthog.com"
_MAX_WAIT_S = 3.0
_TIMEOUTS = Timeouts(connect=5.0, read=20.0, write=10.0)
#: What the assets of the default code location read.
_ALWAYS = ("workflows", "logs", "metrics")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command. The key comes from POSTHOG_API_KEY alone."""
    parser.add_argument("--host", help=f"default: POSTHOG_HOST, else {_DEFAULT_HOST}")
    parser.add_argument("--project-id", help="default: POSTHOG_PROJECT_ID")
    parser.add_argument(
        "--need",
        action="append",
        default=[],
        choices=sorted({feature.name for feature in FEATURES}),
        metavar="FEATURE",
        help="fail unless this works too; repeatable: "
        + ", ".join(feature.name for feature in FEATURES),
    )


def run(args: argparse.Namespace, console: Console | None = None) -> int:
    """Look at everything and print what was found.

    Returns:
        0 when all that is configured can work, else 1.
    """
    console = console or Console()
    environ = os.environ
    try:
        host, project_id = _settings(args, environ)
        needed = needs(environ) | set(args.need)
        with PostHogClient(
            host,
            environ.get("POSTHOG_API_KEY", ""),
            project_id,
            timeout=_TIMEOUTS,
            max_wait=_MAX_WAIT_S,
        ) as client:
            rows = list(posthog_rows(client, needed))
    except errors.PostHogError as error:
        print(f"hog-dagster doctor: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    rows.extend(store_rows(environ))
    console.print(as_table(rows))
    if any(row.remedy.startswith(ADD) for row in rows):
        console.print("Scopes are added in PostHog: Settings > Personal API keys.")
    if failed(rows):
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
        found.add("batch_jobs")
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
