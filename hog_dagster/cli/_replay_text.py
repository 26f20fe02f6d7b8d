"""What `hog-dagster replay` prints: a block per workflow, made for terminals of 60 columns."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hog_dagster.actions import Outcome, Result
from hog_dagster.jobs import SourceReplay, replay_table

#: Columns that a number takes.
_NUMBER = 8
#: Reasons for doubt that are given.
_NAMED = 5


def blocks(parts: Iterable[SourceReplay], width: int) -> Iterator[str]:
    """The lines about each workflow: what failed, what would be (or was) done, what is left."""
    for part in parts:
        source = part.source
        kind = "" if source.type == "workflow" else f"{source.type.replace('_', ' ')} "
        # On one line, so that a search for the id finds the name.
        yield f"{kind}{source.name} ({source.id})" if source.name else source.label
        yield from _rows(replay_table([part]), width)
        if part.empty and not part.summary.notes:
            yield "  nothing failed"
        yield ""


def _rows(rows: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    sums = Counter[str]()
    for row in rows:
        sums[row["what"]] += row["runs"]
    said = set[str]()
    for row in rows:
        what, which = row["what"], row["which"]
        if what == "skipped" and "left" in sums:
            continue  # the same runs, with their reasons
        if what in ("note", "not done"):
            yield from _wrapped(f"{what}: {which}", width, 2)
            continue
        if what not in said:
            said.add(what)
            # A message can go out again for several steps of one run: their sum counts no runs.
            number = None if what == "would go out again" else sums[what]
            yield from _counted(what, number, 2, width)
        if which:
            yield from _counted(which, row["runs"], 4, width)


def _counted(text: str, number: int | None, indent: int, width: int) -> Iterator[str]:
    """A text on as many lines as it takes, the number at the right of the first."""
    room = max(width - indent - _NUMBER, 20)
    first, *more = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    shown = "" if number is None else f"{number:>{_NUMBER},}"
    yield f"{'':{indent}}{first:<{room}}{shown}".rstrip()
    for line in more:
        yield f"{'':{indent}}{line}"


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    """A text on as many lines as it takes; an id or a path in it is not broken."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def total(parts: Sequence[SourceReplay]) -> str:
    """The sum of a dry run, in a sentence."""
    failed = sum(part.report.failed for part in parts if part.report)
    asked = sum(part.report.requests for part in parts if part.report)
    again = sum(part.again for part in parts)
    blocked = again - sum(part.report.due for part in parts if part.report)
    asked += max(blocked, 0)  # a blocked run is a request of its own
    what = f"{again:,} of {failed + max(blocked, 0):,} failed or blocked runs would run again"
    return f"{what}, in {asked:,} {'request' if asked == 1 else 'requests'}."


def in_doubt(
    parts: Sequence[SourceReplay], resolve: str, listing: str, width: int
) -> Iterator[str]:
    """The actions in doubt, with the commands that list them and resolve one, whose number is
    `{id}` in the command."""
    found = [(part, result) for part in parts for result in part.summary if _is_in_doubt(result)]
    if not found:
        return
    yield ""
    yield from _wrapped(
        f"{len(found):,} in doubt: they were sent, and nothing shows yet what came of them.",
        width,
        0,
    )
    groups: dict[tuple[str, str], list[int]] = {}
    for part, result in found:
        groups.setdefault((part.source.label, result.why), []).append(result.action_id or 0)
    for (label, why), numbers in list(groups.items())[:_NAMED]:
        yield from _wrapped(f"{_numbers(numbers)} on {label}: {why}", width, 2)
    if len(groups) > _NAMED:
        yield f"  ... and for {len(groups) - _NAMED:,} more reasons."
    yield from _wrapped(
        "Run the same command again later, or the job reconcile_actions: both read what PostHog "
        "shows. If that cannot tell, look into PostHog yourself and decide:",
        width,
        0,
    )
    yield f"  {listing}"
    yield f"  {resolve.format(id=found[0][1].action_id)}"


def _numbers(numbers: Sequence[int]) -> str:
    """Actions by number, whole stretches of them together."""
    stretches: list[list[int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    said = [f"{a}" if a == b else f"{a} to {b}" for a, b in stretches]
    more = f" and {len(said) - _NAMED:,} stretches more" if len(said) > _NAMED else ""
    return f"{'action' if len(numbers) == 1 else 'actions'} {', '.join(said[:_NAMED])}{more}"


def as_json(parts: Sequence[SourceReplay], resolve: str) -> list[dict[str, Any]]:
    """The same for machines: one object per workflow."""
    return [
        {
            "type": part.source.type,
            "id": part.source.id,
            "name": part.source.name,
            "failed": part.report.failed if part.report else 0,
            "errors": part.report.errors if part.report else {},
            "would_run_again" if part.dry_run else "sent": part.again,
            "would_go_out_again": part.report.repeats if part.report else {},
            "left": part.report.left if part.report else {},
            "requests_to_send": part.report.requests if part.report else part.again,
            "outcomes": {name: n for name, n in part.summary.counts().items() if n},
            "in_doubt": [_doubt(one, resolve) for one in part.summary if _is_in_doubt(one)],
            "notes": part.summary.notes,
            "not_done": part.failure,
        }
        for part in parts
    ]


def _is_in_doubt(result: Result) -> bool:
    return result.outcome is Outcome.IN_DOUBT and result.action_id is not None


def _doubt(result: Result, resolve: str) -> dict[str, Any]:
    return {
        "action": result.action_id,
        "run": result.subject,
        "why": result.why,
        "command": resolve.format(id=result.action_id),
    }
