"""The environment: what each variable may be, what is said of one that cannot be used."""

from datetime import date

import pytest

from hog_dagster.policies import Deliverability, MessagingPolicy
from hog_dagster.settings import Everywhere, Settings, read_settings, variable_of

SECRET = "pa55w0rd"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.setenv(variable_of(field), " ")
    settings = read_settings(Settings)
    assert settings.model_fields_set == set()
    assert settings.log_messages == "mask"
    assert settings.dry_run is None


def test_variables_are_read_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_PROJECT_ID", " 12 ")
    monkeypatch.setenv("HOG_DAGSTER_DRY_RUN", "No")
    monkeypatch.setenv("HOG_DAGSTER_START_DATE", "2026-01-31")
    monkeypatch.setenv("HOG_DAGSTER_BATCH_SCHEDULES", '{"w1": "0 9 * * 1"}')
    monkeypatch.setenv("HOG_DAGSTER_MESSAGING", '{"recipients": "keep"}')
    monkeypatch.setenv("HOG_DAGSTER_DELIVERABILITY", '{"max_bounce_rate": 0.01}')
    monkeypatch.setenv("hog_dagster_headroom", "0.5")
    settings = read_settings(Settings)
    assert settings.posthog_project_id == "12"
    assert settings.dry_run is False
    assert settings.start_date == date(2026, 1, 31)
    assert settings.batch_schedules == {"w1": "0 9 * * 1"}
    assert settings.messaging == MessagingPolicy(recipients="keep")
    assert settings.deliverability == Deliverability(max_bounce_rate=0.01)
    assert settings.headroom is None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HOG_DAGSTER_HEADROOM", "nan", "is 'nan'; give a number above 0, 1 at most."),
        ("HOG_DAGSTER_MAX_WAIT_SECONDS", "0", "is '0'; give a number above 0, 86400"),
        ("HOG_DAGSTER_READ_TIMEOUT_SECONDS", "inf", "is 'inf'; give a number above 0, 86400"),
        ("HOG_DAGSTER_LOCK_TIMEOUT_SECONDS", "1e400", "give a number above 0, 86400 at most."),
        ("HOG_DAGSTER_MEMORY_LIMIT", "lots", "is 'lots'; give a size such as 512MB or 2GB."),
        ("HOG_DAGSTER_START_DATE", "0001-01-01", "such as 2026-01-31, since 2020, that has begun."),
        ("HOG_DAGSTER_START_DATE", "9999-12-31", "such as 2026-01-31, since 2020, that has begun."),
        ("HOG_DAGSTER_BATCH_SCHEDULES", '{"a":' * 3000, "is not a JSON object of workflow id"),
        ("HOG_DAGSTER_MESSAGING", '{"a":' * 3000, "is not a JSON object; give, for example"),
        ("HOG_DAGSTER_START_DATE", "1700000000", "give a day such as 2026-01-31, since"),
        ("HOG_DAGSTER_LOG_MESSAGES", "all", "is 'all'; give mask, keep or drop."),
        ("HOG_DAGSTER_LINEAGE", "maybe", "is 'maybe'; give true or false."),
        ("HOG_DAGSTER_MAX_AUDIENCE", "-1", "is '-1'; give a number of people."),
        ("HOG_DAGSTER_BATCH_SCHEDULES", '{"a": 1}', "is not a JSON object of workflow id to cron"),
        ("HOG_DAGSTER_MESSAGING", "hash", 'is not a JSON object; give, for example, {"recipients"'),
        ("HOG_DAGSTER_MESSAGING", '{"recipients": "all"}', "cannot be used: recipients: Input"),
        ("HOG_DAGSTER_MESSAGING", '{"recipient": "keep"}', "is no field: did you mean re"),
        (
            "HOG_DAGSTER_DELIVERABILITY",
            '{"max_bounces": 1}',
            "cannot be used: max_bounces is no field: did you mean max_bounce_rate?",
        ),
        ("HOG_DAGSTER_DELIVERABILITY", '{"spam": 1}', "spam is no field: there are batch_days, "),
        ("HOG_DAGSTER_WAREHOUSE", f"mysql://me:{SECRET}@db/x", "starts with mysql://"),
        ("HOG_DAGSTER_LEDGER", f"mysql://me:{SECRET}@db/x", "cannot be used: "),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_what_to_give(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("HOG_DAGSTER_STRICT", "perhaps")
    with pytest.raises(ValueError, match="HOG_DAGSTER_STRICT is 'perhaps'") as raised:
        read_settings(Settings)
    (line,) = [line for line in str(raised.value).splitlines() if line.startswith(f"{variable} ")]
    assert said in line
    assert SECRET not in str(raised.value)


def test_what_a_code_location_of_ones_own_does_not_read_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOG_DAGSTER_HEADROOM", "lots")
    monkeypatch.setenv("HOG_DAGSTER_CA_FILE", "/ca.pem")
    assert read_settings(Everywhere).ca_file == "/ca.pem"


def test_no_secret_is_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", SECRET)
    for name in ("LEDGER", "WAREHOUSE", "RATE_LIMIT"):
        monkeypatch.setenv(f"HOG_DAGSTER_{name}", f"postgresql://me:{SECRET}@db/x")
    assert SECRET not in repr(read_settings(Settings))
