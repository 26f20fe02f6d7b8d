"""Hog functions on both server generations: found whole, changed without losing inputs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._services.hog_function_inputs import (
    checked_inputs,
    merged_inputs,
    secret_names,
)
from hog_dagster.sandbox import Sandbox

NOBODY = "01900000-0000-0000-0000-000000000000"
GENERATIONS = ("docs", "current")
SCHEMA = [
    {"key": "url", "type": "string", "required": True},
    {"key": "note", "type": "string"},
    {"key": "headers", "type": "dictionary"},
    {"key": "token", "type": "string", "secret": True, "required": True},
]
INPUTS = {
    "url": {"value": "https://example.com/in"},
    "note": {"value": "by {person.properties.name}"},
    "token": {"value": "s3cr3t"},
}

Pair = tuple[Sandbox, PostHogClient]
Start = Callable[..., Pair]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sandbox and a client on it."""
    with ExitStack() as stack:

        def begin(generation: str = "current", **options: Any) -> Pair:
            sandbox = stack.enter_context(Sandbox(generation, populate=False, **options))  # type: ignore[arg-type]
            client = PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False, max_wait=5)
            return sandbox, stack.enter_context(client)

        yield begin


@pytest.fixture(params=GENERATIONS)
def both(request: pytest.FixtureRequest, start: Start) -> Pair:
    """An empty project on a server of each generation."""
    return start(request.param)


def webhook(sandbox: Sandbox, **fields: Any) -> str:
    """A function with a secret, put into the project; its id."""
    chosen = {"inputs_schema": SCHEMA, "inputs": INPUTS, **fields}
    return sandbox.world.add_hog_function("CRM", **chosen)["id"]


def stored(sandbox: Sandbox, id: str) -> Any:
    return sandbox.world.hog_functions[id]


def values(inputs: dict[str, Any] | None) -> dict[str, Any]:
    return {key: item["value"] for key, item in (inputs or {}).items() if "value" in item}


# -- reading --------------------------------------------------------------------------------------


def test_a_function_is_read_with_its_secrets_marked(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox, filters={"events": [{"id": "order"}]}, template_id="template-webhook")
    function = client.hog_functions.get(id)
    assert function.name == "CRM"
    assert function.type == "destination"
    assert function.template_id == "template-webhook"
    assert function.secret_inputs == {"token"}
    assert function.inputs is not None
    assert function.inputs["token"] == {"secret": True}
    assert function.inputs["url"]["value"] == "https://example.com/in"
    assert function.status is not None
    assert function.status.label == "healthy"
    assert (function.status.rating is not None) == (sandbox.generation == "docs")
    assert function.created_at is not None
    assert function.created_at.tzinfo is UTC
    assert "s3cr3t" not in repr(function)


def test_an_unknown_function_is_not_found(both: Pair) -> None:
    _, client = both
    for id in (NOBODY, "no-uuid"):
        with pytest.raises(errors.NotFound, match=f"hog function.*{id}"):
            client.hog_functions.get(id)


