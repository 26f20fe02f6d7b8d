"""Drafts and revisions of hog functions, which newer servers keep, and what hangs on them.

Facts: PostHog's hog_function viewset of mid 2026 on.
"""

from __future__ import annotations

from collections.abc import Iterator

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import hog_functions as endpoints
from hog_dagster.posthog._services.base import Service, instead
from hog_dagster.posthog._services.fields import given


class HogFunctionDrafts(Service):
    """What is staged, published, kept and restored. EndpointMissing on older servers."""

    def publish(
        self, id: str, *, confirm_token: str | None = None, confirm: bool | None = None
    ) -> models.HogFunctionPublish:
        """Make the draft live, in two steps: POST .../hog_functions/{id}/publish/. Sent once.

        Scope hog_function:write. Called without a token it changes nothing: it says which fields
        would change and gives a ``confirm_token``, valid 15 minutes. Called with that it publishes.

        Args:
            id: the function.
            confirm_token: from the preview; a disabled function needs none.
            confirm: publish; default when a token is given.

        Raises:
            Conflict: ``stale_update``: the draft or the function changed since the preview.
            InvalidRequest: nothing is staged, or the token is missing, expired or another's.
        """
        sure = confirm_token is not None if confirm is None else confirm
        body = given(confirm=sure, confirm_token=confirm_token)
        return self._one(models.HogFunctionPublish, endpoints.PUBLISH, {"id": id}, body=body)

    def discard_draft(self, id: str) -> models.HogFunction:
        """Drop the draft, if any: POST .../hog_functions/{id}/discard_draft/. Sent once.

        Scope hog_function:write. Dropping none changes nothing.
        """
        return self._one(models.HogFunction, endpoints.DISCARD_DRAFT, {"id": id}, body={})

    def revisions(self, id: str) -> Iterator[models.HogFunctionRevision]:
        """States that were live, newest first, lazily: GET .../hog_functions/{id}/revisions/.

        Scope hog_function:read. Without ``content``: read one with :meth:`revision`.
        """
        return self._paged(
            models.HogFunctionRevision, endpoints.REVISIONS, {"id": id}, key="version"
        )

    def revision(self, id: str, version: int) -> models.HogFunctionRevision:
        """One state that was live: GET .../hog_functions/{id}/revisions/{version}/.

        Scope hog_function:read. ``content`` holds no secrets.
        """
        return self._one(
            models.HogFunctionRevision, endpoints.REVISION, {"id": id, "version": version}
        )

    def restore_revision(
        self, id: str, version: int, *, overwrite: bool = False
    ) -> models.HogFunction:
        """Stage an earlier state as the draft: POST .../revisions/{version}/restore/. Sent once.

        Scope hog_function:write. Nothing is live before :meth:`publish`.

        Args:
            id: the function.
            version: of :meth:`revisions`.
            overwrite: replace a draft that is there.

        Raises:
            Conflict: ``draft_exists``: there is a draft, and ``overwrite`` is False.
        """
        return self._one(
            models.HogFunction,
            endpoints.RESTORE_REVISION,
            {"id": id, "version": version},
            body={"overwrite": overwrite},
        )

    def masked_secrets(self) -> list[models.MaskedSecret]:
        """Functions that lost a secret: GET .../hog_functions/masked_secrets/.

        Scope hog_function:read. PostHog stored a mask in the place of the secret, so such a
        function fails every call until the inputs that are named are entered again.

        Raises:
            EndpointMissing: an older server.
        """
        try:
            return self._many(models.MaskedSecret, endpoints.MASKED_SECRETS)
        except errors.NotFound as error:
            if not said_not_found(error):
                raise
            # An older server takes the last part of the path for the id of a function.
            said = (
                f"{error.method} .../hog_functions/masked_secrets/ answered 404: This PostHog "
                f"server does not have this endpoint. {endpoints.MASKED_SECRETS.instead}"
            )
            raise instead(errors.EndpointMissing, error, said) from None

    def enable_backfills(self, id: str) -> models.BackfillResponse:
        """Make a batch export that feeds the function: POST .../{id}/enable_backfills/. Sent once.

        Destinations of events only, once each. The batch export is made paused. Newer servers have
        it and refuse it to scoped keys.

        Raises:
            NotOpenToKeys: a key with scopes.
            EndpointMissing: an older server.
        """
        return self._one(models.BackfillResponse, endpoints.ENABLE_BACKFILLS, {"id": id}, body={})


def said_not_found(error: errors.NotFound) -> bool:
    """Whether PostHog said that the object is not there; not the project, not the endpoint."""
    return (
        not isinstance(error, errors.EndpointMissing)
        and error.code == "not_found"
        and (error.detail or "").rstrip(".").lower() == "not found"
    )
