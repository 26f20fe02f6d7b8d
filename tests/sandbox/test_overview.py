"""Answers over all workflows, which only newer servers give."""

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import UNKNOWN
from tests.sandbox.conftest import Http


def test_global_metrics_put_the_worst_first_and_miss_batch_runs(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    world, now = sandbox.world, sandbox.clock.now()
    good, bad, quiet = (world.add_workflow(name)["id"] for name in ("good", "bad", "quiet"))
    world.emit_metric(good, now, "succeeded", "success", 5)
    world.emit_metric(good, now, "succeeded", "success", 5, "action_a")
    world.emit_metric(bad, now, "failed", "failure", 3)
    world.emit_metric(quiet, now, "triggered", "other", 9)
    world.emit_metric(UNKNOWN, now, "failed", "failure", 99)
    assert http.get("/hog_flows/metrics/global/").json() == [
        {"workflow_id": bad, "succeeded": 0, "failed": 3},
        {"workflow_id": good, "succeeded": 10, "failed": 0},
    ]


def test_reputation_folds_batch_sends_into_their_workflow(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    world, now = sandbox.world, sandbox.clock.now()
    workflow = world.add_workflow("News", "batch")["id"]
    job = world.add_batch_job(workflow).id
    world.emit_metric(job, now, "email_sent", "email", 8, "action_a")
    world.emit_metric(job, now, "email_bounced_hard", "email", 2, "action_a")
    body = http.get("/hog_flows/reputation/").json()
    rates = {"bounce_rate": 0.25, "complaint_rate": 0.0, "emails_sent": 8}
    assert body["reputation"] == rates
    unpaused = {
        "email_sending_paused": False,
        "email_sending_paused_at": None,
        "email_sending_paused_reason": "",
    }
    named = {"hog_flow_id": workflow, "hog_flow_name": "News"}
    assert body["workflows"] == [{**named, **rates, **unpaused}]
    assert http.get("/hog_flows/reputation/?search=zzz").json()["workflows"] == []
    suspended = http.get("/hog_flows/email_sending_suspension/").json()
    assert suspended["email_sending_suspended"] is False


def test_no_rendered_messages_are_kept(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    workflow = sandbox.world.add_workflow()["id"]
    assert http.get(f"/hog_flows/{workflow}/assets/").json() == []
    assert http.get(f"/hog_flows/{workflow}/assets/content/").json()["attr"] == "invocation_id"
    gone = http.get(f"/hog_flows/{workflow}/assets/content/?invocation_id=x")
    assert gone.json()["detail"] == "Asset content is no longer available."
