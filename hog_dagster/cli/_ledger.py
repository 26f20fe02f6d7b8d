"""`hog-dagster ledger`: lists actions, shows one, resolves one in doubt; adopts, exports, prunes.

Facts: an action in doubt whose effect PostHog cannot show any more (its logs expire after 90 days,
its invocation results after 30) needs a person who looks into PostHog and decides.
"""

import argparse
import getpass
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from hog_dagster.ledger import Entry, Ledger, LedgerError, State, default_url, normal_id
from hog_dagster.ledger._upkeep import RETENTION
from hog_dagster.ledger._urls import read_url

__all__ = ["add_arguments", "run"]

#: States of actions that may have happened.
OPEN = (str(State.SENT), str(State.IN_DOUBT))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; its namespace goes to `run`."""
    parser.set_defaults(ledger_help=parser.print_help)
    parser.add_argument(
        "--url",
        help="the ledger: a SQLite path, or a PostgreSQL URL or key=value text (default: "
        "HOG_DAGSTER_LEDGER, else the file in DAGSTER_HOME or .hog)",
    )
    commands = parser.add_subparsers(dest="ledger_command", metavar="COMMAND")

    listing = commands.add_parser("list", help="list actions, oldest first")
    listing.add_argument("--in-doubt", action="store_true", help="only those sent or in doubt")
    listing.add_argument("--state", choices=[str(state) for state in State])
    listing.add_argument("--kind", help="replay, replay_all, rerun, batch_send, schedule_create")
    listing.add_argument("--target", help="id or name of the workflow or hog function")
    listing.add_argument("--project", type=int, help="number of the PostHog project")
    listing.add_argument("--since", type=_when, help="changed at or after, ISO 8601 (UTC)")
    listing.add_argument("--limit", type=_many, default=200, help="at most the newest N (200)")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")

    show = commands.add_parser("show", help="one action, with its history")
    show.add_argument("action", type=int, help="its number, as `list` shows it")
    show.add_argument("--json", action="store_true")

    resolve = commands.add_parser("resolve", help="decide what became of an action in doubt")
    resolve.add_argument("action", type=int, help="its number, as `list` shows it")
    resolve.add_argument(
        "--as",
        dest="outcome",
        required=True,
        choices=["confirmed", "not-sent"],
        help="confirmed: it happened, never send it again; not-sent: the next run may send it",
    )
    resolve.add_argument("--reason", required=True, help="what you saw; kept in the history")
    resolve.add_argument("--who", default=None, help="who decides (default: your user name)")
    resolve.add_argument(
        "--force", action="store_true", help="even if it is not in doubt; needs --subject"
    )
    resolve.add_argument("--subject", help="the action's subject, retyped, with --force")

    adopt = commands.add_parser(
        "adopt", help="accept this ledger for a project, after it was replaced or restored"
    )
    adopt.add_argument("--project", type=int, help="default: POSTHOG_PROJECT_ID")
    adopt.add_argument("--host", help="default: POSTHOG_HOST, else https://us.posthog.com")

    export = commands.add_parser("export", help="every action with its history, as JSON lines")
    export.add_argument("--output", type=Path, help="a file (default: standard output)")

    prune = commands.add_parser(
        "prune", help="forget settled replays and reruns that PostHog has forgotten too"
    )
    prune.add_argument(
        "--older-than",
        type=_days,
        required=True,
        metavar="DAYS",
        help=f"not changed for this many days, at least {RETENTION.days}",
    )


def run(args: argparse.Namespace, console: Console | None = None) -> int:
    """Do what the command line says; the exit code."""
    console = console or Console()
    if args.ledger_command is None:
        args.ledger_help()
        return 0
    try:
        url = args.url or default_url()
        if missing := _missing(url):
            _say_error(missing)
            return 0 if args.ledger_command == "list" else 1
        with Ledger(url) as ledger:
            _COMMANDS[args.ledger_command](ledger, args, console)
    except (LedgerError, ValueError) as error:
        _say_error(str(error))
        return 1
    return 0


def _say_error(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


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
        raise argparse.ArgumentTypeError("give a number of actions, at least 1")
    return number


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdigit() else 0
    if not RETENTION.days <= days <= 36500:
        raise argparse.ArgumentTypeError(
            f"give a number of days, at least {RETENTION.days}: PostHog shows runs that long"
        )
    return days


def _when(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


# --- list, show ---------------------------------------------------------------------------------


def _list(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    entries = deque(_wanted(ledger, args), maxlen=args.limit)
    if args.json:
        for entry in entries:
            _say(console, json.dumps(entry.as_dict(), default=str))
        return
    if not entries:
        _say(console, f"No such action in {ledger.location}.")
        return
    width = len(str(max(entry.id for entry in entries)))
    for entry in entries:
        for number, line in enumerate(_lines(entry)):
            _say(console, f"{entry.id if number == 0 else '':>{width}}  {line}")
    doubtful = sum(entry.state is State.IN_DOUBT for entry in entries)
    if doubtful:
        _say(
            console,
            f"\n{doubtful} in doubt. The job reconcile_actions asks PostHog about them; if it "
            "cannot tell, look into PostHog yourself and decide:\n"
            'hog-dagster ledger resolve <number> --as confirmed|not-sent --reason "..."',
        )


def _wanted(ledger: Ledger, args: argparse.Namespace) -> Iterator[Entry]:
    entries = ledger.entries(
        project_id=args.project,
        kind=args.kind,
        state=args.state or (OPEN if args.in_doubt else None),
        since=args.since,
    )
    for entry in entries:
        names = (entry.target_name.casefold(), entry.target_id)
        if args.target is None or {args.target.casefold(), normal_id(args.target)} & {*names}:
            yield entry


def _lines(entry: Entry) -> Iterator[str]:
    """An action on a few lines that a terminal of 60 columns holds."""
    times = {0: "never sent", 1: "sent once"}.get(entry.attempts, f"sent {entry.attempts} times")
    yield f"{_words(entry.state)}  {entry.kind}, {times}"
    if entry.target_name:
        yield f"  {_words(entry.target_type)} {entry.target_name}"
        yield f"  {entry.target_id}"
    else:
        yield f"  {_words(entry.target_type)} {entry.target_id}"
    yield f"  {entry.subject}"
    if entry.remote_id:
        yield f"  result {entry.remote_id}"
    if entry.note:
        yield f"  {entry.note}"
    yield f"  changed {entry.updated_at:%Y-%m-%d %H:%M:%S} UTC"


def _words(value: str) -> str:
    return str(value).replace("_", " ")


def _show(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    entry = _find(ledger, args.action)
    history = ledger.history(entry.id)
    if args.json:
        _say(console, json.dumps({**entry.as_dict(), "history": history}, default=str))
        return
    for name, value in entry.as_dict().items():
        shown = json.dumps(value) if isinstance(value, dict | list) else value
        _say(console, f"{name:>18}  {'' if shown is None else shown}")
    _say(console, "\nhistory")
    for step in history:
        _say(console, f"{step['at']:%Y-%m-%d %H:%M:%S.%f}  {_words(step['state'])}")
        _say(console, f"  {step['owner']}: {step['note']}")


def _find(ledger: Ledger, number: int) -> Entry:
    found = list(ledger.entries(action_id=number)) if 0 <= number < 2**63 else []
    if not found:
        raise LedgerError(f"There is no action {number} in {ledger.location}.")
    return found[0]


# --- resolve, adopt -----------------------------------------------------------------------------


def _resolve(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    entry = _find(ledger, args.action)
    if args.force and args.subject != entry.subject:
        raise LedgerError(
            f"Action {entry.id} is {_words(entry.state)} ({entry.kind} of "
            f"{entry.target_name or entry.target_id}). To force it, retype its subject exactly as "
            "`show` prints it: --force --subject TEXT."
        )
    after = ledger.resolve(
        entry.id,
        args.outcome,
        reason=args.reason,
        who=args.who or getpass.getuser(),
        force=args.force,
    )
    _say(console, f"Action {after.id} is {_words(after.state)}: {after.note}")


def _adopt(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    import dagster as dg

    from hog_dagster.jobs._pairing import known_pairing, remember_pairing

    project = args.project or os.environ.get("POSTHOG_PROJECT_ID", "")
    if not str(project).isdigit():
        raise LedgerError("Name the project: --project NUMBER, or set POSTHOG_PROJECT_ID.")
    host = args.host or os.environ.get("POSTHOG_HOST") or "https://us.posthog.com"
    if not os.environ.get("DAGSTER_HOME"):
        raise LedgerError("Set DAGSTER_HOME: the instance there remembers which ledger is used.")
    with dg.DagsterInstance.get() as instance:
        before = known_pairing(instance, host, int(project))
        remember_pairing(instance, ledger, host, int(project), adopt=True)
    if before is not None and before.get("ledger") != ledger.id:
        _say(console, f"Before, it was the ledger {before['ledger']} at {before['location']}.")
    _say(
        console,
        f"Project {project} of {host} uses the ledger {ledger.id} at {ledger.location} from now "
        f"on; it holds {sum(1 for _ in ledger.entries(project_id=int(project)))} actions of it.",
    )


# --- export, prune ------------------------------------------------------------------------------


def _export(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    lines = (json.dumps(row) + "\n" for row in ledger.export())
    if args.output is None:
        console.file.writelines(lines)
        return
    try:
        with args.output.open("w", encoding="utf-8") as file:
            count = sum(1 for line in lines if file.write(line))
    except OSError as error:
        raise LedgerError(f"{args.output} cannot be written: {error.strerror}.") from None
    print(f"{count} actions written to {args.output}", file=sys.stderr)


def _prune(ledger: Ledger, args: argparse.Namespace, console: Console) -> None:
    before = datetime.now(UTC) - timedelta(days=args.older_than, minutes=1)
    count = ledger.prune(before)
    _say(
        console,
        f"{count} settled replays and reruns forgotten that did not change for {args.older_than} "
        "days. Batch sends and schedules stay: the ledger is what keeps a second one away.",
    )


_COMMANDS = {
    "list": _list,
    "show": _show,
    "resolve": _resolve,
    "adopt": _adopt,
    "export": _export,
    "prune": _prune,
}
