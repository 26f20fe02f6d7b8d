"""`hog-dagster completion bash|zsh|fish`: what makes the shell complete commands and options."""

import os

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
@click.pass_context
def command(ctx: click.Context, shell: str | None) -> int:
    """Print what makes the shell complete words; SHELL is yours by default.

    Add to ~/.bashrc: eval "$(hog-dagster completion bash)"
    """
    named = shell or os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119
    known = get_completion_class(named)
    if known is None:
        raise click.UsageError("Name the shell: bash, zsh or fish.", ctx)
    complete = known(ctx.find_root().command, {}, "hog-dagster", "_HOG_DAGSTER_COMPLETE")
    click.echo(complete.source())
    return 0
