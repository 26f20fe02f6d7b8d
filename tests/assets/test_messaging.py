"""Tables of messages: each run and step once, nobody's address unless it is wanted, one list's
fault its own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import build_messaging_assets, build_sent_messages_asset
from hog_dagster.assets._message_tables import (
    MESSAGE_CATEGORIES,
    OPT_OUTS,
    PERSONAL,
    SENDING_REPUTATION,
    SENT_MESSAGES,
    SUPPRESSIONS,
)
from hog_dagster.assets._recipients import Recipients
from tests.assets import kit
from tests.assets.kit import NOW, events_of

MONDAY = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-23")
LISTS = ("suppressions", "opt_outs", "message_categories", "sending_reputation")


class Lab(kit.Lab):
    """A sandbox, and loads of its tables."""

    def begin(self) -> None:
        self.options: dict[str, Any] = {}
        self.workflow = self.mailing("Welcome")

    def load(self, tables: Any, *days: str, success: bool = True) -> dict[Any, Any]:
        kept = {"recipients": self.options.get("recipients", "hash")}
        assets = [build_sent_messages_asset(DAYS, **kept), build_messaging_assets(**kept)]
        selection = [dg.AssetKey(["posthog", name]) for name in tables]
        result = self.materialize(assets, *days, selection=selection, raise_on_error=False)
        assert result.success is success
        return events_of(result)


# -- sent messages ---------------------------------------------------------------------------------


def test_each_message_is_a_row_of_the_day_it_was_sent_without_an_address(
    lab: Callable[..., Lab],
) -> None:
    place = lab()
    runs = [place.send(MONDAY + timedelta(days=n), f"p{n}") for n in range(3)]
    events = place.load(["sent_messages"], "2026-11-16", "2026-11-17", "2026-11-18")
    rows = place.rows_of(SENT_MESSAGES, order_by=["sent_at"])
    assert [row["invocation_id"] for row in rows] == runs
    for row in rows:
        assert (row["kind"], row["status"], row["batch_job_id"]) == ("email", "sent", "")
        assert row["recipient"] is row["subject"] is row["distinct_id"] is None
    assert rows[0]["recipient_hash"] == Recipients("hash", 1).hashed("P0@Example.com ")
    assert len({row["recipient_hash"] for row in rows}) == 3
    metadata = events["sent_messages", "2026-11-16"]
    assert metadata["dagster/partition_row_count"].value == 1
    assert metadata["posthog/emails"].value == 1


@pytest.mark.parametrize(("policy", "hashed", "address"), [("keep", True, True), ("drop", 0, 0)])
def test_addresses_are_kept_or_dropped_as_chosen(
    lab: Callable[..., Lab], policy: str, hashed: bool, address: bool
) -> None:
    place = lab()
    place.options["recipients"] = policy
    place.send(MONDAY)
    place.world.add_suppression("ada@example.com", last_bounce_diagnostic="550 ada@example.com")
    place.world.add_opt_out("ada@example.com")
    place.load(["sent_messages"], "2026-11-16")
    place.load(["suppressions", "opt_outs"])
    for table in (SENT_MESSAGES, SUPPRESSIONS, OPT_OUTS):
        (row,) = place.rows_of(table)
        assert (row["recipient_hash"] is not None) is bool(hashed)
        assert row["recipient"] == ("ada@example.com" if address else None)
    if address:
        assert place.rows_of(SENT_MESSAGES)[0]["subject"] == "Hi"
        assert "550" in place.rows_of(SUPPRESSIONS)[0]["last_bounce_diagnostic"]


def test_hashes_join_the_tables_of_a_project_and_not_those_of_another(
    lab: Callable[..., Lab],
) -> None:
    place = lab()
    place.send(MONDAY)
    place.world.add_suppression("ADA@example.com", last_bounce_diagnostic="550 ada@example.com")
    place.world.add_opt_out("Ada@Example.com")
    place.load(["sent_messages"], "2026-11-16")
    place.load(["suppressions", "opt_outs"])
    tables = (SENT_MESSAGES, SUPPRESSIONS, OPT_OUTS)
    (one,) = {place.rows_of(table)[0]["recipient_hash"] for table in tables}
    assert place.rows_of(SUPPRESSIONS)[0]["last_bounce_diagnostic"] is None
    assert Recipients("hash", 2).hashed("ada@example.com") != one
    assert "ada" not in one


def test_a_resend_on_another_day_is_one_row_of_that_day_whatever_is_loaded_first(
    lab: Callable[..., Lab],
) -> None:
    place = lab()
    run = place.send(MONDAY)
    other = place.send(MONDAY, "bob")
    place.load(["sent_messages"], "2026-11-16")
    place.world.add_rerun(run, MONDAY + timedelta(days=2))
    place.load(["sent_messages"], "2026-11-16")
    assert len(place.rows_of(SENT_MESSAGES)) == 2
    for days in (("2026-11-18",), ("2026-11-16",), ("2026-11-16", "2026-11-18")):
        events = place.load(["sent_messages"], *days)
        rows = {row["invocation_id"]: row for row in place.rows_of(SENT_MESSAGES)}
        assert len(rows) == len(place.rows_of(SENT_MESSAGES)) == 2
        assert rows[run]["sent_at"].day == 18
        assert rows[other]["sent_at"].day == 16
    assert events["sent_messages", "2026-11-16"]["dagster/partition_row_count"].value == 1


def test_a_workflow_that_cannot_be_read_keeps_its_rows_and_costs_no_other_one(
    lab: Callable[..., Lab],
) -> None:
    place = lab()
    other = place.mailing("Other")
    place.send(MONDAY)
    place.send(MONDAY, "bob", other)
    place.load(["sent_messages"], "2026-11-16")
    place.send(MONDAY + timedelta(hours=1), "cleo")
    place.sandbox.fail(
        "GET",
        f"*{other}/assets*",
        status=403,
        times=20,
        body={
            "type": "authentication_error",
            "code": "permission_denied",
            "detail": "No.",
            "attr": None,
        },
    )
    events = place.load(["sent_messages"], "2026-11-16")
    assert len(place.rows_of(SENT_MESSAGES)) == 3
    assert any("gap" in key for key in events["sent_messages", "2026-11-16"])


def test_what_is_missing_names_no_scope_that_would_not_help(lab: Callable[..., Lab]) -> None:
    place = lab(shuffle_ties=True)
    place.mail.assets_build = "june"
    for _ in range(501):
        place.send(MONDAY)
    dense = place.load(["sent_messages"], "2026-11-16")["sent_messages", "2026-11-16"]
    assert dense["posthog/gaps"].value == 1
    (gap,) = dense["gaps"].records
    assert "September 2026" in gap.data["remedy"]
    assert "query:read" not in gap.data["remedy"]


def test_a_server_of_2025_leaves_the_tables_empty_with_a_sentence_each(
    lab: Callable[..., Lab],
) -> None:
    place = lab("docs")
    place.load(["sent_messages"], "2026-11-16")
    events = place.load(LISTS)
    for table in (SENT_MESSAGES, SUPPRESSIONS, OPT_OUTS, MESSAGE_CATEGORIES, SENDING_REPUTATION):
        assert place.rows_of(table) == []
    for name in LISTS:
        assert "Not read" in events[name, None]["posthog/notes"].value


# -- lists and reputation --------------------------------------------------------------------------


def test_opt_outs_are_a_row_per_recipient_and_category(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.world.add_category("news", "The news")
    place.world.add_opt_out("ada@example.com")
    place.world.add_opt_out("ada@example.com", "news")
    place.world.add_opt_out("bob@example.com", "news")
    place.world.add_opt_out("cleo@example.com")
    place.world.forget_opt_out("cleo@example.com")
    place.load(LISTS)
    rows = place.rows_of(OPT_OUTS)
    assert sorted(row["category_key"] for row in rows) == ["$all", "news", "news"]
    (category,) = place.rows_of(MESSAGE_CATEGORIES)
    assert (category["key"], category["name"], category["category_type"]) == (
        "news",
        "The news",
        "marketing",
    )
    place.world.forget_opt_out("ada@example.com", "news")
    place.load(["opt_outs"])
    assert len(place.rows_of(OPT_OUTS)) == 1


def test_without_hogql_opt_outs_come_by_rest_and_say_so(lab: Callable[..., Lab]) -> None:
    place = lab(missing={"hogql_system"})
    place.mail.categories_open = True
    place.world.add_category("news")
    place.world.add_opt_out("ada@example.com")
    place.world.add_opt_out("bob@example.com", "news")
    events = place.load(["opt_outs"])
    assert sorted(row["category_key"] for row in place.rows_of(OPT_OUTS)) == ["$all", "news"]
    assert "Read by REST" in events["opt_outs", None]["posthog/notes"].value


def test_a_list_that_the_key_may_not_read_stays_as_it_was_and_others_are_loaded(
    lab: Callable[..., Lab],
) -> None:
    place = lab()
    place.world.add_suppression("ada@example.com")
    place.load(["suppressions"])
    place.world.add_suppression("bob@example.com")
    place.world.add_opt_out("bob@example.com")
    place.sandbox.fail(
        "GET",
        "*messaging_suppressions*",
        status=403,
        body={
            "type": "authentication_error",
            "code": "permission_denied",
            "detail": "API key missing required scope 'person:read'",
            "attr": None,
        },
    )
    events = place.load(["suppressions", "opt_outs"])
    assert len(place.rows_of(SUPPRESSIONS)) == len(place.rows_of(OPT_OUTS)) == 1
    assert "person:read" in events["suppressions", None]["posthog/notes"].value


def test_reputation_is_a_row_a_day_and_the_newest_reading_of_it(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.mail.tier, place.mail.tiers = 3, "enforce"
    place.world.emit_metric(place.workflow, NOW, "email_sent", "email", 200)
    place.world.emit_metric(place.workflow, NOW, "email_bounced_hard", "email", 5)
    for _ in range(2):
        place.load(["sending_reputation"])
    place.world.add_suspension("complaints")
    place.load(["sending_reputation"])
    place.sandbox.clock.advance(timedelta(days=1).total_seconds())
    place.load(["sending_reputation"])
    first, second = place.rows_of(SENDING_REPUTATION, order_by=["day"])
    assert (first["day"].day, second["day"].day) == (21, 22)
    assert (first["emails_sent"], first["bounce_rate"]) == (200, 0.025)
    assert (first["suspended"], first["suspension_reason"]) == (True, "complaints")
    assert (first["tier"], first["tier_enforced"]) == (0, True)
    assert "Welcome" in first["workflows"]


def test_each_table_says_what_it_holds_of_people() -> None:
    specs = [*build_sent_messages_asset(DAYS).specs, *build_messaging_assets().specs]
    for spec in specs:
        said = spec.metadata["posthog/personal_data"]
        assert said == PERSONAL[spec.key.path[-1]]
        assert said == "None." or said in (spec.description or "")
        assert spec.metadata["posthog/recipients"] == "hash"
    with pytest.raises(ValueError, match="lists=True or reputation=True"):
        build_messaging_assets(lists=False, reputation=False)
