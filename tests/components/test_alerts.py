"""The component's `alerts`: what they add, and what is refused."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.core.component_tree import ComponentTreeException

from hog_dagster.alerts import Alert, AlertNotSent, channels_of, message
from tests.components.conftest import all_said, loaded

EMAIL = {"host": "smtp.example.com", "sender": "d@example.com", "to": "team@example.com"}


def test_alerts_come_from_yaml(attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T/B/hidden")
    attributes["alerts"] = {
        "slack_webhook": "{{ env.SLACK_WEBHOOK_URL }}",
        "email": EMAIL,
        "webserver_url": "https://dagster.example.com",
        "min_severity": "error",
    }
    with loaded(attributes) as (component, defs):
        repository = defs.get_repository_def()
        sensor = repository.get_sensor_def("posthog_alerts")
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        schedule = repository.get_schedule_def("check_operations")
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        checks = {key.name for key in repository.asset_graph.asset_check_keys}
        assert {"nothing_in_doubt", "requests_are_left", "sensors_tick"} <= checks
        assert component.alerts is not None
        assert component.alerts.email is not None
        assert component.alerts.email.to == ["team@example.com"]
        assert "hidden" not in repr(component)


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({}, "alerts go nowhere"),
        ({"slack_webhook": "hooks.slack.com/x"}, "alerts.slack_webhook cannot be used"),
        ({"slack_webhok": "https://h/x"}, "did you mean slack_webhook"),
        ({"email": {"host": "h", "sender": "me", "to": "a@b.c"}}, "alerts.email.sender"),
        ({"webhook": "https://h/x", "operations_cron": "often"}, "alerts.operations_cron"),
    ],
)
def test_alerts_that_cannot_work_are_refused_by_name(
    attributes: dict[str, Any], alerts: dict[str, Any], said: str
) -> None:
    attributes["alerts"] = alerts
    with pytest.raises(ComponentTreeException) as raised, loaded(attributes):
        pass
    assert said in all_said(raised.value)


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
@pytest.mark.parametrize(
    ("field", "alerts"),
    [
        ("alerts.slack_webhook", {"slack_webhook": "{{ env.ALERTS_UNSET }}"}),
        ("alerts.webhook", {"webhook": "{{ env.ALERTS_UNSET }}"}),
        ("alerts.email.password", {"email": {**EMAIL, "password": "{{ env.ALERTS_UNSET }}"}}),
        ("alerts.email.to[0]", {"email": {**EMAIL, "to": ["{{ env.ALERTS_UNSET }}"]}}),
        ("alerts.email.to", {"email": {**EMAIL, "to": "{{ env.ALERTS_UNSET }}"}}),
        (
            "alerts.heartbeat_url",
            {"webhook": "https://h/x", "heartbeat_url": "{{ env.ALERTS_UNSET }}"},
        ),
        (
            "alerts.webserver_url",
            {"webhook": "https://h/x", "webserver_url": "{{ env.ALERTS_UNSET }}"},
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_without_the_secrets_of_alerts_the_location_loads_and_says_so(
    attributes: dict[str, Any],
    field: str,
    alerts: dict[str, Any],
    value: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("ALERTS_UNSET", raising=False)
    if value is not None:
        monkeypatch.setenv("ALERTS_UNSET", value)
    attributes["alerts"] = alerts
    with loaded(attributes) as (component, defs):
        assert defs.get_repository_def().has_sensor_def("posthog_alerts")
        said = [one for one in component._source.notes if f"{field} needs ALERTS_UNSET" in one]
        assert len(said) == 1
        assert re.match(r".*defs\.yaml:\d+: .*, which is not set, so .*: set it, or", said[0])
        assert said[0] in caplog.text
    monkeypatch.setenv("HOG_DAGSTER_STRICT", "true")
    with pytest.raises(ComponentTreeException) as raised, loaded(attributes):
        pass
    assert f"{field} needs ALERTS_UNSET, which is not set" in all_said(raised.value)


def test_a_channel_whose_variable_was_unset_at_load_says_so_when_it_should_send(
    attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALERTS_UNSET", raising=False)
    attributes["alerts"] = {"slack_webhook": "{{ env.ALERTS_UNSET }}"}
    with loaded(attributes) as (component, _):
        assert component.alerts is not None
        (channel,) = channels_of(component.alerts)
        alert = Alert("k", "It failed.", "check c of a", "", "", "error")
        with pytest.raises(AlertNotSent, match=r"The variable ALERTS_UNSET, .* is not set"):
            channel.send(message([alert], "PostHog"))


def blocks_of_the_page(language: str) -> list[str]:
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_yaml_of_the_page_loads(
    attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T/B/hidden")
    monkeypatch.setenv("SMTP_PASSWORD", "hidden")
    (written,) = blocks_of_the_page("yaml")
    given = {**attributes, "alerts": yaml.safe_load(written)["attributes"]["alerts"]}
    with loaded(given) as (component, defs):
        assert component.alerts is not None
        assert component.alerts.email is not None
        assert component.alerts.email.password == "hidden"
        assert defs.get_repository_def().has_sensor_def("posthog_alerts")


def test_the_python_of_the_page_loads() -> None:
    sensors = set()
    for code in blocks_of_the_page("python"):
        names: dict[str, Any] = {}
        exec(compile(code, "alerts.md", "exec"), names)  # noqa: S102
        sensors |= {sensor.name for sensor in names["defs"].get_repository_def().sensor_defs}
    assert sensors == {"posthog_alerts", "slack_on_run_failure", "email_on_run_failure"}
