"""Drafts and revisions of workflows, which newer servers keep.

Facts: PostHog's hog_flow viewset of mid 2026 on: publish in two steps, discard, revisions, restore.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog.endpoints import workflows as endpoints
from hog_dagster.posthog.service import Service

__all__ = ["WorkflowDrafts"]


class WorkflowDrafts(Service):
    """What is staged, published, kept and restored. EndpointMissing on older servers."""

    def update_graph(self, id: str, changes: Mapping[str, Any]) -> Any:
        """Change parts of the graph: PATCH .../{id}/graph/, scope hog_flow:write. Sent once."""
        return self._call(endpoints.UPDATE_GRAPH, {"id": id}, body=dict(changes))

    def publish(self, id: str, *, confirm_token: str | None = None) -> Any:
        """Make the draft live: POST .../{id}/publish/, scope hog_flow:write. Sent once.

        Two steps: called without a token it answers with a ``confirm_token``, valid 15 minutes;
        called with that token it publishes.
        """
        body = {} if confirm_token is None else {"confirm_token": confirm_token}
        return self._call(endpoints.PUBLISH, {"id": id}, body=body)

    def discard_draft(self, id: str) -> Any:
        """Drop the draft: POST .../{id}/discard_draft/, scope hog_flow:write. Sent once."""
        return self._call(endpoints.DISCARD_DRAFT, {"id": id}, body={})

    def revisions(self, id: str) -> Iterator[models.Revision]:
        """Published states, lazily: GET .../{id}/revisions/, scope hog_flow:read."""
        return self._paged(models.Revision, endpoints.REVISIONS, {"id": id}, key="version")

    def revision(self, id: str, number: int) -> models.Revision:
        """One published state: GET .../{id}/revisions/{number}/, scope hog_flow:read."""
        return self._one(models.Revision, endpoints.REVISION, {"id": id, "number": number})

    def restore_revision(self, id: str, number: int) -> Any:
        """Bring a published state back: POST .../{id}/revisions/{number}/restore/. Sent once.

        Scope hog_flow:write.

        Raises:
            Conflict: ``code`` is draft_exists or stale_update.
        """
        return self._call(endpoints.RESTORE_REVISION, {"id": id, "number": number}, body={})
