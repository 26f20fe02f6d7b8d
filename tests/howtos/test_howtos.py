"""Each how-to does what it says: its blocks are carried out, and what they promise is there."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.sandbox.world import step
from tests.alerts.kit import hook
from tests.howtos.kit import Walk, blocks

MAIL = {"from": {"email": "team@example.com"}, "to": "{person.properties.email}", "subject": "Hi"}
HOUR = timedelta(hours=1)
#: The component, for pages that do not write one.
YAML = """\
type: hog_dagster.PostHogProjectComponent
attributes:
  host: "{{ env.POSTHOG_HOST }}"
  api_key: "{{ env.POSTHOG_API_KEY }}"
  project_id: "{{ env.POSTHOG_PROJECT_ID }}"
  warehouse:
    duckdb: warehouse.duckdb
  partitions:
    start_date: "2026-09-01"
"""
Walks = Callable[..., Walk]


def mail(id: str = "mail") -> dict[str, Any]:
    inputs = {"email": {"value": MAIL}}
    return step(id, "function_email", {"template_id": "template-email", "inputs": inputs}, "Say hi")


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def fail(walk: Walk, workflow: str, number: int, begin: datetime, **fields: Any) -> list[str]:
    walk.sandbox.world.add_person("ada", email="ada@example.com")
    given = {"distinct_id": "ada", "fails_at": "mail", **fields}
    return [
        walk.sandbox.world.add_run(
            workflow, "failed", begin + n * timedelta(minutes=1), **given
        ).invocation_id
        for n in range(number)
    ]


@contextmanager
def passing(walk: Walk) -> Iterator[None]:
    """PostHog's time passes a minute in each tenth of a second, so that batch jobs end."""
    over = threading.Event()

    def move() -> None:
        while not over.wait(0.1):
            walk.sandbox.clock.advance(60)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def workflows(walk: Walk) -> list[str]:
    """The workflows that are assets, without the part of the id that ends their keys."""
    of = "posthog/workflow/"
    return sorted(key.removeprefix(of)[:-5] for key in walk.assets() if key.startswith(of))


@pytest.mark.integration
def test_why_emails_failed(walk: Walks) -> None:
    on = walk()
    world = on.sandbox.world
    trial = world.add_workflow("Trial ending", actions=[mail()], created_at=at(1))["id"]
    news = world.add_workflow("Newsletter", actions=[mail()], created_at=at(1))["id"]
    why = {"error_kind": "timeout", "error_message": "SMTP server did not respond"}
    fail(on, trial, 7, at(29), **why)
    fail(on, news, 2, at(29), error_kind="http_4xx", error_message="550 mailbox unavailable")
    fail(on, trial, 4, at(28), **why)  # the day before
    for workflow, failed in ((trial, 7), (news, 2)):
        world.emit_metric(workflow, at(29), "email_failed", "email", failed, instance_id="mail")
        world.emit_metric(workflow, at(29), "email_sent", "email", 20, instance_id="mail")
    on.write_yaml(YAML)
    found = [on.rows for block in on.page("howto/why-emails-failed") if block.language == "sql"]
    by_error, by_step, lines = found
    assert by_step == [
        ("Trial ending", "Say hi", 20, 7, None),
        ("Newsletter", "Say hi", 20, 2, None),
    ]
    assert [row[:5] for row in by_error] == [
        ("Trial ending", "Say hi", "timeout", "SMTP server did not respond", 7),
        ("Newsletter", "Say hi", "http_4xx", by_error[1][3], 2),
    ]
    assert "mailbox unavailable" in by_error[1][3]
    assert [at(29) <= moment < at(29, 13) for moment in by_error[0][6:8]] == [True, True]
    assert by_error[0][8] in world.runs
    assert by_error[0][9].startswith(on.sandbox.url)
    assert len(lines) == 9
    assert "550 mailbox unavailable" in lines[0][2]


