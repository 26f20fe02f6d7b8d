"""The command line: `hog-dagster doctor | check | plan | backfill | replay | ledger | ...`.

A command is a module with a `click` command called `command`, whose function returns the exit code,
and a line in `COMMANDS`. It is imported only when it is called, so `--help` is fast. Commands that
take `@project_options` work on the project they stand in (`_project`). Variables come from the
environment, and from a file `.env` here, as in `dg` and `dagster dev`.
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import click

from hog_dagster._version import __version__

__all__ = ["main"]

#: command -> (module with `command`, one line of help)
COMMANDS = {
    "doctor": ("hog_dagster.cli._doctor", "Check key, scopes, server, quota, warehouse, ledger."),
    "check": ("hog_dagster.cli._check", "Check the project's YAML, offline; --strict for CI."),
    "plan": ("hog_dagster.cli._plan", "Say how many requests a day the project takes."),
    "backfill": ("hog_dagster.cli._backfill", "Read many days into the warehouse; resumes."),
    "replay": ("hog_dagster.cli._replay", "Run again what an incident broke, once each."),
    "ledger": ("hog_dagster.cli._ledger", "List actions, and resolve the ones in doubt."),
    "dev": ("hog_dagster.cli._dev", "Open the Dagster UI on your project, or on the sandbox."),
    "demo": ("hog_dagster.cli._demo", "The main job, end to end, against the sandbox."),
    "sandbox": ("hog_dagster.cli._sandbox", "Start a local server that behaves like PostHog."),
    "completion": ("hog_dagster.cli._completion", "Print what makes the shell complete words."),
}
#: What a shell says of a command that Ctrl-C ended.
INTERRUPTED = 130


class _Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, 1, 0.5)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command {cmd_name}; {meant}", ctx)
        return import_module(COMMANDS[cmd_name][0]).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    "hog-dagster",
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="The PostHog integration for Dagster. doctor, check, plan, backfill, replay and ledger "
    "work on the dg project around the working directory, or, where there is none, on the "
    "environment.",
)
@click.version_option(__version__, prog_name="hog-dagster")
@click.pass_context
def _group(ctx: click.Context) -> int:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `hog-dagster`; the process's own by default.

    Returns:
        The exit code: 0 when it worked, 1 when something failed, 2 for wrong usage, 130 when
        Ctrl-C ended it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    called = next((word for word in words if not word.startswith("-")), "")
    try:
        _read_env_file()
        return int(_group.main(words, prog_name="hog-dagster", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return error.exit_code
    except click.ClickException as error:
        _say(called, error.format_message())
        context = getattr(error, "ctx", None)
        if context is not None:
            click.echo(f"See {context.command_path} --help.", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # what it was piped into has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from hog_dagster.cli._errors_text import one_paragraph
        from hog_dagster.cli._loading import CannotLoad

        text = str(error) if isinstance(error, CannotLoad) else one_paragraph(error)
        if text is None:
            raise
        _say(called, text)
        return 1


def _say(called: str, text: str) -> None:
    print(f"hog-dagster {called}".rstrip() + f": {text}", file=sys.stderr)


def _read_env_file() -> None:
    """Variables of `.env` in the current folder that are not set already."""
    if Path(".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(".env")
