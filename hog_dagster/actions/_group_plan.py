"""What to send to make PostHog's groups as a table has them: the plan, from rows and groups alone.

Facts: a group's key has at most 400 characters; PostHog sets a property to any JSON value but null;
it changes properties one at a time, or several with a `$groupidentify` event of at most 1 MB.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

#: What a null in a property column means: refuse the table, leave what PostHog has, or remove it.
Nulls = Literal["refuse", "keep", "unset"]

MAX_KEY = 400
MAX_PROPERTY_BYTES = 100_000
MAX_GROUP_BYTES = 900_000
_NAMED_ROWS = 20


class BadRows(ValueError):
    """Rows that cannot be pushed; nothing was sent. ``problems`` names each of them."""

    def __init__(self, problems: Sequence[str], what: str) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        shown = "; ".join(self.problems[:_NAMED_ROWS])
        more = len(self.problems) - _NAMED_ROWS
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(f"{what} was not pushed, and nothing was sent: {shown}{rest}")


@dataclass(frozen=True)
class WantedGroup:
    """A group as a row of the table wants it.

    Attributes:
        key: the group's key.
        properties: what is to be set.
        unset: properties that are to be gone.
    """

    key: str
    properties: Mapping[str, Any]
    unset: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GroupChange:
    """What one group lacks to be as wanted.

    Attributes:
        key: the group's key.
        exists: whether PostHog has the group; else it is made.
        set: properties and their new values.
        unset: properties to remove.
        before: what PostHog had of these properties when the plan was made; absent ones lack.
    """

    key: str
    exists: bool
    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Requests that sending it through the API costs: look, then make or set one by one."""
        return 1 + (len(self.set) + len(self.unset) if self.exists else 1)


@dataclass(frozen=True)
class PushPlan:
    """What a push would do.

    Attributes:
        adds: groups to make.
        changes: groups to change.
        unchanged: keys of groups that are as wanted.
        only_in_posthog: how many groups PostHog has that the table has not; they are left alone.
    """

    adds: tuple[GroupChange, ...] = ()
    changes: tuple[GroupChange, ...] = ()
    unchanged: tuple[str, ...] = ()
    only_in_posthog: int = 0

    @property
    def work(self) -> tuple[GroupChange, ...]:
        """All that is to be sent, in a fixed order."""
        return (*self.adds, *self.changes)

    @property
    def requests(self) -> int:
        """Requests that sending all of it through the API costs."""
        return sum(change.requests for change in self.work)

    def numbers(self) -> dict[str, int]:
        """The plan in numbers."""
        return {
            "adds": len(self.adds),
            "changes": len(self.changes),
            "no_ops": len(self.unchanged),
            "properties_to_set": sum(len(change.set) for change in self.work),
            "properties_to_remove": sum(len(change.unset) for change in self.work),
            "only_in_posthog": self.only_in_posthog,
        }


def wanted_groups(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    key_column: str,
    property_columns: Mapping[str, str],
    nulls: Nulls = "refuse",
    what: str = "the table",
    max_property_bytes: int = MAX_PROPERTY_BYTES,
) -> list[WantedGroup]:
    """The groups that a table's rows want, every row checked.

    Args:
        rows: the rows.
        columns: the table's columns.
        key_column: the column with the group's key.
        property_columns: property -> the column its value is in.
        nulls: what a null in a property column means.
        what: the table's name, for the message.
        max_property_bytes: a longer value (as JSON) is refused.

    Raises:
        BadRows: a column is missing; a key is null, empty, too long or there twice; a value is
            null (unless allowed), too long, or nothing that JSON can hold. Each row is named.
    """
    if missing := [c for c in [key_column, *property_columns.values()] if c not in columns]:
        has = ", ".join(columns)
        raise BadRows([f"it has no column {name} (it has {has})" for name in missing], what)
    problems: list[str] = []
    first_row: dict[str, int] = {}
    wanted: list[WantedGroup] = []
    for number, row in enumerate(rows, start=1):
        key, said = _key_of(row[key_column])
        if said:
            problems.append(f"row {number}: {key_column} {said}")
            continue
        if key in first_row:
            problems.append(f"row {number}: its key is in row {first_row[key]} already")
            continue
        first_row[key] = number
        found, complaints = _group_of(row, key, property_columns, nulls, max_property_bytes)
        problems += [f"row {number}: {said}" for said in complaints]
        wanted.append(found)
    if problems:
        raise BadRows(problems, what)
    return wanted


