"""Reading one object at a time so that one that cannot be read costs only itself.

Facts: PostHog answers 500 to some pages for ever, 400, 403 or 404 to some objects, and hands out at
most 500 rows of one instant. What is missing is a gap, and what landed there earlier stays.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from hog_dagster.assets._report import Gap, Report
from hog_dagster.posthog import errors
from hog_dagster.warehouse import Window

__all__ = ["SourceGuard"]

P = TypeVar("P")

#: A stretch that PostHog fails on is halved, down to this.
SHORTEST = timedelta(hours=1)
#: Failed requests of one object until the rest of it is given up.
MOST_FAILURES = 12
#: Nothing of these is one object's own: the step fails, and is tried again where that can help.
_EVERYBODYS = (
    errors.AuthenticationError,
    errors.MissingScope,
    errors.NotOpenToKeys,
    errors.EndpointMissing,
    errors.Throttled,
    errors.TransportError,
    errors.ConfigurationError,
)


@dataclass
class SourceGuard(Generic[P]):
    """Reads objects, each guarded from the faults of the others. Used from several threads.

    Args:
        report: takes the gaps.
        carried: what landed earlier of an object in a window, for where it cannot be read now.
        log: takes a sentence for each gap.
    """

    report: Report
    carried: Callable[[str, Window], Iterable[P]]
    log: Callable[[str], None]
    _read: set[str] = field(default_factory=set)
    _failed: dict[str, errors.PostHogError] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(
        self,
        source_id: str,
        window: Window,
        read: Callable[[Window], Iterable[P]],
        reached: Callable[[P], datetime] | None = None,
    ) -> Iterator[P]:
        """The pieces of one object, and what landed earlier where it cannot be read now.

        Args:
            source_id: the object.
            window: from when to when.
            read: reads a window, newest first where `reached` is given.
            reached: the oldest instant of a piece, of which no more rows follow; without it a
                window is read whole before any of it is passed on.

        Raises:
            PostHogError: what is no fault of this object alone.
        """
        todo, failures = [window], 0
        while todo:
            part = todo.pop()
            left = part
            try:
                if reached is None:
                    yield from list(read(part))
                else:
                    for piece in read(part):
                        oldest = reached(piece)
                        yield piece
                        if oldest <= part.start:
                            left = None
                        else:
                            left = Window(part.start, min(oldest, part.end))
                with self._lock:
                    self._read.add(source_id)
                continue
            except _EVERYBODYS:
                raise
            except errors.PostHogError as error:
                failures += 1
                with self._lock:
                    self._failed[source_id] = error
                if left is None:
                    continue
                if left != part:
                    with self._lock:
                        self._read.add(source_id)
                worth = isinstance(error, (errors.ServerError, errors.MalformedAnswer))
                hopeless = failures >= MOST_FAILURES or (
                    failures >= 3 and source_id not in self._read
                )
                if worth and not hopeless and left.end - left.start > SHORTEST:
                    middle = left.start + _half(left.end - left.start)
                    todo += [Window(left.start, middle), Window(middle, left.end)]
                    continue
                self.gap(source_id, left, error)
            yield from self.carried(source_id, left)

    def gap(self, source_id: str, window: Window, error: errors.PostHogError) -> None:
        """Say that a part of an object could not be read."""
        self.report.gaps.append(Gap(source_id, window, str(error), _remedy(error)))
        self.log(f"{source_id} {window} was not read, what landed earlier stays: {error}")

    def finish(self, sources: Sequence[str], *, alone: bool = False) -> None:
        """After all objects: raise when not one of them could be read, as nothing is proved then.

        Args:
            sources: those that were asked.
            alone: whether PostHog itself said that others need not be asked: then one that cannot
                be read is one.

        Raises:
            PostHogError: the last object's.
        """
        if alone and len(sources) == 1:
            return
        if sources and self._failed and not self._read:
            raise list(self._failed.values())[-1]


def _half(length: timedelta) -> timedelta:
    return max(SHORTEST, length / 2 // SHORTEST * SHORTEST)


def _remedy(error: errors.PostHogError) -> str:
    if isinstance(error, errors.WindowTooDense):
        return "Give the key the scope query:read: HogQL reads any number of rows of an instant."
    if isinstance(error, errors.NotFound):
        return "It was deleted or moved while it was read: nothing to do if that is right."
    if isinstance(error, errors.PermissionDenied):
        return "Let the key's user see this object in PostHog, or leave it out of the selection."
    if isinstance(error, errors.InvalidRequest):
        return "Look at this object in PostHog; leave it out of the selection if it stays so."
    return "Materialize the partition again; if it stays so, PostHog itself cannot read this part."
