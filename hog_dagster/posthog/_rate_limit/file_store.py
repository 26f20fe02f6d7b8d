"""The store of one machine: a ring per bucket, in files that its processes map into memory.

Facts: none of PostHog's; a file lock makes reading and writing a ring one step. Where files cannot
be kept (no temporary directory, no room, no rights, no locks), each process counts for itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.posthog._rate_limit.ring import Ring, RingFile
from hog_dagster.posthog._rate_limit.store import Taken, Wait, keep_number, kept_number
from hog_dagster.posthog._rate_limit.windows import LONGEST_HOLD_S, RESERVE_S, Rate

logger = logging.getLogger("hog_dagster.posthog")

#: Rings untouched for so long hold nothing any window still counts.
STALE_S = 86_400.0


def default_directory() -> Path | None:
    """A directory of this user's own under the system's temporary directory; None without one."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    try:
        return Path(tempfile.gettempdir()) / f"hog-dagster-rate-limit-{user}"
    except OSError:
        return None


class FileStore:
    """A :class:`Store` for the processes of one machine, which share the wall clock; or for this
    process alone, if it must: then ``on_trouble`` is called once with the reason.
    """

    def __init__(
        self,
        name: str,
        directory: str | os.PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_trouble: Callable[[str], None] = logger.warning,
    ) -> None:
        self._name = name
        self._clock = clock
        self._on_trouble = on_trouble
        self._mutex = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._files: dict[str, RingFile] = {}
        self._learned: dict[str, float | None] = {}
        path = Path(directory) if directory is not None else default_directory()
        #: Where the files are; None: this process counts for itself.
        self.directory: Path | None = path
        if path is None:
            self._alone("there is no temporary directory")
            return
        try:
            _prepare(path)
            # Whether there is room, and locks, shows only when they are used.
            probe = RingFile(path / f"{name}-probe.ring")
            with probe.locked():
                pass
            probe.close()
        except OSError as error:
            self._alone(_reason(error))

    def _alone(self, why: str) -> None:
        self.directory = None
        self._on_trouble(
            f"The rate limit is counted in this process alone, not with other processes: {why}. "
            "Name a directory, or a postgresql:// URL, as rate_limit (HOG_DAGSTER_RATE_LIMIT)."
        )

    def take(self, bucket: str, rates: Sequence[Rate], *, within: float) -> Taken | Wait:
        with self._ring(bucket) as ring:
            monotonic, now = self._clock.monotonic(), self._now()
            index, moment = ring.take(rates, now, latest=now + min(within, RESERVE_S))
        ahead = moment.at - now
        if index >= 0:
            return Taken(index, monotonic + ahead, moment.rate)
        ask_again = ahead if not moment.certain else max(ahead - RESERVE_S, 0.001)
        return Wait(ahead, moment.rate, ask_again)

    def add(self, bucket: str) -> None:
        """A request that the server has counted by now, let through by another store."""
        with self._ring(bucket) as ring:
            ring.add(self._now())

    def settle(self, bucket: str, taken: Taken) -> None:
        with self._mutex:  # Without the file's lock: nobody else writes to that slot.
            ring = self._mapped(bucket)
            if ring is not None:
                ring.settle(taken.number, self._now())

    def give_back(self, bucket: str, taken: Taken) -> None:
        with self._mutex:
            ring = self._mapped(bucket)
            if ring is not None:
                ring.give_back(taken.number)

    def hold(self, bucket: str, seconds: float) -> None:
        with self._ring(bucket) as ring:
            ring.hold(self._now() + seconds)

    def held(self, bucket: str) -> float:
        with self._mutex:
            ring = self._mapped(bucket)
            left = ring.hold_until - self._now() if ring is not None else 0.0
            return left if 0 < left <= LONGEST_HOLD_S else 0.0

    def count(self, bucket: str, seconds: float) -> int:
        with self._ring(bucket) as ring:
            return len(ring.within(seconds, self._now()))

    def learned_at(self, bucket: str) -> float | None:
        if self._learned.get(bucket) is None:
            self._learned[bucket] = kept_number(self.directory, f"{self._name}-{bucket}.small")
        return self._learned[bucket]

    def learn(self, bucket: str) -> None:
        self._learned[bucket] = now = self._now()
        keep_number(self.directory, f"{self._name}-{bucket}.small", now)

    def close(self) -> None:
        with self._mutex:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _mapped(self, bucket: str) -> Ring | None:
        """The bucket's ring as it is, without its lock; under the mutex."""
        file = self._files.get(bucket)
        if file is None:
            return self._rings.get(bucket)
        try:
            return file.mapped()
        except OSError:
            return None

    @contextlib.contextmanager
    def _ring(self, bucket: str) -> Iterator[Ring]:
        """The bucket's ring, under its lock."""
        with self._mutex, contextlib.ExitStack() as locks:
            if self.directory is not None:
                path = self.directory / f"{self._name}-{bucket}.ring"
                file = self._files.setdefault(bucket, RingFile(path))
                try:
                    ring = locks.enter_context(file.locked())
                except OSError as error:
                    self._alone(_reason(error))
                    self._files.clear()
                else:
                    yield ring
                    return
            yield self._rings.setdefault(bucket, Ring())


def _reason(error: OSError) -> str:
    """What the system says, with the file it says it of."""
    said = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {said}" if error.filename else said


def _prepare(directory: Path) -> None:
    """Make the directory, and remove what nobody needs any more.

    Raises:
        OSError: files cannot be kept there.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and directory.stat().st_uid not in (os.getuid(), 0):
        raise PermissionError(f"{directory} belongs to another user")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(f"{directory} cannot be written")
    mark = directory / "tidied"
    now = SYSTEM_CLOCK.now().timestamp()  # Times of files are the machine's own.
    with contextlib.suppress(OSError):
        if mark.exists() and now - mark.stat().st_mtime < STALE_S:
            return
        mark.touch()
        for path in (*directory.glob("*.ring*"), *directory.glob("*-query.*")):
            if now - path.stat().st_mtime > STALE_S:
                path.unlink()
