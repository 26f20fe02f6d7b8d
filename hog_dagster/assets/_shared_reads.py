"""What one run asks PostHog once, however many of its tables need it.

Facts: the steps of a run that go on in one process share a client; every run and every tick has one
of its own. So a response that is kept with the client is shared by the tables and checks of a run,
and is never older than the run. Long runs ask again after a quarter of an hour.
"""

import threading
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import GroupType, HogFunction, Insight, Workflow

T = TypeVar("T")

#: Seconds after which something is asked for again.
KEPT_FOR_S = 900.0
#: Keys of listings.
WORKFLOWS, FUNCTIONS = "workflows", "functions, full"


class _Kept:
    """The responses of one client, each with a lock of its own and the time it came."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.locks: dict[Hashable, threading.RLock] = {}
        self.found: dict[Hashable, tuple[float, Any]] = {}


_KEPT: WeakKeyDictionary[PostHogClient, _Kept] = WeakKeyDictionary()
_LOCK = threading.Lock()


def once(client: PostHogClient, key: Hashable, read: Callable[[], T]) -> T:
    """What `read` gives, asked for once by this client in a quarter of an hour; an error is not
    kept."""
    with _LOCK:
        kept = _KEPT.setdefault(client, _Kept())
    with kept.lock:
        lock = kept.locks.setdefault(key, threading.RLock())
    with lock:
        now = client.server.clock.local_monotonic()
        if key in kept.found and now - kept.found[key][0] < KEPT_FOR_S:
            return kept.found[key][1]
        value = read()
        kept.found[key] = (now, value)
        return value


def listed_at(client: PostHogClient, key: Hashable) -> datetime:
    """Before a response was asked for, by PostHog's clock: it holds all that there was by then."""
    with _LOCK:
        kept = _KEPT[client]
    return client.server.clock.earliest(kept.found[key][0])


def workflows_of(client: PostHogClient) -> list[Workflow]:
    """Every workflow: one request per 500 of them."""
    return once(client, WORKFLOWS, lambda: list(client.workflows.list()))


def functions_of(client: PostHogClient, *, full: bool = False) -> list[HogFunction]:
    """Every hog function, `full` with inputs and mappings where the server lists those: one request
    per 100."""
    if not full and recall(client, FUNCTIONS) is None:
        return once(client, "functions", lambda: list(client.hog_functions.list()))
    return once(client, FUNCTIONS, lambda: list(client.hog_functions.list(full=True)))


def insights_of(client: PostHogClient) -> list[Insight]:
    """Every saved insight: one request per 500 of them."""
    return once(client, "insights", lambda: list(client.insights.list(saved=True)))


def group_types_of(client: PostHogClient) -> list[GroupType]:
    """Every group type: one request."""
    return once(client, "group types", client.groups.types)


def recall(client: PostHogClient, key: Hashable) -> Any:
    """What `remember` kept; None for nothing."""
    with _LOCK:
        kept = _KEPT.get(client)
    found = kept.found.get(key) if kept is not None else None
    return None if found is None else found[1]


def remember(client: PostHogClient, key: Hashable, value: Any) -> None:
    """Keep something that this client learned of its key or server."""
    with _LOCK:
        kept = _KEPT.setdefault(client, _Kept())
    kept.found[key] = (client.server.clock.local_monotonic(), value)
