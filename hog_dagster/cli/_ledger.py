"""`hog-dagster ledger`: lists actions, shows one, resolves one in doubt; adopts, exports, prunes.

Facts: an action in doubt whose effect PostHog cannot show any more (its logs expire after 90 days,
its invocation results after 30) needs a person who looks into PostHog and decides.
"""

import functools
import getpass
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from hog_dagster.cli._output import Output
from hog_dagster.cli._project import find_project, project_options
from hog_dagster.ledger import RETENTION, Entry, Ledger, LedgerError, State, normal_id, read_url

#: States of actions that may have happened.
OPEN = (str(State.SENT), str(State.IN_DOUBT))


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdigit() else 0
    if not RETENTION.days <= days <= 36500:
        raise click.BadParameter(
            f"give a number of days, at least {RETENTION.days}: PostHog shows runs that long"
        )
    return days


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: give ISO 8601, such as 2026-11-29T14:00"
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _which_ledger(function: Any) -> Any:
    """The options that name a ledger, of the group and of each of its commands."""
    url = click.option(
        "--url",
        metavar="URL",
        help="The ledger: a SQLite path, or a PostgreSQL URL or key=value text; by default the "
        "project's.",
    )
    return url(project_options(function))


@click.group(invoke_without_command=True)
@_which_ledger
@click.pass_context
def command(ctx: click.Context, **which: str | None) -> int:
    """List actions, and resolve the ones in doubt.

    The ledger is the one that the project's definitions use.
    """
    ctx.obj = which
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0


def _ledger_command(name: str) -> Callable[[Any], Any]:
    """A command of the group whose function takes the open ledger, what prints, and its options."""

    def decorate(function: Callable[..., None]) -> Any:
        @functools.wraps(function)
        @click.pass_context
        def run(ctx: click.Context, /, **options: Any) -> int:
            url, module, component = (
                options.pop(one) or (ctx.obj or {}).get(one)
                for one in ("url", "module", "component")
            )
            say = Output("ledger", Console(), bool(options.get("as_json")) or name == "export")
            adopts = name == "adopt"
            try:
                # The project is needed where the URL is not given, and for its number.
                alone = not module and not component and not (adopts and not options["project"])
                if url and alone:
                    host = os.environ.get("POSTHOG_HOST", "").strip()
                    place = _Place(url, host, os.environ.get("POSTHOG_PROJECT_ID", ""))
                elif url and not adopts and _missing(url):
                    place = _Place(url)
                else:
                    project = find_project(module, component)
                    with project.opened() as opened:
                        posthog = opened.posthog
                        place = _Place(url or opened.ledger.url, posthog.host, posthog.project_id)
                        say.text(project.said(opened))
                if not adopts and (missing := _missing(place.url)):
                    say.progress(missing)
                    return 0 if name == "list" else 1
                with Ledger(place.url) as ledger:
                    extra = {"place": place} if adopts else {}
                    function(ledger, say, **extra, **options)
            except (LedgerError, ValueError) as error:
                say.progress(str(error))
                return 1
            return 0

        return command.command(name)(_which_ledger(run))

    return decorate


@dataclass(frozen=True)
class _Place:
    """Which ledger, and of which PostHog project where that is known."""

    url: str
    host: str = ""
    project_id: str = ""


def _missing(url: str) -> str:
    """Says that the file of a ledger is not there, so that looking does not make one."""
    parsed = read_url(url)
    if parsed.get_backend_name() != "sqlite" or Path(str(parsed.database)).exists():
        return ""
    return (
        f"There is no ledger at {parsed.database}: nothing has been sent by way of it. Name the "
        "one your code locations use with --url or HOG_DAGSTER_LEDGER."
    )


# --- list, show ---------------------------------------------------------------------------------


