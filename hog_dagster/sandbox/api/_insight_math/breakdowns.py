"""Breakdowns: which value each event falls under, the top values, none and other.

Facts: recorded answers. Values are text; several breakdowns give a list; the rest beyond the limit
is one Other; none stands last, Other after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hog_dagster.sandbox.api._insight_math.matching import NULL, OTHER, property_of, text_of
from hog_dagster.sandbox.api._insight_math.query_data import QueryData, UserError
from hog_dagster.sandbox.world import Event

DEFAULT_LIMIT = 25
Key = tuple[str, ...]


@dataclass(frozen=True)
class Breakdown:
    """What a query breaks its events down by."""

    parts: tuple[dict[str, Any], ...]
    limit: int
    hide_other: bool
    listed: bool

    def key(self, query_data: QueryData, event: Event) -> Key:
        """The value of an event; the sentinel where it has none."""
        found: list[str] = []
        for part in self.parts:
            held = property_of(
                query_data,
                event,
                str(part["property"]),
                part.get("type") or "event",
                part.get("group_type_index") or 0,
            )
            text = text_of(held)
            found.append(NULL if text is None or text == "" else text)
        return tuple(found)

    def value(self, key: Key) -> Any:
        """As `breakdown_value` shows it: one text, or a list for several breakdowns."""
        return list(key) if self.listed else key[0]

    def label(self, key: Key) -> str:
        return "::".join(key)

    def ranked(self, totals: dict[Key, float]) -> tuple[list[Key], bool]:
        """The keys to show, in order, and whether some fell to Other."""

        def place(key: Key) -> tuple[Any, ...]:
            return (NULL in key, -totals[key], key)

        kept = sorted(totals, key=lambda key: (-totals[key], place(key)))[: self.limit]
        rest = len(totals) > len(kept)
        return sorted(kept, key=place), rest

    @property
    def other(self) -> Key:
        return (OTHER,) * len(self.parts)


def read_breakdown(query: dict[str, Any]) -> Breakdown | None:
    """The breakdown of a query; None when it has none."""
    wanted = query.get("breakdownFilter") or {}
    limit = wanted.get("breakdown_limit") or DEFAULT_LIMIT
    hide = bool(wanted.get("breakdown_hide_other_aggregation"))
    several: Sequence[dict[str, Any]] | None = wanted.get("breakdowns")
    if several:
        return Breakdown(tuple(several), limit, hide, listed=True)
    single = wanted.get("breakdown")
    if single in (None, "", []):
        return None
    kind = wanted.get("breakdown_type") or "event"
    if kind in ("cohort", "hogql"):
        raise UserError(f"Breakdowns by {kind} are not supported here")
    name = single[0] if isinstance(single, list) else single
    part = {
        "property": name,
        "type": kind,
        "group_type_index": wanted.get("breakdown_group_type_index"),
    }
    return Breakdown((part,), limit, hide, listed=False)
