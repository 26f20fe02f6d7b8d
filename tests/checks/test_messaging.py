"""E-mail that is suspended, paused, badly received or near its cap is named."""

import json
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets._message_tables import SENDING_REPUTATION
from hog_dagster.policies import Deliverability
from tests.checks.conftest import Lab, checks_of, day, number, rows_of

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CHECKS = ("mail_goes_out", "mail_is_well_received", "mail_is_below_its_caps")


def reading(ago: int = 0, **columns: Any) -> dict[str, Any]:
    """What was read of a project that does well, some days ago."""
    midnight = NOW.replace(day=NOW.day - ago, hour=0, minute=0)
    well = {
        "emails_sent": 5_000,
        "bounce_rate": 0.02,
        "complaint_rate": 0.001,
        "suspended": False,
        "tier": 1,
        "tier_enforced": True,
        "emails_per_hour": 200,
        "emails_per_day": 1_000,
        "emails_sent_last_hour": 180,
        "emails_sent_last_day": 900,
        "workflows": "[]",
    }
    return {"day": midnight, "read_at": midnight.replace(hour=9), **well, **columns}


def of_workflow(**columns: Any) -> str:
    return json.dumps([{"hog_flow_id": "w", "hog_flow_name": "Welcome", **columns}])


def run_check(lab: Lab, name: str, **rules: Any) -> dg.AssetCheckEvaluation:
    checks = checks_of(deliverability=Deliverability(**rules))
    return lab.check(checks, name, "sending_reputation")


@pytest.mark.parametrize("name", CHECKS)
def test_a_project_at_its_limits_passes_and_so_does_one_of_which_nothing_was_loaded(
    lab: Lab, name: str
) -> None:
    assert run_check(lab, name).description == "Nothing has been loaded yet."
    lab.put(SENDING_REPUTATION, [reading()])
    found = run_check(lab, name)
    assert found.passed
    assert "Read at 2026-11-21 09:00 UTC." in str(found.description)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"suspended": True, "suspension_reason": "complaints"}, "(complaints)"),
        ({"provider_status": "DISABLED"}, "mail provider has paused"),
        (
            {"workflows": of_workflow(email_sending_paused=True)},
            "The e-mail of 1 workflows is paused",
        ),
    ],
)
def test_mail_that_does_not_go_out_is_named_until_a_newer_reading_says_otherwise(
    lab: Lab, columns: dict[str, Any], says: str
) -> None:
    lab.put(SENDING_REPUTATION, [reading(1), reading(**columns)])
    found = run_check(lab, "mail_goes_out")
    assert not found.passed
    assert says in str(found.description)
    lab.put(SENDING_REPUTATION, [reading(1, **columns), reading()])
    assert run_check(lab, "mail_goes_out").passed


def test_bounces_and_complaints_above_posthogs_limits_are_named(lab: Lab) -> None:
    worse = of_workflow(emails_sent=900, bounce_rate=0.03, complaint_rate=0.002)
    lab.put(SENDING_REPUTATION, [reading(complaint_rate=0.0011, workflows=worse)])
    found = run_check(lab, "mail_is_well_received")
    assert not found.passed
    assert "above the threshold of complaints" in str(found.description)
    (row,) = rows_of(found)
    assert (row["workflow"], row["bounce_rate"]) == ("Welcome", 0.03)
    assert number(found, "complaint_rate") == 0.0011
    wide = {"max_bounce_rate": 0.05, "max_complaint_rate": 0.01}
    assert run_check(lab, "mail_is_well_received", **wide).passed
    many = {"min_emails_bounces": 9_000, "min_emails_complaints": 9_000}
    assert run_check(lab, "mail_is_well_received", **many).passed


def test_mail_near_a_cap_is_named_where_the_tier_holds(lab: Lab) -> None:
    lab.put(SENDING_REPUTATION, [reading(emails_sent_last_day=950)])
    found = run_check(lab, "mail_is_below_its_caps")
    assert not found.passed
    assert "950 of 1,000 e-mails of the last day" in str(found.description)
    assert number(found, "share_of_day") == 0.95
    assert run_check(lab, "mail_is_below_its_caps", max_cap_share=0.95).passed
    lab.put(SENDING_REPUTATION, [reading(emails_sent_last_day=950, tier_enforced=False)])
    assert run_check(lab, "mail_is_below_its_caps").passed


def test_messages_that_expire_unread_are_named(lab: Lab) -> None:
    found = lab.check(checks_of(), "loads_before_it_expires", "sent_messages")
    assert not found.passed
    assert rows_of(found)[0]["partition"] == day(30)
    assert f"hog-dagster backfill --from {day(30)} --to {day(23)} --tables sent_messages" in str(
        found.description
    )


def test_a_response_that_says_nothing_of_a_suspension_is_not_taken_for_none(lab: Lab) -> None:
    lab.put(SENDING_REPUTATION, [reading(suspended=None)])
    found = lab.check(checks_of(), "mail_goes_out", "sending_reputation")
    assert found.passed
    assert "PostHog does not show whether the project's is suspended" in str(found.description)
