"""`hog-dagster ledger`: what an operator reads and decides."""

import contextlib
import io
import json
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from hog_dagster.cli import main
from hog_dagster.jobs._pairing import pairing_refusal, remember_pairing
from hog_dagster.ledger import Action, Ledger, State
from tests.ledger.kit import LOWER, NOON, UPPER, StoppedClock, in_state, replay, sent


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    with Ledger(url) as ledger:
        for number, state in ((1, State.CONFIRMED), (2, State.IN_DOUBT)):
            action = Action(1, "replay", LOWER, f"run-{number}", target_name="Welcome mail")
            in_state(ledger, state, action, owner="dagster-1")
    return url


def call(*words: str, width: int = 200) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.MonkeyPatch.context() as environ:
        environ.setenv("COLUMNS", str(width))
        return main(["ledger", *words]), out.getvalue()


def states(url: str) -> list[State]:
    with Ledger(url) as ledger:
        return [entry.state for entry in ledger.entries()]


def test_the_list_shows_each_action_by_name_and_id_and_how_to_resolve_a_doubt(url: str) -> None:
    code, text = call("--url", url, "list")
    assert code == 0
    for shown in (
        "run-1",
        "run-2",
        f"Welcome mail ({LOWER})",
        "in doubt  replay of a workflow, sent once",
    ):
        assert shown in text
    assert "1 in doubt" in text
    assert "hog-dagster ledger resolve <number> --as confirmed|not-sent" in text


