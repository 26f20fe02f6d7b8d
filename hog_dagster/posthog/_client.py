"""PostHogClient: one project of one PostHog server, for scripts, notebooks and Dagster alike.

Facts: none of its own; it checks its settings and puts the services on one transport.
"""

from __future__ import annotations

import copy
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Literal

import httpx

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.posthog._arguments import check_api_key, check_host, check_project_id
from hog_dagster.posthog._rate_limit.limiter import LIMITS, Rate, RateLimiter
from hog_dagster.posthog._retry import CallLimits
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.batch_exports import Activity, BatchExports
from hog_dagster.posthog._services.groups import Groups
from hog_dagster.posthog._services.hog_functions import HogFunctions
from hog_dagster.posthog._services.hogql import Queries
from hog_dagster.posthog._services.insights import Insights
from hog_dagster.posthog._services.messaging import Messaging
from hog_dagster.posthog._services.server import Server
from hog_dagster.posthog._services.workflows import Workflows
from hog_dagster.posthog._transport.limited import OnRateLimit, RateLimitEvent
from hog_dagster.posthog._transport.transport import Timeouts, Transport

logger = logging.getLogger("hog_dagster.posthog")


class PostHogClient:
    """A client for one project. Use it as a context manager; share it between threads.

    Args:
        host: ``https://us.posthog.com``, ``https://eu.posthog.com`` or your own.
        api_key: a personal API key, ``phx_...``; never shown in any text.
        project_id: the project's number.
        timeout: seconds per phase of a request, and over a whole one.
        max_wait: seconds one call may wait for the rate limit and between attempts; after that
            it raises Throttled.
        headroom: the part of the rate limit to use; the rest is for colleagues and the UI.
        rate_limit: where the use of the rate limit is counted. A ``postgresql://`` URL: all
            machines that name the same database keep to the limit together. A directory: the
            processes of this machine do. Default: a directory of the user's under the system's
            temporary directory.
        limits: rates by bucket (``default``, ``insights``, ``query``), each (requests, seconds),
            instead of PostHog's; False switches limiting off.
        ca_file: PEM file of the certificate authorities that are trusted, instead of the usual
            ones and of SSL_CERT_FILE.
        client_certificate: PEM file of a certificate and its private key, for a PostHog, or a proxy
            before it, that asks for one.
        on_rate_limit: called, from the thread that waits, with a :class:`RateLimitEvent` when a
            request waits for more than 5 seconds, when PostHog answers 429, and when where the rate
            limit is counted changes.
        transport: what carries requests instead of the network, for tests.
        clock: what the client waits on and times by, for tests and simulations.

    Raises:
        ConfigurationError: a setting is missing or cannot be right; the message says why.

    Example:
        >>> with PostHogClient(host="https://eu.posthog.com", api_key=key, project_id=1) as client:
        ...     for workflow in client.workflows.list():
        ...         print(workflow.name, workflow.status)
    """

    workflows: Workflows
    hog_functions: HogFunctions
    groups: Groups
    insights: Insights
    messaging: Messaging
    batch_exports: BatchExports
    activity: Activity
    query: Queries
    server: Server

    def __init__(
        self,
        host: str,
        api_key: str,
        project_id: int | str,
        *,
        timeout: Timeouts | httpx.Timeout | None = None,
        max_wait: float = 300.0,
        headroom: float = 0.9,
        rate_limit: str | os.PathLike[str] | None = None,
        limits: Mapping[str, Sequence[Rate | tuple[int, float]]] | Literal[False] | None = None,
        ca_file: str | None = None,
        client_certificate: str | None = None,
        on_rate_limit: OnRateLimit | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        secret = check_api_key(api_key)
        self.host: str = check_host(host)
        self.project_id: int = check_project_id(project_id)

        def changed(said: str) -> None:
            logger.warning(said)
            if on_rate_limit is not None:
                on_rate_limit(RateLimitEvent("store", said))

        limiter = RateLimiter(
            f"{self.host} {secret.reveal()}",
            limits=_rates(limits),
            headroom=headroom,
            where=rate_limit,
            clock=clock,
            on_change=changed,
        )
        self._transport = Transport(
            self.host,
            secret,
            limiter,
            timeouts=timeout,
            max_wait=max_wait,
            transport=transport,
            clock=clock,
            ca_file=ca_file or "",
            client_certificate=client_certificate or "",
            on_rate_limit=on_rate_limit,
        )
        self._shares = False
        self.workflows = Workflows(self._transport, self.project_id)
        self.hog_functions = HogFunctions(self._transport, self.project_id)
        self.groups = Groups(self._transport, self.project_id)
        self.insights = Insights(self._transport, self.project_id)
        self.messaging = Messaging(self._transport, self.project_id)
        self.batch_exports = BatchExports(self._transport, self.project_id)
        self.activity = Activity(self._transport, self.project_id)
        self.query = Queries(self._transport, self.project_id)
        self.server = Server(self._transport, self.project_id)

    @property
    def requests_made(self) -> int:
        """HTTP requests really sent by this client, retries and redirects included."""
        return self._transport.requests_made

    @property
    def requests_by_limit(self) -> dict[str, int]:
        """The same by the rate limit they were charged to: default, insights, query."""
        return dict(self._transport.by_bucket)

    @property
    def rate_limit_counted(self) -> str:
        """Where the use of the rate limit is counted, in words, without any secret."""
        return self._transport.limiter.counted

    @property
    def read_timeout_s(self) -> float:
        """Seconds this client waits between two pieces of a response."""
        return self._transport.read_timeout_s

    @property
    def request_timeout_s(self) -> float:
        """Seconds that one whole request, response included, may take at most."""
        return self._transport.request_timeout_s

    def with_limits(
        self,
        max_wait: float = math.inf,
        *,
        read_timeout: float = math.inf,
        total: float = math.inf,
        until: float = math.inf,
    ) -> PostHogClient:
        """A client whose calls keep to limits too, in whatever thread they are made.

        For a write whose moment matters (mark it as sent, then send it at once or not at all), and
        for reads that have little time. It shares connections, rate limit, counts of requests and
        what was learned of the server with this client, keeps to this one's limits as well, and is
        open as long as this one is: closing it does nothing.

        Args:
            max_wait: seconds one call may wait for the rate limit and between attempts; after
                that it raises Throttled.
            read_timeout: seconds between two pieces of a response.
            total: seconds for one whole request and its response.
            until: a moment of the client's monotonic clock by which every request is over,
                however many there are.

        Returns:
            The limited client. It uses no request.
        """
        limits = CallLimits(max_wait, read_timeout, total, until)
        limited = copy.copy(self)
        limited._shares = True
        for name, part in vars(self).items():
            if isinstance(part, Service):
                setattr(limited, name, part._with_limits(limits))
        return limited

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        if not self._shares:
            self._transport.close()

    def __enter__(self) -> PostHogClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PostHogClient(host={self.host!r}, project_id={self.project_id})"


def _rates(
    limits: Mapping[str, Sequence[Rate | tuple[int, float]]] | Literal[False] | None,
) -> Mapping[str, Sequence[Rate]]:
    if limits is None:
        return LIMITS
    if limits is False:
        return {}
    return {
        bucket: [rate if isinstance(rate, Rate) else Rate(*rate) for rate in rates]
        for bucket, rates in limits.items()
    }
