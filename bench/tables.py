"""What is measured together, and how it is shown: one table for each question."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from bench.measure import Bench, Medians
from bench.night import Night, Nights

__all__ = [
    "CheckOutcome",
    "event_verdicts",
    "events",
    "latency",
    "markdown",
    "memory",
    "nights",
    "requests",
    "throughput",
    "verdict_table",
    "verdicts",
]

DELAY = 0.2
WORKFLOWS = 20
#: Rows of each workflow over the slow link.
SLOW_LINK_ROWS = 1_800
#: Rows of one instant, whether always that many, and requests per 500 rows that are allowed.
TIES = ((10, False, 1.05), (400, False, 1.5), (250, True, None))

NAMES = {
    "raw": "raw limit: httpx + orjson, rows thrown away",
    "read": "hog_dagster, rows read, masked, thrown away",
    "duckdb": "hog_dagster into DuckDB",
    "postgres": "hog_dagster into PostgreSQL",
    "chain": "httpx + orjson + Arrow + DuckDB, by hand",
    "duckdb_pandas": "dagster-duckdb-pandas' IO manager",
    "dlt_parquet": "dlt rest_api into DuckDB, parquet",
    "dlt_default": "dlt rest_api into DuckDB, default",
}
OURS = ("read", "duckdb", "postgres")
EVENT_NAMES = {
    "events_raw": "raw limit: the same responses by httpx + orjson, thrown away",
    "events_read": "hog_dagster, rows as Arrow, thrown away",
    "events_duckdb": "hog_dagster into DuckDB",
    "events_postgres": "hog_dagster into PostgreSQL",
}

CheckOutcome = tuple[str, str, str, bool]
"""What is asked for, how much, what was measured, whether that is enough."""


def _table(title: str, *headers: str) -> Table:
    table = Table(title=title)
    for n, header in enumerate(headers):
        table.add_column(header, justify="right" if n else "left")
    return table


def throughput(bench: Bench, rows: Mapping[str, int]) -> tuple[Table, Medians]:
    """Rows a second of every case, and how they compare; ``rows`` says how many each reads."""
    cases = {
        name: {"case": name, "workflows": [f"t10-{number}"], "workers": 8}
        for name, number in rows.items()
    }
    found = bench.medians(cases)
    rates = {name: rows[name] / found[name]["seconds"] for name in found}
    table = _table(
        f"{rows['raw']:,} log rows over HTTP, medians of {bench.rounds}",
        *("", "rows/s", "of the raw limit", "by CPU", "DuckDB is", "peak MB", "requests"),
    )
    for name, figures in found.items():
        fewer = f" ({rows[name]:,} rows)" if rows[name] != rows["raw"] else ""
        table.add_row(
            NAMES[name] + fewer,
            f"{rates[name]:,.0f}",
            f"{rates[name] / rates['raw']:.2f}",
            f"{_by_cpu(found, rows, name):.2f}",
            f"{rates['duckdb'] / rates[name]:.1f} x",
            f"{figures['peak_mb']:.0f}",
            f"{figures['requests']:.0f}" if figures["requests"] else "",
        )
    return table, found


def _by_cpu(found: Medians, rows: Mapping[str, int], name: str) -> float:
    """CPU time of the process per row: what else runs on the machine disturbs it less."""
    return (found["raw"]["cpu"] / rows["raw"]) / (found[name]["cpu"] / rows[name])


def memory(few: Medians, many: Medians, rows: tuple[int, int]) -> Table:
    """The peak of memory at few rows and at many."""
    table = _table(
        "Peak memory of the process (MB)", "", f"{rows[0]:,} rows", f"{rows[1]:,} rows", "more"
    )
    for case in OURS:
        less, most = few[case]["peak_mb"], many[case]["peak_mb"]
        table.add_row(NAMES[case], f"{less:.0f}", f"{most:.0f}", f"{most / less - 1:+.0%}")
    return table


def requests(bench: Bench, rows: int) -> tuple[Table, dict[int, float]]:
    """Requests used per row count, by how many rows share an instant."""
    table = _table(
        f"Requests for {rows:,} rows (at 500 a page: {-(-rows // 500):,})",
        *("rows of one instant", "requests", "of rows / 500", "at most"),
    )
    ratios: dict[int, float] = {}
    for ties, always, most in TIES:
        id = f"{'a' if always else 't'}{ties}-{rows}"
        used = bench.once("read", [id])["requests"]
        ratios[ties] = (used - 2) / (rows / 500)
        table.add_row(
            f"{'always' if always else 'up to'} {ties}",
            f"{used:,}",
            f"{ratios[ties]:.2f}",
            f"{most:.2f}" if most else "",
        )
    return table, ratios


def latency(bench: Bench) -> tuple[Table, Medians]:
    """Many workflows over a slow link, one after another and as the asset reads them."""
    workflows = [f"s{n}-{SLOW_LINK_ROWS}" for n in range(WORKFLOWS)]
    slow: dict[str, Any] = {
        "case": "read",
        "workflows": workflows,
        "url": f"{bench.url}/delayed-{DELAY}",
        "paced": True,
    }
    found = bench.medians(
        {
            "one after another": {**slow, "workers": 1},
            "eight at a time": {**slow, "workers": 8},
        }
    )
    first = found["one after another"]["seconds"]
    table = _table(
        f"{WORKFLOWS} workflows, {DELAY * 1000:.0f} ms added to every response, paced, medians of "
        f"{bench.rounds}",
        *("", "seconds", "of one after another", "requests", "peak MB"),
    )
    for label, figures in found.items():
        table.add_row(
            label,
            f"{figures['seconds']:.1f}",
            f"{figures['seconds'] / first:.2f}",
            f"{figures['requests']:.0f}",
            f"{figures['peak_mb']:.0f}",
        )
    return table, found


def nights(measured: Nights) -> Table:
    """What a night takes, by HogQL and by REST."""
    table = _table(
        "A night: 1,000 workflows of 6 steps (20 send batches), 300 hog functions, 20 insights, 3 "
        "group types; a day refreshed",
        *("", "requests", "snapshots", "insights", "partitions", "minutes", "processes", "opens"),
    )
    for place, night in enumerate(measured.hogql, 1):
        _add_night(table, f"by HogQL, night {place}", night)
    _add_night(table, "by REST, every workflow ran (virtual clock)", measured.rest)
    _add_night(table, "by REST, half did not (virtual clock)", measured.half)
    return table


def _add_night(table: Table, label: str, night: Night) -> None:
    table.add_row(
        label,
        f"{night.total:,}",
        *(f"{night.requests[job]:,}" for job in ("snapshots", "insight_results", "partitions")),
        f"{night.seconds / 60:.1f}",
        f"{night.processes}",
        f"{night.opens}",
    )


def events(bench: Bench, url: str, rows: int) -> tuple[Table, Medians]:
    """A day's events by a query: rows a second, memory and requests, at all rows and at a tenth."""
    few = rows // 10
    cases: dict[str, dict[str, Any]] = {
        f"{name}/{number}": {"case": name, "workflows": [f"events-{number}-{rows}"], "url": url}
        for number in (few, rows)
        for name in EVENT_NAMES
    }
    # What hog_dagster asks is asked first: the raw limit asks the same.
    for number in (few, rows):
        bench.once(**cases[f"events_read/{number}"])
    found = bench.medians(cases, exact=False)
    table = _table(
        f"{rows:,} events by a query, medians of {bench.rounds}",
        *("", "rows/s", "of the raw limit", "by CPU", "peak MB", f"at {few:,}", "requests"),
    )
    raw = found[f"events_raw/{rows}"]
    for name, said in EVENT_NAMES.items():
        figures, less = found[f"{name}/{rows}"], found[f"{name}/{few}"]
        table.add_row(
            said,
            f"{rows / figures['seconds']:,.0f}",
            f"{raw['seconds'] / figures['seconds']:.2f}",
            f"{raw['cpu'] / figures['cpu']:.2f}",
            f"{figures['peak_mb']:.0f}",
            f"{less['peak_mb']:.0f}",
            f"{figures['requests']:.0f}",
        )
    return table, found


