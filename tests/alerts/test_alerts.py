"""Alerts: what fails is said once, in each channel, without rows and secrets."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._core.test_utils import create_run_for_test, freeze_time

from hog_dagster.policies import AlertPolicy, EmailPolicy
from hog_dagster.sensors import build_check_failure_sensor
from tests.acting_kit import an_instance
from tests.alerts.kit import Hook, Mailbox, hook, mailbox

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
KEY = dg.AssetCheckKey(dg.AssetKey(["posthog", "workflow_runs"]), "runs_succeed")
OTHER = dg.AssetCheckKey(dg.AssetKey(["marts", "trial users"]), "not_null/id")


@pytest.fixture
def slack() -> Iterator[Hook]:
    with hook() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with an_instance() as made:
        yield made


def evaluated(
    instance: dg.DagsterInstance,
    passed: bool,
    key: dg.AssetCheckKey = KEY,
    severity: str = "WARN",
    text: str = "",
) -> None:
    """Put a result of a check on record."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            key.asset_key,
            key.name,
            passed,
            metadata={"row": "ann@example.com bought for 42"},
            severity=dg.AssetCheckSeverity[severity],
            description=text or "Trial ending fails too often.",
        )
    )


def tick(
    instance: dg.DagsterInstance,
    policy: AlertPolicy,
    cursor: str | None = None,
    **options: Any,
) -> Any:
    given = {"checks": [KEY, OTHER], "project": "PostHog", **options}
    sensor = build_check_failure_sensor(policy=policy, **given)
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return sensor.evaluate_tick(context)


def by_mail(box: Mailbox, **fields: Any) -> EmailPolicy:
    given = {"security": "none", "sender": "dagster@example.com", "to": ["team@example.com"]}
    return EmailPolicy(host=box.host, port=box.port, **{**given, **fields})


def test_a_check_that_fails_is_one_message_until_it_passes_and_fails_again(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, webserver_url="https://d.example.com/")
    first = tick(instance, policy)
    assert slack.bodies == []
    evaluated(instance, passed=False)
    second = tick(instance, policy, first.cursor)
    assert "1 of 2 checks fail; 1 new alerts; 1 taken by slack" in second.skip_message
    evaluated(instance, passed=False)
    third = tick(instance, policy, second.cursor)
    assert len(slack.texts) == 1
    said = slack.texts[0]
    assert said.startswith("*PostHog: check runs_succeed of posthog/workflow_runs needs a look*")
    assert "WARN check runs_succeed of posthog/workflow_runs: Trial ending fails too often." in said
    assert "hog-dagster replay --from -24h" in said  # what to do next
    url = "https://d.example.com/assets/posthog/workflow_runs?view=checks&amp;checkDetail="
    assert f"{url}runs_succeed" in said
    evaluated(instance, passed=True)
    fourth = tick(instance, policy, third.cursor)
    assert len(slack.texts) == 1
    evaluated(instance, passed=False)
    tick(instance, policy, fourth.cursor)
    assert len(slack.texts) == 2


def test_a_check_that_fails_worse_is_said_again_and_one_that_recovers_if_asked_for(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, recovered=True)
    cursor = None
    for passed, severity in ((False, "WARN"), (False, "ERROR"), (False, "WARN"), (True, "ERROR")):
        evaluated(instance, passed, severity=severity)
        cursor = tick(instance, policy, cursor).cursor
    assert [text.split("\n\n")[1].split()[0] for text in slack.texts] == ["WARN", "ERROR", "OK"]
    assert "is well again" in slack.texts[-1]


def test_checks_below_the_severity_are_left_alone(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, min_severity="error")
    evaluated(instance, passed=False, severity="WARN")
    first = tick(instance, policy)
    assert slack.bodies == []
    evaluated(instance, passed=False, severity="ERROR")
    tick(instance, policy, first.cursor)
    assert len(slack.bodies) == 1


