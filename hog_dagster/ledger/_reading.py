"""Reading the ledger: one act, many acts, filtered rows, an act's history.

Facts: the tables of `hog_dagster.ledger._database`. Reading never waits for a writer.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hog_dagster.ledger._database import ACTS, HISTORY, Database
from hog_dagster.ledger.entries import Act, Entry, LedgerError, State


class LedgerReader:
    """The reading half of `hog_dagster.ledger.Ledger`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, act: Act) -> Entry | None:
        """The row of an act, if there is one."""
        found = self.get_all([act])
        return found[0] if found else None

    def get_all(self, acts: Sequence[Act]) -> list[Entry]:
        """The rows there are for these acts, in no order."""
        wanted = {act.key for act in acts}
        found: list[Entry] = []
        groups: dict[tuple[int, str, str], list[str]] = {}
        for project_id, kind, workflow_id, subject in wanted:
            groups.setdefault((project_id, kind, workflow_id), []).append(subject)
        with self._db.read() as connection:
            for (project_id, kind, workflow_id), subjects in groups.items():
                for start in range(0, len(subjects), 500):
                    query = sa.select(ACTS).where(
                        ACTS.c.project_id == project_id,
                        ACTS.c.kind == kind,
                        ACTS.c.workflow_id == workflow_id,
                        ACTS.c.subject.in_(subjects[start : start + 500]),
                    )
                    found += [entry_of(row) for row in connection.execute(query)]
        return found

    def entries(
        self,
        *,
        project_id: int | None = None,
        kind: str | Sequence[str] | None = None,
        workflow_id: str | None = None,
        state: str | Sequence[str] | None = None,
        owner: str | None = None,
        since: datetime | None = None,
        act_id: int | None = None,
    ) -> Iterator[Entry]:
        """Rows, oldest first; each argument given narrows them (`since`: last changed at or
        after).
        """
        query = sa.select(ACTS).order_by(ACTS.c.id)
        for column, wanted in (
            (ACTS.c.project_id, project_id),
            (ACTS.c.kind, kind),
            (ACTS.c.workflow_id, workflow_id),
            (ACTS.c.state, state),
            (ACTS.c.owner, owner),
            (ACTS.c.id, act_id),
        ):
            if isinstance(wanted, str | int):
                query = query.where(column == wanted)
            elif wanted is not None:
                query = query.where(column.in_(list(wanted)))
        if since is not None:
            query = query.where(ACTS.c.updated_at >= since)
        with self._db.read() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield entry_of(row)

    def rows(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """`entries(**filters)` as plain mappings with the fields of `LEDGER_FIELDS`."""
        for entry in self.entries(**filters):
            yield entry.as_dict()

    def remote_ids(
        self, project_id: int, kind: str, workflow_id: str, candidates: Sequence[str]
    ) -> set[str]:
        """Those of the candidates that are PostHog's id of what came of one of our acts."""
        found: set[str] = set()
        with self._db.read() as connection:
            for start in range(0, len(candidates), 500):
                query = sa.select(ACTS.c.remote_id).where(
                    ACTS.c.project_id == project_id,
                    ACTS.c.kind == kind,
                    ACTS.c.workflow_id == workflow_id,
                    ACTS.c.remote_id.in_(candidates[start : start + 500]),
                )
                found.update(connection.execute(query).scalars())
        return found

    def history(self, act_id: int) -> list[dict[str, Any]]:
        """Each state the act went through, oldest first: at, owner, state, note."""
        with self._db.read() as connection:
            query = sa.select(HISTORY).where(HISTORY.c.act_id == act_id).order_by(HISTORY.c.id)
            return [
                {"at": row.at, "owner": row.owner, "state": row.state, "note": row.note}
                for row in connection.execute(query)
            ]


def find(connection: Connection, act: Act) -> Entry:
    """The row of an act that is known to have one."""
    return entry_of(
        connection.execute(
            sa.select(ACTS).where(
                ACTS.c.project_id == act.project_id,
                ACTS.c.kind == act.kind,
                ACTS.c.workflow_id == act.workflow_id,
                ACTS.c.subject == act.subject,
            )
        ).one()
    )


def by_id(connection: Connection, act_id: int) -> Entry:
    """The row with this number.

    Raises:
        LedgerError: there is none.
    """
    row = connection.execute(sa.select(ACTS).where(ACTS.c.id == act_id)).one_or_none()
    if row is None:
        raise LedgerError(f"There is no act {act_id} in this ledger: `list` shows what is.")
    return entry_of(row)


def entry_of(row: sa.Row[Any]) -> Entry:
    """A row as an `Entry`."""
    values = dict(row._mapping)
    values["state"] = State(values["state"])
    return Entry(**values)
