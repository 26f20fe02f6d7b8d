"""Groups and ingestion behave as on real servers of both generations."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start

BORN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def fill(sandbox: Sandbox, number: int, *, tied: bool = False) -> None:
    sandbox.world.add_group_type("organization")
    for index in range(number):
        created = BORN if tied else BORN + timedelta(minutes=index)
        plan = ("free", "pro")[index % 2]
        properties = {"name": f"Acme {index:03}", "plan": plan}
        sandbox.world.add_group(0, f"org_{index:03}", properties, created_at=created)


def walk(http: Http, url: str, most: int = 20) -> list[str]:
    """The keys of every page, following `next`."""
    keys: list[str] = []
    following: str | None = url
    for _ in range(most):
        if following is None:
            break
        body = http.get(following).json()
        keys += [row["group_key"] for row in body["results"]]
        following = body["next"]
    return keys


@pytest.mark.parametrize("generation", ["docs", "current"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_list_has_100_a_page_and_every_group_once(
    start: Start, generation: str, tied: bool
) -> None:
    sandbox, http = start(generation=generation)
    fill(sandbox, 250, tied=tied)
    first = http.get("/groups/?group_type_index=0&limit=7&offset=3").json()
    assert len(first["results"]) == 100
    assert "count" not in first
    keys = walk(http, "/groups/?group_type_index=0")
    if tied and generation == "docs":
        # Its database keeps to no order among groups of one time.
        assert len(set(keys)) < len(keys) == 250
        return
    assert sorted(keys) == [f"org_{index:03}" for index in range(250)]


def test_older_cursors_go_both_ways(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    fill(sandbox, 105)
    first = http.get("/groups/?group_type_index=0").json()
    second = http.get(first["next"]).json()
    assert [row["group_key"] for row in second["results"]] == [f"org_00{n}" for n in "43210"]
    assert second["next"] is None
    back = http.get(second["previous"]).json()
    assert [row["group_key"] for row in back["results"]] == [
        row["group_key"] for row in first["results"]
    ]


def test_a_bad_cursor_is_a_404_or_silently_the_first_page(
    docs: tuple[Sandbox, Http], current: tuple[Sandbox, Http]
) -> None:
    for (sandbox, http), status in ((docs, 404), (current, 200)):
        fill(sandbox, 3)
        answer = http.get("/groups/?group_type_index=0&cursor=zzz")
        assert answer.status_code == status
        if status == 404:
            assert answer.json()["detail"] == "Invalid cursor"
        else:
            assert len(answer.json()["results"]) == 3
            assert answer.json()["previous"] is None


def test_the_type_index_is_required(start: Start) -> None:
    for generation, status in (("docs", 500), ("current", 400)):
        _, http = start(generation=generation)
        answer = http.get("/groups/")
        assert answer.status_code == 400
        assert answer.json()["attr"] == "group_type_index"
        assert http.get("/groups/?group_type_index=x").status_code == status
        assert http.get("/groups/?group_type_index=4").json()["results"] == []


def test_search_reads_names_and_values_of_properties_or_a_whole_key(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    fill(sandbox, 12)
    assert len(walk(http, "/groups/?group_type_index=0&search=acme+00")) == 10
    assert len(walk(http, "/groups/?group_type_index=0&search=PLAN")) == 12
    assert walk(http, "/groups/?group_type_index=0&search=ORG_003") == ["org_003"]
    assert walk(http, "/groups/?group_type_index=0&search=org_00") == []
    assert len(walk(http, "/groups/?group_type_index=0&group_key=ORG_00")) == 10


def test_newer_lists_lag_behind_what_find_sees(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    sandbox.world.add_group_type("organization")
    sandbox.world.groups_lag = 60
    made = http.post("/groups/", json={"group_type_index": 0, "group_key": "acme"})
    assert made.status_code == 201
    url = "/groups/?group_type_index=0"
    find = "/groups/find/?group_type_index=0&group_key=acme"
    assert walk(http, url) == []
    assert http.get(find).json()["group_properties"] == {}
    sandbox.clock.advance(61)
    assert walk(http, url) == ["acme"]
    where = "/groups/update_property/?group_type_index=0&group_key=acme"
    http.post(where, json={"key": "plan", "value": "pro"})
    assert http.get(url).json()["results"][0]["group_properties"] == {}
    assert http.get(find).json()["group_properties"] == {"plan": "pro"}
    values = "/groups/property_values/?group_type_index=0&key=plan"
    assert http.get(values).json() == {"results": [], "refreshing": False}
    sandbox.clock.advance(61)
    assert http.get(values).json()["results"] == [{"name": "pro", "count": 1}]


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_a_duplicate_is_refused_and_a_create_is_checked(start: Start, generation: str) -> None:
    sandbox, http = start(generation=generation)
    sandbox.world.add_group_type("organization")
    body = {"group_type_index": 0, "group_key": "acme", "group_properties": {"a": 1}}
    assert http.post("/groups/", json=body).json()["group_properties"] == {"a": 1}
    assert http.post("/groups/", json=body).json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "A group with this key already exists",
        "attr": "detail",
    }
    for broken, code, attr in (
        ({"group_key": "x"}, "required", "group_type_index"),
        ({"group_type_index": 0}, "required", "group_key"),
        ({"group_type_index": 0, "group_key": "x" * 401}, "max_length", "group_key"),
        ({"group_type_index": "a", "group_key": "x"}, "invalid_input", "group_type_index"),
    ):
        answer = http.post("/groups/", json=broken)
        assert (answer.status_code, answer.json()["code"], answer.json()["attr"]) == (
            400,
            code,
            attr,
        )


def test_an_unknown_type_is_a_404_after_the_group_was_written(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    answer = http.post("/groups/", json={"group_type_index": 3, "group_key": "acme"})
    assert answer.status_code == 404
    assert http.get("/groups/find/?group_type_index=3&group_key=acme").status_code == 200


@pytest.mark.parametrize(("failure", "status"), [("capture_error", 400), (502, 502)])
def test_a_failed_capture_leaves_the_change_stored(
    docs: tuple[Sandbox, Http], failure: str | int, status: int
) -> None:
    sandbox, http = docs
    fill(sandbox, 1)
    sandbox.world.capture_failure = failure
    where = "/groups/update_property/?group_type_index=0&group_key=org_000"
    answer = http.post(where, json={"key": "plan", "value": "pro"})
    kind = "capture_error" if status == 400 else "capture_http_error"
    assert (answer.status_code, answer.json()) == (
        status,
        {
            "code": "Failed to submit group property update event.",
            "detail": kind,
            "type": kind,
        },
    )
    found = http.get("/groups/find/?group_type_index=0&group_key=org_000").json()
    assert found["group_properties"]["plan"] == "pro"


def test_properties_are_updated_and_deleted_one_by_one(start: Start) -> None:
    for generation in ("docs", "current"):
        sandbox, http = start(generation=generation)
        fill(sandbox, 1)
        query = "?group_type_index=0&group_key=org_000"
        update, delete = f"/groups/update_property/{query}", f"/groups/delete_property/{query}"
        for value in (False, 0, ""):
            body = http.post(update, json={"key": "flag", "value": value}).json()
            assert body["group_properties"]["flag"] == value
        missing = http.post(update, json={"key": "flag"}).json()
        assert missing["attr"] == "value"
        swapped = missing["code"] == "This field is required."
        assert swapped == (generation == "docs")
        body = http.post(delete, json={"$unset": "flag"}).json()
        assert "flag" not in body["group_properties"]
        again = http.post(delete, json={"$unset": "flag"})
        assert again.status_code == (500 if generation == "docs" else 400)
        assert http.post(update.replace("org_000", "nope"), json={}).status_code == 404
        no_key = http.post("/groups/update_property/?group_type_index=0", json={})
        assert no_key.status_code == (500 if generation == "docs" else 400)


def test_find_makes_a_notebook_where_the_crm_is_on(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    fill(sandbox, 2)
    sandbox.world.crm = True
    first = "/groups/find/?group_type_index=0&group_key=org_000"
    assert http.get(first + "&skip_create_notebook=true").json()["notebook"] is None
    notebook = http.get(first).json()["notebook"]
    assert notebook is not None
    assert http.get(first).json()["notebook"] == notebook


def test_upsert_properties_exists_only_when_switched_on(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    fill(sandbox, 1)
    where = "/groups/upsert_properties/?group_type_index=0&group_key=org_000"
    body = {"group_properties": {"plan": "team", "seats": 3}}
    answer = http.post(where, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Endpoint not found.")
    sandbox.world.upsert_properties = True
    assert http.post(where, json=body).json()["group_properties"] == {
        "name": "Acme 000",
        "plan": "team",
        "seats": 3,
    }


def test_activity_is_paged_by_number_and_found_by_key(start: Start) -> None:
    for generation in ("docs", "current"):
        sandbox, http = start(generation=generation)
        fill(sandbox, 1)
        query = "group_type_index=0&group_key=org_000"
        for number in range(11):
            where = f"/groups/update_property/?{query}"
            http.post(where, json={"key": f"p{number}", "value": number})
        body = http.get(f"/groups/activity/?{query}").json()
        assert (len(body["results"]), body["total_count"], body["previous"]) == (10, 11, None)
        assert body["results"][0]["detail"]["name"] == "p10"
        assert body["results"][0]["activity"] == "create_property"
        assert len(http.get(body["next"]).json()["results"]) == 1
        nobody = http.get("/groups/activity/?group_type_index=0&id=org_000")
        assert nobody.status_code == (404 if generation == "docs" else 400)


def test_property_values_are_the_twenty_most_frequent(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    fill(sandbox, 30)
    path = "/groups/property_values/?group_type_index=0"
    assert http.get(path + "&key=plan").json() == [
        {"name": "free", "count": 15},
        {"name": "pro", "count": 15},
    ]
    assert http.get(path + "&key=plan&value=PR").json() == [{"name": "pro", "count": 15}]
    assert len(http.get(path + "&key=name").json()) == 20
    assert http.get(path).status_code == 500


def test_property_definitions_went_away(
    docs: tuple[Sandbox, Http], current: tuple[Sandbox, Http]
) -> None:
    fill(docs[0], 2)
    assert docs[1].get("/groups/property_definitions/").json() == {
        "0": [{"name": "name", "count": 2}, {"name": "plan", "count": 2}]
    }
    assert current[1].get("/groups/property_definitions/").status_code == 404


def test_related_are_people_and_groups_of_the_same_events(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    fill(sandbox, 2)
    sandbox.world.add_group_type("project")
    sandbox.world.add_group(1, "prj", {"name": "Project"})
    sandbox.world.add_events(
        [
            {
                "event": "visit",
                "timestamp": sandbox.clock.now() - timedelta(days=days),
                "distinct_id": f"user_{days}",
                "properties": {"$group_0": "org_001", "$group_1": "prj"},
            }
            for days in (1, 100)
        ]
    )
    rows = http.get("/groups/related/?group_type_index=0&id=org_001").json()
    assert [(row["type"], row.get("distinct_ids"), row.get("group_key")) for row in rows] == [
        ("person", ["user_1"], None),
        ("group", None, "prj"),
    ]
    assert http.get("/groups/related/").status_code == 500


def test_types_are_a_bare_array_and_can_be_deleted(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    fill(sandbox, 0)
    sandbox.world.add_group_type("project", name_plural="projects")
    rows = http.get("/groups_types/").json()
    assert [row["group_type"] for row in rows] == ["organization", "project"]
    assert http.delete("/groups_types/1/").status_code == 204
    assert http.delete("/groups_types/1/").status_code == 404
    assert http.patch("/groups_types/update_metadata/", json=[]).status_code == 403


def test_usage_metrics_of_a_type(current: tuple[Sandbox, Http]) -> None:
    _, http = current
    path = "/groups_types/0/metrics/"
    made = http.post(path, json={"name": "Logins", "filters": {"events": []}})
    assert made.status_code == 201
    assert http.get(path).json()["count"] == 1
    one = f"{path}{made.json()['id']}/"
    refused = http.patch(one, json={"math": "sum"})
    assert refused.json()["attr"] == "math_property"
    assert http.get("/groups_types/1/metrics/").json()["count"] == 0
    assert http.delete(one).status_code == 204


# -- ingestion -------------------------------------------------------------------------------------


def identify(key: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    inner = {"$group_type": "organization", "$group_key": key, "$group_set": properties, **more}
    return {"event": "$groupidentify", "distinct_id": "loader", "properties": inner}


def test_groupidentify_events_change_groups_after_a_while(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    fill(sandbox, 1)
    sandbox.world.ingestion_lag = 30
    batch = [identify("org_000", {"plan": "team"}), identify("new", {"plan": "free"})]
    body = {"api_key": "phc_sandbox", "batch": batch}
    answer = httpx.post(sandbox.url + "/batch/", json=body)
    assert (answer.status_code, answer.json()) == (200, {"status": "Ok"})
    find = "/groups/find/?group_type_index=0&group_key="
    assert http.get(find + "new").status_code == 404
    sandbox.clock.advance(31)
    assert http.get(find + "new").json()["group_properties"] == {"plan": "free"}
    assert http.get(find + "org_000").json()["group_properties"] == {
        "name": "Acme 000",
        "plan": "team",
    }


def test_an_unknown_token_is_accepted_and_dropped_and_a_personal_key_refused(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    fill(sandbox, 0)
    url = sandbox.url + "/i/v0/e/"
    event = identify("acme", {"plan": "free"})
    assert httpx.post(url, json={"api_key": "phc_other", **event}).status_code == 200
    for token in ("phx_sandbox", ""):
        assert httpx.post(url, json={"api_key": token, **event}).status_code == 401
    sandbox.clock.advance(60)
    assert http.get("/groups/find/?group_type_index=0&group_key=acme").status_code == 404


def test_compressed_batches_and_events_without_a_profile(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    fill(sandbox, 0)
    quiet = identify("quiet", {"plan": "free"}, **{"$process_person_profile": False})
    body = {"api_key": "phc_sandbox", "batch": [identify("packed", {"plan": "pro"}), quiet]}
    raw = gzip.compress(json.dumps(body).encode())
    answer = httpx.post(sandbox.url + "/batch/", content=raw, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert httpx.post(sandbox.url + "/batch/", content=b"{").status_code == 400
    sandbox.clock.advance(60)
    assert walk(http, "/groups/?group_type_index=0") == ["packed"]


def test_a_new_group_type_takes_the_next_index_of_five(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    for number in range(7):
        event = identify("k", {})
        event["properties"]["$group_type"] = f"type_{number}"
        httpx.post(sandbox.url + "/e/", json={"api_key": "phc_sandbox", **event})
    sandbox.clock.advance(60)
    rows = http.get("/groups_types/").json()
    assert [row["group_type"] for row in rows] == [f"type_{number}" for number in range(5)]
