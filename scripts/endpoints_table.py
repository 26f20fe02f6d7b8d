"""Generates the table of endpoints in docs/api.md from the register, so that the two cannot differ.

Facts: the declarations of the endpoints, and which methods read through another method's endpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from hog_dagster._shared.markdown import cell
from hog_dagster.posthog._endpoints import ENDPOINTS, Endpoint

__all__ = ["BEGIN", "END", "MORE", "WITHOUT_METHOD", "rewritten", "table"]

BEGIN = "<!-- endpoints: made by `python -m scripts.endpoints_table docs/api.md` -->"
END = "<!-- endpoints: end -->"

#: Endpoint -> methods that use it besides the method of the same name.
MORE: dict[str, tuple[str, ...]] = {
    "workflows.logs": ("workflows.log_batches",),
    "workflows.metrics": ("workflows.hourly_metrics",),
    "workflows.invocation_results": (
        "workflows.newest_results",
        "workflows.newest_states",
        "server.capabilities",
        "server.read_clock",
    ),
    "workflows.blocked_runs": ("server.capabilities",),
    "hog_functions.logs": ("hog_functions.log_batches",),
    "hog_functions.invocation_results": (
        "hog_functions.newest_results",
        "hog_functions.newest_states",
    ),
    "hog_functions.metrics": ("hog_functions.hourly_metrics",),
    "groups.list": ("groups.list_whole",),
    "insights.get": ("insights.result",),
    "query.rows": (
        "query.page",
        "query.pages",
        *(
            f"{service}.{method}"
            for service in ("workflows", "hog_functions")
            for method in ("run_states", "failing_sources", "rerun_jobs", "log_lines")
        ),
        "groups.by_query",
        "groups.list_whole",
        "messaging.preferences",
        "messaging.categories",
    ),
    "messaging.suppressions": ("messaging.count_suppressions",),
    "messaging.opt_outs": ("messaging.count_opt_outs",),
    "insights.query_status": ("insights.result",),
    "insights.cancel_query": ("insights.result",),
}
#: Endpoints that only the methods in ``MORE`` use.
WITHOUT_METHOD = frozenset({"insights.query_status", "insights.cancel_query"})

_SERVICES = (
    "workflows",
    "hog_functions",
    "groups",
    "insights",
    "messaging",
    "batch_exports",
    "activity",
    "query",
    "server",
)
_PROJECT = "/api/projects/{project_id}/"
_HEAD = (
    "Endpoint",
    "Client method",
    "Scopes",
    "Server generations",
    "Idempotent",
    "Throttle bucket",
    "Notes",
)
#: Method -> an endpoint that the public pages list and no server supports: path, servers, note.
_NEVER_ANSWERED = {
    "hog_functions.delete": (
        "DELETE hog_functions/{id}/",
        "none",
        "listed on the public pages; returns 405, on newer servers 403 for keys; never sent",
    ),
}


def table() -> str:
    """The table as Markdown: one line per endpoint, services in the order of the client."""
    _register_all()
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    lines.extend(_line(cells) for cells in _rows())
    return "\n".join(lines) + "\n"


def rewritten(page: Path) -> str:
    """The text of ``page`` with a new table between its marks.

    Raises:
        ValueError: the page lacks the marks.
    """
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no line {BEGIN if not begin else END}")
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def _register_all() -> None:
    package = import_module("hog_dagster.posthog._endpoints")
    for module in iter_modules(package.__path__):
        if module.name not in ("__main__", "table"):
            import_module(f"{package.__name__}.{module.name}")


def _rows() -> Iterator[list[str]]:
    for service in _SERVICES:
        for name, endpoint in ENDPOINTS.items():
            if name.startswith(f"{service}."):
                yield _cells(endpoint)
            if name.startswith(f"{service}.") and name in _NEVER_ANSWERED:
                path, servers, notes = _NEVER_ANSWERED[name]
                yield [f"`{path}`", f"`{name}`", "", servers, "", "", notes]


def _cells(endpoint: Endpoint) -> list[str]:
    path = endpoint.path
    if path != _PROJECT:
        path = path.removeprefix(_PROJECT)
    own = () if endpoint.name in WITHOUT_METHOD else (endpoint.name,)
    methods = (*own, *MORE.get(endpoint.name, ()))
    return [
        f"`{endpoint.method} {path}`",
        ", ".join(f"`{method}`" for method in methods),
        ", ".join(f"`{scope}`" for scope in endpoint.scopes) or _no_scope(endpoint),
        endpoint.servers,
        _idempotent(endpoint),
        endpoint.bucket,
        endpoint.notes,
    ]


def _no_scope(endpoint: Endpoint) -> str:
    return "closed to keys" if "refused to scoped keys" in endpoint.servers else "none needed"


def _idempotent(endpoint: Endpoint) -> str:
    if endpoint.effect == "act":
        return "no"
    return "yes, retried" if endpoint.retryable else "yes"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell(one) for one in cells) + " |"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(rewritten(Path(sys.argv[1])), "utf-8")
    else:
        print(table(), end="")
