"""What a command acts with: the project's client and ledger, an owner, the pairing.

Facts: a ledger is refused when the Dagster instance of `DAGSTER_HOME` remembers another one for the
project.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hog_dagster.actions import Actor, command_owner, command_runs
from hog_dagster.cli._doctor_stores import ledger_is_made
from hog_dagster.cli._output import Output, Progress, Silent
from hog_dagster.cli._project import Project, Usage, ledger_place
from hog_dagster.jobs import alive_in, pairing_refusal, remember_pairing, resolve_command
from hog_dagster.ledger import Ledger, LedgerError
from hog_dagster.posthog import PostHogClient

if TYPE_CHECKING:
    import dagster as dg


@contextmanager
def opened(project: Project, sends: bool, say: Output) -> Iterator[Actor]:
    """The actor of a command; says first which project, host and ledger it uses. Where nothing may
    be sent, a ledger that is not there is not made. A ledger that is not the one that the Dagster
    instance used before is a LedgerError.
    """
    with ExitStack() as stack:
        resources = stack.enter_context(project.opened())
        client, url = resources.posthog.client, resources.ledger.url
        made = sends or ledger_is_made(url)
        location = ledger_place(url)
        say.fields |= {"project": client.project_id, "host": client.host, "ledger": location}
        say.text(project.said(resources) + ("" if made else " (not made yet)"))
        ledger = stack.enter_context(Ledger(url) if made else Ledger.in_memory())
        instance = stack.enter_context(_instance(sends, say))
        if instance is not None and made:
            stack.enter_context(_paired(instance, ledger, client, sends, say))
        on_marked = None
        if instance is not None and made and sends:
            on_marked = partial(remember_pairing, instance, ledger, client.host, client.project_id)
        owner = stack.enter_context(command_owner())
        say.fields["owner"] = owner
        yield Actor(
            client=client,
            ledger=ledger,
            owner=owner,
            log=Progress(say) if sends else Silent(),
            alive=command_runs if instance is None else alive_in(instance),
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
    # A new ledger is made and remembered by the first action, not by a command that is refused.
    if sends and ledger.is_made:
        remember_pairing(instance, ledger, host, project)
    try:
        yield
    finally:
        if sends and ledger.is_made:
            remember_pairing(instance, ledger, host, project)
