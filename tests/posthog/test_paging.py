"""Limit/offset lists are read whole while rows are added, edited, removed and shuffled."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import Asked, Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._pagination.lists import OffsetPages, read_all
from hog_dagster.sandbox import Sandbox


class EditedList:
    """A list ordered by last change, newest first; ties in an order of the moment's own."""

    def __init__(self, rows: int, clamp: int, ties: int, seed: int, counted: bool = True) -> None:
        self.random = random.Random(seed)
        self.rows = {n: n // ties for n in range(rows)}
        self.clamp = clamp
        self.counted = counted
        self.edits: list[str] = []
        self.next_id = rows
        self.pages = 0

    def fetch(self, limit: int, offset: int) -> dict[str, Any]:
        self.pages += 1
        ordered = sorted(self.rows, key=lambda n: (-self.rows[n], self.random.random()))
        results = [{"id": n} for n in ordered[offset : offset + min(limit, self.clamp)]]
        rest = len(ordered) > offset + len(results)
        if self.edits:
            self._edit(self.edits.pop(0))
        if self.counted:
            return {
                "count": len(ordered),
                "next": "http://elsewhere/x" if rest else None,
                "results": results,
            }
        return {"has_next": rest, "results": results}

    def _edit(self, what: str) -> None:
        newest = max(self.rows.values(), default=0) + 1
        if what == "add":
            self.rows[self.next_id] = newest
            self.next_id += 1
        elif what == "edit" and self.rows:
            self.rows[self.random.choice(sorted(self.rows))] = newest
        elif what == "remove" and self.rows:
            del self.rows[self.random.choice(sorted(self.rows))]


LISTS = {
    "rows": st.integers(0, 40),
    "clamp": st.integers(1, 12),
    "limit": st.integers(1, 12),
    "seed": st.integers(0, 10_000),
}


@settings(max_examples=200, deadline=None)
@given(**LISTS, edits=st.lists(st.sampled_from(["add", "edit", "none"]), max_size=4))
def test_rows_that_stay_are_read_once_whatever_moves(
    rows: int, clamp: int, limit: int, seed: int, edits: list[str]
) -> None:
    there = EditedList(rows, clamp, ties=1, seed=seed)
    there.edits = list(edits)
    read = [row["id"] for row in read_all(there.fetch, limit=limit)]
    assert len(read) == len(set(read))
    assert set(read) >= set(range(rows))


@settings(max_examples=100, deadline=None)
@given(**LISTS)
def test_a_quiet_list_costs_no_more_than_its_pages(
    rows: int, clamp: int, limit: int, seed: int
) -> None:
    there = EditedList(rows, clamp, ties=1, seed=seed)
    assert [row["id"] for row in read_all(there.fetch, limit=limit)] == list(range(rows))[::-1]
    assert there.pages == max(1, -(-rows // min(limit, clamp)))


@settings(max_examples=100, deadline=None)
@given(**LISTS, removals=st.integers(1, 3))
def test_rows_removed_while_reading_hide_no_others(
    rows: int, clamp: int, limit: int, seed: int, removals: int
) -> None:
    there = EditedList(rows, clamp, ties=1, seed=seed)
    there.edits = ["remove"] * removals
    read = [row["id"] for row in read_all(there.fetch, limit=limit)]
    assert len(read) == len(set(read))
    assert set(read) >= set(there.rows)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(0, 30), limit=st.integers(5, 12), seed=st.integers(0, 10_000))
def test_a_list_without_a_count_is_read_until_nothing_new_shows(
    rows: int, limit: int, seed: int
) -> None:
    there = EditedList(rows, 12, ties=1, seed=seed, counted=False)
    there.edits = ["remove"]
    read = [row["id"] for row in read_all(there.fetch, limit=limit)]
    assert len(read) == len(set(read))
    assert set(read) >= set(there.rows)


def test_ties_in_a_new_order_on_each_page_are_read_again_until_all_are_there() -> None:
    for seed in range(20):
        there = EditedList(12, clamp=4, ties=3, seed=seed)
        assert sorted(row["id"] for row in read_all(there.fetch, limit=4)) == list(range(12))


def test_a_list_that_never_settles_raises_and_does_not_pass() -> None:
    pages = OffsetPages(lambda row: row["id"])
    seen: list[Any] = []

    def read() -> None:
        while pages.offset is not None:
            same = [{"id": 1}, {"id": 2}]
            seen.extend(pages.take(same, count=5, has_next=True))

    with pytest.raises(errors.UnsettledList, match="2 rows were seen"):
        read()
    assert seen == [{"id": 1}, {"id": 2}]


def test_a_server_that_gives_the_same_page_for_ever_is_noticed_without_a_count() -> None:
    pages = OffsetPages(lambda row: row["id"], max_passes=3)
    asked = 0
    while pages.offset is not None:
        asked += 1
        pages.take([{"id": 1}, {"id": 2}], count=None, has_next=True)
    assert asked < 10


def test_the_next_link_is_never_followed() -> None:
    def page(asked: Asked) -> Reply:
        offset = int(asked.path.partition("offset=")[2] or 0)
        rows = [{"id": f"w{n}"} for n in range(offset, min(offset + 2, 5))]
        link = "http://169.254.0.1/steal?offset=1"
        return Reply(200, {"count": 5, "next": link, "previous": link, "results": rows})

    with (
        scripted(page) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        assert [row.id for row in client.workflows.list()] == ["w0", "w1", "w2", "w3", "w4"]
        assert [asked.path.partition("?")[2] for asked in server.asked] == [
            "limit=500",
            "limit=500&offset=2",
            "limit=500&offset=4",
        ]


def test_all_workflows_of_a_server_that_clamps_are_read_lazily() -> None:
    with (
        Sandbox("docs", populate=False, limits=False) as sandbox,
        PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client,
    ):
        made = {sandbox.world.add_workflow(f"Workflow {n}")["id"] for n in range(1_130)}
        rows = client.workflows.list()
        assert client.requests_made == 0
        next(rows)
        assert client.requests_made == 1
        assert len(made & {row.id for row in rows}) == 1_129
        assert client.requests_made <= 12
