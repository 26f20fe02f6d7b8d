"""`hog-dagster ledger`: what an operator sees and says."""

import argparse
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from hog_dagster.cli import _ledger as ledger_cli
from hog_dagster.ledger import Act, Ledger, State


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    with Ledger(url) as ledger:
        for subject in ("run-1", "run-2"):
            sent = ledger.mark_sent(
                ledger.claim(Act(1, "replay", "wf", subject, {"host": "h"}), "dagster-1").entry
            )
            if subject == "run-1":
                ledger.confirm(sent, answer={"status": "queued"}, note="PostHog queued it")
            else:
                ledger.doubt(sent, note="no answer came")
    return url


def call(*words: str, width: int = 200) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    ledger_cli.add_arguments(parser)
    out = io.StringIO()
    console = Console(file=out, width=width)
    return ledger_cli.run(parser.parse_args(words), console), out.getvalue()


def test_the_list_shows_each_act_and_how_to_settle_what_is_in_doubt(url: str) -> None:
    code, text = call("--url", url, "list")
    assert code == 0
    assert "run-1" in text
    assert "run-2" in text
    assert "1 in doubt" in text
    assert "ledger resolve" in text


def test_the_list_keeps_ids_whole_in_a_narrow_terminal(tmp_path: Path) -> None:
    url, workflow = f"sqlite:///{tmp_path}/l.sqlite", "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
    with Ledger(url) as ledger:
        ledger.claim(Act(1, "schedule_create", workflow, "2026-11-20T09:00:00Z"), "dagster-1")
    text = call("--url", url, "list", width=80)[1]
    assert workflow in text
    assert "2026-11-20T09:00:00Z" in text
    assert "not sent" in text


def test_the_list_can_be_narrowed_and_read_by_a_program(url: str) -> None:
    _, text = call("--url", url, "list", "--in-doubt", "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["subject"], row["state"]) for row in rows] == [("run-2", "unknown")]
    _, text = call("--url", url, "list", "--kind", "batch_send")
    assert "No such act" in text


def test_one_act_is_shown_with_its_history(url: str) -> None:
    _, text = call("--url", url, "show", "1")
    assert "PostHog queued it" in text
    assert text.index("claimed") < text.index("confirmed  dagster-1")
    _, text = call("--url", url, "show", "1", "--json")
    assert [step["state"] for step in json.loads(text)["history"]] == [
        "intended",
        "sent",
        "confirmed",
    ]


def test_settling_is_kept_with_who_and_why(url: str) -> None:
    words = ["settle", "2", "--as", "not-sent", "--reason", "no such e-mail", "--who", "ana"]
    code, text = call("--url", url, *words)
    assert code == 0
    assert "settled by ana: no such e-mail" in text
    with Ledger(url) as ledger:
        assert [e.state for e in ledger.entries()] == [State.CONFIRMED, State.INTENDED]


def test_a_wrong_number_or_place_is_an_error_that_says_so(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--url", url, "show", "77")[0] == 1
    assert "no act 77" in capsys.readouterr().err
    assert call("--url", "mysql://h/x", "list")[0] == 1
    assert "'mysql'" in capsys.readouterr().err


def test_looking_for_a_ledger_that_is_not_there_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere/ledger.sqlite"
    for words, code in ((["list"], 0), (["show", "1"], 1)):
        assert call("--url", url, *words)[0] == code
        assert "There is no ledger at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_does_not_answer_is_an_error_that_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("--url", "postgresql://hog:s3cret@127.0.0.1:1/x", "list")[0] == 1
    said = capsys.readouterr().err
    assert "cannot be used" in said
    assert "s3cret" not in said


def test_the_newest_acts_are_shown_and_none_is_no_number(url: str) -> None:
    assert "run-1" not in call("--url", url, "list", "--limit", "1")[1]
    with pytest.raises(SystemExit):
        call("--url", url, "list", "--limit", "0")
