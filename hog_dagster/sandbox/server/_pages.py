"""Small pages where PostHog's UI has its own, so that links in Dagster open something.

Facts: the product links to /project/<number>/ and below it workflows/<id>/<tab>
(messaging/campaigns on servers of 2025), functions/<id>, insights/<short id>, groups/<index>,
pipeline/overview, saved_insights and sql. No key is asked for and no request is counted: pages are
no part of the API.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import parse_qs, quote

from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.server._site import SandboxSite
from hog_dagster.sandbox.world import Run, from_micros

_ROWS = 50
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color:#1d1f27}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}"
    "td,th{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd;"
    "vertical-align:top;overflow-wrap:anywhere}a{color:#1d4aff}"
    "nav a{margin-right:1rem}.note{color:#666}"
)


class _Html(str):
    """A text that is HTML already."""


Row = Sequence[Any]


def is_page(method: str, path: str) -> bool:
    """Whether a request is a browser's, for a page of PostHog's UI."""
    return method in ("GET", "HEAD") and (path == "/" or path.startswith("/project/"))


def page(site: SandboxSite, path: str, query: str) -> tuple[int, bytes]:
    """The page at a path: status and HTML. A link to what is not there is a page that says so."""
    with site.world.lock:
        settle(site.world)
        parts = [part for part in path.split("/") if part]
        here = str(site.project_id)
        if not parts:
            parts = ["project", here]
        if parts[1:2] != [here]:
            return _missing(site, f"There is no project {'/'.join(parts[1:2])} in this sandbox.")
        rest, instance = parts[2:], (parse_qs(query).get("instanceId") or [""])[0]
        if rest[:2] == ["messaging", "campaigns"]:
            rest = ["workflows", *rest[2:]]
        kind, name = [*rest, "", ""][:2]
        pages: dict[str, Callable[[], tuple[str, str] | None]] = {
            "": lambda: _home(site),
            "home": lambda: _home(site),
            "workflows": lambda: _workflow(site, name, instance) if name else _workflows(site),
            "functions": lambda: _function(site, name, instance) if name else _functions(site),
            "pipeline": lambda: _functions(site),
            "insights": lambda: _insight(site, name) if name else _insights(site),
            "saved_insights": lambda: _insights(site),
            "groups": lambda: _groups(site, name, "/".join(rest[2:])),
            "sql": lambda: (
                "SQL",
                "<p>The SQL editor of PostHog's UI is not part of the sandbox.</p>",
            ),
        }
        made = pages[kind]() if kind in pages else None
        if made is None:
            return _missing(site, f"There is nothing at {path} in this sandbox.")
        return 200, _whole(site, *made)


def _missing(site: SandboxSite, text: str) -> tuple[int, bytes]:
    return 404, _whole(site, "Not found", f"<p>{escape(text)}</p>")


def _whole(site: SandboxSite, title: str, body: str) -> bytes:
    links = " ".join(
        _link(site, path, text)
        for path, text in (
            ("workflows", "Workflows"),
            ("pipeline/overview", "Hog functions"),
            ("saved_insights", "Insights"),
            ("groups/0", "Groups"),
        )
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style><nav>{links}</nav><h1>{escape(title)}</h1>{body}"
        f"<p class=note>A PostHog sandbox of hog_dagster, generation {site.generation}, at "
        f"{_time(site.clock.now())}. PostHog's own page shows more.</p></html>"
    ).encode()


def _home(site: SandboxSite) -> tuple[str, str]:
    world = site.world
    held = (
        ("workflows", "workflows", world.workflows),
        ("pipeline/overview", "hog functions", world.hog_functions),
        ("saved_insights", "insights", world.insights),
        ("groups/0", "groups", world.groups),
    )
    rows = [(_link(site, path, what), len(rows)) for path, what, rows in held]
    return f"Project {site.project_id}", _table(("what", "how many"), rows)


def _workflows(site: SandboxSite) -> tuple[str, str]:
    every = site.world.workflows.values()
    rows = [
        (
            _link(site, f"workflows/{one.id}/workflow", one.name or one.id),
            one.status,
            one.updated_at,
        )
        for one in every
    ]
    return "Workflows", _table(("name", "status", "changed"), rows)


def _workflow(site: SandboxSite, id: str, instance: str) -> tuple[str, str] | None:
    one = site.world.workflows.get(id)
    if one is None:
        return None
    steps = one.actions if isinstance(one.actions, list) else []
    body = _facts(
        ("id", one.id),
        ("status", one.status),
        ("version", one.version),
        ("description", one.description),
        ("changed", one.updated_at),
    )
    body += "<h2>Steps</h2>" + _table(
        ("name", "type"), [(step.get("name"), step.get("type")) for step in steps]
    )
    jobs = [job for job in site.world.batch_jobs.values() if job.workflow_id == id]
    if jobs:
        body += "<h2>Batch jobs</h2>" + _table(
            ("id", "status", "made"), [(job.id, job.status, job.created_at) for job in jobs]
        )
    return one.name or one.id, body + _activity(site, id, "workflows/" + id + "/logs", instance)


def _functions(site: SandboxSite) -> tuple[str, str]:
    rows = [
        (_link(site, f"functions/{one.id}", one.name or one.id), one.type, one.enabled)
        for one in site.world.hog_functions.values()
        if not one.deleted
    ]
    return "Hog functions", _table(("name", "type", "enabled"), rows)


def _function(site: SandboxSite, id: str, instance: str) -> tuple[str, str] | None:
    one = site.world.hog_functions.get(id)
    if one is None or one.deleted:
        return None
    body = _facts(
        ("id", one.id),
        ("type", one.type),
        ("enabled", one.enabled),
        ("template", one.template_id),
        ("changed", one.updated_at),
    )
    return one.name or one.id, body + _activity(site, id, "functions/" + id, instance)


def _activity(site: SandboxSite, id: str, path: str, instance: str) -> str:
    """Runs and log lines of a workflow or function, newest first; of one run where one is named."""
    runs = [run for run in site.world.runs.values() if run.workflow_id == id]
    if instance:
        runs = [run for run in runs if run.invocation_id == instance]
    runs.sort(key=lambda run: run.scheduled_at, reverse=True)
    lines = [
        line for line in site.world.logs.rows(id) if not instance or line.instance_id == instance
    ]
    lines.sort(key=lambda line: line.at, reverse=True)
    title = f"Run {escape(instance)}" if instance else "Runs"
    text = f"<h2>{title}</h2>" + _table(
        ("run", "status", "scheduled", "error"), [_of_run(site, run, path) for run in runs[:_ROWS]]
    )
    text += "<h2>Log</h2>" + _table(
        ("at", "level", "message"),
        [(from_micros(line.at), line.level, line.message) for line in lines[:_ROWS]],
    )
    more = [
        f"{len(of) - _ROWS} more {what}"
        for of, what in ((runs, "runs"), (lines, "lines"))
        if len(of) > _ROWS
    ]
    return text + (f"<p class=note>{'; '.join(more)}.</p>" if more else "")


def _of_run(site: SandboxSite, run: Run, path: str) -> Row:
    link = _link(site, f"{path}?instanceId={quote(run.invocation_id)}", run.invocation_id)
    return (link, run.status, run.scheduled_at, run.error_message or run.error_kind)


def _insights(site: SandboxSite) -> tuple[str, str]:
    rows = [
        (_link(site, f"insights/{one.short_id}", one.name or one.short_id), one.last_modified_at)
        for one in site.world.insights.values()
        if not one.deleted
    ]
    return "Insights", _table(("name", "changed"), rows)


def _insight(site: SandboxSite, short_id: str) -> tuple[str, str] | None:
    for one in site.world.insights.values():
        if not one.deleted and short_id in (one.short_id, str(one.id)):
            query = one.query or {}
            source = query.get("source") or {}
            boards = [site.world.dashboards.get(number) for number in one.dashboards]
            return one.name or one.short_id, _facts(
                ("short id", one.short_id),
                ("kind", source.get("kind") or query.get("kind")),
                ("tags", ", ".join(one.tags)),
                ("dashboards", ", ".join(board.name for board in boards if board is not None)),
                ("changed", one.last_modified_at),
            )
    return None


def _groups(site: SandboxSite, index: str, key: str) -> tuple[str, str] | None:
    types, groups = site.world.group_types, site.world.groups
    kind = types.get(int(index)) if index.isdigit() else None
    if kind is None:
        return None
    if key:
        group = groups.get(f"{index}/{key}")
        if group is None:
            return None
        name = group.group_properties.get("name") or key
        return str(name), _facts(("key", key), *group.group_properties.items())
    held = [one for one in groups.values() if one.group_type_index == kind.group_type_index]
    root = f"groups/{index}/"
    rows = [
        (
            _link(site, root + quote(one.group_key, safe=""), one.group_key),
            one.group_properties.get("name"),
            one.created_at,
        )
        for one in held[:_ROWS]
    ]
    others = " ".join(_link(site, f"groups/{at}", one.group_type) for at, one in types.items())
    note = f"<p class=note>{len(held)} groups. {others}</p>"
    return kind.name_plural or kind.group_type, _table(("key", "name", "made"), rows) + note


def _link(site: SandboxSite, path: str, text: str) -> _Html:
    return _Html(f'<a href="/project/{site.project_id}/{escape(path)}">{escape(text)}</a>')


def _facts(*rows: tuple[str, Any]) -> str:
    return _table((), [row for row in rows if row[1] not in (None, "")])


def _table(names: Sequence[str], rows: Iterable[Row]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ["".join(f"<td>{_cell(value)}</td>" for value in row) for row in rows]
    if not lines:
        return "<p class=note>Nothing.</p>"
    return (
        "<table>"
        + (f"<tr>{head}</tr>" if head else "")
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</table>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, _Html):
        return value
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else escape(str(value))


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
