"""Who acts when a command acts: a name in the ledger, and whether its process still runs.

Facts: the operating system gives a file lock back when its process ends, however it ends. The files
are in the machine's own temporary directory: another machine finds none, and so knows nothing.
"""

import contextlib
import getpass
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hog_dagster.ledger import Alive

_PREFIX = "cli:"
#: Longer than any lease: the claims of an owner that ended before are free anyway.
_STALE_S = 2 * 86_400.0


@contextmanager
def command_owner() -> Iterator[str]:
    """The owner `cli:<user>:<random>`; `command_runs` says True of it until the block ends."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: remove it, or set TMPDIR.")
    _tidy(folder)
    token = uuid.uuid4().hex[:12]
    with FileLock(folder / f"{token}.lock"):
        yield f"{_PREFIX}{_user()}:{token}"


def command_runs(owner: str) -> bool | None:
    """Whether the command that acts under this name still runs; None when that is not known here,
    as for a command on another machine.
    """
    token = owner.rpartition(":")[2]
    if not owner.startswith(_PREFIX) or not re.fullmatch(r"[0-9a-f]{12}", token):
        return None
    path = _folder() / f"{token}.lock"
    if not path.exists():
        return None
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def either(*ways: Alive) -> Alive:
    """Ask one after the other until one knows."""

    def alive(owner: str) -> bool | None:
        for way in ways:
            if (known := way(owner)) is not None:
                return known
        return None

    return alive


def _folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else _user()
    return Path(tempfile.gettempdir()) / f"hog-dagster-commands-{user}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a name for its user
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _tidy(folder: Path) -> None:
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            if (
                time.time() - path.stat().st_mtime > _STALE_S
                and command_runs(f"{_PREFIX}x:{path.stem}") is False
            ):
                path.unlink()
