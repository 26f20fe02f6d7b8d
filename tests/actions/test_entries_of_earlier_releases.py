"""Actions in doubt that the code of commit caccfa8 wrote are reconciled rightly a month later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hog_dagster.actions import Outcome, Source, digest
from hog_dagster.ledger import Action
from tests.actions.kit import HOUR, Place

MONTH = 29 * 24 * HOUR
STARTS = datetime(2031, 5, 1, 9, tzinfo=UTC)


def write(
    place: Place, kind: str, source: Source, subject: str, remote_id: str | None = None, **old: Any
) -> int:
    """An action that was sent and is in doubt, as that release kept it."""
    request = {"host": place.sandbox.url, **old}
    action = Action(place.sandbox.project_id, kind, source.id, subject, request=request)
    claimed = place.ledger.claim(action, "a run of before").entry
    (sent,) = place.ledger.mark_sent([claimed], server_time=place.clock.true)
    place.ledger.doubt(sent, note="in doubt: ReadTimeout", remote_id=remote_id)
    return sent.id


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("variables", [{}, {"tier": "gold"}, {"n": 1e16}], ids=str)
@pytest.mark.parametrize("before", [0, 2], ids=["the first job", "jobs before"])
def test_a_batch_send(before: int, variables: dict[str, Any], arrived: bool) -> None:
    place = Place()
    source = place.workflow(trigger="batch")
    newest = None
    for number in range(before):
        newest = place.clock.true - timedelta(days=2 - number)
        place.world.add_batch_job(source.id, created_at=newest, created_by=place.world.user)
    write(
        place,
        "batch_send",
        source,
        "summer",
        variables=digest(variables),
        variable_names=sorted(variables),
        audience=1,
        newest_before=newest.isoformat() if newest else None,
    )
    if arrived:
        place.wait(1)
        place.client().workflows.create_batch_job(source.id, variables=variables)
    place.wait(MONTH)
    results = [place.batch(source, "summer", variables) for _ in range(3)]
    assert place.sends(source) == 1
    if arrived:  # nothing says whose key sent it, and another user may have made the new job
        assert {result.outcome for result in results} == {Outcome.IN_DOUBT}
        assert "hog-dagster ledger resolve" in place.entries()[0].note
    else:
        assert place.states() == {"summer": "confirmed"}


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("variables", [{}, {"tier": "gold"}], ids=str)
def test_a_schedule(variables: dict[str, Any], arrived: bool) -> None:
    place = Place()
    source = place.workflow(trigger="batch")
    body = {
        "rrule": "FREQ=DAILY",
        "starts_at": STARTS.isoformat(),
        "timezone": "UTC",
        "variables": variables,
    }
    subject = digest(["FREQ=DAILY", STARTS.isoformat(), "UTC", variables])
    write(
        place,
        "schedule_create",
        source,
        subject,
        rrule="FREQ=DAILY",
        timezone="UTC",
        variables=digest(variables),
        newest_before=None,
    )
    if arrived:
        place.client().workflows.create_schedule(source.id, body)
    place.wait(MONTH)
    for _ in range(2):
        place.schedule(source, starts_at=STARTS, variables=variables)
    assert (place.schedules(source), place.states()) == (1, {subject: "confirmed"})


@pytest.mark.parametrize("answer", ["kept", "lost"])
@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("ends", ["succeeded", "failed"])
@pytest.mark.parametrize("numbered", [False, True], ids=["first", "#2"])
def test_a_rerun(numbered: bool, ends: str, arrived: bool, answer: str) -> None:
    place = Place(missing=["hogql_runs"])
    source = place.workflow()
    run = place.failed(source, 20 * HOUR, retry_status=ends)
    at = place.clock.true
    if numbered:
        place.world.add_rerun(run, at - timedelta(hours=10), "failed")
    job = None
    if arrived:
        job = (
            place.client()
            .workflows.rerun(
                source.id,
                invocation_ids=[run],
                window_start=at - timedelta(days=1),
                window_end=at + timedelta(minutes=1),
                status="failed",
            )
            .rerun_job_id
        )
    subject = f"{run}#2" if numbered else run
    write(
        place,
        "rerun",
        source,
        subject,
        remote_id=job if answer == "kept" else None,
        scheduled_at=(at - timedelta(hours=20)).isoformat(),
        attempts=1 if numbered else 0,
        is_retry=numbered,
        status="failed",
    )
    place.wait(60)
    most = 2 if numbered else 1
    for _ in range(4):
        place.rerun(source, [run], max_reruns=most)
        place.wait(24 * HOUR)
    assert place.again()[run] == most
    assert place.states() == {subject: "confirmed"}


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "lost"])
def test_a_replay(arrived: bool) -> None:
    place = Place("docs")
    source = place.workflow()
    (run,) = place.world.add_blocked_runs(source.id, 1)
    kept = {name: run[name] for name in ("action_id", "event_uuid")}
    write(place, "replay", source, run["instance_id"], **kept)
    if arrived:
        place.client().workflows.replay_blocked_run(source.id, run)
    for _ in range(3):
        place.wait(10 * HOUR)
        place.replay(source, [run["instance_id"]])
    assert place.again() == {run["instance_id"]: 1}
    assert place.states() == {run["instance_id"]: "confirmed"}
