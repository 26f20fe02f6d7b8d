"""The table `batch_results`: what the sandbox knows of each batch, from what PostHog shows."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import BATCH_RESULTS, build_batch_results_asset
from hog_dagster.assets._workflow_tables import BATCH_SENDS
from hog_dagster.checks import CheckRules, build_posthog_checks
from hog_dagster.policies import Deliverability
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.world import _messaging_model as model
from tests.assets import kit
from tests.assets.kit import NOW, QUIET, mail_steps

DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01")


class Lab(kit.Lab):
    """A sandbox with a batch workflow, and loads of the table."""

    def begin(self) -> None:
        self.mail.cache_lag = self.mail.suspension_lag = 0.0
        self.workflow = self.world.add_workflow("News", "batch", actions=mail_steps())["id"]

    def people(self, number: int) -> list[str]:
        for n in range(number):
            self.world.add_person(f"p{n}", email=f"p{n}@example.com")
        return [f"p{n}@example.com" for n in range(number)]

    def send_batch(self) -> str:
        host, key, project = self.sandbox.url, self.sandbox.api_key, self.sandbox.project_id
        with PostHogClient(host, key, project) as client:
            return client.workflows.create_batch_job(self.workflow).id

    def advance(self, **time: float) -> None:
        self.sandbox.clock.advance(timedelta(**time).total_seconds())
        settle(self.world)

    def load(self) -> dict[str, Any]:
        return self.metadata(build_batch_results_asset())

    def rows(self) -> list[dict[str, Any]]:
        return self.rows_of(BATCH_RESULTS, order_by=["created_at"])

    def row(self) -> dict[str, Any]:
        self.load()
        (row,) = self.rows()
        return row

    def check(self, name: str) -> dg.AssetCheckEvaluation:
        rules = CheckRules(deliverability=Deliverability(settle_hours=1))
        checks = build_posthog_checks(DAYS, rules=rules)
        defs = dg.Definitions(asset_checks=checks, resources=self.resources)
        key = dg.AssetCheckKey(dg.AssetKey(["posthog", "batch_results"]), name)
        job = defs.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection=set(), asset_check_selection={key}
        )
        ran = job.execute_in_process(instance=self.instance, run_config=QUIET)
        (found,) = ran.get_asset_check_evaluations()
        return found

    def truth(self, job: str) -> dict[str, int]:
        """What the world knows of a job, whatever its API shows."""
        runs = [run for run in self.world.runs.values() if run.parent_run_id == job]
        mine = {run.invocation_id for run in runs}
        sent = [one for one in self.world.messages if one.invocation_id in mine]
        return {
            "runs": len(runs),
            "messages": len(sent),
            "reached": len({one.recipient for one in sent}),
            "failed": sum(run.status == "failed" for run in runs),
            "waiting": sum(run.status == "running" for run in runs),
        }


@pytest.mark.parametrize(
    ("people", "tier"),
    [
        (1_000, model.Tier(100, 1_000, 500)),
        pytest.param(10_000, model.Tier(1_000, 10_000, 5_000), marks=pytest.mark.slow),
    ],
    ids=["1,000 at 500", "10,000 at 5,000"],
)
def test_a_batch_that_is_cut_suppressed_and_suspended_halfway_is_told_exactly(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, people: int, tier: model.Tier
) -> None:
    monkeypatch.setattr(model, "TIERS", (tier,))
    place = lab()
    place.mail.tier, place.mail.tiers = 0, "enforce"
    addresses = place.people(people)
    stopped = set(addresses[:: 100 // 3])
    for address in stopped:
        place.world.add_suppression(address)
    job = place.send_batch()
    place.advance(minutes=10)
    audience = {
        place.world.person(run.distinct_id).properties["email"]  # type: ignore[union-attr]
        for run in place.world.runs.values()
        if run.parent_run_id == job
    }
    suppressed = len(audience & stopped)
    first, truth = place.row(), place.truth(job)
    assert {name: first[name] for name in truth} == truth
    assert (first["counted"], first["audience_limit"], first["cut"]) == (
        people,
        tier.audience,
        True,
    )
    assert (first["runs"], first["suppressed"], first["opted_out"]) == (
        tier.audience,
        suppressed,
        0,
    )
    assert first["waiting"] > tier.audience / 2
    place.advance(hours=2)
    place.world.add_suspension("complaints")
    place.advance(hours=3)
    last, truth = place.row(), place.truth(job)
    assert {name: last[name] for name in truth} == truth
    assert (last["waiting"], last["suppressed"], last["cut"]) == (0, suppressed, True)
    assert tier.hour <= last["reached"] < tier.audience - suppressed
    lost = tier.audience - suppressed - last["reached"]
    assert f"{lost} e-mails lost to a suspension" in last["evidence"]
    assert last["workflow_name"] == "News"
    whole, reached = place.check("audiences_are_whole"), place.check("batches_reach_their_audience")
    assert not whole.passed
    assert f"News at 2026-11-21 12:00 UTC (batch job {job})" in str(whole.description)
    assert not reached.passed
    reachable = tier.audience - suppressed
    said = f"reached {last['reached']:,} of {reachable:,}. Was e-mail suspended"
    assert said in str(reached.description)


def test_everything_is_null_that_nothing_shows(lab: Callable[..., Lab]) -> None:
    place = lab("docs")
    place.people(3)
    job = place.send_batch()
    row = place.row()
    assert row["batch_job_id"] == job
    for name in ("runs", "reached", "messages", "failed", "suppressed", "opted_out", "waiting"):
        assert row[name] is None, name
    assert row["cut"] is None


def test_without_queries_messages_alone_are_known(lab: Callable[..., Lab]) -> None:
    place = lab(missing={"query"})
    place.people(3)
    place.send_batch()
    place.advance(minutes=5)
    metadata = place.load()
    (row,) = place.rows()
    assert (row["messages"], row["reached"], row["runs"], row["suppressed"]) == (3, 3, None, None)
    assert "messages, reached: sent messages" in row["evidence"]
    assert metadata["posthog/notes"]


def test_a_server_that_keeps_no_messages_is_told_by_its_metrics(lab: Callable[..., Lab]) -> None:
    place = lab(missing={"sent_messages"})
    place.people(3)
    place.send_batch()
    place.advance(minutes=5)
    row = place.row()
    assert (row["messages"], row["reached"]) == (3, None)
    assert "messages: metrics" in row["evidence"]


def test_opt_outs_are_counted(lab: Callable[..., Lab]) -> None:
    place = lab()
    for address in place.people(10)[:4]:
        place.world.add_opt_out(address)
    place.send_batch()
    place.advance(minutes=5)
    row = place.row()
    assert (row["opted_out"], row["reached"], row["cut"]) == (4, 6, False)


def test_the_audience_of_our_own_send_is_what_we_counted(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.people(3)
    job = place.send_batch()
    sent = dict.fromkeys(BATCH_SENDS.column_names) | {
        "project_id": 1,
        "action_id": 1,
        "kind": "batch_send",
        "target_type": "workflow",
        "target_id": place.workflow,
        "target_name": "News",
        "subject": "k",
        "state": "confirmed",
        "attempts": 1,
        "owner": "run",
        "note": "",
        "remote_id": job,
        "request": '{"audience": 7}',
    }
    from hog_dagster.assets import _loading as loading

    with place.resources["warehouse"].open() as warehouse:
        rows = [{k: v if v is not None or not k.endswith("_at") else NOW for k, v in sent.items()}]
        for row in rows:
            row.pop("_loaded_at")
        warehouse.replace(BATCH_SENDS, loading.arrow_batches(BATCH_SENDS, rows, project_id=1))
    assert place.row()["counted"] == 7


def asked(place: Lab) -> tuple[int, int]:
    messages = place.sandbox.count("GET", f"*/{place.workflow}/assets/")
    return messages, place.sandbox.count("POST", "*/query/")


def test_a_settled_job_is_not_read_again_and_stays(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.people(3)
    place.send_batch()
    place.advance(minutes=5)
    before = place.row()
    for days in (8, 40):
        place.advance(days=days)
        messages, queries = asked(place)
        assert messages > 0
        place.load()
        assert place.rows() == [before]
        assert asked(place) == (messages, queries)


def test_messages_are_not_read_again_while_their_number_stands(lab: Callable[..., Lab]) -> None:
    place = lab()
    place.people(3)
    place.send_batch()
    place.advance(minutes=5)
    place.load()
    messages, queries = asked(place)
    assert messages > 0
    assert place.row()["reached"] == 3
    again = asked(place)
    assert again[0] == messages
    assert again[1] > queries
