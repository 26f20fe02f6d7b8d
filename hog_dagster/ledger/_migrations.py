"""Versions of the ledger's tables: makes the newest, and brings older ones up to date in place.

Facts: version 1 is what commit caccfa8 made (tables `hog_dagster_acts`, `hog_dagster_act_history`,
`hog_dagster_locks`; no row that says so). SQLite and PostgreSQL both take changes of tables within
a transaction, so each step and the number of its version are committed together or not at all. The
caller sees to it that one process at a time is here.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hog_dagster.ledger._errors import LedgerError
from hog_dagster.ledger._keys import ID_LIMIT, clean_json, normal_id, normal_subject, remote_text
from hog_dagster.ledger._tables import ACTIONS, HISTORY, LOCKS, META, METADATA, UtcDateTime

#: The newest version of the tables.
VERSION = 2

_ACTS = "hog_dagster_acts"
_ACT_HISTORY = "hog_dagster_act_history"
_STATES = {"intended": "claimed", "unknown": "in_doubt"}
#: Which of two rows that become one key is kept under it: the one that is furthest along.
_RANK = {"confirmed": 4, "unknown": 3, "sent": 2, "refused": 1, "intended": 0}
_CHUNK = 500


def id_if_newest(connection: Connection) -> str:
    """The ledger's id when its tables are of the newest version; else empty."""
    if not sa.inspect(connection).has_table(META.name):
        return ""
    row = connection.execute(sa.select(META.c.version, META.c.ledger_id)).one_or_none()
    return str(row.ledger_id) if row is not None and row.version == VERSION else ""


def upgrade(connection: Connection, now: datetime, location: str) -> str:
    """Make the tables, or take one step towards the newest version.

    Args:
        connection: in a transaction that no other process can be in.
        now: the ledger's present.
        location: named in errors.

    Returns:
        The ledger's id when it is of the newest version; empty when a step was taken: commit, and
        call again.

    Raises:
        LedgerError: the tables are of a newer version than this one, or are not a ledger's.
    """
    has = sa.inspect(connection).has_table
    if not has(META.name):
        if has(_ACTS):
            _STEPS[1](connection, now)
        else:
            METADATA.create_all(connection)
            _say_version(connection, now)
        return ""
    row = connection.execute(sa.select(META.c.version, META.c.ledger_id)).one_or_none()
    if row is None:
        raise LedgerError(
            f"The ledger {location} has lost the row of {META.name} that says what it is. Nothing "
            "is sent: restore it from a backup."
        )
    if row.version > VERSION:
        raise LedgerError(
            f"The ledger {location} is of version {row.version}, and this hog-dagster knows "
            f"versions up to {VERSION}. Nothing is sent: install the newer hog-dagster that "
            "upgraded it."
        )
    if row.version < VERSION:
        _STEPS[row.version](connection, now)
        return ""
    return str(row.ledger_id)


def _say_version(connection: Connection, now: datetime) -> None:
    connection.execute(
        sa.insert(META).values(
            id=1, version=VERSION, ledger_id=str(uuid.uuid4()), sequence=1, created_at=now
        )
    )


# --- from 1 to 2 --------------------------------------------------------------------------------

_OLD = sa.MetaData()
_OLD_ACTS = sa.Table(
    _ACTS,
    _OLD,
    *(sa.Column(name, sa.BigInteger) for name in ("id", "project_id", "version", "attempts")),
    *(
        sa.Column(name, sa.Text)
        for name in ("kind", "workflow_id", "subject", "state", "owner", "remote_id", "note")
    ),
    *(sa.Column(name, sa.JSON) for name in ("request", "answer")),
    *(
        sa.Column(name, UtcDateTime)
        for name in (
            ["lease_until", "created_at", "updated_at", "sent_at", "server_sent_at", "settled_at"]
        )
    ),
)
_OLD_HISTORY = sa.Table(
    _ACT_HISTORY,
    _OLD,
    *(sa.Column(name, sa.BigInteger) for name in ("id", "act_id")),
    sa.Column("at", UtcDateTime),
    *(sa.Column(name, sa.Text) for name in ("owner", "state", "note")),
)