@pytest.mark.integration
def test_replay_what_an_outage_broke(walk: Walks) -> None:
    on = walk()
    world = on.sandbox.world
    world.rerun_lag = world.rerun_takes = 0.1
    crm = step("call", "function", {"template_id": "template-webhook", "inputs": {}}, "Tell CRM")
    trial = world.add_workflow("Trial ending", actions=[mail(), crm], created_at=at(1))["id"]
    welcome = world.add_workflow("Welcome new users", actions=[mail()], created_at=at(1))["id"]
    why = {"error_kind": "timeout", "error_message": "SMTP server did not respond"}
    due = fail(on, trial, 5, at(29, 14), **why)
    mailed = fail(on, trial, 3, at(29, 14), **{**why, "fails_at": "call"})
    other = fail(on, trial, 2, at(29, 14), error_kind="http_4xx", error_message="550 no mailbox")
    others = fail(on, welcome, 4, at(29, 14), **why)
    on.write_yaml(YAML)
    page = on.page("howto/replay-what-an-outage-broke")

    def said() -> str:
        assert on.done is not None
        return on.done.said

    next(page)
    assert "11 of 14 failed or blocked runs would run again" in said()
    assert "Nothing was sent." in said()
    next(page)
    assert "5 of 8 failed or blocked runs would run again" in said()
    assert on.sandbox.count("POST", "*/rerun/") == 0
    next(page)
    again = Counter(e.invocation_id for e in world.executions if e.cause == "rerun")
    assert again == dict.fromkeys(due, 1)
    assert not {*mailed, *other, *others} & {*again}
    sent = Counter(m.invocation_id for m in world.messages if m.action_id == "mail")
    assert max(sent.values()) == 1
    next(page)
    assert said().count("confirmed") >= 5
    on.carry_out(blocks("howto/replay-what-an-outage-broke")[2])  # the same command again
    assert Counter(e.invocation_id for e in world.executions if e.cause == "rerun") == again
    next(page)  # the YAML of the sensor
    defs = on.load()
    given = {name: (defs.resources or {})[name] for name in ("posthog", "ledger")}
    with dg.build_sensor_context(instance=on.instance, resources=given) as context:
        tick = defs.resolve_sensor_def("failed_runs_sensor").evaluate_tick(context)
    (request,) = tick.run_requests or []
    (config,) = [op["config"] for op in request.run_config["ops"].values()]
    assert config["dry_run"] is True
    refused = on.typed(
        *("replay", "--from", "2026-11-29T14:00Z", "--workflow", "Welcome new users"),
        **on.environment,
    )
    assert refused.code == 2
    assert "safety settings do not allow the workflow" in refused.err


@pytest.mark.integration
def test_rename_a_workflow(walk: Walks) -> None:
    on = walk()
    world = on.sandbox.world
    id = world.add_workflow("Trial ending", "batch", actions=[mail()], created_at=at(1))["id"]
    fail(on, id, 3, at(27))
    batch = "  batch_jobs:\n    - {workflow: Trial ending, cron: 0 9 1 * *}\n"
    on.write_yaml(YAML + batch)
    on.refresh()
    assert workflows(on) == ["trial_ending"]
    days = ("backfill", "--from", "2026-11-27", "--to", "2026-11-28", "--tables", "workflow_logs")
    assert on.typed(*days, **on.environment).code == 0
    world.workflows[id].name = "Trial reminder"
    fail(on, id, 2, at(28))
    assert on.typed(*days, "--again", **on.environment).code == 0
    before = on.ask("SELECT count(*) FROM posthog.workflow_logs")[0][0]
    for block in on.page("howto/rename-a-workflow"):
        if "hog-dagster check" in block.text:
            assert on.done is not None
            said = " ".join((on.done.out + on.done.err).split())  # lines are wrapped
            assert "Trial ending" in said
            assert "Trial reminder" in said
    (row,) = on.rows
    assert row[:2] == ("Trial reminder", before)
    assert [day.day for day in row[3:]] == [27, 28]
    assert workflows(on) == ["trial_reminder"]


@pytest.mark.integration
def test_delete_a_workflow(walk: Walks) -> None:
    on = walk()
    world = on.sandbox.world
    gone = world.add_workflow("Black Friday", actions=[mail()], created_at=at(1))["id"]
    kept = world.add_workflow("Welcome", actions=[mail()], created_at=at(1))["id"]
    fail(on, gone, 3, at(27))
    fail(on, kept, 2, at(27))
    on.write_yaml(YAML)
    on.refresh()
    days = ("backfill", "--from", "2026-11-27", "--to", "2026-11-28", "--tables", "workflow_logs")
    assert on.typed(*days, **on.environment).code == 0
    assert workflows(on) == ["black_friday", "welcome"]
    on.launch('key:"posthog/workflows"')
    before = on.ask("SELECT workflow_id, count(*) FROM posthog.workflow_logs GROUP BY 1 ORDER BY 1")
    del world.workflows[gone]
    page = on.page("howto/delete-a-workflow")
    next(page)
    next(page)
    lines = dict(before)
    assert on.rows == [("Black Friday", True, lines[gone]), ("Welcome", False, lines[kept])]
    next(page)
    after = on.ask("SELECT workflow_id, count(*) FROM posthog.workflow_logs GROUP BY 1 ORDER BY 1")
    assert after == before
    assert workflows(on) == ["welcome"]


