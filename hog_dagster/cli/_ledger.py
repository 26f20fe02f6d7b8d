"""`hog-dagster ledger`: lists the acts in the ledger, shows one, settles one that is in doubt.

Facts: an act in doubt whose effect PostHog cannot show any more (its logs expire after 90 days, its
invocation results after 30) needs a person who looks into PostHog and says what happened.
"""

import argparse
import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hog_dagster.ledger import Entry, Ledger, LedgerError, State, default_url
from hog_dagster.ledger._urls import read_url

__all__ = ["add_arguments", "run"]

IN_DOUBT = (str(State.SENT), str(State.IN_DOUBT))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; its namespace goes to `run`."""
    parser.add_argument(
        "--url",
        help="the ledger (default: HOG_DAGSTER_LEDGER, else the file in DAGSTER_HOME or .hog)",
    )
    commands = parser.add_subparsers(dest="ledger_command", required=True)

    listing = commands.add_parser("list", help="list acts, oldest first")
    listing.add_argument("--in-doubt", action="store_true", help="only acts sent or unknown")
    listing.add_argument("--state", choices=[str(state) for state in State])
    listing.add_argument("--kind", help="replay, replay_all, rerun, batch_send, schedule_create")
    listing.add_argument("--workflow", help="workflow id")
    listing.add_argument("--since", type=_when, help="changed at or after, ISO 8601 (UTC)")
    listing.add_argument("--limit", type=_many, default=200, help="newest so many (default 200)")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")

    show = commands.add_parser("show", help="one act, with its history")
    show.add_argument("act", type=int, help="the act's number, as `list` shows it")
    show.add_argument("--json", action="store_true")

    settle = commands.add_parser("settle", help="say what became of an act in doubt")
    settle.add_argument("act", type=int, help="the act's number, as `list` shows it")
    settle.add_argument(
        "--as",
        dest="outcome",
        required=True,
        choices=["confirmed", "not-sent"],
        help="confirmed: it happened, never send it again; not-sent: the next run may send it",
    )
    settle.add_argument("--reason", required=True, help="what you saw; kept in the history")
    settle.add_argument("--who", default=None, help="who says so (default: your user name)")


def run(args: argparse.Namespace, console: Console | None = None) -> int:
    """Do what the command line says; the exit code."""
    console = console or Console()
    try:
        url = args.url or default_url()
        if missing := _missing(url):
            Console(stderr=True).print(missing, markup=False, soft_wrap=True)
            return 0 if args.ledger_command == "list" else 1
        with Ledger(url) as ledger:
            if args.ledger_command == "list":
                _list(ledger, args, console)
            elif args.ledger_command == "show":
                _show(ledger, args, console)
            else:
                entry = ledger.resolve(
                    args.act, args.outcome, reason=args.reason, who=args.who or getpass.getuser()
                )
                console.print(f"Act {entry.id} is {entry.state}: {entry.note}", markup=False)
    except (LedgerError, ValueError) as error:
        Console(stderr=True).print(str(error), markup=False, soft_wrap=True)
        return 1
    return 0


def _missing(url: str) -> str:
    """Says that the file of a ledger is not there, so that looking does not make one."""
    parsed = read_url(url)
    if parsed.get_backend_name() != "sqlite" or Path(str(parsed.database)).exists():
        return ""
    return (
        f"There is no ledger at {parsed.database}: nothing has been sent by way of it. Name the "
        "one your code locations use with --url or HOG_DAGSTER_LEDGER."
    )


def _many(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give a number of acts, at least 1")
    return number


def _when(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _list(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    entries = list(
        ledger.entries(
            kind=args.kind,
            target_id=args.workflow,
            state=args.state or (IN_DOUBT if args.in_doubt else None),
            since=args.since,
        )
    )[-args.limit :]
    if args.json:
        for entry in entries:
            console.print(_as_json(entry), markup=False, highlight=False, soft_wrap=True)
        return
    if not entries:
        console.print(f"No such act in {ledger.location}.", markup=False, soft_wrap=True)
        return
    table = Table(box=None, header_style="bold")
    for column in ("act", "state", "kind", "workflow, subject, why"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        times = "once" if entry.attempts == 1 else f"{entry.attempts} times"
        sent = f"sent {times}" if entry.attempts else "not sent"
        lines = (
            entry.target_id,
            entry.subject,
            f"{sent}, changed {entry.updated_at:%Y-%m-%d %H:%M:%S} UTC",
            entry.note,
        )
        table.add_row(str(entry.id), str(entry.state), entry.kind, Text("\n".join(lines)))
    console.print(table)
    doubtful = sum(entry.state is State.IN_DOUBT for entry in entries)
    if doubtful:
        console.print(
            f"{doubtful} in doubt. The next run reads them back from PostHog; if it cannot tell, "
            "look into PostHog yourself and use `hog-dagster ledger resolve <act> --as "
            'confirmed|not-sent --reason "..."`.',
            markup=False,
            soft_wrap=True,
        )


def _show(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    found = list(ledger.entries(action_id=args.act))
    if not found:
        raise LedgerError(f"There is no act {args.act} in {ledger.location}.")
    history = ledger.history(args.act)
    if args.json:
        text = json.dumps({**found[0].as_dict(), "history": history}, default=str)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    for name, value in found[0].as_dict().items():
        shown = json.dumps(value) if isinstance(value, dict | list) else value
        console.print(f"{name:>15}  {shown}", markup=False, soft_wrap=True)
    console.print("\n        history", markup=False)
    for step in history:
        console.print(
            f"{step['at']:%Y-%m-%d %H:%M:%S.%f}  {step['state']:<10} {step['owner']}  "
            f"{step['note']}",
            markup=False,
            soft_wrap=True,
        )


def _as_json(entry: Entry) -> str:
    return json.dumps(entry.as_dict(), default=str)
