"""What a batch job of e-mail looks at before it is sent: caps, suspension, pauses, lists."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.policies import Safety
from hog_dagster.sandbox.world import _messaging_model, step
from hog_dagster.sandbox.world._messaging_model import Tier
from tests.acting_kit import House, house

PEOPLE = 101
ASKED = ("reputation", "email_sending_suspension", "suppressions", "opt_outs")


@pytest.fixture
def mailing(tmp_path: Path) -> Iterator[Callable[..., tuple[House, str]]]:
    """A sandbox with 101 people at tier 0, which reaches 100, and a workflow that mails them."""
    with ExitStack() as stack:

        def make(generation: Any = "current", **options: Any) -> tuple[House, str]:
            home = stack.enter_context(house(tmp_path, generation, **options))
            world = home.sandbox.world
            world.mail.tier, world.mail.tiers = 0, "enforce"
            for number in range(PEOPLE):
                world.add_person(email=f"p{number}@example.com")
            config = {"template_id": "template-email", "inputs": {}}
            workflow = world.add_workflow(
                "Letter", trigger="batch", actions=[step("m", "function_email", config)]
            )
            return home, workflow["id"]

        yield make


def asked(home: House) -> list[str]:
    """Which of the endpoints on mail were read."""
    paths = [one.path.rstrip("/").rpartition("/")[2] for one in home.sandbox.requests]
    return [path for path in paths if path in ASKED]


def test_an_audience_that_would_be_cut_is_refused(mailing: Callable[..., Any]) -> None:
    home, workflow = mailing()
    ran = home.batch(workflow, key="may")
    assert not ran.success
    assert "101 people, more than 100 (PostHog's limit for e-mail at sending tier 0)" in ran.failure
    assert "set send_truncated to send anyway" in ran.failure
    assert (ran.metadata["audience_limit"], ran.metadata["cut"]) == (100, 1)
    assert home.sandbox.world.batch_sends == []


def test_a_cut_audience_is_sent_when_that_is_allowed_and_max_audience_still_holds(
    mailing: Callable[..., Any],
) -> None:
    home, workflow = mailing()
    assert not home.batch(workflow, key="may", send_truncated=True, max_audience=100).success
    ran = home.batch(workflow, key="may", send_truncated=True)
    assert ran.value["outcome"] == "confirmed"
    assert ran.metadata["cut"] == 1
    assert len(home.sandbox.world.batch_sends[0].audience) == 100


def test_a_safety_setting_at_the_top_keeps_a_cut_audience_from_being_sent(
    mailing: Callable[..., Any],
) -> None:
    home, workflow = mailing()
    home.safety = Safety(send_truncated=False)
    assert not home.batch(workflow, key="may", send_truncated=True).success
    assert home.sandbox.world.batch_sends == []
    top, below = Safety(send_truncated=False), Safety(send_truncated=True)
    assert top.joined(below).send_truncated is below.joined(top).send_truncated is False


def test_a_workflow_without_e_mail_is_held_to_no_tier_and_asks_nothing_of_mail(
    mailing: Callable[..., Any],
) -> None:
    home, _ = mailing()
    home.sandbox.world.add_suspension("complaints")
    plain = home.sandbox.world.add_workflow("Hook", trigger="batch")["id"]
    assert home.batch(plain, key="may").value["outcome"] == "confirmed"
    assert asked(home) == []


def test_ten_thousand_people_at_a_tier_of_five_thousand_are_refused_before_and_after_a_suspension(
    mailing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_messaging_model, "TIERS", [Tier(5_000, 5_000, 5_000)])
    home, workflow = mailing()
    world = home.sandbox.world
    for number in range(PEOPLE, 10_000):
        world.add_person(email=f"p{number}@example.com")
    for number in range(300):
        world.add_suppression(f"p{number}@example.com")
    ran = home.batch(workflow, key="may", dry_run=True, send_truncated=True)
    assert "300 addresses of the project are suppressed (3.0% of its 10,000 people)" in str(ran)
    assert (ran.metadata["audience"], ran.metadata["cut"]) == (10_000, 5_000)
    ran = home.batch(workflow, key="may")
    assert "10000 people, more than 5000 (PostHog's limit for e-mail at sending tier 0)" in (
        ran.failure
    )
    world.add_suspension("complaints")
    assert "suspended e-mail" in home.batch(workflow, key="may", send_truncated=True).failure
    assert world.batch_sends == []
    assert home.states() == {}


@pytest.mark.parametrize("what", ["suspended", "provider", "paused"])
def test_mail_that_would_not_go_out_is_refused(mailing: Callable[..., Any], what: str) -> None:
    home, workflow = mailing()
    world = home.sandbox.world
    world.mail.tiers = "off"
    if what == "suspended":
        world.add_suspension("complaints")
    elif what == "provider":
        world.mail.provider_paused = True
    else:
        world.emit_metric(workflow, home.sandbox.clock.now(), "email_sent", "email", 300)
        world.add_email_pause(workflow, "Spam complaints reached 2%")
    ran = home.batch(workflow, key="may", send_truncated=True)
    assert not ran.success
    says = {
        "suspended": "suspended e-mail of this project (complaints)",
        "provider": "mail provider has paused",
        "paused": "Spam complaints reached 2%",
    }
    assert says[what] in ran.failure
    assert world.batch_sends == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_dry_run_tells_caps_waits_lists_and_suspension_in_three_requests(
    mailing: Callable[..., Any], allowed: bool
) -> None:
    """Also one that says that the audience would be cut, so the send refused."""
    home, workflow = mailing()
    home.sandbox.world.emit_metric(workflow, home.sandbox.clock.now(), "email_sent", "email", 3)
    for number in range(3):
        home.sandbox.world.add_suppression(f"p{number}@example.com")
    home.sandbox.world.add_opt_out("p9@example.com")
    ran = home.batch(workflow, key="may", dry_run=True, send_truncated=allowed)
    said = ran.value["why"] if allowed else ran.failure
    if allowed:
        assert ran.value["outcome"] == "dry_run"
        assert "to 101 people (e-mail)" in said
        assert "PostHog stops at 100 people and cuts off 1" in said
    else:
        assert "set send_truncated to send anyway" in said
    for sentence in (
        "the project's e-mail is not suspended and the workflow's is not paused",
        "sending tier 0 allows 50 e-mails an hour, 100 a day and 100 people a batch",
        "the last e-mail waits about an hour",
        "3 addresses of the project are suppressed (3.0% of its 101 people)",
        "1 opted out of all marketing messages (1.0% of its 101 people)",
    ):
        assert sentence in said
    assert sorted(asked(home)) == ["opt_outs", "reputation", "suppressions"]
    assert (ran.metadata["suppressed"], ran.metadata["opted_out"]) == (3, 1)
    assert (ran.metadata["suppressed_share"], ran.metadata["opted_out_share"]) == (0.0297, 0.0099)
    assert (ran.metadata["tier"], ran.metadata["sends_email"]) == (0, True)
    assert home.sandbox.world.batch_sends == []


def test_a_dry_run_says_where_no_tier_limits_e_mail_and_where_there_is_none(
    mailing: Callable[..., Any],
) -> None:
    home, workflow = mailing()
    home.sandbox.world.mail.tiers = "shadow"
    said = home.batch(workflow, key="a", dry_run=True).value["why"]
    assert "not suspended, whether the workflow's is paused does not show; no sending tier" in said
    plain = home.sandbox.world.add_workflow("Hook", trigger="batch")["id"]
    ran = home.batch(plain, key="b", dry_run=True)
    assert ran.value["why"].endswith("to 101 people (no e-mail), once for key b")
    assert ran.metadata["sends_email"] is False


def test_a_server_without_these_endpoints_costs_a_sentence_each_and_changes_nothing(
    mailing: Callable[..., Any],
) -> None:
    home, workflow = mailing("docs")
    ran = home.batch(workflow, key="may")
    assert ran.value["outcome"] == "confirmed"
    for what in ("sending tier", "suspended e-mail", "Suppressed addresses", "Opt-outs"):
        assert ran.metadata["not_read"].count(f"{what} could not be read") == 1
    assert "tier" not in ran.metadata


def test_reputation_that_fails_leaves_suspension_to_be_read(mailing: Callable[..., Any]) -> None:
    home, workflow = mailing()
    home.sandbox.world.mail.tiers = "off"
    home.sandbox.world.add_suspension("complaints")
    home.sandbox.fail("GET", "*reputation*", status=500, times=20)
    ran = home.batch(workflow, key="may")
    assert "suspended e-mail of this project (complaints)" in ran.failure
