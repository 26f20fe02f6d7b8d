"""How runs are filed and what queries over their rows show, sentence by sentence of the facts.

Knows nothing of the product: plain HTTP, and what PostHog's own source says.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
T0 = datetime(2026, 11, 7, 10, 0, 0, 250000, tzinfo=UTC)
DAY = timedelta(days=1)


class Place:
    """An empty project with one workflow, its clock standing still."""

    def __init__(self, sandbox: Sandbox, http: Http) -> None:
        self.sandbox, self.http = sandbox, http
        self.world = sandbox.world
        self.workflow = self.world.add_workflow()["id"]
        self.path = f"/hog_flows/{self.workflow}/"
        sandbox.clock.freeze(NOW)

    def window(self, after: datetime, before: datetime, **params: str) -> list[dict[str, Any]]:
        bounds = {"after": after.isoformat(), "before": before.isoformat(), **params}
        return self.http.get(self.path + "invocation_results/", params=bounds).json()

    def one(self, run: str) -> dict[str, Any]:
        return self.http.get(f"{self.path}invocation_results/{run}/").json()

    def hogql(self, columns: str, rest: str = "") -> list[list[Any]]:
        text = f"select {columns} from hog_invocation_results {rest}"
        body = {"query": {"kind": "HogQLQuery", "query": text}, "refresh": "force_blocking"}
        answer = self.http.post("/query/", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def rerun(self, start: datetime, end: datetime, **filters: Any) -> str:
        window = {"window_start": start.isoformat(), "window_end": end.isoformat()}
        answer = self.http.post(self.path + "rerun/", json={"filter": {**window, **filters}})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["queued_count"], answer.json()["skipped_count"]) == (0, 0)
        return answer.json()["rerun_job_id"]

    def lines(self, **params: str) -> list[tuple[str, str, str]]:
        rows = self.http.get(self.path + "logs/", params=params).json()["results"]
        return [(row["level"], row["message"], row["instance_id"]) for row in rows]

    def reran(self) -> list[str]:
        return [one.invocation_id for one in self.world.executions if one.cause == "rerun"]

    def wait(self, seconds: float = 60) -> None:
        self.sandbox.clock.advance(seconds)


@pytest.fixture
def place(start: Start) -> Place:
    place = Place(*start(generation="current", now=NOW))
    place.world.merge = "never"
    return place


# -- 1. rows ---------------------------------------------------------------------------------------


def test_an_execution_files_two_rows_and_a_rerun_two_more_with_the_same_id(place: Place) -> None:
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.rerun(T0 - DAY, T0 + DAY)
    place.wait()
    rows = place.hogql(
        "invocation_id, status, attempts, is_retry",
        "where function_kind = 'hog_flow' order by version",
    )
    assert rows == [
        [run, "running", 0, False],
        [run, "failed", 0, False],
        [run, "running", 1, True],
        [run, "succeeded", 1, True],
    ]


def test_scheduled_at_moves_first_scheduled_at_does_not_and_versions_rise(place: Place) -> None:
    place.world.add_run(place.workflow, "failed", T0)
    place.rerun(T0 - DAY, T0 + DAY)
    place.wait()
    rows = place.hogql(
        "toString(scheduled_at), toString(first_scheduled_at), version",
        "where function_kind = 'hog_flow' order by version",
    )
    assert {row[0][:10] for row in rows} == {"2026-11-07", "2026-11-28"}
    assert len({row[1] for row in rows}) == 1
    assert rows[0][1][:10] == "2026-11-07"
    versions = [row[2] for row in rows]
    assert versions == sorted(set(versions))
    assert all(version > 10**15 for version in versions)  # microseconds


def test_a_step_that_waits_writes_nothing_and_the_end_carries_the_time_of_waking(
    place: Place,
) -> None:
    wait = {"id": "rest", "type": "delay", "config": {"delay_duration": "2d"}}
    workflow = place.world.add_workflow(actions=[wait])["id"]
    run = place.world.start_run(workflow).invocation_id
    place.wait(3600)
    where = f"where invocation_id = '{run}' order by version"
    assert place.hogql("status", where) == [["running"]]
    place.wait(2 * 86400)
    rows = place.hogql("status, toString(scheduled_at)", where)
    assert [row[0] for row in rows] == ["running", "succeeded"]
    assert rows[0][1][:10] == "2026-11-28"
    assert rows[1][1][:10] == "2026-11-30"


def test_rows_of_different_days_never_merge_and_the_old_day_is_kept_for_thirty(
    place: Place,
) -> None:
    place.world.merge = "now"
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.world.add_rerun(run, T0 + DAY)
    second = (T0, T0 + timedelta(seconds=1))
    assert [row["status"] for row in place.window(*second)] == ["failed"]
    place.sandbox.clock.set(datetime(2026, 12, 7, 23, 59, 59, tzinfo=UTC))
    assert [row["status"] for row in place.window(*second)] == ["failed"]
    place.sandbox.clock.set(datetime(2026, 12, 8, 0, 0, 1, tzinfo=UTC))  # the day's part is dropped
    assert place.window(*second) == []
    assert place.one(run)["status"] == "succeeded"
    place.sandbox.clock.set(datetime(2026, 12, 9, 0, 0, 1, tzinfo=UTC))
    missing = place.http.get(f"{place.path}invocation_results/{run}/")
    assert (missing.status_code, missing.json()["detail"]) == (404, "Invocation not found.")


def test_a_run_rerun_on_the_same_day_vanishes_from_its_old_second_after_a_merge(
    place: Place,
) -> None:
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.world.add_rerun(run, T0 + timedelta(hours=3))
    second = (T0, T0 + timedelta(seconds=1))
    assert [row["status"] for row in place.window(*second)] == ["failed"]
    place.world.merge_now()
    assert place.window(*second) == []
    assert place.one(run)["status"] == "succeeded"
    assert len(place.hogql("invocation_id")) == 1


def test_in_between_a_request_sees_the_old_row_and_the_next_does_not(start: Start) -> None:
    place = Place(*start(generation="current", now=NOW, seed=3))
    seconds = [T0 + timedelta(minutes=n) for n in range(40)]
    for at in seconds:
        run = place.world.add_run(place.workflow, "failed", at).invocation_id
        place.world.add_rerun(run, at + timedelta(hours=3))
    place.sandbox.clock.freeze(T0 + timedelta(hours=4, minutes=30))
    looks = [
        frozenset(row["invocation_id"] for row in place.window(T0, T0 + timedelta(hours=1)))
        for _ in range(20)
    ]
    assert len(set(looks)) == 2  # two replicas, not merged alike


def test_random_merges_come_from_the_seed_and_some_never_come(start: Start) -> None:
    def left(seed: int, hours: float) -> list[int]:
        place = Place(*start(generation="current", now=NOW, seed=seed))
        for n in range(60):
            at = T0 + timedelta(seconds=2 * n)
            place.world.add_run(place.workflow, "failed", at)
        place.sandbox.clock.freeze(T0 + timedelta(hours=hours))
        return [len(place.hogql("invocation_id")) for _ in range(3)]

    assert left(1, 2) == left(1, 2)
    assert 60 < max(left(1, 200)) < 100  # of 120 rows
    assert max(left(1, 0.1)) > max(left(1, 2)) > max(left(1, 20)) >= max(left(1, 200))


def test_a_row_can_arrive_late_or_never(place: Place) -> None:
    place.world.row_lag = 90.0
    run = place.world.start_run(place.workflow).invocation_id
    place.wait(60)
    assert "detail" in place.one(run)
    place.wait(60)
    assert place.one(run)["status"] == "succeeded"
    place.world.row_lag, place.world.row_loss = 0.0, 1.0
    lost = place.world.start_run(place.workflow).invocation_id
    place.wait(60)
    assert "detail" in place.one(lost)
    assert [one.invocation_id for one in place.world.executions] == [run, lost]


def test_a_run_can_stay_running_and_be_repaired_by_posthog_or_not(place: Place) -> None:
    place.world.stuck = 1.0
    run = place.world.start_run(place.workflow).invocation_id
    place.wait(10 * 86400)
    assert place.one(run)["status"] == "running"
    assert place.world.messages == []
    place.world.stuck_repair = 3600.0
    other = place.world.start_run(place.workflow).invocation_id
    place.wait(3700)
    body = place.one(other)
    assert (body["status"], body["error_kind"]) == ("failed", "stuck_invocation")
    place.world.give_up(run, "janitor_poison_pill")
    assert place.one(run)["error_kind"] == "janitor_poison_pill"


def test_a_rerun_job_has_rows_of_its_own_which_only_hogql_shows(place: Place) -> None:
    place.world.add_run(place.workflow, "failed", T0)
    job = place.rerun(T0 - DAY, T0 + DAY)
    wrapper = "where function_kind = 'hog_flow_rerun' order by version"
    columns = "invocation_id, function_id, status, attempts"
    assert place.hogql(columns, wrapper) == [[job, place.workflow, "running", 0]]
    place.wait()
    assert place.hogql(columns, wrapper)[-1] == [job, place.workflow, "succeeded", 1]
    assert job not in {row["invocation_id"] for row in place.window(T0 - DAY, NOW + DAY)}
    assert "detail" in place.one(job)


def test_the_runs_of_a_batch_job_name_it_as_their_parent(place: Place) -> None:
    place.world.add_person(email="a@example.com")
    workflow = place.world.add_workflow("Broadcast", "batch")["id"]
    job = place.http.post(f"/hog_flows/{workflow}/batch_jobs/", json={}).json()["id"]
    where = f"where function_id = '{workflow}'"
    assert place.hogql("status, parent_run_id", where) == [["running", job]]
    place.wait()
    assert len(place.hogql("status", f"{where} and parent_run_id = '{job}'")) == 2
    assert [one.cause for one in place.world.executions] == ["batch"]


def test_servers_of_mid_2026_have_no_row_of_a_batch_run_before_it_is_over(start: Start) -> None:
    place = Place(*start(generation="mid2026", now=NOW))
    place.world.merge = "never"
    place.world.add_person(email="a@example.com")
    workflow = place.world.add_workflow("Broadcast", "batch")["id"]
    place.http.post(f"/hog_flows/{workflow}/batch_jobs/", json={})
    where = f"where function_id = '{workflow}'"
    assert place.hogql("status", where) == []
    place.wait()
    assert place.hogql("status", where) == [["succeeded"]]


def test_lateness_is_seeded_and_a_newer_row_can_arrive_first(start: Start) -> None:
    def seen(seed: int) -> list[str]:
        place = Place(*start(generation="current", now=NOW, seed=seed))
        place.world.merge, place.world.row_lag_spread = "never", 60.0
        runs = [place.world.start_run(place.workflow, takes=1.0).invocation_id for _ in range(20)]
        place.wait(30)
        return [place.one(run).get("status", "none") for run in runs]

    assert seen(1) == seen(1)
    assert seen(1) != seen(2)
    assert set(seen(1)) == {"none", "running", "succeeded"}


# -- 2. reading endpoints --------------------------------------------------------------------------


def test_a_closed_window_over_the_past_shows_the_run_as_it_was_then(place: Place) -> None:
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.world.add_rerun(run, T0 + 20 * DAY)
    (then,) = place.window(T0, T0 + timedelta(seconds=1))
    assert (then["status"], then["attempts"], then["is_retry"]) == ("failed", 0, False)
    now = place.one(run)
    assert (now["status"], now["attempts"], now["is_retry"]) == ("succeeded", 1, True)
    (open_ended,) = place.window(T0, NOW)
    assert open_ended["status"] == "succeeded"
    assert open_ended["scheduled_at"] == then["scheduled_at"]  # min(scheduled_at) inside
    (later,) = place.window(T0 + DAY, NOW)
    assert later["scheduled_at"][:10] == "2026-11-27"


def test_status_and_message_are_filtered_after_the_collapse(place: Place) -> None:
    run = place.world.add_run(place.workflow, "failed", T0, error_message="SMTP").invocation_id
    place.world.add_rerun(run, T0 + 20 * DAY)
    assert place.window(T0, NOW, status="failed") == []
    assert place.window(T0, NOW, error_message_contains="smtp") == []
    assert len(place.window(T0, T0 + DAY, status="failed")) == 1
    assert len(place.window(T0, NOW, status="succeeded")) == 1


def test_bounds_cut_raw_rows_to_the_second_and_hide_half_a_run(place: Place) -> None:
    run = place.world.start_run(place.workflow, at=NOW, takes=0.0).invocation_id
    place.wait(1)
    before = place.window(NOW - DAY, NOW - timedelta(microseconds=1))
    assert before == []
    (row,) = place.window(NOW, NOW + timedelta(microseconds=999999))
    assert row["invocation_id"] == run


def test_a_list_holds_five_hundred_and_a_burst_in_one_second_more(place: Place) -> None:
    for _ in range(501):
        place.world.add_run(place.workflow, "failed", T0, sends=False)
    rows = place.window(T0, T0 + timedelta(seconds=1), limit="500")
    assert len(rows) == 500
    counted = place.http.get(
        place.path + "invocation_results_count/", params={"after": "-30d"}
    ).json()
    assert counted == {"count": 501}


def test_hogql_has_the_right_state_by_version_and_no_payload(place: Place) -> None:
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.world.add_rerun(run, T0 + DAY, "failed")
    place.world.add_rerun(run, T0 + 2 * DAY)
    text = "invocation_id, argMax(status, version), argMax(attempts, version)"
    assert place.hogql(text, "group by invocation_id") == [[run, "succeeded", 2]]
    body = {
        "query": {
            "kind": "HogQLQuery",
            "query": "select invocation_globals from hog_invocation_results",
        }
    }
    assert place.http.post("/query/", json=body).status_code == 400


# -- 3. rerun --------------------------------------------------------------------------------------


def test_a_rerun_only_queues_and_two_requests_are_two_jobs(place: Place) -> None:
    place.world.rerun_lag = 600.0
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    jobs = {place.rerun(T0 - DAY, T0 + DAY) for _ in range(2)}
    assert len(jobs) == 2
    place.wait(599)
    assert place.reran() == []
    place.wait(10)
    assert place.reran() == [run]


@pytest.mark.parametrize(("form", "times"), [("before_85156", 2), ("after_85156", 1)])
def test_a_run_that_succeeded_meanwhile_is_run_again_before_85156_only(
    place: Place, form: str, times: int
) -> None:
    place.world.rerun_form = form
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    job = ""
    for _ in range(2):
        job = place.rerun(T0, T0 + timedelta(seconds=1))
        place.wait()
    assert place.reran() == [run] * times
    counts = {1: "queued=0 skipped=1", 2: "queued=1 skipped=0"}[times]
    assert [line[1] for line in place.lines(instance_id=job)] == [f"Re-run finished. {counts}"]


@pytest.mark.parametrize("form", ["before_85156", "after_85156"])
def test_max_attempts_does_not_stop_a_second_rerun_of_a_run_that_failed_again(
    place: Place, form: str
) -> None:
    place.world.rerun_form = form
    run = place.world.add_run(place.workflow, "failed", T0, retry_status="failed").invocation_id
    for _ in range(3):
        place.rerun(T0, T0 + timedelta(seconds=1), max_attempts=1)
        place.wait()
        assert place.one(run)["attempts"] == 1
    assert place.reran() == [run] * 3


def test_skipped_runs_use_up_the_count(place: Place) -> None:
    old = [
        place.world.add_run(place.workflow, "failed", T0 + timedelta(minutes=n)).invocation_id
        for n in range(3)
    ]
    place.world.add_rerun(old[2], T0 + DAY)
    for expected in ([], []):
        place.rerun(T0, T0 + timedelta(hours=1), max_count=1)
        place.wait()
        assert place.reran()[1:] == expected
    place.rerun(T0, T0 + timedelta(hours=1), max_count=2)
    place.wait()
    assert place.reran()[1:] == [old[1]]


def test_the_window_is_half_open_and_cuts_raw_rows(place: Place) -> None:
    first = place.world.add_run(place.workflow, "failed", T0).invocation_id
    second = place.world.add_run(place.workflow, "failed", T0 + DAY).invocation_id
    place.rerun(T0, T0 + DAY)
    place.wait()
    assert place.reran() == [first]
    assert place.one(second)["status"] == "failed"


def test_a_run_in_flight_is_not_run_again(place: Place) -> None:
    place.world.rerun_takes = 3600.0
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.rerun(T0, T0 + DAY)
    place.wait()
    place.rerun(T0 - DAY, NOW + DAY, status=["running", "failed"])
    place.wait()
    assert place.reran() == [run]


def test_pages_keep_running_totals_and_end_with_a_line(place: Place) -> None:
    place.world.rerun_page_size = 2
    for n in range(5):
        place.world.add_run(place.workflow, "failed", T0 + timedelta(minutes=n), sends=False)
    job = place.rerun(T0, T0 + DAY)
    place.wait()
    lines = place.lines(instance_id=job)[::-1]
    assert [level for level, _, _ in lines] == ["INFO"] * 3
    words = [message.split(" cursor=")[0] for _, message, _ in lines]
    assert words == [
        "Re-run page done. queued=2 skipped=0",
        "Re-run page done. queued=4 skipped=0",
        "Re-run finished. queued=5 skipped=0",
    ]
    assert " cursor=2026-11-07 10:03:00.250000/" in lines[0][1]


def test_a_page_can_fail_after_its_effect_and_a_job_can_be_given_up(place: Place) -> None:
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.world.fail_rerun_page("Timeout exceeded", effect=True)
    job = place.rerun(T0, T0 + DAY)
    place.wait()
    assert [line[:2] for line in place.lines(instance_id=job)[::-1]] == [
        ("WARN", "Re-run page failed: Timeout exceeded. Worker will retry."),
        ("INFO", "Re-run finished. queued=0 skipped=1"),
    ]
    assert place.reran() == [run]
    assert not [line for line in place.lines(instance_id=run) if "Re-queued" in line[1]]
    place.world.fail_rerun_page("smallint out of range", aborts=True)
    aborted = place.rerun(T0, T0 + DAY)
    place.wait()
    assert [line[:2] for line in place.lines(instance_id=aborted)] == [
        ("ERROR", "Re-run aborted: smallint out of range")
    ]
    where = f"where invocation_id = '{aborted}' order by version"
    assert place.hogql("status", where)[-1] == ["failed"]


def test_each_run_has_a_line_that_names_its_job_and_lines_lag(place: Place) -> None:
    place.world.rerun_log_lag = 300.0
    run = place.world.add_run(place.workflow, "failed", T0).invocation_id
    job = place.rerun(T0, T0 + DAY)
    place.wait()
    assert place.reran() == [run]
    assert place.lines(search="Re-queued by re-run job") == []
    place.wait(300)
    line = ("DEBUG", f"Re-queued by re-run job {job}.", run)
    assert place.lines(search=f"Re-queued by re-run job {job}") == [line]
    assert line in place.lines(instance_id=run)


@pytest.mark.parametrize(("form", "again"), [("before_85156", 2), ("after_85156", 1)])
def test_the_cursor_cuts_raw_rows_and_an_older_page_shows_a_run_as_it_was(
    place: Place, form: str, again: int
) -> None:
    place.world.rerun_form, place.world.rerun_page_size, place.world.rerun_takes = form, 1, 0.0
    twice = place.world.add_run(place.workflow, "failed", T0).invocation_id
    place.world.add_rerun(twice, T0 + timedelta(hours=1), "failed")
    other = place.world.add_run(place.workflow, "failed", T0 + timedelta(minutes=30)).invocation_id
    place.rerun(T0, T0 + DAY)
    place.wait()
    assert place.reran()[1:].count(twice) == again
    assert place.reran()[1:].count(other) == 1