def test_the_list_keeps_ids_whole_in_sixty_columns(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.sqlite"
    with Ledger(url) as ledger:
        action = Action(1, "schedule_create", LOWER, "2026-11-20T09:00:00Z")
        ledger.confirm(sent(ledger, action), note="schedule made", remote_id=1234567)
        ledger.claim(Action(1, "rerun", LOWER, f"{LOWER}#12"), "dagster-1")
    text = call("--url", url, "list", width=60)[1]
    for shown in (LOWER, f"{LOWER}#12", "2026-11-20T09:00:00Z", "never sent", "result 1234567"):
        assert shown in text
    assert max(map(len, text.splitlines())) <= 60


def test_the_list_can_be_narrowed_and_read_by_a_program(url: str) -> None:
    _, text = call("--url", url, "list", "--in-doubt", "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["subject"], row["state"]) for row in rows] == [("run-2", "in_doubt")]
    assert "No such action" in call("--url", url, "list", "--kind", "batch_send")[1]
    assert "No such action" in call("--url", url, "list", "--project", "2")[1]
    for target in ("welcome MAIL", UPPER, LOWER):
        assert "run-1" in call("--url", url, "list", "--target", target)[1]
    assert "No such action" in (said := call("--url", url, "list", "--target", "Welcome")[1])
    assert "The nearest names: Welcome mail." in said
    assert "nearest" not in call("--url", url, "list", "--target", "Anything else")[1]


def test_one_action_is_shown_with_its_history(url: str) -> None:
    _, text = call("--url", url, "show", "1")
    assert f"target_id  Welcome mail ({LOWER})" in text
    text = text.partition("\nhistory\n")[2]
    assert text.index("  claimed\n") < text.index("  sent\n") < text.index("  confirmed\n")
    _, text = call("--url", url, "show", "1", "--json")
    assert [step["state"] for step in json.loads(text)["history"]] == [
        "claimed",
        "sent",
        "confirmed",
    ]


def test_a_decision_is_kept_with_who_and_why(url: str) -> None:
    words = ["resolve", "2", "--as", "not-sent", "--reason", "no such e-mail", "--who", "ana"]
    code, text = call("--url", url, *words)
    assert code == 0
    assert "Action 2 is not sent: resolved by ana: no such e-mail" in text
    assert states(url) == [State.CONFIRMED, State.NOT_SENT]


def test_an_action_that_is_not_in_doubt_is_forced_with_its_subject_only(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--url", url, "resolve", "1", "--as", "not-sent", "--reason", "wrong one"]
    assert call(*words)[0] == 1
    assert "use --force and retype its subject" in capsys.readouterr().err
    for subject in ([], ["--subject", "run-2"]):
        assert call(*words, "--force", *subject)[0] == 1
        said = capsys.readouterr().err
        assert "retype its subject" in said
        assert "Welcome mail" in said
        assert "run-1" not in said
    assert states(url) == [State.CONFIRMED, State.IN_DOUBT]
    code, text = call(*words, "--force", "--subject", "run-1")
    assert code == 0
    assert "forced; it was confirmed" in text
    assert states(url) == [State.NOT_SENT, State.IN_DOUBT]


def test_what_a_run_is_sending_is_not_resolved(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(url) as ledger:
        number = sent(ledger, replay("run-3"), owner="dagster-9").id
    words = ["--url", url, "resolve", str(number), "--as", "not-sent", "--reason", "impatient"]
    assert call(*words)[0] == 1
    assert "being sent by run dagster-9" in capsys.readouterr().err


def test_a_wrong_number_or_place_is_an_error_that_says_so(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["show", "77"], ["show", str(10**30)]):
        assert call("--url", url, *words)[0] == 1
        assert f"no action {words[1]}" in capsys.readouterr().err
    assert call("--url", "mysql://h/x", "list")[0] == 1
    assert "'mysql'" in capsys.readouterr().err


def test_looking_for_a_ledger_that_is_not_there_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere/ledger.sqlite"
    prune = ["prune", "--older-than", "90"]
    for words, code in ((["list"], 0), (["show", "1"], 1), (["adopt"], 1), (prune, 1)):
        assert call("--url", url, *words)[0] == code
        assert "There is no ledger at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_cannot_be_reached_is_an_error_without_the_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("--url", "postgresql://hog:s3cret@127.0.0.1:1/x", "list")[0] == 1
    said = capsys.readouterr().err
    assert "cannot be used" in said
    assert "s3cret" not in said


def test_the_newest_actions_are_shown_and_none_is_no_number(url: str) -> None:
    assert "run-1" not in call("--url", url, "list", "--limit", "1")[1]
    assert call("--url", url, "list", "--limit", "0")[0] == 2


def test_the_bare_command_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger"]) == 0
    text = capsys.readouterr().out
    for command in ("list", "show", "resolve", "adopt", "export", "prune"):
        assert f"  {command} " in text


def test_an_export_is_one_json_object_a_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text = call("--url", url, "export", width=40)
    assert [json.loads(line)["subject"] for line in text.splitlines()] == ["run-1", "run-2"]
    file = tmp_path / "export.jsonl"
    assert call("--url", url, "export", "--output", str(file))[0] == 0
    assert file.read_text() == text
    assert "2 actions written" in capsys.readouterr().err
    assert call("--url", url, "export", "--output", str(tmp_path))[0] == 2
    assert "is a directory" in capsys.readouterr().err


def test_pruning_says_how_many_and_refuses_less_than_90_days(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    long_ago = StoppedClock(NOON.replace(year=2020))
    with Ledger(url, clock=long_ago) as ledger:
        in_state(ledger, State.CONFIRMED, replay("old"))
        in_state(ledger, State.IN_DOUBT, replay("old and in doubt"))
    assert call("--url", url, "prune", "--older-than", "90")[1].startswith("1 finished")
    assert len(states(url)) == 3
    for days in ("89", "-1", "x"):
        assert call("--url", url, "prune", "--older-than", days)[0] == 2
        assert "at least 90" in capsys.readouterr().err


def test_a_ledger_is_adopted_for_a_project(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("POSTHOG_PROJECT_ID", "POSTHOG_HOST", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert call("--url", url, "adopt")[0] == 1
    assert "--project NUMBER" in capsys.readouterr().err
    assert call("--url", url, "adopt", "--project", "1")[0] == 1
    assert "DAGSTER_HOME" in capsys.readouterr().err
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    host = "https://us.posthog.com"
    with dg.DagsterInstance.get() as instance, Ledger(tmp_path / "lost.sqlite") as lost:
        remember_pairing(instance, lost, host, 1)
        lost_id = lost.id
    with dg.DagsterInstance.get() as instance, Ledger(url) as ledger:
        assert pairing_refusal(instance, ledger, host, 1)
    monkeypatch.setenv("POSTHOG_PROJECT_ID", "1")
    code, text = call("--url", url, "adopt")
    assert code == 0
    assert lost_id in text
    assert "it holds 2 actions of it" in text
    with dg.DagsterInstance.get() as instance, Ledger(url) as ledger:
        assert pairing_refusal(instance, ledger, host, 1) is None


def test_an_empty_ledger_is_adopted_only_in_the_place_of_one_that_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, url, host = tmp_path / "home", f"sqlite:///{tmp_path}/new.sqlite", "http://127.0.0.1:1"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    words = ("--url", url, "adopt", "--project", "1", "--host", host)
    assert call(*words)[0] == 1
    assert "There is no ledger at" in capsys.readouterr().err
    with dg.DagsterInstance.get() as instance, Ledger(tmp_path / "lost.sqlite") as lost:
        remember_pairing(instance, lost, host, 1)
    with dg.DagsterInstance.get() as instance, Ledger(url) as ledger:
        assert pairing_refusal(instance, ledger, host, 1)
        assert not ledger.is_made, "a refusal makes no ledger"
    code, text = call(*words)
    assert code == 0
    assert "it holds 0 actions of it" in text
    with dg.DagsterInstance.get() as instance, Ledger(url) as ledger:
        assert pairing_refusal(instance, ledger, host, 1) is None


def test_a_lease_that_is_over_lets_an_operator_decide(url: str) -> None:
    clock = StoppedClock(NOON.replace(year=2020))
    with Ledger(url, clock=clock, lease=timedelta(minutes=1)) as ledger:
        number = sent(ledger, replay("run-3")).id
    code, _ = call(
        "--url", url, "resolve", str(number), "--as", "confirmed", "--reason", "in the logs"
    )
    assert code == 0
    assert states(url)[-1] is State.CONFIRMED
