"""Mail that does not go out, or not yet: what is written of it, and that no run fails of it."""

from datetime import timedelta
from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start
from tests.sandbox.messaging_kit import NOW, Post, email_step


@pytest.fixture
def post(current: tuple[Sandbox, Http]) -> Post:
    return Post(*current)


def test_a_mail_that_goes_out_is_a_message_a_line_and_a_count(post: Post) -> None:
    run = post.send()
    (row,) = post.messages()
    assert (row["invocation_id"], row["recipient"]) == (run, "ada@example.com")
    assert row["status"] == "sent"
    assert post.counts() == {"email_sent": 1}
    assert any(line.startswith("Email sent to ada@example.com") for line in post.lines())
    assert len(post.world.messages) == 1


@pytest.mark.parametrize(
    ("stop", "said", "metric"),
    [
        (
            lambda post: post.world.add_suspension("complaints"),
            "Skipping send: email sending is suspended for this project.",
            "email_suspended",
        ),
        (
            lambda post: setattr(post.mail, "provider_paused", True),
            "Skipping send: our email provider paused sending for this project.",
            "email_suspended",
        ),
        (
            lambda post: post.world.add_suppression("ADA@example.com"),
            "Skipping send: recipient(s) on the suppression list — ada@example.com",
            "email_suppressed",
        ),
        (
            lambda post: post.world.add_opt_out("ada@example.com"),
            "Recipient has opted out, skipping message delivery.",
            "",
        ),
        (
            lambda post: setattr(post.mail, "unreachable_domains", ["example.com"]),
            'Skipping send: the domain "example.com" has no reachable mail servers',
            "email_bounce_prevented",
        ),
        (lambda post: post.world.add_email_pause(post.workflow), "", ""),
    ],
    ids=["suspended", "provider", "suppressed", "opted-out", "domain", "paused"],
)
def test_a_mail_that_is_skipped_is_lost_and_its_run_succeeds(
    post: Post, stop: Any, said: str, metric: str
) -> None:
    stop(post)
    run = post.send()
    assert post.status(run) == "succeeded"
    assert post.messages() == []
    assert post.world.messages == []
    assert post.counts() == ({metric: 1} if metric else {})
    shown = [line for line in post.lines() if line.startswith("[Action:mail] ")]
    assert bool(shown) is bool(said)
    assert all(said in line for line in shown)


def test_one_suppressed_address_in_cc_stops_the_mail_for_all(post: Post) -> None:
    workflow = post.workflow_of(email_step(cc=["boss@example.com"], bcc="log@example.com"))
    post.world.add_suppression("boss@example.com")
    post.send(workflow=workflow)
    assert post.messages(workflow) == []
    post.world.forget_suppression("boss@example.com")
    post.send(workflow=workflow)
    assert [row["recipient"] for row in post.messages(workflow)] == ["ada@example.com"]


def test_senders_see_changes_of_the_lists_late(post: Post) -> None:
    post.mail.cache_lag = 300.0
    post.world.add_suppression("ada@example.com")
    post.send()
    assert len(post.messages()) == 1
    post.advance(minutes=5)
    post.send()
    assert len(post.messages()) == 1
    post.world.forget_suppression("ada@example.com")
    post.send()
    assert len(post.messages()) == 1
    post.advance(minutes=5)
    post.send()
    assert len(post.messages()) == 2


def test_opt_outs_match_the_case_and_spare_transactional_steps(post: Post) -> None:
    news = post.world.add_category("news")
    receipts = post.world.add_category("receipts", category_type="transactional")
    marketing = post.workflow_of(email_step(category=news.id))
    transactional = post.workflow_of(email_step(category=receipts.id))
    post.world.add_opt_out("Ada@example.com")
    post.send(workflow=marketing)
    assert len(post.messages(marketing)) == 1
    post.world.add_opt_out("ada@example.com", "news")
    for workflow in (marketing, transactional, post.workflow):
        post.send(workflow=workflow)
    assert len(post.messages(marketing)) == 1
    assert len(post.messages(transactional)) == len(post.messages()) == 1
    post.world.add_opt_out("ada@example.com")
    for workflow in (transactional, post.workflow):
        post.send(workflow=workflow)
    assert (len(post.messages(transactional)), len(post.messages())) == (2, 1)


def test_mail_over_the_hours_cap_waits_while_its_run_stays_running(
    current: tuple[Sandbox, Http],
) -> None:
    post = Post(*current, tier=0, tiers="enforce")
    runs = [post.send(f"p{number}") for number in range(60)]
    assert len(post.messages(limit=500)) < 60
    states = [post.status(run) for run in runs]
    assert states.count("succeeded") == len(post.messages(limit=500))
    assert states.count("running") == 60 - states.count("succeeded")
    waiting = [line for line in post.lines() if "sending limit of 50 emails per hour" in line]
    assert waiting
    assert "The limit rises" in waiting[0]
    post.advance(hours=2)
    assert len(post.messages(limit=500)) == 60
    assert {post.status(run) for run in runs} == {"succeeded"}
    assert len(post.world.messages) == 60


