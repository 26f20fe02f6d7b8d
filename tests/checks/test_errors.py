"""An error that comes too often is named, with its workflow and step."""

from typing import Any

import dagster as dg

from hog_dagster.assets._workflow_tables import WORKFLOW_ERRORS
from hog_dagster.policies import Errors
from tests.checks.conftest import Lab, checks_of, day, noon, number, rows_of

KEY = dg.AssetKey(["posthog", "workflow_errors"])


def error(message: str, ago: int, runs: int, lines: int = 0, workflow: str = "w") -> dict[str, Any]:
    return {
        "workflow_id": workflow,
        "workflow_name": "Welcome" if workflow == "w" else None,
        "action_id": "a",
        "action_name": "Send",
        "partition_start": noon(ago).replace(hour=0),
        "message": message,
        "failed_runs": runs,
        "log_lines": lines,
        "first_at": noon(ago),
        "last_at": noon(ago),
    }


def check(lab: Lab, **rule: Any) -> dg.AssetCheckEvaluation:
    return lab.check(checks_of(errors=Errors(**rule)), "errors_are_few", KEY.path[-1])


def test_an_error_above_the_maximum_is_named_and_older_days_do_not_count(lab: Lab):
    lab.loaded(KEY, day(1), day(2))
    lab.put(
        WORKFLOW_ERRORS,
        [
            error("HTTP 502", 1, 90, 120),
            error("HTTP 502", 1, 3, workflow="other"),
            error("no mailbox", 2, 5000),
        ],
    )
    found = check(lab)
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "Welcome, step Send: HTTP 502 (120 times" in (found.description or "")
    assert rows_of(found) == [
        {
            "workflow": "Welcome",
            "step": "Send",
            "message": "HTTP 502",
            "count": 120,
            "last": f"{noon(1):%Y-%m-%d %H:%M}",
        }
    ]
    assert number(found, "errors") == 123
    assert check(lab, maximum=120).passed
    assert [row["message"] for row in rows_of(check(lab, days=2))] == ["no mailbox", "HTTP 502"]


def test_without_errors_and_without_a_table_it_passes(lab: Lab):
    assert "Nothing has been loaded yet." in (check(lab).description or "")
    lab.loaded(KEY, day(1))
    assert check(lab).passed
    lab.put(WORKFLOW_ERRORS, [])
    assert check(lab).description == "No error in the newest loaded day."
