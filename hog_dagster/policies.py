"""What a user may set about reading and about acting on people: one plain record each, the same in
YAML, Python and run config.

A safety setting that is given at the top of a project (`Safety`) holds for every policy below it.
"""

import re
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AlreadySent", "BatchPolicy", "QueryTable", "ReplayPolicy", "Safety", "same_id"]

#: What a column of a query's table can be.
_TYPES = ("text", "bigint", "double", "boolean", "timestamptz", "date", "json")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,59}")
#: Quoted text, names in quotes, comments, and what stands in braces outside of them.
_BRACES = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/|\{\s*([A-Za-z_][\w.]*)\s*\}""",
    re.DOTALL,
)


class AlreadySent(StrEnum):
    """What to do with a failed run whose earlier steps have already sent messages."""

    skip = "skip"  #: leave it
    allow = "allow"  #: run it again; the messages may go out a second time
    if_resumes = "if_resumes"  #: run it again only where PostHog stored the step it stopped at


class _Policy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=_Policy)


class QueryTable(_Policy):
    """A HogQL query whose rows land as a table, all of them."""

    name: str = Field(
        description="Name of the table: lower-case letters, digits and underscores; of the asset, "
        "too, after the prefix."
    )
    hogql: str = Field(
        description="One SELECT in HogQL, without ORDER BY and LIMIT. {start} and {end} stand for "
        "the partition's bounds, as instants: timestamp >= {start} AND timestamp < {end}."
    )
    key: list[str] = Field(
        default=[],
        description="Columns of the query that its rows are ordered and paged by, the time first "
        "where there is one: [timestamp, uuid]. Needed from 50,000 rows on.",
    )
    types: dict[str, str] = Field(
        default={},
        description="Column -> type (text, bigint, double, boolean, timestamptz, date, json), "
        "instead of what ClickHouse calls it.",
    )
    partitions: Literal["daily", "hourly", "snapshot"] = Field(
        default="daily",
        description="daily or hourly (UTC), or snapshot: the whole table each time.",
    )
    start_date: str | None = Field(
        default=None,
        description="The first day of its partitions (UTC), 2026-01-31 say; the project's by "
        "default.",
    )
    lookback: int = Field(
        default=0,
        ge=0,
        description="How many partitions before each are read again with it, for late rows.",
    )
    page_rows: int = Field(
        default=50_000,
        ge=1,
        le=50_000,
        description="Rows of a request, at most; less makes less memory and more requests.",
    )
    description: str = Field(default="", description="Of the table and the asset.")
    deps: list[str] = Field(
        default=[], description="Asset keys that the asset stands downstream of."
    )
    owners: list[str] = Field(default=[], description="Owners of the asset, besides the others'.")
    tags: dict[str, str] = Field(default={}, description="Tags of the asset, besides the others'.")

    @property
    def partitioned(self) -> bool:
        """Whether it has partitions."""
        return self.partitions != "snapshot"

    @property
    def first_day(self) -> date | None:
        """The first day of its partitions, where it has one of its own."""
        return date.fromisoformat(self.start_date) if self.start_date else None

    def check(self) -> None:
        """Refuse what cannot work, before anything is asked of PostHog.

        Raises:
            ValueError: one sentence, with the query's name.
        """
        wrong = self._wrong()
        if wrong:
            raise ValueError(f"Query {self.name!r}: {wrong}")

    def bound(self, start: str, end: str) -> str:
        """The SQL with the bounds in the place of {start} and {end}, its last semicolon cut.

        Args:
            start, end: as HogQL writes them.
        """

        def fill(match: re.Match[str]) -> str:
            return {"start": start, "end": end}.get(match[1] or "", match[0])

        return _BRACES.sub(fill, self.hogql).strip().rstrip(";").rstrip()

    def _wrong(self) -> str | None:
        if not _NAME.fullmatch(self.name):
            return (
                "the name becomes a table's: give lower-case letters, digits and underscores, at "
                "most 60, no digit first."
            )
        if not self.hogql.strip(" \t\n;"):
            return "its hogql is empty."
        found = {match[1] for match in _BRACES.finditer(self.hogql) if match[1]}
        if unknown := sorted(found - {"start", "end"}):
            return (
                f"nothing is known to put in the place of {{{unknown[0]}}}; only {{start}} and "
                "{end} are filled in."
            )
        missing = [name for name in ("start", "end") if name not in found]
        if self.partitioned and missing:
            return (
                f"its hogql has no {{{missing[0]}}}, so that every partition would hold the same "
                "rows: compare a time with {start} and {end}, or set partitions: snapshot."
            )
        if not self.partitioned and found:
            return (
                f"it is a snapshot, and its hogql has {{{min(found)}}}: set partitions to daily or "
                "hourly, or leave the bounds out."
            )
        if doubled := sorted({name for name in self.key if self.key.count(name) > 1}):
            return f"its key names the column {doubled[0]} twice."
        for column, kind in self.types.items():
            if kind not in _TYPES:
                return f"the type of {column} is {kind!r}; give one of {', '.join(_TYPES)}."
        try:
            _ = self.first_day
        except ValueError:
            return f"start_date is {self.start_date!r}; give a day such as 2026-01-31."
        if self.lookback and not self.partitioned:
            return "it is a snapshot, which has no partitions to look back to."
        return None


class ReplayPolicy(_Policy):
    """Which failed or blocked runs are replayed, and how carefully."""

    dry_run: bool = Field(
        default=True, description="Only report what would be sent. Set false to replay."
    )
    max_runs: int = Field(
        default=500, ge=1, description="The maximum number of runs that one job replays."
    )
    max_reruns: int = Field(
        default=1,
        ge=1,
        le=100,
        description="The maximum number of reruns of one run, by anybody, when it fails each time.",
    )
    already_sent: AlreadySent = Field(
        default=AlreadySent.skip,
        description="What to do with a run whose earlier steps have already sent messages. skip: "
        "leave it. allow: run it again; the messages may go out a second time. if_resumes: run it "
        "again where PostHog stored the step it stopped at.",
    )
    error_kinds: list[str] = Field(
        default=[], description="Only runs that failed with one of these error kinds; all if empty."
    )
    message_contains: str = Field(
        default="", max_length=200, description="Only runs whose error message contains this text."
    )
    slice_size: int = Field(
        default=500, ge=1, le=10_000, description="The maximum number of runs in one rerun request."
    )
    grace_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How late PostHog may show an effect. An action in doubt is not sent again "
        "before that. At least twice the read timeout is used.",
    )
    verify_seconds: float = Field(
        default=60.0, ge=0, description="How long to look for the effect after the last request."
    )
    lock_wait_seconds: float = Field(
        default=60.0, ge=0, description="How long to wait for another run on the same workflow."
    )


class BatchPolicy(_Policy):
    """How a batch job is sent."""

    dry_run: bool = Field(default=True, description="Only report what would be sent.")
    max_audience: int | None = Field(
        default=None, ge=0, description="Do not send to more people than this."
    )
    send_uncounted: bool = Field(
        default=False, description="Send even if the server cannot count the audience."
    )
    skip_if_running: bool = Field(
        default=True, description="Skip while an earlier batch job of the workflow is under way."
    )
    again_after_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="Without a key: skip if the same was sent less than this ago (a second click).",
    )
    grace_seconds: float = Field(
        default=120.0,
        ge=0,
        description="How late PostHog may show a batch job. A send in doubt is not sent again "
        "before that. At least twice the read timeout is used.",
    )
    reconcile_seconds: float = Field(
        default=150.0, ge=0, description="How long this run reconciles a send in doubt."
    )
    follow_seconds: float = Field(
        default=0.0, ge=0, description="How long to follow the batch job after it was sent."
    )
    cancel_on_termination: bool = Field(
        default=False, description="Cancel the batch job if this run is terminated meanwhile."
    )
    lock_wait_seconds: float = Field(
        default=60.0, ge=0, description="How long to wait for another run on the same workflow."
    )


class Safety(_Policy):
    """Limits of a whole project. Whatever is set here holds for everything below it."""

    dry_run: bool | None = Field(
        default=None, description="true: nothing is sent, whatever is set below."
    )
    max_audience: int | None = Field(
        default=None, ge=0, description="No batch job is sent to more people than this."
    )
    send_uncounted: bool | None = Field(
        default=None, description="false: no batch job is sent to an audience nobody counted."
    )
    max_runs: int | None = Field(
        default=None, ge=1, description="No job replays more runs than this."
    )
    max_reruns: int | None = Field(
        default=None, ge=1, description="No run is rerun more often than this."
    )
    allow_workflows: list[str] = Field(
        default=[], description="Only these workflows are acted on (names or ids); all if empty."
    )
    deny_workflows: list[str] = Field(
        default=[], description="These workflows are never acted on (names or ids)."
    )

    def narrow_replay(self, policy: ReplayPolicy) -> ReplayPolicy:
        """The policy with every limit of the project applied; a plain one, of a record that has
        more fields too."""
        return _plain(ReplayPolicy, policy).model_copy(
            update={
                "dry_run": policy.dry_run or self.dry_run is True,
                "max_runs": _least(policy.max_runs, self.max_runs),
                "max_reruns": _least(policy.max_reruns, self.max_reruns),
            }
        )

    def narrow_batch(self, policy: BatchPolicy) -> BatchPolicy:
        """The policy with every limit of the project applied; a plain one, of a record that has
        more fields too."""
        return _plain(BatchPolicy, policy).model_copy(
            update={
                "dry_run": policy.dry_run or self.dry_run is True,
                "max_audience": _least(policy.max_audience, self.max_audience),
                "send_uncounted": policy.send_uncounted and self.send_uncounted is not False,
            }
        )

    def allows(self, workflow_id: str, name: str | None = None) -> bool:
        """Whether the workflow may be acted on."""
        if _among(workflow_id, name, self.deny_workflows):
            return False
        return not self.allow_workflows or _among(workflow_id, name, self.allow_workflows)

    def joined(self, other: "Safety") -> Self:
        """Both sets of limits at once: the stricter one of each."""
        return self.model_copy(
            update={
                "dry_run": _strict(self.dry_run, other.dry_run, strict=True),
                "max_audience": _least(self.max_audience, other.max_audience),
                "send_uncounted": _strict(self.send_uncounted, other.send_uncounted, strict=False),
                "max_runs": _least(self.max_runs, other.max_runs),
                "max_reruns": _least(self.max_reruns, other.max_reruns),
            }
        )


def same_id(text: str) -> str:
    """An id in one spelling: a UUID in lower case with dashes, anything else as it is.

    Upper case, no dashes, braces and a `urn:uuid:` prefix are spellings of one UUID.
    """
    stripped = text.strip()
    try:
        return str(UUID(stripped))
    except ValueError:
        return stripped


def _plain(kind: type[P], policy: P) -> P:
    return kind(**{name: getattr(policy, name) for name in kind.model_fields})


def _among(workflow_id: str, name: str | None, listed: Iterable[str]) -> bool:
    wanted = {same_id(one) for one in listed}
    return same_id(workflow_id) in wanted or (name is not None and name in wanted)


def _least(*numbers: Any) -> Any:
    given = [number for number in numbers if number is not None]
    return min(given) if given else None


def _strict(one: bool | None, other: bool | None, *, strict: bool) -> bool | None:
    if strict in (one, other):
        return strict
    return one if one is not None else other
