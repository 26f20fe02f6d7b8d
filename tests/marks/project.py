"""A project in which everything holds a mark, and what a server answers that repeats marks."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step
from tests.marks.marks import Marks

__all__ = ["answers", "fill"]


def fill(sandbox: Sandbox, marks: Marks, batch: str) -> None:
    """Workflows, hog functions, runs, logs, groups, events and insights, all with marks."""
    world = sandbox.world
    # All of it is in the newest partition, yesterday's.
    now = sandbox.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    hook = {
        "url": {"value": f"https://user:{marks.secret('url of input')}@example.com/in?key=1"},
        "headers": {"value": {"Authorization": f"Bearer {marks.secret('header of input')}"}},
        "body": {"value": {"deep": [{"er": marks.secret("nested input")}]}},
    }
    steps = [step("hook", "function", {"template_id": "template-webhook", "inputs": hook})]
    workflow = world.add_workflow(
        "Onboarding",
        actions=steps,
        description=f"Calls {marks.secret('slack url', 'https://hooks.slack.com/services/T/B/{}')}",
        variables=[
            {"key": "api_key", "type": "string", "default": marks.secret("variable")},
        ],
    )["id"]
    world.add_workflow("Newsletter", trigger="batch", id=batch)
    function = world.add_hog_function(
        "To a CRM",
        inputs_schema=[
            {"key": "token", "type": "string", "secret": True},
            {"key": "url", "type": "string"},
            {"key": "headers", "type": "dictionary"},
        ],
        inputs={
            "token": {"value": marks.secret("secret input")},
            "url": {"value": marks.secret("url of function", "https://example.com/?signature={}")},
            "headers": {"value": {"X-Api-Key": marks.secret("nested input of function")}},
        },
    )["id"]
    spoken = [
        f"Sent to {marks.value('address in log', 'a.{}@people.example')}",
        f"Starting [Person:0196-ab|{marks.value('name in log', 'Ada {}')}]",
        f"[Actor:{marks.value('actor in log')}] moved on",
        f"key {marks.secret('key in log', 'phx_{}')} is wrong",
        f"Authorization: Bearer {marks.secret('bearer in log')}",
        f"header Authorization: {marks.basic('basic in log')} refused",
        f"GET {marks.secret('url in log', 'https://u:{}@example.com/x')} answered 500",
        f"GET {marks.secret('parameter in log', 'https://example.com/x?a=1&access_token={}&b=2')}",
        f"connect failed: host=db {marks.secret('password in log', 'password={}')} user=u",
        '{"api_key": "' + marks.secret("JSON in log") + '", "a": 1}',
    ]
    at = now - timedelta(hours=2)
    lines = [
        {
            "instance_id": f"0196-{n}",
            "timestamp": at + timedelta(seconds=n),
            "level": "ERROR",
            "message": message,
        }
        for n, message in enumerate(spoken)
    ]
    world.add_logs(workflow, lines)
    said = (
        f"fetch of {marks.secret('url in run', 'https://u:{}@example.com/')} failed for "
        f"{marks.value('address in run', 'b.{}@people.example')} with "
        f"{marks.secret('key in run', 'phs_{}')}"
    )
    who = marks.value("distinct id of run", "id-{}")
    for n in range(3):
        world.add_run(
            workflow,
            "failed",
            now - timedelta(minutes=40 + n),
            error_message=said,
            error_kind="fetch",
            distinct_id=who,
        )
        world.emit_metric(workflow, now - timedelta(minutes=40), "failed", "failure", 40)
    if "current" in sandbox.generation:
        world.add_function_run(function, "failed", now - timedelta(minutes=50), error_message=said)
    world.add_blocked_runs(workflow, 2)
    organization = world.add_group_type("organization")
    world.add_group(
        organization.group_type_index,
        marks.value("group key", "acme-{}"),
        {"name": marks.value("group property", "c.{}@people.example"), "plan": "old"},
    )
    world.add_person(marks.value("distinct id", "d.{}@people.example"))
    world.add_events(
        [
            {
                "event": "$pageview",
                "timestamp": now - timedelta(minutes=1 + n),
                "distinct_id": marks.values["distinct id"],
                "properties": {
                    "mail": marks.values.get("property") or marks.value("property", "Ms {}"),
                    "note": marks.values.get("note") or marks.value("note", "e.{}@people.example"),
                },
            }
            for n in range(3)
        ]
    )
    series = [{"kind": "EventsNode", "event": "$pageview", "name": "$pageview"}]
    by = {"breakdown": "note", "breakdown_type": "event"}
    source = {
        "kind": "TrendsQuery",
        "series": series,
        "interval": "day",
        "breakdownFilter": by,
    }
    world.add_insight("By note", {"kind": "InsightVizNode", "source": source})


def answers(marks: Marks, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a server, or something before it, answers: name -> a fault's arguments."""
    token = marks.secret("project token", "phc_{}")
    headers = {
        "X-Request-Id": f"{key} {token}",
        "Deprecation": f"{marks.secret('bearer in header', 'Bearer {}')} {key}",
        "Sunset": marks.secret("parameter in header", "password={}"),
        "X-PostHog-Warn": f"{marks.basic('basic in header')} {key}",
        "Link": marks.secret("link", '<https://example.com/?token={}>; rel="next"'),
        "Content-Type": "application/json",
    }
    yield (
        "detail",
        {
            "status": 400,
            "headers": headers,
            "body": {
                "type": "validation_error",
                "code": "invalid_input",
                "attr": "properties",
                "detail": f"key {key} or {marks.secret('other key', 'phx_{}')} for "
                f"{marks.value('address in error', 'f.{}@people.example')} by "
                f"{marks.secret('url in error', 'postgres://u:{}@db/x')} and "
                f"{marks.secret('parameter in error', 'https://example.com/?password={}')}",
            },
        },
    )
    yield (
        "nested",
        {
            "status": 403,
            "body": {"errors": {"inputs": [{"token": [marks.secret("nested", "token={}")]}]}},
        },
    )
    yield (
        "page",
        {
            "status": 404,
            "body": f"<html><title>{marks.secret('title', 'Bearer {}')} {key}</title></html>",
            "headers": {"Content-Type": "text/html"},
        },
    )
    location = marks.secret("place", "/login?access_token={}&next=/")
    yield "redirected", {"status": 307, "headers": {"Location": location}, "body": ""}
    path = marks.secret("path", "/sign-in/phx_{}")
    yield "redirected to a path", {"status": 302, "headers": {"Location": path}, "body": ""}
    other = marks.secret("other place", "https://u:{}@example.com/a?b=c")
    yield "redirected elsewhere", {"status": 302, "headers": {"Location": other}, "body": ""}
    value = marks.value("value of a wrong type", "Mr {}")
    rows = {"results": [{"id": {"a": value}, "created_at": value, "timestamp": value}]}
    yield "misshapen", {"status": 200, "body": {**rows, "next": None, "count": 1}}
    yield "a text", {"status": 200, "body": marks.secret("text", "token={}")}
    yield (
        "throttled",
        {
            "status": 429,
            "headers": {"Retry-After": "30"},
            "body": {"detail": f"{marks.secret('throttled', 'api_key={}')} {key}"},
        },
    )
    detail = {"detail": f"database {marks.secret('database', 'postgresql://u:p{}@h/db')} is away"}
    yield "failing", {"status": 500, "body": detail, "headers": headers}
