"""Reading one object at a time so that one that cannot be read costs only itself.

Facts: PostHog answers 500 to some pages for ever, 400, 403 or 404 to some objects, and hands out at
most 500 rows of one instant. What is missing is a gap, and what was loaded there earlier stays.
When all of PostHog is away the step fails, so that Dagster's retry policy tries it again.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._loading import rows_before
from hog_dagster.assets._report import Gap, Report, gaps_metadata, labelled
from hog_dagster.assets._sql_pages import SHORTEST, half
from hog_dagster.posthog import errors
from hog_dagster.warehouse import Table, Warehouse, Window

P = TypeVar("P")

#: Failed requests of one object until the rest of it is given up.
MOST_FAILURES = 12
#: Failed requests of one object until it is given up where none was read yet.
MOST_AT_FIRST = 3
#: Objects that fail before any was read, until that is taken for an outage.
MOST_SUSPECTS = 20
#: The window of what is as it is now; too short to be halved.
_NOW = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 1, tzinfo=UTC))
#: Nothing of these is one object's own: the step fails, and is tried again where that can help.
_EVERYBODYS = (
    errors.AuthenticationError,
    errors.MissingScope,
    errors.NotOpenToKeys,
    errors.EndpointMissing,
    errors.Throttled,
    errors.ConfigurationError,
)
#: What an outage looks like, and a page that PostHog cannot serve, too.
_OUTAGES = (errors.ServerError, errors.TransportError)
_BY_HOGQL = "Give the key the scope query:read: HogQL reads any number of rows of an instant."
#: Errors that a shorter window may not have.
_OF_A_PART = (*_OUTAGES, errors.MalformedResponse)


@dataclass(frozen=True)
class _Suspect(Generic[P]):
    """An object that failed before any was read: it is at fault, or all of PostHog is."""

    source_id: str
    window: Window
    read: Callable[[Window], Iterable[P]]
    reached: Callable[[P], datetime] | None


@dataclass
class SourceGuard(Generic[P]):
    """Reads objects, each guarded from the faults of the others. Used from several threads.

    `carried` gives what was loaded earlier of an object, for where it cannot be read now;
    `dense_remedy` says what to do about an instant with more rows than PostHog shows of one.
    """

    report: Report
    carried: Callable[[str, Window], Iterable[P]]
    log: Callable[[str], None]
    names: Mapping[str, str | None] = field(default_factory=dict)
    dense_remedy: str = _BY_HOGQL
    _read: set[str] = field(default_factory=set)
    _failed: dict[str, errors.PostHogError] = field(default_factory=dict)
    _suspects: list[_Suspect[P]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(
        self,
        source_id: str,
        window: Window,
        read: Callable[[Window], Iterable[P]],
        reached: Callable[[P], datetime] | None = None,
    ) -> Iterator[P]:
        """The pieces of one object, and what was loaded earlier where it cannot be read now.

        An object that fails as in an outage while none was read yet is left to `finish`. `read`
        gives the newest first where `reached` is given: the oldest instant of a piece, of which no
        more rows follow. Without it a window is read whole before any of it is passed on.
        """
        yield from self._pieces(_Suspect(source_id, window, read, reached), last=False)

    def finish(self, *, alone: bool = False) -> Iterator[P]:
        """After all objects: the pieces of those that failed before any was read, asked again.

        `alone`: PostHog itself said that all but one object need not be asked; then one that cannot
        be read is one.
        """
        for number, suspect in enumerate(self._suspects):
            if not self._read and number == MOST_AT_FIRST:
                break
            yield from self._pieces(suspect, last=True)
        if self._failed and not self._read and not alone:
            raise list(self._failed.values())[-1]

    def _pieces(self, one: _Suspect[P], *, last: bool) -> Iterator[P]:
        todo, failures = [one.window], 0
        while todo:
            part = todo.pop()
            left: Window | None = part
            try:
                if one.reached is None:
                    yield from list(one.read(part))
                else:
                    for piece in one.read(part):
                        oldest = one.reached(piece)
                        yield piece
                        if oldest <= part.start:
                            left = None
                        else:
                            left = Window(part.start, min(oldest, part.end))
                with self._lock:
                    self._read.add(one.source_id)
                continue
            except _EVERYBODYS:
                raise
            except errors.PostHogError as error:
                failures += 1
                if left != part:
                    with self._lock:
                        self._read.add(one.source_id)
                if error.elsewhere == "fails":
                    raise
                with self._lock:
                    self._failed[one.source_id] = error
                    unknown = isinstance(error, _OUTAGES) and not error.elsewhere
                    if unknown and not last and not self._read and left == one.window:
                        self._suspects.append(one)
                        if len(self._suspects) == MOST_SUSPECTS:
                            raise
                        return
                if left is None:
                    continue
                most = MOST_FAILURES if one.source_id in self._read else MOST_AT_FIRST
                worth = isinstance(error, _OF_A_PART) and failures < most
                if worth and left.end - left.start > SHORTEST:
                    middle = left.start + half(left.end - left.start)
                    todo += [Window(left.start, middle), Window(middle, left.end)]
                    continue
                self.gap(one.source_id, left, error)
            yield from self.carried(one.source_id, left)

    def gap(self, source_id: str, window: Window, error: errors.PostHogError) -> None:
        """Say that a part of an object could not be read."""
        dense = isinstance(error, errors.WindowTooDense)
        remedy = self.dense_remedy if dense else _remedy(error)
        self.report.gaps.append(Gap(source_id, window, str(error), remedy))
        label = labelled(source_id, self.names)
        self.log(f"{label} {window} was not read, what was loaded earlier stays: {error}")


class ObjectGuard(SourceGuard[P]):
    """The same for what is as it is now: an object is read whole, or not at all."""

    def each(
        self, ids: Sequence[str], read: Callable[[str], Iterable[P]], *, workers: int
    ) -> Iterator[P]:
        """The pieces of every object; what was loaded earlier of those that cannot be read now."""

        def pieces(source_id: str) -> Iterator[P]:
            return self.read(source_id, _NOW, lambda part: read(source_id))

        yield from interleave(ids, pieces, workers=workers)
        yield from self.finish()

    def gap(self, source_id: str, window: Window, error: errors.PostHogError) -> None:
        """Say that an object could not be read."""
        self.report.gaps.append(Gap(source_id, None, str(error), _remedy(error)))
        label = labelled(source_id, self.names)
        self.log(f"{label} was not read, what was loaded earlier stays: {error}")


class SnapshotGuard(ObjectGuard[Mapping[str, Any]]):
    """The same for a table of how things stand now, whose column `owner` says whose a row is."""

    def __init__(
        self,
        warehouse: Warehouse,
        table: Table,
        owner: str,
        scope: Mapping[str, Any],
        log: Callable[[str], None],
        names: Mapping[str, str | None],
    ) -> None:
        def carried(source_id: str, window: Window) -> list[dict[str, Any]]:
            return rows_before(warehouse, table, scope={**scope, owner: source_id})

        super().__init__(Report(), carried, log, names)

    def metadata(self) -> dict[str, Any]:
        """The gaps as metadata."""
        return gaps_metadata(self.report.gaps, self.names)


def _remedy(error: errors.PostHogError) -> str:
    if isinstance(error, errors.WindowTooDense):
        return _BY_HOGQL
    if isinstance(error, errors.NotFound):
        return "It was deleted or moved while it was read: nothing to do if that is right."
    if isinstance(error, errors.PermissionDenied):
        return "Let the key's user see this object in PostHog, or leave it out of the selection."
    if isinstance(error, errors.InvalidRequest):
        return "Look at this object in PostHog; leave it out of the selection if it stays so."
    return "Materialize the partition again; if it stays so, PostHog itself cannot read this part."
