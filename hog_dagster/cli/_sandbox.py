"""``hog-dagster sandbox``: the sandbox as a process of its own, for any client to talk to."""

import re
import signal
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import click

from hog_dagster.sandbox import DEFAULT_KEYS, GENERATIONS, Generation, Sandbox

_SCOPE = re.compile(r"\*|[a-z_]+:(read|write)")


def _key(text: str) -> tuple[str, tuple[str, ...]]:
    key, _, scopes = text.partition("=")
    named = tuple(part.strip() for part in scopes.split(",") if part.strip())
    if not key or not named:
        raise click.BadParameter(
            "write VALUE=SCOPES, for example phx_reader=hog_flow:read,person:read"
        )
    for scope in named:
        if not _SCOPE.fullmatch(scope):
            raise click.BadParameter(
                f"{scope!r} is no scope: scopes look like hog_flow:read, hog_flow:write or *"
            )
    return key, named


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise click.BadParameter(
            f"{text!r} is no time zone: use an IANA name such as Europe/Zurich"
        ) from None
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter(
            f"{text!r} is no time with an offset: write it like 2026-05-10T12:00:00Z"
        )
    return moment


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8899,
    show_default=True,
    help="0 picks a free one.",
)
@click.option("--host", type=click.Choice(["127.0.0.1"]), default="127.0.0.1", help="Always local.")
@click.option(
    "--generation",
    type=click.Choice(list(GENERATIONS)),
    default="current",
    show_default=True,
    help="current: newest servers; mid2026: reruns, but no counts, cancel, revisions; docs: what "
    "servers of April and May 2026 had, blocked runs included.",
)
@click.option("--seed", default=1, show_default=True, help="Everything made up comes from it.")
@click.option(
    "--timezone",
    type=_zone,
    metavar="ZONE",
    default="UTC",
    show_default=True,
    help="Of the project.",
)
@click.option("--empty", is_flag=True, help="Start with nothing in the project.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=_key,
    metavar="VALUE=SCOPES",
    help="A personal API key and its comma-separated scopes, * for all, beside phx_sandbox=*; "
    "repeatable.",
)
@click.option(
    "--missing",
    multiple=True,
    metavar="NAME",
    help="An endpoint that this server does not have, such as rerun; repeatable.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Keep the world in this file.",
)
@click.option(
    "--no-retry-after", is_flag=True, help="Responses of status 429 without a Retry-After header."
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Added to every response.",
)
@click.option(
    "--outage",
    is_flag=True,
    help="Yesterday from 14:00 UTC the mail provider was down for ten minutes: e-mails of two "
    "workflows failed.",
)
@click.option("--now", type=_moment, metavar="ISO", help="Where the clock starts.")
def command(
    port: int,
    host: str,
    generation: str,
    seed: int,
    timezone: str,
    empty: bool,
    keys: Sequence[tuple[str, tuple[str, ...]]],
    missing: Sequence[str],
    state: Path | None,
    no_retry_after: bool,
    latency: float,
    outage: bool,
    now: datetime | None,
) -> int:
    """Start a local server that behaves like PostHog, until it is stopped."""
    if outage and empty:
        raise click.UsageError("--outage needs workflows that fail: leave --empty out.")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(
        cast("Generation", generation),
        seed=seed,
        now=now,
        timezone=timezone,
        keys={**DEFAULT_KEYS, **dict(keys)},
        populate=not empty,
        latency=latency,
        retry_after_header=not no_retry_after,
        state_path=state,
        port=port,
        missing=missing,
    )
    try:
        sandbox.start()
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port} ({error.strerror or error}): stop what holds that "
            "port, or choose another with --port."
        ) from None
    if outage:
        from hog_dagster.cli._demo_sandbox import add_outage

        today = sandbox.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        add_outage(sandbox, today - timedelta(hours=10))
    print(
        f"PostHog sandbox ({generation}) ready at {sandbox.url}, "
        f"project {sandbox.project_id}, key phx_sandbox",
        flush=True,
    )
    stop.wait()
    sandbox.stop()
    return 0
