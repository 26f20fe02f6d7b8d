"""What a response says about the effect of a write: the one place where that is decided.

Facts: the error bodies and successes that real PostHog servers answered with, per endpoint, and
what proxies, firewalls and load balancers put in their place, before or after PostHog acted.

A response says something about the effect only when PostHog wrote it, and only PostHog's own shapes
count as PostHog's. Everything else leaves the effect unknown, whatever its status.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hog_dagster.posthog._responses import Response, decode
from hog_dagster.posthog.errors import Outcome

#: Statuses of timeouts and cut requests: PostHog answers with none of them, and may have acted.
CUT = frozenset({408, 425, 460, 499})
#: ``type`` of PostHog's error envelope by status; any of them for a status that is not named.
_TYPES: Mapping[int, frozenset[str]] = {
    400: frozenset({"validation_error", "invalid_request"}),
    401: frozenset({"authentication_error"}),
    403: frozenset({"authentication_error"}),
    404: frozenset({"invalid_request"}),
    405: frozenset({"invalid_request"}),
    406: frozenset({"invalid_request"}),
    409: frozenset({"server_error", "conflict"}),
    415: frozenset({"invalid_request"}),
    429: frozenset({"throttled_error"}),
}
_ANY_TYPE = frozenset({"validation_error", "invalid_request", "authentication_error"}) | {
    "server_error",
    "throttled_error",
}
_KEYS = {"type", "code", "detail", "attr"}
_THROTTLED = re.compile(
    r"^Request was throttled\.( Expected available in \d+ seconds?\.)?$"
    r"|^Exceeded maximum concurrency limit"
)

#: Sentences of Django REST framework about a value of the request: checked before anything is done.
_ABOUT_VALUES = (
    r"This field (is required|may not be (null|blank|empty))\.|"
    r'".*" is not a valid choice\.|'
    r"Ensure (this (value|field)|that there are) .*|"
    r"Expected a (list|dictionary) of items but got type .*|"
    r"Invalid data\. Expected a dictionary, but got .*|"
    r"A valid (integer|number) is required\.|Must be a valid (UUID|boolean)\.|"
    r"Not a valid (string|boolean)\.|Value must be valid JSON\.|"
    r"Datetime has wrong format\..*|Expected a datetime but got a date\."
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A final no: the same request is refused again, and nothing was done. Patterns of PostHog's
    whole sentence, and of the start of ``attr`` (empty: any)."""

    status: int
    said: str
    attr: str = ""

    def fits(self, status: int, said: str, attr: str) -> bool:
        return (
            status == self.status
            and re.fullmatch(self.said, said, re.DOTALL) is not None
            and (not self.attr or re.match(self.attr, attr) is not None)
        )


_RERUN = (
    _Refusal(400, r"This function is disabled\. Enable it to re-run invocations\."),
    _Refusal(400, r"Rerun window cannot exceed 30 days\b.*", "filter"),
    _Refusal(400, r"'window_end' must be after 'window_start'\.", "filter"),
    _Refusal(400, _ABOUT_VALUES, "filter"),
)
_SCHEDULE = (
    _Refusal(400, r"RRULE string is required\.|Invalid RRULE\.", "rrule"),
    _Refusal(400, r"RRULE .*DTSTART.*", "rrule"),
    _Refusal(400, r"Schedule produces no future occurrences\.", "rrule"),
    _Refusal(400, r"Schedules must run at most once per hour\.", "rrule"),
    _Refusal(400, r"Start date is required\.", "starts_at"),
    _Refusal(400, r"Invalid or unknown timezone\.", "timezone"),
    _Refusal(400, _ABOUT_VALUES, "rrule|starts_at|timezone|variables"),
)
_NO_CATEGORY = r"Category not found|Message category '.*' not found"
#: PostHog's final refusals, by endpoint. A sentence that is not here is no final refusal.
_FINAL: Mapping[str, tuple[_Refusal, ...]] = {
    "workflows.replay_blocked_run": (
        _Refusal(400, r"event_uuid, action_id, and instance_id are required"),
        _Refusal(400, r"event_uuid does not match the blocked run"),
        _Refusal(404, r"Blocked run \S+ not found for this workflow"),
        _Refusal(404, r"Event \S+ not found"),
    ),
    "workflows.create_batch_job": (
        _Refusal(400, r"Workflow must be active to run a batch\. Enable it first\."),
        _Refusal(400, _ABOUT_VALUES, "variables|filters|status"),
    ),
    "workflows.create_schedule": _SCHEDULE,
    "workflows.update_schedule": _SCHEDULE,
    "workflows.rerun": _RERUN,
    "hog_functions.rerun": _RERUN,
    "workflows.bulk_delete": (
        _Refusal(400, r"A non-empty list of 'ids' is required"),
        _Refusal(400, r"One or more IDs are not valid UUIDs"),
    ),
    "workflows.run": (_Refusal(400, r"Workflow must be active to run\. Enable it first\."),),
    "messaging.resume_email_sending": (
        _Refusal(400, r"Email sending is not paused for this workflow\."),
        _Refusal(403, r"This pause can only be lifted by PostHog\..*"),
    ),
    "messaging.bulk_add_opt_outs": (
        _Refusal(400, r"Send at most \d+ opt-outs per request\."),
        _Refusal(400, _ABOUT_VALUES),
        _Refusal(404, _NO_CATEGORY),
    ),
}

