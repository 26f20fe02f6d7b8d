"""The messaging, batch export and activity services over real HTTP against the sandbox."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted_server import Asked, Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world._graphs import step

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Place:
    """A sandbox of the newest servers, a workflow that mails, and a client."""

    def __init__(self, stack: ExitStack, *, scopes: tuple[str, ...] = ("*",), **options: Any):
        settings = {"limits": False, "now": NOW, "keys": {"phx_k": scopes}, **options}
        self.sandbox = stack.enter_context(Sandbox(populate=False, **settings))
        self.sandbox.clock.freeze(NOW)
        self.world, self.mail = self.sandbox.world, self.sandbox.world.mail
        self.client = stack.enter_context(
            PostHogClient(self.sandbox.url, "phx_k", 1, limits=False, max_wait=0)
        )
        self.person = self.world.add_person("ada", email="ada@example.com").id
        inputs = {"email": {"value": {"to": "{person.properties.email}", "subject": "Hi"}}}
        config = {"template_id": "template-email", "inputs": inputs}
        mail = step("mail", "function_email", config)
        self.workflow = self.world.add_workflow("Welcome", actions=[mail])["id"]

    def run(self, **before: float) -> str:
        at = NOW - timedelta(**(before or {"hours": 1}))
        who = {"distinct_id": "ada", "person_id": self.person}
        return self.world.add_run(self.workflow, "succeeded", at, **who).invocation_id


Start = Callable[..., Place]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda **options: Place(stack, **options)


@pytest.fixture
def place(start: Start) -> Place:
    return start()


# -- messages --------------------------------------------------------------------------------------


def test_messages_are_asked_for_by_a_workflow_s_name_too(place: Place) -> None:
    run = place.run()
    read = place.client.messaging.sent_messages
    assert [one.invocation_id for one in read("Welcome")] == [run]
    with pytest.raises(errors.NotFound, match="Did you mean 'Welcome'"):
        list(read("Welcom"))


def test_messages_of_a_workflow_a_run_a_step_and_a_window(place: Place) -> None:
    runs = [place.run(hours=hours) for hours in (1, 5, 9)]
    read = place.client.messaging.sent_messages
    found = list(read(place.workflow))
    assert [one.invocation_id for one in found] == runs
    first = found[0]
    assert (first.recipient, first.subject, first.kind) == ("ada@example.com", "Hi", "email")
    assert first.sent_at is not None
    assert first.sent_at.tzinfo is UTC
    assert [m.invocation_id for m in read(place.workflow, invocation_id=runs[1])] == [runs[1]]
    between = read(place.workflow, after=NOW - timedelta(hours=6), before=NOW - timedelta(hours=2))
    assert [m.invocation_id for m in between] == [runs[1]]
    assert list(read(place.workflow, parent_run_id="job")) == []
    assert len(list(read(place.workflow, parent_run_id="", action_id="mail"))) == 3
    with pytest.raises(ValueError, match="no time zone"):
        list(read(place.workflow, after=datetime(2026, 11, 1)))  # noqa: DTZ001


def test_a_window_takes_its_start_and_not_its_end_to_the_microsecond(place: Place) -> None:
    place.run(hours=1)
    (message,) = place.client.messaging.sent_messages(place.workflow)
    at = message.sent_at
    assert at is not None
    tick = timedelta(microseconds=1)
    read = place.client.messaging.sent_messages
    assert len(list(read(place.workflow, after=at, before=at + tick))) == 1
    assert list(read(place.workflow, after=at - timedelta(hours=1), before=at)) == []
    assert list(read(place.workflow, after=at + tick)) == []


def test_a_resend_is_the_newest_without_an_end_and_the_older_one_before_it(place: Place) -> None:
    run = place.run(days=3)
    place.world.add_rerun(run, NOW - timedelta(days=1))
    read = place.client.messaging.sent_messages
    (newest,) = read(place.workflow)
    (older,) = read(place.workflow, before=NOW - timedelta(days=2))
    assert newest.sent_at is not None
    assert older.sent_at is not None
    assert (newest.sent_at.day, older.sent_at.day) == (27, 25)


def test_messages_of_a_person_are_those_of_all_workflows(place: Place) -> None:
    run = place.run()
    found = list(place.client.messaging.messages_of_person(place.person))
    assert [one.invocation_id for one in found] == [run]
    with pytest.raises(errors.NotFound):
        list(place.client.messaging.messages_of_person("01a1fbfc-0000-0000-0000-000000000000"))


def test_the_body_of_a_message_comes_as_it_was_sent(place: Place) -> None:
    run = place.run()
    assert place.client.messaging.content(place.workflow, run, "mail") == "<p>Hi</p>"
    with pytest.raises(errors.NotFound, match="no longer available"):
        place.client.messaging.content(place.workflow, "other", "mail")
    with pytest.raises(ValueError, match="invocation_id"):
        place.client.messaging.content(place.workflow, "")


def test_a_page_of_a_proxy_is_no_message() -> None:
    page = Reply(200, b"<html>Sign in</html>", {"Content-Type": "text/html"})
    with (
        scripted(page) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.MalformedResponse, match="no message"),
    ):
        client.messaging.content("w", "run")


@pytest.mark.parametrize("body", [{"results": []}, {"detail": "timeout"}, ["x"], [{}], None])
def test_what_is_no_list_of_messages_is_none(body: Any) -> None:
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.MalformedResponse),
    ):
        list(client.messaging.sent_messages("w1"))


def test_every_page_has_the_same_end() -> None:
    rows = [
        {"invocation_id": f"r{n}", "action_id": "a", "sent_at": (NOW - timedelta(n)).isoformat()}
        for n in range(1_200)
    ]

    def answer(asked: Asked) -> Reply:
        first = int(asked.path.partition("offset=")[2].partition("&")[0] or 0)
        return Reply(200, rows[first : first + 500])

    with (
        scripted(answer) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        found = list(client.messaging.sent_messages("w1", after=NOW - timedelta(days=4_000)))
    assert len({one.invocation_id for one in found}) == 1_200
    assert (
        len({asked.path.partition("before=")[2].partition("&")[0] for asked in server.asked}) == 1
    )
    assert len(server.asked) == 3


# -- suppressions and opt-outs ---------------------------------------------------------------------


def test_suppressions_come_once_however_their_order_changes(start: Start) -> None:
    place = start(shuffle_ties=True)
    for number in range(330):
        place.world.add_suppression(f"p{number}@example.com")
    found = [one.identifier for one in place.client.messaging.suppressions()]
    assert sorted(found) == sorted(f"p{number}@example.com" for number in range(330))
    assert [one.identifier for one in place.client.messaging.suppressions(search="p77@")] == [
        "p77@example.com"
    ]
    frame = place.client.messaging.suppressions(search="p7@").to_frame()
    assert list(frame["source"]) == ["MANUAL"]


def test_a_list_that_grows_shorter_while_it_is_read_is_read_again(place: Place) -> None:
    for number in range(250):
        place.world.add_suppression(f"p{number}@example.com")
    rows = place.client.messaging.suppressions()
    found = [next(rows).identifier for _ in range(100)]
    for number in range(60):
        place.world.forget_suppression(f"p{number}@example.com")
    found += [one.identifier for one in rows]
    assert {f"p{number}@example.com" for number in range(60, 250)} <= set(found)
    assert len(set(found)) == len(found)


def test_a_suppression_is_added_and_lifted(place: Place) -> None:
    messaging = place.client.messaging
    assert messaging.add_suppression("Ada@Example.com").identifier == "ada@example.com"
    assert messaging.add_suppression("ada@example.com").source == "MANUAL"
    assert [one.identifier for one in messaging.suppressions()] == ["ada@example.com"]
    for _ in range(2):
        messaging.remove_suppression("ada@example.com")
    assert list(messaging.suppressions()) == []
    with pytest.raises(errors.NotFound, match="Suppression not found"):
        messaging.remove_suppression("nobody@example.com")
    for wrong in ("", " ", "x" * 513):
        with pytest.raises(ValueError, match="identifier"):
            messaging.add_suppression(wrong)


def test_opt_outs_of_all_and_of_a_category_and_all_by_hogql(place: Place) -> None:
    messaging = place.client.messaging
    news = place.world.add_category("news")
    messaging.add_opt_out("Ada@example.com")
    messaging.add_opt_out("bob@example.com", category_key="news")
    assert [one.identifier for one in messaging.opt_outs()] == ["Ada@example.com"]
    (bob,) = messaging.opt_outs(category_key="news")
    assert (bob.identifier, bob.preferences) == ("bob@example.com", {news.id: "OPTED_OUT"})
    assert [one.identifier for one in messaging.preferences()] == [
        "Ada@example.com",
        "bob@example.com",
    ]
    assert messaging.remove_opt_out("Ada@example.com").preferences == {"$all": "OPTED_IN"}
    (ada, _) = messaging.preferences()
    assert ada.preferences == {"$all": "OPTED_IN"}
    with pytest.raises(errors.NotFound, match="Category not found"):
        list(messaging.opt_outs(category_key="x"))
    with pytest.raises(errors.NotFound, match="Category not found"):
        messaging.add_opt_out("a@example.com", category_key="x")
    with pytest.raises(errors.NotFound, match="Recipient not found"):
        messaging.remove_opt_out("nobody@example.com")


def test_opt_outs_in_bulk_are_one_request_of_a_thousand(place: Place) -> None:
    messaging = place.client.messaging
    place.world.add_category("news")
    answer = messaging.bulk_add_opt_outs([f"p{number}@example.com" for number in range(1_000)])
    assert (answer.total, answer.opted_out, answer.skipped) == (1_000, 1_000, 0)
    assert place.client.requests_made == 1
    assert len(list(messaging.opt_outs())) == 1_000
    mixed = messaging.bulk_add_opt_outs(
        [("a@example.com", "news"), ("b@example.com", "x"), "c@example.com"]
    )
    assert (mixed.opted_out, mixed.errors) == (
        2,
        ["Entry 2: no message category with key 'x'"],
    )
    for wrong in ([], ["a@example.com"] * 1_001):
        with pytest.raises(ValueError, match="1 to 1,000"):
            messaging.bulk_add_opt_outs(wrong)
    with pytest.raises(TypeError):
        messaging.bulk_add_opt_outs("a@example.com")
    with pytest.raises(errors.NotFound, match="'x' not found") as refused:
        messaging.bulk_add_opt_outs(["a@example.com"], category_key="x")
    assert refused.value.outcome == "refused"


@pytest.mark.parametrize("status", [502, 500, 408])
def test_a_bulk_write_without_a_usable_answer_is_sent_once(place: Place, status: int) -> None:
    place.sandbox.fail("POST", "*bulk_add_opt_outs*", status=status, body={}, effect=True, times=5)
    with pytest.raises(errors.PostHogError) as error:
        place.client.messaging.bulk_add_opt_outs(["a@example.com"])
    assert error.value.outcome == "unknown"
    assert place.sandbox.count("POST", "*bulk_add_opt_outs*") == 1
    assert "a@example.com" in place.mail.preferences


@pytest.mark.parametrize(
    "write",
    [
        lambda messaging: messaging.bulk_add_opt_outs(["a@example.com"]),
        lambda messaging: messaging.add_opt_out("a@example.com"),
        lambda messaging: messaging.add_suppression("a@example.com"),
        lambda messaging: messaging.remove_suppression("a@example.com"),
    ],
)
def test_a_success_that_posthog_did_not_write_leaves_a_write_in_doubt(write: Any) -> None:
    with (
        scripted(Reply(200, {"message": "OK"}, {"Content-Type": "application/json"})) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.OutcomeUnknown),
    ):
        write(client.messaging)
    assert len(server.asked) == 1


def test_no_address_stands_in_an_error(place: Place) -> None:
    place.sandbox.fail("POST", "*", status=500, body={"detail": "ada@example.com failed"}, times=3)
    with pytest.raises(errors.PostHogError) as error:
        place.client.messaging.add_suppression("ada@example.com")
    assert "ada@example.com" not in str(error.value)


@pytest.mark.parametrize(
    ("method", "row"),
    [
        ("suppressions", {"id": "s-1", "identifier": "ada@x.test", "source": {"is": "odd"}}),
        ("opt_outs", {"id": 5, "identifier": "+41791234567"}),
        ("recipients", {"email": "ada@x.test", "person_count": "many"}),
    ],
)
def test_no_address_stands_in_the_warning_about_an_odd_row(
    method: str, row: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    page = {"count": 1, "next": None, "results": [row], "next_cursor": None}
    with scripted(Reply(body=page)) as server, PostHogClient(server.url, "phx_k", 1) as client:
        rows = list(getattr(client.messaging, method)())
    assert len(rows) == 1
    assert "ada@x.test" not in caplog.text
    assert "+41791234567" not in caplog.text
    if method == "suppressions":
        assert "Suppression s-1 has an odd source" in caplog.text


def test_categories_come_by_hogql_or_where_it_is_open_by_rest(start: Start) -> None:
    place = start()
    place.world.add_category("tips", "Tips", public_description="What we learned")
    place.world.add_category("bills", category_type="transactional")
    rows = place.client.messaging.categories()
    assert [(one.key, one.category_type) for one in rows] == [
        ("bills", "transactional"),
        ("tips", "marketing"),
    ]
    assert rows[1].public_description == "What we learned"
    poor = start(scopes=("hog_flow:read",))
    with pytest.raises(errors.MissingScope, match="query:read"):
        poor.client.messaging.categories()
    poor.mail.categories_open = True
    poor.world.add_category("news")
    assert [one.key for one in poor.client.messaging.categories()] == ["news"]


def test_a_server_whose_hogql_lacks_the_tables_says_so(start: Start) -> None:
    place = start(missing={"hogql_system", "message_categories"})
    with pytest.raises(errors.EndpointMissing, match=r"system\.message_recipient_preferences"):
        list(place.client.messaging.preferences())
    with pytest.raises(errors.EndpointMissing, match="newer PostHog servers"):
        place.client.messaging.categories()


# -- reputation ------------------------------------------------------------------------------------


def test_reputation_tells_rates_allowance_pause_and_suspension(place: Place) -> None:
    world, now = place.world, place.sandbox.clock.now()
    world.emit_metric(place.workflow, now, "email_sent", "email", 1_000)
    world.emit_metric(place.workflow, now, "email_bounced_hard", "email", 25)
    world.emit_metric(place.workflow, now, "email_blocked", "email", 2)
    place.mail.tier, place.mail.tiers = 2, "enforce"
    world.add_email_pause(place.workflow, "Too many complaints.")
    found = place.client.messaging.reputation()
    assert found.reputation is not None
    assert (found.reputation.bounce_rate, found.reputation.complaint_rate) == (0.025, 0.002)
    (row,) = found.workflows
    assert (row.hog_flow_name, row.email_sending_paused) == ("Welcome", True)
    assert found.sending_allowance is not None
    assert found.sending_allowance.max_batch_audience == 3_000
    assert found.sending_allowance.enforced is True
    assert place.client.messaging.reputation(search="zzz").workflows == []
    assert place.client.messaging.suspension().email_sending_suspended is False
    world.add_suspension("complaints")
    suspended = place.client.messaging.suspension()
    assert suspended.email_sending_suspended_at == NOW
    assert suspended.email_sending_suspension_reason == "complaints"
    assert place.client.messaging.reputation().email_sending_suspended is True


def test_older_answers_of_reputation_are_read_too(place: Place) -> None:
    place.mail.allowance_shown = place.mail.pauses_shown = False
    place.world.emit_metric(place.workflow, NOW, "email_sent", "email", 10)
    found = place.client.messaging.reputation()
    assert found.sending_allowance is None
    assert found.workflows[0].email_sending_paused is None


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, {"type": "invalid_request", "code": "not_found", "attr": None}),
        Reply(400, {"type": "validation_error", "code": "invalid_input", "attr": None}),
    ],
)
def test_a_server_that_reads_reputation_as_an_id_has_none(reply: Reply) -> None:
    reply.body["detail"] = "Not found." if reply.status == 404 else "Not a valid UUID."
    reply.headers["Content-Type"] = "application/json"
    with (
        scripted(reply) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False, max_wait=0) as client,
    ):
        assert not client.server.has("reputation")
        assert "does not show on this server" in client.server.why_not("reputation")
        kind = errors.EndpointMissing if reply.status == 404 else errors.InvalidRequest
        with pytest.raises(kind):
            client.messaging.reputation()


# -- recipients, the CSV, and resuming -------------------------------------------------------------


def test_recipients_come_once_in_the_order_of_addresses(place: Place) -> None:
    for number in range(450):
        place.world.add_person(f"p{number}", email=f"P{number:03}@example.com")
    place.world.add_category("news")
    place.world.add_opt_out("P001@example.com")
    place.world.add_opt_out("p001@example.com", "news")
    place.world.add_suppression("ada@example.com")
    place.world.add_person("nobody")
    found = list(place.client.messaging.recipients())
    assert [one.email for one in found] == [
        "ada@example.com",
        *(f"p{number:03}@example.com" for number in range(450)),
    ]
    assert place.sandbox.count("GET", "*/messaging_recipients/") == 3
    assert found[0].suppression["source"] == "MANUAL"
    assert (found[2].all_marketing, found[2].topics) == ("OPTED_OUT", {"news": "OPTED_OUT"})
    (one,) = place.client.messaging.recipients(search="p007")
    assert one.person_count == 1
    assert place.client.messaging.persons_without_email() == 1


def test_a_row_of_the_csv_without_a_time_is_an_error_that_names_no_address() -> None:
    text = b"identifier,category_key,updated_at\nada@x.test,news,yesterday\n"
    with (
        scripted(Reply(200, text, {"Content-Type": "text/csv"})) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(errors.MalformedResponse, match="no time where one belongs") as raised,
    ):
        list(client.messaging.export_opt_outs())
    assert "ada" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_opt_outs_come_as_one_csv_without_the_quotes_of_spreadsheets(place: Place) -> None:
    news = place.world.add_category("news")
    names = ["+tag@example.com", "'quoted@example.com", 'a,"b"@example.com']
    for name in names:
        place.world.add_opt_out(name)
    place.world.add_opt_out("bob@example.com", "news")
    rows = list(place.client.messaging.export_opt_outs())
    assert sorted(row[0] for row in rows) == sorted(names)
    assert {row[1:] for row in rows} == {("$all", NOW)}
    (row,) = place.client.messaging.export_opt_outs(category_key=news.key)
    assert row == ("bob@example.com", "news", NOW)
    with pytest.raises(errors.NotFound):
        list(place.client.messaging.export_opt_outs(category_key="gone"))


def test_a_pause_is_lifted_once_and_never_twice(place: Place) -> None:
    place.world.add_email_pause(place.workflow)
    resumed = place.client.messaging.resume_email_sending(place.workflow)
    assert (resumed.email_sending_paused, resumed.email_sending_resumed_at) == (False, NOW)
    with pytest.raises(errors.InvalidRequest, match="not paused") as refused:
        place.client.messaging.resume_email_sending(place.workflow)
    assert refused.value.outcome == "refused"
    place.world.add_email_pause(place.workflow, by_staff=True)
    with pytest.raises(errors.PermissionDenied, match="Contact support"):
        place.client.messaging.resume_email_sending(place.workflow)


def test_resuming_is_not_repeated_when_no_response_comes(place: Place) -> None:
    place.world.add_email_pause(place.workflow)
    place.sandbox.fail("POST", "*/resume_email_sending/", times=3, cut="after")
    with pytest.raises(errors.OutcomeUnknown):
        place.client.messaging.resume_email_sending(place.workflow)
    assert place.sandbox.count("POST", "*/resume_email_sending/") == 1
    assert place.mail.paused == {}


@pytest.mark.parametrize("generation", ["current", "docs"])
def test_what_a_server_has_of_these_is_what_it_answers(start: Start, generation: str) -> None:
    server = start(generation=generation).client.server
    there = generation == "current"
    assert server.has("recipients") is there
    assert server.has("resume_email_sending") is there
    # Newer servers are said to have this table; the sandbox has none.
    assert server.has("hogql_suppressions") is False


# -- batch exports and the activity log ------------------------------------------------------------


def test_batch_exports_their_runs_and_backfills_are_read(place: Place) -> None:
    export = place.world.add_batch_export("Events to S3", "S3", created_at=NOW - timedelta(days=3))
    for hours in range(230):
        at = NOW - timedelta(minutes=hours)
        place.world.add_batch_export_run(export.id, NOW, at=at, records_completed=hours)
    old = NOW - timedelta(days=10)
    place.world.add_batch_export_run(export.id, old, at=old, status="Failed", latest_error="x")
    place.world.add_backfill(export.id, total_runs=2, finished_runs=2)
    exports = place.client.batch_exports
    (listed,) = exports.list()
    assert (listed.name, listed.destination["type"]) == ("Events to S3", "S3")
    assert exports.get("Events to S3").id == exports.get(export.id).id == export.id
    runs = list(exports.runs(export.id))
    assert [run.records_completed for run in runs] == list(range(230))
    failed = list(exports.runs(export.id, after=NOW - timedelta(days=30), status=["Failed", "x"]))
    assert [run.latest_error for run in failed] == ["x"]
    recent = exports.runs(export.id, after=NOW - timedelta(minutes=5), before=NOW)
    assert len(list(recent)) == 6
    (backfill,) = exports.backfills(export.id)
    assert backfill.progress["progress"] == 1.0
    with pytest.raises(errors.NotFound, match="not found"):
        list(exports.runs("01a1fbfc-0000-0000-0000-000000000000"))
    with pytest.raises(ValueError, match="no time zone"):
        list(exports.runs(export.id, after=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_the_activity_log_tells_who_changed_which_workflow(place: Place) -> None:
    place.client.workflows.update(place.workflow, {"name": "Renamed"})
    for minutes in range(1, 4):
        at = NOW - timedelta(minutes=minutes)
        place.world.add_activity("HogFlow", "other", "published", at=at)
    place.world.add_activity("Insight", 1, "updated")
    activity = place.client.activity
    first, *rest = activity.list()
    assert (first.activity, first.item_id) == ("updated", place.workflow)
    assert first.user is not None
    assert first.user.email == "owner@example.com"
    assert first.detail["changes"][0]["after"] == "Renamed"
    assert [one.is_system for one in rest] == [True] * 3
    assert len(list(activity.list(after=NOW - timedelta(minutes=2)))) == 3
    assert len(list(activity.list(scopes=["HogFlow", "Insight"]))) == 5
    assert len(list(activity.list(item_id="other"))) == 3


def test_a_plan_without_an_activity_log_is_a_refusal(place: Place) -> None:
    place.sandbox.fail("GET", "*activity_log*", status=402, body={"detail": "Upgrade"})
    with pytest.raises(errors.PermissionDenied, match="plan"):
        list(place.client.activity.list())


# -- capabilities, scopes, older servers -----------------------------------------------------------

NAMES = (
    "sent_messages",
    "messages_of_person",
    "suppressions",
    "opt_outs",
    "bulk_add_opt_outs",
    "reputation",
    "email_suspension",
    "hogql_preferences",
    "hogql_categories",
    "activity_log",
)


def test_a_capability_is_what_an_endpoint_answered(place: Place) -> None:
    server = place.client.server
    assert [name for name in NAMES if not server.has(name)] == []
    assert not server.has("message_categories")
    assert "HogQL" in server.why_not("message_categories")
    assert server.has("batch_exports")
    assert place.sandbox.count("POST", "*messaging*") == 0


@pytest.mark.parametrize("generation", ["docs", "mid2026"])
def test_a_server_without_any_of_it_says_so_in_one_sentence(start: Start, generation: str) -> None:
    place = start(generation=generation)
    client = place.client
    assert [name for name in NAMES if client.server.has(name)] == []
    for name in NAMES:
        assert client.server.why_not(name)
    reads: list[tuple[type[Exception], Callable[[], Any]]] = [
        (errors.EndpointMissing, lambda: list(client.messaging.sent_messages(place.workflow))),
        (errors.EndpointMissing, lambda: list(client.messaging.suppressions())),
        (errors.EndpointMissing, lambda: list(client.messaging.opt_outs())),
        (errors.EndpointMissing, lambda: list(client.messaging.preferences())),
        (errors.EndpointMissing, client.messaging.categories),
        (errors.EndpointMissing, client.messaging.reputation),
        (errors.EndpointMissing, client.messaging.suspension),
        (errors.EndpointMissing, lambda: client.messaging.bulk_add_opt_outs(["a@example.com"])),
        (errors.NotOpenToKeys, lambda: list(client.activity.list())),
    ]
    for kind, read in reads:
        with pytest.raises(kind):
            read()
    assert list(client.batch_exports.list()) == []


def test_a_key_that_lacks_people_is_told_which_scope(start: Start) -> None:
    place = start(scopes=("hog_flow:read",))
    with pytest.raises(errors.MissingScope, match="person:read"):
        list(place.client.messaging.sent_messages(place.workflow))
    with pytest.raises(errors.MissingScope, match="person:read"):
        list(place.client.messaging.suppressions())
    assert list(place.client.messaging.opt_outs()) == []
    with pytest.raises(errors.MissingScope, match="hog_flow:write"):
        place.client.messaging.add_suppression("a@example.com")
    with pytest.raises(errors.MissingScope, match="activity_log:read"):
        list(place.client.activity.list())
    with pytest.raises(errors.MissingScope, match="batch_export:read"):
        list(place.client.batch_exports.list())


def test_a_user_without_the_level_reads_the_servers_sentence(place: Place) -> None:
    place.mail.access = "none"
    with pytest.raises(errors.PermissionDenied, match="You need hog_flow viewer access"):
        list(place.client.messaging.opt_outs())


def test_older_builds_close_opt_outs_to_keys(place: Place) -> None:
    place.mail.opt_outs_open = False
    with pytest.raises(errors.NotOpenToKeys, match=r"preferences\(\)"):
        list(place.client.messaging.opt_outs())
    assert not place.client.server.has("opt_outs")


def test_what_is_sent_in_bulk_is_what_the_caller_gave(place: Place) -> None:
    place.client.messaging.bulk_add_opt_outs(["A@example.com"], category_key="$all")
    (record,) = place.sandbox.requests
    assert json.loads(json.dumps(record.body)) == {
        "opt_outs": [{"identifier": "A@example.com"}],
        "category_key": "$all",
    }
