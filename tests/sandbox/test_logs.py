"""Logs: strict UTC bounds, ties without order, a page that only looks like one."""

from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import raised
from tests.sandbox.conftest import Http, Start

AT = datetime(2026, 5, 10, 10, 0, 0, 123000, tzinfo=UTC)
NOW = datetime(2026, 5, 11, 12, 0, tzinfo=UTC)


def rows(count: int, at: datetime = AT, level: str = "INFO", **more: object) -> list[dict]:
    return [
        {
            "instance_id": f"run-{level}-{at.timestamp()}-{number}",
            "timestamp": at,
            "level": level,
            "message": f"message {number}",
            **more,
        }
        for number in range(count)
    ]


@pytest.fixture
def place(start: Start) -> tuple[Sandbox, Http, str, str]:
    """A sandbox with one workflow: (sandbox, client, workflow id, path of its logs)."""
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    return sandbox, http, workflow, f"/hog_flows/{workflow}/logs/"


Place = tuple[Sandbox, Http, str, str]


def test_a_row_has_five_texts_and_its_level_in_capitals(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(1, level="warn"))
    assert http.get(path).json() == {
        "count": 1,
        "next": None,
        "previous": None,
        "results": [
            {
                "log_source_id": workflow,
                "instance_id": f"run-warn-{AT.timestamp()}-0",
                "timestamp": "2026-05-10T10:00:00.123000Z",
                "level": "WARN",
                "message": "message 0",
            }
        ],
    }


def test_whole_seconds_show_no_fraction(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(1, AT.replace(microsecond=0)))
    assert http.get(path).json()["results"][0]["timestamp"] == "2026-05-10T10:00:00Z"


def test_bounds_are_strict_to_the_microsecond_and_utc_however_written(place: Place) -> None:
    sandbox, http, workflow, path = place
    for shift in (-1, 0, 1):
        sandbox.world.add_logs(workflow, rows(1, AT + timedelta(microseconds=shift)))
    for text in ("2026-05-10T10:00:00.123{}Z", "2026-05-10T10:00:00.123{}+00:00"):
        naive = text.replace("Z", "").replace("+00:00", "")
        for shape in (text, naive):
            window = {"after": shape.format("000"), "before": shape.format("001")}
            assert http.get(path, params=window).json()["count"] == 0
    window = {"after": "2026-05-10T10:00:00.122999Z", "before": "2026-05-10T10:00:00.123001Z"}
    found = http.get(path, params=window).json()["results"]
    assert [row["timestamp"] for row in found] == ["2026-05-10T10:00:00.123000Z"]
    east = {"after": "2026-05-10T15:30:00.123+05:30"}
    assert http.get(path, params=east).json()["count"] == 1


def test_more_than_500_rows_at_one_instant_can_only_be_split_otherwise(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(675) + rows(225, level="ERROR"))
    window = {"after": "2026-05-10T10:00:00.122999Z", "before": "2026-05-10T10:00:00.123001Z"}
    assert http.get(path, params={**window, "limit": 500}).json()["count"] == 500
    errors = http.get(path, params={**window, "limit": 500, "level": "error"}).json()
    assert errors["count"] == 225


def test_ties_keep_their_order_unless_shuffling_is_asked_for(start: Start) -> None:
    orders = []
    for shuffle in (False, True):
        sandbox, http = start(now=NOW, shuffle_ties=shuffle)
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_logs(workflow, rows(60))
        pages = [http.get(f"/hog_flows/{workflow}/logs/?limit=30").json() for _ in range(2)]
        orders.append([[row["instance_id"] for row in page["results"]] for page in pages])
    (stable, again), (first, second) = orders
    assert stable == again
    assert set(first) != set(second)


def test_a_page_counts_itself_has_no_next_and_an_offset_only_cuts(place: Place) -> None:
    sandbox, http, workflow, path = place
    for number in range(10):
        sandbox.world.add_logs(workflow, rows(1, AT + timedelta(seconds=number)))
    first = http.get(path, params={"limit": 3}).json()
    assert (first["count"], first["next"], first["previous"]) == (3, None, None)
    second = http.get(path, params={"limit": 3, "offset": 3}).json()
    assert (second["count"], second["next"], second["results"]) == (3, None, [])
    assert second["previous"] == f"{sandbox.url}/api/projects/1{path}?limit=3"


def test_without_a_limit_fifty_rows_come(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(60))
    assert http.get(path).json()["count"] == 50


