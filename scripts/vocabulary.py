"""``python -m scripts.vocabulary``: finds words that the glossary replaces.

Facts: the glossary is in CONTRIBUTING.md. The script reads names, strings and comments of the
product, and the documentation. The exceptions below are words of PostHog, of SQL or of old tables.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

__all__ = ["WORDS", "found"]

ROOT = Path(__file__).parents[1]
#: A word to avoid -> the word to use.
WORDS = {
    r"verdicts?|fates?": "outcome (confirmed, refused, in doubt, not sent)",
    r"tally|tallies": "summary",
    r"upkeep": "freshness, automation policy",
    r"fortnights?": "14 days",
    r"lands|landed|landing": "load, loaded",
    r"put(s|ting)? away": "load",
    r"pacers?|pacing": "rate limiter, rate limit",
    r"malformed answers?|an answer|the answer": "response",
    r"scenes?": "check context",
}
#: File or folder -> words that are allowed there: PostHog's query tag `scene`, "answer" in the
#: sandbox, old names in the release notes.
OTHERS = {
    "hog_dagster/posthog/_services/hogql.py": r"scenes?",
    "hog_dagster/sandbox": r"scenes?|an answer|the answer",
    "docs/reference/hog_dagster.posthog.md": r"scenes?",
    "docs/changelog.md": r".*",
}
_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def found() -> Iterator[tuple[str, int, str, str]]:
    """Each word to avoid: file, line, the word, and the word to use."""
    for path in sorted((ROOT / "hog_dagster").rglob("*.py")):
        yield from _in_code(path)
    for path in sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]):
        if "_site" not in path.parts:
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                yield from _in_text(path, number, line)


def _in_code(path: Path) -> Iterator[tuple[str, int, str, str]]:
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(io.BytesIO(file.read()).readline))
    for token in tokens:
        if token.type == tokenize.NAME:
            yield from _in_text(path, token.start[0], " ".join(_NAME.findall(token.string)))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            for offset, line in enumerate(token.string.splitlines()):
                yield from _in_text(path, token.start[0] + offset, line)


def _in_text(path: Path, number: int, text: str) -> Iterator[tuple[str, int, str, str]]:
    name = path.relative_to(ROOT).as_posix()
    allowed = [words for other, words in OTHERS.items() if name.startswith(other)]
    for words, say in WORDS.items():
        for match in re.finditer(rf"\b(?:{words})\b", text, re.IGNORECASE):
            if not any(re.fullmatch(one, match[0], re.IGNORECASE) for one in allowed):
                yield name, number, match[0], say


if __name__ == "__main__":
    wrong = list(found())
    for name, number, word, say in wrong:
        print(f"{name}:{number}: {word!r}: use {say}")
    sys.exit(bool(wrong))
