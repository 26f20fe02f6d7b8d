"""`hog-dagster replay`, as an operator uses it after an outage: the table first, then once each."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest

from hog_dagster.actions import command_owner, command_runs
from hog_dagster.cli import main
from hog_dagster.jobs._pairing import remember_pairing
from hog_dagster.ledger import Ledger, State
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step

RERUN = "*/rerun/"
MAIL = {"from": {"email": "team@example.com"}, "to": "{person.properties.email}", "subject": "Hi"}
HOUR = timedelta(hours=1)


def mail() -> dict[str, Any]:
    inputs = {"email": {"value": MAIL}}
    return step("mail", "function_email", {"template_id": "template-email", "inputs": inputs}, "Hi")


def call() -> dict[str, Any]:
    inputs = {"url": {"value": "https://example.com/in"}}
    config = {"template_id": "template-webhook", "inputs": inputs}
    return step("call", "function", config, "Tell the CRM")


class Done(NamedTuple):
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str


class Place:
    """A PostHog, a ledger, and the environment of an operator."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.world, self.folder = sandbox, sandbox.world, folder
        self.ledger_file = folder / "ledger.sqlite"
        self.now = sandbox.clock.now().replace(microsecond=0)
        self.begin, self.end = self.now - 3 * HOUR, self.now - 2 * HOUR
        self.window = ("--from", self.begin.isoformat(), "--to", self.end.isoformat())
        self.world.add_person("ada", email="ada@example.com")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "POSTHOG_HOST": self.sandbox.url,
            "POSTHOG_API_KEY": self.sandbox.api_key,
            "POSTHOG_PROJECT_ID": str(self.sandbox.project_id),
            "HOG_DAGSTER_LEDGER": str(self.ledger_file),
            "COLUMNS": "60",
        }

    def ledger_files(self) -> list[Path]:
        return [*self.folder.glob("ledger.sqlite*")]

    def workflow(self, name: str, *steps: dict[str, Any]) -> str:
        """A workflow; they are dealt with in the order in which they are made."""
        id = f"0196377d-1a2b-7c3d-8e4f-{len(self.world.workflows):012}"
        return self.world.add_workflow(name, actions=list(steps) or [mail(), call()], id=id)["id"]

    def fail(
        self, workflow: str, number: int, at: datetime | None = None, **fields: Any
    ) -> list[str]:
        """Failed runs of an outage, spread over the window."""
        begin, apart = at or self.begin, HOUR / (number + 1)
        given = {"distinct_id": "ada", **fields}
        return [
            self.world.add_run(workflow, "failed", begin + n * apart, **given).invocation_id
            for n in range(number)
        ]

    def reruns(self) -> dict[str, int]:
        """How often each run was really executed again."""
        return dict(Counter(e.invocation_id for e in self.world.executions if e.cause == "rerun"))

    def mails(self) -> Counter[str]:
        """How many e-mails each run has sent."""
        return Counter(m.invocation_id for m in self.world.messages if m.action_id == "mail")

    def states(self) -> Counter[State]:
        with Ledger(self.ledger_file) as ledger:
            return Counter(entry.state for entry in ledger.entries())

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """The command in a process of its own."""
        names = ("POSTHOG_", "HOG_DAGSTER_", "DAGSTER_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        return subprocess.Popen(
            [sys.executable, "-c", HEARS, "replay", *words],
            env={**kept, **self.environment},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, true: Callable[[], Any], seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "what was waited for did not come about"
            time.sleep(0.02)


# Shells start what runs in the background deaf to Ctrl-C; this hears it.
HEARS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hog_dagster.actions import command_owner, command_runs
from hog_dagster.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Sandbox(populate=False, limits=False) as sandbox:
        sandbox.world.rerun_lag = sandbox.world.rerun_takes = 0.1
        sandbox.world.rerun_page_delay = 0.05
        yield Place(sandbox, tmp_path)


@pytest.fixture
def replay(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command in this process."""
    monkeypatch.chdir(place.folder)
    for name in ("DAGSTER_HOME", "HOG_DAGSTER_DRY_RUN"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, **environment: str) -> Done:
        for name, value in {**place.environment, **environment}.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(["replay", *words])
        except SystemExit as left:
            code = int(left.code or 0)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run


# --- an outage ------------------------------------------------------------------------------------


def a_table(done: Done) -> dict[str, Any]:
    """The JSON of a dry run, by workflow."""
    assert done.code == 0, done.out + done.err
    told = json.loads(done.out)
    return {one["name"]: one for one in told["workflows"]}


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_an_outage_of_two_thousand_runs_is_replayed_once_each_through_a_lost_answer_and_a_kill(
    place: Place, replay: Callable[..., Done]
) -> None:
    place.world.rerun_resumes = place.world.stored_action = False  # a rerun begins at the trigger
    trial, welcome = place.workflow("Trial ending"), place.workflow("Welcome")
    crm = place.workflow("CRM sync", call())
    due, mailed = [], []
    for workflow in (trial, welcome):
        due += place.fail(workflow, 500, fails_at="mail", error_message="SMTP timeout")
        mailed += place.fail(workflow, 200, fails_at="call", error_message="HTTP 503")
    due += place.fail(crm, 600, fails_at="call", error_message="HTTP 503")
    place.fail(crm, 5, at=place.end + timedelta(minutes=1))  # after the window: not of the outage
    assert place.mails() == dict.fromkeys(mailed, 1)

    # The table before.
    before = a_table(replay(*place.window, "--json"))
    assert place.sandbox.count("POST", RERUN) == 0
    assert not place.ledger_file.exists()
    assert before["Trial ending"]["errors"] == {"SMTP timeout": 500, "HTTP 503": 200}
    assert {name: one["would_run_again"] for name, one in before.items()} == {
        "Trial ending": 500,
        "Welcome": 500,
        "CRM sync": 600,
    }
    assert sum(one["requests_to_send"] for one in before.values()) == 4
    assert before["Welcome"]["left"] == {
        '"Hi" has been sent and would go out again (already_sent: skip)': 200
    }

    # One response is lost after the effect, one process dies with its request under way.
    place.sandbox.fail("POST", RERUN, cut="after")
    killed = place.sandbox.fail("POST", RERUN, hold=60.0)
    first = place.start(*place.window, "--send", "--yes")
    place.until(lambda: killed.hits)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)

    # Again: what was under way is found out, one more answer is lost, this time before the effect.
    place.sandbox.fail("POST", RERUN, cut="before")
    second = replay(*place.window, "--send", "--yes", "--wait", "2")
    assert second.code == 0, second.out + second.err
    assert "500 in doubt: they were sent" in second.out
    assert f"hog-dagster ledger --url sqlite:///{place.ledger_file} resolve" in second.out

    place.sandbox.clock.advance(3 * 3600)  # by then PostHog would have shown it
    third = replay(*place.window, "--send", "--yes", "--json")
    assert third.code == 0, third.out + third.err

    # The table after, and what really happened.
    after = a_table(replay(*place.window, "--json"))
    assert sum(one["would_run_again"] for one in after.values()) == 0
    assert {name: one["failed"] for name, one in after.items()} == {
        "Trial ending": 200,
        "Welcome": 200,
        "CRM sync": 0,
    }
    assert place.reruns() == dict.fromkeys(due, 1)
    had_mail = [run for run in due if place.world.runs[run].workflow_id != crm]
    assert place.mails() == dict.fromkeys([*mailed, *had_mail], 1)
    assert place.states() == {State.CONFIRMED: 1600}
    requests = place.sandbox.count("POST", RERUN)
    assert requests == 5  # four slices, one of them twice: its first request never arrived
    again = replay(*place.window, "--send", "--yes")
    assert place.sandbox.count("POST", RERUN) == requests, again.out


def test_the_same_command_says_that_all_was_run_again_and_ends_well(
    place: Place, replay: Callable[..., Done]
) -> None:
    place.fail(place.workflow("CRM sync", call()), 3)
    other = place.workflow("Billing", call())
    for words in ((), ("--workflow", "CRM sync")):
        assert replay(*place.window, *words, "--send", "--yes").code == 0
        again = replay(*place.window, *words, "--send", "--yes")
        assert again.code == 0, again.err
        assert "3 of them were run again, as the ledger confirms" in " ".join(again.out.split())
        assert "--state confirmed" in again.out
    assert place.sandbox.count("POST", RERUN) == 1
    assert replay(*place.window, "--workflow", other).code == 1
    later = ("--from", place.window[3])  # the same workflow's runs, none of them of this window
    assert replay(*later).code == 1
    assert replay("--from", "-5h", "--to", place.window[1]).code == 1


# --- the table ------------------------------------------------------------------------------------


def test_a_dry_run_says_what_it_uses_and_fits_sixty_columns(
    place: Place, replay: Callable[..., Done]
) -> None:
    flow = place.workflow("Trial ending")
    place.fail(flow, 3, fails_at="mail", error_message="SMTP timeout")
    place.fail(flow, 2, fails_at="call", error_message="HTTP 503 from https://crm.example.com/in")
    done = replay(*place.window)
    assert done.code == 0, done.err
    assert not place.ledger_file.exists()
    assert place.sandbox.count("POST", RERUN) == 0
    lines = [line for line in done.out.splitlines() if str(place.folder) not in line]
    assert max(map(len, lines)) <= 60, done.out
    said = " ".join(done.out.split())
    assert said.startswith(f"The environment: PostHog project 1 at {place.sandbox.url}, DuckDB ")
    assert f"ledger sqlite:///{place.ledger_file} (not made yet)" in said
    for shown in (
        f"Trial ending ({flow}) failed 5 SMTP timeout 3 HTTP 503 from",
        "would run again 3",
        'left 2 "Hi" has been sent and would go out again 2 (already_sent: skip)',
        "requests to send it 1",
        "3 of 5 failed or blocked runs would run again, in 1 request.",
        "Nothing was sent. To send it, add --send.",
    ):
        assert shown in said, said
    assert "\x1b" not in done.out


def test_messages_that_would_go_out_again_are_named_when_that_is_allowed(
    place: Place, replay: Callable[..., Done]
) -> None:
    runs = place.fail(place.workflow("Trial ending"), 2, fails_at="call")
    allowed = replay(*place.window, "--already-sent", "allow")
    assert "would go out again Hi 2" in " ".join(allowed.out.split())
    # The newest servers resume at the step that they stored, and do not repeat the e-mail.
    assert replay(*place.window, "--already-sent", "if_resumes", "--send", "--yes").code == 0
    assert place.reruns() == dict.fromkeys(runs, 1)
    assert place.mails() == dict.fromkeys(runs, 1)


def test_only_what_is_chosen_is_run_again(place: Place, replay: Callable[..., Done]) -> None:
    first, other = place.workflow("CRM sync", call()), place.workflow("Billing", call())
    (wanted,) = place.fail(first, 1, error_kind="timeout", error_message="No response from CRM")
    place.fail(first, 1, error_kind="http_5xx", error_message="No response from CRM")
    place.fail(first, 1, error_kind="timeout", error_message="Too slow")
    place.fail(other, 1, error_kind="timeout", error_message="No response from CRM")
    words = (
        "--workflow",
        "CRM sync",
        "--error-kind",
        "timeout",
        "--message-contains",
        "no response",
    )
    done = replay("--from", "-4h", *words, "--send", "--yes")
    assert done.code == 0, done.err
    assert place.reruns() == {wanted: 1}
    assert "1 confirmed" in done.out


def test_runs_of_a_hog_function_are_run_again(place: Place, replay: Callable[..., Done]) -> None:
    function = place.world.add_hog_function("Slack alerts")["id"]
    run = place.world.add_function_run(function, "failed", place.begin).invocation_id
    done = replay(*place.window, "--hog-function", "Slack alerts", "--send", "--yes")
    assert done.code == 0, done.out + done.err
    assert place.reruns() == {run: 1}


def test_blocked_runs_are_replayed_on_servers_that_list_them(
    tmp_path: Path, replay: Callable[..., Done]
) -> None:
    with Sandbox("docs", populate=False, limits=False, marker_lag=0.0) as sandbox:
        old = Place(sandbox, tmp_path)
        flow = old.workflow("Welcome", call())
        sandbox.world.add_blocked_runs(flow, 3)
        words = ("--from", "-2d", "--workflow", "Welcome")
        dry = replay(*words, **old.environment)
        assert "3 of 3 failed or blocked runs would run again" in " ".join(dry.out.split())
        assert not sandbox.world.replays
        done = replay(*words, "--send", "--yes", **old.environment)
        assert done.code == 0, done.out + done.err
        assert "3 confirmed" in done.out
        replay(*words, "--send", "--yes", **old.environment)
        assert len(sandbox.world.replays) == 3


# --- being stopped --------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_ctrl_c_says_what_was_sent_and_that_running_it_again_is_safe(
    place: Place, replay: Callable[..., Done]
) -> None:
    runs = place.fail(place.workflow("CRM sync", call()), 3)
    held = place.sandbox.fail("POST", RERUN, hold=60.0)
    running = place.start(*place.window, "--send", "--yes")
    place.until(lambda: held.hits)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130, out + err
    said = " ".join(out.split())
    assert "Interrupted. Sent so far: 3 runs (3 in doubt)." in said
    assert "Running the same command again is safe" in said
    assert "Traceback" not in err
    assert replay(*place.window, "--send", "--yes").code == 0  # nothing is failed any more
    assert place.states() == {State.CONFIRMED: 3}
    assert place.reruns() == dict.fromkeys(runs, 1)


def test_claims_of_a_command_that_died_are_free_at_once(place: Place) -> None:
    with command_owner() as owner:
        assert owner.startswith("cli:")
        assert command_runs(owner) is True
    assert command_runs(owner) is False
    assert command_runs("cli:somebody:0123456789ab") is None  # on another machine
    assert command_runs("0196377d-1a2b-7c3d-8e4f-5a6b7c8d9e0f") is None  # a Dagster run


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("--from", "yesterday"), 2, "'yesterday' is no time: give ISO 8601"),
        (("--from", "-40d"), 2, "PostHog keeps runs for 30 days only: give a --from after"),
        (("--from", "-1h", "--to", "-2h"), 2, "swap --from and --to"),
        (("--from", "2199-01-01"), 2, "which is in the future"),
        (("--from", "-1h", "--workflow", "Trail ending"), 2, "The nearest names: Trial ending"),
        (("--from", "-1h", "--workflow", "Twice"), 2, "give one of the ids"),
        (("--from", "-1h", "--hog-function", "No such"), 2, 'has no hog function "No such"'),
        (("--from", "-1h"), 1, "is failed: check the window"),
        (("--from", "-1h", "--workflow", "Trial ending"), 1, "No run of Trial ending that was"),
        (("--from", "-1h", "--max-reruns", "101"), 2, "1<=x<=100"),
        (("--from", "-1h", "--max-runs", "0"), 2, "0 is not in the range 1<=x<="),
        (("--from", "-1h", "--send", "--json"), 2, "add --yes to --send"),
        (("--send",), 2, "--from"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_with_the_remedy_and_sends_nothing(
    words: tuple[str, ...], code: int, named: str, place: Place, replay: Callable[..., Done]
) -> None:
    for name in ("Trial ending", "Twice", "Twice"):
        place.workflow(name)
    done = replay(*words)
    assert (done.code, done.out.count("Traceback")) == (code, 0), done.err
    assert named in " ".join(done.err.split()), done.err
    assert place.sandbox.count("POST", RERUN) == 0


def test_a_dry_run_that_is_ordered_for_everything_holds_here_too(
    place: Place, replay: Callable[..., Done]
) -> None:
    place.fail(place.workflow("CRM sync", call()), 1)
    done = replay(*place.window, "--send", "--yes", HOG_DAGSTER_DRY_RUN="true")
    assert done.code == 2
    assert "HOG_DAGSTER_DRY_RUN is true" in done.err
    assert place.sandbox.count("POST", RERUN) == 0


def test_a_ledger_that_the_dagster_instance_did_not_use_before_is_refused(
    place: Place, replay: Callable[..., Done]
) -> None:
    place.fail(place.workflow("CRM sync", call()), 1)
    home = place.folder / "home"
    home.mkdir()
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        Ledger(place.folder / "before.sqlite") as before,
    ):
        remember_pairing(instance, before, place.sandbox.url, 1)
    dry = replay(*place.window, DAGSTER_HOME=str(home))
    assert dry.code == 0, dry.err
    done = replay(*place.window, "--send", "--yes", DAGSTER_HOME=str(home))
    assert done.code == 1
    assert "is not the one that this Dagster instance used" in done.err
    assert "hog-dagster ledger adopt" in done.err
    assert place.sandbox.count("POST", RERUN) == 0
    assert not place.ledger_files(), "a ledger that is refused is not made"
    main(["ledger", "adopt", "--host", place.sandbox.url, "--project", "1"])
    assert replay(*place.window, "--send", "--yes", DAGSTER_HOME=str(home)).code == 0
    assert len(place.reruns()) == 1


def test_it_asks_before_it_sends(
    place: Place, replay: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.fail(place.workflow("CRM sync", call()), 2)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, sent in (("n", 0), ("y", 1)):
        monkeypatch.setattr("builtins.input", lambda *_, said=answer: said)
        done = replay(*place.window, "--send")
        assert "2 of 2 failed or blocked runs would run again" in " ".join(done.out.split())
        assert place.sandbox.count("POST", RERUN) == sent
        assert bool(place.ledger_files()) is bool(sent)


@pytest.mark.parametrize("home", [False, True], ids=["", "with DAGSTER_HOME"])
@pytest.mark.parametrize(
    "words",
    [
        ("--from", "-40d"),
        ("--from", "2199-01-01"),
        ("--from", "-1h", "--workflow", "No such workflow"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_refused_leaves_no_ledger_behind(
    place: Place, replay: Callable[..., Done], words: tuple[str, ...], home: bool
) -> None:
    place.fail(place.workflow("CRM sync", call()), 1)
    (place.folder / "home").mkdir()
    environment = {"DAGSTER_HOME": str(place.folder / "home")} if home else {}
    done = replay(*words, "--send", "--yes", **environment)
    assert (done.code, "Nothing was sent." in done.err) == (2, True)
    assert not place.ledger_files()
