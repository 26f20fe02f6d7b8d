"""Texts that can be found again wherever they go, and the search for them."""

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

__all__ = ["Marks", "bytes_of_database", "bytes_of_files"]

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


class Marks:
    """Texts by name, each with a word in it that is nowhere else.

    Attributes:
        secrets: what must be nowhere, the warehouse included.
        values: what may be in the warehouse: people's, and rows'.
        shown: what is searched for, by the name of the mark.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.shown: dict[str, list[bytes]] = {}

    def secret(self, name: str, form: str = "{}") -> str:
        """A secret; `form` says what stands around its word."""
        return self._add(self.secrets, name, form)

    def value(self, name: str, form: str = "{}") -> str:
        """A value of a row."""
        return self._add(self.values, name, form)

    def basic(self, name: str) -> str:
        """What HTTP basic authentication makes of a user and a password."""
        word = self._word(name)
        encoded = b64encode(f"hog:{word}".encode()).decode()
        self.secrets[name] = f"Basic {encoded}"
        self.shown[name] = [encoded.rstrip("=").encode(), word.encode()]
        return self.secrets[name]

    def _word(self, name: str) -> str:
        assert name not in self.shown
        return f"Zq{len(self.shown):02d}marK{re.sub('[^a-z]', '', name)[:12]}Q7z"

    def _add(self, kind: dict[str, str], name: str, form: str) -> str:
        word = self._word(name)
        kind[name] = form.format(word)
        self.shown[name] = [word.encode()]
        return kind[name]

    def found(self, data: bytes, *, only: dict[str, str] | None = None) -> dict[str, str]:
        """Marks in some bytes, with what stands around the first place of each."""
        found = {}
        lower = data.lower()
        for name, words in self.shown.items():
            if only is not None and name not in only:
                continue
            for word in words:
                at = lower.find(word.lower())
                if at >= 0:
                    found[name] = data[max(0, at - 160) : at + 60].decode("utf-8", "replace")
        return found


def bytes_of_database(url: str) -> Iterator[tuple[str, bytes]]:
    """Every table's name and all that is in it, what is compressed or encoded opened too."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            parts: list[bytes] = []
            for row in connection.execute(f'SELECT * FROM "{schema}"."{table}"'.encode()):
                parts += [part for cell in row for part in _opened(cell)]
            yield f"{schema}.{table}", b"\n".join(parts)


def bytes_of_files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file's path, which is searched too, and its bytes."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            data = path.read_bytes() if path.is_file() else b""
            yield str(path), str(path).encode() + b"\n" + data


def _opened(cell: Any) -> Iterator[bytes]:
    data = bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode()
    yield data
    for encoded in (data, *(_decoded(part) for part in _BASE64.findall(data))):
        try:
            yield zlib.decompress(encoded)
        except zlib.error:
            if encoded is not data:
                yield encoded


def _decoded(data: bytes) -> bytes:
    try:
        return b64decode(data + b"=" * (-len(data) % 4))
    except ValueError:
        return b""
