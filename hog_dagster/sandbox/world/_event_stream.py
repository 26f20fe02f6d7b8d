"""Very many events for HogQL, made as Arrow when the first query asks for them.

They are drawn from a seed, so the same stream always holds the same rows. Insights, cohorts and the
other endpoints do not see them.
"""

import json
import threading
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pyarrow as pa

_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")
_EVENTS = ("$pageview", "$pageleave", "$autocapture", "signed up", "trial started", "paid", "$set")
_PATHS = ("/", "/pricing", "/docs", "/docs/api", "/blog", "/signup", "/settings", "/caf\u00e9")
_BROWSERS = ("Chrome", "Safari", "Firefox", "Edge")
_PEOPLE = 50_000


class EventStream:
    """Events evenly spread over [start, end), of which at most `ties` share one microsecond."""

    def __init__(
        self, rows: int, *, start: datetime, end: datetime, ties: int = 10, seed: int = 1
    ) -> None:
        self.rows = rows
        self.start: datetime = start.astimezone(UTC)
        self.end: datetime = end.astimezone(UTC)
        self.ties = ties
        self.seed = seed
        self._lock = threading.Lock()

    def table(self) -> pa.Table:
        """The rows, in no order of time, with every column that HogQL knows."""
        with self._lock:
            return self._table

    @cached_property
    def _table(self) -> pa.Table:
        draw = np.random.default_rng(self.seed)
        people = draw.integers(0, _PEOPLE, self.rows)
        properties = [
            json.dumps(
                {
                    "$current_url": f"https://example.com{path}?ref={number}",
                    "$pathname": path,
                    "$browser": browser,
                    "$lib_version": f"1.{number}.0",
                    "plan": "free" if number % 3 else None,
                }
            )
            for path in _PATHS
            for browser in _BROWSERS
            for number in range(20)
        ]
        shown = draw.integers(0, len(properties), self.rows)
        ids = [f"user{number}@example.com" for number in range(_PEOPLE)]
        persons = _uuids(np.random.default_rng(self.seed + 1), _PEOPLE).to_pylist()
        nothing = pa.nulls(self.rows, _TEXT)
        times = pa.array(self._times(draw), pa.int64()).cast(_TIME)
        columns: dict[str, pa.Array] = {
            "uuid": _uuids(draw, self.rows),
            "event": _chosen(_EVENTS, draw.integers(0, len(_EVENTS), self.rows)),
            "properties": _chosen(properties, shown),
            "timestamp": times,
            "distinct_id": _chosen(ids, people),
            "elements_chain": _chosen(("",), np.zeros(self.rows)),
            "created_at": times,
            "$session_id": _chosen([f"session {n}" for n in range(_PEOPLE)], people),
            "$window_id": nothing,
            **{f"$group_{index}": nothing for index in range(5)},
            "person_id": _chosen(persons, people),
            "person_properties": _chosen(("{}",), np.zeros(self.rows)),
            "person_created_at": pa.nulls(self.rows, _TIME),
            **{f"group_{index}_properties": nothing for index in range(5)},
        }
        return pa.table(columns)

    def _times(self, draw: np.random.Generator) -> np.ndarray:
        """Microseconds since 1970; up to `ties` rows in a row share one, then all are shuffled."""
        first, last = (int(at.timestamp() * 1_000_000) for at in (self.start, self.end))
        sizes = draw.integers(1, self.ties + 1, self.rows)
        instants = int(np.searchsorted(np.cumsum(sizes), self.rows)) + 1
        at = first + np.arange(instants) * ((last - first) // instants)
        times = np.repeat(at, sizes[:instants])[: self.rows]
        return draw.permutation(times)


def _chosen(values: "list[str] | tuple[str, ...]", places: np.ndarray) -> pa.Array:
    indices = pa.array(places.astype(np.int32), pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, _TEXT))


def _uuids(draw: np.random.Generator, many: int) -> pa.Array:
    """UUIDs as text."""
    digits = np.frombuffer(draw.bytes(16 * many).hex().encode(), np.uint8).reshape(many, 32)
    text = np.full((many, 36), ord("-"), np.uint8)
    place = 0
    for start, width in ((0, 8), (9, 4), (14, 4), (19, 4), (24, 12)):
        text[:, start : start + width] = digits[:, place : place + width]
        place += width
    ends = np.arange(0, 36 * (many + 1), 36, dtype=np.int32)
    return pa.Array.from_buffers(
        _TEXT, many, [None, pa.py_buffer(ends), pa.py_buffer(text.tobytes())]
    )
