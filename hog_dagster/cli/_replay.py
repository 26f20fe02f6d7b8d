"""`hog-dagster replay`: runs what an incident broke again, once each; says first what it would do.

Facts: without `--send` nothing is sent and nothing is written to the ledger. With it each run is an
action in the ledger, as for the job `replay_runs`, so a command that was cut off is simply run
again. The project, its ledger and its limits are those of the definitions it stands in.
"""

import logging
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click
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
from hog_dagster.cli import INTERRUPTED
from hog_dagster.cli._acting import opened
from hog_dagster.cli._output import Output, counted
from hog_dagster.cli._project import Usage, check_key, find_project, project_options
from hog_dagster.cli._replay_text import as_json, blocks, in_doubt, total
from hog_dagster.components import ProjectFacts
from hog_dagster.jobs import (
    BadWindow,
    ReplayWanted,
    SourceReplay,
    check_window,
    in_doubt_command,
    replay_sources,
    run_again_in,
)
from hog_dagster.ledger import Ledger, LedgerError, State
from hog_dagster.policies import AlreadySent, ReplayPolicy, Safety, same_id
from hog_dagster.posthog import errors
from hog_dagster.settings import Everywhere, read_settings

#: A person looks at the table first, so more than in a job that nobody watches.
MAX_RUNS = 10_000
_RELATIVE = re.compile(r"-(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: A moment, or how long before PostHog's present.
When = datetime | timedelta


def _when(text: str) -> When:
    if text == "now":
        return timedelta()
    if found := _RELATIVE.fullmatch(text):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: give ISO 8601, such as 2026-11-29T14:00+01:00, or -2h"
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


@click.command(no_args_is_help=True)
@click.option(
    "--from",
    "start",
    type=_when,
    required=True,
    metavar="TIME",
    help="Runs first scheduled then or later: ISO 8601 (UTC without an offset), or -2h, -3d.",
)
@click.option(
    "--to", "end", type=_when, metavar="TIME", help="... and before then; now by default."
)
@click.option(
    "--workflow",
    "workflows",
    multiple=True,
    metavar="NAME|ID",
    help="Only this one; repeatable. By default every workflow with failures.",
)
@click.option(
    "--hog-function",
    "hog_functions",
    multiple=True,
    metavar="NAME|ID",
    help="This hog function; repeatable.",
)
@click.option(
    "--error-kind",
    "error_kinds",
    multiple=True,
    metavar="KIND",
    help="Only runs that failed with this error kind, http_5xx say; repeatable.",
)
@click.option(
    "--message-contains", default="", metavar="TEXT", help="Only runs with this in their error."
)
@click.option(
    "--already-sent",
    type=click.Choice([str(one) for one in AlreadySent]),
    default=str(AlreadySent.skip),
    show_default=True,
    help="A run whose earlier steps sent messages: skip it, allow them to go out again, or "
    "if_resumes: where PostHog stored the step it stopped at.",
)
@click.option(
    "--max-runs",
    type=click.IntRange(1, 1_000_000),
    default=MAX_RUNS,
    show_default=True,
    help="The maximum number of runs in all.",
)
@click.option(
    "--max-reruns",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="The maximum number of reruns of one run, by anybody.",
)
@click.option(
    "--slice-size",
    type=click.IntRange(1, 10_000),
    default=ReplayPolicy().slice_size,
    show_default=True,
    help="The maximum number of runs in one rerun request.",
)
@click.option(
    "--grace",
    "grace_seconds",
    type=click.FloatRange(0, 86_400),
    default=ReplayPolicy().grace_seconds,
    show_default=True,
    metavar="SECONDS",
    help="An action in doubt is not sent again before that.",
)
@click.option(
    "--wait",
    "verify_seconds",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --send: how long to look for the effect of each workflow's requests.",
)
@click.option("--send", is_flag=True, help="Really run them again; without it nothing is sent.")
@click.option("--yes", is_flag=True, help="With --send: do not ask.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object instead of text.")
@project_options
def command(module: str | None, component: str | None, **options: Any) -> int:
    """Run again what an incident broke, once each.

    Without --send nothing is sent and nothing is written: it says what it would do. The limits
    under `safety` of the project hold here too.
    """
    say = Output("replay", Console(), options["as_object"])
    chosen = {name: options.pop(name) for name in [*options] if name in ReplayPolicy.model_fields}
    asked = Asked(**options)
    logger = logging.getLogger("hog_dagster")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what happens is said on the console
    try:
        project = find_project(module, component)
        facts = project.facts
        policy = _policy(asked, chosen, facts.safety)
        with opened(project, asked.send, say) as actor:
            return _Replay(actor, policy, asked, say, facts).run()
    except (Usage, BadWindow, UnknownSource) as error:
        text = error.format_message() if isinstance(error, Usage) else str(error)
        text = text.replace("window_from", "--from").replace("window_to", "--to")
        say.error(f"{text} Nothing was sent.")
        return 2
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class Asked:
    """What the command line says beside the fields of `ReplayPolicy`."""

    start: When
    end: When | None
    workflows: tuple[str, ...]
    hog_functions: tuple[str, ...]
    send: bool
    yes: bool
    as_object: bool


def _policy(asked: Asked, chosen: Mapping[str, Any], safety: Safety) -> ReplayPolicy:
    if len(chosen["message_contains"]) > 200:
        raise Usage("--message-contains is longer than 200 characters: give a piece of the text.")
    if asked.send and not asked.yes and (asked.as_object or not sys.stdin.isatty()):
        raise Usage("There is nobody to ask: add --yes to --send, or leave --send out.")
    if asked.send and read_settings(Everywhere).dry_run:
        raise Usage("HOG_DAGSTER_DRY_RUN is true, so nothing may be sent: set it to false.")
    if asked.send and safety.dry_run:
        raise Usage("safety.dry_run of the project is true, so nothing may be sent: set it false.")
    return safety.narrow_replay(ReplayPolicy(dry_run=not asked.send, **chosen))


# --- doing it -------------------------------------------------------------------------------------


@dataclass
class _Replay:
    actor: Actor
    policy: ReplayPolicy
    args: Asked
    say: Output
    facts: ProjectFacts
    parts: list[SourceReplay] = field(default_factory=list)

    def run(self) -> int:
        check_key(self.actor.client, self.say)
        self.actor.know_the_time()
        window = self.window()
        sources = self.sources(window)
        end = f"{window.end:%Y-%m-%d %H:%M} UTC" if window.end else "now"
        self.say.fields |= {
            "from": window.start.isoformat(),
            "to": window.end.isoformat() if window.end else None,
            "send": self.args.send,
        }
        self.say.text(f"Runs scheduled from {window.start:%Y-%m-%d %H:%M} UTC to {end}")
        self.say.line("")
        if not sources:
            return self.nothing(window, end, sources)
        if self.args.send and not self.args.yes and not self.agreed(sources, window):
            self.say.text("Nothing was sent.")
            return 1
        try:
            if self.args.send and self.actor.ledger.is_made:
                self.reconcile()
            self.replay(self.actor, sources, window, self.policy)
        except KeyboardInterrupt:
            self.cut_off("Interrupted.")
            return INTERRUPTED
        except (errors.PostHogError, LedgerError) as error:
            if self.args.send:
                self.cut_off(" ".join(str(error).split()))
                return 1
            raise
        if all(part.empty for part in self.parts):
            return self.nothing(window, end, sources)
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
        client, flows, functions = self.actor.client, self.args.workflows, self.args.hog_functions
        if not flows and not functions:
            return self.selected(failing_sources(self.actor, window.start, self.facts.safety))
        found = resolve_sources(client, flows) if flows else []
        if functions:
            found += resolve_sources(client, functions, workflows=False, functions=True)
        for source in found:
            if not self.facts.safety.allows(source.id, source.name):
                raise Usage(f"The project's safety settings do not allow the {source.label}.")
        return list(dict.fromkeys(found))

    def selected(self, found: list[Source]) -> list[Source]:
        """Those that the project selects (`workflows` in its YAML)."""
        selection = self.facts.workflows
        if not found or not (selection.ids or selection.names or selection.statuses):
            return found
        chosen = {same_id(one.id) for one in self.actor.client.workflows.list() if one in selection}
        return [source for source in found if source.id in chosen]

    def replay(
        self, actor: Actor, sources: Sequence[Source], window: TimeWindow, policy: ReplayPolicy
    ) -> None:
        self.parts = []
        wanted = ReplayWanted(window=window)
        found = replay_sources(actor, sources, wanted, policy)
        for number, source in enumerate(sources, 1):
            self.say.progress(f"[{number}/{len(sources)}] {source.name or source.id}")
            self.parts += [part for part in [next(found, None)] if part is not None]

    def reconcile(self) -> None:
        """Find out first what became of earlier actions: of those that a command left behind, the
        runs that succeeded meanwhile are in no list of failures any more.
        """
        before = reconcile(self.actor)
        if len(before):
            counts = {name: n for name, n in before.counts().items() if n}
            self.say.fields["reconciled_first"] = counts
            self.say.text(f"Of {len(before):,} actions that were open before: {counted(counts)}.")
            self.say.line("")

    def agreed(self, sources: Sequence[Source], window: TimeWindow) -> bool:
        """Show what would be done, and ask."""
        dry = self.policy.model_copy(update={"dry_run": True})
        with ExitStack() as stack:
            actor = self.actor
            if not actor.ledger.is_made:  # as without --send, none is made by looking
                actor = replace(actor, ledger=stack.enter_context(Ledger.in_memory()))
            self.replay(actor, sources, window, dry)
        for line in blocks(self.parts, self.say.width):
            self.say.line(line)
        self.say.text(total(self.parts))
        if not any(part.again for part in self.parts):
            return False
        return self.say.ask("Run them again now? [y/N] ").strip().lower() in ("y", "yes")

    # --- how it ended ---------------------------------------------------------------------------

    def nothing(self, window: TimeWindow, end: str, sources: Sequence[Source]) -> int:
        named = [*self.args.workflows, *self.args.hog_functions]
        whose = f"of {', '.join(named)} " if named else ""
        if again := run_again_in(self.actor, sources, window):
            self.say.fields |= {"run_again_before": again, "workflows": []}
            self.say.text(
                f"No run {whose}of this window is failed any more: {again:,} of them "
                f"{'were' if again > 1 else 'was'} run again, as the ledger confirms. "
                "Nothing was sent. To see them:"
            )
            listing = in_doubt_command(self.actor.ledger).replace("--in-doubt", "--state confirmed")
            self.say.line(f"  {listing}")
            self.say.end()
            return 0
        self.say.error(
            f"No run {whose}that was scheduled from {window.start:%Y-%m-%d %H:%M} UTC to {end} is "
            "failed: check the window (times without an offset are UTC) and the name. Nothing was "
            "sent."
        )
        return 1

    def finish(self) -> int:
        resolve, listing = self.commands()
        self.say.fields |= {
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
        counts = Counter[str]()
        for part in self.parts:
            counts.update(part.summary.counts())
        made = self.actor.client.requests_made
        self.say.text(f"{counted(counts, 'nothing to do')}; {made:,} requests.")

    def cut_off(self, why: str) -> None:
        """Say what this command has sent so far; the ledger knows."""
        ledger = self.actor.ledger
        own = ledger.entries(project_id=self.actor.project_id, owner=self.actor.owner)
        states = Counter(entry.state for entry in own)
        sent = sum(n for state, n in states.items() if state not in _NOT_SENT)
        said = counted(states)
        self.say.fields |= {
            "interrupted": why,
            "ledger_states": {str(s): n for s, n in states.items()},
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
