"""Models of the project and of the key that is used.

Facts: PostHog's project and personal_api_key serializers, and a running server's project.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hog_dagster.posthog.models.base import Instant, LenientDict, LenientList, Model

__all__ = ["KeyInfo", "Project"]


class Project(Model):
    """GET /api/projects/{project_id}/. Its tokens and secrets are kept out of ``repr``.

    ``captures_email_events``: whether e-mails of workflows leave events; None where the server does
    not say.
    """

    id: int
    name: str | None = None
    uuid: str | None = None
    organization: str | None = None
    timezone: str = "UTC"
    created_at: Instant | None = None
    api_token: str | None = Field(default=None, repr=False)
    live_events_token: str | None = Field(default=None, repr=False)
    secret_api_token: str | None = Field(default=None, repr=False)
    secret_api_token_backup: str | None = Field(default=None, repr=False)
    slack_incoming_webhook: Any = Field(default=None, repr=False)
    workflows_config: LenientDict = Field(default_factory=dict)

    @property
    def captures_email_events(self) -> bool | None:
        """Whether PostHog captures an event for each e-mail that is sent, delivered, opened or
        bounces; None where the server does not say."""
        found = self.workflows_config.get("capture_workflows_engagement_events")
        return found if isinstance(found, bool) else None


class KeyInfo(Model):
    """GET /api/personal_api_keys/@current/: what the key may do. Never holds the key itself.

    ``scopes`` is ``["*"]`` for a key made with all scopes, and for an old key made before scopes.
    """

    id: str | None = None
    label: str | None = None
    scopes: LenientList[str] = Field(default_factory=list)
    scoped_teams: LenientList[int] = Field(default_factory=list[int])
    scoped_organizations: LenientList[str] = Field(default_factory=list)
    created_at: Instant | None = None
    last_used_at: Instant | None = None
    value: str | None = Field(default=None, repr=False)
