"""A very small PostHog over real HTTP: groups and insights of one project, with faults on request.

It answers in the shapes of a running server of either generation, keeps its truth in plain
dictionaries that tests read and change, and records every request.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
PREFIX = "/api/projects/1"
MISSING = {
    "type": "invalid_request",
    "code": "not_found",
    "detail": "Endpoint not found.",
    "attr": None,
}


def envelope(kind: str, code: str, detail: str, attr: str | None = None) -> dict[str, Any]:
    return {"type": kind, "code": code, "detail": detail, "attr": attr}


NOT_FOUND = envelope("invalid_request", "not_found", "Not found.")


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    params: dict[str, str]
    body: Any


@dataclass
class SmallPostHog:
    """The truth behind the responses; ``url`` once it runs."""

    newer: bool = False
    page: int = 100
    capture: Callable[[], tuple[int, dict[str, Any]] | None] = lambda: None
    upsert: bool = False
    lose_cursor: int = 0
    faults: list[tuple[str, str, int, Any, bool]] = field(default_factory=list)
    groups: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    activity: list[dict[str, Any]] = field(default_factory=list)
    insights: dict[int, dict[str, Any]] = field(default_factory=dict)
    results: dict[int, Any] = field(default_factory=dict)
    jobs: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    clock: str = "2026-03-02T10:00:00Z"
    url: str = ""

    def add_group(self, index: int, key: str, properties: dict[str, Any] | None = None) -> None:
        number = len(self.groups)
        self.groups[index, key] = {
            "group_type_index": index,
            "group_key": key,
            "group_properties": dict(properties or {}),
            "created_at": (_FIRST + timedelta(seconds=number)).isoformat(),
        }

    def fail(
        self, method: str, path: str, status: int, body: Any = None, effect: bool = False
    ) -> None:
        """Answer the next such request with that; with ``effect`` it happens all the same."""
        self.faults.append((method, path, status, body, effect))

    def count(self, method: str, path: str = "") -> int:
        return sum(a.method == method and path in a.path for a in self.asked)

    # -- requests ---------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        raw = await request.body()
        path = request.url.path.removeprefix(PREFIX)
        body = json.loads(raw) if raw else None
        asked = Asked(request.method, path, dict(request.query_params), body)
        self.asked.append(asked)
        for fault in self.faults:
            method, where, status, said, effect = fault
            if method == asked.method and where in path:
                self.faults.remove(fault)
                if effect:
                    self.route(asked)
                return Response(status_code=status) if said is None else JSONResponse(said, status)
        status, said = self.route(asked)
        return Response(status_code=status) if said is None else JSONResponse(said, status)

    def route(self, asked: Asked) -> tuple[int, Any]:
        parts = [part for part in asked.path.split("/") if part]
        match [asked.method, *parts]:
            case ["GET", "groups_types"]:
                types = [{"group_type": "organization", "group_type_index": 0}]
                return 200, [*types, {"group_type": "project", "group_type_index": 1}]
            case ["DELETE", "groups_types", _]:
                return 204, None
            case ["GET", "groups"]:
                return self.list_groups(asked)
            case ["POST", "groups"]:
                return self.create_group(asked)
            case ["GET", "groups", "find"]:
                found = self.one(asked)
                return (404, NOT_FOUND) if found is None else (200, {**found, "notebook": None})
            case ["POST", "groups", "update_property"]:
                return self.update_property(asked)
            case ["POST", "groups", "delete_property"]:
                return self.delete_property(asked)
            case ["POST", "groups", "upsert_properties"] if self.upsert:
                found = self.groups[asked.body["group_type_index"], asked.body["group_key"]]
                found["group_properties"].update(asked.body["group_properties"])
                return 200, None
            case ["GET", "groups", "activity"]:
                return self.list_activity(asked)
            case ["GET", "groups", "property_definitions"] if not self.newer:
                return 200, {"0": [{"name": "plan", "count": 2}], "1": []}
            case ["GET", "groups", "property_values"]:
                rows = [{"name": "pro", "count": 3}]
                return 200, {"results": rows, "refreshing": False} if self.newer else rows
            case ["GET", "groups", "related"]:
                return 200, [{"type": "person", "id": "u", "distinct_ids": ["d"], "new": 1}]
            case ["GET", "insights"]:
                return self.list_insights(asked)
            case ["GET", "insights", ident]:
                return self.get_insight(ident, asked)
            case ["GET", "query", ident]:
                steps = self.jobs.get(ident, [])
                if not steps:
                    return 404, envelope("invalid_request", "not_found", f"Query {ident} not found")
                status, said = steps[0] if len(steps) == 1 else steps.pop(0)
                return status, {"query_status": {"id": ident, **said}}
            case ["DELETE", "query", ident]:
                self.cancelled.append(ident)
                return 200, {"message": "Query cancelled"}
        return 404, MISSING

    def one(self, asked: Asked) -> dict[str, Any] | None:
        return self.groups.get((int(asked.params["group_type_index"]), asked.params["group_key"]))

    def list_groups(self, asked: Asked) -> tuple[int, Any]:
        index = int(asked.params["group_type_index"])
        rows = [g for g in self.groups.values() if g["group_type_index"] == index]
        rows.sort(key=lambda g: (g["created_at"], g["group_key"]), reverse=True)
        cursor = asked.params.get("cursor")
        if cursor is not None and self.lose_cursor > 0:
            self.lose_cursor -= 1
            if not self.newer:
                return 404, envelope("invalid_request", "not_found", "Invalid cursor")
            cursor = None
        if cursor is not None:
            rows = [g for g in rows if f"{g['created_at']} {g['group_key']}" < cursor]
        page = rows[: self.page]
        more = len(rows) > len(page)
        last = f"{page[-1]['created_at']} {page[-1]['group_key']}" if page else ""
        # Behind a proxy the address names another host; only the cursor in it is of use.
        following = f"http://internal:8000{PREFIX}/groups/?cursor={last}" if more else None
        return 200, {"next": following, "previous": None, "results": page}

    def stored(self, group: dict[str, Any], status: int = 200) -> tuple[int, Any]:
        failure = self.capture()
        return failure if failure is not None else (status, group)

    def create_group(self, asked: Asked) -> tuple[int, Any]:
        index, key = asked.body["group_type_index"], asked.body["group_key"]
        if (index, key) in self.groups:
            said = "A group with this key already exists"
            return 400, envelope("validation_error", "invalid_input", said, "detail")
        self.add_group(index, key, asked.body.get("group_properties"))
        return self.stored(self.groups[index, key], 201)

    def update_property(self, asked: Asked) -> tuple[int, Any]:
        group = self.one(asked)
        if group is None:
            return 404, NOT_FOUND
        before = group["group_properties"].get(asked.body["key"])
        group["group_properties"][asked.body["key"]] = asked.body["value"]
        change = {"before": before, "after": asked.body["value"], "action": "changed"}
        detail = {"name": asked.body["key"], "changes": [change]}
        row = {"activity": "update_property", "scope": "Group", "detail": detail}
        self.activity.insert(0, row | {"id": f"a{len(self.activity)}", "created_at": self.clock})
        return self.stored(group)

    def delete_property(self, asked: Asked) -> tuple[int, Any]:
        group = self.one(asked)
        if group is None:
            return 404, NOT_FOUND
        if asked.body["$unset"] not in group["group_properties"]:
            return 500, envelope("server_error", "error", "A server error occurred.")
        del group["group_properties"][asked.body["$unset"]]
        return self.stored(group)

    def list_activity(self, asked: Asked) -> tuple[int, Any]:
        size, page = int(asked.params["limit"]), int(asked.params["page"])
        rows = self.activity[(page - 1) * size : page * size]
        more = len(self.activity) > page * size
        following = f"http://internal{PREFIX}/groups/activity/?page={page + 1}" if more else None
        total = len(self.activity)
        return 200, {"results": rows, "next": following, "previous": None, "total_count": total}

    def list_insights(self, asked: Asked) -> tuple[int, Any]:
        rows = sorted(self.insights.values(), key=lambda row: row["id"])
        if "short_id" in asked.params:
            rows = [row for row in rows if row["short_id"] == asked.params["short_id"]]
        count = len(rows)
        offset, limit = int(asked.params.get("offset", 0)), int(asked.params["limit"])
        page = rows[offset : offset + limit]
        more = offset + limit < len(rows)
        following = f"http://internal{PREFIX}/insights/?offset={offset + limit}" if more else None
        rows = [{k: v for k, v in row.items() if k not in ("result", "columns")} for row in page]
        return 200, {"count": count, "next": following, "results": rows}

    def get_insight(self, ident: str, asked: Asked) -> tuple[int, Any]:
        by_number = int(ident) if ident.isdigit() else None
        found = self.insights.get(by_number) if by_number is not None else None
        if found is None:
            return 404, NOT_FOUND
        refresh = asked.params.get("refresh", "force_cache")
        answer: Any = self.results.get(found["id"])
        if callable(answer):
            answer = answer(refresh)
        if isinstance(answer, tuple):
            return answer
        return 200, found | (answer or {"result": None, "query_status": None})


@contextmanager
def serve(small: SmallPostHog) -> Iterator[SmallPostHog]:
    """Run it on a free port of this machine, on a thread."""
    methods = ["GET", "POST", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", small.answer, methods=methods)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    small.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield small
    finally:
        server.should_exit = True
        thread.join()
