"""The statements of the PostgreSQL store: its tables, one look at the windows, and changes.

Facts: a statement sees what was committed before it began, so the row of the bucket is locked by
one statement and the windows are read by the next. All names are hashes and all numbers our own, so
that values stand in the text: several statements with bound values cannot go in one round trip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hog_dagster.posthog._rate_limit.windows import IN_FLIGHT_S, RESERVE_S, Entry, Rate

__all__ = [
    "Seen",
    "add_bucket",
    "add_requests",
    "clean",
    "count",
    "create",
    "give_back",
    "hold",
    "learn",
    "lock",
    "look",
    "read_seen",
    "see_machine",
    "settle",
    "state",
    "taken",
]

LIMITS = "hog_dagster_rate_limits"
REQUESTS = "hog_dagster_rate_limit_requests"
MACHINES = "hog_dagster_rate_limit_machines"
#: Any number, the same in every process: serialises the making of the tables.
_SETUP_LOCK = 7_040_621_174
#: Requests further ahead were written before the database's clock was set back.
_AHEAD_S = RESERVE_S + IN_FLIGHT_S
#: Seconds after which a machine that was not seen does not count any more.
SEEN_S = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look shows.

    Attributes:
        now: the database's present.
        taken: places given out so far.
        hold_until: until then PostHog asked to send nothing.
        learned_at: when a smaller limit was seen, 0 if never.
        machines: how many machines used the key lately.
        newest: per rate the newest requests, by ``counted_by``, the ones before them left out.
    """

    now: float
    taken: int
    hold_until: float
    learned_at: float
    machines: int
    newest: list[list[Entry]]


def create() -> str:
    """Make the tables, if they are not there."""
    return (
        f"SELECT pg_advisory_xact_lock({_SETUP_LOCK}); "
        f"CREATE TABLE IF NOT EXISTS {LIMITS} (name text PRIMARY KEY, "
        "taken bigint NOT NULL DEFAULT 0, hold_until double precision NOT NULL DEFAULT 0, "
        "learned_at double precision NOT NULL DEFAULT 0); "
        f"CREATE TABLE IF NOT EXISTS {REQUESTS} (name text NOT NULL, number bigint NOT NULL, "
        "sent_from double precision NOT NULL, counted_by double precision NOT NULL, "
        "settled boolean NOT NULL, PRIMARY KEY (name, number)); "
        f"CREATE INDEX IF NOT EXISTS {REQUESTS}_counted ON {REQUESTS} (name, counted_by); "
        f"CREATE TABLE IF NOT EXISTS {MACHINES} (name text NOT NULL, machine text NOT NULL, "
        "seen_at double precision NOT NULL, PRIMARY KEY (name, machine))"
    )


def add_bucket(name: str) -> str:
    """Make the bucket's row, if it is not there."""
    return f"INSERT INTO {LIMITS} (name) VALUES ('{name}') ON CONFLICT DO NOTHING"


def lock(name: str) -> str:
    """Take turns with all others that use the bucket, until the transaction ends."""
    return f"SELECT 1 FROM {LIMITS} WHERE name = '{name}' FOR UPDATE"


def look(name: str, key: str, rates: Sequence[Rate], places: int, now: str) -> str:
    """One row with all that is needed to give out ``places`` places; read by :func:`read_seen`."""
    newest = "".join(
        ", (SELECT json_agg(json_build_array(sent_from, counted_by, settled) "
        "ORDER BY counted_by DESC)::text "
        f"FROM (SELECT sent_from, counted_by, settled FROM {REQUESTS} WHERE name = '{name}' "
        f"AND counted_by < (SELECT now FROM clock) + {_AHEAD_S} "
        f"ORDER BY counted_by DESC OFFSET {rate.requests - places} LIMIT {places}) AS newest)"
        for rate in rates
    )
    return (
        f"WITH clock AS MATERIALIZED (SELECT {now} AS now) "
        "SELECT clock.now, taken, hold_until, learned_at, "
        f"(SELECT count(*) FROM {MACHINES} WHERE name = '{key}' "
        f"AND seen_at > clock.now - {SEEN_S}){newest} "
        f"FROM {LIMITS}, clock WHERE name = '{name}'"
    )


