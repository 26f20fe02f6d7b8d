"""The fault matrix as a table, and the page docs/reliability.md around it."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["page", "table"]

Cells = Mapping[tuple[str, str], Mapping[str, Any]]

INTRO = """\
# Acts happen once

A replay, a rerun or a batch job sends e-mail to real people. PostHog's endpoints for them have no
idempotency key: asked twice, they act twice. Dagster retries. Networks cut answers off. This page
says what `hog_dagster` promises about that, how it keeps the promise, how that is tested, and what
is left for an operator.

**The promise:** whatever crashes, times out or is clicked twice, each run is replayed at most once
and, in the end, once. A batch job likewise, per key (a scheduled moment, a partition, a key of your
own); a schedule made in PostHog likewise.

## How it is kept

1. **Written before it is sent.** Each act has one row in the *ledger* (SQLite, or PostgreSQL) under
   a natural key: project, kind, workflow, and run or scheduled moment. A claim is one atomic insert.
   The state `sent` is committed before the request leaves, so `intended` means: surely not sent.
2. **One hand at a time.** Every change of a row compares its version. Of two processes that believe
   they hold the same act one finds out before it sends, whatever their clocks and leases say. A
   lock per workflow, kept in the ledger, makes runs take turns.
3. **A request is sent once.** The client never repeats a write. Without a connection, after a 401,
   403 or 429, nothing happened, and the act is given back. After a cut answer, a 5xx or an answer
   that cannot be read, it is *in doubt*.
4. **A doubt is read back, not retried.** What PostHog shows decides: the replay marker in the run's
   logs and the list of blocked runs; `attempts`, `is_retry` and status of the run; the list of batch
   jobs or schedules. Only an act shown *not* to have happened is sent again, and an absence is
   believed only after a grace time, measured on PostHog's clock (its `Date` header), not on ours.
5. **On newer servers the server helps.** A rerun names its runs, always sends `status`, and sends
   `max_attempts`, with which PostHog itself skips a run that was run again since it was looked at.
6. **Sensors and schedules never POST.** They look and ask for a run. Run keys carry the attempt, so
   a failed run does not burn its key, and a run that failed is followed by a growing pause.

| state in the ledger | meaning | what happens next |
| --- | --- | --- |
| `intended` | claimed, surely not sent | anybody may claim it when its run has ended or its lease is over |
| `sent` | the request left, or was about to | in doubt when its run has ended or its lease is over |
| `unknown` | in doubt | read back by the next run, or by the job `settle_acts_in_doubt` |
| `confirmed` | it happened: PostHog said so, or it was read back | never sent again |
| `refused` | PostHog said no to it, for good | reported as unreplayable, not tried again |

## What is left for an operator

Some doubts PostHog cannot settle: two batch jobs that could both be the one, logs that have expired
(90 days; runs 30), a server upgraded in between that lists blocked runs no more. They stay in doubt,
are never sent again by themselves, and name the command:

```
hog-dagster ledger list --in-doubt
hog-dagster ledger show 17
hog-dagster ledger settle 17 --as confirmed --reason "the e-mail is in the activity log"
hog-dagster ledger settle 17 --as not-sent  --reason "no run of that time in PostHog"
```

## What you must provide

- **One ledger** for all code locations and machines that act on a PostHog project: in production a
  PostgreSQL database, such as that of Dagster's own storage. A SQLite file serves one machine (not a
  network file system).
- **A grace time longer than PostHog can be late.** It is 15 minutes for replays and reruns and 2 for
  batch jobs, and must be longer than the client's read timeout. If PostHog's log pipeline is further
  behind than that at the very moment an answer is lost, a run could be replayed twice.
- **Run monitoring and run retries** in `dagster.yaml`, if a killed run is to be carried on with at
  once: the jobs carry `dagster/max_retries`, and `dagster/retry_on_asset_or_op_failure: "false"`,
  since a failure they report themselves is not mended by repeating. Without them a claim is free
  again after its lease of 15 minutes.
- To have Dagster queue runs of one workflow too, limit the pool `posthog_acts`, or the tag
  `hog_dagster/workflow_id` per value.

## How it is tested: the fault matrix

`make faults` breaks each act in each of these ways, over real HTTP against the sandbox, and counts
what really happened to people: the sandbox's own list of replays, sends and schedules, not the
answers it gave. `kill -9` kills a real process. After the fault, runs are launched again, a grace
time apart, as a sensor, Dagster's retries or an operator would.

*once*: each act happened exactly once and the ledger is settled. *in doubt*: it did not happen
twice, the ledger says that it is in doubt and names the remedy. In brackets: requests sent.
"""


def table(cells: Cells, rows: Iterable[str], columns: Iterable[str]) -> list[str]:
    """The matrix in Markdown."""
    columns = list(columns)
    lines = [
        "| fault | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for row in rows:
        said = [_cell(cells.get((row, column))) for column in columns]
        lines.append(f"| {row} | " + " | ".join(said) + " |")
    return lines


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    if not cell["passed"]:
        return f"**FAILED** {cell['effects']}"
    return f"{cell['outcome']} ({cell['posts']})"


def page(
    cells: Cells, rows: Iterable[str], columns: Iterable[str], stories: Mapping[str, int]
) -> str:
    """The page."""
    rows, columns = list(rows), list(columns)
    in_doubt = [cell for cell in cells.values() if cell["outcome"] == "in doubt"]
    return "\n".join(
        [
            INTRO,
            *table(cells, rows, columns),
            "",
            f"{len(cells)} cells, 0 acts done twice. The {len(in_doubt)} cells in doubt are those "
            "where the request never arrived and the server that could have shown so was replaced "
            "by one without blocked runs.",
            "",
            "## Random stories",
            "",
            "Besides, orders of one to four runs are told as stories drawn from a seed: several "
            "launches with faults before and after the effect, `kill -9`, crashes of the op, runs "
            "side by side, reads that fail, markers and reruns minutes late, the server's clock "
            "three hours off, time passing in between; then launches without faults.",
            "",
            "| | |",
            "| --- | --- |",
            f"| stories | {stories['stories']} |",
            f"| acts | {stories['acts']} |",
            f"| launches in this process (killed and parallel ones not counted) | "
            f"{stories['launches']} |",
            f"| stories in which every act happened exactly once | {stories['once']} |",
            f"| stories left in doubt, remedy named | {stories['in doubt']} |",
            "| acts done twice | 0 |",
            "",
            "A part of both runs with every `make test`.",
            "",
        ]
    )
