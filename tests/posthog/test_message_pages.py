"""Reading sent messages whole, whatever moves meanwhile: the rules alone, then over the sandbox."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._pagination.message_pages import LIMIT, read_messages
from hog_dagster.posthog._pagination.time_walk import PageSizes
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import SentMessage, step

START = datetime(2026, 11, 20, tzinfo=UTC)
END = START + timedelta(days=1)


def row(number: int, at: datetime) -> dict[str, Any]:
    return {"invocation_id": f"r{number:06}", "action_id": "a", "sent_at": at.isoformat()}


class Table:
    """A list as PostHog hands it out: cut to whole seconds, newest first, by offset."""

    def __init__(
        self,
        rows: Sequence[dict[str, Any]],
        *,
        ordered: bool = False,
        before_page: Callable[["Table", int], None] = lambda table, number: None,
    ) -> None:
        self.rows, self.ordered, self.before_page = list(rows), ordered, before_page
        self.asked = 0
        self.chance = random.Random(7)

    def page(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.asked += 1
        self.before_page(self, self.asked)
        rows = [one for one in self.rows if self.inside(one, params)]
        rows.sort(key=lambda one: (one["invocation_id"], one["action_id"]))
        if not self.ordered:
            self.chance.shuffle(rows)
        rows.sort(key=lambda one: datetime.fromisoformat(one["sent_at"]), reverse=True)
        start = params.get("offset") or 0
        return rows[start : start + params["limit"]]

    @staticmethod
    def inside(one: dict[str, Any], params: Mapping[str, Any]) -> bool:
        at = datetime.fromisoformat(one["sent_at"])
        after = datetime.fromisoformat(params["after"])
        return after <= at <= datetime.fromisoformat(params["before"])

    def read(self, **options: Any) -> list[str]:
        found = read_messages(
            self.page, start=START, end=END, sizes=PageSizes(), what="messages", **options
        )
        return [one["invocation_id"] for one in found]


def names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(one["invocation_id"] for one in rows)


@given(
    ties=st.lists(st.integers(1, 200), min_size=1, max_size=30),
    spread=st.sampled_from([1, 1_000, 400_000, 7_000_000]),
    ordered=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_every_message_comes_once_whatever_the_ties(
    ties: list[int], spread: int, ordered: bool
) -> None:
    rows: list[dict[str, Any]] = []
    for tick, number in enumerate(ties):
        at = START + timedelta(microseconds=spread * tick)
        rows += [row(len(rows) + n, at) for n in range(number)]
    table = Table(rows, ordered=ordered)
    found = table.read()
    assert sorted(found) == names(rows)


def test_a_page_costs_a_row_or_two_more_than_its_messages() -> None:
    asked = 0

    def page(params: Mapping[str, Any]) -> list[dict[str, Any]]:
        nonlocal asked
        asked += 1
        first = params.get("offset") or 0
        numbers = range(first, min(first + LIMIT, 50_000))
        return [row(n, END - timedelta(seconds=n + 1)) for n in numbers]

    found = read_messages(page, start=START, end=END, sizes=PageSizes(), what="messages")
    assert len({one["invocation_id"] for one in found}) == 50_000
    assert asked <= 50_000 / LIMIT + 1


def test_more_messages_of_one_moment_than_a_page_come_whole_where_the_order_is_total() -> None:
    rows = [row(n, START + timedelta(hours=1)) for n in range(4_000)]
    rows += [row(n, START) for n in range(4_000, 4_300)]
    table = Table(rows, ordered=True)
    assert sorted(table.read()) == names(rows)
    assert table.asked <= 10


def test_a_page_of_one_moment_that_is_the_last_one_is_whole() -> None:
    rows = [row(n, START) for n in range(200)]
    assert sorted(Table(rows).read()) == names(rows)


def test_such_a_moment_without_an_order_is_told_of_and_the_rest_comes() -> None:
    rows = [row(n, START + timedelta(hours=1)) for n in range(1_200)]
    rows += [row(n, START) for n in range(1_200, 1_500)]
    told: list[errors.WindowTooDense] = []
    found = Table(rows).read(on_dense=told.append)
    assert len(set(found)) == len(found)
    assert {f"r{n:06}" for n in range(1_200, 1_500)} <= set(found)
    assert len(found) > 1_400
    assert [one.start for one in told] == [START + timedelta(hours=1)]
    with pytest.raises(errors.WindowTooDense, match="more at one moment of the second"):
        Table(rows).read()


def test_a_message_that_moves_away_hides_no_other_one() -> None:
    """A resend takes its older row out of the window, and every offset behind it is too large."""
    rows = [row(n, START + timedelta(seconds=n)) for n in range(2_000)]
    gone = [row["invocation_id"] for row in rows[-30:]]

    def move(table: Table, number: int) -> None:
        if number == 2:
            for one in table.rows:
                if one["invocation_id"] in gone:
                    one["sent_at"] = (END + timedelta(hours=1)).isoformat()

    found = Table(rows, before_page=move).read()
    assert len(set(found)) == len(found)
    assert set(names(rows)) - set(found) == set()


def test_messages_that_come_late_double_none_and_hide_none() -> None:
    rows = [row(n, START + timedelta(seconds=n)) for n in range(1_500)]

    def late(table: Table, number: int) -> None:
        table.rows += [
            row(10_000 + 100 * number + n, START + timedelta(hours=5)) for n in range(40)
        ]

    found = Table(rows, before_page=late).read()
    assert len(set(found)) == len(found)
    assert set(names(rows)) <= set(found)


def test_a_purge_of_the_oldest_while_reading_loses_only_what_is_gone() -> None:
    rows = [row(n, START + timedelta(seconds=n)) for n in range(2_000)]

    def purge(table: Table, number: int) -> None:
        if number == 3:
            del table.rows[:700]

    found = Table(rows, before_page=purge).read()
    assert sorted(found) == names(rows[700:])


def test_a_list_that_never_comes_to_rest_is_said_to_be_so() -> None:
    came = itertools.count(1_000_000)

    def moving(params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Behind an offset, the rows that should be there have always moved away."""
        last = datetime.fromisoformat(params["before"])
        last -= timedelta(hours=1) if params.get("offset") else timedelta()
        return [row(next(came), last - timedelta(seconds=n)) for n in range(LIMIT)]

    with pytest.raises(errors.UnsettledList, match="moved 50 times"):
        list(read_messages(moving, start=START, end=END, sizes=PageSizes(), what="messages"))


