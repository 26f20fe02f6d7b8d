"""What a command acts with: the client, the ledger of the environment, an owner, the pairing.

Facts: the same settings as the default code location; a ledger is refused when the Dagster instance
of `DAGSTER_HOME` remembers another one for the project.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hog_dagster.actions import Actor
from hog_dagster.cli._doctor_stores import ledger_is_made
from hog_dagster.cli._output import Output, Progress, Silent
from hog_dagster.cli._owners import acting, command_runs, either
from hog_dagster.jobs._pairing import pairing_refusal, remember_pairing
from hog_dagster.jobs._running import alive_in, resolve_command
from hog_dagster.ledger import Alive, Ledger, LedgerError, default_url
from hog_dagster.ledger._urls import location_of, read_url
from hog_dagster.posthog import PostHogClient

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["Usage", "opened"]

DEFAULT_HOST = "https://us.posthog.com"
#: The longest wait for the rate limit: PostHog's own window is an hour.
MAX_WAIT_S = 3700.0


class Usage(ValueError):
    """The command line or the environment asks for something that cannot be; says what to give."""


@contextmanager
def opened(sends: bool, say: Output) -> Iterator[Actor]:
    """The actor of a command; says first which project, host and ledger it uses.

    Args:
        sends: whether anything may be sent. If not, a ledger that is not there is not made.
        say: where it is said.

    Raises:
        Usage: DAGSTER_HOME is no folder.
        LedgerError: the ledger is not the one that the Dagster instance used before.
        ConfigurationError: a setting of PostHog is missing or cannot be right.
    """
    environ, url = os.environ, default_url()
    made = sends or ledger_is_made(url)
    with ExitStack() as stack:
        client = stack.enter_context(
            PostHogClient(
                environ.get("POSTHOG_HOST", "").strip() or DEFAULT_HOST,
                environ.get("POSTHOG_API_KEY", ""),
                environ.get("POSTHOG_PROJECT_ID", ""),
                max_wait=MAX_WAIT_S,
            )
        )
        location = location_of(read_url(url))
        say.told |= {"project": client.project_id, "host": client.host, "ledger": location}
        missing = "" if made else " (not made yet)"
        say.text(f"Project {client.project_id} at {client.host}, ledger {location}{missing}")
        ledger = stack.enter_context(Ledger(url) if made else Ledger.in_memory())
        instance = stack.enter_context(_instance(sends, say))
        alive: list[Alive] = [command_runs]
        if instance is not None:
            alive.append(alive_in(instance))
            if made:
                stack.enter_context(_paired(instance, ledger, client, sends, say))
        on_marked = None
        if instance is not None and made and sends:
            project = (instance, ledger, client.host, client.project_id)
            on_marked = partial(remember_pairing, *project)
        owner = stack.enter_context(acting())
        say.told["owner"] = owner
        yield Actor(
            client=client,
            ledger=ledger,
            owner=owner,
            log=Progress(say) if sends else Silent(),
            alive=either(*alive),
            resolve_command=resolve_command(ledger),
            on_marked=on_marked,
        )


@contextmanager
def _instance(sends: bool, say: Output) -> "Iterator[dg.DagsterInstance | None]":
    """The Dagster instance of DAGSTER_HOME; None when that is not set."""
    home = os.environ.get("DAGSTER_HOME", "").strip()
    if not home:
        yield None
    elif not Path(home).expanduser().is_dir():
        wrong = f"DAGSTER_HOME is {home}, which is no folder: correct it, or unset it."
        if sends:
            raise Usage(wrong)
        say.text(wrong)
        yield None
    else:
        import dagster as dg

        with dg.DagsterInstance.get() as instance:
            yield instance


@contextmanager
def _paired(
    instance: "dg.DagsterInstance", ledger: Ledger, client: PostHogClient, sends: bool, say: Output
) -> Iterator[None]:
    """Refuse a ledger that this instance did not use before; remember the one that it uses."""
    host, project = client.host, client.project_id
    why = pairing_refusal(instance, ledger, host, project)
    if why and sends:
        raise LedgerError(why)
    if why:
        say.text(f"With --send this would be refused. {why}")
    if sends:
        remember_pairing(instance, ledger, host, project)
    try:
        yield
    finally:
        if sends:
            remember_pairing(instance, ledger, host, project)