#: Endpoints that answer ``{"error": "..."}``, and the sentences they have.
_HAND_MADE: Mapping[str, re.Pattern[str]] = {
    name: re.compile(sentences)
    for name, sentences in {
        "workflows.replay_blocked_run": r"This feature is not enabled|"
        r"event_uuid, action_id, and instance_id are required|"
        r"event_uuid does not match the blocked run|"
        r"Blocked run \S+ not found for this workflow|Event \S+ not found",
        "workflows.replay_all_blocked_runs": r"This feature is not enabled",
        "workflows.bulk_delete": r"A non-empty list of 'ids' is required|"
        r"One or more IDs are not valid UUIDs",
        "messaging.remove_suppression": r"Suppression not found",
        "messaging.add_opt_out": _NO_CATEGORY,
        "messaging.remove_opt_out": _NO_CATEGORY + r"|Recipient not found",
        "messaging.bulk_add_opt_outs": _NO_CATEGORY,
    }.items()
}
#: Endpoints that answer a serializer's bare ``{"field": ["..."]}`` with 400, and its fields.
_BARE_FIELDS: Mapping[str, frozenset[str]] = {
    "workflows.create_batch_job": frozenset(
        {"id", "status", "hog_flow", "filters", "variables", "non_field_errors"}
    ),
    "workflows.test_invocation": frozenset(
        {"globals", "configuration", "current_action_id", "mock_async_functions", "use_draft"}
    ),
    "hog_functions.test_invocation": frozenset(
        {"globals", "clickhouse_event", "configuration", "mock_async_functions", "invocation_id"}
    ),
}
#: Endpoints that answer one sentence in a list with 400.
_BARE_SENTENCES: Mapping[str, re.Pattern[str]] = {
    "workflows.create_batch_job": re.compile(
        r"Workflow must be active to run a batch\. Enable it first\."
    )
}
#: Endpoints whose refusals of these statuses come after they acted.
_ACTS_FIRST: Mapping[str, frozenset[int]] = {"groups.create": frozenset({404})}


def judge(response: Response) -> Outcome:
    """What a response of status 400 or more says about the effect of its request."""
    status, name = response.status, response.endpoint.name
    if status in CUT or not 400 <= status < 500:
        return "unknown"
    said = _said(response)
    if said is None or status in _ACTS_FIRST.get(name, ()):
        return "unknown"
    final = any(refusal.fits(status, *said) for refusal in _FINAL.get(name, ()))
    return "refused" if final else "not_sent"


def judge_redirect(status: int, *, same_host: bool) -> Outcome:
    """What a redirect that is not followed says.

    307 and 308 ask for the same request elsewhere: it was not carried out here. So does a 301 or
    302 to another host, which is a proxy's. 303, and 301 or 302 on the same host, also say "done,
    look there".
    """
    elsewhere = status in (307, 308) or (status in (301, 302) and not same_host)
    return "not_sent" if elsewhere else "unknown"


def is_posthogs(response: Response) -> bool:
    """Whether a response is in a shape that PostHog writes: JSON, and its envelope if an error."""
    if response.status < 300:
        return "json" in response.headers.get("content-type", "") and not response.is_html
    return _said(response) is not None or _envelope(response) is not None


def is_foreign(response: Response) -> bool:
    """Whether a response of status 400 to 499 was surely not written by PostHog.

    A 405 of PostHog's can have an empty body; nothing else of PostHog's is empty or no JSON.
    """
    if not 400 <= response.status < 500:
        return False
    if not response.content.strip():
        return response.status != 405
    body = _body(response)
    return body is None or (isinstance(body, dict) and set(body) == {"message"})


def _said(response: Response) -> tuple[str, str] | None:
    """Detail and attr of a refusal in one of the endpoint's shapes; None when it is in none."""
    envelope = _envelope(response)
    if envelope is not None:
        return envelope
    body, name = _body(response), response.endpoint.name
    if isinstance(body, dict) and set(body) == {"error"} and name in _HAND_MADE:
        return _sentence(body["error"], _HAND_MADE[name])
    if response.status != 400:
        return None
    if isinstance(body, list) and len(body) == 1 and name in _BARE_SENTENCES:
        return _sentence(body[0], _BARE_SENTENCES[name])
    if isinstance(body, dict) and body and set(body) <= _BARE_FIELDS.get(name, frozenset()):
        return _first_field(body)
    return None


