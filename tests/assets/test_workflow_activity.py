"""The table `workflow_activity`: each change once, who made it where that may be loaded."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hog_dagster.assets import build_workflow_activity_asset
from hog_dagster.assets._message_tables import WORKFLOW_ACTIVITY
from hog_dagster.assets._recipients import Recipients
from hog_dagster.lineage import WorkflowSelection
from tests.assets import kit

CHANGES = [
    {"type": "HogFlow", "action": "changed", "field": "name", "before": "A", "after": "B"},
    {"type": "HogFlow", "action": "changed", "field": "inputs", "after": {"token": "phx_secret"}},
]


class Lab(kit.Lab):
    """A sandbox with two workflows, and loads of the table."""

    def begin(self) -> None:
        self.workflow = self.world.add_workflow("Welcome")["id"]
        self.other = self.world.add_workflow("Other")["id"]

    def change(self, workflow: str, activity: str = "updated", **fields: Any) -> None:
        self.world.add_activity("HogFlow", workflow, activity, "Welcome", CHANGES, **fields)
        self.sandbox.clock.advance(60)

    def load(self, **options: Any) -> dict[str, Any]:
        return self.metadata(build_workflow_activity_asset(**options))

    def rows(self) -> list[dict[str, Any]]:
        return self.rows_of(WORKFLOW_ACTIVITY, order_by=["at"])


def test_each_change_is_a_row_once_and_stays_when_posthog_shows_it_no_more(
    lab: Callable[..., Lab],
) -> None:
    place = lab()
    user = place.world.user
    place.change(place.workflow, "created", user=user)
    place.change(place.workflow, user=user)
    place.world.add_activity("Insight", 1, "updated")
    for _ in range(2):
        place.load()
    created, updated = place.rows()
    assert (created["activity"], updated["activity"]) == ("created", "updated")
    assert json.loads(updated["changed"]) == ["inputs", "name"]
    assert updated["user_hash"] == Recipients("hash", 1).hashed(user.email)
    for name in ("user_email", "user_name", "changes"):
        assert updated[name] is None
    for entry in place.world.activity:  # The plan lets nobody look back so far.
        entry.scope = "Gone"
    place.sandbox.clock.advance(timedelta(days=1).total_seconds())
    place.change(place.workflow)
    place.load()
    third = place.rows()[2]
    assert (len(place.rows()), third["user_hash"], third["is_system"]) == (3, None, True)


def test_who_and_what_are_kept_or_dropped_as_chosen(lab: Callable[..., Lab]) -> None:
    place = lab()
    user = place.world.user
    place.change(place.workflow, user=user)
    place.load(recipients="keep")
    (row,) = place.rows()
    assert row["user_email"] == user.email
    assert user.first_name in row["user_name"]
    assert '"after":{"name":"B"}' in row["changes"]
    assert "phx_secret" not in row["changes"]
    place.load(recipients="drop")
    (row,) = place.rows()
    assert [row[name] for name in ("user_hash", "user_email", "user_name", "changes")] == [None] * 4


def test_only_chosen_workflows_and_deleted_ones_have_rows(lab: Callable[..., Lab]) -> None:
    place = lab()
    for workflow in (place.workflow, place.other, "01a1fbfc-5ff0-7000-8f3b-5a1c0f4e7d21"):
        place.change(workflow)
    place.load(selection=WorkflowSelection(names=("Welcome",)))
    assert [row["workflow_id"] for row in place.rows()] == [
        place.workflow,
        "01a1fbfc-5ff0-7000-8f3b-5a1c0f4e7d21",
    ]


def test_without_the_scope_what_changed_is_known_and_who_is_not(lab: Callable[..., Lab]) -> None:
    place = lab(missing={"activity_log"})
    place.change(place.workflow, user=place.world.user)
    metadata = place.load()
    (row,) = place.rows()
    assert (row["activity"], row["user_hash"]) == ("updated", None)
    assert "Who made the changes is not known" in metadata["posthog/notes"]
    assert len(place.rows()) == 1


def test_a_server_without_any_of_it_costs_a_sentence(lab: Callable[..., Lab]) -> None:
    place = lab("docs")
    metadata = place.load()
    assert place.rows() == []
    assert "what was loaded earlier stays" in metadata["posthog/notes"]
