"""From an HTTP response to data or to the right error, without sending anything.

Facts: the body shapes real servers answered with: the envelope of drf-exceptions-hog,
``{"error"}``, ``{"errors"}``, ``{"status": "error", "message"}``, ``{"detail"}``, rerun failures,
plain Django REST framework field dictionaries, empty bodies, HTML, and JSON cut short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import msgspec

from hog_dagster._shared.secrets import mask_text, path_of, shown_header, without_arguments
from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint

_SUBJECTS = {
    "workflows": "workflow",
    "hog_functions": "hog function",
    "groups": "group",
    "insights": "insight",
    "messaging": "workflow",
    "batch_exports": "batch export",
}
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "x-amzn-trace-id", "cf-ray")
_SCOPE = re.compile(r"missing required scope[s]? '([^']+)'", re.IGNORECASE)
_SECONDS = re.compile(r"available in (\d+) second", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response and the call it belongs to: the arguments that filled its path, the URL
    without credentials, the body decompressed.

    ``recognised`` is to be called when the body turns out to be what the endpoint answers: only
    then PostHog wrote the response, and its ``Date`` tells PostHog's time.
    """

    endpoint: Endpoint
    arguments: Mapping[str, object]
    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    recognised: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def request_id(self) -> str | None:
        """The server's (or its proxy's) id of the request, when it names one."""
        found = (self.headers[h] for h in _REQUEST_IDS if self.headers.get(h))
        return next(map(shown_header, found), None)

    @property
    def subject(self) -> str:
        """What the call was about, in words: ``workflow 0196...``; empty for a list."""
        service = self.endpoint.name.partition(".")[0]
        noun, ident = _SUBJECTS.get(service, service), self.arguments.get("id")
        return f"{noun} {ident}" if ident is not None else ""

    @property
    def is_html(self) -> bool:
        """Whether the body is a web page and not JSON."""
        return "html" in self.headers.get("content-type", "") or self.content[
            :64
        ].lstrip().lower().startswith((b"<!doctype", b"<html"))


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error body says, whatever its shape."""

    code: str | None = None
    detail: str | None = None
    attr: str | None = None


def decode(content: bytes) -> Any:
    """JSON bytes as Python values.

    Raises:
        ValueError: the bytes are not JSON, or are nested too deeply.
    """
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The standard library also reads NaN, and halves of surrogate pairs, which text cut by
        # JavaScript ends in; those are replaced, because nothing downstream can encode them.
        try:
            data = json.loads(content.decode("utf-8", "replace"))
            return json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def find_problem(content: bytes) -> Problem:
    """Code, detail and attr of an error body of any known shape; never raises."""
    if not content.strip():
        return Problem()
    try:
        body = decode(content)
    except ValueError:
        return Problem(detail=_text_of(content))
    try:
        if isinstance(body, dict):
            return _from_dict(body)
        attr, detail = _first_message(body, "")
    except RecursionError:
        return Problem()
    return Problem(detail=detail, attr=attr or None)


def _from_dict(body: dict[str, Any]) -> Problem:
    if isinstance(body.get("query_status"), dict):
        # A failed calculation answers its status, not an error envelope.
        return Problem(detail=_str(body["query_status"].get("error_message")))
    if isinstance(body.get("detail"), str) and body["detail"]:
        return Problem(_str(body.get("code")), body["detail"], _str(body.get("attr")))
    for name in ("error", "errors", "message", "error_message"):
        if body.get(name) and (name != "message" or _is_words(body[name])):
            attr, detail = _first_message(body[name], "")
            return Problem(_str(body.get("code")), detail, _str(body.get("attr")) or attr or None)
    if isinstance(body.get("status"), str) or "code" in body:
        return Problem(_str(body.get("code")), None, _str(body.get("attr")))
    attr, detail = _first_message(body, "")
    return Problem(None, detail, attr or None)


def _is_words(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _first_message(value: object, path: str) -> tuple[str, str | None]:
    """The first message in a nest of dictionaries and lists, and the path to it."""
    if isinstance(value, str):
        return path, value
    if isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            return path, "; ".join(value)
        pairs = list(enumerate(value))
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        return path, None if value is None else str(value)
    for name, item in pairs:
        where, message = _first_message(item, f"{path}__{name}" if path else str(name))
        if message:
            return where, message
    return path, None


def _str(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _text_of(content: bytes) -> str:
    text = content[:20_000].decode("utf-8", "replace")
    title = _TITLE.search(text)
    if title:
        return " ".join(title.group(1).split())[:200]
    return " ".join(text.split())[:200]


def retry_after_in_detail(content: bytes) -> float | None:
    """Seconds named in a throttle's sentence: ``Expected available in 37 seconds.``"""
    found = _SECONDS.search(find_problem(content).detail or "")
    return float(found.group(1)) if found else None


def is_too_much_text(detail: str | None) -> bool:
    """Whether an error's text is PostHog's for a query that took too much time or memory."""
    return bool(re.match(r"Query has (hit|reached) the max", detail or ""))


