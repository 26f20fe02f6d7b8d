"""Batches whose audience was cut off, and those that reached fewer than they should, are named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import BATCH_RESULTS
from hog_dagster.policies import Deliverability
from tests.checks.conftest import Lab, checks_of, number, rows_of

CUT, SHORT = "audiences_are_whole", "batches_reach_their_audience"


def job(ago: float = 48, **columns: Any) -> dict[str, Any]:
    """A batch of some hours ago that reached all of its 1,000 people."""
    row = {
        "batch_job_id": f"job-{ago:g}",
        "workflow_id": "w",
        "workflow_name": "Letter",
        "created_at": datetime.now(UTC) - timedelta(hours=ago),
        "counted": 1_000,
        "audience_limit": 5_000,
        "cut": False,
        "reached": 1_000,
        "suppressed": 0,
        "opted_out": 0,
        "waiting": 0,
        "evidence": "messages",
    }
    return {**row, **columns}


def run_check(lab: Lab, name: str, **rules: Any) -> dg.AssetCheckEvaluation:
    checks = checks_of(deliverability=Deliverability(**rules))
    return lab.check(checks, name, "batch_results")


@pytest.mark.parametrize("name", [CUT, SHORT])
def test_batches_that_reached_all_pass_and_so_does_a_table_that_never_loaded(
    lab: Lab, name: str
) -> None:
    assert run_check(lab, name).description == "Nothing has been loaded yet."
    lab.put(BATCH_RESULTS, [job(), job(50, audience_limit=None, cut=None)])
    found = run_check(lab, name)
    assert found.passed
    assert "2 batch jobs" in str(found.description)


def test_a_batch_that_was_cut_off_and_suspended_half_way_is_told_as_just_that(lab: Lab) -> None:
    """10,000 people at a tier of 5,000, 3 % suppressed, suspended half way."""
    lab.put(
        BATCH_RESULTS,
        [
            job(72),
            job(
                counted=10_000,
                cut=True,
                reached=2_425,
                suppressed=150,
                evidence="sent messages",
            ),
        ],
    )
    found = run_check(lab, CUT)
    assert not found.passed
    assert "cut off the audience of 1 of 2 batch jobs" in str(found.description)
    (row,) = rows_of(found)
    assert (row["workflow"], row["counted"], row["audience_limit"]) == ("Letter", 10_000, 5_000)
    found = run_check(lab, SHORT)
    assert not found.passed
    assert "reached 2,425 of 4,850" in str(found.description)
    assert number(found, "not_reached") == 2_425
    (row,) = rows_of(found)
    assert (row["reachable"], row["suppressed"], row["evidence"]) == (4_850, 150, "sent messages")
    assert run_check(lab, SHORT, min_reached_share=0.5).passed


def test_people_on_a_list_and_mail_that_waits_are_no_reason(lab: Lab) -> None:
    held = {"suppressed": 300, "opted_out": 200, "waiting": 400}
    lab.put(BATCH_RESULTS, [job(reached=100, **held)])
    assert run_check(lab, SHORT).passed
    lab.put(BATCH_RESULTS, [job(reached=80, **held)])
    assert not run_check(lab, SHORT).passed


def test_young_and_old_batches_and_those_of_which_nothing_is_known_are_left_alone(lab: Lab) -> None:
    old, young = job(24 * 8, reached=0, cut=True), job(2, reached=0)
    unknown = [job(60, reached=None), job(61, counted=None)]
    lab.put(BATCH_RESULTS, [old, young, *unknown])
    found = run_check(lab, SHORT)
    assert found.passed
    assert "Of 2 more it is not known" in str(found.description)
    assert run_check(lab, CUT).passed
    assert not run_check(lab, SHORT, settle_hours=1).passed
    assert not run_check(lab, CUT, batch_days=9).passed
