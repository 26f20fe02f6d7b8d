"""One writing transaction of the ledger: what it changes, its history, its observer.

Facts: a row is changed only if it still has the version and the state that its changer read; each
change raises the version.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hog_dagster.ledger._database import Database
from hog_dagster.ledger._entries import Action, Entry, State
from hog_dagster.ledger._errors import ClaimLost
from hog_dagster.ledger._keys import clean_text
from hog_dagster.ledger._reading import CHUNK, entry_of
from hog_dagster.ledger._tables import ACTIONS, HISTORY

#: Called as (step, entry): the method's name, and the row after it.
Observer = Callable[[str, Entry], None]

# Statements of every transaction, put together once.
_INSERT = sa.insert(ACTIONS).returning(ACTIONS)
_INSERT_HISTORY = sa.insert(HISTORY)


@cache
def _update(names: frozenset[str]) -> sa.Update:
    """The statement that writes these columns if the row is still the one that was read."""
    new = {name: sa.bindparam(f"new_{name}", type_=ACTIONS.c[name].type) for name in sorted(names)}
    return (
        sa.update(ACTIONS)
        .where(
            ACTIONS.c.id == sa.bindparam("was_id"),
            ACTIONS.c.version == sa.bindparam("was_version"),
            ACTIONS.c.state == sa.bindparam("was_state"),
        )
        .values(new)
    )


@dataclass
class Changes:
    """The changes of one transaction."""

    step: str
    connection: Connection
    now: datetime
    changed: list[Entry] = field(default_factory=list)

    def insert(
        self, actions: Sequence[Action], owner: str, lease_until: datetime
    ) -> dict[tuple[Any, ...], Entry]:
        """Rows for actions that have none yet, claimed by `owner`: key -> row."""
        made: dict[tuple[Any, ...], Entry] = {}
        for start in range(0, len(actions), CHUNK):
            values = [
                {
                    "project_id": action.project_id,
                    "kind": action.kind,
                    "target_type": action.target_type,
                    "target_id": action.target_id,
                    "target_name": action.target_name,
                    "subject": action.subject,
                    "state": State.CLAIMED,
                    "version": 1,
                    "attempts": 0,
                    "owner": owner,
                    "lease_until": lease_until,
                    "request": action.request,
                    "note": "claimed",
                    "created_at": self.now,
                    "updated_at": self.now,
                }
                for action in actions[start : start + CHUNK]
            ]
            rows = self.connection.execute(_INSERT, values)
            for entry in sorted(map(entry_of, rows), key=lambda entry: entry.id):
                made[entry.key] = entry
                self.changed.append(entry)
        return made

    def change(self, entry: Entry, **values: Any) -> Entry | None:
        """Write `values` if the row is still the one that was read; the row after, else None."""
        values["note"] = clean_text(values["note"])
        values |= {"version": entry.version + 1, "updated_at": self.now}
        was = {"was_id": entry.id, "was_version": entry.version, "was_state": entry.state}
        new = {f"new_{name}": value for name, value in values.items()}
        if not self.connection.execute(_update(frozenset(values)), was | new).rowcount:
            return None
        after = replace(entry, **values)
        self.changed.append(after)
        return after

    def move(self, entry: Entry, allowed: Iterable[State], to: State, **values: Any) -> Entry:
        """Bring a row from one of the states that allow it to another.

        Raises:
            ClaimLost: it is in another state, or was changed since it was read.
        """
        if entry.state not in allowed:
            raise ClaimLost(
                f"Action {entry.id} ({entry.kind} {entry.subject}) is {_words(entry.state)}, so it "
                f"cannot become {_words(to)}."
            )
        moved = self.change(entry, state=to, **values)
        if moved is None:
            raise ClaimLost(
                f"Action {entry.id} ({entry.kind} {entry.subject}) was changed by another process, "
                f"so it does not become {_words(to)} here."
            )
        return moved

    def write_history(self) -> None:
        """Append what changed to the history."""
        for start in range(0, len(self.changed), CHUNK):
            self.connection.execute(
                _INSERT_HISTORY,
                [
                    {
                        "action_id": entry.id,
                        "at": entry.updated_at,
                        "owner": entry.owner,
                        "state": entry.state,
                        "note": entry.note,
                    }
                    for entry in self.changed[start : start + CHUNK]
                ],
            )


@contextmanager
def changing(
    db: Database, step: str, observer: Observer | None, after_commit: Observer | None
) -> Iterator[Changes]:
    """A writing transaction: its changes are written, counted and observed, then committed.

    Args:
        db: the ledger's database.
        step: what the changes are called.
        observer: called for each change just before the commit; raising there rolls all back.
        after_commit: called for each change after the commit.
    """
    with db.write() as connection:
        changes = Changes(step, connection, db.now(connection))
        yield changes
        if changes.changed:
            changes.write_history()
            db.count_changes(connection, len(changes.changed))
        for entry in changes.changed if observer else ():
            assert observer is not None
            observer(step, entry)
    for entry in changes.changed if after_commit else ():
        assert after_commit is not None
        after_commit(step, entry)


def outcome_values(response: Any, remote_id: str | None) -> Mapping[str, Any]:
    """The columns that tell what came back, those that are known."""
    values = {"response": response, "remote_id": remote_id}
    return {name: value for name, value in values.items() if value is not None}


def _words(state: State) -> str:
    return str(state).replace("_", " ")
