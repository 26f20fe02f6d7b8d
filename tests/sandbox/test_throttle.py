"""Rate limits: two sliding windows per key and bucket, charged as the framework charges them."""

import httpx
import pytest

from hog_dagster.sandbox.server._throttle import REAL_LIMITS, Throttle
from tests.sandbox.bodies import raised
from tests.sandbox.conftest import Http, Start


class Ticker:
    """A time source that moves when told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_the_real_limits_are_those_of_the_cloud() -> None:
    assert REAL_LIMITS["default"] == ((480, 60.0), (4800, 3600.0))
    assert REAL_LIMITS["insights"] == ((240, 60.0), (1200, 3600.0))


def test_a_window_slides_and_says_how_long_to_wait() -> None:
    time = Ticker()
    throttle = Throttle({"default": ((3, 60.0),)}, monotonic=time)
    for _ in range(3):
        assert throttle.charge("a", "default") is None
        time.at += 10
    assert throttle.charge("a", "default") == 30
    time.at += 29.5
    assert throttle.charge("a", "default") == 1
    time.at += 0.5
    assert throttle.charge("a", "default") is None
    assert throttle.charge("a", "default") == 10


def test_a_request_refused_by_the_minute_is_still_charged_to_the_hour() -> None:
    time = Ticker()
    throttle = Throttle({"default": ((2, 60.0), (5, 3600.0))}, monotonic=time)
    answers = [throttle.charge("a", "default") for _ in range(6)]
    assert answers == [None, None, 60, 60, 60, 3600]
    time.at += 61
    assert throttle.charge("a", "default") == 3539


def test_keys_and_buckets_have_windows_of_their_own() -> None:
    throttle = Throttle({"default": ((1, 60.0),), "insights": ((1, 60.0),)}, monotonic=Ticker())
    assert throttle.charge("a", "default") is None
    assert throttle.charge("b", "default") is None
    assert throttle.charge("a", "insights") is None
    assert throttle.charge("a", "default") == 60


def test_limits_can_be_switched_off() -> None:
    throttle = Throttle(False, monotonic=Ticker())
    assert {throttle.charge("a", "default") for _ in range(6000)} == {None}


@pytest.mark.parametrize("header", [True, False])
def test_429_carries_the_wait_in_its_text_and_perhaps_in_its_header(
    start: Start, header: bool
) -> None:
    sandbox, http = start(
        limits={"default": ((2, 600.0), (50, 3600.0))},
        retry_after_header=header,
        keys={"phx_a": ["*"], "phx_b": ["*"]},
    )
    workflow = sandbox.world.add_workflow()["id"]
    assert [http.get("/hog_flows/").status_code for _ in range(2)] == [200, 200]
    for answer in (
        http.get("/hog_flows/"),
        http.get(f"/hog_flows/{workflow}/logs/"),
        http.post("/hog_flows/", json={}),
    ):
        assert answer.status_code == 429
        wait = int(answer.json()["detail"].split()[-2])
        detail = f"Request was throttled. Expected available in {wait} seconds."
        assert answer.json() == raised("throttled_error", "throttled", detail)
        assert answer.headers.get("retry-after") == (str(wait) if header else None)
    with Http(sandbox, "phx_b") as other:
        assert other.get("/hog_flows/").status_code == 200


def test_a_request_without_the_scope_is_refused_before_it_is_charged(start: Start) -> None:
    sandbox, http = start(limits={"default": ((1, 600.0),)}, keys={"phx_a": ["hog_flow:read"]})
    for _ in range(3):
        assert http.post("/hog_flows/", json={}).status_code == 403
    assert http.get("/hog_flows/").status_code == 200
    unknown = httpx.get(
        f"{sandbox.url}/api/projects/1/hog_flows/", headers={"Authorization": "Bearer phx_x"}
    )
    assert unknown.status_code == 401