def read_seen(row: Sequence[Any]) -> Seen:
    """The row that :func:`look` gives."""
    newest = [
        [Entry(float(sent), float(counted), settled) for sent, counted, settled in json.loads(text)]
        if text
        else []
        for text in row[5:]
    ]
    return Seen(float(row[0]), int(row[1]), float(row[2]), float(row[3]), int(row[4]), newest)


def add_requests(name: str, last: int, rows: Iterable[Entry]) -> str:
    """Add requests, numbered from ``last`` + 1 on."""
    values = [
        f"('{name}', {number}, {row.sent_from!r}, {row.counted_by!r}, {str(row.settled).lower()})"
        for number, row in enumerate(rows, last + 1)
    ]
    return (
        f"INSERT INTO {REQUESTS} (name, number, sent_from, counted_by, settled) "
        f"VALUES {', '.join(values)}; "
        f"UPDATE {LIMITS} SET taken = {last + len(values)} WHERE name = '{name}'"
    )


def settle(name: str, counted: Iterable[tuple[int, float]]) -> str:
    """The server had counted these by then, and never later than was assumed."""
    values = ", ".join(f"({number}, {at!r}::float8)" for number, at in counted)
    return (
        f"UPDATE {REQUESTS} AS r SET settled = true, counted_by = least(r.counted_by, v.at) "
        f"FROM (VALUES {values}) AS v (number, at) "
        f"WHERE r.name = '{name}' AND r.number = v.number AND NOT r.settled"
    )


def give_back(name: str, numbers: Iterable[int]) -> str:
    """These are not sent."""
    listed = ", ".join(map(str, numbers))
    return f"DELETE FROM {REQUESTS} WHERE name = '{name}' AND number IN ({listed}) AND NOT settled"


def hold(name: str, seconds: float, now: str) -> str:
    """Send nothing for so long; a hold that ends later stays."""
    return (
        f"UPDATE {LIMITS} SET hold_until = greatest(hold_until, {now} + {seconds!r}) "
        f"WHERE name = '{name}'"
    )


def learn(name: str, now: str) -> str:
    """A smaller limit was seen now."""
    return f"UPDATE {LIMITS} SET learned_at = {now} WHERE name = '{name}'"


def state(name: str, now: str) -> str:
    """The present, the hold, and when a smaller limit was seen."""
    return f"SELECT {now}, hold_until, learned_at FROM {LIMITS} WHERE name = '{name}'"


def taken(name: str, now: str) -> str:
    """The present, and how many places were given out."""
    return f"SELECT {now}, taken FROM {LIMITS} WHERE name = '{name}'"


def count(name: str, seconds: float, now: str) -> str:
    """Requests of the last ``seconds``."""
    return (
        f"WITH clock AS MATERIALIZED (SELECT {now} AS now) SELECT count(*) "
        f"FROM {REQUESTS}, clock WHERE name = '{name}' AND counted_by > clock.now - {seconds!r} "
        f"AND counted_by < clock.now + {_AHEAD_S}"
    )


def see_machine(key: str, machine: str, now: str) -> str:
    """This machine uses the key now."""
    return (
        f"INSERT INTO {MACHINES} (name, machine, seen_at) VALUES ('{key}', '{machine}', {now}) "
        "ON CONFLICT (name, machine) DO UPDATE SET seen_at = excluded.seen_at"
    )


def clean(name: str, key: str, longest: float, now: str) -> str:
    """Forget what no window counts any more."""
    return (
        f"DELETE FROM {REQUESTS} WHERE name = '{name}' "
        f"AND counted_by < {now} - {longest + _AHEAD_S!r}; "
        f"DELETE FROM {MACHINES} WHERE name = '{key}' AND seen_at < {now} - 86400"
    )
