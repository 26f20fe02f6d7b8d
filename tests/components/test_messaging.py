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
        ({}, MAIL),
        ({"lists": False}, MAIL - LISTS),
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
