"""The ``groups`` service: group types, groups and their properties, read and written.

Facts: PostHog's groups viewsets of both generations and a running server's responses. A write is
stored first and its ``$groupidentify`` event captured after, so an error may come although the
change stands; the server changes all properties of a group without a lock.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._endpoints import groups as endpoints
from hog_dagster.posthog._listing import by_name, listed
from hog_dagster.posthog._pagination.cursor_pages import read_cursor, walk_cursor
from hog_dagster.posthog._responses import Response
from hog_dagster.posthog._services.base import Service, is_page, misshapen, read, shaped
from hog_dagster.posthog._services.hogql import Queries
from hog_dagster.posthog._transport.transport import Transport

__all__ = ["Groups"]

logger = logging.getLogger("hog_dagster.posthog")

_LOCKS = 64
_ACTIVITY_PAGE = 100
_NOT_CAPTURED = ("capture_error", "capture_http_error")


class Groups(Service):
    """Groups of the project. Writes to one group are sent one after the other by this client;
    two processes that write to one group at once can undo each other's changes on the server."""

    def __init__(self, transport: Transport, project_id: int) -> None:
        super().__init__(transport, project_id)
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._upsert_missing = False

    def types(self) -> list[models.GroupType]:
        """The project's kinds of groups: GET .../groups_types/, scope group:read."""
        return self._many(models.GroupType, endpoints.TYPES)

    def delete_type(self, group_type_index: int) -> None:
        """Delete a kind of group: DELETE .../groups_types/{group_type_index}/. Sent once.

        Scope group:write. Its groups can no longer be reached, and its index is used again.
        """
        self._send(endpoints.DELETE_TYPE, {"group_type_index": _index(group_type_index)})

    @listed("groups", models.Group)
    def list(
        self, group_type_index: int, *, search: str | None = None, group_key: str | None = None
    ) -> Iterator[models.Group]:
        """Every group of one type, newest first, lazily: GET .../groups/, scope group:read.

        One request per 100 groups. Newer servers answer from ClickHouse: a group just made or
        changed can be missing or old here, while ``find`` has it.

        Args:
            group_type_index: of :meth:`types`.
            search: text in the properties (names included) or a whole key.
            group_key: part of the key.

        Raises:
            UnsettledList: the server's cursors led back to the first page again and again.
            IncompleteList: after the last group: PostHog hides others, which have the creation
                time of groups that came. ``list_whole`` reads those too.
        """
        params = {
            "group_type_index": _index(group_type_index),
            "search": search,
            "group_key": group_key,
        }
        last: Response | None = None

        def fetch(cursor: str | None) -> tuple[list[Any], str | None]:
            nonlocal last
            last = self._send(endpoints.LIST, params={**params, "cursor": cursor})
            page = read(last)
            if not is_page(page):
                raise misshapen(last, "it is no page of a list")
            if not all(isinstance(row, dict) and "group_key" in row for row in page["results"]):
                raise misshapen(last, "not every row has group_key")
            last.recognised()
            return page["results"], read_cursor(page.get("next"))

        for row in walk_cursor(fetch, identify=lambda row: row["group_key"]):
            assert last is not None
            yield shaped(last, models.Group, row)

    @listed("groups", models.Group)
    def list_whole(self, group_type_index: int) -> Iterator[models.Group]:
        """Every group of one type once, lazily, those that the list hides too.

        As ``list``; when that gives a group twice, goes round in circles, or has a page that
        PostHog cannot answer, the rest is read by HogQL, scope query:read, 50,000 a request.

        Args:
            group_type_index: of :meth:`types`.

        Raises:
            IncompleteList: after the last group that can be read: HogQL cannot be asked either.
        """
        seen: set[str] = set()
        try:
            for group in self.list(group_type_index):
                seen.add(group.group_key)
                yield group
            return
        except (
            errors.IncompleteList,
            errors.UnsettledList,
            errors.MalformedResponse,
            errors.ServerError,
        ) as error:
            hidden = error
        logger.warning("Groups of type %s are read by HogQL: %s", group_type_index, hidden)
        try:
            for group in self.by_query([group_type_index]):
                if group.group_key not in seen:
                    yield group
        except errors.PostHogError as error:
            # A refusal is PostHog's own answer: it is up, so the list is what is at fault.
            if not error.permanent:
                raise (hidden if isinstance(hidden, errors.ServerError) else error) from None
            raise errors.IncompleteList(
                f"{hidden} HogQL does not show them either: {error}"
            ) from error

    def by_query(self, group_type_indexes: Iterable[int]) -> Iterator[models.Group]:
        """Every group of some types once, lazily, by HogQL: POST .../query/, scope query:read.

        One request per 50,000 groups, of all the types together, by type and key.

        Args:
            group_type_indexes: of :meth:`types`.
        """
        indexes = ", ".join(str(_index(index)) for index in group_type_indexes)
        sql = (
            "SELECT index, key, created_at, properties FROM groups "  # noqa: S608
            f"WHERE index IN ({indexes})"
        )
        queries = Queries(self._transport, self._project_id)
        for page in queries.pages(sql, key=["index", "key"], name="hog_dagster groups"):
            for index, key, created_at, properties in page.rows:
                held = json.loads(properties) if isinstance(properties, str) else properties
                yield models.Group.model_validate(
                    {
                        "group_type_index": index,
                        "group_key": key,
                        "group_properties": held or {},
                        "created_at": created_at,
                    }
                )

    def find(self, group_type_index: int, group_key: str) -> models.Group:
        """One group, as the database has it now: GET .../groups/find/, scope group:read.

        No notebook is made for the group by asking.

        Raises:
            NotFound: there is no such group.
        """
        params = {**_which(group_type_index, group_key), "skip_create_notebook": "true"}
        return self._one(models.Group, endpoints.FIND, params=params)

    def get(self, name: str, group_type_index: int | None = None) -> models.Group:
        """One group by its key or its property `name`: GET .../groups/, scope group:read.

        A request per group type and 100 groups in which the text occurs. ``find`` takes a key
        alone, and one request.

        Args:
            name: its key, or the property `name`.
            group_type_index: of :meth:`types`; all types by default.

        Raises:
            NotFound: no group is called so, or several are.
        """
        indexes = [group_type_index]
        if group_type_index is None:
            indexes = [one.group_type_index for one in self.types()]
        found = (
            group
            for index in indexes
            if index is not None
            for group in self.list(index, search=name)
        )
        return by_name(found, name, "groups")

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
        body = {**_which(group_type_index, group_key), "group_properties": properties}

        def there(group: models.Group) -> bool:
            return group.group_properties == properties

        with self._alone(group_type_index, group_key):
            return self._write(endpoints.CREATE, group_type_index, group_key, body, there)

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

        def there(group: models.Group) -> bool:
            return key in group.group_properties and group.group_properties[key] == value

        with self._alone(group_type_index, group_key):
            return self._write(
                endpoints.UPDATE_PROPERTY,
                group_type_index,
                group_key,
                {"key": key, "value": value},
                there,
                in_query=True,
            )

    def delete_property(self, group_type_index: int, group_key: str, key: str) -> models.Group:
        """Remove one property of a group: POST .../groups/delete_property/, scope group:write.

        The group is read first, since PostHog answers an error when the property is absent: then
        nothing is sent, and the group is returned as it is.

        Raises:
            NotFound: there is no such group.
        """

        def gone(group: models.Group) -> bool:
            return key not in group.group_properties

        with self._alone(group_type_index, group_key):
            group = self.find(group_type_index, group_key)
            if gone(group):
                return group
            return self._write(
                endpoints.DELETE_PROPERTY,
                group_type_index,
                group_key,
                {"$unset": key},
                gone,
                in_query=True,
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
            if not (self._upsert_missing and one_by_one):
                try:
                    return self._upsert(group_type_index, group_key, properties)
                except errors.EndpointMissing:
                    self._upsert_missing = True
                    if not one_by_one:
                        raise
            group = self.find(group_type_index, group_key)
            captured = True
            for name, value in properties.items():
                known = group.group_properties
                if name not in known or known[name] != value:
                    group = self.update_property(group_type_index, group_key, name, value)
                    captured = captured and group.event_captured
            group.event_captured = captured
            return group

    def activity(self, group_type_index: int, group_key: str) -> Iterator[models.GroupActivity]:
        """Every change of one group, newest first, lazily: GET .../groups/activity/.

        Scope activity_log:read. One request per 100 changes.
        """
        seen: set[str] = set()
        page = 1
        while True:
            params = {
                **_which(group_type_index, group_key),
                "limit": _ACTIVITY_PAGE,
                "page": page,
            }
            response = self._send(endpoints.ACTIVITY, params=params)
            body = read(response)
            if not is_page(body):
                raise misshapen(response, "it is no page of a list")
            new = False
            for row in body["results"]:
                # Pages are counted from the newest, so a change made meanwhile repeats a row.
                mark = str(row.get("id") or row) if isinstance(row, dict) else str(row)
                if mark not in seen:
                    seen.add(mark)
                    new = True
                    yield shaped(response, models.GroupActivity, row)
            if not new or not body.get("next"):
                return
            page += 1

    def property_definitions(self) -> dict[int, list[models.GroupProperty]]:
        """Of each type, the properties its groups have: GET .../groups/property_definitions/.

        Scope group:read.

        Raises:
            EndpointMissing: newer servers lack it; the message says what replaced it.
        """
        response = self._send(endpoints.PROPERTY_DEFINITIONS)
        body = read(response)
        if not isinstance(body, dict) or not all(str(index).isdigit() for index in body):
            raise misshapen(response, "it is not an object by group type index")
        return {
            int(index): shaped(response, list[models.GroupProperty], found)
            for index, found in body.items()
        }

    def property_values(
        self, group_type_index: int, key: str, *, value: str | None = None
    ) -> list[models.GroupProperty]:
        """The 20 most frequent values of a property: GET .../groups/property_values/.

        Scope group:read. Both shapes, of older and of newer servers.

        Args:
            group_type_index: of :meth:`types`.
            key: the property.
            value: only values that contain this text.
        """
        params = {"group_type_index": _index(group_type_index), "key": key, "value": value}
        response = self._send(endpoints.PROPERTY_VALUES, params=params)
        body = read(response)
        if isinstance(body, dict) and "refreshing" in body:
            body = body.get("results")
        return shaped(response, list[models.GroupProperty], body)

    def related(self, id: str, *, group_type_index: int | None = None) -> list[models.RelatedActor]:
        """People and groups with events in common in 90 days: GET .../groups/related/.

        Scope group:read.

        Args:
            id: a group's key when ``group_type_index`` is given, else a person's UUID.
            group_type_index: of :meth:`types`.
        """
        index = None if group_type_index is None else _index(group_type_index)
        params = {"id": _key(id), "group_type_index": index}
        return self._many(models.RelatedActor, endpoints.RELATED, params=params)

    def _alone(self, group_type_index: int, group_key: str) -> threading.RLock:
        """The lock of a group: the server loses one of two changes made at once."""
        return self._locks[hash((group_type_index, group_key)) % _LOCKS]

    def _upsert(
        self, group_type_index: int, group_key: str, properties: Mapping[str, Any]
    ) -> models.Group:
        # The docs give the group in the body, its sister endpoints take it from the query.
        which = _which(group_type_index, group_key)
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
        in_query: bool = False,
    ) -> models.Group:
        """Send a write once; where its error does not tell, read back whether it took effect."""
        params = _which(group_type_index, group_key) if in_query else None
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
            logger.warning(
                "PostHog has stored the change of group %s (%s), though it answered: %s",
                group_key,
                endpoint.name,
                error,
            )
            group.event_captured = False
            return group


def _may_have_happened(error: errors.PostHogError) -> bool:
    if error.outcome == "unknown" and not isinstance(error, errors.NotFound):
        return True
    said = f"{error.code or ''} {error.detail or ''}"
    if "Failed to submit" in said or any(mark in said for mark in _NOT_CAPTURED):
        return True
    return isinstance(error, errors.InvalidRequest) and "already exists" in said


def _index(group_type_index: int) -> int:
    """Checked here, because servers answer 500 to an index that is no number."""
    if isinstance(group_type_index, bool) or not isinstance(group_type_index, int):
        raise ValueError(f"group_type_index {group_type_index!r} is not a whole number")
    if group_type_index < 0:
        raise ValueError(f"group_type_index {group_type_index} is below 0")
    return group_type_index


def _key(group_key: str) -> str:
    if not isinstance(group_key, str) or not group_key:
        raise ValueError(f"group key {group_key!r} is not a text, or empty")
    return group_key


def _which(group_type_index: int, group_key: str) -> dict[str, Any]:
    return {"group_type_index": _index(group_type_index), "group_key": _key(group_key)}
