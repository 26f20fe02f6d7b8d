"""E-mail that waits for the sending tier is counted, and events that are not captured are named."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import SENDING_REPUTATION, WORKFLOW_BATCH_JOBS, WORKFLOWS
from hog_dagster.checks import CheckRules, build_posthog_checks
from hog_dagster.policies import Deliverability, QueryTable
from hog_dagster.sandbox.api import Key
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.world import step
from tests.checks.conftest import DAYS, Lab, checks_of, number, rows_of

PEOPLE = 53
WAITS, CAPTURED = "mail_does_not_wait", "email_events_are_captured"


def run_check(lab: Lab, name: str, **rules: Any) -> dg.AssetCheckEvaluation:
    checks = checks_of(deliverability=Deliverability(events=True, **rules))
    return lab.check(checks, name, "sending_reputation")


def letter(lab: Lab, trigger: str = "event") -> str:
    email = {"from": "team@example.com", "to": "{person.properties.email}", "subject": "Hi"}
    config = {"template_id": "template-email", "inputs": {"email": {"value": email}}}
    graph = [step("mail", "function_email", config)]
    return lab.sandbox.world.add_workflow("Letter", trigger=trigger, actions=graph)["id"]


def with_key(lab: Lab, *scopes: str) -> None:
    """Go on with a key of these scopes."""
    key = Key(value="phx_narrow", name="narrow", scopes=scopes, teams=())
    lab.sandbox.site.keys = {**lab.sandbox.site.keys, key.value: key}
    lab.api_key = key.value


def people(lab: Lab) -> None:
    for n in range(PEOPLE):
        lab.sandbox.world.add_person(f"p{n}", email=f"p{n}@example.com")


def advance(lab: Lab, seconds: float) -> None:
    lab.sandbox.clock.advance(seconds)
    settle(lab.sandbox.world)


@pytest.fixture
def capped(lab: Lab) -> Lab:
    """A project at tier 0, which sends 50 e-mails an hour, and 53 people."""
    lab.sandbox.clock.freeze(datetime.now(UTC))
    lab.sandbox.world.mail.tier, lab.sandbox.world.mail.tiers = 0, "enforce"
    people(lab)
    return lab


def test_mail_that_waits_for_the_tier_is_counted_until_it_has_gone_out(capped: Lab) -> None:
    workflow = letter(capped)
    for n in range(PEOPLE):
        capped.sandbox.world.start_run(workflow, distinct_id=f"p{n}")
    advance(capped, 5)
    found = run_check(capped, WAITS)
    assert not found.passed
    assert number(found, "waiting") == 3
    assert rows_of(found) == [{"of": workflow, "waiting": 3}]
    assert "3 runs wait for the caps of the sending tier; most of them: " in str(found.description)
    assert run_check(capped, WAITS, max_waiting=3).passed
    advance(capped, 3600)
    assert len(capped.sandbox.world.messages) == PEOPLE
    found = run_check(capped, WAITS)
    assert found.passed
    assert found.description == "No e-mail waits for the caps of the sending tier."


def test_mail_of_a_batch_that_waits_is_told_by_its_job(capped: Lab) -> None:
    workflow = letter(capped, "batch")
    client = capped.resources()["posthog"].client
    job = client.workflows.create_batch_job(workflow)
    advance(capped, 32)
    assert rows_of(run_check(capped, WAITS)) == [{"of": job.id, "waiting": 3}]
    row = {"id": job.id, "workflow_id": workflow}
    capped.put(WORKFLOW_BATCH_JOBS, [row])
    capped.put(WORKFLOWS, [{"id": workflow, "name": "Letter"}])
    named = {"of": f"Letter, batch job {job.id}", "waiting": 3}
    assert rows_of(run_check(capped, WAITS)) == [named]


def test_where_hogql_does_not_answer_the_check_says_so_and_passes(lab: Lab) -> None:
    with_key(lab, "hog_flow:read", "person:read")
    found = run_check(lab, WAITS)
    assert found.passed
    assert "shown by HogQL alone: The key lacks the scope query:read." in str(found.description)


# -- events ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [True, False])
def test_a_project_that_says_whether_it_captures_events_is_believed(lab: Lab, on: bool) -> None:
    lab.sandbox.world.mail.capture_events = on
    found = run_check(lab, CAPTURED)
    assert found.passed is on
    if not on:
        assert "capture_workflows_engagement_events" in str(found.description)
    assert len([one for one in lab.sandbox.requests if one.path.endswith("/query/")]) == 0


@pytest.mark.parametrize("hidden", ["by an older build", "from the key"])
def test_where_the_project_does_not_say_events_and_e_mails_are_counted(
    lab: Lab, hidden: str
) -> None:
    world, now = lab.sandbox.world, datetime.now(UTC)
    if hidden == "from the key":
        with_key(lab, "hog_flow:read", "query:read")
        world.mail.capture_events = True
    else:
        world.mail.capture_events = None
    lab.put(SENDING_REPUTATION, [{"day": now, "read_at": now}])
    found = run_check(lab, CAPTURED)
    assert found.passed
    assert "no e-mail of the last 30 days is known" in str(found.description)
    lab.put(SENDING_REPUTATION, [{"day": now, "read_at": now, "emails_sent": 40}])
    found = run_check(lab, CAPTURED)
    assert not found.passed
    assert "40 e-mails were sent in 30 days, and none has an event" in str(found.description)
    event = {"event": "$workflows_email_sent", "timestamp": now, "distinct_id": "u"}
    world.add_events([event])
    found = run_check(lab, CAPTURED)
    assert found.passed
    assert number(found, "events") == 1


def test_events_are_checked_where_a_table_reads_them_or_it_is_asked_for() -> None:
    def there(tables: list[str], hogql: str = "SELECT 1 AS n", **rules: Any) -> bool:
        checks = build_posthog_checks(
            DAYS,
            tables=["sending_reputation", *tables],
            rules=CheckRules(deliverability=Deliverability(**rules)),
            queries=[(QueryTable(name="opens", hogql=hogql, partitions="snapshot"), None)],
        )
        return any(CAPTURED in str(key) for check in checks for key in check.check_keys)

    opened = "SELECT uuid FROM events WHERE event = '$workflows_email_opened'"
    assert not there([])
    assert there(["message_events"])
    assert there([], opened)
    assert there([], events=True)
    assert not there(["message_events"], opened, events=False)