def test_the_cap_counts_addresses_and_the_day_holds_back_more_than_the_hour(
    current: tuple[Sandbox, Http],
) -> None:
    post = Post(*current, tier=0, tiers="enforce")
    workflow = post.workflow_of(email_step(cc=["a@example.com", "b@example.com"]))
    for number in range(40):
        post.send(f"p{number}", workflow)
    sent = len(post.messages(workflow, limit=500))
    assert 16 <= sent < 25
    allowance = post.http.get("/hog_flows/reputation/").json()["sending_allowance"]
    assert allowance["enforced"] is True
    assert (allowance["emails_per_hour"], allowance["emails_per_day"]) == (50, 100)
    assert allowance["emails_sent_last_day"] == 3 * sent
    post.advance(hours=3)
    assert len(post.messages(workflow, limit=500)) < 40
    post.advance(days=2)
    assert len(post.messages(workflow, limit=500)) == 40


def test_without_enforcement_nothing_waits(current: tuple[Sandbox, Http]) -> None:
    post = Post(*current, tier=0, tiers="shadow")
    for number in range(60):
        post.send(f"p{number}")
    assert len(post.messages(limit=500)) == 60
    allowance = post.http.get("/hog_flows/reputation/").json()["sending_allowance"]
    assert (allowance["tier"], allowance["enforced"]) == (0, False)
    post.mail.allowance_shown = False
    assert "sending_allowance" not in post.http.get("/hog_flows/reputation/").json()


def test_a_batch_over_the_audience_limit_is_cut_without_an_error(
    current: tuple[Sandbox, Http],
) -> None:
    post = Post(*current, tier=0, tiers="enforce")
    post.mail.day = None
    for number in range(130):
        post.person(f"p{number}")
    batch = post.workflow_of(email_step(), trigger="batch")
    hook = post.world.add_workflow("Hook", "batch")["id"]
    radius = post.http.post("/hog_flows/user_blast_radius/", json={"filters": {}}).json()
    assert (radius["affected"], radius["limit"]) == (130, 100)
    asked = {"filters": {}, "sends_email": False}
    assert post.http.post("/hog_flows/user_blast_radius/", json=asked).json()["limit"] == 500_000
    job = post.http.post(f"/hog_flows/{batch}/batch_jobs/", json={}).json()
    post.http.post(f"/hog_flows/{hook}/batch_jobs/", json={})
    post.advance(minutes=2)
    (listed,) = post.http.get(f"/hog_flows/{batch}/batch_jobs/").json()
    assert listed["status"] == "completed"
    runs = [run for run in post.world.runs.values() if run.parent_run_id == job["id"]]
    assert len(runs) == 100
    assert sum(run.workflow_id == hook for run in post.world.runs.values()) == 130
    query = (
        "SELECT level, message FROM log_entries WHERE log_source = 'hog_flow' "
        f"AND log_source_id = '{job['id']}' AND instance_id = '{job['id']}' LIMIT 10"
    )
    body = {"query": {"kind": "HogQLQuery", "query": query}, "refresh": "force_blocking"}
    ((level, message),) = post.http.post("/query/", json=body).json()["results"]
    assert (level, "audience limit of 100." in message) == ("warn", True)
    assert post.http.get(f"/hog_flows/{batch}/logs/?level=WARN").json()["results"] == []


def test_a_batch_of_a_suspended_project_completes_and_reaches_nobody(post: Post) -> None:
    post.person()
    batch = post.workflow_of(email_step(), trigger="batch")
    post.world.add_suspension("complaints")
    state = post.http.get("/hog_flows/email_sending_suspension/").json()
    assert state["email_sending_suspended"] is True
    assert state["email_sending_suspension_reason"] == "complaints"
    post.http.post(f"/hog_flows/{batch}/batch_jobs/", json={})
    post.advance(minutes=2)
    (job,) = post.http.get(f"/hog_flows/{batch}/batch_jobs/").json()
    assert job["status"] == "completed"
    assert post.messages(batch) == []
    post.world.forget_suspension()
    post.send()
    assert len(post.messages()) == 1


