"""What a place must offer in which the use of rate limits is counted; the two there are: files of
one machine, and a PostgreSQL database for many.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hog_dagster.posthog._rate_limit.windows import Rate

#: Seconds after which a wait is worth an event, and after which PostHog's wish to hold back is
#: asked for again before something is sent.
LONG_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A place in the windows, kept for one request, to be used from a (monotonic) moment on;
    ``rate`` makes it wait until then. ``local``: it was taken from the files of this machine, in
    place of a database."""

    number: int
    at: float
    rate: Rate | None = None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """No place yet, for so many seconds as far as known, because this limit is used up (None:
    PostHog asked to hold back); ask again after so many."""

    seconds: float
    rate: Rate | None
    ask_again: float


class Store(Protocol):
    """Where the use of the limits of one key is counted. Safe to use from several threads."""

    def take(self, bucket: str, rates: Sequence[Rate], *, within: float) -> Taken | Wait:
        """The next place in all windows, if it is at most ``within`` seconds ahead.

        Places are given in the order in which they are asked for.
        """
        ...

    def settle(self, bucket: str, taken: Taken) -> None:
        """The response to the request came: the server has counted it by now."""
        ...

    def give_back(self, bucket: str, taken: Taken) -> None:
        """The place is not used: nothing was sent."""
        ...

    def hold(self, bucket: str, seconds: float) -> None:
        """PostHog asked to send nothing for so long; a hold that ends later stays."""
        ...

    def held(self, bucket: str) -> float:
        """Seconds for which nothing is to be sent, as known within the last second."""
        ...

    def count(self, bucket: str, seconds: float) -> int:
        """Requests of the last ``seconds``."""
        ...

    def learned_at(self, bucket: str) -> float | None:
        """When this key was seen to have a smaller limit than others: seconds since 1970."""
        ...

    def learn(self, bucket: str) -> None:
        """This key was seen now to have a smaller limit than others."""
        ...

    def close(self) -> None:
        """Give back what is held. The store can be used again."""
        ...


def kept_number(directory: Path | None, name: str) -> float | None:
    """The number that the processes of this machine keep under this name, if any."""
    if directory is not None:
        with contextlib.suppress(OSError, ValueError):
            return float((directory / name).read_text())
    return None


def keep_number(directory: Path | None, name: str, number: float) -> None:
    """Keep a number under this name, where files can be kept."""
    if directory is not None:
        with contextlib.suppress(OSError):
            (directory / name).write_text(str(number))
