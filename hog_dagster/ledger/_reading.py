"""Reading the ledger: one action, many actions, filtered rows, an action's history.

Facts: the tables of `hog_dagster.ledger._tables`. Reading never waits for a writer.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hog_dagster.ledger._database import Database
from hog_dagster.ledger._entries import Action, Entry, State
from hog_dagster.ledger._errors import LedgerError
from hog_dagster.ledger._keys import normal_id, normal_subject, remote_text
from hog_dagster.ledger._tables import ACTIONS, HISTORY

#: Rows that are asked for, or written, in one statement.
CHUNK = 500

_BY_KEYS = sa.select(ACTIONS).where(
    ACTIONS.c.project_id == sa.bindparam("of_project"),
    ACTIONS.c.kind == sa.bindparam("of_kind"),
    ACTIONS.c.target_id == sa.bindparam("of_target"),
    ACTIONS.c.subject.in_(sa.bindparam("subjects", expanding=True)),
)


class LedgerReader:
    """The reading half of `hog_dagster.ledger.Ledger`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def location(self) -> str:
        """Where the ledger is kept: an absolute path or a server, without a password."""
        return self._db.location

    @property
    def id(self) -> str:
        """The ledger's own id: made with its database and kept in it."""
        return self._db.id

    @property
    def is_made(self) -> bool:
        """Whether the ledger is there already; reading it makes one, asking this does not."""
        return self._db.is_made

    def sequence(self) -> int:
        """A number that rises with every change, and so is lower in a restored backup."""
        with self._db.read() as connection:
            return self._db.sequence(connection)

    def now(self) -> datetime:
        """The present by the clock that all sharers of this ledger have in common."""
        with self._db.read() as connection:
            return self._db.now(connection)

    def change(self, number: int | None = None) -> str | None:
        """One change of the ledger as a text that no other change has; None if it is not there.

        Args:
            number: the change's number; without one, the newest change.
        """
        query = sa.select(HISTORY).order_by(HISTORY.c.id.desc()).limit(1)
        if number is not None:
            query = query.where(HISTORY.c.id == number)
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return f"{row.id} {row.at.isoformat()} {row.action_id} {row.state} {row.owner}"

    def get(self, action: Action) -> Entry | None:
        """The row of an action, if there is one."""
        found = self.get_all([action])
        return found[0] if found else None

    def get_all(self, actions: Sequence[Action]) -> list[Entry]:
        """The rows there are for these actions, in no order."""
        with self._db.read() as connection:
            return read_all(connection, actions)

    def entries(
        self,
        *,
        project_id: int | None = None,
        kind: str | Sequence[str] | None = None,
        target_id: str | Sequence[str] | None = None,
        state: str | Sequence[str] | None = None,
        owner: str | None = None,
        since: datetime | None = None,
        action_id: int | None = None,
        subject: str | None = None,
    ) -> Iterator[Entry]:
        """Rows, oldest first; each argument given narrows them (`since`: last changed at or
        after).
        """
        if target_id is not None:
            one = isinstance(target_id, str)
            target_id = [normal_id(name) for name in ([target_id] if one else target_id)]
        query = sa.select(ACTIONS).order_by(ACTIONS.c.id)
        for column, wanted in (
            (ACTIONS.c.project_id, project_id),
            (ACTIONS.c.kind, kind),
            (ACTIONS.c.target_id, target_id),
            (ACTIONS.c.state, state),
            (ACTIONS.c.owner, owner),
            (ACTIONS.c.id, action_id),
        ):
            if isinstance(wanted, str | int):
                query = query.where(column == wanted)
            elif wanted is not None:
                query = query.where(column.in_(list(wanted)))
        if subject is not None:
            spellings = {subject, normal_subject("replay", subject)}
            query = query.where(ACTIONS.c.subject.in_(spellings))
        if since is not None:
            query = query.where(ACTIONS.c.updated_at >= since)
        with self._db.read() as connection:
            if self._db.in_memory:  # one connection, which the caller may write with in between
                found = list(connection.execute(query))
            else:
                found = connection.execution_options(yield_per=1000).execute(query)
                for row in found:
                    yield entry_of(row)
                return
        for row in found:
            yield entry_of(row)

    def rows(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """`entries(**filters)` as plain mappings with the fields of `LEDGER_FIELDS`."""
        for entry in self.entries(**filters):
            yield entry.as_dict()

    def remote_ids(
        self, project_id: int, kind: str, target_id: str, candidates: Iterable[Any]
    ) -> set[str]:
        """Those of the candidates that are PostHog's id of the result of one of our actions."""
        given = {remote_text(candidate): str(candidate) for candidate in candidates}
        texts, found = list(given), set[str]()
        with self._db.read() as connection:
            for start in range(0, len(texts), CHUNK):
                query = sa.select(ACTIONS.c.remote_id).where(
                    ACTIONS.c.project_id == project_id,
                    ACTIONS.c.kind == kind,
                    ACTIONS.c.target_id == normal_id(target_id),
                    ACTIONS.c.remote_id.in_(texts[start : start + CHUNK]),
                )
                found.update(given[text] for text in connection.execute(query).scalars())
        return found

    def with_remote_ids(
        self, project_id: int, kind: str, target_id: str, candidates: Iterable[Any]
    ) -> list[Entry]:
        """The actions of which one of the candidates is PostHog's id of the result."""
        texts = list({remote_text(candidate) for candidate in candidates})
        found: list[Entry] = []
        with self._db.read() as connection:
            for start in range(0, len(texts), CHUNK):
                query = sa.select(ACTIONS).where(
                    ACTIONS.c.project_id == project_id,
                    ACTIONS.c.kind == kind,
                    ACTIONS.c.target_id == normal_id(target_id),
                    ACTIONS.c.remote_id.in_(texts[start : start + CHUNK]),
                )
                found += [entry_of(row) for row in connection.execute(query)]
        return found

    def history(self, action_id: int) -> list[dict[str, Any]]:
        """Each state the action went through, oldest first: at, owner, state, note."""
        with self._db.read() as connection:
            query = (
                sa.select(HISTORY).where(HISTORY.c.action_id == action_id).order_by(HISTORY.c.id)
            )
            return [
                {"at": row.at, "owner": row.owner, "state": row.state, "note": row.note}
                for row in connection.execute(query)
            ]

    def export(self) -> Iterator[dict[str, Any]]:
        """Every action with its history, oldest first, as JSON values (times are ISO 8601)."""
        for entry in self.entries():
            steps = [
                {name: _plain(value) for name, value in step.items()}
                for step in self.history(entry.id)
            ]
            row = {name: _plain(value) for name, value in entry.as_dict().items()}
            yield {**row, "version": entry.version, "history": steps}


def read_all(connection: Connection, actions: Sequence[Action]) -> list[Entry]:
    """The rows there are for these actions, in no order."""
    groups: dict[tuple[int, str, str], list[str]] = {}
    for project_id, kind, target_id, subject in {action.key for action in actions}:
        groups.setdefault((project_id, kind, target_id), []).append(subject)
    found: list[Entry] = []
    for (project_id, kind, target_id), subjects in groups.items():
        for start in range(0, len(subjects), CHUNK):
            wanted = {
                "of_project": project_id,
                "of_kind": kind,
                "of_target": target_id,
                "subjects": subjects[start : start + CHUNK],
            }
            found += [entry_of(row) for row in connection.execute(_BY_KEYS, wanted)]
    return found


def by_id(connection: Connection, action_id: int) -> Entry:
    """The row with this number.

    Raises:
        LedgerError: there is none.
    """
    row = None
    if 0 <= action_id < 2**63:
        query = sa.select(ACTIONS).where(ACTIONS.c.id == action_id)
        row = connection.execute(query).one_or_none()
    if row is None:
        raise LedgerError(
            f"There is no action {action_id} in this ledger: `hog-dagster ledger list` shows them."
        )
    return entry_of(row)


def entry_of(row: sa.Row[Any]) -> Entry:
    """A row as an `Entry`."""
    values = dict(row._mapping)
    values["state"] = State(values["state"])
    if values["remote_id"] is not None:
        values["remote_id"] = str(values["remote_id"])
    return Entry(**values)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
