"""The errors of the PostHog client, sorted by what the caller can do about them.

Facts: PostHog's error envelope (drf-exceptions-hog) and the bodies real servers answered with.

    PostHogError
    ├── ConfigurationError     the client cannot be built from these settings
    ├── AuthenticationError    401: the key is wrong, or belongs to another region
    ├── PermissionDenied       403 (and 402): this key may not do this
    │   ├── MissingScope       ... because a scope is missing (``.scope``)
    │   └── NotOpenToKeys      ... and no scope can change that on this server
    ├── NotFound               404: no such workflow, run, project
    │   └── EndpointMissing    404/405: this server has no such endpoint at all
    ├── InvalidRequest         400 and other 4xx: the request itself is wrong (``.attr`` says where)
    ├── Conflict               409: somebody else changed it first
    ├── Throttled              429, or a wait longer than ``max_wait`` (``.wait_s``)
    ├── QueryTooLarge          512/513: ask for a smaller window
    ├── ServerError            5xx: PostHog failed; on a write the outcome is in doubt
    │   └── ForeignResponse    a response that PostHog did not write: a proxy's page or timeout
    ├── RedirectRefused        3xx to somewhere the key must not be sent
    ├── MalformedResponse        a 2xx on a read whose body cannot be used
    │   └── ResponseTooLarge     its body is larger than any of PostHog's should be
    ├── WindowTooDense         more rows in one instant than the API can hand out
    ├── IncompleteList         a list of which PostHog hides rows, or cannot answer a page
    ├── UnsettledList          a list that changed during every attempt to read it whole
    ├── NoResult               an insight without a result (``.state`` says why)
    ├── TransportError         nothing was sent (or, on a read, no response came)
    └── OutcomeUnknown         a write was sent and no usable answer came
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "Conflict",
    "EndpointMissing",
    "ForeignResponse",
    "IncompleteList",
    "InvalidRequest",
    "MalformedResponse",
    "MissingScope",
    "NoResult",
    "NotFound",
    "NotOpenToKeys",
    "OutcomeUnknown",
    "PermissionDenied",
    "PostHogError",
    "QueryTooLarge",
    "RedirectRefused",
    "ResponseTooLarge",
    "ServerError",
    "Throttled",
    "TransportError",
    "UnsettledList",
    "WindowTooDense",
]


#: What an error says about the effect of a write. ``refused``: PostHog said no for good.
#: ``not_sent``: it had no effect, and may work later. ``unknown``: it may have had its effect.
Outcome = Literal["not_sent", "refused", "unknown"]


class PostHogError(Exception):
    """Any failure of a call to PostHog.

    Attributes:
        status: HTTP status of the response, or None when there was none.
        code: PostHog's code, such as ``invalid_input``, or None.
        detail: PostHog's own sentence, or None.
        attr: the field PostHog complains about, nested with ``__``, or None.
        method: HTTP method of the request.
        url: URL of the request, without credentials.
        request_id: the server's id of the request, when it gave one.
        outcome: what the error says about the effect of a write; ``unknown`` unless
            :mod:`~hog_dagster.posthog._write_outcomes`, or the place that knows that nothing was
            sent, said otherwise.
        elsewhere: of a read that failed to the end, whether its endpoint ``answers`` another
            request at this moment, or ``fails`` for that too; empty where that is not known.
    """

    #: Whether doing the same thing again later, unchanged, can work.
    permanent: bool = True
    elsewhere: Literal["", "answers", "fails"] = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        detail: str | None = None,
        attr: str | None = None,
        method: str | None = None,
        url: str | None = None,
        request_id: str | None = None,
        outcome: Outcome = "unknown",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail
        self.attr = attr
        self.method = method
        self.url = url
        self.request_id = request_id
        self.outcome: Outcome = outcome


class ConfigurationError(PostHogError, ValueError):
    """The client cannot be built: host, key or project id is missing or cannot be right."""

    def __init__(self, message: str, *, outcome: Outcome = "not_sent", **fields: object) -> None:
        super().__init__(message, outcome=outcome, **fields)  # type: ignore[arg-type]


class AuthenticationError(PostHogError):
    """401: PostHog does not know this key."""


class PermissionDenied(PostHogError):
    """403: PostHog knows the key and refuses. 402 (quota, billing) counts as one too."""


class MissingScope(PermissionDenied):
    """403: the key lacks a scope; ``scope`` names it, such as ``hog_flow:read``."""

    def __init__(self, message: str, *, scope: str = "", **fields: object) -> None:
        super().__init__(message, **fields)  # type: ignore[arg-type]
        self.scope = scope


class NotOpenToKeys(PermissionDenied):
    """403: this server refuses the action to every personal API key, whatever its scopes."""


class NotFound(PostHogError):
    """404: there is no such thing in this project."""


class EndpointMissing(NotFound):
    """404 or 405: this server has no such endpoint; the message says what replaced it."""


class InvalidRequest(PostHogError):
    """400, or another 4xx: PostHog does not accept the request as it is."""


class Conflict(PostHogError):
    """409: the object was changed by somebody else since it was read."""


class Throttled(PostHogError):
    """429, or a wait for the rate limit longer than ``max_wait``.

    Nothing happened on the server unless ``outcome`` is ``unknown``: a 429 that PostHog did not
    write says nothing about a write.

    Attributes:
        wait_s: seconds until the next request can succeed, as far as known.
    """

    permanent = False

    def __init__(self, message: str, *, wait_s: float = 0.0, **fields: object) -> None:
        super().__init__(message, **fields)  # type: ignore[arg-type]
        self.wait_s = wait_s


class QueryTooLarge(PostHogError):
    """512 or 513: PostHog estimated the query too slow, or ran out of memory. Narrow it."""


class ServerError(PostHogError):
    """5xx: PostHog failed. After a write, treat the outcome as unknown."""

    permanent = False


class ForeignResponse(ServerError):
    """A response that PostHog did not write: the page or the timeout of a proxy, a firewall.

    It says nothing about what PostHog did, whatever its status.
    """


class RedirectRefused(PostHogError):
    """3xx: the server points somewhere the key must not, or need not, be sent."""


class MalformedResponse(PostHogError):
    """A success on a read whose body is HTML, cut off, or not of the documented shape."""


class ResponseTooLarge(MalformedResponse):
    """A body larger than any of PostHog's should be; a smaller part of it may do."""


