"""The benchmark's cases read every row, whatever is renamed in what they are made of."""

import threading
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from rich.table import Table

from bench import __main__ as bench
from bench import log_server, query_server, tables
from bench.cases import CASES, Task
from bench.log_server import LogSpec
from bench.night import Night, Nights, VirtualClock
from bench.tables import verdict_table, verdicts


@pytest.fixture(scope="module")
def url():
    """A log server in a thread, for as long as the process lives."""
    ports: list[int] = []
    told = threading.Event()

    def listening(port: int) -> None:
        ports.append(port)
        told.set()

    specs = [LogSpec("t10-1200", 1_200, 10), LogSpec("a250-1000", 1_000, 250, always=True)]
    threading.Thread(
        target=log_server.serve, args=(specs,), kwargs={"ready": listening}, daemon=True
    ).start()
    assert told.wait(30)
    return f"http://127.0.0.1:{ports[0]}"


@pytest.mark.parametrize("name", ["raw", "read", "duckdb", "postgres", "chain"])
def test_a_case_reads_every_row(name, url, postgres_url, tmp_path):
    rows, requests = CASES[name](Task(url, ["t10-1200"], postgres_url, str(tmp_path)))
    assert (rows, requests) == (1_200, 3)


def test_ties_of_half_a_page_cost_a_request_for_each(url, tmp_path):
    task = Task(url, ["a250-1000"], "", str(tmp_path))
    assert CASES["read"](task) == (1_000, 4)
    assert asdict(task)["workers"] == 8


def test_tables_are_written_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Speed\n\n<!-- tables: by us -->\nold\n<!-- /tables -->\n\nThe end.\n")
    said = verdicts(None, None, {10: 1.04, 400: 1.6}, None, {})
    assert [enough for *_, enough in said] == [True, False]
    other = Table("", "rows/s", title="Rates")
    other.add_row("ours", "1")
    for _ in range(2):
        bench.write(page, "Today", [verdict_table(said), other])
    text = page.read_text()
    assert text.startswith("# Speed\n\n<!-- tables: by us -->\n\nToday\n\n**What is asked for**")
    assert "| requests of rows / 500, ties up to 400 | at most 1.50 | 1.60 | NO |\n" in text
    assert text.endswith("| ours | 1 |\n\n<!-- /tables -->\n\nThe end.\n")
    assert "old" not in text


def test_nights_are_shown_beside_what_is_asked_for():
    def night(requests: int) -> Night:
        parts = {"snapshots": requests - 2, "insight_results": 1, "partitions": 1}
        return Night(parts, 0, 90.0, 3, 40, [])

    measured = Nights([night(79), night(81)], night(9_000), night(4_700))
    said = verdicts(None, None, None, None, {}, measured)
    assert [(found, enough) for _, _, found, enough in said] == [
        ("81", False),
        ("1.5", True),
        ("9000", True),
        ("4700", False),
    ]
    text = tables.markdown(tables.nights(measured))
    assert "| by HogQL, night 2 | 81 | 79 | 1 | 1 | 1.5 | 3 | 40 |" in text


def test_those_who_sleep_at_once_on_the_virtual_clock_sleep_together():
    clock = VirtualClock(datetime(2026, 11, 20, tzinfo=UTC))
    for _ in range(2):
        clock.sleep(30)
    assert clock.monotonic() == 60
    assert clock.now() == datetime(2026, 11, 20, 0, 1, tzinfo=UTC)


def test_a_page_without_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Speed\n")
    with pytest.raises(SystemExit, match="has no marks"):
        bench.write(page, "Today", [])


def test_the_cases_of_queries_read_every_event(postgres_url, tmp_path):
    ports: list[int] = []
    told = threading.Event()

    def listening(port: int) -> None:
        ports.append(port)
        told.set()

    threading.Thread(
        target=query_server.serve, args=(3_001,), kwargs={"ready": listening}, daemon=True
    ).start()
    assert told.wait(30)
    task = Task(f"http://127.0.0.1:{ports[0]}", ["events-3001-3001"], postgres_url, str(tmp_path))
    for name in ("events_read", "events_raw", "events_duckdb", "events_postgres"):
        assert CASES[name](task) == (3_001, 1), name
