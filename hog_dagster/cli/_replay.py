"""`hog-dagster replay`: runs what an incident broke again, once each; says first what it would do.

Facts: without `--send` nothing is sent and nothing is written to the ledger. With it each run is an
action in the ledger, as for the job `replay_runs`, so a command that was cut off is simply run
again. The settings come from the environment, or `.env`.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rich.console import Console

from hog_dagster.actions import (
    Actor,
    Outcome,
    Source,
    TimeWindow,
    UnknownSource,
    failing_sources,
    reconcile,
    resolve_sources,
)
from hog_dagster.cli._acting import Usage, opened
from hog_dagster.cli._output import Output
from hog_dagster.cli._replay_text import as_json, blocks, in_doubt, total
from hog_dagster.jobs._replaying import (
    BadWindow,
    ReplayWanted,
    SourceReplay,
    check_window,
    replay_sources,
)
from hog_dagster.jobs._running import in_doubt_command
from hog_dagster.ledger import LedgerError, State
from hog_dagster.policies import AlreadySent, ReplayPolicy, Safety
from hog_dagster.posthog import errors

__all__ = ["add_arguments", "run"]

#: A person looks at the table first, so more than in a job that nobody watches.
MAX_RUNS = 10_000
#: What a shell says of a command that Ctrl-C ended.
INTERRUPTED = 130

_RELATIVE = re.compile(r"-(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: A moment, or how long before PostHog's present.
When = datetime | timedelta


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; its namespace goes to `run`."""
    # So that `--from -2h` needs no `=`: argparse takes what fits this for a value, not an option.
    parser._negative_number_matcher = re.compile(r"^-\d+[smhdw]?$")
    parser.add_argument(
        "--from",
        dest="start",
        type=_when,
        required=True,
        metavar="TIME",
        help="runs first scheduled then or later: ISO 8601 (UTC without an offset), or -2h, -3d",
    )
    parser.add_argument(
        "--to", dest="end", type=_when, metavar="TIME", help="... and before then (now)"
    )
    parser.add_argument(
        "--workflow",
        action="append",
        default=[],
        metavar="NAME|ID",
        help="only this one; repeatable (every workflow with failures)",
    )
    parser.add_argument(
        "--hog-function",
        action="append",
        default=[],
        metavar="NAME|ID",
        help="this hog function; repeatable",
    )
    parser.add_argument(
        "--error-kind",
        action="append",
        default=[],
        metavar="KIND",
        help="only runs that failed with this error kind, http_5xx say; repeatable",
    )
    parser.add_argument(
        "--message-contains", default="", metavar="TEXT", help="only runs with this in their error"
    )
    parser.add_argument(
        "--already-sent",
        choices=[str(one) for one in AlreadySent],
        default=str(AlreadySent.skip),
        help="a run whose earlier steps sent messages: skip it (default), allow them to go out "
        "again, or if_resumes: where PostHog stored the step it stopped at",
    )
    parser.add_argument(
        "--max-runs",
        type=_number,
        default=MAX_RUNS,
        metavar="N",
        help=f"at most so many runs in all ({MAX_RUNS:,})",
    )
    parser.add_argument(
        "--max-reruns",
        type=_number,
        default=1,
        metavar="N",
        help="at most so many reruns of one run, by anybody (1)",
    )
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="with --send: how long to look for the effect of each workflow's requests (60)",
    )
    parser.add_argument(
        "--send", action="store_true", help="really run them again; without it nothing is sent"
    )
    parser.add_argument("--yes", action="store_true", help="with --send: do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(args: argparse.Namespace, console: Console | None = None) -> int:
    """Do what the command line says.

    Returns:
        0 when it worked, also with actions in doubt; 1 when something failed or nothing was found;
        2 for wrong usage; 130 when it was interrupted.
    """
    say = Output("replay", console or Console(), args.json)
    logger = logging.getLogger("hog_dagster")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what happens is said on the console
    try:
        policy = _policy(args)
        with opened(args.send, say) as actor:
            return _Replay(actor, policy, args, say).run()
    except (Usage, BadWindow, UnknownSource) as error:
        text = str(error).replace("window_from", "--from").replace("window_to", "--to")
        say.error(f"{text} Nothing was sent.")
        return 2
    finally:
        logger.setLevel(level)


# --- reading the command line ---------------------------------------------------------------------


def _when(text: str) -> When:
    if text == "now":
        return timedelta()
    if found := _RELATIVE.fullmatch(text):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: give ISO 8601, such as 2026-11-29T14:00+01:00, or -2h"
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000000")
    return int(text)


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or int(text) > 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return float(text)


def _policy(args: argparse.Namespace) -> ReplayPolicy:
    if args.max_reruns > 100:
        raise Usage(f"--max-reruns is {args.max_reruns}: give 100 at most.")
    if len(args.message_contains) > 200:
        raise Usage("--message-contains is longer than 200 characters: give a piece of the text.")
    if args.send and not args.yes and (args.json or not sys.stdin.isatty()):
        raise Usage("There is nobody to ask: add --yes to --send, or leave --send out.")
    off = os.environ.get("HOG_DAGSTER_DRY_RUN", "").strip().lower() in ("1", "true", "yes", "on")
    if args.send and off:
        raise Usage("HOG_DAGSTER_DRY_RUN is true, so nothing may be sent: set it to false.")
    return ReplayPolicy(
        dry_run=not args.send,
        max_runs=args.max_runs,
        max_reruns=args.max_reruns,
        already_sent=AlreadySent(args.already_sent),
        error_kinds=args.error_kind,
        message_contains=args.message_contains,
        verify_seconds=args.wait,
    )


# --- doing it -------------------------------------------------------------------------------------


@dataclass
class _Replay:
    actor: Actor
    policy: ReplayPolicy
    args: argparse.Namespace
    say: Output
    parts: list[SourceReplay] = field(default_factory=list)

    def run(self) -> int:
        self.actor.know_the_time()
        window = self.window()
        sources = self.sources(window)
        end = f"{window.end:%Y-%m-%d %H:%M} UTC" if window.end else "now"
        self.say.told |= {
            "from": window.start.isoformat(),
            "to": window.end.isoformat() if window.end else None,
            "send": self.args.send,
        }
        self.say.text(f"Runs scheduled from {window.start:%Y-%m-%d %H:%M} UTC to {end}")
        self.say.line("")
        if not sources:
            return self.nothing(window, end)
        if self.args.send and not self.args.yes and not self.agreed(sources, window):
            self.say.text("Nothing was sent.")
            return 1
        try:
            if self.args.send:
                self.reconcile()
            self.replay(sources, window, self.policy)
        except KeyboardInterrupt:
            self.cut_off("Interrupted.")
            return INTERRUPTED
        except (errors.PostHogError, LedgerError) as error:
            if self.args.send:
                self.cut_off(" ".join(str(error).split()))
                return 1
            raise
        if all(part.empty for part in self.parts):
            return self.nothing(window, end)
        return self.finish()

    def window(self) -> TimeWindow:
        now = self.actor.latest()
        start, end = (
            now - one if isinstance(one, timedelta) else one
            for one in (self.args.start, self.args.end or timedelta())
        )
        return check_window(start, None if self.args.end is None else end, now)

    def sources(self, window: TimeWindow) -> list[Source]:
        """Those that are named; else every workflow with failures since the window's start."""
        client, flows, functions = self.actor.client, self.args.workflow, self.args.hog_function
        if not flows and not functions:
            return failing_sources(self.actor, window.start, Safety())
        found = resolve_sources(client, flows) if flows else []
        if functions:
            found += resolve_sources(client, functions, workflows=False, functions=True)
        return list(dict.fromkeys(found))

    def replay(self, sources: Sequence[Source], window: TimeWindow, policy: ReplayPolicy) -> None:
        self.parts = []
        wanted = ReplayWanted(window=window)
        found = replay_sources(self.actor, sources, wanted, policy)
        for number, source in enumerate(sources, 1):
            self.say.progress(f"[{number}/{len(sources)}] {source.name or source.id}")
            self.parts += [part for part in [next(found, None)] if part is not None]

    def reconcile(self) -> None:
        """Find out first what became of earlier actions: of those that a command left behind, the
        runs that succeeded meanwhile are in no list of failures any more.
        """
        before = reconcile(self.actor)
        if len(before):
            counted = {name: n for name, n in before.counts().items() if n}
            self.say.told["reconciled_first"] = counted
            said = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counted.items())
            self.say.text(f"Of {len(before):,} actions that were open before: {said}.")
            self.say.line("")

    def agreed(self, sources: Sequence[Source], window: TimeWindow) -> bool:
        """Show what would be done, and ask."""
        self.replay(sources, window, self.policy.model_copy(update={"dry_run": True}))
        for line in blocks(self.parts, self.say.width):
            self.say.line(line)
        self.say.text(total(self.parts))
        if not any(part.again for part in self.parts):
            return False
        return self.say.ask("Run them again now? [y/N] ").strip().lower() in ("y", "yes")

    # --- how it ended ---------------------------------------------------------------------------

    def nothing(self, window: TimeWindow, end: str) -> int:
        named = [*self.args.workflow, *self.args.hog_function]
        whose = f"of {', '.join(named)} " if named else ""
        self.say.error(
            f"No run {whose}that was scheduled from {window.start:%Y-%m-%d %H:%M} UTC to {end} is "
            "failed: check the window (times without an offset are UTC) and the name. Nothing was "
            "sent."
        )
        return 1

    def finish(self) -> int:
        resolve, listing = self.commands()
        self.say.told |= {
            "requests": self.actor.client.requests_made,
            "workflows": as_json(self.parts, resolve),
        }
        for line in blocks(self.parts, self.say.width):
            self.say.line(line)
        if self.args.send:
            self.outcomes()
            for line in in_doubt(self.parts, resolve, listing, self.say.width):
                self.say.line(line)
        else:
            again = any(part.again for part in self.parts)
            self.say.text(total(self.parts))
            self.say.text("Nothing was sent." + (" To send it, add --send." if again else ""))
        self.say.end()
        results = [result for part in self.parts for result in part.summary]
        bad = any(part.failure for part in self.parts) or any(
            result.outcome is Outcome.NOT_SENT for result in results
        )
        return 1 if bad else 0

    def outcomes(self) -> None:
        counted: dict[str, int] = {}
        for part in self.parts:
            for name, number in part.summary.counts().items():
                counted[name] = counted.get(name, 0) + number
        said = [f"{n:,} {name.replace('_', ' ')}" for name, n in counted.items() if n]
        made = self.actor.client.requests_made
        self.say.text(f"{', '.join(said) or 'nothing to do'}; {made:,} requests.")

    def cut_off(self, why: str) -> None:
        """Say what this command has sent so far; the ledger knows."""
        ledger = self.actor.ledger
        counted: dict[State, int] = {}
        for entry in ledger.entries(project_id=self.actor.project_id, owner=self.actor.owner):
            counted[entry.state] = counted.get(entry.state, 0) + 1
        sent = sum(n for state, n in counted.items() if state not in _NOT_SENT)
        said = ", ".join(f"{n:,} {str(state).replace('_', ' ')}" for state, n in counted.items())
        self.say.told |= {
            "interrupted": why,
            "ledger_states": {str(s): n for s, n in counted.items()},
        }
        self.say.text(why)
        if not self.args.send:
            self.say.text("Nothing was sent.")
        else:
            self.say.text(f"Sent so far: {sent:,} runs{f' ({said})' if said else ''}.")
            self.say.text(
                "Running the same command again is safe: it finds out what became of these first, "
                "and sends none of them a second time. They are listed by"
            )
            self.say.line(f"  {self.commands()[1]}")
        self.say.end()

    def commands(self) -> tuple[str, str]:
        """How one action is resolved, and how those in doubt are listed."""
        return self.actor.resolve_command, in_doubt_command(self.actor.ledger)


_NOT_SENT = (State.CLAIMED, State.NOT_SENT)
