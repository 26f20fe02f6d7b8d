"""Checks of a client against its server: what works, what cannot, and what to change.

Facts: the register of endpoints (scopes, servers), the server's probe, the key's own description.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._client import PostHogClient
from hog_dagster.posthog._endpoints import ENDPOINTS
from hog_dagster.posthog._services.server import NOBODY

#: ``ok``; ``off``: cannot be used as things are, and nobody asked for it; ``warn``: works, and
#: deserves a look; ``fail``: cannot work as configured.
Status = Literal["ok", "off", "warn", "fail"]

#: Clocks further apart than this are worth a word: windows end at "now".
SKEW_WARN_S = 30.0
SKEW_FAIL_S = 300.0
#: Part of the allowed requests below which runs will soon wait.
LOW_QUOTA = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the doctor's table.

    Attributes:
        check: what was looked at.
        status: how it stands.
        value: what was found.
        advice: what to change; empty when nothing is.
    """

    check: str
    status: Status
    value: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something a project can be configured to do, and the endpoints it calls.

    Attributes:
        name: as rows and configuration call it.
        endpoints: names in the register.
        capability: what the server must have; None when every server does.
    """

    name: str
    endpoints: tuple[str, ...]
    capability: str | None = None

    @property
    def scopes(self) -> list[str]:
        """Scopes the key needs, each once."""
        return list(
            dict.fromkeys(scope for name in self.endpoints for scope in ENDPOINTS[name].scopes)
        )


#: What can be configured, in the order of the table.
FEATURES: tuple[Feature, ...] = (
    Feature("workflows", ("workflows.list",)),
    Feature("workflow_metrics", ("workflows.metrics",)),
    Feature("workflow_logs", ("workflows.logs",)),
    Feature("workflow_schedules", ("workflows.schedules",), "schedules"),
    Feature("workflow_batch_jobs", ("workflows.batch_jobs",), "batch_jobs"),
    Feature("workflow_runs", ("workflows.invocation_results",), "invocation_results"),
    Feature("blocked_runs", ("workflows.blocked_runs",), "blocked_runs"),
    Feature("replay", ("workflows.blocked_runs", "workflows.replay_blocked_run"), "blocked_runs"),
    Feature("rerun", ("workflows.invocation_results", "workflows.rerun"), "rerun"),
    Feature(
        "send_batch_job",
        ("workflows.batch_jobs", "workflows.create_batch_job", "workflows.blast_radius"),
        "batch_jobs",
    ),
    Feature("hog_functions", ("hog_functions.list",)),
    Feature("hog_function_metrics", ("hog_functions.metrics",)),
    Feature("hog_function_logs", ("hog_functions.logs",)),
    Feature("groups", ("groups.list", "groups.types")),
    Feature("groups_push", ("groups.find", "groups.create", "groups.update_property")),
    Feature("insights", ("insights.list", "insights.get")),
    Feature("query", ("insights.query_status",)),
)


def grants(scopes: Iterable[str], wanted: str) -> bool:
    """Whether a key of these scopes may do what ``wanted`` names: ``:write`` includes ``:read``."""
    held = set(scopes)
    log_source, _, verb = wanted.partition(":")
    return "*" in held or wanted in held or (verb == "read" and f"{log_source}:write" in held)


def diagnose(client: PostHogClient, *, features: Iterable[str] = ()) -> Iterator[Row]:
    """Look at everything a client needs, row by row, in about a dozen requests.

    Nothing is changed on the server, and no error is raised for what PostHog answers: it becomes a
    row.

    Args:
        client: the client.
        features: names of :data:`FEATURES` that are configured: a missing scope or endpoint is a
            failure for these, ``off`` for the others. ``replay`` stands for ``rerun`` on servers
            that have that in its place.

    Yields:
        Rows as they are found; those after a failure that stops everything are left out.
    """
    wanted = set(features)
    unknown = wanted - {feature.name for feature in FEATURES}
    if unknown:
        raise ValueError(f"no such feature: {', '.join(sorted(unknown))}")
    parts = urlsplit(client.host)
    safe = parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
    yield Row("host", "ok" if safe else "warn", client.host, "" if safe else "Use https://.")
    key, row = _key(client)
    yield row
    if row.status == "fail":
        return
    row = _project(client, key)
    yield row
    if row.status == "fail":
        return
    yield _clock(client)
    try:
        closed = _closed(client)
    except errors.PostHogError as error:
        yield Row("server", "fail", _first(error), str(error))
        return
    yield _generation(client)
    if "replay" in wanted and _offers(client, "rerun"):
        wanted = wanted - {"replay"} | {"rerun"}
    functions_closed = _functions_closed(client, key)
    for feature in FEATURES:
        refused = ""
        if feature.endpoints[0].startswith("workflows."):
            refused = closed
        elif feature.name in ("hog_function_metrics", "hog_function_logs"):
            refused = functions_closed
        yield _feature(client, feature, key, refused, configured=feature.name in wanted)
    yield Row("capabilities", "ok", ", ".join(sorted(client.server.capabilities)) or "none seen")
    yield from _quota(client)


def key_refusal(client: PostHogClient) -> str:
    """Why the key cannot be used at all, in the sentence of :func:`diagnose`; empty when it can.

    One request: GET /api/personal_api_keys/@current/.
    """
    _, row = _key(client)
    return row.advice if row.status == "fail" else ""


def _generation(client: PostHogClient) -> Row:
    """A hint for people; what the server can do stands in the rows of features."""
    try:
        return Row("server", "ok", f"looks like generation {client.server.generation}")
    except errors.PostHogError as error:
        return Row("server", "warn", f"generation unknown: {_first(error)}", str(error))


def _offers(client: PostHogClient, capability: str) -> bool:
    """Whether the server has it; False, too, while it cannot be asked."""
    try:
        return client.server.has(capability)
    except errors.PostHogError:
        return False


def _key(client: PostHogClient) -> tuple[models.KeyInfo | None, Row]:
    try:
        key = client.server.key()
    except (errors.NotFound, errors.PermissionDenied) as error:
        if error.code is None:  # Not PostHog's own words: another web site, or a proxy.
            return None, Row("key", "fail", _first(error), str(error))
        # A project secret key, or a server too old to describe keys: the rest will show.
        return None, Row("key", "warn", "scopes unknown", _first(error))
    except errors.PostHogError as error:
        return None, Row("key", "fail", _first(error), str(error))
    name = f"{key.label or 'unnamed'}: {', '.join(key.scopes) or 'no scopes'}"
    if key.scoped_teams and client.project_id not in key.scoped_teams:
        teams = ", ".join(str(team) for team in key.scoped_teams)
        return key, Row(
            "key",
            "fail",
            f"{name}; projects {teams} only",
            f"The key may not use project {client.project_id}: change POSTHOG_PROJECT_ID, or the "
            "key's projects in PostHog under Settings > Personal API keys.",
        )
    return key, Row("key", "ok", name)


def _project(client: PostHogClient, key: models.KeyInfo | None) -> Row:
    if key is not None and not grants(key.scopes, "project:read"):
        return Row(
            "project",
            "warn",
            f"{client.project_id}, name and time zone unknown",
            "Not needed for any table; add the scope project:read to see them here.",
        )
    try:
        project = client.server.project()
    except errors.MissingScope as error:
        return Row("project", "warn", f"missing scope {error.scope}", str(error))
    except errors.PostHogError as error:
        return Row("project", "fail", _first(error), str(error))
    name = f"{project.id} {project.name or ''}".strip()
    return Row("project", "ok", f"{name}, time zone {project.timezone}")


def _clock(client: PostHogClient) -> Row:
    clock = client.server.clock
    if not clock.known:
        return Row("clock", "warn", "the server does not say its time")
    low, high = clock.ahead()
    off = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    status = "ok" if off < SKEW_WARN_S else "warn" if off < SKEW_FAIL_S else "fail"
    ahead = "ahead of" if low > 0 else "behind"
    value = f"server {off:.0f} s {ahead} this machine" if off >= 2 else "in step with the server"
    advice = "Set this machine's clock (NTP): windows that end now are cut by it."
    return Row("clock", status, value, "" if status == "ok" else advice)


def _closed(client: PostHogClient) -> str:
    """Why no workflow can be read, whatever the key's scopes; empty when they can.

    Asked of a workflow that cannot be there, which also shows whether the project can be used by a
    key that may not read the project itself.

    Raises:
        PostHogError: the project is not there, or not this key's.
    """
    try:
        client.workflows.get(NOBODY)
    except errors.NotOpenToKeys as error:
        return error.detail or "closed to keys"
    except errors.MissingScope:
        return ""
    except errors.NotFound as error:
        if "project" in (error.detail or "").lower():
            raise
    return ""


def _functions_closed(client: PostHogClient, key: models.KeyInfo | None) -> str:
    """Why logs and metrics of hog functions cannot be read, whatever the scopes; else empty."""
    if key is not None and not grants(key.scopes, "hog_function:read"):
        return ""
    try:
        client.hog_functions.metric_totals(NOBODY)
    except errors.NotOpenToKeys as error:
        return error.detail or "closed to keys"
    except errors.PostHogError:
        pass
    return ""


def _feature(
    client: PostHogClient,
    feature: Feature,
    key: models.KeyInfo | None,
    closed: str,
    *,
    configured: bool,
) -> Row:
    bad: Status = "fail" if configured else "off"
    check = f"feature {feature.name}"
    if closed:
        return Row(check, bad, closed, "A newer PostHog opens it to keys.")
    if feature.capability is not None:
        try:
            if why := client.server.why_not(feature.capability):
                return Row(check, bad, "not on this server", why)
        except errors.PostHogError as error:
            return Row(check, "warn", f"could not be asked: {_first(error)}", str(error))
    needs = ", ".join(feature.scopes)
    if key is None:
        return Row(check, "warn", f"needs {needs}", "The key's scopes could not be read.")
    missing = [scope for scope in feature.scopes if not grants(key.scopes, scope)]
    if missing:
        return Row(
            check,
            bad,
            f"needs {needs}",
            f"Add {', '.join(missing)} to the key: PostHog, Settings > Personal API keys.",
        )
    return Row(check, "ok", f"has {needs}")


def _quota(client: PostHogClient) -> Iterator[Row]:
    usage = client.server.usage()
    if not usage:
        yield Row("quota", "warn", "limiting is off", "A 429 is waited out, not avoided.")
    for line in usage:
        status = "ok" if line.free >= LOW_QUOTA * line.allowed else "warn"
        span = {60.0: "a minute", 3600.0: "an hour"}.get(line.seconds, f"in {line.seconds:g} s")
        yield Row(
            f"quota {line.bucket}",
            status,
            f"{line.free:,} of {line.allowed:,} requests {span} are free; PostHog allows "
            f"{line.limit:,}",
            ""
            if status == "ok"
            else "Runs will wait. Give other work that uses this key a key of its own.",
        )


def _first(error: errors.PostHogError) -> str:
    said = error.detail or type(error).__name__
    return f"{error.status} {said}" if error.status else said
