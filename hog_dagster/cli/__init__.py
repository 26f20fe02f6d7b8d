"""The command line: `hog-dagster demo | dev | sandbox | doctor | ledger | backfill`.

Each command lives in a module of its own and is imported only when it is called, so `--help` is
fast. Variables come from the environment, and from a file `.env` here as in `dg` and `dagster dev`.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from hog_dagster._version import __version__

__all__ = ["main"]

#: command -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)
_COMMANDS = {
    "demo": ("hog_dagster.cli._demo", "the main job, end to end, against a local PostHog sandbox"),
    "dev": ("hog_dagster.cli._dev", "open the Dagster UI on your project, or on the sandbox"),
    "sandbox": ("hog_dagster.cli._sandbox", "start a local PostHog that behaves like one"),
    "doctor": ("hog_dagster.cli._doctor", "check host, key, scopes, capabilities, quota and clock"),
    "replay": ("hog_dagster.cli._replay", "run again what an incident broke, once each"),
    "ledger": ("hog_dagster.cli._ledger", "list actions, and resolve the ones in doubt"),
    "backfill": ("hog_dagster.cli._backfill", "read many days into the warehouse, resumable"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `hog-dagster`; the process's own by default.

    Returns:
        The exit code: 0 when it worked, 1 when something failed, 2 for wrong usage.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    called = next((word for word in words if not word.startswith("-")), None)
    try:
        args = _parser(called).parse_args(words)
        _read_env_file()
        return int(import_module(_COMMANDS[args.command][0]).run(args) or 0)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        from hog_dagster.errors_text import one_paragraph

        text = one_paragraph(error)
        if text is None:
            raise
        print(f"hog-dagster {called}: {text}", file=sys.stderr)
        return 1


def _parser(called: str | None) -> argparse.ArgumentParser:
    """The parser; only the command that is called is imported for its options."""
    parser = argparse.ArgumentParser(
        prog="hog-dagster", description="The PostHog integration for Dagster."
    )
    parser.add_argument("--version", action="version", version=f"hog-dagster {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, line) in _COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line)
        if name == called:
            import_module(module).add_arguments(command)
    return parser


def _read_env_file() -> None:
    """Variables of `.env` in the current folder that are not set already."""
    if Path(".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(".env")
