"""What the tests of insights share: a few events that can be counted by hand, and queries over
them.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
DATES = {"date_from": "2026-05-18", "date_to": "2026-05-20"}

#: (day of May, hour, minute), person, event, browser, amount. Anna and Ben visit every day, Carl
#: once; Anna and Ben sign up, Anna pays twice.
STORY: list[tuple[tuple[int, int, int], str, str, str | None, float | None]] = [
    ((18, 9, 0), "anna", "visit", "Chrome", None),
    ((18, 9, 10), "anna", "sign up", "Chrome", None),
    ((18, 23, 30), "ben", "visit", None, None),
    ((19, 8, 0), "anna", "visit", "Chrome", None),
    ((19, 8, 20), "anna", "pay", "Chrome", 30),
    ((19, 9, 0), "ben", "visit", None, None),
    ((19, 9, 5), "ben", "sign up", None, None),
    ((19, 10, 0), "carl", "visit", "Safari", None),
    ((20, 8, 0), "anna", "visit", "Chrome", None),
    ((20, 8, 15), "anna", "pay", "Chrome", 12.5),
    ((20, 9, 0), "ben", "visit", None, None),
]


def tell(sandbox: Sandbox) -> None:
    """Put the story into the project and stop its clock at noon of the last day."""
    sandbox.clock.freeze(NOW)
    rows: list[dict[str, Any]] = []
    for (day, hour, minute), person, event, browser, amount in STORY:
        properties: dict[str, Any] = {}
        if browser:
            properties["$browser"] = browser
        if amount is not None:
            properties["amount"] = amount
        rows.append(
            {
                "event": event,
                "timestamp": datetime(2026, 5, day, hour, minute, tzinfo=UTC),
                "distinct_id": person,
                "properties": properties,
            }
        )
    sandbox.world.add_events(rows)


def many(sandbox: Sandbox, number: int) -> None:
    """`number` visits of as many people, a minute apart, on the first day."""
    sandbox.clock.freeze(NOW)
    start = datetime(2026, 5, 18, tzinfo=UTC)
    sandbox.world.add_events(
        {
            "event": "visit",
            "timestamp": start + timedelta(minutes=index),
            "distinct_id": f"p{index:03}",
            "properties": {"page": f"/{index:03}"},
        }
        for index in range(number)
    )


def node(event: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "EventsNode", "event": event, "name": event, **fields}


def viz(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "InsightVizNode", "source": {"kind": kind, "dateRange": DATES, **fields}}


def sql(text: str, **fields: Any) -> dict[str, Any]:
    source = {"kind": "HogQLQuery", "query": text, **fields}
    return {"kind": "DataVisualizationNode", "source": source}


def insight(sandbox: Sandbox, http: Http, query: dict[str, Any]) -> dict[str, Any]:
    """The whole insight of a query, calculated."""
    made = sandbox.world.add_insight("Test", query)
    answer = http.get(f"/insights/{made['id']}/?refresh=force_blocking")
    assert answer.status_code == 200, answer.text
    return answer.json()
