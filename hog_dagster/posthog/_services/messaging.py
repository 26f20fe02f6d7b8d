"""The ``messaging`` service: who got what, who must get nothing, and whether mail goes out at all.

Facts: PostHog's message assets, reputation and suspension of summer and autumn 2026. Suppressions,
opt-outs, categories and recipients are in :mod:`messaging_lists`.
E-mail that is suppressed, suspended or opted out of leaves no message and fails no run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._endpoints import messaging as endpoints
from hog_dagster.posthog._pagination.message_pages import read_messages
from hog_dagster.posthog._pagination.windows import aware
from hog_dagster.posthog._services.base import Reading, instead, malformed
from hog_dagster.posthog._services.messaging_lists import MessagingLists
from hog_dagster.posthog._services.workflows import Workflows


class Messaging(MessagingLists):
    """Messages, and what keeps them from people: ``client.messaging``."""

    _noun = "workflows"

    def _every(self) -> Iterable[models.Workflow]:
        return self._beside(Workflows).list()

    def sent_messages(
        self,
        id: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        invocation_id: str | None = None,
        action_id: str | None = None,
        parent_run_id: str | None = None,
        on_dense: Callable[[errors.WindowTooDense], None] | None = None,
    ) -> Iterator[models.SentMessage]:
        """Messages that left, each run's step once, newest first: GET .../hog_flows/{id}/assets/.

        Scopes hog_flow:read and person:read. One request per 500, or very little less. Kept for 30
        days; written some seconds or minutes after the send, and only where the server is set up to
        keep them. A step that sends again in the same run moves its message to the new time: a
        window that ends before that shows the earlier send, or none; without ``before`` the newest
        send of each counts.

        Args:
            id: the workflow.
            after: sent then or later, with a time zone; default 30 days ago.
            before: sent before then, with a time zone; default the present.
            invocation_id: of this run only.
            action_id: of this step only.
            parent_run_id: of this batch job only; an empty text: of runs of no batch job.
            on_dense: called with a moment with more than 500 messages that the server gives in no
                order, so that some may not have come; the others come.

        Raises:
            EndpointMissing: an older server.
            WindowTooDense: such a moment, without ``on_dense``.
            UnsettledList: rows moved again and again while they were read.
        """
        only = {
            "invocation_id": invocation_id,
            "action_id": action_id,
            "parent_run_id": parent_run_id,
        }
        return self._messages(
            endpoints.SENT_MESSAGES, {"id": id}, only, after, before, f"workflow {id}", on_dense
        )

    def messages_of_person(
        self,
        person_id: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> Iterator[models.SentMessage]:
        """E-mails to one person, of all workflows, newest first: GET .../persons/{id}/emails/.

        Scope person:read. One request per 500.

        Args:
            person_id: the person's UUID.
            after, before: as of :meth:`sent_messages`.

        Raises:
            NotFound: there is no such person.
            EndpointMissing: an older server.
        """
        return self._messages(
            endpoints.PERSON_MESSAGES,
            {"person_id": person_id},
            {},
            after,
            before,
            f"person {person_id}",
        )

    def content(self, id: str, invocation_id: str, action_id: str = "") -> str:
        """The body of a message as it was sent, HTML: GET .../hog_flows/{id}/assets/content/.

        Scopes hog_flow:read and person:read. Kept for 30 days.

        Args:
            id: the workflow.
            invocation_id: the run.
            action_id: the step.

        Raises:
            NotFound: there is no such message, or it is no longer kept.
        """
        if not invocation_id:
            raise ValueError("content: give the invocation_id of the message")
        params = {"invocation_id": invocation_id, "action_id": action_id or None}
        response = self._send(endpoints.CONTENT, {"id": id}, params=params)
        policy = response.headers.get("content-security-policy", "")
        if not response.is_html or "sandbox" not in policy:
            raise malformed(response, "it is no message as PostHog hands one out")
        response.recognised()
        return response.content.decode("utf-8", "replace")

    def reputation(self, *, search: str | None = None) -> models.Reputation:
        """Bounces and complaints of 30 days, allowance, suspension: GET .../hog_flows/reputation/.

        Scope hog_flow:read. One request; PostHog's numbers are up to a minute old.

        Args:
            search: only workflows whose names contain this; the totals stay.

        Raises:
            EndpointMissing: an older server.
        """
        params = {"search": search}
        try:
            return self._one(models.Reputation, endpoints.REPUTATION, params=params)
        except errors.NotFound as error:
            raise _no_such_endpoint(error, endpoints.REPUTATION) from None

    def suspension(self) -> models.EmailSuspension:
        """Whether PostHog has suspended the project's e-mail: GET .../email_sending_suspension/.

        Scope hog_flow:read.

        Raises:
            EndpointMissing: an older server.
        """
        try:
            return self._one(models.EmailSuspension, endpoints.SUSPENSION)
        except errors.NotFound as error:
            raise _no_such_endpoint(error, endpoints.SUSPENSION) from None

    def resume_email_sending(self, id: str) -> models.ResumedEmail:
        """Let a workflow send e-mail again: POST .../hog_flows/{id}/resume_email_sending/.

        Scope hog_flow:write. Sent once. PostHog counts bounces and complaints from then on, and
        pauses the workflow again where they stay high.

        Args:
            id: the workflow.

        Raises:
            InvalidRequest: it is not paused; so a repeat is refused.
            PermissionDenied: PostHog's support paused it and lifts the pause.
            EndpointMissing: an older server.
            OutcomeUnknown: no response came: it may have happened; see :meth:`reputation`.
        """
        return self._one(models.ResumedEmail, endpoints.RESUME, {"id": id})

    def _messages(
        self,
        endpoint: Endpoint,
        arguments: Mapping[str, str],
        only: Mapping[str, str | None],
        after: datetime | None,
        before: datetime | None,
        whose: str,
        on_dense: Callable[[errors.WindowTooDense], None] | None = None,
    ) -> Iterator[models.SentMessage]:
        for name, moment in (("after", after), ("before", before)):
            if moment is not None:
                aware(name, moment)
        reading = Reading(self, models.SentMessage, endpoint, arguments, key="invocation_id")

        def fetch(window: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
            rows = reading.body({**only, **window})
            if not isinstance(rows, list):
                raise reading.malformed("it is no list of messages")
            return reading.checked(rows)

        end = before or self._transport.clock.latest() + timedelta(seconds=1)
        rows = read_messages(
            fetch,
            start=after,
            end=end,
            sizes=self._sizes[endpoint.name],
            what=f"messages of {whose}",
            on_dense=on_dense,
        )
        yield from reading.models(rows)


def _no_such_endpoint(error: errors.NotFound, endpoint: Endpoint) -> errors.PostHogError:
    """The error of a path that an older server reads as the id of a workflow."""
    if isinstance(error, errors.EndpointMissing) or "project" in (error.detail or "").lower():
        return error
    said = f"This PostHog server does not have this endpoint ({endpoint.path}). {endpoint.instead}"
    return instead(errors.EndpointMissing, error, said)
