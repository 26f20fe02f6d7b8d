"""Writes text into cells of Markdown tables, which pages of Dagster and of the docs show.

Facts: a pipe ends a cell in code, too, unless a backslash stands before it; the readers disagree
about a pipe after two backslashes, so backslashes before a pipe are doubled. A line break ends the
row. In code a backtick ends the code, and nothing escapes it.
"""

import re

_PIPE = re.compile(r"(\\*)\|")
_MARKUP = re.compile(r"[\\`*_~\[\]<>&|]")


def cell(text: str) -> str:
    """Markdown as one cell: bold text and links stay so; a pipe and a line break end nothing."""
    return _PIPE.sub(r"\1\1\\|", " ".join(text.split()))


def plain_cell(text: str) -> str:
    """Text as one cell that shows it as it is: no sign in it is markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def code_cell(text: str) -> str:
    """Text as one cell of code; a backtick in it becomes an apostrophe."""
    return f"`{cell(text.replace('`', chr(39)))}`"
