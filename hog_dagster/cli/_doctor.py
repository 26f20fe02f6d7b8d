"""`hog-dagster doctor`: can this key, this server, this warehouse and this ledger do what is asked?

Facts: it asks with the settings of the project it stands in. Nothing is changed, in PostHog or
here. What cannot be used at all gives one sentence instead of a list.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice

import click
from rich.console import Console

from hog_dagster.cli._doctor_stores import store_rows
from hog_dagster.cli._output import Output
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

_MAX_WAIT_S = 3.0
_TIMEOUTS = Timeouts(connect=5.0, read=20.0, write=10.0)
_STYLES = {"ok": "green", "off": "dim", "warn": "yellow", "fail": "bold red"}
_FEATURES = [feature.name for feature in FEATURES]
#: Lines of what works: the area, and the checks whose values stand in it.
_AREAS = (("PostHog", ("host", "server", "clock")), ("project", ("project",)), ("key", ("key",)))
_STORES = ("rate limit", "warehouse", "ledger", "Dagster home")


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
    say = Output("doctor", Console(), as_json)
    project = find_project(module, component)
    with project.opened() as opened:
        try:
            if deploy:
                rows = _deploy_rows(project, opened)
            else:
                rows = _rows(project, opened, host, project_id, need, say)
        except errors.PostHogError as error:
            if not as_json:
                raise
            print(json.dumps({"ok": False, "error": " ".join(str(error).split())}))
            return 1
        said = project.said(opened)
    failed = any(row.status == "fail" for row in rows)
    say.fields |= {"project": said, "ok": not failed, "rows": [asdict(row) for row in rows]}
    say.text(said)
    say.line("")
    if everything or deploy:
        for row in rows:
            _print_row(say, row)
    else:
        _print_short(say, rows)
    say.line("")
    say.text(_summary(rows))
    say.end()
    return int(failed)


def _rows(
    project: Project,
    opened: Opened,
    host: str | None,
    project_id: str | None,
    need: Sequence[str],
    say: Output,
) -> list[Row]:
    """Everything that was looked at. Settings that cannot be right, and a key, project or server
    that cannot be used at all, are a ConfigurationError.
    """
    host = str(host or opened.posthog.host)
    project_id = str(project_id or opened.posthog.project_id)
    _check_settings(host, opened.posthog.api_key, project_id)
    rows = [Row("definitions", "warn", note) for note in project.notes]
    events: list[RateLimitEvent] = []
    with PostHogClient(
        host,
        opened.posthog.api_key,
        project_id,
        timeout=_TIMEOUTS,
        max_wait=_MAX_WAIT_S,
        headroom=opened.posthog.headroom,
        on_rate_limit=events.append,
        **connection_settings(
            rate_limit=opened.posthog.rate_limit,
            ca_file=opened.posthog.ca_file,
            client_certificate=opened.posthog.client_certificate,
        ),
    ) as client:
        looked_at = diagnose(client, features={*project.facts.needs, *need})
        with say.waiting_for(client.host):
            rows += islice(looked_at, 2)  # the first is the address, which is there
        rows += looked_at
        for row in rows:
            if row.status == "fail" and row.check in ("key", "project", "server"):
                raise errors.ConfigurationError(row.advice)
        rows.append(_where_counted(client, events))
        rows.append(Row("requests", "ok", f"{client.requests_made} made for this check"))
        rows += store_rows(opened.warehouse, opened.ledger.url, host, client.project_id)
    return rows


def _deploy_rows(project: Project, opened: Opened) -> list[Row]:
    from hog_dagster.cli._doctor_deploy import deploy_rows

    rate_limit = opened.posthog.rate_limit
    return list(deploy_rows(project.definitions, opened.ledger.url, rate_limit))


def _where_counted(client: PostHogClient, events: Sequence[RateLimitEvent]) -> Row:
    """Where the use of the rate limit is counted, and whether that works."""
    for event in events:
        if event.kind == "store":
            advice = "Set rate_limit (HOG_DAGSTER_RATE_LIMIT) to what can be used, or mend it."
            return Row("rate limit", "warn", event.message, advice)
    return Row("rate limit", "ok", f"counted {client.rate_limit_counted}")


def _check_settings(host: str, api_key: str, project_id: str) -> None:
    """All that is wrong with the settings in one ConfigurationError."""
    wrong: list[str] = []
    for check, value in (
        (check_host, host),
        (check_api_key, api_key),
        (check_project_id, project_id),
    ):
        try:
            check(value)
        except errors.ConfigurationError as error:
            wrong.append(str(error))
    if wrong:
        raise errors.ConfigurationError(" ".join(wrong))


# --- as text ------------------------------------------------------------------------------------


def _print_row(say: Output, row: Row) -> None:
    _print_line(say, row.status, row.check, row.value)
    if row.advice:
        say.text(f"-> {row.advice}", first=6, indent=9)


def _print_line(say: Output, status: str, what: str, found: str) -> None:
    say.text(f"{status:<4}  {what}: {found}", indent=6, style=_STYLES[status])


def _print_short(say: Output, rows: Sequence[Row]) -> None:
    """Problems first, then a line for each area."""
    for status in ("fail", "warn"):
        for row in rows:
            if row.status == status:
                _print_row(say, row)
    values = {row.check: row.value for row in rows if row.status == "ok"}
    for area, checks in _AREAS:
        if found := [values[one] for one in checks if one in values]:
            _print_line(say, "ok", area, ", ".join(found))
    if works := _features(rows, "ok"):
        _print_line(say, "ok", "features", ", ".join(name for name, _ in works))
    missing = _features(rows, "off")
    for reason in dict.fromkeys(why for _, why in missing):
        names = ", ".join(name for name, why in missing if why == reason)
        _print_line(say, "off", "features", f"{names} ({reason})")
    if quota := [value for check, value in values.items() if check.startswith("quota")]:
        _print_line(say, "ok", "quota", f"{quota[0]}; --all shows the others")
    for area in _STORES:
        if area in values:
            _print_line(say, "ok", area, values[area])


def _features(rows: Sequence[Row], status: str) -> list[tuple[str, str]]:
    """Names and values of the features with this status."""
    named = [row for row in rows if row.check.startswith("feature ") and row.status == status]
    return [(row.check.removeprefix("feature "), row.value) for row in named]


def _summary(rows: Sequence[Row]) -> str:
    requests = next((row.value for row in rows if row.check == "requests"), "")
    made = f" {requests.partition(' ')[0]} requests." if requests else ""
    failed = sum(row.status == "fail" for row in rows)
    if failed:
        what = "1 thing that is" if failed == 1 else f"{failed} things that are"
        return f"{what} configured cannot work: see the lines marked fail.{made}"
    if off := ", ".join(name for name, _ in _features(rows, "off")):
        return (
            f"All that is configured works. Not possible here, and not configured: {off}; "
            f"--all says why.{made}"
        )
    return f"All that is configured works.{made}"
