"""The ingestion endpoints: events by the project token.

Facts: PostHog's capture service. It takes any well-formed token and answers at once; what the token
is good for is decided later, in silence. Personal keys are refused.
"""

import base64
import binascii
import gzip
import json
import zlib
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call

PROJECT_TOKEN = "phc_sandbox"
MAX_BODY = 20 * 1024 * 1024


def capture(call: Call) -> Answer:
    """POST /batch/, /capture/, /e/, /i/v0/e/: ``api_key`` and one event or a batch of them."""
    if len(call.raw_body) > MAX_BODY:
        raise _plain(413, "event too big")
    body = _body(call)
    token = ""
    events: list[Any]
    if isinstance(body, list):
        events = body
        token = str(next((_token(item) for item in events if _token(item)), ""))
    else:
        token = _token(body) or ""
        events = body["batch"] if isinstance(body.get("batch"), list) else [body]
    if not token:
        raise _plain(401, "missing api_key: no project token in the request")
    if token.startswith("phx_"):
        raise _plain(401, "API key is not valid: personal_api_key")
    for event in events:
        if not isinstance(event, dict) or not event.get("event"):
            raise _plain(400, "event submitted with an empty event name")
        if not _distinct_id(event):
            raise _plain(400, "event submitted without a distinct_id")
    if token == PROJECT_TOKEN:
        state = call.site.world
        due = call.now + timedelta(seconds=state.ingestion_lag)
        for event in events:
            kept = {**event, "distinct_id": _distinct_id(event)}
            kept.setdefault("timestamp", call.now.isoformat())
            state.pending_events.append((due, kept))
    return Answer({"status": "Ok"})


def _token(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    held = body.get("properties")
    inner = held.get("token") if isinstance(held, dict) else None
    return body.get("api_key") or body.get("token") or inner


def _distinct_id(event: dict[str, Any]) -> str | None:
    held = event.get("properties")
    inner = held.get("distinct_id") if isinstance(held, dict) else None
    found = event.get("distinct_id") or event.get("$distinct_id") or inner
    return None if found is None else str(found)


def _plain(status: int, text: str) -> errors.ApiError:
    return errors.ApiError(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def _body(call: Call) -> Any:
    raw = call.raw_body
    packed = call.headers.get("content-encoding") == "gzip" or call.param("compression") in (
        "gzip",
        "gzip-js",
    )
    try:
        if packed or raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        elif call.param("compression") == "base64":
            raw = base64.b64decode(raw)
        body = json.loads(raw)
    except (ValueError, OSError, zlib.error, binascii.Error, EOFError):
        raise _plain(400, "failed to parse request") from None
    if not isinstance(body, dict | list):
        raise _plain(400, "failed to parse request")
    return body
