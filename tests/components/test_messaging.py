"""The field `messaging`: no table of messages until it is given, and those that are asked for."""

from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import AssetOptions
from tests.components.conftest import loaded

LISTS = {"suppressions", "opt_outs", "message_categories"}
OWN = {
    "sent_messages": "sent_messages",
    "reputation": "sending_reputation",
    "batch_results": "batch_results",
    "events": "message_events",
    "activity": "workflow_activity",
}
MAIL = LISTS | set(OWN.values())
OFF: dict[str, Any] = dict.fromkeys([*OWN, "lists"], False)


def tables_of(attributes: dict[str, Any], **more: Any) -> dict[str, dg.AssetSpec]:
    with loaded({**attributes, **more}) as (_, definitions):
        specs = definitions.resolve_all_asset_specs()
    names = {AssetOptions().key(name): name for name in MAIL}
    # What a table stands downstream of is there as an asset without anything.
    made = [spec for spec in specs if "posthog/personal_data" in spec.metadata]
    return {names[spec.key]: spec for spec in made if spec.key in names}


@pytest.mark.parametrize(
    ("given", "there"),
    [
        (None, set()),
        ({}, MAIL - {"message_events"}),
        ({"lists": False, "events": True}, MAIL - LISTS),
        (OFF, set()),
        *[({**OFF, field: True}, {table}) for field, table in OWN.items()],
    ],
)
def test_the_tables_that_are_asked_for_are_there(
    attributes: dict[str, Any], given: Any, there: set[str]
) -> None:
    found = tables_of(attributes, messaging=given)
    assert set(found) == there
    assert {spec.metadata.get("posthog/recipients", "hash") for spec in found.values()} <= {"hash"}
    assert all(spec.metadata["posthog/personal_data"] for spec in found.values())
    for table in {"sent_messages", "message_events"} & set(found):
        assert found[table].partitions_def is not None


def test_what_becomes_of_addresses_is_on_each_table(attributes: dict[str, Any]) -> None:
    found = tables_of(attributes, messaging={"recipients": "drop"})
    named = {spec.metadata.get("posthog/recipients") for spec in found.values()}
    assert named == {"drop", None}
    assert found["batch_results"].metadata["posthog/personal_data"] == "None."


def checks_of(attributes: dict[str, Any], **more: Any) -> set[tuple[str, str]]:
    with loaded({**attributes, **more}) as (_, definitions):
        keys = [key for one in definitions.asset_checks or () for key in one.check_keys]  # type: ignore[union-attr]
    names = {AssetOptions().key(name): name for name in MAIL}
    return {(names[key.asset_key], key.name) for key in keys if key.asset_key in names}


def test_their_checks_come_with_them_and_go_with_their_rule(attributes: dict[str, Any]) -> None:
    names = ("is_complete", "loads_before_it_expires")
    of_messages = {("sent_messages", name) for name in names}
    of_mail = {
        ("sending_reputation", name)
        for name in (
            "mail_goes_out",
            "mail_is_well_received",
            "mail_is_below_its_caps",
            "mail_does_not_wait",
        )
    }
    assert checks_of(attributes) == set()
    of_batches = {
        ("batch_results", name) for name in ("audiences_are_whole", "batches_reach_their_audience")
    }
    captured = ("sending_reputation", "email_events_are_captured")
    everything = of_messages | of_mail | of_batches
    assert checks_of(attributes, messaging={}) == everything
    assert checks_of(attributes, messaging={"events": True}) == everything | {captured}
    assert checks_of(attributes, messaging={**OFF, "sent_messages": True}) == of_messages
    assert checks_of(attributes, messaging={**OFF, "batch_results": True}) == of_batches
    without = {"deliverability": None, "retention": None, "completeness": None}
    assert checks_of(attributes, messaging={}, checks=without) == set()
    events = {"deliverability": {"events": False}}
    assert captured not in checks_of(attributes, messaging={"events": True}, checks=events)


def test_thresholds_of_deliverability_are_those_of_the_yaml(attributes: dict[str, Any]) -> None:
    rules = {"deliverability": {"max_bounce_rate": 0.05, "severity": "error"}}
    with loaded({**attributes, "messaging": {}, "checks": rules}) as (_, definitions):
        specs = [spec for one in definitions.asset_checks or () for spec in one.check_specs]  # type: ignore[union-attr]
    (said,) = [spec.description for spec in specs if spec.name == "mail_is_well_received"]
    assert "at most 5.00% of the e-mails bounced" in str(said)