def test_a_check_that_is_under_way_is_what_it_was(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url)
    evaluated(instance, passed=False)
    first = tick(instance, policy)

    @dg.asset_check(asset=KEY.asset_key, name=KEY.name)
    def under_way() -> dg.AssetCheckResult:
        tick(instance, policy, first.cursor)  # the newest row is the planned one of this run
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    job = dg.Definitions(
        assets=[dg.AssetSpec(KEY.asset_key)], asset_checks=[under_way]
    ).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, run_config=QUIET).success
    tick(instance, policy, first.cursor)
    assert len(slack.bodies) == 1


def test_alerts_of_a_tick_are_one_message_without_rows_or_addresses(
    instance: dg.DagsterInstance, slack: Hook, mails: Mailbox
) -> None:
    policy = AlertPolicy(
        webhook=slack.url,
        email=by_mail(mails, to=["a@example.com", "b@example.com"]),
        webserver_url="https://d.example.com",
    )
    evaluated(instance, passed=False, text="ann@example.com <b> was not\nreached")
    evaluated(instance, False, OTHER, "ERROR")
    tick(instance, policy)
    (body,) = slack.bodies
    assert [alert["severity"] for alert in body["alerts"]] == ["warn", "error"]
    assert body["alerts"][0]["what"] == "***@*** <b> was not reached"
    assert body["alerts"][1]["url"] == (
        "https://d.example.com/assets/marts/trial%20users?view=checks&checkDetail=not_null%2Fid"
    )
    (mail,) = mails.mails
    assert mail["Subject"] == "PostHog: 2 alerts"
    assert mail["To"] == "a@example.com, b@example.com"
    text = mail.get_content()
    assert "***@*** <b> was not reached" in text
    for secret in ("ann@", "bought for 42", "secret-path"):
        assert secret not in text + str(body)


def test_a_channel_that_is_down_gets_its_alert_later_and_the_other_not_twice(
    instance: dg.DagsterInstance, slack: Hook, mails: Mailbox
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, email=by_mail(mails))
    evaluated(instance, passed=False)
    slack.status = 503
    first = tick(instance, policy)
    assert "alerts wait: The address of alerts.slack_webhook answered 503" in first.skip_message
    assert (len(slack.bodies), len(mails.mails)) == (0, 1)
    with pytest.raises(dg.Failure, match="slack_webhook answered 503") as raised:
        tick(instance, policy, first.cursor)  # nothing was taken: the tick is red
    assert "secret-path" not in str(raised.value)
    slack.status = 200
    second = tick(instance, policy, first.cursor)
    assert (len(slack.bodies), len(mails.mails)) == (1, 1)
    tick(instance, policy, second.cursor)
    assert (len(slack.bodies), len(mails.mails)) == (1, 1)


@pytest.mark.parametrize("status", [400, 500])
def test_an_alert_that_a_channel_always_refuses_blocks_no_other_and_is_given_up(
    instance: dg.DagsterInstance, slack: Hook, status: int
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url)
    slack.poison, slack.poisoned = "poisoned text", status
    others = [dg.AssetCheckKey(OTHER.asset_key, f"other_{number}") for number in range(9)]
    evaluated(instance, passed=False, text="A poisoned text.")
    cursor = tick(instance, policy, checks=[KEY, *others]).cursor
    said = ""
    ticks = 0
    for ticks, key in enumerate(others, 1):
        evaluated(instance, passed=False, key=key, text=f"Number {ticks}.")
        result = tick(instance, policy, cursor, checks=[KEY, *others])
        cursor, said = result.cursor, result.skip_message
        assert f"Number {ticks}." in slack.texts[-1]
        if "given up" in said:
            break
    assert f"The alert of check {KEY.name} of" in said
    assert "is given up: slack refused it 5 times" in said
    assert ticks <= 5
    tick(instance, policy, cursor, checks=[KEY, *others])
    assert "An alert was given up: slack refused it 5 times." in slack.texts[-1]
    assert not any("poisoned" in text for text in slack.texts)
    assert len(slack.texts) == ticks + 1  # none of the others twice


