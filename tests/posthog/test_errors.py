"""Error bodies of every shape real servers answer with, and what the errors say."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted_server import Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._responses import find_problem

KEY = "phx_secret0secret0secret0secret0secret0"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FLOW = "0196a0b2-0c11-0000-9d1a-6f3c2e4b7a55"


def envelope(
    kind: str, code: str, detail: str, attr: str | None = None, **more: Any
) -> dict[str, Any]:
    return {"type": kind, "code": code, "detail": detail, "attr": attr, **more}


def refusal(status: int, body: Any, **headers: str) -> errors.PostHogError:
    """What reading a workflow raises when the server answers so."""
    with (
        scripted(Reply(status, body, headers)) as server,
        PostHogClient(server.url, KEY, 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.PostHogError) as caught,
    ):
        client.workflows.get(FLOW)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        (
            envelope("validation_error", "invalid_input", "Required.", "actions__1__config"),
            "invalid_input",
            "Required.",
            "actions__1__config",
        ),
        (
            envelope("validation_error", "required", "Missing.", None, extra={"a": 1}),
            "required",
            "Missing.",
            None,
        ),
        ({"error": "limit must be an integer"}, None, "limit must be an integer", None),
        ({"errors": ["one", "two"]}, None, "one; two", None),
        ({"errors": {"name": ["too long"]}}, None, "too long", "name"),
        ({"status": "error", "message": "Missing event"}, None, "Missing event", None),
        ({"status": "error", "message": ["first", "second"]}, None, "first; second", None),
        ({"status": "error"}, None, None, None),
        ({"status": ['"x" is not a choice.']}, None, '"x" is not a choice.', "status"),
        (
            {"filters": {"properties": [{}, {"key": ["Required."]}]}},
            None,
            "Required.",
            "filters__properties__1__key",
        ),
        ({"message": {"text": ["Required."]}}, None, "Required.", "message__text"),
        (
            {"queued_count": 0, "skipped_count": 0, "detail": "upstream is down"},
            None,
            "upstream is down",
            None,
        ),
        ({"detail": "in progress"}, None, "in progress", None),
        (["first", "second"], None, "first; second", None),
        ("plain words", None, "plain words", None),
        (None, None, None, None),
        ({}, None, None, None),
    ],
)
def test_the_message_is_found_in_a_body_of_any_shape(
    body: Any, code: str | None, detail: str | None, attr: str | None
) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    problem = find_problem(content)
    assert (problem.code, problem.detail, problem.attr) == (code, detail, attr)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"<html><head><title>502 Bad\n Gateway</title></head></html>", "502 Bad Gateway"),
        (b'{"type":"server_error","det', '{"type":"server_error","det'),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        (b'{"detail":"half a pair \\ud83d"}', "half a pair ?"),
        (b'{"detail": NaN}', "nan"),
    ],
)
def test_bodies_that_are_no_json_are_quoted_and_never_break_the_parser(
    content: bytes, detail: str
) -> None:
    assert find_problem(content).detail == detail


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, envelope("validation_error", "invalid", "No."), errors.InvalidRequest),
        (401, envelope("authentication_error", "x", "No."), errors.AuthenticationError),
        (402, {"detail": "quota"}, errors.PermissionDenied),
        (403, {"error": "This feature is not enabled"}, errors.PermissionDenied),
        (403, {"detail": "API key missing required scope 'a:read'"}, errors.MissingScope),
        (
            403,
            {"detail": "This action does not support Personal API Key access"},
            errors.NotOpenToKeys,
        ),
        (
            403,
            {"detail": "This action does not support personal API key access"},
            errors.NotOpenToKeys,
        ),
        (404, {"detail": "Not found."}, errors.NotFound),
        (404, {"detail": "Endpoint not found."}, errors.EndpointMissing),
        (405, None, errors.EndpointMissing),
        (409, {"detail": "stale"}, errors.Conflict),
        (415, {"detail": "media type"}, errors.InvalidRequest),
        (429, {"detail": "available in 7 seconds."}, errors.Throttled),
        (500, {"detail": "A server error occurred."}, errors.ServerError),
        (503, b"<html><title>busy</title></html>", errors.ServerError),
        (512, {"detail": "too slow"}, errors.QueryTooLarge),
        (513, {"detail": "out of memory"}, errors.QueryTooLarge),
    ],
)
def test_the_class_says_what_to_do(status: int, body: Any, kind: type[errors.PostHogError]) -> None:
    error = refusal(status, body)
    assert type(error) is kind
    assert error.status == status
    assert error.method == "GET"
    assert error.url is not None
    assert FLOW in error.url
    assert FLOW in str(error)
    assert str(status) in str(error)


def test_a_missing_scope_is_named_with_where_to_add_it() -> None:
    error = refusal(403, {"detail": "API key missing required scope 'hog_flow:read'"})
    assert isinstance(error, errors.MissingScope)
    assert error.scope == "hog_flow:read"
    assert "POSTHOG_API_KEY" in str(error)
    assert "Personal API keys" in str(error)


def test_a_wrong_key_names_its_setting_and_how_to_make_one() -> None:
    error = refusal(401, envelope("authentication_error", "x", "Key is invalid."))
    assert "POSTHOG_API_KEY" in str(error)
    assert "phx_..." in str(error)


def test_a_web_page_names_the_host_setting() -> None:
    error = refusal(404, b"<!DOCTYPE html><title>Not here</title>")
    assert isinstance(error, errors.NotFound)
    assert "POSTHOG_HOST" in str(error)
    assert "Not here" in str(error)


def test_a_project_that_is_not_there_names_its_setting() -> None:
    error = refusal(404, {"detail": "Project not found."})
    assert "POSTHOG_PROJECT_ID" in str(error)


def test_the_request_id_is_kept_and_said() -> None:
    error = refusal(500, {"detail": "oops"}, **{"X-Request-ID": "req-17"})
    assert error.request_id == "req-17"
    assert "req-17" in str(error)


def test_the_key_is_blanked_when_a_server_repeats_it() -> None:
    error = refusal(400, {"detail": f"key {KEY} is odd"})
    assert KEY not in str(error)
    assert error.detail == "key *** is odd"


def test_a_missing_endpoint_names_what_replaced_it() -> None:
    with (
        scripted(Reply(404, {"detail": "Endpoint not found."})) as server,
        PostHogClient(server.url, KEY, 1, limits=False) as client,
    ):
        with pytest.raises(errors.EndpointMissing, match="rerun"):
            list(client.workflows.blocked_runs(FLOW))
        with pytest.raises(errors.EndpointMissing, match="replay_blocked_run"):
            client.workflows.rerun(
                FLOW, window_start=NOON, window_end=NOON + timedelta(hours=1), status="failed"
            )


def test_errors_survive_pickling_with_their_fields() -> None:
    for error in (
        refusal(403, {"detail": "API key missing required scope 'hog_flow:read'"}),
        refusal(429, {"detail": "available in 7 seconds."}),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_the_tree_is_as_documented() -> None:
    tree = {
        errors.PermissionDenied: [errors.MissingScope, errors.NotOpenToKeys],
        errors.NotFound: [errors.EndpointMissing],
        errors.ServerError: [errors.ForeignResponse],
    }
    for parent, children in tree.items():
        assert all(issubclass(child, parent) for child in children)
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.PostHogError)
    assert sorted(errors.__all__) == errors.__all__


def test_what_can_work_later_is_told_apart_from_what_cannot() -> None:
    later = {
        errors.Throttled,
        errors.ServerError,
        errors.ForeignResponse,
        errors.TransportError,
        errors.UnsettledList,
    }
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert kind.permanent is (kind not in later)


def test_what_a_server_repeats_of_secrets_and_people_is_in_no_error() -> None:
    detail = "key phx_other0other0other for ada@example.com by https://u:s3cr3t@h/ and token=s3cr3t"
    headers = {"X-Request-Id": "Bearer s3cr3t.s3cr3t", "Content-Type": "application/json"}
    error = refusal(400, envelope("validation_error", "invalid_input", detail), **headers)
    shown = f"{error} {vars(error)}"
    for one in ("phx_other", "ada@", "s3cr3t"):
        assert one not in shown
    assert "[redacted]" in str(error)


@pytest.mark.parametrize("place", ["http://[x", "//", "/phx_other0other0other"])
def test_a_redirect_to_an_odd_place_is_refused(place: str) -> None:
    error = refusal(302, "", Location=place)
    assert isinstance(error, errors.RedirectRefused)
    assert "phx_other" not in str(error)


def test_a_body_of_the_wrong_shape_is_told_without_what_it_holds() -> None:
    error = refusal(200, {"id": FLOW, "name": {"a": "Ada"}, "created_at": "Ada Lovelace"})
    assert isinstance(error, errors.MalformedResponse)
    assert "Ada" not in f"{error} {vars(error)}"
