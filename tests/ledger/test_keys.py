"""Keys and texts: what one database would not keep is refused, or cleaned, the same on both."""

import json
import math
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hog_dagster.ledger import Action, Ledger, LedgerError, normal_id
from hog_dagster.ledger._keys import ID_LIMIT, NAME_LIMIT, clean_json, clean_text, remote_text
from tests.ledger.kit import LOWER, replay, sent

#: Any text: NUL and lone surrogates among the characters, and lengths around the limit.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=ID_LIMIT - 2, max_size=ID_LIMIT + 2),
)
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def is_good(text: str, limit: int = ID_LIMIT) -> bool:
    bad = any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text)
    return bool(text.strip()) and len(text) <= limit and not bad


@pytest.fixture(params=["sqlite", "postgresql"])
def any_ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "sqlite":
        yield Ledger.in_memory()
    else:
        with Ledger(request.getfixturevalue("postgres_url")) as ledger:
            yield ledger


@EXAMPLES
@given(target=TEXTS, subject=TEXTS, kind=TEXTS, owner=TEXTS)
def test_a_key_is_kept_whole_or_refused_before_any_sql(
    any_ledger: Ledger, target: str, subject: str, kind: str, owner: str
) -> None:
    good = all(map(is_good, (target, subject))) and is_good(kind, NAME_LIMIT)
    if not good:
        with pytest.raises(LedgerError) as caught:
            Action(1, kind, target, subject)
        assert len(str(caught.value).encode()) < 500
        return
    action = Action(1, kind, target, subject)
    if not is_good(owner):
        with pytest.raises(LedgerError, match="owner"):
            any_ledger.claim(action, owner)
        return
    claim = any_ledger.claim(action, owner)
    assert any_ledger.get(action) == claim.entry
    assert claim.entry.key == action.key
    assert claim.entry.owner == owner or not claim.granted


@EXAMPLES
@given(note=TEXTS, remote=st.one_of(TEXTS, st.integers()), name=TEXTS, number=st.integers(0, 9**9))
def test_an_outcome_is_never_refused_for_its_texts(
    any_ledger: Ledger, note: str, remote: Any, name: str, number: int
) -> None:
    action = Action(1, "replay", LOWER, f"run-{number}-{uuid.uuid4()}", target_name=name)
    marked = sent(any_ledger, action)
    response = {note: [remote, math.nan, object, {1}], "when": math.inf}
    (entry,) = any_ledger.confirm(marked, note=note, response=response, remote_id=remote)
    assert any_ledger.get(action) == entry
    assert entry.remote_id is not None
    assert entry.remote_id == remote_text(remote)
    assert any_ledger.remote_ids(1, "replay", LOWER, [remote]) == {str(remote)}
    json.dumps(entry.as_dict(), default=str).encode()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"subject": ""}, "subject of an action is empty"),
        ({"subject": "  "}, "subject of an action is empty"),
        ({"subject": 17}, "subject of an action must be text, not int"),
        ({"subject": "x" * 301}, "301 characters, and the ledger takes at most 300"),
        ({"subject": "a\x00b"}, r"U\+0000"),
        ({"target_id": "a\ud800"}, r"target's id holds the character U\+D800"),
        ({"kind": "k" * 41}, "kind of an action has 41 characters"),
        ({"target_type": ""}, "type of an action's target is empty"),
        ({"project_id": "1"}, "project's number must be an integer"),
        ({"project_id": 2**63}, "No project has the number"),
        ({"project_id": True}, "must be an integer"),
    ],
)
def test_a_key_no_database_keeps_is_named_in_one_sentence(wrong: dict[str, Any], says: str) -> None:
    given = {"project_id": 1, "kind": "replay", "target_id": "w", "subject": "s", **wrong}
    with pytest.raises(LedgerError, match=says):
        Action(**given)


@given(st.uuids())
def test_every_spelling_of_a_uuid_is_one_id(value: uuid.UUID) -> None:
    spellings = [str(value), str(value).upper(), value.hex, f"{{{value}}}", value.urn]
    assert {normal_id(spelling) for spelling in spellings} == {str(value)}


