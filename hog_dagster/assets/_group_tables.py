"""The declared tables of groups: types, groups, their history and activity, and what was pushed.

Sources: `GET /groups_types/`, `/groups/`, `/groups/activity/`. PostHog keeps no history of
properties: `group_history` is made here, from one load to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hog_dagster.assets._workflow_tables import RAW, declare
from hog_dagster.posthog import column_names
from hog_dagster.warehouse import Column, Table

PropertyType = Literal[
    "text", "bigint", "integer", "double", "boolean", "timestamptz", "date", "json"
]
_TYPE_INDEX = Column("group_type_index", "bigint", "The kind of group, 0 to 4.", nullable=False)
_TYPE = Column("group_type", "text", "The kind of group by name, such as organization.")
_KEY = Column("group_key", "text", "The group's key.", nullable=False)


@dataclass(frozen=True)
class GroupColumn:
    """A property of groups as a typed column of `groups`.

    Args:
        property: the property's name in PostHog.
        type: the column's type; a value that does not fit it is null here, and kept in
            `properties` and in `_raw`.
        name: the column's name; the property's, made plain, when None.
        description: what it is.
    """

    property: str
    type: PropertyType = "text"
    name: str | None = None
    description: str = ""

    def column_name(self) -> str:
        """The column's name in `groups`."""
        return self.name or column_names([self.property])[0]


GROUP_TYPES = declare(
    "group_types",
    "One row per kind of group the project has; there are five at most.",
    _TYPE_INDEX,
    _TYPE,
    Column("name_singular", "text", "What one is called."),
    Column("name_plural", "text", "What many are called."),
    Column("created_at", "timestamptz", "When it was made (UTC), on servers that say so."),
    RAW,
    key=("group_type_index",),
)

_GROUP = (
    _TYPE_INDEX,
    _TYPE,
    _KEY,
    Column("properties", "json", "All its properties, a JSON object."),
    Column("created_at", "timestamptz", "When PostHog first saw it (UTC)."),
)


def groups_table(columns: Sequence[GroupColumn] = ()) -> Table:
    """The table `groups`, with a column for each of the given properties.

    Raises:
        ValueError: two columns have one name.
    """
    typed = [
        Column(c.column_name(), c.type, c.description or f"Property {c.property} of the group.")
        for c in columns
    ]
    return declare(
        "groups",
        "One row per group, with its properties as PostHog has them now.",
        *_GROUP,
        *typed,
        RAW,
        key=("group_type_index", "group_key"),
    )


GROUP_HISTORY = declare(
    "group_history",
    "What a group's properties were, and from when to when, as far as loads saw it.",
    _TYPE_INDEX,
    _TYPE,
    _KEY,
    Column("valid_from", "timestamptz", "The load that first saw it so (UTC).", nullable=False),
    Column(
        "valid_to",
        "timestamptz",
        "The load that first saw it otherwise, or not at all (UTC); null while it is so.",
    ),
    Column("properties", "json", "All its properties, a JSON object."),
    Column("properties_hash", "text", "A hash of the properties, to compare by."),
    key=("group_type_index", "group_key", "valid_from"),
)

GROUP_ACTIVITY = declare(
    "group_activity",
    "One row per change of a chosen group, as PostHog's activity log has it.",
    _TYPE_INDEX,
    _TYPE,
    _KEY,
    Column("entry", "text", "The change's id, or its place where PostHog gives none.", False),
    Column("activity", "text", "What was done: update_property, delete_property, ..."),
    Column("property", "text", "The property it was about."),
    Column("before", "json", "Its value before, as JSON."),
    Column("after", "json", "Its value after, as JSON."),
    Column("user_email", "text", "Who did it; null for PostHog itself."),
    Column("created_at", "timestamptz", "When (UTC)."),
    Column("detail", "json", "All PostHog says of the change, as JSON."),
    key=("group_type_index", "group_key", "entry"),
)

GROUP_PUSHES = declare(
    "group_pushes",
    "What was last sent to PostHog for each group by a group properties sink.",
    _TYPE_INDEX,
    _TYPE,
    _KEY,
    Column("properties", "json", "The properties that were set, a JSON object."),
    Column("removed", "json", "The properties that were removed, a JSON list."),
    Column("way", "text", "api (one by one) or ingestion (in bulk)."),
    Column(
        "outcome",
        "text",
        "sent, made, or as_wanted (PostHog had it already); edited (somebody else changed it "
        "since the plan was made, so it was not sent) or failed.",
    ),
    Column("said", "text", "The error, or the properties somebody else changed."),
    Column("sent_at", "timestamptz", "When (UTC).", nullable=False),
    Column("run_id", "text", "The Dagster run that sent it."),
    key=("group_type_index", "group_key"),
)
