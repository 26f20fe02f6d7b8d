"""Finds secrets that are written in the files of a deployment instead of in the environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hog_dagster.posthog import Row

_ENDINGS = (".yaml", ".yml", ".toml", ".env.example")
#: Folders that hold no files of a deployment.
_SKIPPED = frozenset({"node_modules", "site-packages", "storage", "history", "schedules", "logs"})
_DEPTH, _MOST_FILES, _MOST_BYTES = 5, 2_000, 1_000_000
_KEY = re.compile(r"\b(?:ph[axs]_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,})")
# A value in braces, or one named by `env`, comes from the environment.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@\"']*:(?P<value>[^\s@/\"']+)@", re.IGNORECASE)
_FIELD = re.compile(
    r"^\s*-?\s*[\"']?(?P<name>[\w.-]*(?:password|passwd|secret|token|api_?key|credentials))[\"']?"
    r"\s*[:=]\s*(?P<value>[^\s#].*?)\s*(?:#.*)?$",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"""^["']?(?:|null|~|true|false|\d+|[|>{\[&*!].*|.*\$\{.*|.*\$[A-Z_]+.*|.*\{\{.*|.*<.*>.*"""
    r"""|env:.*|/.*|x+|\*+|\.\.\.)["']?$""",
    re.IGNORECASE,
)


def literal_secrets(folders: Iterable[Path]) -> Row:
    """Whether a YAML or TOML file below these folders holds a key or a password as a text."""
    found: list[str] = []
    looked = 0
    for path in _files(folders):
        looked += 1
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if what := _in_line(line):
                found.append(f"{path}:{number} {what}")
    if not found:
        return Row("secrets in files", "ok", f"none in {looked} YAML and TOML files")
    return Row(
        "secrets in files",
        "fail",
        "; ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else ""),
        "Put each into an environment variable or a secret of the platform and name it there: "
        "{{ env.NAME }} in a component, env: NAME in dagster.yaml, ${NAME} in Compose. Then change "
        "the secret.",
    )


def _in_line(line: str) -> str:
    """The kind of secret in a line, without its value; empty where there is none."""
    text = line.strip()
    if text.startswith("#"):
        return ""
    if _KEY.search(text):
        return "a key"
    url = _URL.search(text)
    if url and not _NO_VALUE.match(url["value"]):
        return "a password in a URL"
    field = _FIELD.match(text)
    if field and "://" not in field["value"] and not _NO_VALUE.match(field["value"]):
        return field["name"]
    return ""


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    todo = [(folder.resolve(), 0) for folder in folders]
    while todo and len(seen) < _MOST_FILES:
        folder, depth = todo.pop(0)
        try:
            inside = sorted(folder.iterdir())
        except OSError:
            continue
        for path in inside:
            if path.is_dir() and not path.is_symlink():
                hidden = path.name.startswith(".") or path.name in _SKIPPED
                if depth < _DEPTH and not hidden:
                    todo.append((path, depth + 1))
            elif path.name.endswith(_ENDINGS) and path not in seen and _is_small(path):
                seen.add(path)
                yield path


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _MOST_BYTES
