"""Whatever text stands in a cell of a Markdown table: the row keeps its cells, and their text."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hog_dagster._shared.markdown import cell, code_cell, plain_cell

markdown_it = pytest.importorskip("markdown_it")

READER = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
#: Signs that mean something in Markdown come often; the reader replaces a null character.
TEXTS = st.text(st.sampled_from("\\|`*_~[]()<>&#;!a1 \n\r\t\u2028\x85")) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)


def cells_of(*given: str) -> list[list[Any]]:
    """What the reader makes of one row: of each cell its parts."""
    line = f"| {' | '.join(given)} |"
    tokens = READER.parse(f"| {' | '.join('abc'[: len(given)])} |\n|{'---|' * len(given)}\n{line}")
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    rows = [token for token in tokens if token.type == "tr_open"]
    assert len(rows) == 2, line
    return [token.children or [] for token in tokens if token.type == "inline"][len(given) :]


@given(TEXTS)
@example("a|b")
@example("a\\|b")
@example("ends in \\")
@example("two\n\nlines")
@example("![x](y) <b> &amp; ~~no~~ `code`")
def test_a_plain_cell_shows_the_text_as_it_is(text: str) -> None:
    before, middle, after = cells_of("x", plain_cell(text), "y")
    assert [[part.content for part in parts] for parts in (before, after)] == [["x"], ["y"]]
    assert {part.type for part in middle} <= {"text", "text_special"}
    assert "".join(part.content for part in middle) == " ".join(text.split())


@given(TEXTS)
@example("a|b")
@example("a\\|b")
@example("a`b|c")
def test_a_cell_of_code_is_one_piece_of_code_in_a_cell_of_its_own(text: str) -> None:
    shown = " ".join(text.split()).replace("`", "'")
    before, middle, after = cells_of("x", code_cell(text), "y")
    assert [[part.content for part in parts] for parts in (before, after)] == [["x"], ["y"]]
    if shown:
        (code,) = middle
        assert code.type == "code_inline"
        assert code.content.replace("\\", "") == shown.replace("\\", "")
        if "\\|" not in shown:
            assert code.content == shown


@given(TEXTS)
@example("a\\|b")
@example("a\\\\|b")
def test_a_cell_of_markdown_ends_at_no_pipe_and_no_line_break(text: str) -> None:
    assert len(cells_of("x", cell(text), "y")) == 3


def test_a_cell_of_markdown_keeps_its_markup() -> None:
    (parts,) = cells_of(cell("**bold**\nand `code`"))
    assert [part.type for part in parts if part.type.startswith(("strong", "code"))] == [
        "strong_open",
        "strong_close",
        "code_inline",
    ]


@pytest.mark.parametrize("write", [cell, plain_cell, code_cell])
def test_no_pipe_stands_after_an_even_number_of_backslashes(write) -> None:
    for count in range(5):
        written = write("a" + "\\" * count + "|b")
        run = written.partition("|")[0]
        assert (len(run) - len(run.rstrip("\\"))) % 2 == 1
