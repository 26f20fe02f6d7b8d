"""The endpoints that describe the server, the project and the key itself.

Facts: PostHog's project and personal_api_key viewsets; a running server's response for a project.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

PROJECT = Endpoint(
    "server.project",
    "GET",
    "/api/projects/{project_id}/",
    ("project:read",),
    notes="holds the project token and others; the model hides them",
)
KEY = Endpoint(
    "server.key",
    "GET",
    "/api/personal_api_keys/@current/",
    notes="a key may read itself without any scope; a key without scopes reads as '*'",
)

USER = Endpoint(
    "server.user",
    "GET",
    "/api/users/@me/",
    ("user:read",),
    notes="whose key it is",
)

register(PROJECT, KEY, USER)