@_ledger_command("list")
@click.option("--in-doubt", is_flag=True, help="Only those sent or in doubt.")
@click.option("--state", type=click.Choice([str(state) for state in State]))
@click.option("--kind", help="replay, rerun, batch_send, opt_out_add, ...")
@click.option("--target", metavar="NAME|ID", help="Of the workflow or hog function.")
@click.option("--project", type=int, metavar="NUMBER", help="Of the PostHog project.")
@click.option("--since", type=_time, metavar="TIME", help="Changed then or later, ISO 8601.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="The newest N."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def _list(
    ledger: Ledger,
    say: Output,
    *,
    in_doubt: bool,
    state: str | None,
    target: str | None,
    project: int | None,
    limit: int,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List actions, oldest first."""
    state_of = state or (OPEN if in_doubt else None)
    found = ledger.entries(project_id=project, state=state_of, **wanted)
    if target is not None:
        names = {target.casefold(), normal_id(target)}
        found = (one for one in found if names & {one.target_name.casefold(), one.target_id})
    entries = deque(found, maxlen=limit)
    if as_json:
        for entry in entries:
            print(json.dumps(entry.as_dict(), default=str))
        return
    if not entries:
        say.line(f"No such action in {ledger.location}.{_nearest(ledger, target)}")
        return
    width = len(str(max(entry.id for entry in entries)))
    for entry in entries:
        for number, line in enumerate(_lines(entry)):
            say.line(f"{entry.id if number == 0 else '':>{width}}  {line}")
    doubtful = sum(entry.state is State.IN_DOUBT for entry in entries)
    if doubtful:
        say.line(
            f"\n{doubtful} in doubt. The job reconcile_actions asks PostHog about them; if it "
            "cannot tell, look into PostHog yourself and decide:\n"
            'hog-dagster ledger resolve <number> --as confirmed|not-sent --reason "..."',
        )


def _nearest(ledger: Ledger, target: str | None) -> str:
    """The names in the ledger that are nearest to one that is not there."""
    if target is None:
        return ""
    names = {entry.target_name for entry in ledger.entries() if entry.target_name}
    if target.casefold() in {name.casefold() for name in names}:
        return ""
    folded = {name.casefold(): name for name in names}
    near = [folded[one] for one in get_close_matches(target.casefold(), folded, 3)]
    return f" The nearest names: {', '.join(near)}." if near else ""


def _lines(entry: Entry) -> Iterator[str]:
    """An action on a few lines that a terminal of 60 columns holds."""
    times = {0: "never sent", 1: "sent once"}.get(entry.attempts, f"sent {entry.attempts} times")
    yield f"{_words(entry.state)}  {entry.kind} of a {_words(entry.target_type)}, {times}"
    # On one line, so that a search for the id finds the name.
    yield "  " + (
        f"{entry.target_name} ({entry.target_id})" if entry.target_name else entry.target_id
    )
    yield f"  {entry.subject}"
    if entry.remote_id:
        yield f"  result {entry.remote_id}"
    if entry.note:
        yield f"  {entry.note}"
    yield f"  changed {entry.updated_at:%Y-%m-%d %H:%M:%S} UTC"


def _words(value: str) -> str:
    return str(value).replace("_", " ")


@_ledger_command("show")
@click.argument("action", type=int, metavar="NUMBER")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def _show(ledger: Ledger, say: Output, *, action: int, as_json: bool) -> None:
    """Show one action, with its history; NUMBER is the one that `list` shows."""
    entry = _find(ledger, action)
    history = ledger.history(entry.id)
    if as_json:
        print(json.dumps({**entry.as_dict(), "history": history}, default=str))
        return
    shown_of = entry.as_dict()
    if name_of := shown_of.pop("target_name", ""):
        shown_of["target_id"] = f"{name_of} ({entry.target_id})"
    for name, value in shown_of.items():
        shown = json.dumps(value) if isinstance(value, dict | list) else value
        say.line(f"{name:>18}  {'' if shown is None else shown}")
    say.line("\nhistory")
    for step in history:
        say.line(f"{step['at']:%Y-%m-%d %H:%M:%S.%f}  {_words(step['state'])}")
        say.line(f"  {step['owner']}: {step['note']}")


def _find(ledger: Ledger, number: int) -> Entry:
    found = list(ledger.entries(action_id=number)) if 0 <= number < 2**63 else []
    if not found:
        raise LedgerError(f"There is no action {number} in {ledger.location}.")
    return found[0]


# --- resolve, adopt -----------------------------------------------------------------------------


@_ledger_command("resolve")
@click.argument("action", type=int, metavar="NUMBER")
@click.option(
    "--as",
    "outcome",
    required=True,
    type=click.Choice(["confirmed", "not-sent"]),
    help="confirmed: it happened, never send it again; not-sent: the next run may send it.",
)
@click.option("--reason", required=True, help="What you saw; kept in the history.")
@click.option("--who", help="Who decides; by default your user name.")
@click.option("--force", is_flag=True, help="Even if it is not in doubt; needs --subject.")
@click.option("--subject", help="The action's subject, retyped, with --force.")
def _resolve(
    ledger: Ledger,
    say: Output,
    *,
    action: int,
    outcome: str,
    reason: str,
    who: str | None,
    force: bool,
    subject: str | None,
) -> None:
    """Decide what became of an action in doubt; NUMBER is the one that `list` shows."""
    entry = _find(ledger, action)
    if force and subject != entry.subject:
        raise LedgerError(
            f"Action {entry.id} is {_words(entry.state)} ({entry.kind} of "
            f"{entry.target_name or entry.target_id}). To force it, retype its subject exactly as "
            "`show` prints it: --force --subject TEXT."
        )
    after = ledger.resolve(
        entry.id,
        outcome,
        reason=reason,
        who=who or getpass.getuser(),
        force=force,
    )
    say.line(f"Action {after.id} is {_words(after.state)}: {after.note}")


@_ledger_command("adopt")
@click.option("--project", type=int, metavar="NUMBER", help="By default the project's own.")
@click.option("--host", metavar="URL", help="By default the project's own.")
def _adopt(
    ledger: Ledger, say: Output, *, place: _Place, project: int | None, host: str | None
) -> None:
    """Accept this ledger for a project, after it was replaced, restored or deleted.

    A ledger that is not there is made only in the place of another one.
    """
    import dagster as dg

    from hog_dagster.jobs import known_pairing, remember_pairing

    number = project or place.project_id
    missing = _missing(place.url)
    if missing and not (str(number).isdigit() and os.environ.get("DAGSTER_HOME")):
        raise LedgerError(missing)
    if not str(number).isdigit():
        raise LedgerError("Name the project: --project NUMBER, or set POSTHOG_PROJECT_ID.")
    host = host or place.host or "https://us.posthog.com"
    if not os.environ.get("DAGSTER_HOME"):
        raise LedgerError("Set DAGSTER_HOME: the instance there remembers which ledger is used.")
    with dg.DagsterInstance.get() as instance:
        before = known_pairing(instance, host, int(number))
        if missing and before is None:
            raise LedgerError(missing)
        remember_pairing(instance, ledger, host, int(number), adopt=True)
    if before is not None and before.get("ledger") != ledger.id:
        say.line(f"Before, it was the ledger {before['ledger']} at {before['location']}.")
    say.line(
        f"Project {number} of {host} uses the ledger {ledger.id} at {ledger.location} from now "
        f"on; it holds {sum(1 for _ in ledger.entries(project_id=int(number)))} actions of it.",
    )


# --- export, prune ------------------------------------------------------------------------------


@_ledger_command("export")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="A file; by default standard output.",
)
def _export(ledger: Ledger, say: Output, *, output: Path | None) -> None:
    """Write every action with its history, as JSON lines."""
    lines = (json.dumps(row) + "\n" for row in ledger.export())
    if output is None:
        say.console.file.writelines(lines)
        return
    try:
        with output.open("w", encoding="utf-8") as file:
            count = sum(1 for line in lines if file.write(line))
    except OSError as error:
        raise LedgerError(f"{output} cannot be written: {error.strerror}.") from None
    print(f"{count} actions written to {output}", file=sys.stderr)


@_ledger_command("prune")
@click.option(
    "--older-than",
    type=_days,
    required=True,
    metavar="DAYS",
    help=f"Not changed for this many days, at least {RETENTION.days}.",
)
def _prune(ledger: Ledger, say: Output, *, older_than: int) -> None:
    """Forget finished replays and reruns that PostHog has forgotten too."""
    before = datetime.now(UTC) - timedelta(days=older_than, minutes=1)
    count = ledger.prune(before)
    say.line(
        f"{count} finished replays and reruns forgotten that did not change for {older_than} "
        "days. Batch sends and schedules stay: the ledger is what keeps a second one away.",
    )
