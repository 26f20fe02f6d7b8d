"""Ids as PostHog makes them: time-ordered UUIDT for rows, UUIDv7 for runs.

Deterministic from the seed.
"""

import random
import uuid
from datetime import UTC, datetime


class Ids:
    """Makes ids from a seeded generator, so that one seed gives one world."""

    def __init__(self, seed: int | str) -> None:
        self.random: random.Random = random.Random(f"ids:{seed}")

    def row(self, at: datetime) -> str:
        """PostHog's UUIDT: 48 bits of milliseconds, a series that is 0 here, 64 random bits."""
        ms = int(at.timestamp() * 1000) & ((1 << 48) - 1)
        return str(uuid.UUID(int=(ms << 80) | self.random.getrandbits(64)))

    def run(self, at: datetime) -> str:
        """A UUIDv7 whose time part is `at`: the id of a run (invocation)."""
        ms = int(at.timestamp() * 1000) & ((1 << 48) - 1)
        rand_a, rand_b = self.random.getrandbits(12), self.random.getrandbits(62)
        return str(uuid.UUID(int=(ms << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b))

    def event(self) -> str:
        """An event's uuid (version 4 in shape)."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


def is_uuid(text: object) -> bool:
    """Whether Python's uuid module reads `text`, which is the test PostHog applies."""
    if not isinstance(text, str):
        return False
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def uuid7_time(text: str) -> datetime | None:
    """The time inside a UUIDv7, or None when `text` is not one."""
    if not is_uuid(text):
        return None
    value = uuid.UUID(text)
    if (value.int >> 76) & 0xF != 7:
        return None
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