@pytest.mark.integration
def test_rotate_the_key(walk: Walks) -> None:
    on = walk(now=None, keys={"phx_old": ["*"], "phx_new": ["*"], "phx_narrow": ["hog_flow:read"]})
    world = on.sandbox.world
    world.add_workflow("Trial ending", actions=[mail()], created_at=at(1))
    on.environment["POSTHOG_API_KEY"] = "phx_old"
    on.write_yaml(YAML)
    on.refresh()
    on.launch('key:"posthog/workflows"')
    page = on.page("howto/rotate-the-key")
    next(page)
    assert on.done is not None
    words = ("doctor", "--need", "hog_functions")
    narrow = on.typed(*words, **{**on.environment, "POSTHOG_API_KEY": "phx_narrow"})
    assert narrow.code == 1
    assert "hog_function:read" in narrow.out
    on.environment["POSTHOG_API_KEY"] = "phx_new"
    on.sandbox.site.keys = {  # type: ignore[misc]
        key: value for key, value in on.sandbox.site.keys.items() if key != "phx_old"
    }
    next(page)
    on.launch('key:"posthog/workflows"')
    old = on.typed("doctor", **{**on.environment, "POSTHOG_API_KEY": "phx_old"})
    assert old.code == 1


@pytest.mark.integration
def test_a_batch_job_after_a_dbt_model(walk: Walks) -> None:
    on = walk()
    world = on.sandbox.world
    trigger = {
        "type": "batch",
        "filters": {"properties": [{"key": "trial", "type": "person", "value": ["ending"]}]},
    }
    id = world.add_workflow("Trial ending", trigger, actions=[mail()], created_at=at(1))["id"]
    for name in ("ada", "bob"):
        world.add_person(name, email=f"{name}@example.com", trial="ending")
    world.add_person("eve", email="eve@example.com", trial="over")
    with passing(on):
        for _block in on.page("howto/batch-job-after-dbt"):
            pass
    (job,) = world.batch_jobs.values()
    assert job.workflow_id == id
    assert len(world.batch_sends) == 1
    assert on.done is not None
    assert "confirmed" in on.done.out
    on.launch('key:"posthog/send/trial_reminder"')  # a second click
    assert len(world.batch_jobs) == 1
    defs = on.load()
    condition = dg.evaluate_automation_conditions(defs=defs, instance=on.instance)
    wanted = dg.AssetKey(["posthog", "send", "trial_reminder"])
    assert condition.get_num_requested(wanted) == 0
    on.launch('key:"marts/trial_users"')
    later = dg.evaluate_automation_conditions(
        defs=defs, instance=on.instance, cursor=condition.cursor
    )
    assert later.get_num_requested(wanted) == 1
    keys = defs.resolve_asset_graph()
    assert keys.get(wanted).parent_keys == {dg.AssetKey(["marts", "trial_users"])}


@pytest.mark.integration
def test_insights_with_your_own_data(walk: Walks) -> None:
    on = walk()
    world = on.sandbox.world
    source = {
        "kind": "TrendsQuery",
        "series": [{"kind": "EventsNode", "event": "signed up", "name": "signed up"}],
        "interval": "day",
        "dateRange": {"date_from": "2026-11-24", "date_to": "2026-11-29"},
    }
    world.add_insight("Sign-ups by day", {"kind": "InsightVizNode", "source": source})
    world.add_insight("Visits")
    world.add_events(
        {"event": "signed up", "distinct_id": f"user {day} {n}", "timestamp": at(day)}
        for day in range(24, 30)
        for n in range(day - 22)
    )
    found = [
        on.rows for block in on.page("howto/insights-with-your-own-data") if block.language == "sql"
    ]
    trends, answer = found
    assert [row[3] for row in trends] == [2, 3, 4, 5, 6, 7]
    assert {row[0] for row in trends} == {"Sign-ups by day"}
    assert [(row[0].day, row[2], row[3]) for row in answer] == [
        (day, day - 22, round(120 / (day - 22), 2)) for day in range(24, 30)
    ]
    graph = on.load().resolve_asset_graph()
    assert (
        dg.AssetKey(["posthog", "insight_trends"])
        in graph.get(dg.AssetKey(["marts", "cost_per_signup"])).parent_keys
    )


@pytest.mark.integration
def test_an_alert_in_slack(walk: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    on = walk()
    world = on.sandbox.world
    flow = world.add_workflow("Trial ending", actions=[mail()], created_at=at(1))["id"]
    fail(on, flow, 30, at(29), error_message="SMTP server did not respond")
    with hook() as slack:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.url)
        on.environment["SLACK_WEBHOOK_URL"] = slack.url
        for _block in on.page("howto/alert-in-slack"):
            pass
        defs = on.load()
        sensor = defs.resolve_sensor_def("posthog_alerts")

        def tick() -> None:
            nonlocal cursor
            given = {"instance": on.instance, "cursor": cursor, "repository_def": repository}
            with dg.build_sensor_context(**given) as context:
                cursor = sensor.evaluate_tick(context).cursor

        cursor: str | None = None
        repository = defs.get_repository_def()
        tick()
        tick()
    texts = [text for text in slack.texts if "errors_are_few" in text]
    assert len(texts) == 1
    assert "SMTP server did not respond" in texts[0]
    assert "Trial ending" in texts[0]
