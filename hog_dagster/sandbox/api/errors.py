"""The body shapes in which PostHog answers errors, as recorded from a real server; a client must
survive all of them.
"""

from typing import Any


class ApiError(Exception):
    """An error answer: HTTP status, the JSON body and extra headers."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers: dict[str, str] = headers or {}


def _raised(status: int, kind: str, code: str, detail: str, attr: str | None = None) -> ApiError:
    """Shape 1: what a raised exception becomes. NB 403 has type authentication_error too."""
    return ApiError(status, {"type": kind, "code": code, "detail": detail, "attr": attr})


def validation(code: str, detail: str, attr: str | None = None) -> ApiError:
    """400 of shape 1; nested attributes are joined with double underscores."""
    if attr == "non_field_errors":
        attr = None  # named only when it is nested
    return _raised(400, "validation_error", code, detail, attr)


def bad_input(detail: str, attr: str | None = None) -> ApiError:
    """400 with DRF's code `invalid`, which PostHog renames `invalid_input`."""
    return validation("invalid_input", detail, attr)


def required(attr: str) -> ApiError:
    return validation("required", "This field is required.", attr)


def invalid_choice(value: object, attr: str) -> ApiError:
    return validation("invalid_choice", f'"{value}" is not a valid choice.', attr)


def parse_error(detail: str) -> ApiError:
    return _raised(400, "invalid_request", "parse_error", detail)


def not_acceptable() -> ApiError:
    detail = "Could not satisfy the request Accept header."
    return _raised(406, "invalid_request", "not_acceptable", detail)


def unsupported_media_type(media_type: str) -> ApiError:
    detail = f'Unsupported media type "{media_type}" in request.'
    return _raised(415, "invalid_request", "unsupported_media_type", detail)


def not_authenticated() -> ApiError:
    detail = "Authentication credentials were not provided."
    return _raised(401, "authentication_error", "not_authenticated", detail)


def unknown_key(where: str) -> ApiError:
    detail = f"Personal API key found in request {where} is invalid."
    return _raised(401, "authentication_error", "authentication_failed", detail)


def denied(detail: str) -> ApiError:
    return _raised(403, "authentication_error", "permission_denied", detail)


def missing_scope(scope: str) -> ApiError:
    return denied(f"API key missing required scope '{scope}'")


def not_open_to_keys(*, newer: bool = False) -> ApiError:
    """No scope can fix this one. The capitals went away in newer builds."""
    what = "personal API key" if newer else "Personal API Key"
    return denied(f"This action does not support {what} access")


def key_of_other_project(project_id: int) -> ApiError:
    return denied(f"API key does not have access to the requested project: ID {project_id}.")


def no_project_access() -> ApiError:
    return denied("You don't have access to the project.")


def not_found(detail: str = "Not found.") -> ApiError:
    return _raised(404, "invalid_request", "not_found", detail)


def project_not_found() -> ApiError:
    return not_found("Project not found.")


def endpoint_not_found() -> ApiError:
    """The detail that tells "this server has no such endpoint" from "no such workflow"."""
    return not_found("Endpoint not found.")


def method_not_allowed(method: str) -> ApiError:
    return _raised(405, "invalid_request", "method_not_allowed", f'Method "{method}" not allowed.')


def conflict(code: str, detail: str) -> ApiError:
    """409; the type is server_error, as recorded."""
    return _raised(409, "server_error", code, detail)


def stale_update() -> ApiError:
    return conflict(
        "stale_update",
        "This workflow was updated elsewhere since you loaded it. "
        "Reload to get the latest version before saving.",
    )


def throttled(seconds: int, *, header: bool) -> ApiError:
    plural = "" if seconds == 1 else "s"
    error = _limited(f"Request was throttled. Expected available in {seconds} second{plural}.")
    if header:
        error.headers["Retry-After"] = str(seconds)
    return error


def too_many_queries(most: int) -> ApiError:
    return _limited(f"Exceeded maximum concurrency limit: {most} for key: api and task: query")


def _limited(detail: str) -> ApiError:
    return _raised(429, "throttled_error", "throttled", detail)


def query_timeout() -> ApiError:
    detail = (
        "Query has hit the max execution time before completing. See our docs for how to improve "
        "your query performance. You may need to materialize."
    )
    return _raised(504, "server_error", "error", detail)


def server_error() -> ApiError:
    return _raised(500, "server_error", "error", "A server error occurred.")


def plain_error(status: int, text: str) -> ApiError:
    """Shape 2, made by hand: blocked_runs, replay_*, bulk_delete."""
    return ApiError(status, {"error": text})


def raw_fields(fields: dict[str, Any]) -> ApiError:
    """Shape 3, DRF's own: batch_jobs POST and invocations POST."""
    return ApiError(400, fields)


def status_error(status: int, message: str | list[str]) -> ApiError:
    """Shape 4: invocations and replay when the worker behind them refuses."""
    return ApiError(status, {"status": "error", "message": message})


def rerun_failed(status: int, detail: str) -> ApiError:
    """Shape 5: rerun."""
    return ApiError(status, {"queued_count": 0, "skipped_count": 0, "detail": detail})


def plain_detail(status: int, detail: str) -> ApiError:
    """Shape 6: `run`."""
    return ApiError(status, {"detail": detail})
