"""The table `message_events`: each event once, found again in the messages that were loaded."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import build_message_events_asset, build_sent_messages_asset
from hog_dagster.assets._message_tables import MESSAGE_EVENTS
from hog_dagster.assets._recipients import Recipients
from tests.assets import kit
from tests.assets.kit import events_of

MONDAY = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-23")
WEEK = [f"2026-11-{day}" for day in range(16, 22)]


class Lab(kit.Lab):
    """A sandbox that captures e-mail events, and loads of them."""

    def begin(self) -> None:
        self.mail.capture_events = True
        self.workflow = self.mailing("Welcome")

    def load(self, *days: str, messages: bool = True, **options: Any) -> dict[str, Any]:
        assets = [build_sent_messages_asset(DAYS, **options)] if messages else []
        made = self.materialize([*assets, build_message_events_asset(DAYS, **options)], *days)
        found = events_of(made)
        return {str(day): one for (table, day), one in found.items() if table == TABLE}

    def rows(self) -> list[dict[str, Any]]:
        return self.rows_of(MESSAGE_EVENTS, order_by=["at"])


TABLE = MESSAGE_EVENTS.name


def test_each_event_is_a_row_with_the_run_of_its_message(lab: Callable[..., Lab]) -> None:
    place = lab()
    run = place.send(MONDAY)
    other = place.send(MONDAY + HOUR, "bob")
    place.world.add_email_event("delivered", run, at=MONDAY + HOUR)
    for hours in (2, 30):
        place.world.add_email_event("opened", run, at=MONDAY + hours * HOUR)
    place.world.add_email_event("link_clicked", run, at=MONDAY + 31 * HOUR, link_url="https://x.io")
    place.world.add_email_event("bounced", other, at=MONDAY + 2 * DAY)
    metadata = place.load(*WEEK)
    rows = place.rows()
    assert [row["event"] for row in rows if row["invocation_id"] == run] == [
        "sent",
        "delivered",
        "opened",
        "opened",
        "link_clicked",
    ]
    assert [row["event"] for row in rows if row["invocation_id"] == other] == ["sent", "bounced"]
    assert {row["match"] for row in rows} == {"exact"}
    assert {row["workflow_name"] for row in rows} == {"Welcome"}
    assert metadata["2026-11-18"]["posthog/email_bounced"].value == 1
    place.load(*WEEK)
    assert len(place.rows()) == 7


def test_addresses_are_hashed_and_join_the_messages(lab: Callable[..., Lab]) -> None:
    place = lab()
    run = place.send(MONDAY)
    place.world.add_email_event("link_clicked", run, at=MONDAY + HOUR, link_url="https://x.io/ada")
    place.load("2026-11-16")
    for row in place.rows():
        assert row["recipient_hash"] == Recipients("hash", 1).hashed("ada@example.com")
        for name in ("recipient", "distinct_id", "subject", "link_url"):
            assert row[name] is None


@pytest.mark.parametrize(("policy", "match"), [("keep", "exact"), ("drop", None)])
def test_addresses_are_kept_or_dropped_as_chosen(
    lab: Callable[..., Lab], policy: str, match: str | None
) -> None:
    place = lab()
    place.send(MONDAY)
    place.load("2026-11-16", recipients=policy)
    (row,) = place.rows()
    kept = policy == "keep"
    assert row["recipient"] == ("ada@example.com" if kept else None)
    assert (row["subject"], row["distinct_id"]) == (("Hi", "ada") if kept else (None, None))
    assert (row["match"], row["recipient_hash"] is None) == (match, not kept)


def test_of_several_messages_the_one_sent_last_before_is_nearest(lab: Callable[..., Lab]) -> None:
    place = lab()
    first, second = place.send(MONDAY), place.send(MONDAY + 2 * DAY)
    place.world.add_email_event("opened", first, at=MONDAY + DAY)
    place.world.add_email_event("opened", first, at=MONDAY + 3 * DAY)
    place.load(*WEEK)
    opened = [row for row in place.rows() if row["event"] == "opened"]
    assert [(row["invocation_id"], row["match"]) for row in opened] == [
        (first, "exact"),
        (second, "nearest"),
    ]


def test_an_event_of_no_loaded_message_has_no_match(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.send(MONDAY)
    place.load("2026-11-16", messages=False)
    (row,) = place.rows()
    assert (row["match"], row["invocation_id"], row["event"]) == (None, None, "sent")


def test_an_event_that_is_stored_twice_is_one_row(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.send(MONDAY)
    place.world.events *= 2
    place.load("2026-11-16")
    assert len(place.rows()) == 1


def test_unsubscribing_names_no_workflow(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.world.add_events(
        [
            {
                "event": "$workflows_email_unsubscribed",
                "timestamp": MONDAY,
                "distinct_id": "ada@example.com",
                "properties": {
                    "$email": "ada@example.com",
                    "category": "$all",
                    "source": "one_click",
                },
            }
        ]
    )
    place.load("2026-11-16")
    (row,) = place.rows()
    assert (row["event"], row["workflow_id"], row["match"]) == ("unsubscribed", None, None)
    assert (row["category"], row["source"]) == ("$all", "one_click")
    assert row["recipient_hash"] == Recipients("hash", 1).hashed("ada@example.com")


def test_a_project_that_captures_none_says_so(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.mail.capture_events = False
    place.send(MONDAY)
    metadata = place.load("2026-11-16")
    assert place.rows() == []
    notes = metadata["2026-11-16"]["posthog/notes"].value
    assert "capture_workflows_engagement_events" in notes


def test_without_queries_the_table_stays_empty_with_a_sentence(lab: Callable[..., Lab]) -> None:
    place = lab(missing={"query"})
    place.send(MONDAY)
    metadata = place.load("2026-11-16")
    assert place.rows() == []
    assert "query" in str(metadata["2026-11-16"])