@pytest.mark.parametrize("count", [0, 1, 50, 51, 120])
def test_every_function_is_listed_once_in_small_pages(both: Pair, count: int) -> None:
    sandbox, client = both
    ids = {webhook(sandbox) for _ in range(count)}
    listed = [function.id for function in client.hog_functions.list()]
    assert len(listed) == count
    assert set(listed) == ids
    assert sandbox.count("GET", "*/hog_functions/") == max(1, -(-count // 100))
    assert all("limit=100" in record.query for record in sandbox.requests)


def test_rows_that_move_while_the_list_is_read_are_neither_lost_nor_repeated(both: Pair) -> None:
    sandbox, client = both
    ids = [webhook(sandbox) for _ in range(120)]
    sandbox.clock.advance(60)
    listed: list[str] = []
    new = ""
    for number, function in enumerate(client.hog_functions.list()):
        listed.append(function.id)
        if number == 20:
            # The last ones are edited and come first; one goes, one comes.
            for id in ids[:5]:
                sandbox.clock.advance(1)
                stored(sandbox, id).updated_at = sandbox.clock.now()
            stored(sandbox, ids[50]).deleted = True
            new = webhook(sandbox)
    assert len(listed) == len(set(listed))
    assert set(ids) - {ids[50]} <= set(listed)
    assert new in listed


def test_the_list_is_narrowed_by_type_switch_and_text(both: Pair) -> None:
    sandbox, client = both
    one = webhook(sandbox, description="sends orders")
    off = webhook(sandbox, enabled=False)
    order = sandbox.world.add_hog_function("Drop bots", "transformation", hog="return event")["id"]

    def listed(**options: Any) -> set[str]:
        return {function.id for function in client.hog_functions.list(**options)}

    assert listed() == {one, off, order}
    assert listed(type="destination") == {one, off}
    assert listed(type=["transformation", "site_app"]) == {order}
    assert listed(enabled=True) == {one, order}
    assert listed(enabled=False) == {off}
    assert listed(search="orders") == {one}
    assert listed(created_by=sandbox.world.user.id) == {one, off, order}
    last = sandbox.requests[-3]
    assert "enabled=false" in last.query


def test_the_list_is_narrowed_by_filters(both: Pair) -> None:
    sandbox, client = both
    paid = webhook(sandbox, filters={"events": [{"id": "paid", "type": "events"}]})
    left = webhook(sandbox, filters={"events": [{"id": "left", "type": "events"}]})
    webhook(sandbox, filters={"events": [{"id": "came", "type": "events"}]})
    groups = [{"events": [{"id": "paid"}]}, {"events": [{"id": "left"}]}]
    found = [f.id for f in client.hog_functions.list(filters=groups[0])]
    assert found == [paid]
    assert {f.id for f in client.hog_functions.list(filter_groups=groups)} == {paid, left}


def test_whole_rows_where_the_server_has_them(both: Pair) -> None:
    sandbox, client = both
    webhook(sandbox)
    (row,) = client.hog_functions.list(full=True)
    assert (row.inputs is not None) == (sandbox.generation == "current")
    (row,) = client.hog_functions.list()
    assert row.inputs is None
    assert row.hog == "fetch(inputs.url);"


def test_templates_are_listed_and_read(both: Pair) -> None:
    _, client = both
    templates = {template.id: template for template in client.hog_functions.templates()}
    assert "template-webhook" in templates
    assert "template-old-webhook" not in templates  # deprecated
    assert {template.type for template in templates.values()} == {"destination"}
    some = client.hog_functions.templates(types=["transformation", "source_webhook"])
    assert {template.type for template in some} <= {"transformation", "source_webhook"}
    template = client.hog_functions.template("template-old-webhook")
    assert template.code
    with pytest.raises(errors.NotFound):
        client.hog_functions.template("template-nope")


# -- making and changing --------------------------------------------------------------------------


def test_a_function_is_made_from_source_and_from_a_template(both: Pair) -> None:
    sandbox, client = both
    body = {"name": "B", "hog": "print(1)", "inputs_schema": SCHEMA, "inputs": INPUTS}
    function = client.hog_functions.create(body)
    assert function.enabled is False
    assert stored(sandbox, function.id).secrets["token"]["value"] == "s3cr3t"
    url = {"url": {"value": "https://example.com"}}
    made = client.hog_functions.create({"template_id": "template-webhook", "inputs": url})
    assert made.template_id == "template-webhook"
    assert made.inputs_schema


def test_a_create_is_sent_once_whatever_happens(both: Pair) -> None:
    sandbox, client = both
    body = {"name": "B", "hog": "print(1)"}
    faults: list[tuple[dict[str, Any], type[errors.PostHogError]]] = [
        ({"cut": "after"}, errors.OutcomeUnknown),
        ({"status": 503}, errors.ServerError),
        ({"status": 429}, errors.Throttled),
        ({"status": 200, "body": "<html>"}, errors.OutcomeUnknown),
    ]
    for fault, kind in faults:
        sandbox.reset_counts()
        sandbox.fail("POST", "*/hog_functions/", **fault)
        with pytest.raises(kind):
            client.hog_functions.create(body)
        assert sandbox.count("POST") == 1


def test_a_create_that_posthog_refuses_says_where(both: Pair) -> None:
    _, client = both
    with pytest.raises(errors.InvalidRequest) as caught:
        client.hog_functions.create({"hog": "print(1)", "inputs_schema": SCHEMA, "inputs": {}})
    assert caught.value.attr == "inputs__url"
    with pytest.raises(errors.InvalidRequest, match="template_id"):
        client.hog_functions.create({"template_id": "template-nope"})


def test_a_bare_input_is_refused_before_it_is_sent(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    bare: dict[str, Any] = {"inputs": {"url": "https://example.com"}}
    for send in (
        lambda: client.hog_functions.create({"hog": "return 1", **bare}),
        lambda: client.hog_functions.replace(id, bare),
        lambda: client.hog_functions.update(id, bare),
    ):
        with pytest.raises(ValueError, match="input url must be an object"):
            send()
    assert sandbox.requests == []


def test_changing_one_input_keeps_the_others_and_the_secret(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    changed = client.hog_functions.update(
        id, {"name": "New", "inputs": {"url": {"value": "https://example.org"}}}
    )
    assert changed.name == "New"
    assert values(changed.inputs) == {
        "url": "https://example.org",
        "note": "by {person.properties.name}",
    }
    assert changed.inputs is not None
    assert changed.inputs["token"] == {"secret": True}
    assert stored(sandbox, id).secrets["token"]["value"] == "s3cr3t"
    sent = sandbox.requests[-1].body["inputs"]
    assert sent["token"] == {"secret": True}
    assert "bytecode" not in sent["note"]


def test_a_plain_patch_would_have_blanked_them(both: Pair) -> None:
    # What `update` is for: the server's own rule.
    sandbox, client = both
    id = webhook(sandbox)
    client.hog_functions.replace(
        id, {"hog": "print(1)", "inputs": {"url": INPUTS["url"], "token": {"secret": True}}}
    )
    assert values(client.hog_functions.get(id).inputs) == {"url": "https://example.com/in"}
    assert stored(sandbox, id).secrets["token"]["value"] == "s3cr3t"


def test_a_secret_is_changed_even_beside_its_marker(both: Pair) -> None:
    # Older servers keep the stored secret when the marker stands beside a new value.
    sandbox, client = both
    id = webhook(sandbox)
    client.hog_functions.update(id, {"inputs": {"token": {"value": "new", "secret": True}}})
    assert stored(sandbox, id).secrets["token"]["value"] == "new"


def test_none_empties_an_input(both: Pair) -> None:
    sandbox, client = both
    schema = [{**item, "required": False} for item in SCHEMA]
    id = webhook(sandbox, inputs_schema=schema)
    client.hog_functions.update(id, {"inputs": {"note": None, "token": None}})
    assert values(client.hog_functions.get(id).inputs) == {"url": "https://example.com/in"}
    assert stored(sandbox, id).secrets["token"]["value"] == ""


def test_a_change_by_somebody_else_between_read_and_write_is_merged(start: Start) -> None:
    sandbox, client = start("current")
    id = webhook(sandbox)
    get = client.hog_functions.get
    reads: list[str] = []

    def get_and_be_overtaken(id: str) -> Any:
        read = get(id)
        reads.append(id)
        if len(reads) == 1:
            row = stored(sandbox, id)
            row.inputs["note"]["value"] = "theirs"
            sandbox.clock.advance(1)
            row.updated_at = sandbox.clock.now()
        return read

    client.hog_functions.get = get_and_be_overtaken  # type: ignore[method-assign]
    client.hog_functions.update(id, {"inputs": {"url": {"value": "https://example.org"}}})
    assert len(reads) == 2
    assert values(get(id).inputs) == {"url": "https://example.org", "note": "theirs"}


def test_a_stale_base_is_a_conflict_where_the_server_looks_at_it(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    base = client.hog_functions.get(id).updated_at
    sandbox.clock.advance(5)
    client.hog_functions.update(id, {"name": "theirs"})
    changes = {"name": "mine", "base_updated_at": base}
    if sandbox.generation == "current":
        with pytest.raises(errors.Conflict) as caught:
            client.hog_functions.update(id, changes)
        assert caught.value.code == "stale_update"
        with pytest.raises(errors.Conflict):
            client.hog_functions.update(id, {**changes, "inputs": {"note": {"value": "x"}}})
        assert stored(sandbox, id).name == "theirs"
    else:
        assert client.hog_functions.update(id, changes).name == "mine"


def test_inputs_that_change_all_the_time_end_in_a_conflict(start: Start) -> None:
    sandbox, client = start("current")
    id = webhook(sandbox)
    stale = {"type": "server_error", "code": "stale_update", "detail": "changed", "attr": None}
    sandbox.fail("PATCH", "*/hog_functions/*", times=9, status=409, body=stale)
    with pytest.raises(errors.Conflict):
        client.hog_functions.update(id, {"inputs": {"note": {"value": "x"}}})
    assert sandbox.count("GET", "*/hog_functions/*") == sandbox.count("PATCH") == 3


def test_an_update_is_sent_again_after_a_broken_connection(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    sandbox.fail("PATCH", "*/hog_functions/*", cut="after")
    changed = client.hog_functions.update(id, {"inputs": {"note": {"value": "x"}}})
    assert values(changed.inputs)["note"] == "x"
    assert values(changed.inputs)["url"] == "https://example.com/in"


def test_a_naive_base_is_refused(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        client.hog_functions.update(id, {"name": "x", "base_updated_at": naive})


def test_the_type_of_a_function_cannot_change(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    with pytest.raises(errors.InvalidRequest) as caught:
        client.hog_functions.update(id, {"type": "transformation"})
    assert caught.value.attr == "type"


# -- deleting and ordering ------------------------------------------------------------------------


def test_a_function_is_deleted_softly_twice_and_restored(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    assert client.hog_functions.delete(id) is True
    assert client.hog_functions.delete(id) is False
    assert list(client.hog_functions.list()) == []
    with pytest.raises(errors.NotFound):
        client.hog_functions.get(id)
    with pytest.raises(errors.NotFound):
        client.hog_functions.update(id, {"name": "x"})
    assert client.hog_functions.restore(id).name == "CRM"
    assert [function.id for function in client.hog_functions.list()] == [id]
    assert sandbox.count("DELETE") == 0


def test_a_delete_whose_answer_was_lost_is_a_success(both: Pair) -> None:
    sandbox, client = both
    id = webhook(sandbox)
    sandbox.fail("PATCH", "*/hog_functions/*", cut="after")
    assert client.hog_functions.delete(id) is False
    assert stored(sandbox, id).deleted


def test_what_never_was_is_deleted_and_not_restored(both: Pair) -> None:
    _, client = both
    assert client.hog_functions.delete(NOBODY) is False
    with pytest.raises(errors.NotFound):
        client.hog_functions.restore(NOBODY)


def test_deleting_in_an_unknown_project_is_no_success(both: Pair) -> None:
    sandbox, _ = both
    with (
        PostHogClient(sandbox.url, sandbox.api_key, 2, limits=False) as client,
        pytest.raises((errors.NotFound, errors.PermissionDenied), match="PROJECT_ID"),
    ):
        client.hog_functions.delete(NOBODY)


def test_transformations_are_put_in_order(both: Pair) -> None:
    sandbox, client = both
    ids = [
        sandbox.world.add_hog_function(f"t{n}", "transformation", hog="return event")["id"]
        for n in range(3)
    ]
    ordered = client.hog_functions.rearrange({ids[2].upper(): 0, ids[0]: 7})
    assert [function.id for function in ordered] == [ids[2], ids[1], ids[0]]
    assert [function.execution_order for function in ordered] == [0, 2, 7]
    with pytest.raises(errors.InvalidRequest, match="does not exist"):
        client.hog_functions.rearrange({webhook(sandbox): 1})


@pytest.mark.parametrize(
    "orders", [{}, {"x": 1}, {NOBODY: "1"}, {NOBODY: True}, {NOBODY: -1}, {NOBODY: 32_768}]
)
def test_an_order_that_would_crash_the_server_is_not_sent(
    both: Pair, orders: dict[str, Any]
) -> None:
    sandbox, client = both
    with pytest.raises(ValueError, match="rearrange"):
        client.hog_functions.rearrange(orders)
    assert sandbox.requests == []


# -- the merge of inputs by itself ----------------------------------------------------------------

NAMES = st.sampled_from("abcdef")
ITEM = st.sampled_from([{"value": ""}, {"value": "x"}, {"value": {"y": 1}}])


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, st.one_of(st.none(), ITEM, st.just({"secret": True}))),
    st.dictionaries(NAMES, st.one_of(st.none(), ITEM)),
    st.sets(NAMES),
)
def test_a_merge_changes_what_it_is_told_and_nothing_else(
    stored: dict[str, Any], changes: dict[str, Any], secrets: set[str]
) -> None:
    derived = {
        name: value and {**value, "bytecode": [1], "order": 0} for name, value in stored.items()
    }
    merged = merged_inputs(derived, changes, secrets)
    for name, value in stored.items():
        if name not in changes:
            assert merged.get(name) == value
    for name, value in changes.items():
        if value is not None:
            assert merged[name] == value
        elif name in secrets:
            assert merged[name] == {"value": ""}
        else:
            assert name not in merged
    assert set(merged) <= set(stored) | set(changes)


def test_secrets_of_a_schema_and_inputs_of_a_body() -> None:
    assert secret_names(SCHEMA) == {"token"}
    assert secret_names(None) == secret_names([{"secret": True}, "odd"]) == frozenset()
    assert checked_inputs({"a": None, "b": {"secret": True}}) == {"b": {"secret": True}}
    with pytest.raises(ValueError, match="input a"):
        checked_inputs({"a": {"secret": False}})
    with pytest.raises(ValueError, match="mapping"):
        checked_inputs([{"key": "a", "value": 1}])  # type: ignore[arg-type]
