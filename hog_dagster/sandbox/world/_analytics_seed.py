"""The populated project's groups, events and insights, made up from the seed."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world._function_seed import seed_functions
from hog_dagster.sandbox.world._world import World

EVENT_DAYS = 30
_PAGES = ("/", "/pricing", "/docs", "/blog", "/signup")
_BROWSERS = ("Chrome", "Safari", "Firefox", "Edge")
_NAMES = ("Aurora", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Garnet", "Harbour", "Indigo")
_KINDS = ("Labs", "Foods", "Logistics", "Health", "Energy", "Studios")
_SITE = "https://shop.example.com"


def seed_analytics(world: World) -> None:
    """Add groups, a month of events, hog functions with logs and metrics, and insights."""
    chance = random.Random(f"families:{world.seed}")
    now = world.clock.now()
    _groups(world, chance, now)
    world.add_events(_events(world, chance, now))
    seed_functions(world, chance, now)
    _insights(world, now)


def _groups(world: World, chance: random.Random, now: datetime) -> None:
    born = now - timedelta(days=200)
    world.add_group_type(
        "company", name_singular="company", name_plural="companies", created_at=born
    )
    world.add_group_type("project", created_at=born)
    for number in range(130):
        plan = chance.choices(("free", "pro", "enterprise"), (6, 3, 1))[0]
        world.add_group(
            0,
            f"company_{number:03}",
            {
                "name": f"{chance.choice(_NAMES)} {chance.choice(_KINDS)} {number}",
                "plan": plan,
                "seats": chance.randint(1, 400),
                "trial": plan == "free" and chance.random() < 0.4,
            },
            created_at=born + timedelta(hours=30 * number),
        )
    for number in range(12):
        world.add_group(
            1,
            f"project_{number}",
            {"name": f"Project {number}", "archived": number % 5 == 4},
            created_at=born + timedelta(days=10 * number),
        )


def _events(world: World, chance: random.Random, now: datetime) -> Iterator[dict[str, Any]]:
    """Visits, sign-ups and purchases, busier towards today."""
    for number, person in enumerate(world.people[:90]):
        joined = now - timedelta(days=chance.uniform(1, EVENT_DAYS))
        browser = chance.choice(_BROWSERS)
        company = f"company_{number % 40:03}"
        at = joined
        signed = paid = False
        while at < now - timedelta(minutes=5):
            shared = {"$browser": browser, "$group_0": company}
            page = chance.choice(_PAGES)
            yield _event(
                person.distinct_id, "$pageview", at, {**shared, "$current_url": _SITE + page}
            )
            if not signed and chance.random() < 0.4:
                signed = True
                at += timedelta(minutes=chance.randint(1, 20))
                yield _event(person.distinct_id, "signed up", at, shared)
            if signed and not paid and chance.random() < 0.3:
                paid = True
                at += timedelta(minutes=chance.randint(1, 25))
                plan = chance.choice(("pro", "enterprise"))
                amount = 49 if plan == "pro" else chance.choice((199, 249.5))
                yield _event(
                    person.distinct_id, "subscribed", at, {**shared, "plan": plan, "amount": amount}
                )
            at += timedelta(hours=chance.choice((0.2, 0.4, 20, 26, 50)), minutes=chance.random())


def _event(distinct_id: str, name: str, at: datetime, properties: Any) -> dict[str, Any]:
    return {"event": name, "timestamp": at, "distinct_id": distinct_id, "properties": properties}


def _node(event: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "EventsNode", "event": event, "name": event, **fields}


def _viz(kind: str, since: str | None = "-14d", **fields: Any) -> dict[str, Any]:
    source = {"kind": kind, "dateRange": {"date_from": since} if since else {}, **fields}
    return {"kind": "InsightVizNode", "source": source}


def _sql(query: str) -> dict[str, Any]:
    return {"kind": "DataVisualizationNode", "source": {"kind": "HogQLQuery", "query": query}}


def _insights(world: World, now: datetime) -> None:
    growth, money = world.add_dashboard("Growth").id, world.add_dashboard("Revenue").id
    funnel = [_node("$pageview"), _node("signed up"), _node("subscribed")]
    view = {"id": "$pageview", "type": "events"}
    browser = {"breakdown": "$browser", "breakdown_type": "event"}
    weekly = {"period": "Week", "totalIntervals": 5, "targetEntity": view, "returningEntity": view}
    weekly["retentionType"] = "retention_first_time"
    latest = {"kind": "EventsQuery", "select": ["event", "timestamp", "distinct_id"]}
    latest |= {"event": "subscribed", "after": "-7d", "limit": 20}
    paths = {"stepLimit": 4, "includeEventTypes": ["$pageview"]}
    dau, amount = _node("$pageview", math="dau"), {"math": "sum", "math_property": "amount"}
    on_growth = (["growth"], [growth])
    #: name, query, tags, dashboards
    rows: list[tuple[str, dict[str, Any], list[str], list[int]]] = [
        (
            "Daily visitors by browser",
            _viz("TrendsQuery", series=[dau], interval="day", breakdownFilter=browser),
            *on_growth,
        ),
        (
            "Visits and sign-ups by the hour",
            _viz("TrendsQuery", "-2d", series=funnel[:2], interval="hour"),
            ["growth"],
            [],
        ),
        (
            "Subscriptions per sign-up",
            _viz(
                "TrendsQuery",
                series=[funnel[2], funnel[1]],
                interval="week",
                trendsFilter={"formula": "A/B"},
            ),
            ["growth", "revenue"],
            [growth, money],
        ),
        (
            "Revenue, two weeks",
            _viz(
                "TrendsQuery",
                series=[_node("subscribed", **amount)],
                interval="day",
                trendsFilter={"display": "BoldNumber"},
            ),
            ["revenue"],
            [money],
        ),
        (
            "Visits against the weeks before",
            _viz("TrendsQuery", series=funnel[:1], interval="day", compareFilter={"compare": True}),
            [],
            [],
        ),
        (
            "From visit to subscription",
            _viz("FunnelsQuery", series=funnel, funnelsFilter={"funnelVizType": "steps"}),
            *on_growth,
        ),
        (
            "From visit to subscription, by browser",
            _viz("FunnelsQuery", series=funnel, breakdownFilter=browser),
            [],
            [],
        ),
        (
            "Time to sign up",
            _viz(
                "FunnelsQuery",
                series=funnel[:2],
                funnelsFilter={"funnelVizType": "time_to_convert"},
            ),
            [],
            [],
        ),
        (
            "Weekly visitors who come back",
            _viz("RetentionQuery", None, retentionFilter=weekly),
            *on_growth,
        ),
        ("Ways through the shop", _viz("PathsQuery", pathsFilter=paths), [], []),
        ("Days with a visit", _viz("StickinessQuery", series=funnel[:1], interval="day"), [], []),
        (
            "Visitor lifecycle",
            _viz("LifecycleQuery", series=funnel[:1], interval="day"),
            *on_growth,
        ),
        (
            "Revenue by plan",
            _sql(
                "select properties.plan as plan, count() as subscriptions, "
                "sum(toFloat(properties.amount)) as revenue, max(timestamp) as latest "
                "from events where event = 'subscribed' group by plan order by plan"
            ),
            ["revenue"],
            [money],
        ),
        (
            "All visits",
            _sql("select uuid, timestamp, distinct_id from events where event = '$pageview'"),
            [],
            [],
        ),
        ("Latest subscriptions", {"kind": "DataTableNode", "source": latest}, [], []),
    ]
    for number, (name, query, tags, dashboards) in enumerate(rows):
        world.add_insight(
            name,
            query,
            tags=tags,
            dashboards=dashboards,
            favorited=number == 0,
            created_at=now - timedelta(days=90),
            last_modified_at=now - timedelta(days=3 * number + 1),
        )
    world.add_insight("Scratch", saved=False, created_at=now - timedelta(days=5))
