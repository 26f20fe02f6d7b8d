"""Group properties in bulk, through an ingestion endpoint that a test runs itself."""

from collections.abc import Iterator
from typing import Any

import pytest
from small_posthog import SmallPostHog, serve

from hog_dagster.posthog import errors
from hog_dagster.posthog._services.capture import GroupCapture, ingestion_host


class Ingestion(SmallPostHog):
    """Takes batches, and answers what it is told to."""

    answers: list[tuple[int, Any]]

    def route(self, asked: Any) -> tuple[int, Any]:
        if (asked.method, asked.path) != ("POST", "/batch/"):
            return 404, None
        status, said = self.answers.pop(0) if self.answers else (200, {"status": "Ok"})
        if status == 200:
            self.events.extend(asked.body["batch"])
        return status, said


@pytest.fixture
def server() -> Iterator[Ingestion]:
    small = Ingestion()
    small.answers = []
    with serve(small):
        yield small


def test_groups_are_sent_as_group_identify_events_of_one_batch(server: Ingestion) -> None:
    with GroupCapture(server.url, "phc_token") as capture:
        capture.identify("organization", [("acme", {"plan": "pro"}), ("x" * 400, {"seats": 1})])
        assert capture.requests_made == 1
    (asked,) = server.asked
    assert asked.body["api_key"] == "phc_token"
    first, second = server.events
    assert first["event"] == "$groupidentify"
    assert first["properties"]["$group_type"] == "organization"
    assert first["properties"]["$group_key"] == "acme"
    assert first["properties"]["$group_set"] == {"plan": "pro"}
    # An event that processes no person profile does not change its group.
    assert "$process_person_profile" not in first["properties"]
    assert all(len(event["distinct_id"]) <= 200 for event in (first, second))
    assert first["uuid"] != second["uuid"]


def test_a_passing_fault_is_tried_again_with_the_same_events(server: Ingestion) -> None:
    server.answers = [(503, None), (502, {"error": "busy"})]
    with GroupCapture(server.url, "phc_token", pause=0.0) as capture:
        capture.identify("organization", [("acme", {"plan": "pro"})])
    bodies = [asked.body for asked in server.asked]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]


def test_a_lasting_fault_is_raised(server: Ingestion) -> None:
    server.answers = [(503, None)] * 9
    with (
        GroupCapture(server.url, "phc_token", pause=0.0) as capture,
        pytest.raises(errors.ServerError),
    ):
        capture.identify("organization", [("acme", {})])
    server.answers = []
    gone = GroupCapture("http://127.0.0.1:9", "phc_token", pause=0.0)
    with gone, pytest.raises(errors.TransportError, match="no response"):
        gone.identify("organization", [("acme", {})])


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, {"detail": "Project API key invalid: phc_token"}, errors.AuthenticationError),
        (413, "too large", errors.InvalidRequest),
        (400, {"error": "bad event"}, errors.InvalidRequest),
        (429, {"detail": "billing limit"}, errors.Throttled),
        (200, {"status": "Ok", "quota_limited": ["events"]}, errors.Throttled),
    ],
)
def test_refusals_are_told_apart_and_never_show_the_token(
    server: Ingestion, status: int, said: Any, kind: type[errors.PostHogError]
) -> None:
    server.answers = [(status, said)]
    with GroupCapture(server.url, "phc_token") as capture, pytest.raises(kind) as raised:
        capture.identify("organization", [("acme", {})])
    assert "phc_token" not in str(raised.value)
    assert "phc_token" not in repr(capture)
    assert len(server.asked) == 1


@pytest.mark.parametrize("token", ["", "  ", "phx_personal"])
def test_only_a_project_token_will_do(token: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="project token"):
        GroupCapture("http://127.0.0.1:9", token)


@pytest.mark.parametrize(
    ("app", "ingestion"),
    [
        ("https://us.posthog.com", "https://us.i.posthog.com"),
        ("https://eu.posthog.com/", "https://eu.i.posthog.com"),
        ("https://posthog.example.com/", "https://posthog.example.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_cloud_takes_events_at_another_host(app: str, ingestion: str) -> None:
    assert ingestion_host(app) == ingestion
