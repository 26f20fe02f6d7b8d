"""What hog functions do, on both server generations: tests, sends, reruns, drafts, logs, counts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.engine._settle import settle

NOBODY = "01900000-0000-0000-0000-000000000000"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY: dict[str, Any] = {"after": NOW - timedelta(days=1), "before": NOW}
EVENT = {"event": {"event": "order", "uuid": NOBODY, "distinct_id": "d1", "properties": {}}}

Pair = tuple[Sandbox, PostHogClient]
Start = Callable[..., Pair]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sandbox and a client on it."""
    with ExitStack() as stack:

        def begin(generation: str, **options: Any) -> Pair:
            sandbox = stack.enter_context(
                Sandbox(generation, populate=False, now=NOW, **options)  # type: ignore[arg-type]
            )
            client = PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False, max_wait=5)
            return sandbox, stack.enter_context(client)

        yield begin


@pytest.fixture(params=["docs", "current"])
def both(request: pytest.FixtureRequest, start: Start) -> Pair:
    """An empty project on a server of each generation."""
    return start(request.param)


@pytest.fixture
def docs(start: Start) -> Pair:
    return start("docs")


@pytest.fixture
def current(start: Start) -> Pair:
    return start("current")


def webhook(sandbox: Sandbox, **fields: Any) -> str:
    """A function that calls out, with a secret; its id."""
    schema = [
        {"key": "url", "type": "string", "required": True},
        {"key": "never_set", "type": "string"},
        {"key": "token", "type": "string", "secret": True, "required": True},
    ]
    inputs = {"url": {"value": "https://example.com/in"}, "token": {"value": "s3cr3t"}}
    chosen = {"inputs_schema": schema, "inputs": inputs, **fields}
    return sandbox.world.add_hog_function("CRM", **chosen)["id"]


def sends(sandbox: Sandbox) -> list[tuple[str, str]]:
    return [(send.kind, send.target) for send in sandbox.world.function_sends]


# -- test runs ------------------------------------------------------------------------------------


