"""E-mail over encrypted connections, ours and Dagster's own; Dagster's own sensor for Slack."""

import ssl
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import trustme
from dagster_slack import make_slack_on_run_failure_sensor
from slack_sdk.web.client import WebClient

from hog_dagster.alerts import Alert, AlertNotSent, channels_of, message
from hog_dagster.policies import AlertPolicy, EmailPolicy
from tests.acting_kit import an_instance
from tests.alerts.kit import hook, mailbox

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate of 127.0.0.1, whose authority this process trusts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_message_is_sent_encrypted_after_a_login(tls: ssl.SSLContext, security: Any) -> None:
    with mailbox(tls, at_once=security == "tls") as box:
        email = EmailPolicy(
            host=box.host,
            port=box.port,
            security=security,
            user="dagster",
            password="app-password",
            sender="dagster@example.com",
            to=["team@example.com"],
        )
        alert = Alert("k", "Nothing came.", "check is_recent of posthog/workflows")
        (channel,) = channels_of(AlertPolicy(email=email))
        channel.send(message([alert], "PostHog"))
        assert box.logins == [("dagster", "app-password")]
        assert (
            box.mails[0]["Subject"] == "PostHog: check is_recent of posthog/workflows needs a look"
        )
        wrong = email.model_copy(update={"password": "wrong"})
        (channel,) = channels_of(AlertPolicy(email=wrong))
        with pytest.raises(AlertNotSent, match="SMTPAuthenticationError 535"):
            channel.send(message([alert], "PostHog"))
        assert len(box.mails) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with mailbox(tls) as box:
        email = EmailPolicy(host=box.host, port=box.port, sender="a@b.example", to=["c@d.example"])
        (channel,) = channels_of(AlertPolicy(email=email))
        with pytest.raises(AlertNotSent, match="SSLCertVerificationError"):
            channel.send(message([Alert("k", "w", "x")], "PostHog"))


def failed(instance: dg.DagsterInstance, sensor: dg.SensorDefinition) -> None:
    """Have Dagster's failure sensor tell of a job of ours that failed."""

    @dg.op
    def load() -> None:
        raise dg.Failure("PostHog answered 503.")

    @dg.job
    def replay_runs() -> None:
        load()

    result = replay_runs.execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET
    )
    event = next(
        event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE
    )
    context = dg.build_run_status_sensor_context(
        sensor.name, event, instance, result.dagster_run
    ).for_run_failure()
    sensor(context)


def test_dagsters_own_sensor_sends_e_mail_of_a_run_that_fails(tls: ssl.SSLContext) -> None:
    with mailbox(tls) as box, an_instance() as instance:
        sensor = dg.make_email_on_run_failure_sensor(
            email_from="dagster@example.com",
            email_password="app-password",
            email_to=["team@example.com"],
            smtp_host=box.host,
            smtp_port=box.port,
            smtp_type="STARTTLS",
            webserver_base_url="https://dagster.example.com",
        )
        failed(instance, sensor)
        (mail,) = box.mails
        assert mail["Subject"] == "Dagster Run Failed: replay_runs"
        assert "https://dagster.example.com/runs/" in mail.get_content()


def test_dagsters_own_sensor_tells_slack_of_a_run_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hook() as slack, an_instance() as instance:
        slack.answer = b'{"ok": true}'
        here = partial(WebClient, base_url=slack.url + "/")
        monkeypatch.setattr("dagster_slack.sensors.WebClient", here)
        sensor = make_slack_on_run_failure_sensor(
            channel="#data", slack_token="xoxb-1", webserver_base_url="https://dagster.example.com"
        )
        failed(instance, sensor)
        (body,) = slack.bodies
        assert body["channel"] == "#data"
        assert 'Job "replay_runs" failed' in str(body["blocks"])
