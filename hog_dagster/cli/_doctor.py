"""`hog-dagster doctor`: can this key, this server, this warehouse and this ledger do what is asked?

Facts: it asks with the settings of the project it stands in. Nothing is changed, in PostHog or
here. What cannot be used at all gives one sentence instead of a list.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from hog_dagster.cli._doctor_stores import store_rows
from hog_dagster.cli._project import Opened, Project, find_project, project_options
from hog_dagster.posthog import (
    FEATURES,
    PostHogClient,
    RateLimitEvent,
    Row,
    Timeouts,
    check_api_key,
    check_host,
    check_project_id,
    diagnose,
    errors,
)
from hog_dagster.settings import connection_settings

__all__ = ["command"]

_MAX_WAIT_S = 3.0
_TIMEOUTS = Timeouts(connect=5.0, read=20.0, write=10.0)
_STYLES = {"ok": "green", "off": "dim", "warn": "yellow", "fail": "bold red"}
_FEATURES = [feature.name for feature in FEATURES]
_WIDEST = 100


@click.command()
@click.option("--host", metavar="URL", help="Another PostHog than the project's.")
@click.option("--project-id", metavar="NUMBER", help="Another project than the project's.")
@click.option(
    "--need",
    multiple=True,
    type=click.Choice(_FEATURES),
    metavar="FEATURE",
    help=f"Fail unless this works too; repeatable: {', '.join(_FEATURES)}.",
)
@click.option("--all", "everything", is_flag=True, help="One line for each thing looked at.")
@click.option(
    "--deploy",
    is_flag=True,
    help="Check how Dagster is deployed, instead of PostHog: instance, storage, daemon, queue, "
    "pools, versions, one ledger, one rate limit, secrets in files.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@project_options
def command(
    module: str | None,
    component: str | None,
    host: str | None,
    project_id: str | None,
    need: Sequence[str],
    everything: bool,
    deploy: bool,
    as_json: bool,
) -> int:
    """Check key, scopes, server, quota, warehouse and ledger of the project.

    Problems stand first, then one line for each area. Nothing is changed. Exit code 0: all that is
    configured works.
    """
    project = find_project(module, component)
    with project.opened() as opened:
        try:
            if deploy:
                rows = _deploy_rows(project, opened)
            else:
                rows = _rows(project, opened, host, project_id, need)
        except errors.PostHogError as error:
            return _give_up(str(error), as_json)
        if isinstance(rows, str):
            return _give_up(rows, as_json)
        said = project.said(opened)
    failed = any(row.status == "fail" for row in rows)
    if as_json:
        shown = {"project": said, "ok": not failed, "rows": [_as_dict(row) for row in rows]}
        print(json.dumps(shown))
        return int(failed)
    console = Console()
    _print(console, Text(said))
    console.print()
    if everything or deploy:
        for row in rows:
            _print_row(console, row)
    else:
        _print_short(console, rows)
    console.print()
    _print(console, Text(_summary(rows)))
    return int(failed)


def _rows(
    project: Project, opened: Opened, host: str | None, project_id: str | None, need: Sequence[str]
) -> list[Row] | str:
    """Everything that was looked at; a text where nothing can be looked at."""
    host = str(host or opened.posthog.host)
    project_id = str(project_id or opened.posthog.project_id)
    number = _settings(host, opened.posthog.api_key, project_id)
    rows = [Row("definitions", "warn", note) for note in project.notes]
    said: list[RateLimitEvent] = []
    with PostHogClient(
        host,
        opened.posthog.api_key,
        number,
        timeout=_TIMEOUTS,
        max_wait=_MAX_WAIT_S,
        headroom=opened.posthog.headroom,
        on_rate_limit=said.append,
        **connection_settings(
            rate_limit=opened.posthog.rate_limit,
            ca_file=opened.posthog.ca_file,
            client_certificate=opened.posthog.client_certificate,
        ),
    ) as client:
        for row in diagnose(client, features={*project.facts.needs, *need}):
            if row.status == "fail" and row.check in ("key", "project", "server"):
                return row.advice
            rows.append(row)
        rows.append(_where_counted(client, said))
        rows.append(Row("requests", "ok", f"{client.requests_made} made for this check"))
    rows.extend(store_rows(opened.warehouse, opened.ledger.url, host, number))
    return rows


def _deploy_rows(project: Project, opened: Opened) -> list[Row]:
    from hog_dagster.cli._doctor_deploy import deploy_rows

    rate_limit = opened.posthog.rate_limit
    return list(deploy_rows(project.definitions, opened.ledger.url, rate_limit))


def _where_counted(client: PostHogClient, said: Sequence[RateLimitEvent]) -> Row:
    """Where the use of the rate limit is counted, and whether that works."""
    for event in said:
        if event.kind == "store":
            advice = "Set rate_limit (HOG_DAGSTER_RATE_LIMIT) to what can be used, or mend it."
            return Row("rate limit", "warn", event.message, advice)
    return Row("rate limit", "ok", f"counted {client.rate_limit_counted}")


def _settings(host: str, api_key: str, project_id: str) -> int:
    """The project's number, checked together with the rest, so that one look names all that is
    wrong.

    Raises:
        ConfigurationError: a setting is missing or cannot be right.
    """
    wrong: list[str] = []
    number = 0
    for check, value in ((check_host, host), (check_api_key, api_key)):
        try:
            check(value)
        except errors.ConfigurationError as error:
            wrong.append(str(error))
    try:
        number = check_project_id(project_id)
    except errors.ConfigurationError as error:
        wrong.append(str(error))
    if wrong:
        raise errors.ConfigurationError(" ".join(wrong))
    return number


def _give_up(why: str, as_json: bool) -> int:
    why = " ".join(why.split())
    if as_json:
        print(json.dumps({"ok": False, "error": why}))
    else:
        print(f"hog-dagster doctor: {why}", file=sys.stderr)
    return 1


def _as_dict(row: Row) -> dict[str, Any]:
    return {"check": row.check, "status": row.status, "value": row.value, "advice": row.advice}


# --- as text ------------------------------------------------------------------------------------


def _print(console: Console, text: Text, indent: int = 0, first: int = 0) -> None:
    """A paragraph; words are not broken, so that a path or a command can be copied."""
    width = min(console.width, _WIDEST)
    line, lines = "", []
    for word in text.plain.split(" "):
        if line and len(line) + 1 + len(word) > width - max(indent, first):
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    for number, one in enumerate([*lines, line]):
        shown = Text(" " * (indent if number else first) + one)
        if not number:
            for span in text.spans:
                shown.stylize(span.style, span.start, min(span.end, len(one)))
        console.print(shown, soft_wrap=True, highlight=False)


def _print_row(console: Console, row: Row) -> None:
    _print_line(console, row.status, row.check, row.value)
    if row.advice:
        _print(console, Text(f"-> {row.advice}"), first=6, indent=9)


def _print_line(console: Console, status: str, what: str, found: str) -> None:
    text = Text(f"{status:<4}", style="")
    text.stylize(_STYLES[status], 0, len(status))
    text.append(f"  {what}: {found}")
    _print(console, text, indent=6)


def _print_short(console: Console, rows: Sequence[Row]) -> None:
    """Problems first, then a line for each area."""
    for row in rows:
        if row.status == "fail":
            _print_row(console, row)
    for row in rows:
        if row.status == "warn":
            _print_row(console, row)
    by_check = {row.check: row for row in rows if row.status == "ok"}
    for area, checks in _AREAS:
        if found := [by_check[one].value for one in checks if one in by_check]:
            _print_line(console, "ok", area, ", ".join(found))
    works = [row.check.removeprefix("feature ") for row in rows if _feature(row, "ok")]
    if works:
        _print_line(console, "ok", "features", ", ".join(works))
    why: dict[str, list[str]] = {}
    for row in rows:
        if _feature(row, "off"):
            why.setdefault(row.value, []).append(row.check.removeprefix("feature "))
    for reason, names in why.items():
        _print_line(console, "off", "features", f"{', '.join(names)} ({reason})")
    quota = [row for row in rows if row.check.startswith("quota") and row.status == "ok"]
    if quota:
        _print_line(console, "ok", "quota", f"{quota[0].value}; --all shows the others")
    for area in ("rate limit", "warehouse", "ledger", "Dagster home"):
        if area in by_check:
            _print_line(console, "ok", area, by_check[area].value)


_AREAS = (
    ("PostHog", ("host", "server", "clock")),
    ("project", ("project",)),
    ("key", ("key",)),
)


def _feature(row: Row, status: str) -> bool:
    return row.check.startswith("feature ") and row.status == status


def _summary(rows: Sequence[Row]) -> str:
    requests = next((row.value for row in rows if row.check == "requests"), "")
    made = f" {requests.partition(' ')[0]} requests." if requests else ""
    off = [row.check.removeprefix("feature ") for row in rows if _feature(row, "off")]
    failed = sum(row.status == "fail" for row in rows)
    if failed:
        what = "1 thing that is" if failed == 1 else f"{failed} things that are"
        return f"{what} configured cannot work: see the lines marked fail.{made}"
    if off:
        return (
            f"All that is configured works. Not possible here, and not configured: "
            f"{', '.join(off)}; --all says why.{made}"
        )
    return f"All that is configured works.{made}"