@given(st.text())
def test_what_is_no_uuid_is_kept_as_it_is(text: str) -> None:
    try:
        uuid.UUID(text.strip())
    except ValueError:
        assert normal_id(text) == text


def test_long_remote_ids_stay_different() -> None:
    one, two = remote_text("x" * 400 + "1"), remote_text("x" * 400 + "2")
    assert one != two
    assert len(one) == len(two) == ID_LIMIT


def test_json_is_what_any_database_gives_back() -> None:
    assert clean_json({"a": (1, "x\x00"), 2: math.nan}) == {"a": [1, "x\ufffd"], "2": "nan"}


def test_listed_ids_are_new_only_when_they_were_recorded_after_the_mark(ledger: Ledger) -> None:
    def new(ids: list[Any], since: int) -> set[str]:
        known = ledger.listed(1, "batch_send", LOWER, ids)
        return {str(id) for id in ids if known.get(str(id), since + 1) > since}

    assert ledger.remember(1, "batch_send", LOWER, []) == 0
    assert new([1, "b"], since=0) == {"1", "b"}
    mark = ledger.remember(1, "batch_send", LOWER, ["a", 1])
    assert ledger.remember(1, "batch_send", LOWER.upper(), ["a", "1"]) == mark
    assert ledger.remember(1, "batch_send", "another", ["b"]) > mark
    assert ledger.remember(1, "schedule_create", LOWER, ["b"]) > mark
    assert new(["a", 1, "b"], since=mark) == {"b"}
    later = ledger.remember(1, "batch_send", LOWER, ["a", "b"])
    assert later > mark
    assert new(["a", "b", "c"], since=mark) == {"b", "c"}
    assert new(["a", "b", "c"], since=later) == {"c"}
    many = [f"job-{n}" for n in range(1100)]
    mark = ledger.remember(1, "batch_send", LOWER, many)
    assert new([*many, "x"], since=mark) == {"x"}
    with pytest.raises(LedgerError):
        ledger.remember(1, "batch_send", "", ["a"])


def test_the_sequence_rises_with_every_change_and_with_nothing_else(ledger: Ledger) -> None:
    numbers = [ledger.sequence()]
    claim = ledger.claim(replay(), "a")
    numbers.append(ledger.sequence())
    (marked,) = ledger.mark_sent([claim.entry], server_time=None)
    numbers.append(ledger.sequence())
    ledger.confirm(marked, note="queued")
    numbers.append(ledger.sequence())
    ledger.remember(1, "batch_send", LOWER, ["a"])
    numbers.append(ledger.sequence())
    assert numbers == sorted(set(numbers))
    ledger.claim(replay(), "b")
    ledger.remember(1, "batch_send", LOWER, ["a"])
    list(ledger.entries())
    with ledger.lock("w", "a"):
        pass
    assert ledger.sequence() == numbers[-1]


def test_a_long_note_is_cut_and_says_so() -> None:
    assert clean_text("x" * 20, 20) == "x" * 20
    assert clean_text("x" * 21, 20) == "x" * 17 + "..."


def test_actions_are_found_by_posthogs_id_of_their_result(any_ledger: Ledger) -> None:
    number = 10**12  # Python keeps one object of each small number alone
    entry = sent(any_ledger, Action(number, "batch", "w", "monday"))
    any_ledger.confirm(entry, note="seen", remote_id="job-1")
    ask = any_ledger.with_remote_ids
    assert [one.id for one in ask(int(str(number)), "batch", "w", ["job-1", "job-2"])] == [entry.id]
    assert ask(2, "batch", "w", ["job-1"]) == ask(number, "rerun", "w", ["job-1"]) == []
    assert ask(number, "batch", "v", ["job-1"]) == ask(number, "batch", "w", ["job-3"]) == []


def test_a_closed_ledger_leaves_no_connection_behind(postgres_url: str) -> None:
    with Ledger(postgres_url) as ledger:
        assert ledger.get(replay()) is None
        pool = ledger._db._engine.pool
        assert pool.checkedin()  # type: ignore[attr-defined]
    assert not ledger._db._engine.pool.checkedin()  # type: ignore[attr-defined]
