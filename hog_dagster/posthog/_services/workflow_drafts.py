"""Drafts, revisions and edits in place of workflows, which newer servers have.

Facts: PostHog's hog_flow viewset of mid 2026 on: publish in two steps, discard, revisions, restore,
graph operations; the requests its own command-line client makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import workflows as endpoints
from hog_dagster.posthog._pagination.windows import written
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.fields import given


class WorkflowDrafts(Service):
    """What is staged, published, kept and restored. EndpointMissing on older servers."""

    def update_graph(
        self,
        id: str,
        operations: Iterable[Mapping[str, Any]],
        *,
        base_updated_at: datetime | str | None = None,
    ) -> models.Workflow:
        """Edit steps and edges in place, all or nothing: PATCH .../{id}/graph/. Sent once.

        Scope hog_flow:write.

        Args:
            id: the workflow.
            operations: mappings with ``op``: update_action (id, patch), add_action (action),
                remove_action (id), add_edge, remove_edge (edge), replace_action_edges (id, edges).
            base_updated_at: the ``updated_at`` that was read; the edit is refused when it is stale.

        Raises:
            Conflict: ``base_updated_at`` is stale.
            InvalidRequest: an operation does not fit the graph; nothing was changed.
        """
        body = given(
            operations=[dict(operation) for operation in operations],
            base_updated_at=written("base_updated_at", base_updated_at),
        )
        return self._one(models.Workflow, endpoints.UPDATE_GRAPH, {"id": id}, body=body)

    def update_action_email(
        self, id: str, action_id: str, changes: Mapping[str, Any]
    ) -> models.Workflow:
        """Change the e-mail of one step: PATCH .../{id}/actions/{action_id}/email/. Sent once.

        Scope hog_flow:write.
        """
        return self._one(
            models.Workflow,
            endpoints.UPDATE_ACTION_EMAIL,
            {"id": id, "action_id": action_id},
            body=dict(changes),
        )

    def publish(self, id: str, *, confirm_token: str | None = None) -> models.PublishResponse:
        """Make the draft live, in two steps: POST .../{id}/publish/. Sent once.

        Scope hog_flow:write. Called without a token it changes nothing: it says what it would do to
        people under way and gives a ``confirm_token``, valid 15 minutes. Called with that it
        publishes the draft that was looked at.

        Raises:
            Conflict: the draft changed since the token was given.
            InvalidRequest: nothing is staged, or the token is expired or another's.
        """
        body = given(confirm=confirm_token is not None, confirm_token=confirm_token)
        return self._one(models.PublishResponse, endpoints.PUBLISH, {"id": id}, body=body)

    def discard_draft(self, id: str) -> models.Workflow:
        """Drop the draft, if any: POST .../{id}/discard_draft/. Sent once.

        Scope hog_flow:write. Dropping none changes nothing.
        """
        return self._one(models.Workflow, endpoints.DISCARD_DRAFT, {"id": id}, body={})

    def revisions(self, id: str) -> Iterator[models.Revision]:
        """Published states, newest first, lazily: GET .../{id}/revisions/, scope hog_flow:read.

        Without ``content``: read one with :meth:`revision`.
        """
        return self._paged(models.Revision, endpoints.REVISIONS, {"id": id}, key="version")

    def revision(self, id: str, number: int) -> models.Revision:
        """One published state: GET .../{id}/revisions/{number}/, scope hog_flow:read."""
        return self._one(models.Revision, endpoints.REVISION, {"id": id, "number": number})

    def restore_revision(
        self,
        id: str,
        number: int,
        *,
        overwrite: bool = False,
        expected_draft_updated_at: datetime | str | None = None,
    ) -> models.Workflow:
        """Bring a published state back as the draft: POST .../revisions/{number}/restore/.

        Scope hog_flow:write. Sent once. What is live stays live until :meth:`publish`.

        Args:
            id: the workflow.
            number: the revision's ``version``.
            overwrite: replace a draft that is open.
            expected_draft_updated_at: overwrite that draft only, not one staged since.

        Raises:
            Conflict: ``code`` is draft_exists or stale_update.
            NotFound: there is no such revision.
        """
        expected = written("expected_draft_updated_at", expected_draft_updated_at)
        body = given(overwrite=overwrite, expected_draft_updated_at=expected)
        return self._one(
            models.Workflow, endpoints.RESTORE_REVISION, {"id": id, "number": number}, body=body
        )