def _from_1_to_2(connection: Connection, now: datetime) -> None:
    """Acts become actions: the rows are copied into new tables, and the old ones are dropped.

    A view takes the place of the old table, so that a process that still runs the old code fails
    before it sends, and does not begin a second ledger.
    """
    # Whoever makes version 3 keeps the tables of version 2 here as they are declared now.
    locks = [dict(row) for row in connection.execute(sa.select(LOCKS)).mappings()]
    connection.execute(sa.text(f"DROP TABLE {LOCKS.name}"))
    METADATA.create_all(connection)
    if locks:
        connection.execute(sa.insert(LOCKS), locks)
    seconds = _second_spellings(connection)
    for rows in _chunks(connection, _OLD_ACTS):
        connection.execute(sa.insert(ACTIONS), [_action(row, seconds) for row in rows])
    for rows in _chunks(connection, _OLD_HISTORY):
        connection.execute(
            sa.insert(HISTORY),
            [
                {
                    "id": row["id"],
                    "action_id": row["act_id"],
                    "at": row["at"],
                    "owner": row["owner"],
                    "state": _STATES.get(row["state"], row["state"]),
                    "note": row["note"],
                }
                for row in rows
            ],
        )
    if connection.dialect.name == "postgresql":
        for table in (ACTIONS, HISTORY):
            next_id = sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0) + 1).scalar_subquery()
            counter = sa.func.pg_get_serial_sequence(table.name, "id")
            connection.execute(sa.select(sa.func.setval(counter, next_id, False)))
    connection.execute(sa.text(f"DROP TABLE {_ACT_HISTORY}"))
    connection.execute(sa.text(f"DROP TABLE {_ACTS}"))
    connection.execute(
        sa.text(f"CREATE VIEW {_ACTS} AS SELECT 'upgraded to {ACTIONS.name}' AS note")
    )
    _say_version(connection, now)


def _second_spellings(connection: Connection) -> dict[int, int]:
    """Rows whose key another row has already when ids are in one spelling: id -> the other's id."""
    columns = [
        _OLD_ACTS.c[name]
        for name in ("id", "project_id", "kind", "workflow_id", "subject", "state")
    ]
    best: dict[tuple[Any, ...], tuple[int, int]] = {}
    second: dict[int, int] = {}
    for row in connection.execute(sa.select(*columns).order_by(_OLD_ACTS.c.id)):
        key = (
            row.project_id,
            row.kind,
            normal_id(row.workflow_id),
            normal_subject(row.kind, row.subject),
        )
        rank = _RANK.get(row.state, 0)
        kept = best.get(key)
        if kept is None:
            best[key] = (rank, row.id)
        elif rank > kept[0]:
            best[key] = (rank, row.id)
            second[kept[1]] = row.id
        else:
            second[row.id] = kept[1]
    return {one: _last(other, second) for one, other in second.items()}


def _last(row_id: int, second: dict[int, int]) -> int:
    while row_id in second:
        row_id = second[row_id]
    return row_id


def _action(row: dict[str, Any], seconds: dict[int, int]) -> dict[str, Any]:
    subject, note = normal_subject(row["kind"], row["subject"]), row["note"]
    if row["id"] in seconds:
        says = f" (second spelling, action {row['id']})"
        note = f"{note} [the same as action {seconds[row['id']]}, by the id {row['workflow_id']}]"
        subject = subject[: ID_LIMIT - len(says)] + says
    kept = ("id", "project_id", "kind", "version", "attempts", "owner", "lease_until")
    times = ("created_at", "updated_at", "sent_at", "server_sent_at", "settled_at")
    return {
        **{name: row[name] for name in (*kept, *times)},
        "target_type": "workflow",
        "target_id": normal_id(row["workflow_id"]),
        "target_name": "",
        "subject": subject,
        "state": _STATES.get(row["state"], row["state"]),
        "request": clean_json(row["request"] or {}),
        "response": clean_json(row["answer"]),
        "remote_id": None if row["remote_id"] is None else remote_text(row["remote_id"]),
        "note": note,
        "server_given_up_at": None,
    }


def _chunks(connection: Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    after = -1
    while True:
        query = sa.select(table).where(table.c.id > after).order_by(table.c.id).limit(_CHUNK)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        if not rows:
            return
        yield rows
        after = rows[-1]["id"]


#: From which version -> the step to the next.
_STEPS: dict[int, Callable[[Connection, datetime], None]] = {1: _from_1_to_2}
