"""What to send so that PostHog's opt-outs or suppressions hold what a table holds: the plan.

Facts: opt-outs are kept and compared exactly as given, upper and lower case and spaces included;
suppressions are trimmed and in lower case. Removing the opt-out of one marketing category of
somebody who is out of all opts that recipient in again and writes an opt-out for each other
category, so it is never planned. Bounces and complaints suppress again what is removed.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hog_dagster.actions._group_plan import BadRows

#: The list that a table is pushed to.
PushedList = Literal["opt_outs", "suppressions"]
#: An address, and the key of a category; `ALL` for all marketing messages, and for suppressions.
Pair = tuple[str, str]
ALL = "$all"
MAX_ADDRESS = 512


@dataclass(frozen=True, slots=True)
class ListedPair:
    """A pair that PostHog lists.

    Attributes:
        updated_at: when PostHog last changed its row.
        removable: whether a person put it there, so that it stays away when it is removed.
    """

    updated_at: datetime | None = None
    removable: bool = True


@dataclass(frozen=True)
class ListPlan:
    """What a push would do.

    Attributes:
        adds: pairs that the table has and PostHog has not.
        removes: pairs that PostHog has and the table has not, those of all categories first; none
            without `mirror`.
        unchanged: pairs that both have.
        only_in_posthog: pairs of PostHog's that the table has not and that are left alone.
        too_young: of those, pairs that changed too lately to be removed.
        out_of_all: of those, opt-outs of one category of people who stay out of all.
        held: pairs that an earlier request in doubt may have changed or may yet change.
    """

    adds: tuple[Pair, ...] = ()
    removes: tuple[Pair, ...] = ()
    unchanged: int = 0
    only_in_posthog: int = 0
    too_young: int = 0
    out_of_all: int = 0
    held: int = 0

    def numbers(self) -> dict[str, int]:
        """The plan in numbers."""
        return {
            "adds": len(self.adds),
            "removes": len(self.removes),
            "no_ops": self.unchanged,
            "only_in_posthog": self.only_in_posthog,
            "too_young_to_remove": self.too_young,
            "kept_because_out_of_all": self.out_of_all,
            "held_in_doubt": self.held,
        }


def fingerprint(project_id: int, pair: Pair) -> str:
    """What the ledger keeps of a pair: no address stands in it."""
    text = f"{project_id}\n{pair[1]}\n{pair[0]}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def wanted_pairs(
    rows: Iterable[Mapping[str, Any]],
    *,
    into: PushedList,
    identifier_column: str,
    category_column: str | None = None,
    category_key: str | None = None,
    known: Iterable[str] | None = None,
    what: str = "the table",
) -> list[Pair]:
    """The pairs of a table, each once, in its order.

    Args:
        rows: of the table.
        into: which list they are for.
        identifier_column: with addresses.
        category_column: with keys of categories; a null is `category_key`.
        category_key: of all rows without one of their own; None: all marketing messages.
        known: keys that PostHog has; any is taken when None.
        what: the table's name, for the error.

    Raises:
        BadRows: every row that cannot be pushed, by number; nothing of it is quoted.
    """
    problems: list[str] = []
    pairs: dict[Pair, None] = {}
    keys = None if known is None else {*known, ALL}
    for number, row in enumerate(rows, 1):
        identifier, problem = _identifier(row[identifier_column], into)
        if problem:
            problems.append(f"row {number}: {identifier_column} {problem}")
            continue
        key = row[category_column] if category_column is not None else None
        key = (category_key or ALL) if key is None else key
        if not isinstance(key, str) or (keys is not None and key not in keys):
            problems.append(f"row {number}: PostHog has no category with its {category_column}")
            continue
        pairs[identifier, key] = None
    if problems:
        raise BadRows(problems, what)
    return list(pairs)


def _identifier(value: Any, into: PushedList) -> tuple[str, str]:
    if value is None:
        return "", "is null"
    if not isinstance(value, str):
        return "", f"is no text but {type(value).__name__}"
    text = value.strip().lower() if into == "suppressions" else value
    if not text.strip():
        return "", "is empty"
    if text != text.strip():
        return "", "has spaces at its ends, which PostHog keeps, so that it is nobody's address"
    if len(text) > MAX_ADDRESS:
        return "", f"has {len(text)} characters, more than {MAX_ADDRESS}"
    return text, ""


def plan_list(
    wanted: Sequence[Pair],
    listed: Mapping[Pair, ListedPair],
    *,
    keys: Iterable[str] = (ALL,),
    mirror: bool = False,
    settled_before: datetime | None = None,
    held: Iterable[Pair] = (),
) -> ListPlan:
    """What to add, and with `mirror` what to remove.

    Args:
        wanted: pairs of the table, each once.
        listed: pairs of PostHog's, those of all categories among them.
        keys: of the categories that the push is about; only pairs of theirs are removed.
        mirror: remove what the table has not.
        settled_before: what changed then or later is not removed.
        held: pairs that are left alone for now.
    """
    having, waiting, about = set(wanted), set(held), set(keys)
    extra = [pair for pair in listed if pair not in having and pair[1] in about]
    removes: list[Pair] = []
    young = 0
    for pair in sorted(extra, key=lambda one: one[1] != ALL) if mirror else ():
        known = listed[pair]
        changed = known.updated_at
        if not known.removable or pair in waiting:
            continue
        if settled_before is not None and (changed is None or changed >= settled_before):
            young += 1
        else:
            removes.append(pair)
    going = {identifier for identifier, key in removes if key == ALL}
    stay_out = {identifier for identifier, key in (*listed, *wanted) if key == ALL} - going
    kept = [pair for pair in removes if pair[1] == ALL or pair[0] not in stay_out]
    adds = [pair for pair in wanted if pair not in listed and pair not in waiting]
    return ListPlan(
        adds=tuple(adds),
        removes=tuple(kept),
        unchanged=sum(pair in listed for pair in wanted),
        only_in_posthog=len(extra) - len(kept),
        too_young=young,
        out_of_all=len(removes) - len(kept),
        held=len(waiting),
    )