def test_a_blast_radius_can_count_addresses(post: Post) -> None:
    for name in ("a", "b"):
        post.world.add_person(name, email="one@example.com")
    post.world.add_person("c")
    asked = {"filters": {}, "dedupe_key": "email"}
    answer = post.http.post("/hog_flows/user_blast_radius/", json=asked).json()
    assert (answer["affected"], answer["total"]) == (2, 3)


def test_a_pause_of_a_workflow_shows_and_is_lifted_once(post: Post) -> None:
    post.send()
    post.world.add_email_pause(post.workflow, "Too many complaints.")
    row = post.http.get("/hog_flows/reputation/").json()["workflows"][0]
    assert row["email_sending_paused"] is True
    assert row["email_sending_paused_reason"] == "Too many complaints."
    path = f"/hog_flows/{post.workflow}/resume_email_sending/"
    assert post.http.post(path).json()["email_sending_paused"] is False
    again = post.http.post(path)
    assert (again.status_code, again.json()["detail"]) == (
        400,
        "Email sending is not paused for this workflow.",
    )
    post.world.add_email_pause(post.workflow, by_staff=True)
    assert post.http.post(path).status_code == 403


# -- the list of messages --------------------------------------------------------------------------


def test_a_resend_moves_the_row_and_a_window_before_it_shows_the_older_one(post: Post) -> None:
    run = post.world.add_run(post.workflow, "succeeded", NOW - timedelta(days=3)).invocation_id
    post.world.add_rerun(run, NOW - timedelta(days=1))
    assert [row["sent_at"][:10] for row in post.messages()] == ["2026-11-27"]
    cut = post.messages(before=(NOW - timedelta(days=2)).isoformat())
    assert [row["sent_at"][:10] for row in cut] == ["2026-11-25"]


def test_a_resend_of_the_same_day_takes_the_older_row_away_when_parts_merge(post: Post) -> None:
    post.world.merge = "never"
    at = NOW - timedelta(hours=8)
    run = post.world.add_run(post.workflow, "succeeded", at).invocation_id
    post.world.add_rerun(run, NOW - timedelta(hours=2))
    cut = {"before": (NOW - timedelta(hours=4)).isoformat()}
    assert len(post.messages(**cut)) == 1
    post.world.merge_now()
    assert post.messages(**cut) == []
    assert len(post.messages()) == 1


def test_messages_are_gone_after_thirty_days_by_whole_days(post: Post) -> None:
    for days in (29, 30, 31, 32):
        at = NOW - timedelta(days=days, hours=1)
        post.world.add_run(post.workflow, "succeeded", at)
    rows = post.messages(after=(NOW - timedelta(days=60)).isoformat())
    assert [row["sent_at"][:10] for row in rows] == ["2026-10-30", "2026-10-29"]
    assert [row["sent_at"][:10] for row in post.messages()] == ["2026-10-30"]


def test_older_builds_have_no_order_among_equal_times_and_read_wildcards(start: Start) -> None:
    post = Post(*start(generation="current", shuffle_ties=True), assets_build="june")
    at = NOW - timedelta(hours=1)
    for number in range(30):
        post.world.add_run(post.workflow, "succeeded", at, distinct_id=f"p{number}")
    orders = {tuple(row["invocation_id"] for row in post.messages()) for _ in range(4)}
    assert len(orders) > 1
    assert "function_id" not in post.messages()[0]
    assert len(post.messages(search="p_2")) == 2
    assert len(post.messages(search="p%2")) > 1
    post.mail.assets_build = "september"
    orders = {tuple(row["invocation_id"] for row in post.messages()) for _ in range(4)}
    assert len(orders) == 1
    assert post.messages(search="p%2") == post.messages(search="p_2") == []


def test_the_list_asks_for_two_scopes_and_the_mails_of_a_person_for_one(start: Start) -> None:
    keys = {"all": ["*"], "flows": ["hog_flow:read"], "people": ["person:read"]}
    post = Post(*start(generation="current", keys=keys))
    post.send()
    path = f"/hog_flows/{post.workflow}/assets/"
    flows = {"Authorization": "Bearer flows"}
    people = {"Authorization": "Bearer people"}
    refused = post.http.get(path, headers=flows)
    assert refused.status_code == 403
    assert refused.json()["detail"] == "API key missing required scope 'person:read'"
    person = post.world.people[0].id
    mails = post.http.get(f"/persons/{person}/emails/", headers=people).json()
    assert [row["recipient"] for row in mails] == ["ada@example.com"]
    assert post.http.get(f"/persons/{person}/emails/", headers=flows).status_code == 403
    assert post.http.get("/persons/nobody/emails/", headers=people).status_code == 404


def test_with_the_capture_off_the_list_stays_empty(post: Post) -> None:
    post.world.assets_captured = False
    post.send()
    assert post.messages() == []
    assert len(post.world.messages) == 1