def test_a_mail_that_a_server_refuses_for_its_text_is_given_up_and_others_go_out(
    instance: dg.DagsterInstance, mails: Mailbox
) -> None:
    policy = AlertPolicy(email=by_mail(mails))
    mails.poison = "poisoned text"
    evaluated(instance, passed=False, text="A poisoned text.")
    evaluated(instance, passed=False, key=OTHER, text="Another.")
    result = tick(instance, policy)
    for _ in range(4):
        result = tick(instance, policy, result.cursor)
    assert "is given up: email refused it 5 times" in result.skip_message
    tick(instance, policy, result.cursor)
    first, last = (mail.get_content() for mail in mails.mails)
    assert "Another." in first
    assert "An alert was given up" in last


def test_a_channel_that_is_down_loses_no_alert_however_long(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url)
    slack.status = 503
    evaluated(instance, passed=False, text="The first.")
    evaluated(instance, passed=False, key=OTHER, text="The second.")
    cursor = tick(instance, policy).cursor
    for _ in range(8):
        with pytest.raises(dg.Failure):
            tick(instance, policy, cursor)
    slack.status = 200
    tick(instance, policy, cursor)
    (text,) = slack.texts
    assert "The first." in text
    assert "The second." in text


def test_what_fails_while_a_channel_is_down_is_said_when_it_is_back(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url)
    cursor = tick(instance, policy).cursor
    slack.status = 503
    for text, passed in (("First.", False), ("", True), ("Second.", False), ("", True)):
        evaluated(instance, passed, text=text)
        cursor = tick(instance, policy, cursor).cursor
    slack.status = 200
    cursor = tick(instance, policy, cursor).cursor
    (said,) = slack.texts
    assert "First." in said
    assert "Second." in said
    tick(instance, policy, cursor)
    assert len(slack.bodies) == 1


def test_a_channel_that_is_down_hides_no_alert_from_the_other(
    instance: dg.DagsterInstance, slack: Hook, mails: Mailbox
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, email=by_mail(mails))
    slack.status = 503
    cursor = None
    for passed in (False, True, False):
        evaluated(instance, passed)
        cursor = tick(instance, policy, cursor).cursor
    assert len(mails.mails) == 2


def test_more_alerts_than_are_kept_are_found_again_until_the_channel_is_back(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(webhook=slack.url)
    cursor = tick(instance, policy).cursor
    for _ in range(205):
        create_run_for_test(instance, job_name="nightly", status=dg.DagsterRunStatus.FAILURE)
    slack.status = 503
    with pytest.raises(dg.Failure, match="answered 503"):
        tick(instance, policy, cursor)
    slack.status = 200
    tick(instance, policy, cursor)
    assert len(slack.bodies[0]["alerts"]) == 205


def test_an_address_that_is_refused_costs_the_other_no_second_e_mail(
    instance: dg.DagsterInstance, mails: Mailbox
) -> None:
    mails.refused = "gone@example.com"
    policy = AlertPolicy(email=by_mail(mails, to=["team@example.com", mails.refused]))
    evaluated(instance, passed=False)
    first = tick(instance, policy)
    assert "refused 1 of 2 addresses of alerts.email.to" in first.skip_message
    tick(instance, policy, first.cursor)
    assert len(mails.mails) == 1
    nobody = AlertPolicy(email=by_mail(mails, to=[mails.refused]))
    assert "1 alerts wait" in tick(instance, nobody).skip_message


def test_a_mail_server_that_refuses_is_named_without_the_password(
    instance: dg.DagsterInstance, mails: Mailbox
) -> None:
    email = by_mail(mails, user="dagster", password="hunter2")
    evaluated(instance, passed=False)
    first = tick(instance, AlertPolicy(email=email))  # it offers no login
    with pytest.raises(dg.Failure, match=r"alerts\.email") as raised:
        tick(instance, AlertPolicy(email=email), first.cursor)
    assert "hunter2" not in first.skip_message
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(email)


def failed_run(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> str:
    @dg.op
    def load() -> None:
        raise dg.Failure("PostHog answered 503 to ann@example.com.")

    @dg.job
    def nightly() -> None:
        load()

    result = nightly.execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET, tags=tags
    )
    return result.run_id


def failed_run_at(instance: dg.DagsterInstance, at: datetime) -> str:
    run = create_run_for_test(instance, job_name="nightly", status=dg.DagsterRunStatus.STARTED)
    with freeze_time(at):
        instance.report_run_failed(run)
    return run.run_id


def test_a_run_that_fails_is_one_message(instance: dg.DagsterInstance, slack: Hook) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, webserver_url="https://d.example.com")
    before = failed_run(instance)
    first = tick(instance, policy)
    run_id = failed_run(instance)
    failed_run(instance, {WILL_RETRY_TAG: "true"})
    second = tick(instance, policy, first.cursor)
    tick(instance, policy, second.cursor)
    (said,) = slack.texts
    assert f"run {run_id[:8]} of nightly: It failed in load. PostHog answered 503 to ***@***." in (
        said
    )
    assert f"https://d.example.com/runs/{run_id}" in said
    assert before[:8] not in said  # it failed before alerts were switched on
    off = policy.model_copy(update={"failed_runs": False})
    failed_run(instance)
    tick(instance, off, second.cursor)
    assert len(slack.bodies) == 1


