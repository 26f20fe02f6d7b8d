"""Responses of real PostHog servers, over HTTP: successes are read whole, errors are the right
ones.

``recordings.json`` holds requests and responses of PostHog's own application, shortened: servers of
2025-08 (hog functions, groups, insights, the oldest workflows), April 2026 (blocked runs) and mid
2026 (workflows).
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import BaseModel

from hog_dagster.posthog import PostHogClient, errors

RECORDINGS: dict[str, dict[str, Any]] = {
    entry["name"]: entry
    for entry in json.loads(Path(__file__).with_name("recordings.json").read_text("utf-8"))
}
SUCCESSES = [name for name, entry in RECORDINGS.items() if entry["status"] < 300]

AFTER, BEFORE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
RUN = {"instance_id": "i", "action_id": "a", "event_uuid": "e"}
EVENT = {"event": {"event": "x"}}

Call = Callable[[PostHogClient], Any]


def _logs(service: str) -> Call:
    return lambda c: list(getattr(c, service).logs("x", after=AFTER, before=BEFORE))


#: What is called for a recording: by the start of its name, the longest that fits.
CALLS: dict[str, Call] = {
    "auth_403_hog_flows_pak": lambda c: list(c.workflows.list()),
    "auth_403_missing_scope_groups": lambda c: list(c.groups.list(0)),
    "auth_403_missing_scope_hog_functions_write": lambda c: c.hog_functions.create({}),
    "auth_": lambda c: list(c.hog_functions.list()),
    "blocked_runs_": lambda c: list(c.workflows.blocked_runs("x")),
    "groups_find": lambda c: c.groups.find(0, "x"),
    "groups_list_": lambda c: list(c.groups.list(0)),
    "groups_property_values": lambda c: c.groups.property_values(0, "plan"),
    "groups_related": lambda c: c.groups.related("x", group_type_index=0),
    "groups_types_list": lambda c: c.groups.types(),
    "groups_update_property": lambda c: c.groups.update_property(0, "x", "k", 1),
    "hog_function_template_": lambda c: c.hog_functions.template("x"),
    "hog_function_templates_": lambda c: list(c.hog_functions.templates()),
    "hog_functions_create_": lambda c: c.hog_functions.create({}),
    "hog_functions_delete_405": lambda c: c.hog_functions.replace("x", {}),
    "hog_functions_icons": lambda c: c.hog_functions.icons(""),
    "hog_functions_invocations": lambda c: c.hog_functions.test_invocation(
        "x", globals=EVENT, configuration={}
    ),
    "hog_functions_list": lambda c: list(c.hog_functions.list()),
    "hog_functions_logs_": _logs("hog_functions"),
    "hog_functions_metrics_by": lambda c: c.hog_functions.metrics("x", breakdown_by="name"),
    "hog_functions_metrics_totals": lambda c: c.hog_functions.metric_totals("x"),
    "hog_functions_patch": lambda c: c.hog_functions.update("x", {"name": "n"}),
    "hog_functions_put": lambda c: c.hog_functions.replace("x", {}),
    "hog_functions_retrieve": lambda c: c.hog_functions.get("x"),
    "hog_functions_soft_delete": lambda c: c.hog_functions.restore("x"),
    "http_404_unknown": lambda c: c.workflows.replay_all_blocked_runs("x"),
    "insight_": lambda c: c.insights.get(13),
    "insights_list_basic": lambda c: list(c.insights.list()),
    "project_retrieve": lambda c: c.server.project(),
    "replay_all_": lambda c: c.workflows.replay_all_blocked_runs("x"),
    "replay_blocked_run_": lambda c: c.workflows.replay_blocked_run("x", RUN),
    "throttled_429": lambda c: list(c.workflows.list()),
    "workflows_2025_list": lambda c: list(c.workflows.list()),
    "workflows_2025_metrics": lambda c: c.workflows.metrics("x"),
    "workflows_batch_jobs_cancel": lambda c: c.workflows.cancel_batch_job("x", "y"),
    "workflows_batch_jobs_create": lambda c: c.workflows.create_batch_job("x"),
    "workflows_batch_jobs_list": lambda c: c.workflows.batch_jobs("x"),
    "workflows_bulk_delete": lambda c: c.workflows.bulk_delete(["x"]),
    "workflows_create_": lambda c: c.workflows.create({}),
    "workflows_invocations": lambda c: c.workflows.test_invocation("x", globals=EVENT),
    "workflows_list_": lambda c: list(c.workflows.list()),
    "workflows_logs_": _logs("workflows"),
    "workflows_metrics_global": lambda c: c.workflows.global_metrics(),
    "workflows_metrics_totals": lambda c: c.workflows.metric_totals("x"),
    "workflows_patch_": lambda c: c.workflows.update("x", {"name": "n"}),
    "workflows_retrieve": lambda c: c.workflows.get("x"),
    "workflows_schedules_create": lambda c: c.workflows.create_schedule("x", {}),
    "workflows_schedules_list": lambda c: c.workflows.schedules("x"),
    "workflows_user_blast_radius": lambda c: c.workflows.blast_radius({}),
}

#: The kind of each error, and its detail and attr where they are not the envelope's.
ERRORS: dict[str, tuple[type[errors.PostHogError], dict[str, Any]]] = {
    "auth_401_bad_key": (errors.AuthenticationError, {}),
    "auth_401_no_credentials": (errors.AuthenticationError, {}),
    "auth_403_hog_flows_pak_aug2025": (errors.NotOpenToKeys, {}),
    "auth_403_key_scoped_to_other_team": (errors.PermissionDenied, {}),
    "auth_403_missing_scope_groups": (errors.MissingScope, {"scope": "group:read"}),
    "auth_403_missing_scope_hog_functions_write": (
        errors.MissingScope,
        {"scope": "hog_function:write"},
    ),
    "auth_403_project_of_other_org": (errors.PermissionDenied, {}),
    "auth_404_project_not_a_number": (errors.NotFound, {}),
    "blocked_runs_400_limit": (errors.InvalidRequest, {"detail": "limit must be an integer"}),
    "blocked_runs_403_scoped_key": (errors.NotOpenToKeys, {}),
    "groups_find_404": (errors.NotFound, {}),
    "groups_list_400_no_type_index": (errors.InvalidRequest, {}),
    "groups_list_bad_cursor": (errors.NotFound, {}),
    "groups_list_type_index_not_int": (errors.ServerError, {}),
    "groups_update_property": (errors.InvalidRequest, {"detail": "capture_error"}),
    "hog_function_template_404": (errors.NotFound, {}),
    "hog_functions_create_400_bad_json": (errors.InvalidRequest, {}),
    "hog_functions_create_400_masking": (errors.InvalidRequest, {}),
    "hog_functions_create_400_missing_input": (errors.InvalidRequest, {}),
    "hog_functions_delete_405": (errors.EndpointMissing, {"code": None, "detail": None}),
    "hog_functions_invocations_400_missing_event": (errors.InvalidRequest, {"detail": None}),
    "hog_functions_invocations_400_no_configuration": (
        errors.InvalidRequest,
        {"detail": "This field is required.", "attr": "configuration"},
    ),
    "hog_functions_list_400_bad_created_by": (errors.InvalidRequest, {}),
    "hog_functions_list_400_bad_filter_groups": (errors.InvalidRequest, {}),
    "hog_functions_logs_400_limit_too_big": (errors.InvalidRequest, {}),
    "hog_functions_logs_search": (errors.NotFound, {}),
    "hog_functions_patch_400_change_type": (errors.InvalidRequest, {}),
    "http_404_unknown_api_path": (errors.EndpointMissing, {}),
    "insight_delete_405": (errors.EndpointMissing, {"code": None, "detail": None}),
    "insight_retrieve_by_short_id": (errors.NotFound, {}),
    "replay_all_404": (errors.NotFound, {}),
    "replay_all_flag_off_403": (
        errors.PermissionDenied,
        {"detail": "This feature is not enabled"},
    ),
    "replay_blocked_run_400_missing": (
        errors.InvalidRequest,
        {"detail": "event_uuid, action_id, and instance_id are required"},
    ),
    "replay_blocked_run_404_unknown_run": (
        errors.NotFound,
        {"detail": "Blocked run a06a421f-1800-4bf8-92fe-f9be6e5c3d3a not found for this workflow"},
    ),
    "throttled_429_hog_flows": (errors.Throttled, {"wait_s": 43.0}),
    "workflows_batch_jobs_create_400_bad_status": (
        errors.InvalidRequest,
        {"detail": '"bogus" is not a valid choice.', "attr": "status"},
    ),
    "workflows_batch_jobs_create_400_not_active": (errors.InvalidRequest, {}),
    "workflows_bulk_delete_400_uuid": (
        errors.InvalidRequest,
        {"detail": "One or more IDs are not valid UUIDs"},
    ),
    "workflows_create_400_dup_variable": (errors.InvalidRequest, {}),
    "workflows_create_400_edge": (errors.InvalidRequest, {}),
    "workflows_create_400_missing_input": (errors.InvalidRequest, {}),
    "workflows_create_415": (errors.InvalidRequest, {}),
    "workflows_patch_409_stale": (errors.Conflict, {}),
    "workflows_schedules_create_400_rrule": (errors.InvalidRequest, {}),
    "workflows_user_blast_radius_400_flag": (errors.InvalidRequest, {}),
    "workflows_user_blast_radius_403": (errors.MissingScope, {"scope": "person:read"}),
}


class _Recorded(BaseHTTPRequestHandler):
    """Answers ``/<name of a recording>/...`` with that recording."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # Head and body in one packet: no wait for an acknowledgement in between.

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        entry = RECORDINGS[url.path.split("/")[1]]
        body = entry["body"]
        if "/logs/" in url.path and entry["status"] == 200:
            body = _within(body, parse_qs(url.query))
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(entry["status"])
        for name, value in entry.get("headers", {}).items():
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Tests want no access log."""


def _within(body: Any, query: dict[str, list[str]]) -> Any:
    """Log rows between the bounds, both exclusive: logs are read by window."""
    after, before = (datetime.fromisoformat(query[name][0]) for name in ("after", "before"))
    return {**body, "results": [r for r in body["results"] if after < _utc(r) < before]}


def _utc(row: dict[str, Any]) -> datetime:
    moment = datetime.fromisoformat(row["timestamp"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Recorded)
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


def call(server: str, name: str) -> Any:
    """The client's answer where the server answers with the recording."""
    fits = [start for start in CALLS if name.startswith(start)]
    with PostHogClient(f"{server}/{name}", "phx_test", 1, limits=False, max_wait=0) as client:
        return CALLS[max(fits, key=len)](client)


def plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    return [plain(item) for item in value] if isinstance(value, list) else value


def differences(raw: Any, read: Any, path: str = "") -> Iterator[str]:
    """Where what was read lacks, or says something else than, what was answered."""
    if isinstance(raw, dict) and isinstance(read, dict):
        for key, value in raw.items():
            if key in read:
                yield from differences(value, read[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is lost"
    elif isinstance(raw, list) and isinstance(read, list):
        if len(raw) != len(read):
            yield f"{path}: {len(read)} of {len(raw)}"
        for left, right in zip(raw, read, strict=False):
            yield from differences(left, right, f"{path}[]")
    elif isinstance(read, datetime):
        if _utc({"timestamp": raw}) - read != timedelta():
            yield f"{path}: {read} for {raw}"
    elif raw != read and not (raw == {} and read == []):  # Old rows hold {} for an empty list.
        yield f"{path}: {read!r} for {raw!r}"


@pytest.mark.parametrize("name", SUCCESSES)
def test_a_recorded_success_is_read_with_nothing_dropped(server: str, name: str) -> None:
    answered = RECORDINGS[name]["body"]
    read = plain(call(server, name))
    if isinstance(answered, dict) and isinstance(read, list):
        answered = answered["results"]
    if isinstance(read, int):
        answered = answered["deleted"]
    assert list(differences(answered, read)) == []


@pytest.mark.parametrize("name", ERRORS)
def test_a_recorded_error_is_raised_as_what_it_is(server: str, name: str) -> None:
    kind, said = ERRORS[name]
    entry = RECORDINGS[name]
    with pytest.raises(errors.PostHogError) as caught:
        call(server, name)
    error = caught.value
    assert type(error) is kind
    assert error.status == entry["status"]
    envelope = entry["body"] if isinstance(entry["body"], dict) else {}
    expected = {field: envelope.get(field) for field in ("code", "detail", "attr")} | said
    assert {field: getattr(error, field) for field in expected} == expected
    assert "phx_test" not in str(error) + repr(error)


def test_every_recording_is_played() -> None:
    assert set(SUCCESSES) | set(ERRORS) == set(RECORDINGS)
