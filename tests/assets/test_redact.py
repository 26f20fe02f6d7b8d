"""What loads holds no secret and, when masked, no personal data."""

import json
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hog_dagster._shared.secrets import MASKS, mask_text, path_of, without_arguments
from hog_dagster.assets._redact import REDACTED, redact_definition, redact_messages

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
    loaded = json.dumps(redact_definition(WEBHOOK))
    assert "s3cr3t" not in loaded
    assert "example.com" not in loaded
    assert "bytecode" not in loaded
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
    loaded = redact_definition(definition)
    assert f'"{secret}"' not in json.dumps(loaded)


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


@pytest.mark.parametrize(
    "message",
    [
        "key phx_s3cr3ts3cr3t is wrong",
        "token phc_s3cr3ts3cr3t",
        "Authorization: Bearer s3cr3t.s3cr3t",
        "Authorization: s3cr3t",
        "{'Authorization': 'Token s3cr3t'}",
        "Cookie: session=s3cr3t; other=s3cr3t",
        "GET https://user:s3cr3t@example.com/x",
        "postgresql://u:x@s3cr3t@h:5432/db",
        "GET https://example.com/?a=1&access_token=s3cr3t&b=2",
        "https://example.com/?key=s3cr3t",
        "host=db password='s3cr3t s3cr3t' user=u",
        '{"api_key": "s3cr3t"}',
        r"{\"client_secret\": \"s3cr3t\"}",
        "https://hooks.slack.com/services/T0/B0/s3cr3t",
        "https://discord.com/api/webhooks/1/s3cr3t",
        "eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t",
        "AKIAS3CR3TS3CR3TS3CR",
    ],
)
def test_masking_takes_secrets_out_of_messages_in_columns_and_in_texts_alike(message: str):
    column = pa.array([message, None, "nothing", f"so {message}"])
    masked = redact_messages(column, "mask").to_pylist()
    assert "s3cr3t" not in str(masked).lower()
    assert masked[1:3] == [None, "nothing"]
    assert [masked[0], masked[3]] == [mask_text(message), mask_text(f"so {message}")]


def test_masking_takes_out_basic_authentication():
    encoded = "aG9nOnMzY3IzdHMzY3IzdA=="
    for message in (f"sent Basic {encoded}", f"Authorization: Basic {encoded}"):
        assert encoded[:8] not in mask_text(message)
        assert encoded[:8] not in str(redact_messages(pa.array([message]), "mask"))


@pytest.mark.parametrize(
    "message",
    [
        "POST https://example.com:8443/in?page=2&limit=50 answered 500",
        "user_id=17 took 3.2 s; retry=2",
        "missing required scope 'hog_flow:read'",
        "basic understanding of a bearer",
        "Workflow moved to action_function_1",
        "at 10:00 @ the office",
    ],
)
def test_what_is_no_secret_stays_in_messages(message: str):
    assert redact_messages(pa.array([message]), "mask").to_pylist() == [message]
    assert mask_text(message) == message


@given(st.text())
def test_columns_and_texts_are_masked_by_the_same_rules(text: str):
    text = text.encode("utf-8", "ignore").decode()
    assert redact_messages(pa.array([text]), "drop").to_pylist() == [""]
    for mask in MASKS:
        if not any(needle in text.encode() for needle in mask.needles):
            assert mask.over(text) == text


@pytest.mark.parametrize(
    "part",
    [
        *("a", "a.", "password", "://", "[Actor:", "[Person:", "[Person:|", "-eyJaaaaaaaa"),
        *("-eyJaaaaaaaa.", "basic ", "cookie", "token='", "hooks.", "[Group:a|@"),
    ],
)
def test_a_long_text_is_masked_in_a_moment(part: str):
    text = part * (300_000 // len(part)) + "@"
    began = time.process_time()
    mask_text(text)
    redact_messages(pa.array([text]), "mask")
    assert time.process_time() - began < 5


def test_what_names_a_person_is_masked_in_a_text_that_was_cut():
    for message in ("sent to [Person:0196-ab|Ada Lov", "sent by [Actor:ada-lovelace-of-exa"):
        for masked in (mask_text(message), str(redact_messages(pa.array([message]), "mask")[0])):
            assert "da" not in masked


def test_a_url_shows_no_values_but_times_and_numbers():
    url = "https://u:p@example.com/api/?limit=5&group_key=acme&after=2026-01-01#x"
    shown = "https://[redacted]@example.com/api/?limit=5&group_key=***&after=2026-01-01"
    assert without_arguments(url) == shown
    assert path_of(url) == "/api/"
    for odd in ("http://[::1/x?a=b", "://", "", "http://u:p@[x]@h/?token=1"):
        assert "p@" not in without_arguments(odd) + path_of(odd)
