"""The populated project's hog functions, with two weeks of logs, counts and runs."""

import random
from datetime import datetime, timedelta

from hog_dagster.sandbox.world._world import World

LOG_DAYS = 14


def seed_functions(world: World, chance: random.Random, now: datetime) -> None:
    """Five hog functions, two of which run."""
    born = now - timedelta(days=120)
    orders = {"id": "subscribed", "name": "subscribed", "type": "events", "order": 0}
    sign_ups = {**orders, "id": "signed up", "name": "signed up"}
    crm = world.add_hog_function(
        "Customers to the CRM",
        template_id="template-crm-contact",
        hog="fetch('https://crm.example.com/v1/contacts', {'method': 'POST'});",
        inputs={
            "access_token": {"value": "crm-7ad0c41b"},
            "email": {"value": "{person.properties.email}"},
        },
        filters={"events": [orders]},
        description="Every new subscription becomes a contact.",
        created_at=born,
        updated_at=now - timedelta(days=9),
    )["id"]
    hook = world.add_hog_function(
        "Sign-ups to the warehouse",
        template_id="template-webhook",
        inputs={"url": {"value": "https://hooks.example.com/sign-ups"}},
        filters={"events": [sign_ups]},
        created_at=born,
        updated_at=now - timedelta(days=2),
    )["id"]
    world.add_hog_function(
        "Old Slack alerts",
        template_id="template-slack",
        enabled=False,
        inputs={"text": {"value": "{person.name}"}},
        created_at=born,
        updated_at=now - timedelta(days=70),
    )
    world.add_hog_function(
        "Overloaded endpoint",
        state=3,
        tokens=0,
        inputs_schema=[{"key": "url", "type": "string", "required": True, "secret": False}],
        inputs={"url": {"value": "https://slow.example.com"}},
        created_at=born,
        updated_at=now - timedelta(days=1),
    )
    world.add_hog_function(
        "Drop health checks",
        "transformation",
        template_id="template-drop-events",
        hog="if (event.event == inputs.name) { return null } return event",
        inputs={"name": {"value": "health check"}},
        created_at=born,
        updated_at=now - timedelta(days=40),
    )
    start, seconds = now - timedelta(days=LOG_DAYS), LOG_DAYS * 86400
    for function, per_day, failing in ((crm, 9, 0.06), (hook, 24, 0.02)):
        drawn = [start + timedelta(seconds=chance.randrange(seconds)) for _ in range(per_day * 14)]
        whole = [at.replace(microsecond=chance.randrange(1000) * 1000) for at in drawn]
        for at in sorted(whole):
            _run(world, chance, function, at, failed=chance.random() < failing)


def _run(world: World, chance: random.Random, function: str, at: datetime, *, failed: bool) -> None:
    run = world.ids.run(at)
    person = chance.choice(world.people)
    words = "Function failed: HTTP 503" if failed else "Function completed in 12ms"
    level, status = ("error", "failed") if failed else ("info", "succeeded")
    for after, line_level, message in (
        (0, "debug", f"Executing function for {person.properties['email']}"),
        (15, level, words),
    ):
        moment = at + timedelta(milliseconds=after)
        world.logs.add(function, run, moment, line_level, message)
    world.emit_metric(function, at, "triggered", "other")
    world.emit_metric(function, at, status, "failure" if failed else "success")
    if world.newer:
        about = {"distinct_id": person.distinct_id, "person_id": person.id}
        world.add_function_run(function, status, at, run, **about)