def _sentence(text: Any, known: re.Pattern[str]) -> tuple[str, str] | None:
    return (text, "") if isinstance(text, str) and known.fullmatch(text) else None


def _first_field(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first message of a bare dictionary of fields; None unless all of it is lists of text."""
    first: tuple[str, str] | None = None
    for field, messages in body.items():
        if not isinstance(messages, list) or not messages:
            return None
        if not all(isinstance(message, str) for message in messages):
            return None
        first = first or (messages[0], field)
    return first


def _envelope(response: Response) -> tuple[str, str] | None:
    """Detail and attr of PostHog's error envelope; None when the body is none of this status."""
    body = _body(response)
    if not isinstance(body, dict) or not set(body) >= _KEYS or not set(body) <= {*_KEYS, "extra"}:
        return None
    kind, code, detail, attr = (body[name] for name in ("type", "code", "detail", "attr"))
    if not isinstance(code, str) or not isinstance(detail, str) or not code or not detail:
        return None
    if not isinstance(kind, str) or kind not in _TYPES.get(response.status, _ANY_TYPE):
        return None
    if attr is not None and not isinstance(attr, str):
        return None
    if response.status == 429 and (code != "throttled" or _THROTTLED.match(detail) is None):
        return None
    return detail, attr or ""


def _body(response: Response) -> Any:
    """The JSON of a response; None when it is none, or is not called JSON."""
    if "json" not in response.headers.get("content-type", ""):
        return None
    try:
        return decode(response.content)
    except (ValueError, RecursionError):
        return None


# -- successes -------------------------------------------------------------------------------------


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _queued(value: Any) -> bool:
    return value == "queued"


def _each(
    service: str, names: str, **fields: Callable[[Any], bool]
) -> dict[str, Mapping[str, Callable[[Any], bool]]]:
    return {f"{service}.{name}": fields for name in names.split()}


#: What must stand in the object that a successful write answers with, by endpoint.
_SUCCESS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    **_each("workflows", "create update replace", id=_text),
    **_each("workflows", "bulk_delete", deleted=_number),
    **_each("workflows", "create_batch_job", id=_text, status=_text),
    **_each("workflows", "cancel_batch_job cancel_invocations", done=_flag),
    **_each("workflows", "create_schedule update_schedule", id=_text, rrule=_text),
    **_each("workflows", "replay_blocked_run", status=_queued),
    **_each(
        "workflows", "replay_all_blocked_runs", succeeded=_number, failed=_number, skipped=_number
    ),
    **_each("workflows", "rerun", rerun_job_id=_text),
    **_each("workflows", "run test_invocation", status=_text),
    **_each("workflows", "publish", published=_flag),
    **_each("hog_functions", "create update replace delete restore", id=_text),
    **_each("hog_functions", "rerun", rerun_job_id=_text),
    **_each("hog_functions", "test_invocation", status=_text),
    **_each("hog_functions", "broadcast", success=_flag),
    **_each("hog_functions", "publish", published=_flag),
    **_each("hog_functions", "enable_backfills", batch_export_id=_text),
    **_each("groups", "create update_property delete_property", group_key=_text),
    **_each("messaging", "add_suppression add_opt_out remove_opt_out", identifier=_text),
    **_each("messaging", "resume_email_sending", email_sending_paused=_flag),
    **_each("messaging", "bulk_add_opt_outs", total=_number, opted_out=_number),
}
#: Endpoints of writes that are answered with an empty body.
_EMPTY = frozenset({"messaging.remove_suppression"})


def has_shape(response: Response) -> bool:
    """Whether `success_flaw` compares a response of this endpoint with fields of PostHog's own."""
    return response.endpoint.name in _SUCCESS and is_posthogs(response)


def success_flaw(response: Response, data: Any) -> str:
    """What keeps a 2xx, whose body was read as ``data`` (None: empty), from being the success that
    the endpoint of a write answers with; empty when it is the endpoint's own shape."""
    endpoint = response.endpoint
    if endpoint.method == "DELETE" and endpoint.effect == "act":
        return "" if data is None else "a deletion is answered with an empty body"
    if endpoint.name in _EMPTY:
        return "" if data is None else "its success is answered with an empty body"
    wanted = _SUCCESS.get(endpoint.name)
    if wanted is None:
        return ""
    if not isinstance(data, dict):
        return "it is no object"
    wrong = [name for name, fits in wanted.items() if name not in data or not fits(data[name])]
    return f"it has no usable {wrong[0]}" if wrong else ""