def test_a_server_that_takes_no_offset_is_found_out() -> None:
    def same(params: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [row(n, START + timedelta(seconds=LIMIT - n)) for n in range(LIMIT)]

    with pytest.raises(errors.IncompleteList, match="the same page again and again"):
        list(read_messages(same, start=START, end=END, sizes=PageSizes(), what="messages"))


# -- over HTTP -------------------------------------------------------------------------------------


def email(id: str) -> dict[str, Any]:
    inputs = {"email": {"value": {"to": "{person.properties.email}", "subject": "Hi"}}}
    return step(id, "function_email", {"template_id": "template-email", "inputs": inputs})


def filled(workflows: int, each: int) -> tuple[Sandbox, list[str]]:
    """Workflows with messages of 30 days: ties, resends on the same and on other days."""
    now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    sandbox = Sandbox(populate=False, limits=False, now=now, shuffle_ties=True)
    sandbox.clock.freeze(now)
    world, chance = sandbox.world, random.Random(3)
    world.mail.assets_build = "june"
    world.merge = "random"
    ids = [world.add_workflow(f"w{n}", actions=[email("mail")])["id"] for n in range(workflows)]
    for workflow in ids:
        for number in range(each):
            at = now - timedelta(days=27) + timedelta(days=26) * (number // 3) / (each // 3)
            run = world.add_run(workflow, "succeeded", at, logged=False).invocation_id
            if number % 20 == 0:
                later = at + timedelta(hours=chance.choice([2, 30, 60]))
                if later < now - timedelta(hours=1):
                    world.add_rerun(run, later, logged=False)
    return sandbox, ids


def newest_of(sandbox: Sandbox) -> dict[tuple[str, str], SentMessage]:
    """The truth: run and step to the last message of theirs that left."""
    newest: dict[tuple[str, str], SentMessage] = {}
    for message in sandbox.world.messages:
        key = (message.invocation_id, message.action_id)
        if key not in newest or message.at > newest[key].at:
            newest[key] = message
    return newest


def read_all(sandbox: Sandbox, ids: Sequence[str], purge_at: int | None = None) -> Any:
    with PostHogClient(
        "http://posthog.sandbox", sandbox.api_key, 1, limits=False, transport=sandbox.transport()
    ) as client:
        found: list[Any] = []
        for number, workflow in enumerate(ids):
            if number == purge_at:
                sandbox.clock.advance(timedelta(days=4).total_seconds())
            found += client.messaging.sent_messages(workflow)
        return found, client.requests_made


def test_every_run_and_step_comes_once_with_its_newest_send() -> None:
    sandbox, ids = filled(3, 1_500)
    found, requests = read_all(sandbox, ids)
    newest = {key: message.at for key, message in newest_of(sandbox).items()}
    assert len(found) == len(newest) == 4_500
    assert {(one.invocation_id, one.action_id): one.sent_at for one in found} == newest
    assert requests <= 4_500 / LIMIT + 3


@pytest.mark.parametrize("each", [240, pytest.param(2_500, marks=pytest.mark.slow)])
def test_messages_of_twenty_workflows_with_a_purge_amid(each: int) -> None:
    sandbox, ids = filled(20, each)
    found, requests = read_all(sandbox, ids, purge_at=10)
    marks = [(one.invocation_id, one.action_id) for one in found]
    assert len(set(marks)) == len(marks)
    newest = newest_of(sandbox)
    kept = datetime(2026, 12, 2, 12, 0, tzinfo=UTC) - timedelta(days=30)
    late = set(ids[10:])
    still = {
        key
        for key, message in newest.items()
        if message.source_id not in late or message.at >= kept
    }
    assert set(marks) == still
    assert len(newest) == 20 * each
    assert 0 < len(newest) - len(still) < len(newest) / 2
    assert requests <= 20 * each / LIMIT + 20
