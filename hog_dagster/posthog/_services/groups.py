"""The ``groups`` service: group types, groups and their properties.

Facts: PostHog's groups viewsets of both generations and a running server's responses.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import groups as endpoints
from hog_dagster.posthog._listing import by_name, listed
from hog_dagster.posthog._responses import decode
from hog_dagster.posthog._services.base import Reading, malformed, read, shaped
from hog_dagster.posthog._services.group_writes import GroupWrites, index_of, key_of, which_of
from hog_dagster.posthog._services.hogql import Queries

logger = logging.getLogger("hog_dagster.posthog")

_ACTIVITY_PAGE = 100


class Groups(GroupWrites):
    """Groups of the project. Writes to one group are sent one after the other by this client;
    two processes that write to one group at once can undo each other's changes on the server."""

    def types(self) -> list[models.GroupType]:
        """The project's kinds of groups: GET .../groups_types/, scope group:read."""
        return self._many(models.GroupType, endpoints.TYPES)

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
            "group_type_index": index_of(group_type_index),
            "search": search,
            "group_key": group_key,
        }
        return self._by_cursor(models.Group, endpoints.LIST, params=params, key="group_key")

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
        indexes = ", ".join(str(index_of(index)) for index in group_type_indexes)
        sql = (
            "SELECT index, key, created_at, properties FROM groups "  # noqa: S608
            f"WHERE index IN ({indexes})"
        )
        for page in self._beside(Queries).pages(
            sql, key=["index", "key"], name="hog_dagster groups"
        ):
            for index, key, created_at, properties in page.rows:
                row = {
                    "group_type_index": index,
                    "group_key": key,
                    "group_properties": _properties(properties),
                    "created_at": created_at,
                }
                try:
                    yield models.Group.model_validate(row)
                except ValueError:
                    raise errors.MalformedResponse(
                        "POST /query/: a row of the groups is none: its type, key or time cannot "
                        "be read."
                    ) from None

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

    def activity(self, group_type_index: int, group_key: str) -> Iterator[models.GroupActivity]:
        """Every change of one group, newest first, lazily: GET .../groups/activity/.

        Scope activity_log:read. One request per 100 changes.
        """
        reading = Reading(self, models.GroupActivity, endpoints.ACTIVITY)
        which = which_of(group_type_index, group_key)
        seen: set[str] = set()
        for number in count(1):
            page = reading.page({**which, "limit": _ACTIVITY_PAGE, "page": number})
            # Pages are counted from the newest, so a change made meanwhile repeats a row.
            new = {reading.identify(row): row for row in page["results"]}.items()
            fresh = [row for mark, row in new if mark not in seen]
            yield from reading.models(fresh)
            seen.update(mark for mark, _ in new)
            if not fresh or not page.get("next"):
                return

    def property_definitions(self) -> dict[int, list[models.GroupProperty]]:
        """Of each type, the properties its groups have: GET .../groups/property_definitions/.

        Scope group:read.

        Raises:
            EndpointMissing: newer servers lack it; the message says what replaced it.
        """
        response = self._send(endpoints.PROPERTY_DEFINITIONS)
        body = read(response)
        if not isinstance(body, dict) or not all(str(index).isdigit() for index in body):
            raise malformed(response, "it is not an object by group type index")
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
        params = {"group_type_index": index_of(group_type_index), "key": key, "value": value}
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
        index = None if group_type_index is None else index_of(group_type_index)
        params = {"id": key_of(id), "group_type_index": index}
        return self._many(models.RelatedActor, endpoints.RELATED, params=params)


def _properties(held: Any) -> dict[str, Any]:
    """The properties in a cell; none where it holds something else, which costs no other group."""
    try:
        found = decode(held.encode()) if isinstance(held, str) else held
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
