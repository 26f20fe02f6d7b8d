"""``hog-dagster sandbox``: the sandbox as a process of its own, for any client to talk to."""

import argparse
import re
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from hog_dagster.sandbox.server import DEFAULT_KEYS, Sandbox
from hog_dagster.sandbox.site import GENERATIONS

__all__ = ["add_arguments", "run"]

_SCOPE = re.compile(r"\*|[a-z_]+:(read|write)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--port", type=int, default=8899, help="0 picks a free one (default 8899)")
    parser.add_argument("--host", choices=["127.0.0.1"], default="127.0.0.1", help="always local")
    parser.add_argument(
        "--generation",
        choices=list(GENERATIONS),
        default="current",
        help="current: newest servers; mid2026: reruns, but no counts, cancel, revisions; "
        "docs: what the public pages describe, blocked runs included (default current)",
    )
    parser.add_argument("--seed", type=int, default=1, help="everything made up comes from it")
    parser.add_argument("--timezone", type=_zone, default="UTC", help="of the project")
    parser.add_argument("--empty", action="store_true", help="start with nothing in the project")
    parser.add_argument(
        "--key",
        action="append",
        type=_key,
        default=[],
        metavar="VALUE=SCOPES",
        help="a personal API key and its comma-separated scopes, * for all, beside "
        "phx_sandbox=*; repeatable",
    )
    parser.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="NAME",
        help="an endpoint that this server does not have, such as rerun; repeatable",
    )
    parser.add_argument(
        "--state", type=Path, default=None, metavar="PATH", help="keep the world in this file"
    )
    parser.add_argument(
        "--no-retry-after", action="store_true", help="429 answers without a Retry-After header"
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="added to every answer"
    )
    parser.add_argument(
        "--now", type=_moment, default=None, metavar="ISO", help="where the clock starts"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    keys = {**DEFAULT_KEYS, **dict(args.key)}
    try:
        sandbox = Sandbox(
            args.generation,
            seed=args.seed,
            now=args.now,
            timezone=args.timezone,
            keys=keys,
            populate=not args.empty,
            latency=args.latency,
            retry_after_header=not args.no_retry_after,
            state_path=args.state,
            port=args.port,
            missing=args.missing,
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        sandbox.start()
    except OSError as error:
        print(
            f"cannot listen on 127.0.0.1:{args.port} ({error.strerror}): "
            "stop what holds that port, or choose another with --port",
            file=sys.stderr,
        )
        return 1
    print(
        f"PostHog sandbox ({args.generation}) ready at {sandbox.url}, "
        f"project {sandbox.project_id}, key phx_sandbox",
        flush=True,
    )
    stop.wait()
    sandbox.stop()
    return 0


def _key(text: str) -> tuple[str, tuple[str, ...]]:
    value, _, scopes = text.partition("=")
    named = tuple(part.strip() for part in scopes.split(",") if part.strip())
    if not value or not named:
        raise argparse.ArgumentTypeError(
            "write VALUE=SCOPES, for example phx_reader=hog_flow:read,person:read"
        )
    for scope in named:
        if not _SCOPE.fullmatch(scope):
            raise argparse.ArgumentTypeError(
                f"{scope!r} is no scope: scopes look like hog_flow:read, hog_flow:write or *"
            )
    return value, named


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time zone: use an IANA name such as Europe/Zurich"
        ) from None
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time with an offset: write it like 2026-05-10T12:00:00Z"
        )
    return moment
