"""The walk over time: every row once, whatever ties, clamps, duplicates and late rows there are."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.posthog._pagination.time_walk import FullInstant, PageSizes, walk

Row = tuple[int, int]  # tick, which row of that tick


class Ticks:
    """A page of rows as the walk sees them."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def newest(self) -> int:
        return self.rows[0][0]

    @property
    def oldest(self) -> int:
        return self.rows[-1][0]

    def newer(self) -> "Ticks":
        return Ticks([row for row in self.rows if row[0] > self.oldest])


class Log:
    """What the server holds; ties come in another order each time."""

    def __init__(self, ties: list[int], clamp: int, seed: int) -> None:
        self.rows = [(tick, n) for tick, size in enumerate(ties) for n in range(size)]
        self.clamp = clamp
        self.random = random.Random(seed)
        self.late: list[Row] = []
        self.asked = 0

    def fetch(self, first: int, last: int) -> Ticks:
        self.asked += 1
        rows = [row for row in self.rows if first <= row[0] <= last]
        rows.sort(key=lambda row: (-row[0], self.random.random()))
        if self.late:
            self.rows.append(self.late.pop())
        return Ticks(rows[: self.clamp])


def read(log: Log, first: int, last: int, limit: int, sizes: PageSizes | None = None) -> list[Row]:
    dense: list[FullInstant] = []

    def split(instant: FullInstant, page: Ticks) -> list[Ticks]:
        dense.append(instant)
        return [Ticks([row for row in log.rows if row[0] == instant.tick])]

    pages = walk(
        log.fetch,
        Ticks.newer,
        lambda instant, page: iter(split(instant, page)),
        first=first,
        last=last,
        limit=limit,
        sizes=sizes or PageSizes(),
    )
    return [row for page in pages for row in page.rows]


TIES = st.lists(st.integers(0, 12), max_size=30)


@settings(max_examples=300, deadline=None)
@given(ties=TIES, limit=st.integers(2, 10), seed=st.integers(0, 9_999), data=st.data())
def test_every_row_of_the_window_once_and_none_from_outside(
    ties: list[int], limit: int, seed: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, max(0, len(ties) - 1)))
    last = data.draw(st.integers(first, len(ties)))
    log = Log(ties, clamp=limit, seed=seed)
    rows = read(log, first, last, limit)
    wanted = [row for row in log.rows if first <= row[0] <= last]
    assert Counter(rows) == Counter(wanted)
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)


@settings(max_examples=200, deadline=None)
@given(
    ties=st.lists(st.integers(0, 40), max_size=20),
    clamp=st.sampled_from([50, 100, 250]),
    limit=st.integers(251, 500),
    seed=st.integers(0, 9_999),
)
def test_a_server_that_clamps_the_page_loses_nothing(
    ties: list[int], clamp: int, limit: int, seed: int
) -> None:
    """Ties smaller than the clamp: larger ones cannot be told from a whole instant."""
    log, sizes = Log(ties, clamp=clamp, seed=seed), PageSizes()
    for _ in range(2):
        assert Counter(read(log, 0, len(ties), limit, sizes)) == Counter(log.rows)


@settings(max_examples=200, deadline=None)
@given(
    ties=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    limit=st.integers(3, 10),
    seed=st.integers(0, 9_999),
    data=st.data(),
)
def test_rows_that_arrive_meanwhile_hide_none_and_double_none(
    ties: list[int], limit: int, seed: int, data: st.DataObject
) -> None:
    log = Log(ties, clamp=limit, seed=seed)
    there = set(log.rows)
    log.late = [
        (data.draw(st.integers(0, len(ties) - 1)), 1_000 + n)
        for n in range(data.draw(st.integers(0, 8)))
    ]
    rows = read(log, 0, len(ties), limit)
    assert len(rows) == len(set(rows))
    assert set(rows) >= there


@settings(max_examples=100, deadline=None)
@given(ties=st.lists(st.integers(0, 10), max_size=400), seed=st.integers(0, 9_999))
def test_small_ties_cost_hardly_more_requests_than_full_pages(ties: list[int], seed: int) -> None:
    log = Log(ties, clamp=500, seed=seed)
    rows = read(log, 0, len(ties), 500)
    assert len(rows) == len(log.rows)
    assert log.asked <= 1.05 * len(rows) / 500 + 2


def test_a_page_shorter_than_asked_is_the_last_one() -> None:
    for rows in (0, 1, 7, 499):
        log = Log([1] * rows, clamp=500, seed=1)
        assert len(read(log, 0, 500, 500)) == rows
        assert log.asked == 1


def test_a_round_number_of_rows_may_be_a_cap_until_longer_pages_were_seen() -> None:
    sizes, log = PageSizes(), Log([1] * 100, clamp=500, seed=1)
    read(log, 0, 100, 500, sizes)
    assert log.asked == 2  # A hundred rows: all there are, or all the server gives at once?
    read(Log([1] * 101, clamp=500, seed=1), 0, 101, 500, sizes)
    again = Log([1] * 100, clamp=500, seed=1)
    read(again, 0, 100, 500, sizes)
    assert again.asked == 1