@pytest.mark.parametrize(
    ("params", "body"),
    [
        (
            {"limit": 501},
            ("max_value", "Ensure this value is less than or equal to 500.", "limit"),
        ),
        (
            {"limit": 0},
            ("min_value", "Ensure this value is greater than or equal to 1.", "limit"),
        ),
        ({"limit": "x"}, ("invalid_input", "A valid integer is required.", "limit")),
        (
            {"after": "-7d"},
            (
                "invalid_input",
                (
                    "Datetime has wrong format. Use one of these formats instead: "
                    "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
                ),
                "after",
            ),
        ),
    ],
)
def test_bad_parameters_are_refused_not_corrected(
    place: Place, params: dict, body: tuple[str, str, str]
) -> None:
    answer = place[1].get(place[3], params=params)
    assert (answer.status_code, answer.json()) == (400, raised("validation_error", *body))


def test_levels_come_as_one_list_and_the_last_of_repeated_ones_counts(place: Place) -> None:
    sandbox, http, workflow, path = place
    for level in ("DEBUG", "INFO", "WARN", "ERROR"):
        sandbox.world.add_logs(workflow, rows(2, level=level))
    listed = http.get(path, params={"level": "warn,Error,bogus"}).json()["results"]
    assert {row["level"] for row in listed} == {"WARN", "ERROR"}
    repeated = http.get(path + "?level=WARN&level=ERROR").json()["results"]
    assert {row["level"] for row in repeated} == {"ERROR"}
    assert http.get(path, params={"level": "bogus"}).json()["count"] == 0


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("TIE 19", ["tie 19"]),
        ("tie%9", ["tie 19", "tie or 9"]),
        ("t_e 2", ["tie 2"]),
        ("100\\%", ["100% sure"]),
    ],
)
def test_search_ignores_case_and_its_wildcards_are_live(
    place: Place, search: str, found: list[str]
) -> None:
    sandbox, http, workflow, path = place
    for number, message in enumerate(("tie 19", "tie or 9", "tie 2", "100% sure", "1000 sure")):
        row = {"instance_id": f"r{number}", "timestamp": AT, "message": message}
        sandbox.world.add_logs(workflow, [row])
    answer = http.get(path, params={"search": search}).json()["results"]
    assert sorted(row["message"] for row in answer) == found


def test_empty_parameters_count_as_not_given(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(60))
    empty = {"search": "", "level": "", "limit": "", "after": "", "before": "", "instance_id": ""}
    assert http.get(path, params=empty).json()["count"] == 50


def test_a_run_is_found_by_its_exact_id(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(3))
    wanted = f"run-INFO-{AT.timestamp()}-1"
    found = http.get(path, params={"instance_id": wanted}).json()["results"]
    assert [row["instance_id"] for row in found] == [wanted]
    assert http.get(path, params={"instance_id": wanted[:-1]}).json()["count"] == 0


def test_rows_can_arrive_late_behind_ones_already_read(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(1))
    late = rows(1, AT - timedelta(hours=1), visible_at=NOW + timedelta(minutes=5))
    sandbox.world.add_logs(workflow, late)
    assert http.get(path).json()["count"] == 1
    sandbox.clock.advance(301)
    assert http.get(path).json()["count"] == 2


def test_the_table_keeps_one_row_per_run_and_time_and_shows_two_until_it_merges(
    place: Place,
) -> None:
    sandbox, http, workflow, path = place
    assert sandbox.world.add_logs(workflow, rows(1)) == 1
    assert sandbox.world.add_logs(workflow, rows(1)) == 0
    assert http.get(path).json()["count"] == 1
    sandbox.world.add_logs(workflow, rows(1, unmerged=True))
    assert http.get(path).json()["count"] == 2


def test_rows_older_than_ninety_days_are_gone(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_logs(workflow, rows(1, NOW - timedelta(days=89)))
    sandbox.world.add_logs(workflow, rows(1, NOW - timedelta(days=91)))
    assert http.get(path).json()["count"] == 1
    sandbox.clock.advance(2 * 86400)
    assert http.get(path).json()["count"] == 0


def test_parameters_of_the_list_filter_the_parent_away(place: Place) -> None:
    _, http, _, path = place
    assert http.get(path, params={"id": "01900000-0000-0000-0000-000000000000"}).status_code == 404
    assert http.get(path, params={"id": "x"}).json()["attr"] == "id"
    assert http.get(path, params={"trigger": '{"type": "batch"}'}).status_code == 404
    assert http.get(path, params={"trigger": '{"type": "event"}'}).status_code == 200
