"""Batch exports and the activity log, as far as they can be read; a world with mail in a file."""

from datetime import timedelta
from pathlib import Path

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start
from tests.sandbox.messaging_kit import NOW, Post

UNKNOWN = "01a1fbfc-0000-0000-0000-000000000000"


@pytest.fixture
def post(current: tuple[Sandbox, Http]) -> Post:
    return Post(*current)


def test_batch_exports_are_listed_newest_first_without_those_of_workflows(post: Post) -> None:
    old = post.world.add_batch_export("Old", created_at=NOW - timedelta(days=2))
    new = post.world.add_batch_export("New", created_at=NOW - timedelta(days=1))
    post.world.add_batch_export("Hidden", "Workflows")
    for hours in range(12):
        post.world.add_batch_export_run(old.id, NOW, at=NOW - timedelta(hours=hours))
    body = post.http.get("/batch_exports/").json()
    assert [row["name"] for row in body["results"]] == ["New", "Old"]
    assert (body["count"], body["next"]) == (2, None)
    assert [len(row["latest_runs"]) for row in body["results"]] == [0, 10]
    one = post.http.get(f"/batch_exports/{new.id}/").json()
    assert (one["destination"]["type"], one["interval"], one["paused"]) == ("S3", "hour", False)
    for id in ("x", UNKNOWN):
        answer = post.http.get(f"/batch_exports/{id}/runs/")
        said = f"BatchExport ID '{id}' not found."
        assert (answer.status_code, answer.json()["detail"]) == (404, said)


def test_runs_of_a_week_come_by_cursor_and_one_interval_can_have_several(post: Post) -> None:
    export = post.world.add_batch_export()
    for hours in range(130):
        post.world.add_batch_export_run(export.id, NOW, at=NOW - timedelta(hours=hours, minutes=1))
    post.world.add_batch_export_run(export.id, NOW, at=NOW - timedelta(days=9), status="Failed")
    path = f"/batch_exports/{export.id}/runs/"
    first = post.http.get(path).json()
    assert len(first["results"]) == 100
    second = post.http.get(first["next"]).json()
    assert (len(second["results"]), second["next"]) == (30, None)
    assert {row["data_interval_end"] for row in first["results"]} == {"2026-11-28T12:00:00Z"}
    failed = post.http.get(path, params={"status": "Failed", "after": "-30d"}).json()
    assert [row["status"] for row in failed["results"]] == ["Failed"]


def test_backfills_tell_their_progress(post: Post) -> None:
    export = post.world.add_batch_export()
    post.world.add_backfill(export.id, total_runs=4, finished_runs=1, status="Running")
    (row,) = post.http.get(f"/batch_exports/{export.id}/backfills/").json()["results"]
    assert row["progress"] == {"total_runs": 4, "finished_runs": 1, "progress": 0.25}


def test_the_activity_log_tells_who_changed_a_workflow(post: Post) -> None:
    path = f"/hog_flows/{post.workflow}/"
    post.http.patch(path, json={"name": "Renamed"})
    post.http.patch(path, json={"name": "Renamed"})
    post.advance(seconds=1)
    post.world.add_activity("HogFlow", post.workflow, "published", "Renamed")
    post.advance(seconds=1)
    post.http.delete(path)
    rows = post.http.get("/activity_log/?scope=HogFlow").json()["results"]
    assert [row["activity"] for row in rows] == ["deleted", "published", "updated"]
    assert [(row["user"] or {}).get("email") for row in rows] == [
        "owner@example.com",
        None,
        "owner@example.com",
    ]
    assert [row["is_system"] for row in rows] == [False, True, False]
    (change,) = rows[2]["detail"]["changes"]
    assert (change["field"], change["before"], change["after"]) == ("name", "Welcome", "Renamed")
    assert post.http.get("/activity_log/?scopes=Insight,Group").json()["results"] == []
    assert len(post.http.get(f"/activity_log/?item_id={post.workflow}").json()["results"]) == 3


def test_the_activity_log_comes_by_cursor_or_by_number(post: Post) -> None:
    for number in range(5):
        at = NOW + timedelta(seconds=number)
        post.world.add_activity("HogFlow", number, "updated", at=at)
    first = post.http.get("/activity_log/?page_size=2").json()
    assert "count" not in first
    found = [row["item_id"] for row in first["results"]]
    while first["next"]:
        first = post.http.get(first["next"]).json()
        found += [row["item_id"] for row in first["results"]]
    assert found == ["4", "3", "2", "1", "0"]
    numbered = post.http.get("/activity_log/?page_size=2&page=3").json()
    assert (numbered["count"], [row["item_id"] for row in numbered["results"]]) == (5, ["0"])
    oldest = post.http.get("/activity_log/?ordering=created_at&page=1").json()["results"]
    assert [row["item_id"] for row in oldest] == ["0", "1", "2", "3", "4"]


def test_hogql_tells_what_was_changed_and_not_by_whom(post: Post) -> None:
    post.world.add_activity("HogFlow", "w", "published", user=post.world.user)
    query = "SELECT * FROM system.activity_logs WHERE scope = 'HogFlow' LIMIT 10"
    body = {"query": {"kind": "HogQLQuery", "query": query}, "refresh": "force_blocking"}
    answer = post.http.post("/query/", json=body).json()
    assert "user" not in answer["columns"]
    assert len(answer["results"]) == 1


def test_older_builds_close_the_activity_log_to_keys(start: Start) -> None:
    for generation in ("docs", "mid2026"):
        _, http = start(generation=generation)
        answer = http.get("/activity_log/")
        assert answer.status_code == 403
        assert "does not support" in answer.json()["detail"]
        assert http.get("/batch_exports/").status_code == 200


def test_mail_is_kept_in_the_state_file_and_set_over_http(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    sandbox, http = start(generation="current", state_path=path)
    root = sandbox.url + "/_sandbox/"
    assert http.post(root + "settings/", json={"tier": 2, "tiers": "enforce"}).status_code == 200
    body = {"identifier": "a@example.com"}
    assert http.post(root + "world/add_opt_out/", json=body).status_code == 201
    http.post("/messaging_suppressions/suppressions/add_suppression/", json=body)
    sandbox.stop()
    again, http = start(generation="current", state_path=path)
    assert (again.world.mail.tier, again.world.mail.enforced) == (2, True)
    assert http.get("/messaging_preferences/opt_outs/").json()["count"] == 1
    assert http.get("/messaging_suppressions/suppressions/").json()["count"] == 1
