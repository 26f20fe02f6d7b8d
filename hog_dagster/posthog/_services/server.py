"""The ``server`` service: which PostHog this is, what it can do, and what the key may do.

Facts: a server answers 404 ``Endpoint not found.`` on a path it does not have; 404 ``Not found.``
about an object that is not there; 403 ``does not support personal API key access`` or 405 to a
method that a path does not have, and to actions that no key may use. What a server offers is what
each endpoint answered, never what its generation should have.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import Endpoint, messaging
from hog_dagster.posthog._endpoints import hog_functions as functions
from hog_dagster.posthog._endpoints import project as endpoints
from hog_dagster.posthog._endpoints import workflows as flows
from hog_dagster.posthog._endpoints.insights import QUERY_ROWS
from hog_dagster.posthog._rate_limit.limiter import Usage
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._transport.server_clock import ServerClock
from hog_dagster.posthog._transport.transport import Learned, Transport

#: A hint in words, for people: nothing is decided by it.
Generation = Literal["docs", "mid2026", "current", "unknown"]


#: The id of an object that cannot be there.
NOBODY = "00000000-0000-0000-0000-000000000000"

#: ``get``: GET of the path itself. ``post``: GET of a path that only takes POST, which closes it to
#: keys when it is there. ``list``: the same for a path that reads as an object's id where it is
#: missing, so that any 404 or 400 says so. ``hogql``: a query.
How = Literal["get", "post", "list", "hogql"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a server can offer, and the endpoint whose responses decide; ``query`` is what
    ``hogql`` asks, each until one works."""

    name: str
    endpoint: Endpoint
    how: How = "get"
    query: tuple[str, ...] = ()

    @property
    def probe(self) -> Endpoint:
        """The harmless request."""
        if self.how == "hogql":
            return self.endpoint
        return replace(
            self.endpoint, name=f"probe of {self.endpoint.name}", method="GET", effect="read"
        )

    def arguments(self) -> dict[str, str]:
        """What fills the path of the probe: ids of nobody."""
        names = ("id", "invocation_id", "job_id", "person_id")
        return {name: NOBODY for name in names if f"{{{name}}}" in self.endpoint.path}


def _hogql(name: str, *tables: str) -> Capability:
    asked = tuple(f"SELECT 1 FROM {table} LIMIT 1" for table in tables)  # noqa: S608
    return Capability(f"hogql_{name}", QUERY_ROWS, "hogql", asked)


_ALL = (
    Capability("logs", flows.LOGS),
    Capability("metrics", flows.METRIC_TOTALS),
    Capability("hogql_query", QUERY_ROWS, "hogql", ("SELECT 1",)),
    _hogql("runs", "hog_invocation_results", "posthog.hog_invocation_results"),
    Capability("batch_jobs", flows.BATCH_JOBS),
    Capability("cancel_batch_job", flows.CANCEL_BATCH_JOB, "post"),
    Capability("schedules", flows.SCHEDULES),
    Capability("blast_radius", flows.BLAST_RADIUS, "list"),
    Capability("test_invocation", flows.TEST_INVOCATION, "post"),
    Capability("blocked_runs", flows.BLOCKED_RUNS),
    Capability("invocation_results", flows.INVOCATION_RESULTS),
    Capability("invocation_results_count", flows.INVOCATION_RESULTS_COUNT),
    Capability("invocation_result", flows.INVOCATION_RESULT),
    Capability("rerun", flows.RERUN, "post"),
    Capability("cancel_invocations", flows.CANCEL_INVOCATIONS, "post"),
    Capability("run", flows.RUN, "post"),
    Capability("global_metrics", flows.GLOBAL_METRICS),
    Capability("version_metrics", flows.VERSION_METRICS),
    Capability("revisions", flows.REVISIONS),
    Capability("sent_messages", messaging.SENT_MESSAGES),
    Capability("messages_of_person", messaging.PERSON_MESSAGES),
    Capability("suppressions", messaging.SUPPRESSIONS),
    Capability("opt_outs", messaging.OPT_OUTS),
    Capability("bulk_add_opt_outs", messaging.BULK_ADD_OPT_OUTS, "post"),
    Capability("message_categories", messaging.CATEGORIES),
    Capability("recipients", messaging.RECIPIENTS),
    Capability("resume_email_sending", messaging.RESUME, "post"),
    _hogql("suppressions", "system.message_suppressions"),
    Capability("reputation", messaging.REPUTATION, "list"),
    Capability("email_suspension", messaging.SUSPENSION, "list"),
    _hogql("preferences", "system.message_recipient_preferences"),
    _hogql("categories", "system.message_categories"),
    Capability("batch_exports", endpoints.EXPORTS),
    Capability("activity_log", endpoints.ACTIVITY),
    Capability("function_logs", functions.LOGS),
    Capability("function_invocation_results", functions.INVOCATION_RESULTS),
    Capability("function_invocation_results_count", functions.INVOCATION_RESULTS_COUNT),
    Capability("function_invocation_result", functions.INVOCATION_RESULT),
    Capability("function_rerun", functions.RERUN, "post"),
    Capability("function_revisions", functions.REVISIONS),
)
#: Every capability, by name.
CAPABILITIES: Mapping[str, Capability] = {capability.name: capability for capability in _ALL}


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
        if known := self._known(name):
            return known
        with self._lock:
            if not (known := self._known(name)):
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
        except (errors.NotFound, errors.InvalidRequest) as error:
            if "project not found" in (error.detail or "").lower() and error.status == 404:
                raise
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
            query = {"kind": "HogQLQuery", "query": sql}
            try:
                # PostHog's cache would answer for a table that is gone.
                self._call(capability.probe, body={"query": query, "refresh": "force_blocking"})
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


def _why(capability: Capability, state: Learned) -> str:
    if state == "there":
        return ""
    if state == "closed":
        said = "This PostHog server refuses the action to scoped keys (403), whatever their scopes."
        return f"{said} {capability.endpoint.closed}".rstrip()
    what = capability.endpoint.path.split("}/")[-1] or capability.name
    said = f"This PostHog server has no {what} ({capability.name})."
    return f"{said} {capability.endpoint.instead}".rstrip()