def error_from(response: Response, *, host: str = "", foreign: bool = False) -> errors.PostHogError:
    """The error that a refused or failed response stands for; what the server said in it is
    without secrets and personal data. ``foreign``: PostHog did not write it, and PostHog has
    answered from there before, so the host is not to blame."""
    problem = Problem(
        *(text and mask_text(text) for text in astuple(find_problem(response.content)))
    )
    status, detail = response.status, problem.detail or ""
    if foreign:
        hint = f"Something before PostHog wrote this. {_doubt(response.endpoint)}"
        kind, extra = errors.ForeignResponse, {}
    else:
        kind, extra, hint = _classify(response, detail, host)
    said = detail if len(detail) <= _LONGEST else detail[:_LONGEST] + "..."
    if response.is_html:
        said = f"a web page, not an API answer ({said or 'no title'})"
    where = f" at {problem.attr}" if problem.attr else ""
    about = f" for {response.subject}" if response.subject else ""
    message = f"{response.endpoint.method} {path_of(response.url)} answered {status}{about}"
    message += f"{where}: {said.rstrip('.')}." if said else f"{where}, without saying why."
    if hint:
        message += f" {hint}"
    if response.request_id:
        message += f" (request id {response.request_id})"
    return kind(
        message,
        status=status,
        code=problem.code,
        detail=problem.detail,
        attr=problem.attr,
        method=response.endpoint.method,
        url=without_arguments(response.url),
        request_id=response.request_id,
        **extra,
    )


def _classify(
    response: Response, detail: str, host: str
) -> tuple[type[errors.PostHogError], dict[str, Any], str]:
    """Class, further fields and the sentence that says what to do next."""
    status, said = response.status, detail.lower()
    if response.is_html and status < 500:
        kind = errors.NotFound if status == 404 else errors.InvalidRequest
        kind = errors.PermissionDenied if status in (401, 403) else kind
        return kind, {}, f"Is POSTHOG_HOST right? It is {host or 'unset'}."
    if status in _SIMPLE:
        kind, hint = _SIMPLE[status]
        return kind, {}, hint
    if status == 401:
        return errors.AuthenticationError, {}, _key_hint(host)
    if status == 403:
        return _classify_403(response, detail, said)
    if status in (404, 405):
        return _classify_404(response, said)
    if status == 429:
        hint = "Wait, raise max_wait_seconds, or give this work a key of its own."
        return errors.Throttled, {"wait_s": retry_after_in_detail(response.content) or 0.0}, hint
    too_much = status == 504 and is_too_much_text(detail)
    if (status in (512, 513) or too_much) and not response.is_html:
        return errors.QueryTooLarge, {}, "Ask for a smaller window."
    if status >= 500:
        return errors.ServerError, {}, _doubt(response.endpoint)
    return errors.InvalidRequest, {}, ""


_SIMPLE: dict[int, tuple[type[errors.PostHogError], str]] = {
    402: (errors.PermissionDenied, "PostHog asks for a plan or quota that allows this."),
    409: (errors.Conflict, "Read it again, apply the change to what is there now, retry."),
}


def _key_hint(host: str) -> str:
    region = ""
    if host.endswith(("us.posthog.com", "eu.posthog.com")):
        region = f" Keys belong to one region; this one was sent to {host} (POSTHOG_HOST)."
    return (
        "Check POSTHOG_API_KEY: it must be a personal API key (phx_...), made in PostHog under "
        f"Settings > Personal API keys, not rolled or deleted since.{region}"
    )


def _doubt(endpoint: Endpoint) -> str:
    if endpoint.effect == "act":
        return "It may have happened all the same: find out before sending it again."
    return "Try again later."


def _classify_403(
    response: Response, detail: str, said: str
) -> tuple[type[errors.PostHogError], dict[str, Any], str]:
    scope = _SCOPE.search(detail)
    if scope:
        name = scope.group(1)
        wanted = [s for s in response.endpoint.scopes if s != name]
        also = f" (the call also needs {', '.join(wanted)})" if wanted else ""
        hint = (
            f"Add the scope {name} to the key in POSTHOG_API_KEY: PostHog, Settings > "
            f"Personal API keys{also}."
        )
        return errors.MissingScope, {"scope": name}, hint
    if "does not support personal api key access" in said:
        other = response.endpoint.closed or "A newer PostHog does, or use PostHog's own interface."
        hint = f"This server opens the action to no scoped key, whatever its scopes. {other}"
        return errors.NotOpenToKeys, {}, hint
    if "not enabled" in said:
        return errors.PermissionDenied, {}, "The feature is switched off for this project."
    if "access to the requested project" in said or "access to the project" in said:
        return (
            errors.PermissionDenied,
            {},
            "Check POSTHOG_PROJECT_ID, and that the key in POSTHOG_API_KEY may read that project.",
        )
    return errors.PermissionDenied, {}, ""


def _classify_404(
    response: Response, said: str
) -> tuple[type[errors.PostHogError], dict[str, Any], str]:
    if response.status == 405 or "endpoint not found" in said:
        hint = f"This PostHog server does not have this endpoint. {response.endpoint.instead}"
        return errors.EndpointMissing, {}, hint.rstrip()
    if "project not found" in said:
        return errors.NotFound, {}, "Check POSTHOG_PROJECT_ID and POSTHOG_HOST."
    if response.subject:
        return errors.NotFound, {}, "Check the id, and that it belongs to POSTHOG_PROJECT_ID."
    return errors.NotFound, {}, "Check POSTHOG_PROJECT_ID."