def event_verdicts(found: Medians, rows: int) -> list[CheckOutcome]:
    """What this package sets itself for queries, beside what was measured in this run."""
    raw, ours = found[f"events_raw/{rows}"], found[f"events_duckdb/{rows}"]
    read, less = found[f"events_read/{rows}"], found[f"events_duckdb/{rows // 10}"]
    most = rows / 50_000 + 2
    said: list[CheckOutcome] = []
    for what, figures in (("read", read), ("DuckDB", ours)):
        ratio = raw["seconds"] / figures["seconds"]
        said.append(
            (f"events, {what}, of the raw limit", "at least 0.60", f"{ratio:.2f}", ratio >= 0.6)
        )
    said.append(
        (
            "events, requests",
            f"at most {most:.0f}",
            f"{ours['requests']:.0f}",
            ours["requests"] <= most,
        )
    )
    said.append(("events, rows", f"{rows:,}", f"{ours['rows']:,.0f}", ours["rows"] == rows))
    more = 100 * (ours["peak_mb"] / less["peak_mb"] - 1)
    said.append(("events, growth of memory", "at most 20 %", f"{more:.0f} %", more <= 20))
    return said


def verdicts(
    few: Medians | None,
    many: Medians | None,
    ratios: Mapping[int, float] | None,
    slow: Medians | None,
    rows: Mapping[str, int],
    measured: Nights | None = None,
) -> list[CheckOutcome]:
    """What this package sets itself, beside what was measured in this run."""
    said: list[CheckOutcome] = []

    def least(what: str, wanted: float, found: float, form: str) -> None:
        said.append((what, f"at least {form % wanted}", form % found, found >= wanted))

    def most(what: str, wanted: float, found: float, form: str) -> None:
        said.append((what, f"at most {form % wanted}", form % found, found <= wanted))

    if few:
        rates = {name: rows[name] / figures["seconds"] for name, figures in few.items()}
        least("DuckDB, of the raw limit", 0.5, rates["duckdb"] / rates["raw"], "%.2f")
        least("PostgreSQL, of the raw limit", 0.45, rates["postgres"] / rates["raw"], "%.2f")
        if "dlt_default" in rates:
            least("DuckDB, over dlt default", 20, rates["duckdb"] / rates["dlt_default"], "%.0f x")
            least("DuckDB, over dlt parquet", 4, rates["duckdb"] / rates["dlt_parquet"], "%.1f x")
    if few and many:
        for case, name in (("duckdb", "DuckDB"), ("postgres", "PostgreSQL")):
            peak = many[case]["peak_mb"]
            most(f"peak memory into {name}, large case", 250, peak, "%.0f MB")
            more = 100 * (peak / few[case]["peak_mb"] - 1)
            most(f"its growth from the small case ({name})", 20, more, "%.0f %%")
    if ratios:
        for ties, _, allowed in TIES:
            if allowed:
                most(f"requests of rows / 500, ties up to {ties}", allowed, ratios[ties], "%.2f")
    if slow:
        taken = slow["eight at a time"]["seconds"] / slow["one after another"]["seconds"]
        most("20 workflows over a slow link, of one after another", 0.2, taken, "%.2f")
    if measured:
        worst = max(measured.hogql, key=lambda night: night.total)
        most("a night by HogQL, requests", 80, worst.total, "%.0f")
        longest = max(night.seconds for night in measured.hogql)
        most("a night by HogQL, minutes", 3, longest / 60, "%.1f")
        most("a night by REST, requests", 9_100, measured.rest.total, "%.0f")
        most("a night by REST, half idle, requests", 4_600, measured.half.total, "%.0f")
    return said


def verdict_table(said: Sequence[CheckOutcome]) -> Table:
    """The outcomes as a table."""
    table = _table("What is asked for", "", "wanted", "measured", "reached")
    for what, wanted, found, enough in said:
        table.add_row(what, wanted, found, "yes" if enough else "NO")
    return table


def markdown(table: Table) -> str:
    """A table in Markdown, its title in front."""
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    headers = [str(column.header) for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    lines = [headers, rules, *zip(*columns, strict=True)]
    return f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
