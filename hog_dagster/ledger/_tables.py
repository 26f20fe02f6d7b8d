"""The ledger's tables as they are declared in its newest version."""

from datetime import UTC, datetime

import sqlalchemy as sa


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime on both engines (SQLite keeps it without a zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

#: One row: which ledger this is, the version of its tables, and how often it changed.
META = sa.Table(
    "hog_dagster_ledger",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("ledger_id", sa.String(40), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

ACTIONS = sa.Table(
    "hog_dagster_actions",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("target_type", sa.String(40), nullable=False),
    sa.Column("target_id", sa.String(300), nullable=False),
    sa.Column("target_name", sa.String(400), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(300), nullable=False),
    sa.Column("lease_until", UtcDateTime, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("response", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("remote_id", sa.String(300), nullable=True),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime, nullable=True),
    sa.Column("server_sent_at", UtcDateTime, nullable=True),
    sa.Column("server_given_up_at", UtcDateTime, nullable=True),
    sa.Column("settled_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint(
        "project_id", "kind", "target_id", "subject", name="hog_dagster_actions_key"
    ),
    sa.Index("hog_dagster_actions_by_state", "state", "kind"),
    sqlite_autoincrement=True,
)

HISTORY = sa.Table(
    "hog_dagster_action_history",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("action_id", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("owner", sa.String(300), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index("hog_dagster_action_history_by_action", "action_id"),
    sqlite_autoincrement=True,
)

LOCKS = sa.Table(
    "hog_dagster_locks",
    METADATA,
    sa.Column("name", sa.String(300), primary_key=True),
    sa.Column("owner", sa.String(300), nullable=False),
    sa.Column("token", sa.String(40), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)

#: PostHog's ids that a list of PostHog's showed, in the order in which they were first seen.
LISTED = sa.Table(
    "hog_dagster_listed",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("target_id", sa.String(300), nullable=False),
    sa.Column("remote_id", sa.String(300), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint(
        "project_id", "kind", "target_id", "remote_id", name="hog_dagster_listed_key"
    ),
    sqlite_autoincrement=True,
)
