"""What `hog-dagster doctor` finds out about PostHog: key, project, server, features, quota, clock.

Facts: the scopes PostHog's endpoints ask; the probe of ``client.server`` for capabilities. Five or
six requests, none of which changes anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hog_dagster.doctor_rows import Row, State
from hog_dagster.posthog import PostHogClient, errors, models

__all__ = ["ADD", "FEATURES", "Feature", "posthog_rows"]

#: How the remedy for a missing scope begins.
ADD = "Add to the key: "

_NOBODY = "00000000-0000-0000-0000-000000000000"
_SKEW_S = 5.0
_LOW = 0.1
#: How many requests one look at everything takes, at least.
_LOOK = 50


@dataclass(frozen=True, slots=True)
class Feature:
    """Something the integration can do, and what it takes.

    Attributes:
        name: what ``--need`` calls it.
        does: the same in words.
        scopes: what the key needs.
        capability: what the server must have, as ``client.server`` names it; empty: nothing.
    """

    name: str
    does: str
    scopes: tuple[str, ...]
    capability: str = ""


_RERUN = Feature(
    "replay",
    "run failed runs again (rerun)",
    ("hog_flow:write", "person:read", "group:read"),
    "rerun",
)
_REPLAY = Feature(
    "replay", "replay blocked runs", ("hog_flow:read", "hog_flow:write"), "blocked_runs"
)

#: In the order of the table; ``replay`` is one or the other, by what the server has.
FEATURES: tuple[Feature, ...] = (
    Feature("workflows", "read workflows", ("hog_flow:read",)),
    Feature("logs", "read logs of workflows", ("hog_flow:read",), "logs"),
    Feature("metrics", "read metrics of workflows", ("hog_flow:read",), "metrics"),
    Feature("runs", "read runs", ("hog_flow:read", "person:read"), "invocation_results"),
    _REPLAY,
    Feature(
        "batch_jobs",
        "send batch jobs",
        ("hog_flow:read", "hog_flow:write", "person:read"),
        "batch_jobs",
    ),
    Feature("functions", "read hog functions", ("hog_function:read",)),
    Feature("function_logs", "read logs and metrics of hog functions", ("hog_function:read",)),
    Feature("groups", "read groups", ("group:read",)),
    Feature("groups_push", "push properties to groups", ("group:read", "group:write")),
    Feature("insights", "read insights and their results", ("insight:read",)),
    Feature("query", "read in bulk, and wait for results, by query", ("query:read",)),
)


def posthog_rows(client: PostHogClient, needed: Collection[str]) -> Iterator[Row]:
    """The rows on PostHog, in order, as they are found out.

    Args:
        client: on the project.
        needed: names of the features that must work.

    Raises:
        PostHogError: the host, the key or the project cannot be used at all.
    """
    key = _key(client)
    yield Row("ok", "host", client.host)
    scopes = None if key is None else frozenset(key.scopes)
    yield _key_row(key)
    yield from _project_rows(client)
    closed = _closed(client)
    yield _server_row(client)
    for feature in FEATURES:
        chosen = feature
        if feature is _REPLAY and not client.server.has("blocked_runs"):
            chosen = _RERUN if client.server.has("rerun") else _REPLAY
        bad: State = "fail" if feature.name in needed else "off"
        if closed and chosen.scopes[0].startswith("hog_flow:"):
            yield Row(bad, chosen.does, closed)
        else:
            yield _feature_row(client, chosen, scopes, bad)
    yield from _quota_rows(client)
    yield _clock_row(client)
    yield Row("info", "requests", f"{client.requests_made} of the quota, for this check")


def _key(client: PostHogClient) -> models.KeyInfo | None:
    """What the key may do; None where the server does not tell."""
    try:
        return client.server.key()
    except errors.NotFound as error:
        if "web page" in str(error):
            raise
    except errors.PermissionDenied:
        pass
    return None


def _key_row(key: models.KeyInfo | None) -> Row:
    if key is None:
        return Row("warn", "key", "known to PostHog; this server does not tell its scopes")
    label = f"{key.label}: " if key.label else ""
    if "*" in key.scopes:
        return Row(
            "info",
            "key",
            f"{label}all scopes",
            "It opens everything. A key for this alone needs the scopes below.",
        )
    if not key.scopes:
        return Row("warn", "key", f"{label}no scopes", _add(["hog_flow:read"]))
    return Row("ok", "key", f"{label}{', '.join(sorted(key.scopes))}")


def _project_rows(client: PostHogClient) -> Iterator[Row]:
    number = f"{client.project_id}"
    try:
        project = client.server.project()
    except errors.MissingScope as error:
        yield Row("warn", "project", f"{number}, name and time zone unknown", _add([error.scope]))
        return
    yield Row("ok", "project", f"{number} {project.name or ''}".rstrip())
    zone = project.timezone
    shifted = "" if zone == "UTC" else "; metrics are read by exact UTC hours all the same"
    yield Row("ok", "time zone", f"{zone}{shifted}")


def _closed(client: PostHogClient) -> str:
    """Why no workflow can be read, whatever the key's scopes; empty when they can.

    Raises:
        NotFound: there is no such project.
        PermissionDenied: the project is not this key's.
    """
    try:
        client.workflows.get(_NOBODY)
    except errors.NotOpenToKeys:
        return "this server opens workflows to no key with scopes; a newer PostHog does"
    except errors.MissingScope:
        return ""
    except errors.NotFound as error:
        if (error.detail or "").lower().startswith("project"):
            raise
    return ""


def _server_row(client: PostHogClient) -> Row:
    server = client.server
    offers = ", ".join(sorted(server.capabilities))
    if server.generation == "unknown":
        return Row(
            "warn",
            "server",
            f"neither blocked runs nor runs; offers {offers}",
            "Workflows of this server can be read, not replayed: a newer PostHog offers more.",
        )
    return Row("ok", "server", f"generation {server.generation}; offers {offers}")


def _feature_row(
    client: PostHogClient, feature: Feature, scopes: frozenset[str] | None, bad: State
) -> Row:
    if feature.capability and not client.server.has(feature.capability):
        why = client.server.why_not(feature.capability)
        return Row(bad, feature.does, f"not on this server: {why}")
    if scopes is None:
        return Row("warn", feature.does, f"needs {', '.join(feature.scopes)}")
    missing = [scope for scope in feature.scopes if not _holds(scopes, scope)]
    if missing:
        return Row(bad, feature.does, f"needs {', '.join(feature.scopes)}", _add(missing))
    if feature.name == "function_logs":
        return _function_logs_row(client, feature, bad)
    return Row("ok", feature.does, ", ".join(feature.scopes))


def _function_logs_row(client: PostHogClient, feature: Feature, bad: State) -> Row:
    """Whether the server opens them to keys: asked of a function that cannot be there."""
    try:
        client.hog_functions.metric_totals(_NOBODY)
    except errors.NotOpenToKeys as error:
        return Row(bad, feature.does, error.detail or "", "A newer PostHog opens them to keys.")
    except errors.NotFound:
        pass
    return Row("ok", feature.does, ", ".join(feature.scopes))


def _holds(scopes: Collection[str], scope: str) -> bool:
    written = scope.removesuffix(":read") + ":write"
    return "*" in scopes or scope in scopes or (scope.endswith(":read") and written in scopes)


def _add(scopes: Collection[str]) -> str:
    return ADD + ", ".join(scopes)


def _quota_rows(client: PostHogClient) -> Iterator[Row]:
    for use in client.server.usage():
        span = {60.0: "a minute", 3600.0: "an hour"}.get(use.seconds, f"in {use.seconds:g} s")
        found = f"{use.free:,} of {use.allowed:,} requests {span} free ({use.limit:,} at PostHog)"
        low = use.free < min(_LOOK, _LOW * use.allowed)
        remedy = "Runs will wait. Give other work that uses this key a key of its own."
        yield Row("warn" if low else "ok", f"quota: {use.bucket}", found, remedy if low else "")


def _clock_row(client: PostHogClient) -> Row:
    skew = client.server.clock_skew_s
    if skew is None:
        return Row("warn", "clock", "PostHog does not say what time it has")
    if abs(skew) <= _SKEW_S:
        return Row("ok", "clock", f"{abs(skew):.0f} s from PostHog's")
    side = "behind" if skew > 0 else "ahead of"
    return Row(
        "warn",
        "clock",
        f"{abs(skew):.0f} s {side} PostHog's",
        "Set this machine's clock (NTP): windows that end now are cut by its time.",
    )
