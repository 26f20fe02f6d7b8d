"""What the libraries below the client log of its requests: no parameter's value, no header."""

import logging

import httpx
import pytest

from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox

KEY = "phx_very_secret_key"


def test_requests_of_the_client_are_logged_without_values_and_others_as_they_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with Sandbox("current", populate=False, limits=False, keys={KEY: ["*"]}) as sandbox:
        sandbox.world.add_group_type("organization")
        sandbox.world.add_group(0, "acme-secret")
        sandbox.fail("GET", "*/groups/find/", status=200, headers={"X-Echo": KEY}, effect=True)
        with PostHogClient(sandbox.url, KEY, sandbox.project_id, limits=False) as client:
            client.workflows.list()
            with pytest.raises(Exception, match="cannot be used"):
                client.groups.find(0, "acme-secret")
        httpx.get(f"{sandbox.url}/_sandbox/?of=others")
    assert "group_key=***" in caplog.text
    assert "acme-secret" not in caplog.text
    assert KEY not in caplog.text
    assert "of=others" in caplog.text
