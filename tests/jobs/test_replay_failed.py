"""The replay job on servers with reruns: failed runs of workflows and hog functions, once each."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.ledger import Action
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step
from tests.acting_kit import House, effects, house

RERUN = "*/rerun/"


def mail(id: str) -> dict[str, Any]:
    given = {"to": "{person.properties.email}", "from": {"email": "us@example.com"}, "subject": "S"}
    inputs = {"email": {"value": given}}
    config = {"template_id": "template-email", "inputs": inputs}
    return {**step(id, "function_email", config), "name": "Welcome e-mail"}


def hook(id: str) -> dict[str, Any]:
    inputs = {"url": {"value": "https://example.com/in"}}
    return step(id, "function", {"template_id": "template-webhook", "inputs": inputs})


@pytest.fixture(params=["current", "mid2026"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, request.param) as home:
        home.sandbox.world.rerun_lag = 0.1
        home.sandbox.world.rerun_takes = 0.1
        yield home


@pytest.fixture
def sandbox(home: House) -> Sandbox:
    return home.sandbox


@pytest.fixture
def workflow(sandbox: Sandbox) -> str:
    return sandbox.world.add_workflow("Onboarding")["id"]


def failed(sandbox: Sandbox, workflow: str, n: int = 1, hours: float = 1.0, **more: Any) -> list:
    at = sandbox.clock.now() - timedelta(hours=hours)
    return [sandbox.world.add_run(workflow, "failed", at, **more) for _ in range(n)]


def ago(sandbox: Sandbox, hours: float) -> str:
    return (sandbox.clock.now() - timedelta(hours=hours)).isoformat()


def asked(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        record.body["filter"]
        for record in sandbox.requests
        if record.method == "POST" and record.path.endswith("/rerun/")
    ]


def test_named_runs_are_run_again_once_by_their_ids(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = failed(sandbox, workflow, 2)
    ran = home.replay(workflow, runs, verify_seconds=10)
    assert ran.success
    assert ran.value["confirmed"] == 2
    (request,) = asked(sandbox)
    assert sorted(request["invocation_ids"]) == sorted(run.invocation_id for run in runs)
    assert request["status"] == ["failed"]
    again = home.replay(workflow, runs)
    assert again.value["done_before"] == 2
    assert effects(sandbox) == {run.invocation_id: 1 for run in runs}


@pytest.mark.parametrize("answer", ["kept", "lost"])
@pytest.mark.parametrize("fails_again", [False, True])
def test_a_job_executed_four_times_runs_each_run_again_once(
    home: House, sandbox: Sandbox, workflow: str, answer: str, fails_again: bool
) -> None:
    end = "failed" if fails_again else "succeeded"
    (run,) = failed(sandbox, workflow, hours=20 * 24, retry_status=end)
    if answer == "lost":
        sandbox.fail("POST", RERUN, cut="after")
    for _ in range(4):
        home.replay(workflow, [run], verify_seconds=5)
        sandbox.clock.advance(3600)
    assert effects(sandbox) == {run.invocation_id: 1}
    assert len(asked(sandbox)) == 1
    assert set(home.states().values()) == {"confirmed"}


def test_slices_never_repeat_a_run(home: House, sandbox: Sandbox, workflow: str) -> None:
    runs = failed(sandbox, workflow, 7)
    ran = home.replay(workflow, runs, slice_size=3, verify_seconds=10)
    assert ran.value["confirmed"] == 7
    named = [name for request in asked(sandbox) for name in request["invocation_ids"]]
    assert len(named) == len(set(named)) == 7
    assert len(asked(sandbox)) == 3


# --- which runs -----------------------------------------------------------------------------------


def test_a_window_finds_what_failed_in_it_and_nothing_else(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    inside = failed(sandbox, workflow, 3, hours=2)
    failed(sandbox, workflow, 2, hours=5)
    failed(sandbox, workflow, 2, hours=0.5)
    window = {"window_from": ago(sandbox, 3), "window_to": ago(sandbox, 1)}
    ran = home.replay("Onboarding", **window, verify_seconds=10)
    assert ran.success
    assert effects(sandbox) == {run.invocation_id: 1 for run in inside}


def test_a_workflow_is_named_by_name_or_id_alone_or_in_a_list(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    failed(sandbox, workflow)
    window = {"window_from": ago(sandbox, 3), "dry_run": True}
    for named in ("Onboarding", workflow, workflow.upper(), ["Onboarding"], [workflow]):
        ran = home.replay(named, **window)
        assert ran.success, ran.failure
        assert ran.value["dry_run"] == 1
        assert "Onboarding" in ran.metadata["target"]


def test_the_maximum_counts_what_is_sent_and_the_rest_is_named(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    failed(sandbox, workflow, 5)
    other = sandbox.world.add_workflow("Other")["id"]
    failed(sandbox, other, 5)
    both = ["Onboarding", "Other"]
    ran = home.replay(both, window_from=ago(sandbox, 3), max_runs=7, verify_seconds=10)
    assert ran.value["confirmed"] == 7
    assert "over the maximum of 2 runs" in str(ran.metadata["table"])
    for _ in range(2):
        home.replay(both, window_from=ago(sandbox, 3), max_runs=7, verify_seconds=10)
    assert set(effects(sandbox).values()) == {1}
    assert len(effects(sandbox)) == 10


def test_error_kind_and_message_narrow_it(home: House, sandbox: Sandbox, workflow: str) -> None:
    timeouts = failed(sandbox, workflow, 2, error_kind="timeout", error_message="Read timed out")
    failed(sandbox, workflow, 3, error_kind="http_error", error_message="HTTP 500")
    window = {"window_from": ago(sandbox, 3), "dry_run": True}
    by_kind = home.replay(workflow, **window, error_kinds="timeout")
    by_text = home.replay(workflow, **window, message_contains="TIMED")
    assert by_kind.value["dry_run"] == by_text.value["dry_run"] == len(timeouts)


def test_one_bad_workflow_does_not_cost_the_others(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    good = failed(sandbox, workflow, 2)
    broken = sandbox.world.add_workflow("Broken")["id"]
    failed(sandbox, broken, 2)
    body = {"type": "validation_error", "code": "invalid", "detail": "Odd.", "attr": "filter"}
    sandbox.fail("POST", f"*/{broken}/rerun/", status=400, body=body)
    ran = home.replay(["Broken", "Onboarding"], window_from=ago(sandbox, 3), verify_seconds=10)
    assert not ran.success
    assert "2 of 4 runs were not sent" in ran.failure
    assert effects(sandbox) == {run.invocation_id: 1 for run in good}
    looked = [row.data["workflow"] for row in ran.metadata["needs_a_look"]]
    assert looked == ["Broken", "Broken"]


def test_a_workflow_that_cannot_be_read_is_named_and_the_others_are_done(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    good = failed(sandbox, workflow, 2)
    broken = sandbox.world.add_workflow("Broken")["id"]
    failed(sandbox, broken)
    sandbox.fail("GET", f"*/hog_flows/{broken}/", times=0, status=500, body={"detail": "no"})
    ran = home.replay(["Broken", "Onboarding"], window_from=ago(sandbox, 3), verify_seconds=10)
    assert not ran.success
    assert f'workflow "Broken" ({broken}): ServerError' in ran.failure
    assert effects(sandbox) == {run.invocation_id: 1 for run in good}


def test_failed_deliveries_of_a_hog_function_are_run_again(home: House, sandbox: Sandbox) -> None:
    function = sandbox.world.add_hog_function("Slack")["id"]
    at = sandbox.clock.now() - timedelta(hours=1)
    runs = [sandbox.world.add_function_run(function, "failed", at) for _ in range(2)]
    window = {"window_from": ago(sandbox, 3), "workflows": []}
    ran = home.replay([], hog_functions="Slack", **{**window, "verify_seconds": 10})
    assert ran.success, ran.failure
    assert effects(sandbox) == {run.invocation_id: 1 for run in runs}
    assert ran.metadata["link"].endswith(f"/functions/{function}")


# --- what a dry run says --------------------------------------------------------------------------


def test_a_dry_run_says_per_workflow_what_failed_what_would_go_out_again_and_what_is_left(
    home: House, sandbox: Sandbox
) -> None:
    sandbox.world.add_person("ada", email="ada@example.com")
    welcome = sandbox.world.add_workflow("Welcome", actions=[mail("m"), hook("h")])["id"]
    quiet = sandbox.world.add_workflow("Quiet", actions=[hook("h")])["id"]
    failed(sandbox, welcome, 3, distinct_id="ada", fails_at="h", error_message="HTTP 502")
    failed(sandbox, quiet, 2, error_message="HTTP 503")
    window = {"window_from": ago(sandbox, 3), "dry_run": True}
    ran = home.replay(["Welcome", "Quiet"], **window)
    assert ran.success
    assert ran.rows("failed") == {"HTTP 502": 3, "HTTP 503": 2}
    (left,) = ran.rows("left")
    assert '"Welcome e-mail" has been sent and would go out again (already_sent: skip)' in left
    allowed = home.replay(["Welcome"], **window, already_sent="allow")
    assert allowed.rows("would go out again") == {"Welcome e-mail": 3}
    assert allowed.rows("would run again") == {"": 3}
    assert allowed.rows("requests to send it") == {"": 1}
    assert asked(sandbox) == []
    assert home.states() == {}


def test_what_was_sent_already_goes_out_again_only_if_allowed(
    home: House, sandbox: Sandbox
) -> None:
    sandbox.world.add_person("ada", email="ada@example.com")
    welcome = sandbox.world.add_workflow("Welcome", actions=[mail("m"), hook("h")])["id"]
    failed(sandbox, welcome, distinct_id="ada", fails_at="h")
    before = len(sandbox.world.messages)
    window = {"window_from": ago(sandbox, 3), "verify_seconds": 10}
    assert home.replay("Welcome", **window).value["skipped"] == 1
    assert len(sandbox.world.messages) == before
    resumes = home.replay("Welcome", **window, already_sent="if_resumes")
    if sandbox.world.stored_action:  # the newest servers resume at the step that failed
        assert resumes.value["confirmed"] == 1
        assert len([m for m in sandbox.world.messages if m.action_id == "m"]) == 1
    else:
        assert resumes.value["skipped"] == 1
        assert home.replay("Welcome", **window, already_sent="allow").value["confirmed"] == 1


# --- doubt ----------------------------------------------------------------------------------------


def test_a_rerun_not_seen_yet_is_in_doubt_with_a_command_that_works_here(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.rerun_lag = 300
    runs = failed(sandbox, workflow)
    first = home.replay(workflow, runs, grace_seconds=600)
    assert first.success
    assert first.value["in_doubt"] == 1
    log = "\n".join(str(e.user_message) for e in home.instance.all_logs(first.run_id))
    assert f"hog-dagster ledger --url {home.book().location} list --in-doubt" in log
    assert f"Ledger: {home.book().location}" in log
    assert home.replay(workflow, runs, grace_seconds=600).value["in_doubt"] == 1
    sandbox.clock.advance(400)
    assert home.reconcile(600).value["confirmed"] == 1
    assert effects(sandbox) == {runs[0].invocation_id: 1}


def test_a_window_settles_a_rerun_in_doubt_whose_run_succeeded_meanwhile(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.rerun_lag = 300
    runs = failed(sandbox, workflow)
    assert home.replay(workflow, runs, grace_seconds=600).value["in_doubt"] == 1
    sandbox.clock.advance(400)
    window = {"window_from": ago(sandbox, 3), "window_to": ago(sandbox, 0.5)}
    ran = home.replay("Onboarding", **window)
    assert ran.success
    log = "\n".join(str(e.user_message) for e in home.instance.all_logs(ran.run_id))
    assert "Of 1 actions that were open before: 1 confirmed." in log
    assert [str(entry.state) for entry in home.book().entries()] == ["confirmed"]
    assert effects(sandbox) == {runs[0].invocation_id: 1}


@pytest.mark.parametrize("name", ["html_403", "empty_499"])
def test_an_answer_that_posthog_did_not_write_leaves_a_rerun_in_doubt(
    home: House, sandbox: Sandbox, workflow: str, name: str
) -> None:
    runs = failed(sandbox, workflow)
    sandbox.fail_as(name, "POST", RERUN, effect=False)
    assert home.replay(workflow, runs, grace_seconds=600).value["in_doubt"] == 1
    sandbox.clock.advance(3600)
    ran = home.replay(workflow, runs, grace_seconds=600, verify_seconds=10)
    assert ran.value["confirmed"] == 1
    assert effects(sandbox) == {runs[0].invocation_id: 1}


def test_a_run_that_was_replayed_before_the_server_was_upgraded_is_not_run_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    (run,) = failed(sandbox, workflow)
    with home.book() as book:
        claimed = book.claim(Action(1, "replay", workflow, run.invocation_id), "old").entry
        book.confirm(*book.mark_sent([claimed], server_time=None), note="queued")
    assert home.replay(workflow, [run]).value["done_before"] == 1
    assert asked(sandbox) == []


# --- servers that lack something ------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    [
        ["invocation_results_count"],
        ["global_metrics"],
        ["hogql_runs"],
        ["query"],
        ["sent_messages"],
    ],
)
def test_an_endpoint_that_a_server_lacks_costs_nothing_that_can_do_without(
    tmp_path: Path, missing: list[str]
) -> None:
    with house(tmp_path, "mid2026", missing=missing) as home:
        home.sandbox.world.rerun_lag = home.sandbox.world.rerun_takes = 0.1
        workflow = home.sandbox.world.add_workflow("Onboarding")["id"]
        runs = failed(home.sandbox, workflow, 2)
        ran = home.replay(workflow, window_from=ago(home.sandbox, 3), verify_seconds=10)
        assert ran.success, ran.failure
        assert effects(home.sandbox) == {run.invocation_id: 1 for run in runs}


def test_more_failures_in_one_second_than_posthog_lists_are_all_run_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = failed(sandbox, workflow, 620)
    ran = home.replay(workflow, window_from=ago(sandbox, 3), max_runs=1000, verify_seconds=20)
    assert ran.success, ran.failure
    sandbox.clock.advance(60)
    home.reconcile()
    assert effects(sandbox) == {run.invocation_id: 1 for run in runs}


# --- bad input ------------------------------------------------------------------------------------


def window(sandbox: Sandbox, start: float, end: float | None = None) -> dict[str, Any]:
    given = {"window_from": ago(sandbox, start)}
    return given if end is None else {**given, "window_to": ago(sandbox, end)}


def test_what_cannot_be_meant_is_one_sentence_with_the_remedy_and_nothing_is_sent(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = failed(sandbox, workflow)
    for _ in range(2):
        sandbox.world.add_workflow("Twins")
    cases: list[tuple[Any, list[Any], dict[str, Any], str]] = [
        ("Onbording", [], window(sandbox, 3), "The nearest names: Onboarding"),
        ("Twins", [], window(sandbox, 3), 'have the name "Twins": give one of the ids'),
        (workflow[:-4] + "0000", [], window(sandbox, 3), "it belongs to this project"),
        (workflow, [], window(sandbox, 31 * 24), "PostHog keeps runs for 30 days"),
        (workflow, [], window(sandbox, 1, 3), "swap window_from and window_to"),
        (workflow, [], window(sandbox, -5), "which is in the future"),
        (workflow, [], window(sandbox, 20, 10), "check the window"),
        (workflow, [], {"window_from": "yesterday"}, "window_from is 'yesterday'; give ISO 8601"),
        (
            workflow,
            [],
            {"window_from": "0001-01-01T00:00:00+05:00"},
            "window_from is '0001-01-01T00:00:00+05:00'; give ISO 8601",
        ),
        (workflow, [], {}, "give window_from"),
        ([], [], window(sandbox, 3), "name workflows or hog_functions"),
        ([workflow, "Twins"], runs, {}, "name that one alone"),
        (workflow, [], {"all_blocked": True}, "lists no blocked runs"),
        (workflow, runs, {"max_runs": 0}, "max_runs is 0: Input should be greater than"),
        (workflow, [{"instance_id": "x", "scheduled_at": "noon"}], {}, "scheduled_at is 'noon'"),
    ]
    for named, which, config, says in cases:
        ran = home.replay(named, which, **config)
        assert not ran.success
        assert says in ran.failure
        assert "\n" not in ran.failure
    assert asked(sandbox) == []
    assert home.states() == {}
