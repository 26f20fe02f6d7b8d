"""What lands holds no secret and, when masked, no personal data."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hog_dagster.assets.redact import REDACTED, redact_definition, redact_messages

WEBHOOK = {
    "id": "action_hook",
    "type": "function",
    "config": {
        "template_id": "template-webhook",
        "inputs": {
            "url": {"value": "https://user:pw@example.com/in?key=abc", "order": 0},
            "headers": {"value": {"Authorization": "Bearer s3cr3t"}, "order": 1},
            "debug": {"value": False, "order": 2},
            "retries": {"value": 7, "order": 3},
            "body": {"value": {"nested": ["s3cr3t", {"deep": "s3cr3t"}]}, "bytecode": ["_H", 1]},
            "token": {"secret": True},
            "bare": "s3cr3t",
        },
    },
}


def test_input_values_are_redacted_and_names_are_kept():
    landed = json.dumps(redact_definition(WEBHOOK))
    assert "s3cr3t" not in landed
    assert "example.com" not in landed
    assert "bytecode" not in landed
    inputs = redact_definition(WEBHOOK)["config"]["inputs"]
    assert sorted(inputs) == ["bare", "body", "debug", "headers", "retries", "token", "url"]
    assert inputs["url"] == {"value": REDACTED, "order": 0}
    assert inputs["token"] == {"secret": True}
    assert redact_definition(WEBHOOK)["config"]["template_id"] == "template-webhook"


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "webhook", "auth_header": "s3cr3t"},
        {"config": {"api_key": "s3cr3t"}},
        {"url": "https://hooks.example.com/x?signature=s3cr3t"},
        {"url": "https://me:s3cr3t@example.com/"},
        {"note": "use phx_s3cr3ts3cr3t here"},
        {"conditions": [{"headers": {"X-Thing": "s3cr3t"}}]},
        {"Headers": {"X-Thing": "s3cr3t"}},
        {"encrypted_inputs": {"a": {"value": "s3cr3t"}}},
        {"api_keys": ["s3cr3t"]},
        {"credentials": {"user": "u", "pass": "s3cr3t"}},
        {"variables": [{"key": "api_key", "type": "string", "default": "s3cr3t"}]},
        {"rows": [{"name": "Authorization", "value": ["s3cr3t"]}]},
        {"inputs_schema": [{"key": "x", "secret": True, "default": "s3cr3t"}]},
        {"note": "Authorization: Bearer s3cr3t.s3cr3t"},
        {"note": "eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t"},
        {"url": "https://hooks.slack.com/services/T0/B0/s3cr3t"},
        {"url": "https://example.com/#access_token=s3cr3t"},
    ],
)
def test_secrets_outside_inputs_are_redacted_too(definition: dict):
    assert "s3cr3t" not in json.dumps(redact_definition(definition))


@pytest.mark.parametrize("name", ["order", "templating", "value", "secret"])
def test_an_input_that_is_called_like_a_setting_is_redacted(name: str):
    for item in ({"value": "s3cr3t"}, "s3cr3t", ["s3cr3t"]):
        assert "s3cr3t" not in json.dumps(redact_definition({"inputs": {name: item}}))


def test_a_password_of_digits_is_redacted():
    assert redact_definition({"password": 31415926}) == {"password": REDACTED}


def test_what_is_no_secret_stays():
    trigger = {"type": "event", "filters": {"events": [{"id": "signed up", "order": 0}]}}
    assert redact_definition(trigger) == trigger


@given(st.text(min_size=6, alphabet="abcdefgh"), st.sampled_from(["value", "x", "default"]))
def test_no_text_below_inputs_survives(secret: str, name: str):
    definition = {"inputs": {"a": {name: secret, "list": [secret, {"b": secret}]}}}
    landed = redact_definition(definition)
    assert f'"{secret}"' not in json.dumps(landed)


def test_masking_takes_out_addresses_names_and_distinct_ids():
    messages = pa.array(
        [
            "Starting [Person:0196-ab|Ada Lovelace] [Event:77|signed up|2026-05-10T10:00:00Z]",
            "[Actor:ada@example.com] sent to ada.l+x@mail.example.co.uk",
            None,
            "nothing personal",
        ]
    )
    assert redact_messages(messages, "mask").to_pylist() == [
        "Starting [Person:0196-ab|***] [Event:77|signed up|2026-05-10T10:00:00Z]",
        "[Actor:***] sent to ***@***",
        None,
        "nothing personal",
    ]
    assert redact_messages(messages, "keep").equals(messages)
    assert redact_messages(messages, "drop").to_pylist() == [""] * 4
