"""Personal API keys: who is asking, and may they.

The checks and their order are PostHog's APIScopePermission.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hog_dagster.sandbox.api import errors


@dataclass(frozen=True)
class Key:
    """A personal API key.

    Attributes:
        value: the secret itself.
        name: what request records call it, so that they never hold the secret.
        scopes: such as ``hog_flow:read``; ``*`` for all; None for a legacy key from before scopes,
            which older servers let through everywhere.
        teams: project ids the key is limited to; empty for no limit.
    """

    value: str
    name: str
    scopes: tuple[str, ...] | None = ("*",)
    teams: tuple[int, ...] = ()

    def has(self, scope: str) -> bool:
        """Whether the key satisfies `scope`; write satisfies read."""
        held = self.scopes or ()
        if "*" in held or scope in held:
            return True
        return scope.endswith(":read") and scope.removesuffix("read") + "write" in held


def read_keys(keys: Mapping[str, Iterable[str] | Key | None]) -> dict[str, Key]:
    """Key value -> Key, from what `Sandbox(keys=...)` was given."""
    found: dict[str, Key] = {}
    for number, (value, scopes) in enumerate(keys.items(), 1):
        if isinstance(scopes, Key):
            found[value] = scopes
        elif isinstance(scopes, str):
            raise TypeError(f"scopes of a key must be a list, not the text {scopes!r}")
        else:
            held = None if scopes is None else tuple(scopes)
            found[value] = Key(value=value, name=f"key{number}", scopes=held)
    return found


def authenticate(
    keys: Mapping[str, Key], headers: Mapping[str, str], query: str, body: bytes
) -> Key:
    """The key of a request: header first, then body, then query, as PostHog looks for it."""
    header = headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        value, where = header[len("bearer ") :].strip(), "Authorization header"
    else:
        value, where = _from_body(headers, body), "body"
        if not value:
            value, where = parse_qs(query).get("personal_api_key", [""])[0], "query string"
    if not value:
        raise errors.not_authenticated()
    if value not in keys:
        raise errors.unknown_key(where)
    return keys[value]


def check_scopes(
    key: Key, scopes: tuple[str, ...] | None, project_id: int | None, *, newer: bool
) -> None:
    """Raise 403 unless `key` may call an action that needs `scopes` (None: closed to all keys)."""
    if key.scopes is None and not newer:
        return
    if scopes is None:
        raise errors.not_open_to_keys(newer=newer)
    if key.teams and project_id is not None and project_id not in key.teams:
        raise errors.key_of_other_project(project_id)
    for scope in scopes:
        if not key.has(scope):
            raise errors.missing_scope(scope)


def redact(body: Any) -> Any:
    """A request body for the records, without the key that may be in it."""
    if isinstance(body, dict) and "personal_api_key" in body:
        return {**body, "personal_api_key": "(hidden)"}
    return body


def _from_body(headers: Mapping[str, str], body: bytes) -> str:
    if b"personal_api_key" not in body:
        return ""
    if "json" in headers.get("content-type", ""):
        try:
            data = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return ""
        value = data.get("personal_api_key") if isinstance(data, dict) else None
        return value if isinstance(value, str) else ""
    return parse_qs(body.decode("utf-8", "replace")).get("personal_api_key", [""])[0]