def test_a_stored_function_is_tested_with_calls_mocked(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    tested = client.hog_functions.test_invocation(id, globals=EVENT)
    assert tested.status == "success"
    assert "mocked" in tested.logs[0]["message"]
    assert sends(sandbox) == []
    body = sandbox.requests[-1].body
    assert body["mock_async_functions"] is True
    assert body["configuration"]["inputs"]["token"] == {"secret": True}
    assert "never_set" not in body["configuration"]["inputs"]


def test_a_test_calls_out_when_it_is_told_to(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    client.hog_functions.test_invocation(id, globals=EVENT, mock_async_functions=False)
    assert sends(sandbox) == [("test", "d1")]


def test_a_configuration_is_tested_in_the_place_of_the_stored_one(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    order = {"hog": "return event", "type": "transformation", "inputs_schema": [], "inputs": {}}
    tested = client.hog_functions.test_invocation("new", globals=EVENT, configuration=order)
    assert tested.result == EVENT["event"]
    broken = {"hog": "throw Error('no')", "inputs_schema": [], "inputs": {}}
    tested = client.hog_functions.test_invocation(id, globals=EVENT, configuration=broken)
    assert tested.status == "error"
    assert tested.errors
    only = {"filters": {"events": [{"id": "other", "type": "events"}]}, "hog": "return 1"}
    tested = client.hog_functions.test_invocation("new", globals=EVENT, configuration=only)
    assert tested.status == "skipped"


def test_a_stored_event_is_given_in_the_place_of_globals(both: Pair) -> None:
    sandbox, client = both
    event = {"event": "order", "uuid": NOBODY, "distinct_id": "d1", "properties": "{}"}
    tested = client.hog_functions.test_invocation(webhook(sandbox), clickhouse_event=event)
    assert tested.status == "success"


@pytest.mark.parametrize("template", ["native-webhook", "segment-actions-slack"])
def test_a_function_that_cannot_be_mocked_is_not_run_by_accident(both: Pair, template: str) -> None:
    sandbox, client = both
    configuration = {"template_id": template, "hog": "return 1", "inputs": {}}
    with pytest.raises(ValueError, match="runs it for real"):
        client.hog_functions.test_invocation("new", globals=EVENT, configuration=configuration)
    assert sandbox.requests == []


def test_a_test_without_an_event_is_not_sent(both: Pair) -> None:
    sandbox, client = both
    givens: list[dict[str, Any]] = [{}, {"globals": {"person": {}}}]
    for given in givens:
        with pytest.raises(ValueError, match="event"):
            client.hog_functions.test_invocation(NOBODY, **given)
    with pytest.raises(ValueError, match="not both"):
        client.hog_functions.test_invocation(
            NOBODY, globals=EVENT, use_draft=True, configuration={}
        )
    assert sandbox.requests == []


def test_a_test_that_posthog_refuses_says_why_in_either_shape(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    with pytest.raises(errors.InvalidRequest) as caught:
        client.hog_functions.test_invocation(id, globals={"event": "x"})
    assert caught.value.detail == (None if sandbox.generation == "docs" else "Missing event")
    schema = [{"key": "url", "type": "string", "required": True}]
    configuration = {"hog": "return 1", "inputs_schema": schema, "inputs": {}}
    with pytest.raises(errors.InvalidRequest) as caught:
        client.hog_functions.test_invocation("new", globals=EVENT, configuration=configuration)
    assert caught.value.attr == "configuration__inputs__url"
    assert caught.value.detail == "This field is required."


def test_a_test_is_sent_once_and_its_lost_answer_is_said_to_be_in_doubt(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    sandbox.fail("POST", "*/invocations/", cut="after")
    with pytest.raises(errors.OutcomeUnknown):
        client.hog_functions.test_invocation(id, globals=EVENT, mock_async_functions=False)
    assert sandbox.count("POST") == len(sends(sandbox)) == 1


# -- broadcast and rerun --------------------------------------------------------------------------


def test_a_broadcast_needs_an_explicit_word_and_is_sent_once(docs: Pair) -> None:
    sandbox, client = docs
    id = webhook(sandbox)
    for _ in range(2):
        sandbox.world.add_person()
    with pytest.raises(ValueError, match="once for every person"):
        client.hog_functions.broadcast(id)
    assert sandbox.requests == []
    assert client.hog_functions.broadcast(id, run_for_everyone=True).success
    assert [kind for kind, _ in sends(sandbox)] == ["broadcast", "broadcast"]
    sandbox.fail("POST", "*/broadcast/", status=500)
    with pytest.raises(errors.ServerError, match="may have happened"):
        client.hog_functions.broadcast(id, run_for_everyone=True)
    assert sandbox.count("POST", "*/broadcast/") == 2


def test_a_broadcast_of_a_disabled_function_is_refused(docs: Pair) -> None:
    sandbox, client = docs
    with pytest.raises(errors.InvalidRequest, match="function is disabled"):
        client.hog_functions.broadcast(webhook(sandbox, enabled=False), run_for_everyone=True)


def test_a_server_without_broadcast_says_what_to_use(current: Pair) -> None:
    sandbox, client = current
    with pytest.raises(errors.EndpointMissing, match="create_batch_job"):
        client.hog_functions.broadcast(webhook(sandbox), run_for_everyone=True)


def test_failed_runs_are_queued_to_run_again(current: Pair) -> None:
    sandbox, client = current
    id = webhook(sandbox)
    runs = [sandbox.world.add_function_run(id, "failed", NOW) for _ in range(3)]
    sandbox.world.add_function_run(id, "succeeded", NOW)
    wanted = [run.invocation_id for run in runs[:2]]
    answer = client.hog_functions.rerun(
        id,
        invocation_ids=wanted,
        window_start=NOW - timedelta(hours=1),
        window_end=NOW + timedelta(hours=1),
        status="failed",
    )
    assert answer.rerun_job_id
    assert answer.queued_count == 0
    sandbox.clock.advance(10)
    settle(sandbox.world)
    assert sorted(sends(sandbox)) == sorted(("rerun", run) for run in wanted)


def test_a_rerun_that_cannot_be_is_not_sent_or_says_why(current: Pair) -> None:
    sandbox, client = current
    day: dict[str, Any] = {
        "window_start": NOW - timedelta(days=1),
        "window_end": NOW,
        "status": "failed",
    }
    order = sandbox.world.add_hog_function("t", "transformation", hog="return event")["id"]
    with pytest.raises(errors.InvalidRequest, match="aren't supported for 'transformation'"):
        client.hog_functions.rerun(order, **day)
    with pytest.raises(errors.InvalidRequest, match="disabled"):
        client.hog_functions.rerun(webhook(sandbox, enabled=False), **day)
    sandbox.reset_counts()
    for wrong in (
        {"window_start": NOW - timedelta(days=31)},
        {"window_start": NOW},
        {"invocation_ids": []},
        {"window_end": NOW.replace(tzinfo=None)},
    ):
        with pytest.raises(ValueError):
            client.hog_functions.rerun(order, **{**day, **wrong})
    assert sandbox.requests == []


def test_an_older_server_has_no_rerun(docs: Pair) -> None:
    sandbox, client = docs
    with pytest.raises(errors.EndpointMissing, match="cannot be run again"):
        client.hog_functions.rerun(
            webhook(sandbox), window_start=NOW - timedelta(days=1), window_end=NOW, status="failed"
        )


# -- drafts and revisions -------------------------------------------------------------------------


def test_a_revision_is_restored_as_a_draft_and_published_in_two_steps(current: Pair) -> None:
    sandbox, client = current
    functions = client.hog_functions
    id = webhook(sandbox)
    functions.update(id, {"hog": "return 2"})
    revisions = list(functions.revisions(id))
    assert [revision.version for revision in revisions] == [1, 0]
    first = functions.revision(id, 0)
    assert first.content is not None
    assert first.content["hog"] == "fetch(inputs.url);"
    staged = functions.restore_revision(id, 0)
    assert staged.hog == "return 2"
    assert staged.draft is not None
    with pytest.raises(errors.Conflict) as caught:
        functions.restore_revision(id, 1)
    assert caught.value.code == "draft_exists"
    functions.restore_revision(id, 0, overwrite=True)

    preview = functions.publish(id)
    assert preview.published is False
    assert "hog" in (preview.changed_fields or [])
    assert functions.get(id).hog == "return 2"
    with pytest.raises(errors.InvalidRequest) as refused:
        functions.publish(id, confirm=True)
    assert refused.value.attr == "confirm_token"
    done = functions.publish(id, confirm_token=preview.confirm_token)
    assert done.published is True
    assert done.function is not None
    assert done.function.hog == "fetch(inputs.url);"
    assert done.function.version == 2


def test_a_token_of_a_draft_that_changed_is_stale(current: Pair) -> None:
    sandbox, client = current
    id = webhook(sandbox)
    client.hog_functions.update(id, {"hog": "return 2"})
    client.hog_functions.restore_revision(id, 0)
    token = client.hog_functions.publish(id).confirm_token
    sandbox.clock.advance(1)
    client.hog_functions.update(id, {"name": "renamed"})
    with pytest.raises(errors.Conflict) as caught:
        client.hog_functions.publish(id, confirm_token=token)
    assert caught.value.code == "stale_update"


def test_a_draft_is_tested_and_discarded_twice(current: Pair) -> None:
    sandbox, client = current
    id = webhook(sandbox)
    client.hog_functions.update(id, {"hog": "throw Error('new one')"})
    client.hog_functions.restore_revision(id, 1)
    client.hog_functions.update(id, {"hog": "return 1"})
    tested = client.hog_functions.test_invocation(id, globals=EVENT, use_draft=True)
    assert tested.status == "error"
    assert client.hog_functions.discard_draft(id).draft is None
    assert client.hog_functions.discard_draft(id).draft is None
    with pytest.raises(errors.InvalidRequest, match="no staged draft"):
        client.hog_functions.publish(id)


def test_functions_that_lost_a_secret_are_named(current: Pair) -> None:
    sandbox, client = current
    id = webhook(sandbox, inputs={"url": {"value": "u"}, "token": {"value": "********"}})
    webhook(sandbox)
    (found,) = client.hog_functions.masked_secrets()
    assert (found.id, found.input_keys, found.draft_input_keys) == (id, ["token"], [])


def test_an_older_server_lacks_what_came_later_and_says_so(docs: Pair) -> None:
    sandbox, client = docs
    id = webhook(sandbox)
    functions = client.hog_functions
    calls: list[Callable[[], Any]] = [
        lambda: functions.publish(id),
        lambda: functions.discard_draft(id),
        lambda: list(functions.revisions(id)),
        lambda: functions.revision(id, 1),
        lambda: functions.restore_revision(id, 1),
        lambda: functions.masked_secrets(),
        lambda: functions.enable_backfills(id),
    ]
    for call in calls:
        with pytest.raises(errors.EndpointMissing, match="does not have this endpoint"):
            call()


# -- what servers open to no key ------------------------------------------------------------------


def test_newer_servers_open_icons_and_backfills_to_no_key(current: Pair) -> None:
    sandbox, client = current
    id = webhook(sandbox)
    calls: list[Callable[[], Any]] = [
        lambda: client.hog_functions.icons("slack"),
        lambda: client.hog_functions.icon("slack.com"),
        lambda: client.hog_functions.enable_backfills(id),
    ]
    for call in calls:
        with pytest.raises(errors.NotOpenToKeys, match="use PostHog's own interface"):
            call()


def test_older_servers_open_actions_to_no_scoped_key(start: Start) -> None:
    sandbox, client = start("docs", keys_refused_on_custom_actions=True)
    id = webhook(sandbox)
    functions = client.hog_functions
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("execution_order", lambda: functions.rearrange({id: 1})),
        ("log_entries", lambda: list(functions.logs(id, **DAY))),
        ("newer PostHog", lambda: functions.metric_totals(id)),
        ("newer PostHog", lambda: functions.test_invocation(id, globals=EVENT)),
        ("create_batch_job", lambda: functions.broadcast(id, run_for_everyone=True)),
        ("own interface", lambda: functions.icons("slack")),
    ]
    for instead, call in calls:
        with pytest.raises(errors.NotOpenToKeys, match=instead):
            call()
    assert functions.get(id).name == "CRM"


def test_icons_are_found_and_read_with_a_key_that_may(docs: Pair) -> None:
    _, client = docs
    (icon,) = client.hog_functions.icons("slack")
    assert (icon.id, icon.name) == ("slack.com", "Slack")
    image = client.hog_functions.icon(icon.id)
    assert image.media_type == "image/png"
    assert image.content.startswith(b"\x89PNG")
    assert client.hog_functions.icons("nothing like it") == []
    with pytest.raises(errors.NotFound):
        client.hog_functions.icon("nothing.example")


def test_a_web_page_is_no_icon(docs: Pair) -> None:
    sandbox, client = docs
    sandbox.fail(path="*/icon/", status=200, body="<html><title>Log in</title></html>")
    with pytest.raises(errors.MalformedResponse, match="web page"):
        client.hog_functions.icon("slack.com")


def test_backfills_are_enabled_where_the_server_lets_a_key(current: Pair) -> None:
    sandbox, client = current
    id = webhook(sandbox)
    sandbox.fail("POST", "*/enable_backfills/", status=200, body={"batch_export_id": NOBODY})
    assert client.hog_functions.enable_backfills(id).batch_export_id == NOBODY


# -- logs and metrics -----------------------------------------------------------------------------


def lines(number: int, step: timedelta = timedelta(seconds=1)) -> list[dict[str, Any]]:
    return [
        {
            "instance_id": f"run {n}",
            "timestamp": NOW - timedelta(hours=1) - n // 3 * step,
            "level": "ERROR" if n % 5 == 0 else "INFO",
            "message": f"Line {n} said HTTP {200 + n % 4}",
        }
        for n in range(number)
    ]


def test_every_log_line_of_a_window_is_read_once(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    sandbox.world.add_logs(id, lines(1_201))
    read = list(client.hog_functions.logs(id, **DAY))
    assert len(read) == len({row.instance_id for row in read}) == 1_201
    assert {row.log_source_id for row in read} == {id}
    table = pa.Table.from_batches(client.hog_functions.log_batches(id, **DAY))
    assert table.num_rows == 1_201
    assert set(table["message"].to_pylist()) == {row.message for row in read}
    errors_only = list(client.hog_functions.logs(id, **DAY, level=["error"]))
    assert len(errors_only) == 241
    one = list(client.hog_functions.logs(id, **DAY, instance_id="run 7"))
    assert [row.message for row in one] == ["Line 7 said HTTP 203"]


def test_text_is_looked_for_also_on_servers_that_refuse_to(both: Pair) -> None:
    # Those of 2025 answer 404: their list filter takes the parameter for its own.
    sandbox, client = both
    id = webhook(sandbox)
    sandbox.world.add_logs(id, lines(700))
    wanted = {row["message"] for row in lines(700) if row["message"].endswith("203")}
    found = {row.message for row in client.hog_functions.logs(id, **DAY, search="http%20_")}
    assert found == {row["message"] for row in lines(700)}
    found = {row.message for row in client.hog_functions.logs(id, **DAY, search="HTTP 203")}
    assert found == wanted
    table = pa.Table.from_batches(client.hog_functions.log_batches(id, **DAY, search="http 203"))
    assert set(table["message"].to_pylist()) == wanted
    searched = [record for record in sandbox.requests if "search=" in record.query]
    assert (len(searched) == 1) == (sandbox.generation == "docs")


def test_logs_of_an_unknown_function_are_not_found_with_or_without_a_search(both: Pair) -> None:
    _, client = both
    several: list[dict[str, Any]] = [{}, {"search": "x"}]
    for options in several:
        with pytest.raises(errors.NotFound):
            list(client.hog_functions.logs(NOBODY, **DAY, **options))
        with pytest.raises(errors.NotFound):
            list(client.hog_functions.log_batches(NOBODY, **DAY, **options))


def test_a_window_is_checked_when_it_is_asked_for(both: Pair) -> None:
    sandbox, client = both
    for wrong in ({"after": NOW, "before": NOW}, {"after": NOW.replace(tzinfo=None)}):
        for method in (client.hog_functions.logs, client.hog_functions.log_batches):
            with pytest.raises(ValueError):
                method(NOBODY, **{**DAY, **wrong, "search": "x"})
    assert sandbox.requests == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_metrics_are_exact_by_utc_hour_in_any_zone(start: Start, zone: str) -> None:
    sandbox, client = start("current", timezone=zone)
    id = webhook(sandbox)
    midnight = NOW.replace(hour=0)
    for hour in range(-3, 12):
        at = midnight + timedelta(hours=hour, minutes=30)
        sandbox.world.emit_metric(id, at, "succeeded", "success", count=hour + 10)
        sandbox.world.emit_metric(id, at, "fetch", "other", count=1)
    points = client.hog_functions.hourly_metrics(
        id, start=midnight, end=midnight + timedelta(hours=12)
    )
    counted = {p.hour: p.value for p in points if p.name == "succeeded"}
    assert counted == {midnight + timedelta(hours=h): h + 10 for h in range(12)}
    assert sum(p.value for p in points if p.name == "fetch") == 12


def test_metrics_and_totals_as_posthog_charts_them(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    assert client.hog_functions.metric_totals(id).totals == {}
    sandbox.world.emit_metric(id, NOW - timedelta(hours=2), "succeeded", "success", count=3)
    sandbox.world.emit_metric(id, NOW - timedelta(days=8), "succeeded", "success", count=5)
    assert client.hog_functions.metric_totals(id).totals == {"success": 3}
    longer = client.hog_functions.metric_totals(id, after="-9d", breakdown_by="name")
    assert longer.totals == {"succeeded": 8}
    charted = client.hog_functions.metrics(id, after="-2d", interval="day", name="succeeded")
    assert [series.name for series in charted.series] == ["success"]
    assert sum(charted.series[0].values) == 3
