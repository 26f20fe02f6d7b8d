"""What a client is built from: wrong settings are refused at once, with the remedy."""

import logging

import pytest

from hog_dagster.posthog import PostHogClient, errors

KEY = "phx_" + "k" * 40


def build(host: str = "https://us.posthog.com", key: str = KEY, project: int | str = 1) -> str:
    with PostHogClient(host=host, api_key=key, project_id=project, limits=False) as client:
        return client.host


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://us.posthog.com/", "https://us.posthog.com"),
        (" https://EU.posthog.com// ", "https://eu.posthog.com"),
        ("https://us.posthog.com/api/", "https://us.posthog.com"),
        ("https://us.posthog.com/api/projects/2", "https://us.posthog.com"),
        ("https://data.example.com/posthog/", "https://data.example.com/posthog"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("https://us.posthog.com:443/", "https://us.posthog.com"),
        ("http://localhost:80", "http://localhost"),
    ],
)
def test_a_host_is_kept_without_slashes_and_without_the_path_of_the_api(
    given: str, kept: str
) -> None:
    assert build(given) == kept


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("", "POSTHOG_HOST is empty"),
        ("us.posthog.com", "write https://us.posthog.com"),
        ("localhost:8000", "has no scheme"),
        ("ftp://us.posthog.com", "not an http or https address"),
        ("https://", "not an http or https address"),
        ("https://us.posthog.com:http", "a port that is no number"),
        ("https://app.posthog.com", "https://us.posthog.com or https://eu.posthog.com"),
        ("https://posthog.com/", "does not serve the API"),
        ("https://us.i.posthog.com", "is at https://us.posthog.com"),
        ("https://eu.i.posthog.com/", "is at https://eu.posthog.com"),
        ("https://xx.i.posthog.com", "only takes events in"),
        ("https://us.posthog.com/?a=b", "without ? or #"),
        ("https://us.i.posthog.com./", "is at https://us.posthog.com"),
        ("https://[::1", "not an http or https address"),
        ("https://exa\u2100mple.com", "not an http or https address"),
        (f"https://{'a' * 80}.example.com", "no name that a host can have"),
        ("https://posthog..example.com", "no name that a host can have"),
        ("https://.", "no name that a host can have"),
    ],
)
def test_a_host_that_cannot_be_right_is_refused_with_the_right_one(host: str, says: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        build(host)
    assert says in str(caught.value)
    assert "POSTHOG_HOST" in str(caught.value)


def test_credentials_in_the_host_are_refused_and_not_repeated() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        build("https://me:hunter2@us.posthog.com")
    assert "hunter2" not in str(caught.value)


def test_a_key_that_was_put_in_the_wrong_place_is_not_repeated() -> None:
    for host, project in ((KEY, 1), ("https://us.posthog.com", KEY), (f"https://{KEY}", 1)):
        with pytest.raises(errors.ConfigurationError) as caught:
            build(host, project=project)
        assert KEY not in str(caught.value)
        assert "k" * 40 not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "POSTHOG_API_KEY is not set"),
        ("   ", "POSTHOG_API_KEY is not set"),
        ("phc_" + "a" * 40, "a project token"),
        ("phx_a b", "spaces"),
        ("phx_\u00e9", "characters that no key has"),
    ],
)
def test_a_key_that_cannot_be_right_is_refused_without_being_shown(key: str, says: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        build(key=key)
    assert says in str(caught.value)
    assert "Personal API keys" in str(caught.value) or "copy it again" in str(caught.value)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    ("project", "says"),
    [
        ("@current", "can change between two requests"),
        ("abc", "POSTHOG_PROJECT_ID=abc is not a number"),
        ("", "is not set"),
        (0, "is not a number"),
        (-1, "is not a number"),
        ("1.5", "is not a number"),
        ("\u0661", "is not a number"),
        (True, "is not set"),
        ("9" * 5000, "is not a number"),
        ("9" * 19, "is not a number"),  # more than a database keeps
    ],
)
def test_a_project_that_is_no_number_is_refused(project: int | str, says: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        build(project=project)
    assert says in str(caught.value)


def test_the_project_may_be_given_as_text() -> None:
    with PostHogClient("https://us.posthog.com", KEY, " 42 ", limits=False) as client:
        assert client.project_id == 42


def test_an_unencrypted_host_is_warned_about_unless_it_is_this_machine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="hog_dagster.posthog"):
        build("http://127.0.0.1:8000")
        assert not caplog.records
        build("http://posthog.internal:8000")
    assert "travels unencrypted" in caplog.text


@pytest.mark.parametrize("headroom", [0, -0.1, 1.01])
def test_a_head_room_that_is_no_part_of_the_limit_is_refused(headroom: float) -> None:
    with pytest.raises(errors.ConfigurationError, match="headroom"):
        PostHogClient("https://us.posthog.com", KEY, 1, headroom=headroom)


def test_a_configuration_error_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="POSTHOG_HOST"):
        build("")
