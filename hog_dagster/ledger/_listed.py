"""What PostHog's lists showed: ids of batch jobs and schedules, in the order they were first seen.

Facts: PostHog gives no idempotency key, so which job a request made is told by which ids were not
there before it. A mark is the highest row number of a target; ids recorded later have higher ones.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from hog_dagster.ledger._database import Database
from hog_dagster.ledger._keys import (
    check_key,
    check_name,
    check_project,
    normal_id,
    remote_text,
)
from hog_dagster.ledger._reading import CHUNK
from hog_dagster.ledger._tables import LISTED


class Listed:
    """The ids recorded in one ledger database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def remember(self, target: tuple[int, str, str], remote_ids: Iterable[Any]) -> int:
        """Record ids that PostHog lists; the mark of the target afterwards (0: none recorded)."""
        target = _checked(target)
        texts = list(dict.fromkeys(map(remote_text, remote_ids)))
        with self._db.write() as connection:
            now = self._db.now(connection)
            known = self._numbers(connection, target, texts)
            new = [text for text in texts if text not in known]
            if new:
                values = [{**_columns(target), "remote_id": text, "at": now} for text in new]
                connection.execute(sa.insert(LISTED), values)
                self._db.count_changes(connection, 1)
            query = sa.select(sa.func.max(LISTED.c.id)).where(*_where(target))
            return int(connection.execute(query).scalar_one() or 0)

    def numbers(self, target: tuple[int, str, str], remote_ids: Iterable[Any]) -> dict[str, int]:
        """Of the ids that were recorded: id -> its row's number."""
        target = _checked(target)
        given = {remote_text(value): str(value) for value in remote_ids}
        with self._db.read() as connection:
            known = self._numbers(connection, target, list(given))
        return {given[remote]: number for remote, number in known.items()}

    def _numbers(
        self, connection: sa.Connection, target: tuple[int, str, str], texts: list[str]
    ) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(texts), CHUNK):
            query = sa.select(LISTED.c.remote_id, LISTED.c.id).where(
                *_where(target), LISTED.c.remote_id.in_(texts[start : start + CHUNK])
            )
            found.update((row.remote_id, row.id) for row in connection.execute(query))
        return found


def _checked(target: tuple[int, str, str]) -> tuple[int, str, str]:
    project_id, kind, target_id = target
    return (
        check_project(project_id),
        check_name(kind, "The kind of an action"),
        normal_id(check_key(target_id, "The target's id")),
    )


def _columns(target: tuple[int, str, str]) -> dict[str, Any]:
    return dict(zip(("project_id", "kind", "target_id"), target, strict=True))


def _where(target: tuple[int, str, str]) -> list[sa.ColumnElement[bool]]:
    return [LISTED.c[name] == value for name, value in _columns(target).items()]
