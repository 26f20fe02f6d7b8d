"""What may stand in the ledger: keys that are bounded and in one spelling, texts that any database
takes.

Facts: SQLite takes texts of any length and with NUL in them, PostgreSQL neither; neither takes lone
surrogates. One UUID has many spellings (upper case, braces, without dashes), and PostHog takes them
all for the same workflow or run.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from hog_dagster.ledger._errors import LedgerError

#: The most characters of a target's id, a subject, an owner or the name of a lock.
ID_LIMIT = 300
#: The most characters of a kind and of a target's type.
NAME_LIMIT = 40
#: The most characters of a note.
NOTE_LIMIT = 4000
#: Kinds whose subject is a run's id, with `#n` behind it for the n-th rerun.
RUN_KINDS = ("replay", "rerun")

_UUID = re.compile(
    r"(?:urn:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?",
    re.IGNORECASE,
)
_BAD = re.compile("[\x00\ud800-\udfff]")


def normal_id(text: str) -> str:
    """An id in its one spelling: a UUID in lower case with dashes, anything else as it is."""
    found = _UUID.fullmatch(text.strip())
    return "-".join(found.groups()).lower() if found else text


def normal_subject(kind: str, subject: str) -> str:
    """A subject in its one spelling: the run's id in it, for the kinds that have one."""
    if kind not in RUN_KINDS:
        return subject
    run, hash_mark, rest = subject.partition("#")
    return normal_id(run) + hash_mark + rest


def normal_lock_name(name: str) -> str:
    """A lock's name with the ids in it (between colons) in their one spelling."""
    return ":".join(normal_id(part) for part in name.replace("urn:uuid:", "").split(":"))


def check_key(value: Any, what: str, *, limit: int = ID_LIMIT) -> str:
    """The text of a key.

    Args:
        value: what was given.
        what: its name in the error, with its article.
        limit: the most characters.

    Raises:
        LedgerError: it is no text, is empty or too long, or holds a character no database takes.
    """
    if not isinstance(value, str):
        raise LedgerError(f"{what} must be text, not {type(value).__name__}.")
    if not value.strip():
        raise LedgerError(f"{what} is empty: the ledger cannot tell one such action from another.")
    if len(value) > limit:
        raise LedgerError(
            f"{what} has {len(value)} characters, and the ledger takes at most {limit}: "
            f"{value[:40]!a}..."
        )
    if bad := _BAD.search(value):
        raise LedgerError(
            f"{what} holds the character U+{ord(bad.group()):04X}, which a database cannot keep: "
            f"{value[:80]!a}"
        )
    return value


def check_name(value: Any, what: str) -> str:
    """The text of a kind or a type; see `check_key`."""
    return check_key(value, what, limit=NAME_LIMIT)


def check_project(value: Any) -> int:
    """The number of a project.

    Raises:
        LedgerError: it is no number, or not one that a project can have.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise LedgerError(f"The project's number must be an integer, not {type(value).__name__}.")
    if not 0 <= value < 2**63:
        raise LedgerError(f"No project has the number {value}.")
    return value


def clean_text(value: Any, limit: int = NOTE_LIMIT) -> str:
    """A note or a name as any database takes it: it is never refused, since what it tells has
    happened already.
    """
    text = _BAD.sub("\ufffd", str(value))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def remote_text(value: Any) -> str:
    """PostHog's id of something, a number included, as the ledger keeps it."""
    text = normal_id(_BAD.sub("\ufffd", str(value)))
    if len(text) <= ID_LIMIT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: ID_LIMIT - 65]}~{digest}"


def clean_json(value: Any) -> Any:
    """A value that both databases keep as JSON and give back."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _BAD.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {clean_text(key): clean_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_json(item) for item in value]
    return clean_text(value)
