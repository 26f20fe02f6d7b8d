"""Servers and keys that show no messages: a sentence for each table, and no other one is hurt."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    build_catalog_assets,
    build_messaging_assets,
    build_sent_messages_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
)
from hog_dagster.checks import build_posthog_checks
from hog_dagster.resources import PostHogResource
from tests.assets import kit
from tests.assets.kit import QUIET, events_of

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
DAY = "2026-11-20"
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-22")
#: Of messages, and the sentence that each is to have in its metadata.
LISTS = ("suppressions", "opt_outs", "message_categories", "sending_reputation")
OTHERS = ("workflows", "workflow_metrics", "workflow_logs")
#: What is said of an endpoint, or a table of HogQL, that a server lacks.
ABSENT = ("PostHog server has no", "does not have this endpoint", "Unknown table")
READ = ("hog_flow:read", "query:read")


class Lab(kit.Lab):
    """A project that sent ten e-mails, and everything that is loaded of it."""

    def begin(self) -> None:
        self.workflow = self.mailing("Welcome")
        for n in range(10):
            self.world.add_person(f"p{n}", email=f"p{n}@example.com")

    def send_all(self) -> None:
        world = self.sandbox.world
        for n in range(10):
            world.add_run(self.workflow, "succeeded", NINE, distinct_id=f"p{n}")
            world.emit_metric(self.workflow, NINE, "email_sent", "email", 1, instance_id="mail")
        world.add_suppression("p1@example.com")
        world.add_opt_out("p2@example.com")

    def load(self) -> dict[str, Any]:
        """Load all in one run, as a schedule would; the metadata of each table."""
        assets = [
            build_catalog_assets(),
            build_workflow_metrics_asset(DAYS),
            build_workflow_logs_asset(DAYS),
            build_sent_messages_asset(DAYS),
            build_messaging_assets(),
        ]
        result = self.materialize(assets, DAY)
        assert result.success
        return {table: metadata for (table, _), metadata in events_of(result).items()}

    def rows(self, name: str) -> int:
        with self.resources["warehouse"].open() as warehouse:
            (row,) = warehouse.query(f"SELECT count(*) AS n FROM posthog.{name}").to_pylist()
        return row["n"]

    def check(self, name: str) -> dg.AssetCheckEvaluation:
        key = dg.AssetCheckKey(dg.AssetKey(["posthog", "sent_messages"]), name)
        checks = build_posthog_checks(DAYS)
        defs = dg.Definitions(asset_checks=checks, resources=self.resources)
        job = defs.resolve_implicit_global_asset_job_def()
        (found,) = (
            job.get_subset(asset_selection=set(), asset_check_selection={key})
            .execute_in_process(instance=self.instance, run_config=QUIET)
            .get_asset_check_evaluations()
        )
        return found


Make = Callable[..., Lab]


@pytest.fixture
def project(lab: Make) -> Make:
    def make(generation: Any = "current", *, keeps: bool = True, **options: Any) -> Lab:
        made = lab(generation, **options)
        made.world.assets_captured = keeps
        made.send_all()
        return made

    return make


def notes(found: dict[str, Any], table: str) -> list[str]:
    """The sentences on what was not read; one each."""
    held = found[table].get("posthog/notes")
    return [] if held is None else [one for one in str(held.value).split("\n") if one.strip()]


def records(found: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    """The table of a check's metadata."""
    table = found.metadata["found"]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_all_is_there_where_the_server_and_the_key_show_it(project: Make) -> None:
    here = project()
    found = here.load()
    assert [here.rows(name) for name in ("sent_messages", "suppressions", "opt_outs")] == [10, 1, 1]
    assert {name: notes(found, name) for name in ("sent_messages", *LISTS)} == {
        name: [] for name in ("sent_messages", *LISTS)
    }
    assert here.check("is_complete").passed
    with here.resources["warehouse"].open() as warehouse:
        (row,) = warehouse.query(recipe()).to_pylist()
    assert (row["workflow_name"], row["messages"]) == ("Welcome", 1)


def recipe() -> str:
    """The SQL of the page on messages."""
    text = (Path(__file__).parents[2] / "docs" / "messages.md").read_text("utf-8")
    return text.split("```sql\n")[1].split("```")[0]


@pytest.mark.parametrize("generation", ["docs", "mid2026"])
def test_an_older_server_costs_a_sentence_a_table_and_no_other_table(
    project: Make, generation: str
) -> None:
    here = project(generation)
    found = here.load()
    for name in ("sent_messages", *LISTS):
        assert here.rows(name) == 0
        (said,) = notes(found, name)
        assert any(part in said for part in ABSENT), said
    for name in OTHERS:
        assert here.rows(name) > 0
        assert notes(found, name) == []
    complete = here.check("is_complete")
    assert complete.passed
    assert "This PostHog server has no assets/" in str(complete.description)


def test_with_its_switches_off_lists_are_empty_and_the_check_says_that_no_message_is_kept(
    project: Make,
) -> None:
    """The server answers, and shows nothing: only what was counted elsewhere tells."""
    here = project(keeps=False)
    here.mail.suppressions.clear()
    here.mail.preferences.clear()
    here.mail.opt_outs_open = here.mail.allowance_shown = here.mail.pauses_shown = False
    found = here.load()
    for name in ("sent_messages", "suppressions", "opt_outs"):
        assert here.rows(name) == 0
    assert here.rows("sending_reputation") == 1
    complete = here.check("is_complete")
    assert not complete.passed
    assert "counts 10 e-mails of 1 workflows and lists no message" in str(complete.description)
    (row,) = records(complete)
    assert (row["of"], row["emails"]) == ("Welcome", 10)
    for name in OTHERS:
        assert here.rows(name) > 0
        assert notes(found, name) == []


def test_a_key_without_person_read_costs_two_tables_a_sentence_each(project: Make) -> None:
    here = project(keys={"phx_narrow": list(READ)})
    found = here.load()
    for name in ("sent_messages", "suppressions"):
        assert here.rows(name) == 0
        (said,) = notes(found, name)
        assert "person:read" in said
    assert here.rows("opt_outs") == here.rows("sending_reputation") == 1
    for name in (*OTHERS, "opt_outs", "message_categories", "sending_reputation"):
        assert notes(found, name) == []
    complete = here.check("is_complete")
    assert not complete.passed
    (row,) = records(complete)
    assert "Give the key the scope person:read, then load" in row["remedy"]


def test_what_was_loaded_stays_when_the_key_loses_person_read(project: Make) -> None:
    here = project(keys={"phx_wide": ["*"], "phx_narrow": list(READ)})
    here.load()
    given = here.resources["posthog"]
    here.resources["posthog"] = PostHogResource(
        host=given.host, api_key="phx_narrow", project_id=given.project_id
    )
    found = here.load()
    assert (here.rows("sent_messages"), here.rows("suppressions")) == (10, 1)
    assert "what was loaded earlier stays" in notes(found, "sent_messages")[0]
