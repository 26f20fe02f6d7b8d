"""By REST, counts of steps that are gone never stand in the workflow's own numbers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hog_dagster.assets._log_sources import Source, WorkflowLogSource
from hog_dagster.assets._metric_rows import metric_rows
from hog_dagster.assets._report import Report
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Window

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = Window.day(NOON.date())
BEFORE, AFTER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 20, 18, tzinfo=UTC)


def read(changed_at: datetime, loaded: tuple[str, ...] = ()) -> tuple[dict[Any, int], Report]:
    """Counts by level, step and metric of a workflow one of whose steps is gone."""
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        emit = sandbox.world.emit_metric
        emit(workflow, NOON, "succeeded", "success", 10)
        emit(workflow, NOON, "succeeded", "success", 10, instance_id="kept")
        emit(workflow, NOON, "succeeded", "success", 9, instance_id="gone")
        emit(workflow, NOON, "email_sent", "email", 9, instance_id="gone")
        report = Report()
        with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
            source = Source(workflow, ("kept",), changed_at=changed_at)
            rows = metric_rows(client, WorkflowLogSource(), source, DAY, loaded, report)
    found = {(row["level"], row["action_id"], row["metric"]): row["value"] for row in rows}
    return found, report


def test_a_removed_step_that_landed_earlier_keeps_its_level():
    found, report = read(AFTER, loaded=("gone",))
    assert found["run", "", "succeeded"] == 10
    assert found["action", "gone", "succeeded"] == 9
    assert found["action", "gone", "email_sent"] == 9
    assert not report.notes


def test_what_cannot_be_told_apart_has_the_level_removed_and_a_note():
    found, report = read(AFTER)
    assert not [key for key in found if key[0] == "run"]
    assert found["removed", "", "succeeded"] == 19
    assert found["removed", "", "email_sent"] == 9
    assert "`removed`" in report.notes[0]


@pytest.mark.parametrize("loaded", [(), ("gone",)])
def test_the_whole_is_what_posthog_counts(loaded: tuple[str, ...]):
    found, _ = read(AFTER, loaded)
    assert sum(found.values()) == 38


def test_counts_of_opened_mails_of_a_step_gone_before_are_not_the_runs():
    found, _ = read(BEFORE)
    assert found["removed", "", "email_sent"] == 9
