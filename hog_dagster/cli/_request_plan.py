"""How many requests a project's refresh, backfill and sensors take, and what share of the limits.

Facts: PostHog counts requests by key and bucket; a page holds 500 workflows or insights, 100 hog
functions or groups, 500 lines or runs by REST, 50,000 rows by HogQL. What is computed here is what
the assets do when the catalogs were loaded within the hour, as the default schedules have it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: How rows are read.
Way = Literal["HogQL", "REST"]
#: Requests a day that PostHog's hourly limits let through, by bucket.
LIMITS_A_DAY: Mapping[str, int] = {
    "default": 24 * 4_800,
    "insights": 24 * 1_200,
    "query": 24 * 2_400,
}
_LIST, _SHORT_LIST, _ROWS, _QUERY_ROWS = 500, 100, 500, 50_000
#: Of a HogQL answer with more rows than this the rest is counted before it is read.
_MANY = _QUERY_ROWS // 2
#: Days that are read in one stretch at most, and without counting rows first.
_LONGEST, _AT_ONCE = 31, 3
#: Workflows or functions that the check `is_complete` counts again by REST.
_CHECKED = 10
_HOUR_TICKS = 12  # of a sensor that looks every five minutes


@dataclass(frozen=True)
class Requests:
    """Requests by the limit that they are charged to."""

    default: int = 0
    query: int = 0
    insights: int = 0

    @property
    def total(self) -> int:
        return self.default + self.query + self.insights

    @property
    def share(self) -> float:
        """The largest share of a limit's day that they use up."""
        counts = {"default": self.default, "query": self.query, "insights": self.insights}
        return max(count / LIMITS_A_DAY[bucket] for bucket, count in counts.items())

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(
            self.default + other.default,
            self.query + other.query,
            self.insights + other.insights,
        )

    def times(self, number: int) -> "Requests":
        """These requests, made `number` times."""
        return Requests(self.default * number, self.query * number, self.insights * number)


@dataclass(frozen=True)
class Line:
    """One line of a plan: a work, what it takes once, and how many times a day it is done."""

    what: str
    requests: Requests
    a_day: int = 1

    @property
    def day(self) -> Requests:
        return self.requests.times(self.a_day)


@dataclass(frozen=True)
class Project:
    """What decides how many requests a project takes."""

    workflows: int = 0  # those that are listed; what follows is of those that are chosen
    batch: int = 0  # those that send batches
    scheduled: int = 0  # those that can have schedules, the batch workflows among them
    ran: int = 0  # workflows that ran on the day; all where the server does not tell
    waiting: int = 0  # the others whose runs can wait for longer than an hour, uncounted
    steps: int = 0  # of those that are counted on their own
    failing: int = 0  # workflows that failed within a week, batch workflows included
    functions: int = 0  # hog functions that are listed; 0 where none are chosen
    live: int = 0  # those that can have rows: on PostHog's servers, and not switched off
    insights: int = 0  # saved insights
    results: int = 0  # those whose results are loaded
    groups: tuple[int, ...] = ()  # groups of each type, in the order of types
    rows: Mapping[str, int] = field(default_factory=dict)  # of a day, by table, where known
    run_results: bool = True  # whether the server keeps results of runs
    global_metrics: bool = True  # whether it tells which workflows ran
    batch_jobs: bool = True  # whether it lists batch jobs and schedules to the key
    chosen_insights: bool = True  # whether insights are read at all
    chosen_groups: bool = True


def refresh(project: Project, way: Way, *, days: int = 1) -> list[Line]:
    """What the default schedules' jobs take: snapshots every hour, the others once a day. The
    nightly job reads `days` partitions."""
    return [
        Line("catalogs and snapshots", _snapshots(project, way), 24),
        Line("results of insights", Requests(insights=_results(project))),
        Line(
            f"partitions of {days} day{'s' * (days != 1)}",
            _partitions(project, way, days) + _checks(project, way),
        ),
    ]


def backfill(
    project: Project, way: Way, days: int, *, tables: Iterable[str] = (), catalogs: bool = True
) -> Requests:
    """What `hog-dagster backfill` takes: a run per table and stretch. `catalogs` says whether the
    catalogs have been loaded since the days."""
    total = Requests()
    for name in tables or _TABLES:
        for start in range(0, days, _LONGEST):
            part = min(_LONGEST, days - start)
            total += of_run(project, way, name, part, catalogs=catalogs)
    return total


def of_run(project: Project, way: Way, table: str, days: int, *, catalogs: bool = True) -> Requests:
    """What one run of a backfill takes, which reads neighbouring days of one table."""
    if table in _MESSAGES:
        return _messages(project, table, days)
    if table not in _TABLES or (table.startswith("hog_function") and not project.functions):
        return Requests()
    one = _table(project, way, table, days)
    if way == "REST":
        # Each run has a client of its own, which learns what the key may and what ran.
        one += Requests(default=_lists(project, table), query=1)
    if catalogs:
        return one
    if table.startswith("hog_function"):
        return one + Requests(default=_pages(project.functions, _SHORT_LIST))
    if way == "REST":
        return one  # Workflows are listed for their steps all the same.
    jobs = project.batch if project.batch_jobs and not table.endswith("_runs") else 0
    return one + Requests(default=_pages(project.workflows, _LIST) + jobs)


