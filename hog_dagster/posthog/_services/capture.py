"""PostHog's ingestion endpoint, for group properties in bulk: `$groupidentify` events in batches.

Facts: POST /batch/ takes up to 20 MB of events with the project token (phc_...), not with a
personal key, at its own host (us.i.posthog.com, eu.i.posthog.com; self-hosted: the app's own). It
answers before the events are processed. Setting a property twice changes nothing more, and events
of one uuid are one event, so a batch may be sent again when its response was lost. An event marked
`$process_person_profile: false` is taken and changes no group.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import httpx

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster._shared.secrets import mask_text, without_secrets
from hog_dagster._version import __version__
from hog_dagster.posthog import errors
from hog_dagster.posthog._arguments import Secret
from hog_dagster.posthog._responses import find_problem

logger = logging.getLogger("hog_dagster.posthog")

_HOSTS = {
    "us.posthog.com": "https://us.i.posthog.com",
    "app.posthog.com": "https://us.i.posthog.com",
    "eu.posthog.com": "https://eu.i.posthog.com",
}
_NAMESPACE = UUID("6f1e8c1e-2a53-5d0b-9d0c-6d6f2f6a7f10")
_ATTEMPTS = 4
#: The person all these events are filed under: one for all, since an event without a person
#: profile does not change its group, and a distinct id has 200 characters at most.
_SENDER = "hog-dagster-groups"


def ingestion_host(host: str) -> str:
    """Where events go for an app's host: PostHog Cloud's own ingestion hosts, else the same."""
    return _HOSTS.get((urlsplit(host).hostname or "").lower(), host.rstrip("/"))


class GroupCapture:
    """Sends group properties as `$groupidentify` events. Use it as a context manager.

    Args:
        host: the ingestion host; see :func:`ingestion_host`.
        project_token: the project's token, ``phc_...``; never shown in any text.
        timeout: seconds per phase of a request.
        pause: seconds before the first repetition; it doubles.

    Raises:
        ConfigurationError: the token is empty, or a personal key.
    """

    def __init__(
        self,
        host: str,
        project_token: str,
        *,
        timeout: float = 30.0,
        pause: float = 1.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        token = project_token.strip()
        if not token or token.startswith(("phx_", "phs_", "pha_")):
            raise errors.ConfigurationError(
                "Groups are sent in bulk with the project token (phc_..., PostHog: Settings > "
                "Project), not with a personal API key."
            )
        self.host: str = host.rstrip("/")
        self.requests_made: int = 0
        self._clock = clock
        self._token, self._pause = Secret(token), pause
        self._client = httpx.Client(
            timeout=timeout, headers={"User-Agent": f"hog-dagster/{__version__}"}
        )

    def identify(
        self,
        group_type: str,
        groups: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        at: datetime | None = None,
    ) -> None:
        """Set properties of groups, making those that are not there: POST /batch/.

        Sent again, with the same event ids, when no response or a passing fault came. PostHog
        processes the events later: a read straight after may not show them yet.

        Args:
            group_type: the type's name, such as ``organization``; an unknown one would make a new
                type.
            groups: key and properties of each group; 250 are a good batch.
            at: the moment of the change; of two changes of a group the later one stands.

        Raises:
            AuthenticationError: PostHog does not know the token.
            InvalidRequest: PostHog refuses the events, for their size or their form.
            ServerError, TransportError: PostHog does not take them now.
            Throttled: the project's event quota is used up.
        """
        moment = (at or self._clock.now()).isoformat()
        batch = [_event(group_type, key, properties, moment) for key, properties in groups]
        body = {"api_key": self._token.reveal(), "historical_migration": False, "batch": batch}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._post(body)
                return
            except (errors.ServerError, errors.TransportError) as error:
                if attempt == _ATTEMPTS:
                    raise
                wait = self._pause * 2 ** (attempt - 1)
                logger.info(
                    "Sending %d groups again in %.1f s, because %s", len(batch), wait, error
                )
                self._clock.sleep(wait)

    def _post(self, body: Mapping[str, Any]) -> None:
        url = f"{self.host}/batch/"
        failure: str | None = None
        response: httpx.Response | None = None
        self.requests_made += 1
        try:
            response = self._client.post(url, json=body)
        except httpx.HTTPError as error:
            failure = without_secrets(self._token.scrub(str(error))) or type(error).__name__
        if response is None:
            raise errors.TransportError(
                f"POST /batch/: no response from {self.host} ({failure}).", method="POST", url=url
            )
        self._check(response, url)

    def _check(self, response: httpx.Response, url: str) -> None:
        status = response.status_code
        said = mask_text(self._token.scrub(find_problem(response.content).detail or ""))
        fields = {"status": status, "detail": said or None, "method": "POST", "url": url}
        text = f"POST /batch/ answered {status}: {said or 'without saying why'}."
        if status in (401, 403):
            raise errors.AuthenticationError(
                f"{text} Check the project token (phc_...) and the host.", **fields
            )
        if status == 429:
            raise errors.Throttled(text, wait_s=60.0, **fields)
        if status >= 500:
            raise errors.ServerError(text, **fields)
        if status >= 300:
            raise errors.InvalidRequest(text, **fields)
        if "quota_limited" in response.text:
            raise errors.Throttled(
                "PostHog took none of the events: the project's event quota is used up.",
                wait_s=3600.0,
                **fields,
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> GroupCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GroupCapture(host={self.host!r})"


def _event(group_type: str, key: str, properties: Mapping[str, Any], moment: str) -> dict[str, Any]:
    return {
        "uuid": str(uuid5(_NAMESPACE, f"{group_type}\0{key}\0{moment}")),
        "event": "$groupidentify",
        "distinct_id": _SENDER,
        "timestamp": moment,
        "properties": {
            "$group_type": group_type,
            "$group_key": key,
            "$group_set": dict(properties),
            "$lib": "hog-dagster",
        },
    }
