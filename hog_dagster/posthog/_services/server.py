"""The ``server`` service: which PostHog this is, what it can do, and what the key may do.

Facts: how servers answer for an object that does not exist and for an endpoint that does not. What
a server offers is what each endpoint answered, never what its generation should have.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Literal

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import project as endpoints
from hog_dagster.posthog._rate_limit.limiter import Usage
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.capabilities import CAPABILITIES, Capability
from hog_dagster.posthog._transport.server_clock import ServerClock
from hog_dagster.posthog._transport.transport import Learned, Transport

__all__ = ["CAPABILITIES", "Generation", "Server"]

#: A hint in words, for people: nothing is decided by it.
Generation = Literal["docs", "mid2026", "current", "unknown"]


@dataclass(frozen=True, slots=True)
class _Finding:
    """What a probe found: ``off`` is a project's feature flag."""

    state: Learned | Literal["off"]
    why: str = ""


class Server(Service):
    """What is known of the server. Each capability costs one request when it is first asked for.

    What calls of the client show of their endpoints counts too, and more than a probe.
    """

    def __init__(self, transport: Transport, project_id: int) -> None:
        super().__init__(transport, project_id)
        self._lock = threading.Lock()
        self._found: dict[str, _Finding] = {}

    @property
    def clock(self) -> ServerClock:
        """PostHog's clock, as bounds."""
        return self._transport.clock

    def read_clock(self) -> ServerClock:
        """PostHog's clock, after at least one response of its own: a request or two when there was
        none yet."""
        if not self.clock.known:
            self._finding("invocation_results")
        if not self.clock.known:  # that was asked before, or its response does not show whose it is
            with contextlib.suppress(errors.PostHogError):
                self.key()
        return self.clock

    def has(self, name: str) -> bool:
        """Whether the server offers ``name`` to this key: what that very endpoint answered.

        Asked once, then remembered. A response that does not tell (5xx, a proxy's page, a wrong
        key) is raised and asked for again next time.

        Raises:
            ValueError: there is no capability of that name.
            PostHogError: the server could not be asked.
        """
        return self._finding(name).state == "there"

    def why_not(self, name: str) -> str:
        """A sentence on why the server does not offer ``name``; empty when it does.

        Raises:
            ValueError, PostHogError: as :meth:`has`.
        """
        found = self._finding(name)
        return "" if found.state == "there" else found.why

    @property
    def capabilities(self) -> frozenset[str]:
        """What is known to be offered so far, without asking: a subset of :data:`CAPABILITIES`."""
        known = [name for name in CAPABILITIES if self._known(name) is not None]
        return frozenset(name for name in known if self._finding(name).state == "there")

    @property
    def generation(self) -> Generation:
        """A hint for people: ``docs`` has blocked runs and replay, ``mid2026`` invocation results
        and rerun, ``current`` revisions too. At most three requests."""
        if self.has("revisions"):
            return "current"
        if self.has("invocation_results"):
            return "mid2026"
        return "docs" if self._finding("blocked_runs").state != "missing" else "unknown"

    def project(self) -> models.Project:
        """The project, its time zone among others: GET /api/projects/{project_id}/.

        Scope project:read.
        """
        return self._one(models.Project, endpoints.PROJECT)

    def key(self) -> models.KeyInfo:
        """What the key may do: GET /api/personal_api_keys/@current/. Needs no scope."""
        return self._one(models.KeyInfo, endpoints.KEY)

    def user(self) -> models.User:
        """Whose key this is: GET /api/users/@me/. Scope user:read."""
        return self._one(models.User, endpoints.USER)

    def usage(self) -> list[Usage]:
        """How much of each rate limit is used, as far as the rate limiter knows."""
        return self._transport.limiter.usage()

    def _finding(self, name: str) -> _Finding:
        if name not in CAPABILITIES:
            raise ValueError(f"no capability {name!r}: there are {', '.join(sorted(CAPABILITIES))}")
        known = self._known(name)
        if known is not None:
            return known
        with self._lock:
            known = self._known(name)
            if known is None:
                known = self._found[name] = self._ask(CAPABILITIES[name])
            return known

    def _known(self, name: str) -> _Finding | None:
        """What was found already; a real call's answer before a probe's."""
        capability = CAPABILITIES[name]
        found = self._found.get(name)
        if capability.how == "hogql" or (found is not None and found.state == "off"):
            return found
        learned = self._transport.learned.get(capability.endpoint.name)
        if learned is None or (learned == "there" and name == "blocked_runs"):
            return found  # With its flag off, the list of blocked runs answers all the same.
        return _Finding(learned, _why(capability, learned))

    def _ask(self, capability: Capability) -> _Finding:
        """One harmless request to the endpoint.

        Raises:
            PostHogError: the response tells nothing of the endpoint.
        """
        if capability.how == "hogql":
            return self._query(capability)
        params = {"limit": 1} if capability.how == "get" else None
        if capability.name == "version_metrics":
            params = {"version": 1}
        try:
            response = self._call(capability.probe, capability.arguments(), params=params)
        except errors.ForeignResponse:
            raise
        except errors.EndpointMissing as error:
            there = error.status == 405 and capability.how != "get"
            return self._stated(capability, "there" if there else "missing", error)
        except errors.NotOpenToKeys as error:
            # A path that takes no GET is closed to it, whatever its POST is.
            return self._stated(capability, "closed" if capability.how == "get" else "there", error)
        except errors.NotFound as error:
            if _no_project(error):
                raise
            state = "missing" if capability.how == "list" else "there"
            return self._stated(capability, state, error)
        except errors.InvalidRequest as error:
            state = "missing" if capability.how == "list" else "there"
            return self._stated(capability, state, error)
        except errors.MissingScope as error:
            return self._stated(capability, "there", error)
        if capability.name == "blocked_runs" and response == {"results": []}:
            why = "The feature flag workflows-replay-blocked-runs is off in this project."
            return _Finding("off", why)
        return _Finding("there")

    def _stated(
        self, capability: Capability, state: Learned, error: errors.PostHogError
    ) -> _Finding:
        """What an error says of the endpoint, when PostHog itself wrote it.

        Raises:
            PostHogError: the error itself: somebody else's answer shows nothing.
        """
        if error.outcome == "unknown" and error.status != 405:
            raise error
        return _Finding(state, _why(capability, state))

    def _query(self, capability: Capability) -> _Finding:
        for sql in capability.query:
            # PostHog's cache would answer for a table that is gone.
            body = {
                "query": {"kind": "HogQLQuery", "query": sql},
                "refresh": "force_blocking",
            }
            try:
                self._call(capability.probe, body=body)
                return _Finding("there")
            except errors.MissingScope as error:
                return _Finding("closed", f"The key lacks the scope {error.scope}.")
            except errors.EndpointMissing as error:
                return self._stated(capability, "missing", error)
            except errors.NotOpenToKeys as error:
                return self._stated(capability, "closed", error)
            except errors.InvalidRequest as error:
                if error.outcome == "unknown":
                    raise
        return _Finding("missing", f"This PostHog server has no table for {capability.name}.")


def _no_project(error: errors.NotFound) -> bool:
    return "project not found" in (error.detail or "").lower()


def _why(capability: Capability, state: Learned) -> str:
    if state == "there":
        return ""
    if state == "closed":
        closed = (
            "This PostHog server refuses the action to scoped keys (403), whatever their scopes."
        )
        return f"{closed} {capability.endpoint.closed}".rstrip()
    lacks = (
        f"This PostHog server has no {capability.endpoint.path.split('}/')[-1] or capability.name}"
    )
    return f"{lacks} ({capability.name}). {capability.endpoint.instead}".rstrip()
