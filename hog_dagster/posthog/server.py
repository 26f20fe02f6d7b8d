"""The ``server`` service: which PostHog this is, what it can do, and what the key may do.

Facts: which generations have which endpoints; how servers answer for a workflow that does not
exist (404 ``Not found.``) and for an endpoint that does not (404 ``Endpoint not found.``).
"""

from __future__ import annotations

import threading
from typing import Literal

from hog_dagster.posthog import errors, models
from hog_dagster.posthog.endpoints import Endpoint
from hog_dagster.posthog.endpoints import server as endpoints
from hog_dagster.posthog.endpoints import workflows as workflow_endpoints
from hog_dagster.posthog.pacing import Usage
from hog_dagster.posthog.service import Service
from hog_dagster.posthog.transport import Transport

__all__ = ["CAPABILITIES", "Generation", "Server"]

Generation = Literal["docs", "current", "unknown"]

_NOBODY = "00000000-0000-0000-0000-000000000000"
_COMMON = frozenset({"hogql_query", "logs", "metrics"})
_KEY_ACTIONS = frozenset({"batch_jobs", "schedules", "blast_radius", "test_invocation"})
_CURRENT = frozenset(
    {
        "invocation_results",
        "rerun",
        "cancel_batch_job",
        "cancel_invocations",
        "global_metrics",
        "run",
        "revisions",
    }
)
#: Every capability a server can have.
CAPABILITIES = _COMMON | _KEY_ACTIONS | _CURRENT | {"blocked_runs"}


class Server(Service):
    """What is known of the server. The first use of a probed fact sends one request, at most three.

    The probe asks for the runs of a workflow that cannot exist: a newer server answers that there
    is no such workflow, an older one that there is no such endpoint, and is then asked for the
    blocked runs of that workflow, and one that has neither for its batch jobs.
    """

    def __init__(self, transport: Transport, project_id: int) -> None:
        super().__init__(transport, project_id)
        self._lock = threading.Lock()
        self._probed: tuple[Generation, frozenset[str], dict[str, str]] | None = None

    @property
    def generation(self) -> Generation:
        """``docs``: blocked runs and replay, as the public docs pages describe; ``current``:
        invocation results and rerun instead; ``unknown``: neither."""
        return self._probe()[0]

    @property
    def capabilities(self) -> frozenset[str]:
        """What this server offers to this key, by name; a subset of :data:`CAPABILITIES`."""
        return self._probe()[1]

    def has(self, name: str) -> bool:
        """Whether the server offers ``name`` to this key.

        Raises:
            ValueError: there is no capability of that name.
        """
        if name not in CAPABILITIES:
            raise ValueError(f"no capability {name!r}: there are {', '.join(sorted(CAPABILITIES))}")
        return name in self.capabilities

    def why_not(self, name: str) -> str:
        """A sentence on why the server does not offer ``name``; empty when it does."""
        return "" if self.has(name) else self._probe()[2].get(name, f"This server has no {name}.")

    def project(self) -> models.Project:
        """The project, its time zone among others: GET /api/projects/{project_id}/.

        Scope project:read.
        """
        return self._one(models.Project, endpoints.PROJECT)

    def key(self) -> models.KeyInfo:
        """What the key may do: GET /api/personal_api_keys/@current/. Needs no scope."""
        return self._one(models.KeyInfo, endpoints.KEY)

    @property
    def clock_skew_s(self) -> float | None:
        """Seconds the server's clock is ahead of ours, to a second; None before any answer."""
        return self._transport.clock_skew_s

    def usage(self) -> list[Usage]:
        """How much of each rate limit this machine has used, as far as its pacing knows."""
        return self._transport.pacer.usage()

    def _probe(self) -> tuple[Generation, frozenset[str], dict[str, str]]:
        with self._lock:
            if self._probed is None:
                self._probed = self._ask()
            return self._probed

    def _ask(self) -> tuple[Generation, frozenset[str], dict[str, str]]:
        if self._exists(workflow_endpoints.INVOCATION_RESULTS) is not None:
            gone = workflow_endpoints.BLOCKED_RUNS.instead
            return "current", _COMMON | _KEY_ACTIONS | _CURRENT, {"blocked_runs": gone}
        why = dict.fromkeys(_CURRENT, "This PostHog server is older than that.")
        blocked = self._exists(workflow_endpoints.BLOCKED_RUNS)
        if blocked is None:
            why["blocked_runs"] = "This PostHog server has no blocked runs."
            if self._exists(workflow_endpoints.BATCH_JOBS) == "there":
                return "unknown", _COMMON | _KEY_ACTIONS, why
            why.update(
                dict.fromkeys(_KEY_ACTIONS, "This PostHog server does not offer it to keys.")
            )
            return "unknown", _COMMON, why
        if blocked == "closed":
            closed = (
                "This PostHog server refuses the action to scoped keys (403), whatever their "
                "scopes."
            )
            why.update(dict.fromkeys(_KEY_ACTIONS | {"blocked_runs"}, closed))
            return "docs", _COMMON, why
        if blocked == "off":
            why["blocked_runs"] = (
                "The feature flag workflows-replay-blocked-runs is off in this project."
            )
            return "docs", _COMMON | _KEY_ACTIONS, why
        return "docs", _COMMON | _KEY_ACTIONS | {"blocked_runs"}, why

    def _exists(self, endpoint: Endpoint) -> Literal["there", "closed", "off"] | None:
        """Whether the server has the endpoint, and how it stands; None when it has not."""
        try:
            answer = self._call(endpoint, {"id": _NOBODY}, params={"limit": 1})
        except errors.EndpointMissing:
            return None
        except errors.NotOpenToKeys:
            return "closed"
        except (errors.NotFound, errors.MissingScope, errors.InvalidRequest):
            return "there"
        if isinstance(answer, dict) and "has_next" not in answer:
            return "off"
        return "there"
