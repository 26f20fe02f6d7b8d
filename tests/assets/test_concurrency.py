"""Many sources become one stream: nothing lost, errors raised, readers stopped."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.assets._concurrency import interleave


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.integers(0, 30), st.lists(st.integers(), max_size=20), max_size=12),
    st.integers(1, 6),
    st.integers(1, 4),
)
def test_every_item_of_every_source_comes_once_and_in_its_order(sources, workers, buffered):
    seen: dict[int, list[int]] = {key: [] for key in sources}

    def read(key):
        return ((key, item) for item in sources[key])

    for key, item in interleave(list(sources), read, workers=workers, buffered=buffered):
        seen[key].append(item)
    assert seen == sources


def test_the_first_error_is_raised_and_readers_stop():
    stopped = threading.Event()

    def read(source):
        if source == "bad":
            raise RuntimeError("half a page")
        try:
            while True:
                yield source
        finally:
            stopped.set()

    with pytest.raises(RuntimeError, match="half a page"):
        for _ in interleave(["good", "bad"], read, workers=2, buffered=1):
            pass
    assert stopped.wait(5)


def test_a_consumer_that_stops_early_stops_the_readers():
    stopped = [threading.Event(), threading.Event()]

    def read(source):
        try:
            while True:
                yield source
        finally:
            stopped[source].set()

    stream = interleave([0, 1], read, workers=2, buffered=2)
    next(stream)
    stream.close()
    assert all(event.wait(5) for event in stopped)


def test_sources_are_read_at_the_same_time():
    both = threading.Barrier(2, timeout=10)

    def read(source):
        both.wait()
        yield source

    assert sorted(interleave(["a", "b"], read, workers=2)) == ["a", "b"]


def test_one_source_is_read_ahead_of_its_consumer():
    ahead = threading.Event()

    def read(source):
        yield 1
        ahead.set()
        yield 2

    stream = interleave(["a"], read)
    assert next(stream) == 1
    assert ahead.wait(10)
    assert list(stream) == [2]