def sensors(project: Project) -> list[Line]:
    """What sensors take at most, which look every five minutes."""
    lists = _pages(project.workflows, _LIST) + _functions(project)
    batch = project.batch if project.batch_jobs else 0
    failing = (1 + project.failing) if project.run_results else 0
    hourly = 1 + project.ran + project.steps
    insights = _pages(project.insights, _LIST) if project.chosen_insights else 0
    tick = Requests(default=lists + batch + failing, insights=insights)
    return [
        Line("posthog_observer: changes, batch jobs, failed runs", tick, 24 * _HOUR_TICKS),
        Line("posthog_observer: counts of each hour", Requests(default=hourly), 24),
    ]


_TABLES = [
    f"{of}_{what}" for of in ("workflow", "hog_function") for what in ("metrics", "logs", "runs")
]
#: Loaded with `messaging:` alone.
_MESSAGES = ("sent_messages", "message_events")


def _messages(project: Project, table: str, days: int) -> Requests:
    """What a run reads of messages, at least: how many events an e-mail has is not known."""
    lists = _pages(project.workflows, _LIST)
    if table == "message_events":
        return Requests(default=lists, query=1)
    rows = project.rows.get(table, 0) * days
    return Requests(default=lists + project.workflows + rows // _ROWS)


def _snapshots(project: Project, way: Way) -> Requests:
    """The hourly job."""
    default = _pages(project.workflows, _LIST) + _functions(project)
    default += project.chosen_groups  # their types
    if project.batch_jobs:
        default += project.scheduled + project.batch
    insights = _pages(project.insights, _LIST) if project.chosen_insights else 0
    if way == "HogQL":
        query = _parts(sum(project.groups)) if project.groups else 0
        default += sum(not many for many in project.groups)
        query += 1 if project.failing > project.batch else 2  # rows, or proof that there are any
        return Requests(default, query, insights)
    default += sum(_pages(many, _SHORT_LIST) for many in project.groups)
    if project.run_results:
        # Two endpoints are tried, and PostHog tells which workflows failed.
        default += 2 + project.global_metrics + project.failing
    return Requests(default, 1, insights)


def _results(project: Project) -> int:
    return _pages(project.insights, _LIST) + project.results if project.chosen_insights else 0


def _partitions(project: Project, way: Way, days: int) -> Requests:
    """The nightly job: all its tables share a client."""
    total = sum((_table(project, way, name, days) for name in _TABLES), Requests())
    if way == "HogQL":
        return total
    lists = sum(name.endswith("_runs") for name in _TABLES)
    lists += project.global_metrics + _pages(project.workflows, _LIST)
    return total + Requests(default=lists, query=1)


def _lists(project: Project, table: str) -> int:
    """Requests for steps, for which workflows ran, and for what the server offers."""
    lists = int(table.endswith("_runs"))
    if table.startswith("workflow"):
        lists += project.global_metrics + _pages(project.workflows, _LIST)
    return lists


def _table(project: Project, way: Way, table: str, days: int) -> Requests:
    """Requests for the rows of one table over a number of days."""
    if table.startswith("hog_function") and not project.functions:
        return Requests()
    if table.endswith("_runs") and not project.run_results:
        return Requests()
    rows = project.rows.get(table, 0) * days
    if way == "HogQL":
        counted = 1 if days > _AT_ONCE or rows > _MANY else 0
        moved = 1 if table.endswith("_runs") and days > _AT_ONCE else 0
        return Requests(query=_parts(rows) + counted + moved)
    if table == "hog_function_runs":
        return Requests()
    many = project.ran if table.startswith("workflow") else project.live
    if table in ("workflow_logs", "workflow_runs"):
        many += project.waiting
    if table == "workflow_runs":
        many = min(project.workflows, many + project.batch)  # Batches are counted elsewhere.
    if table.endswith("_metrics"):
        steps = project.steps if table.startswith("workflow") else 0
        return Requests(default=many + steps)
    return Requests(default=max(many, many + rows // _ROWS))


def _checks(project: Project, way: Way) -> Requests:
    """The check `is_complete` of the partitions' tables, which runs with them."""
    if way == "HogQL":
        return Requests(query=2 + project.run_results)
    flows, functions = min(project.ran, _CHECKED), min(project.live, _CHECKED)
    # Counts of all workflows come in one; the others are asked one by one, if they can be.
    counts = 1 if project.global_metrics else flows
    counts += flows * (1 + project.run_results) + functions * 2
    return Requests(default=counts + 2)


def _functions(project: Project) -> int:
    """Requests of the list of hog functions."""
    return _pages(project.functions, _SHORT_LIST) if project.functions else 0


def _pages(rows: int, size: int) -> int:
    """Requests of a list."""
    return max(1, math.ceil(rows / size))


def _parts(rows: int) -> int:
    """Requests of a query's rows."""
    return max(1, math.ceil(rows / _QUERY_ROWS))
