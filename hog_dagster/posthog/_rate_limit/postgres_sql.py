"""The statements of the PostgreSQL store: its tables, the giving out of places, and changes.

Facts: a statement sees what was committed before it began, so the row of the bucket is locked by
one statement and the windows are read by the next. All names are hashes and all numbers our own, so
that values stand in the text: several statements with bound values cannot go in one round trip. In
all of them ``name`` is a bucket's, ``key`` that of key and host, ``now`` the present in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hog_dagster.posthog._rate_limit.windows import (
    IN_FLIGHT_S,
    LONGEST_HOLD_S,
    RESERVE_S,
    Rate,
)

LIMITS = "hog_dagster_rate_limits"
REQUESTS = "hog_dagster_rate_limit_requests"
MACHINES = "hog_dagster_rate_limit_machines"
QUERIES = "hog_dagster_queries_under_way"
#: The slot whose time says until when one query at a time is sent.
_CAREFUL = -1
#: Any number, the same in every process: serialises the making of the tables.
_SETUP_LOCK = 7_040_621_174
#: Requests further ahead were written before the database's clock was set back.
_AHEAD_S = RESERVE_S + IN_FLIGHT_S
#: Seconds after which a machine that was not seen does not count any more.
SEEN_S = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """A place that was asked for; its moment is by the database's clock, and ``certain`` if it
    holds whatever becomes of the requests under way; ``rate`` makes it wait until then."""

    number: int
    at: float
    certain: bool
    given: bool
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known after places were asked for: the database's present, until when PostHog asked
    to send nothing, when a smaller limit was seen (0: never), how many machines used the key
    lately, and the places in their order."""

    now: float
    hold_until: float
    learned_at: float
    machines: int
    places: list[Place]


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


def take(
    name: str,
    key: str,
    rates: Sequence[Rate],
    *,
    places: int,
    needed: int,
    within: float,
    now: str,
) -> str:
    """Give out places, one row for each that was asked for; read by :func:`read_seen`.

    The rule is that of :func:`~hog_dagster.posthog._rate_limit.windows.next_moment`: the n-th place
    from now on may be used when the request that is then the oldest of a full window left it. Each
    rate allows at least ``places`` requests. Those beyond the ``needed``, which are waited for, are
    given only if they are free now, and none whose moment is more than ``within`` seconds ahead.
    """
    window, joined, free, final = [], [], [], []
    for index, rate in enumerate(rates):
        window.append(
            f"w{index} AS MATERIALIZED (SELECT sent_from, counted_by, settled, "
            f"{places} + 1 - row_number() OVER (ORDER BY counted_by DESC) AS place "
            f"FROM (SELECT sent_from, counted_by, settled FROM {REQUESTS}, clock "
            f"WHERE name = '{name}' AND counted_by < now + {_AHEAD_S} "
            f"ORDER BY counted_by DESC OFFSET {rate.requests - places} LIMIT {places}) AS newest)"
        )
        joined.append(f"LEFT JOIN w{index} USING (place)")
        sure = f"(w{index}.settled OR w{index}.counted_by <= now)"
        free.append(
            f"coalesce(CASE WHEN {sure} THEN w{index}.counted_by ELSE w{index}.sent_from END "
            f"+ {rate.seconds!r}, now) AS free{index}"
        )
        final.append(
            f"coalesce(CASE WHEN {sure} THEN 0 ELSE w{index}.counted_by + {rate.seconds!r} END, 0) "
            f"AS late{index}"
        )
    all_free = ", ".join(f"free{index}" for index in range(len(rates)))
    all_late = ", ".join(f"late{index}" for index in range(len(rates)))
    which = " ".join(f"WHEN free{index} = moment THEN {index}" for index in range(len(rates)))
    return (
        f"WITH clock AS MATERIALIZED (SELECT {now} AS now), {', '.join(window)}, "
        "entries AS (SELECT now, taken, hold_until, learned_at, place, CASE "
        f"WHEN hold_until > now AND hold_until - now <= {LONGEST_HOLD_S} THEN hold_until "
        f"ELSE now END AS held, {', '.join(free)}, {', '.join(final)} "
        f"FROM {LIMITS} CROSS JOIN clock CROSS JOIN generate_series(1, {places}) AS place "
        f"{' '.join(joined)} WHERE name = '{name}'), "
        f"moments AS (SELECT *, greatest(held, {all_free}) AS moment FROM entries), "
        f"judged AS (SELECT *, greatest({all_late}) <= moment AS certain FROM moments), "
        "places AS (SELECT *, bool_and(certain "
        f"AND moment <= now + {within!r} AND (place <= {needed} OR moment <= now)) "
        "OVER (ORDER BY place) AS given FROM judged), "
        f"added AS (INSERT INTO {REQUESTS} (name, number, sent_from, counted_by, settled) "
        f"SELECT '{name}', taken + place, moment, moment + {IN_FLIGHT_S}, false "
        "FROM places WHERE given RETURNING 1), "
        f"counted AS (UPDATE {LIMITS} SET taken = taken + (SELECT count(*) FROM added) "
        f"WHERE name = '{name}') "
        "SELECT now, hold_until, learned_at, "
        f"(SELECT count(*) FROM {MACHINES} WHERE name = '{key}' AND seen_at > now - {SEEN_S}), "
        f"taken + place, moment, certain, given, CASE WHEN moment > held THEN CASE {which} END END "
        "FROM places ORDER BY place"
    )