def _key_of(value: Any) -> tuple[str, str]:
    """The key as text, and what is wrong with it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "", "is null"
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        return "", f"is neither text nor a whole number but {type(value).__name__}"
    key = str(value)
    if not key.strip():
        return "", "is empty"
    if key != key.strip():
        return "", "has spaces at its ends, which PostHog cuts off"
    if len(key) > MAX_KEY:
        return "", f"has {len(key)} characters, more than {MAX_KEY}"
    return key, ""


def _group_of(
    row: Mapping[str, Any],
    key: str,
    property_columns: Mapping[str, str],
    nulls: Nulls,
    max_property_bytes: int,
) -> tuple[WantedGroup, list[str]]:
    properties: dict[str, Any] = {}
    unset: set[str] = set()
    complaints: list[str] = []
    total = 0
    for name, column in property_columns.items():
        try:
            value = _as_json(row[column])
        except ValueError as error:
            complaints.append(f"{column} {error}")
            continue
        if value is None:
            if nulls == "refuse":
                complaints.append(
                    f"{column} is null; allow it with nulls='keep' (leave what PostHog has) or "
                    "nulls='unset' (remove the property)"
                )
            elif nulls == "unset":
                unset.add(name)
            continue
        size = len(json.dumps(value, ensure_ascii=False).encode())
        total += size + len(name)
        if size > max_property_bytes:
            complaints.append(f"{column} has {size} bytes, more than {max_property_bytes}")
        properties[name] = value
    if total > MAX_GROUP_BYTES and not complaints:
        complaints.append(f"its properties have {total} bytes, more than {MAX_GROUP_BYTES}")
    return WantedGroup(key, properties, frozenset(unset)), complaints


def _as_json(value: Any) -> Any:
    """The value as JSON can hold it: moments in ISO 8601, decimals as numbers, NaN as null.

    Raises:
        ValueError: it is nothing JSON can hold.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("is infinite")
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        if value.is_nan():
            return None
        if value.is_infinite():
            raise ValueError("is infinite")
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    raise ValueError(f"holds {type(value).__name__}, which JSON cannot")


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 equals 1.0, but true does not equal 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def plan_push(
    wanted: Sequence[WantedGroup], existing: Iterable[tuple[str, Mapping[str, Any]]]
) -> PushPlan:
    """What to send: groups to make, properties to set and to remove, and nothing else.

    Args:
        wanted: the groups as the table has them, keys unique.
        existing: key and properties of every group PostHog has of that type.
    """
    by_key = {group.key: group for group in wanted}
    changes: dict[str, GroupChange | None] = {}
    others = 0
    for key, properties in existing:
        group = by_key.get(key)
        if group is None:
            others += 1
        else:
            changes[key] = change_of(group, properties)
    adds = [
        GroupChange(group.key, exists=False, set=group.properties)
        for group in wanted
        if group.key not in changes
    ]
    kept = [changes[group.key] for group in wanted if group.key in changes]
    return PushPlan(
        adds=tuple(adds),
        changes=tuple(change for change in kept if change is not None),
        unchanged=tuple(g.key for g in wanted if g.key in changes and changes[g.key] is None),
        only_in_posthog=others,
    )


def change_of(group: WantedGroup, properties: Mapping[str, Any]) -> GroupChange | None:
    """What a group that PostHog has lacks to be as wanted; None when it lacks nothing."""
    to_set = {
        name: value
        for name, value in group.properties.items()
        if name not in properties or not same(properties[name], value)
    }
    to_unset = tuple(sorted(name for name in group.unset if name in properties))
    if not to_set and not to_unset:
        return None
    touched = [*to_set, *to_unset]
    before = {name: properties[name] for name in touched if name in properties}
    return GroupChange(group.key, exists=True, set=to_set, unset=to_unset, before=before)


def remaining(change: GroupChange, now: Mapping[str, Any]) -> tuple[GroupChange, list[str]]:
    """The part of a planned change that is still to be sent, and what somebody else changed since.

    Args:
        change: as planned.
        now: the group's properties as they are now.

    Returns:
        The change without what is already as wanted, and the properties that are neither as they
        were when the plan was made nor as wanted.
    """
    to_set = {n: v for n, v in change.set.items() if n not in now or not same(now[n], v)}
    to_unset = tuple(name for name in change.unset if name in now)
    edited = [
        name
        for name in [*to_set, *to_unset]
        if (name in now) != (name in change.before)
        or (name in now and not same(now[name], change.before[name]))
    ]
    left = GroupChange(change.key, exists=True, set=to_set, unset=to_unset, before=change.before)
    return left, edited


def batches_of(
    changes: Sequence[GroupChange], *, most: int = 250, max_bytes: int = 4_000_000
) -> Iterator[list[GroupChange]]:
    """The changes in batches of so many at most, and so many bytes of JSON at most."""
    batch: list[GroupChange] = []
    size = 0
    for change in changes:
        own = len(json.dumps(change.set).encode()) + len(change.key) + 200
        if batch and (len(batch) >= most or size + own > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += own
    if batch:
        yield batch
