"""Confirmation tokens of newer servers: signed, good for 15 minutes, asked only of clients that
are agents.

Facts: how the hog_flow view signs the audience of a batch job and the draft of a publish.
"""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call
from hog_dagster.sandbox.world import Workflow

GOOD_FOR = timedelta(minutes=15)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sign(call: Call, value: str) -> str:
    """``value:time:signature``, as Django's TimestampSigner makes it."""
    head = f"{value}:{_base62(int(call.now.timestamp()))}"
    return f"{head}:{_signature(call, head)}"


def previewed_by(
    call: Call, body: dict[str, Any], *, missing: str, expired: str, forged: str
) -> str:
    """What the body's token was signed for; 400 with one of these texts where it is no good."""
    token = str(body.get("confirm_token") or "")
    head, _, signature = token.rpartition(":")
    value, _, stamp = head.rpartition(":")
    wrong = ""
    if not token:
        wrong = missing
    elif not head or not hmac.compare_digest(signature, _signature(call, head)):
        wrong = forged
    elif call.now.timestamp() - _from_base62(stamp) > GOOD_FOR.total_seconds():
        wrong = expired
    if wrong:
        raise errors.bad_input(wrong, "confirm_token")
    return value


def audience_token(call: Call, filters: Any, dedupe_key: str | None = None) -> str:
    """The token a blast radius answers: it signs project and filters."""
    return sign(call, _audience(call, filters, dedupe_key))


def check_audience_token(call: Call, workflow: Workflow, body: dict[str, Any]) -> None:
    """Raise 400 unless the body's token was signed for the workflow's stored audience."""
    previewed = previewed_by(
        call,
        body,
        missing="Required: preview the audience with workflows-blast-radius first - its response "
        "carries the recipient count to confirm with the user and the confirm_token for "
        "this dispatch.",
        expired="Expired - preview the audience again with workflows-blast-radius.",
        forged="Invalid - get one from a workflows-blast-radius preview.",
    )
    if previewed != _audience(call, (workflow.trigger or {}).get("filters") or {}, None):
        raise errors.bad_input(
            "The audience changed since the preview - run workflows-blast-radius again with the "
            "current filters and confirm the new count with the user.",
            "confirm_token",
        )


def _audience(call: Call, filters: Any, dedupe_key: str | None) -> str:
    canonical = json.dumps(filters, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).hexdigest()[:32]
    return f"{call.project_id}:None:{dedupe_key}:{digest}"


def _signature(call: Call, head: str) -> str:
    key = f"sandbox:{call.site.seed}".encode()
    raw = hmac.new(key, head.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _base62(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = _DIGITS[digit] + text
    return text or "0"


def _from_base62(text: str) -> int:
    number = 0
    for letter in text:
        number = number * 62 + _DIGITS.index(letter)
    return number
