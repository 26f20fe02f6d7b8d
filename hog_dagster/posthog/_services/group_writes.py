"""Writing groups: one request each, read back where its response does not tell.

Facts: PostHog stores a write first and captures its ``$groupidentify`` event after, so an error may
come although the change stands; the server changes all properties of a group without a lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._endpoints import groups as endpoints
from hog_dagster.posthog._services.base import Service, read, shaped
from hog_dagster.posthog._transport.transport import Transport

logger = logging.getLogger("hog_dagster.posthog")

_LOCKS = 64
_NOT_CAPTURED = ("capture_error", "capture_http_error")


class GroupWrites(Service):
    """Making and changing groups, and finding one."""

    def __init__(self, transport: Transport, project_id: int) -> None:
        super().__init__(transport, project_id)
        self._locks = [threading.RLock() for _ in range(_LOCKS)]

    def delete_type(self, group_type_index: int) -> None:
        """Delete a kind of group: DELETE .../groups_types/{group_type_index}/. Sent once.

        Scope group:write. Its groups can no longer be reached, and its index is used again.
        """
        self._send(endpoints.DELETE_TYPE, {"group_type_index": index_of(group_type_index)})

    def find(self, group_type_index: int, group_key: str) -> models.Group:
        """One group, as the database has it now: GET .../groups/find/, scope group:read.

        No notebook is made for the group by asking.

        Raises:
            NotFound: there is no such group.
        """
        params = {**which_of(group_type_index, group_key), "skip_create_notebook": "true"}
        return self._one(models.Group, endpoints.FIND, params=params)

    def create(
        self,
        group_type_index: int,
        group_key: str,
        group_properties: Mapping[str, Any] | None = None,
    ) -> models.Group:
        """Make a group: POST .../groups/, scope group:write. Sent once.

        When the response is an error, or none comes, the group is looked for: PostHog stores it
        before what can fail. A group that is there with these properties is the response.

        Args:
            group_type_index: of :meth:`types`. Of an index without a type PostHog stores the
                group all the same, and then answers 404.
            group_key: 400 characters at most.
            group_properties: its properties.

        Returns:
            The group; ``event_captured`` is False when PostHog stored it without its event.

        Raises:
            InvalidRequest: there is one with this key and other properties, among others.
            OutcomeUnknown, ServerError: it is not there (yet): look again before sending again.
        """
        properties = dict(group_properties or {})
        body = {**which_of(group_type_index, group_key), "group_properties": properties}
        return self._write(
            endpoints.CREATE,
            group_type_index,
            group_key,
            body,
            lambda group: group.group_properties == properties,
            in_query=False,
        )

    def update_property(
        self, group_type_index: int, group_key: str, key: str, value: Any
    ) -> models.Group:
        """Set one property of a group: POST .../groups/update_property/, scope group:write.

        Sent once. When the response is an error of capture, or none comes, the group is read back.

        Args:
            group_type_index: of :meth:`types`.
            group_key: the group; it must exist.
            key: the property.
            value: any JSON value but null.

        Returns:
            The group with all its properties; ``event_captured`` is False when PostHog stored
            the value without its event.

        Raises:
            ValueError: the value is None: PostHog cannot set that. Use ``delete_property``.
            NotFound: there is no such group.
        """
        if value is None:
            raise ValueError(
                f"property {key}: PostHog cannot set a property to null; use delete_property"
            )
        return self._write(
            endpoints.UPDATE_PROPERTY,
            group_type_index,
            group_key,
            {"key": key, "value": value},
            lambda group: (key, value) in group.group_properties.items(),
        )

    def delete_property(self, group_type_index: int, group_key: str, key: str) -> models.Group:
        """Remove one property of a group: POST .../groups/delete_property/, scope group:write.

        The group is read first, since PostHog answers an error when the property is absent: then
        nothing is sent, and the group is returned as it is.

        Raises:
            NotFound: there is no such group.
        """
        with self._alone(group_type_index, group_key):
            group = self.find(group_type_index, group_key)
            if key not in group.group_properties:
                return group
            return self._write(
                endpoints.DELETE_PROPERTY,
                group_type_index,
                group_key,
                {"$unset": key},
                lambda group: key not in group.group_properties,
            )

    def upsert_properties(
        self,
        group_type_index: int,
        group_key: str,
        properties: Mapping[str, Any],
        *,
        one_by_one: bool = False,
    ) -> models.Group:
        """Set several properties of a group: POST .../groups/upsert_properties/, group:write.

        Only servers of two weeks in 2025 have the endpoint.

        Args:
            group_type_index: of :meth:`types`.
            group_key: the group; it must exist.
            properties: names and values; none may be null.
            one_by_one: on a server without the endpoint, read the group and set each property
                that differs with ``update_property``: one request per property.

        Raises:
            EndpointMissing: the server lacks it and ``one_by_one`` is False; the message says
                what to use instead.
            ValueError: a value is None.
            NotFound: there is no such group.
        """
        if nulls := [name for name, value in properties.items() if value is None]:
            raise ValueError(
                f"properties {', '.join(nulls)}: PostHog cannot set a property to null; use "
                "delete_property"
            )
        with self._alone(group_type_index, group_key):
            if not ("upsert missing" in self._facts and one_by_one):
                try:
                    return self._upsert(group_type_index, group_key, properties)
                except errors.EndpointMissing:
                    self._facts["upsert missing"] = True
                    if not one_by_one:
                        raise
            group = self.find(group_type_index, group_key)
            captured = True
            for name, value in properties.items():
                if (name, value) not in group.group_properties.items():
                    group = self.update_property(group_type_index, group_key, name, value)
                    captured = captured and group.event_captured
            group.event_captured = captured
            return group

    def _alone(self, group_type_index: int, group_key: str) -> threading.RLock:
        """The lock of a group: the server loses one of two changes made at once."""
        return self._locks[hash((group_type_index, group_key)) % _LOCKS]

    def _upsert(
        self, group_type_index: int, group_key: str, properties: Mapping[str, Any]
    ) -> models.Group:
        # The docs give the group in the body, its sister endpoints take it from the query.
        which = which_of(group_type_index, group_key)
        body = {**which, "group_properties": dict(properties)}
        response = self._send(endpoints.UPSERT_PROPERTIES, params=which, body=body)
        data = read(response)
        if isinstance(data, dict) and "group_properties" in data:
            return shaped(response, models.Group, data)
        return self.find(group_type_index, group_key)

    def _write(
        self,
        endpoint: Endpoint,
        group_type_index: int,
        group_key: str,
        body: Mapping[str, Any],
        took_effect: Callable[[models.Group], bool],
        *,
        in_query: bool = True,
    ) -> models.Group:
        """Send a write once; where its error does not tell, read back whether it took effect."""
        params = which_of(group_type_index, group_key) if in_query else None
        with self._alone(group_type_index, group_key):
            try:
                return self._one(models.Group, endpoint, params=params, body=dict(body))
            except errors.PostHogError as error:
                if not _may_have_happened(error):
                    raise
                try:
                    group = self.find(group_type_index, group_key)
                except errors.PostHogError:
                    raise error from None
                if not took_effect(group):
                    raise
                said = "PostHog has stored the change of group %s (%s), though it answered: %s"
                logger.warning(said, group_key, endpoint.name, error)
                group.event_captured = False
                return group


def _may_have_happened(error: errors.PostHogError) -> bool:
    if error.outcome == "unknown" and not isinstance(error, errors.NotFound):
        return True
    said = f"{error.code or ''} {error.detail or ''}"
    if "Failed to submit" in said or any(mark in said for mark in _NOT_CAPTURED):
        return True
    return isinstance(error, errors.InvalidRequest) and "already exists" in said


def index_of(group_type_index: int) -> int:
    """Checked here, because servers answer 500 to an index that is no number."""
    if isinstance(group_type_index, bool) or not isinstance(group_type_index, int):
        raise ValueError(f"group_type_index {group_type_index!r} is not a whole number")
    if group_type_index < 0:
        raise ValueError(f"group_type_index {group_type_index} is below 0")
    return group_type_index


def key_of(group_key: str) -> str:
    if not isinstance(group_key, str) or not group_key:
        raise ValueError(f"group key {group_key!r} is not a text, or empty")
    return group_key


def which_of(group_type_index: int, group_key: str) -> dict[str, Any]:
    return {"group_type_index": index_of(group_type_index), "group_key": key_of(group_key)}