class WindowTooDense(PostHogError):
    """More rows in one instant than the API can hand out, even split by level or status.

    Attributes:
        start: start of the instant, UTC, inclusive.
        end: end of the instant, UTC, exclusive.
        rows: how many rows could be seen in it.
    """

    def __init__(
        self, message: str, *, start: datetime, end: datetime, rows: int, **fields: object
    ) -> None:
        super().__init__(message, **fields)  # type: ignore[arg-type]
        self.start = start
        self.end = end
        self.rows = rows

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_too_dense, (self.args[0], dict(self.__dict__)))


def _rebuild_too_dense(message: str, state: dict[str, object]) -> WindowTooDense:
    error = WindowTooDense(message, start=state["start"], end=state["end"], rows=state["rows"])  # type: ignore[arg-type]
    error.__dict__.update(state)
    return error


class IncompleteList(PostHogError):
    """A list that was read as far as it goes, of which PostHog does not show every row."""


class UnsettledList(PostHogError):
    """A list that changed during every attempt to read it whole. Try again when it is quiet."""

    permanent = False


class NoResult(PostHogError, ValueError):
    """An insight carries no result, not even an empty one.

    Attributes:
        state: ``not_cached``, ``computing`` or ``failed``.
    """

    def __init__(self, message: str, *, state: str = "not_cached", **fields: object) -> None:
        super().__init__(message, **fields)  # type: ignore[arg-type]
        self.state = state
        self.permanent: bool = state != "computing"


class TransportError(PostHogError):
    """Nothing was sent: no connection, no free connection in time. On a read also: no response."""

    permanent = False


class OutcomeUnknown(PostHogError):
    """A write was sent and no usable answer came: it may or may not have happened.

    Never send it again before reading back from PostHog what happened.
    """