def read_seen(rows: Sequence[Sequence[Any]], rates: Sequence[Rate]) -> Seen:
    """The rows that :func:`take` gives."""
    places = [
        Place(int(row[4]), float(row[5]), row[6], row[7], None if row[8] is None else rates[row[8]])
        for row in rows
    ]
    first = rows[0]
    return Seen(float(first[0]), float(first[1]), float(first[2]), int(first[3]), places)


def add(name: str, ago: Iterable[float], now: str) -> str:
    """Add requests that the server counted; `ago` is the age of each, in seconds."""
    listed = ", ".join(repr(seconds) for seconds in ago)
    return (
        f"WITH clock AS MATERIALIZED (SELECT {now} AS now), "
        f"added AS (INSERT INTO {REQUESTS} (name, number, sent_from, counted_by, settled) "
        f"SELECT '{name}', taken + number, now - ago, now - ago, true FROM {LIMITS}, clock, "
        f"unnest(ARRAY[{listed}]::float8[]) WITH ORDINALITY AS sent (ago, number) "
        f"WHERE name = '{name}' RETURNING 1) "
        f"UPDATE {LIMITS} SET taken = taken + (SELECT count(*) FROM added) WHERE name = '{name}'"
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
    """Send nothing for a number of seconds; a hold that ends later stays."""
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


def count(name: str, seconds: float, now: str) -> str:
    """Requests of the last ``seconds``."""
    return (
        f"WITH clock AS MATERIALIZED (SELECT {now} AS now) SELECT count(*) "
        f"FROM {REQUESTS}, clock WHERE name = '{name}' AND counted_by > clock.now - {seconds!r} "
        f"AND counted_by < clock.now + {_AHEAD_S}"
    )


def make_queries() -> str:
    """Make the table of queries under way, if it is not there."""
    return (
        f"SELECT pg_advisory_xact_lock({_SETUP_LOCK}); "
        f"CREATE TABLE IF NOT EXISTS {QUERIES} (name text NOT NULL, slot integer NOT NULL, "
        "holder text NOT NULL, until double precision NOT NULL, PRIMARY KEY (name, slot))"
    )


def lock_queries(key: str) -> str:
    """Take turns with all others that begin a query, until the transaction ends."""
    return f"SELECT pg_advisory_xact_lock(hashtextextended('{key}-queries', 0))"


def take_query(key: str, holder: str, most: int, seconds: float, now: str) -> str:
    """Begin a query in the first slot that is free (of one while everybody is careful); gives the
    slot, or nothing. After these seconds it is free again, whatever became of the holder."""
    return (
        f"WITH clock AS MATERIALIZED (SELECT {now} AS now), held AS (SELECT slot FROM {QUERIES}, "
        f"clock WHERE name = '{key}' AND until > now AND until < now + 3600), "
        f"few AS (SELECT CASE WHEN EXISTS (SELECT 1 FROM held WHERE slot = {_CAREFUL}) THEN 1 "
        f"ELSE {most} END AS most), free AS (SELECT min(slot) AS slot FROM few, "
        "generate_series(0, most - 1) AS slot WHERE slot NOT IN (SELECT slot FROM held)) "
        f"INSERT INTO {QUERIES} (name, slot, holder, until) "
        f"SELECT '{key}', slot, '{holder}', now + {seconds!r} FROM free, clock "
        "WHERE slot IS NOT NULL ON CONFLICT (name, slot) DO UPDATE "
        "SET holder = excluded.holder, until = excluded.until RETURNING slot"
    )


def end_query(key: str, holder: str) -> str:
    """The query is over."""
    return f"DELETE FROM {QUERIES} WHERE name = '{key}' AND holder = '{holder}'"


def be_careful(key: str, seconds: float, now: str) -> str:
    """Allow one query at a time for a number of seconds."""
    return (
        f"INSERT INTO {QUERIES} (name, slot, holder, until) "
        f"VALUES ('{key}', {_CAREFUL}, '', {now} + {seconds!r}) "
        "ON CONFLICT (name, slot) DO UPDATE SET until = excluded.until"
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