def test_a_run_of_another_code_location_is_none_of_ours(
    instance: dg.DagsterInstance, slack: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_of(location: str) -> str:
        origin = RemoteJobOrigin(
            RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "r"), "nightly"
        )
        return create_run_for_test(
            instance,
            job_name="nightly",
            status=dg.DagsterRunStatus.FAILURE,
            remote_job_origin=origin,
        ).run_id

    here = RegisteredCodeLocationOrigin("ours")
    monkeypatch.setattr(dg.SensorEvaluationContext, "code_location_origin", here)
    policy = AlertPolicy(slack_webhook=slack.url)
    cursor = tick(instance, policy).cursor
    ours, theirs = run_of("ours"), run_of("theirs")
    tick(instance, policy, cursor)
    (said,) = slack.texts
    assert ours[:8] in said
    assert theirs[:8] not in said


def test_a_check_that_was_removed_and_is_back_is_said_again(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url)
    evaluated(instance, passed=False)
    cursor = None
    for checks, messages in (([KEY, OTHER], 1), ([OTHER], 1), ([KEY, OTHER], 2)):
        cursor = tick(instance, policy, cursor, checks=checks).cursor
        assert len(slack.bodies) == messages


def test_a_run_that_is_changed_long_after_it_failed_is_not_said_again(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy, now = AlertPolicy(slack_webhook=slack.url), datetime.now(UTC)
    cursor = tick(instance, policy, clock=lambda: now - timedelta(days=2)).cursor
    ids = [failed_run_at(instance, now - timedelta(hours=hours)) for hours in (20, 10)]
    cursor = tick(instance, policy, cursor).cursor
    last = failed_run(instance)
    for _ in range(2):
        cursor = tick(instance, policy, cursor).cursor
        instance.add_run_tags(ids[0], {"team": "data"})
    tick(instance, policy, cursor)
    assert [text.count("nightly") for text in slack.texts] == [2, 2]
    assert last[:8] in slack.texts[1]


def test_a_text_that_no_channel_can_send_costs_no_other_alert(
    instance: dg.DagsterInstance, slack: Hook, mails: Mailbox
) -> None:
    policy = AlertPolicy(webhook=slack.url, email=by_mail(mails))
    evaluated(instance, passed=False, text="Workflow \ud83d (half of a sign) fails.")
    evaluated(instance, False, OTHER, text="ids are null")
    found = tick(instance, policy, project="Pro\ud83dject\n" + "x" * 10_000)
    assert "2 new alerts; 4 taken" in found.skip_message
    assert "ids are null" in slack.texts[0]
    assert "ids are null" in mails.mails[0].get_content()
    assert len(mails.mails[0]["Subject"]) < 500


def test_an_error_that_nobody_wrote_for_people_is_not_quoted(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    @dg.op
    def load() -> None:
        raise ValueError("row 7: card 4111 1111 1111 1111")

    @dg.job
    def nightly() -> None:
        load()

    policy = AlertPolicy(slack_webhook=slack.url)
    first = tick(instance, policy)
    nightly.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET)
    tick(instance, policy, first.cursor)
    assert "It failed in load. ValueError was raised." in slack.texts[0]
    assert "4111" not in slack.texts[0]


def test_checks_of_operations_that_are_not_run_are_an_alert(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy, now = AlertPolicy(slack_webhook=slack.url), datetime.now(UTC)
    operations = dg.AssetKey(["posthog", "operations"])
    options = {"operations": operations, "operations_schedule": "check_operations"}
    cursor = tick(instance, policy, **options).cursor
    for minutes, messages in ((30, 0), (90, 1), (180, 1)):
        at = now + timedelta(minutes=minutes)
        cursor = tick(instance, policy, cursor, clock=lambda at=at: at, **options).cursor
        assert len(slack.bodies) == messages, minutes
    since = f"{now:%Y-%m-%d %H:%M} UTC"
    assert f"schedule check_operations: It has not run its checks since {since}" in slack.texts[0]
    evaluated(instance, True, dg.AssetCheckKey(operations, "sensors_tick"))
    cursor = tick(instance, policy, cursor, **options).cursor
    later = now + timedelta(hours=9)
    tick(instance, policy, cursor, clock=lambda: later, **options)
    assert len(slack.bodies) == 2


def test_checks_of_operations_that_run_once_a_day_may_be_a_day_apart(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, operations_cron="0 6 * * *")
    now = datetime.now(UTC)
    options: dict[str, Any] = {"operations": dg.AssetKey(["posthog", "operations"])}
    cursor = tick(instance, policy, **options).cursor
    for days, messages in ((1.5, 0), (4, 1)):
        at = now + timedelta(days=days)
        cursor = tick(instance, policy, cursor, clock=lambda at=at: at, **options).cursor
        assert len(slack.bodies) == messages, days


def test_each_of_very_many_runs_that_fail_at_once_is_an_alert(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    policy = AlertPolicy(webhook=slack.url)
    first = tick(instance, policy)
    ids = {
        create_run_for_test(instance, job_name="nightly", status=dg.DagsterRunStatus.FAILURE).run_id
        for _ in range(230)
    }
    second = tick(instance, policy, first.cursor)
    (body,) = slack.bodies
    assert {alert["key"] for alert in body["alerts"]} == {f"run:{id}" for id in ids}
    assert "more: see the checks in Dagster" in body["text"]
    tick(instance, policy, second.cursor)
    assert len(slack.bodies) == 1


def test_each_tick_asks_for_the_heartbeat(instance: dg.DagsterInstance, slack: Hook) -> None:
    policy = AlertPolicy(slack_webhook=slack.url, heartbeat_url=slack.url)
    cursor = tick(instance, policy).cursor
    slack.status = 500
    found = tick(instance, policy, cursor)
    assert slack.beats == 2
    assert "The address of alerts.heartbeat_url answered 500" in found.skip_message
    assert "secret-path" not in found.skip_message


def test_a_variable_is_read_when_a_message_is_sent(
    instance: dg.DagsterInstance, slack: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = AlertPolicy(slack_webhook=dg.EnvVar("MY_WEB_HOOK"))
    evaluated(instance, passed=False)
    first = tick(instance, policy)
    with pytest.raises(dg.Failure, match="MY_WEB_HOOK"):
        tick(instance, policy, first.cursor)
    monkeypatch.setenv("MY_WEB_HOOK", slack.url)
    tick(instance, policy, first.cursor)
    assert len(slack.bodies) == 1


def test_a_cursor_that_cannot_be_read_starts_from_now(
    instance: dg.DagsterInstance, slack: Hook
) -> None:
    failed_run(instance)
    evaluated(instance, passed=False)
    tick(instance, AlertPolicy(slack_webhook=slack.url), "not ours")
    (said,) = slack.texts
    assert "check runs_succeed" in said
    assert "run " not in said.split("\n")[0]


def test_alerts_that_go_nowhere_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="alerts go nowhere"):
        AlertPolicy()
    with pytest.raises(ValueError, match="https://"):
        AlertPolicy(slack_webhook="hooks.slack.com/services/x")
