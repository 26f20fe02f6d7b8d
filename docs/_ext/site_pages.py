"""What our pages need beyond MyST: links into the repository, Markdown twins, and `llms.txt`.

Facts: a page links to files beside docs/ by relative paths, as GitHub wants it; on the site those
are links to the repository. Programs that read documentation look for `llms.txt`
(https://llmstxt.org) and for a page's Markdown beside its HTML.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

__all__ = ["setup"]

REPOSITORY = "https://github.com/hog-dagster/hog-dagster/blob/main/"
SUMMARY = (
    "The PostHog integration for Dagster: workflows, hog functions, groups and insights as assets "
    "with lineage and as warehouse tables; failed runs replayed and batch jobs sent, once each."
)
_LINK = re.compile(r"(\]\()((?:\.\./)+)([^)\s#]+)(#[^)\s]*)?\)")
_INCLUDE = re.compile(r"^```\{include\} (\S+)\n(?::.*\n)*```$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^(`{3,})\{(?:toctree|eval-rst)\}.*?^\1\n?", re.MULTILINE | re.DOTALL)


def links(text: str, page: Path, docs: Path) -> str:
    """A page whose links out of docs/ lead to the repository."""

    def linked(found: re.Match[str]) -> str:
        target = (page.parent / found[2] / found[3]).resolve()
        if target.is_relative_to(docs) or not target.is_relative_to(docs.parent):
            return found[0]
        return f"{found[1]}{REPOSITORY}{target.relative_to(docs.parent)}{found[4] or ''})"

    return _LINK.sub(linked, text)


def whole(text: str, page: Path) -> str:
    """A page with what it includes, its own links made to fit."""

    def included(found: re.Match[str]) -> str:
        file = (page.parent / found[1]).resolve()
        return re.sub(r"\]\((?![a-z]+:|#)", f"]({REPOSITORY}", file.read_text("utf-8")).strip()

    return _INCLUDE.sub(included, text)


def rewrite(app: Sphinx, name: str, source: list[str]) -> None:
    page = Path(str(app.env.doc2path(name)))
    source[0] = links(whole(source[0], page), page, Path(app.srcdir))


def twins(app: Sphinx, failure: Exception | None) -> None:
    """Write each page's Markdown beside its HTML, and `llms.txt`, which lists them in order."""
    if failure is not None or app.builder.format != "html":
        return
    out, docs = Path(app.outdir), Path(app.srcdir)
    lines = ["# hog_dagster", "", f"> {SUMMARY}", ""]
    everything = []
    for name in _in_order(app):
        page = Path(str(app.env.doc2path(name)))
        text = links(whole(page.read_text("utf-8"), page), page, docs)
        text = re.sub(r"^<!--.*?-->\n", "", _DIRECTIVE.sub("", text), flags=re.MULTILINE).strip()
        twin = out / f"{name}.md"
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_text(f"{text}\n", "utf-8")
        title = app.env.titles[name].astext()
        lines.append(f"- [{title}]({name}.md)")
        if not name.startswith(("reference/", "performance", "api", "tables", "changelog")):
            everything.append(text)
    (out / "llms.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (out / "llms-full.txt").write_text("\n\n".join(everything) + "\n", "utf-8")


def _in_order(app: Sphinx) -> list[str]:
    """Pages in the order of the table of contents."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name not in found:
            found.append(name)
            for below in app.env.toctree_includes.get(name, []):
                visit(below)

    visit(str(app.config.root_doc))
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", rewrite)
    app.connect("build-finished", twins)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
