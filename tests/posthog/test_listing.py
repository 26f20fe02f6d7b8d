"""A notebook's view of the client: frames, objects by name, one line for each."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pytest

from hog_dagster.posthog import Listing, PostHogClient, errors, models, to_frame
from hog_dagster.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A populated project; tests here only read it."""
    with Sandbox("current", limits=False) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Iterator[PostHogClient]:
    with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
        yield client


def test_workflows_are_a_frame_with_times_that_have_a_zone(client: PostHogClient) -> None:
    frame = client.workflows.list().to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == len(list(client.workflows.list()))
    assert "Trial ending" in set(frame["name"])
    assert str(frame["updated_at"].dtype).endswith("UTC]")
    assert "+00:00" in frame.to_string(columns=["updated_at"]) or frame["updated_at"].dt.tz is UTC
    row = frame[frame["name"] == "Trial ending"].iloc[0]
    workflow = client.workflows.get("Trial ending")
    assert row["id"] == workflow.id
    assert row["updated_at"] == workflow.updated_at
    assert row["actions"].startswith('[{"id"')  # nested: JSON


def test_the_same_is_a_frame_of_polars(client: PostHogClient) -> None:
    frame = client.workflows.list(status="active").to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema["updated_at"] == pl.Datetime("us", "UTC")
    assert frame["status"].unique().to_list() == ["active"]
    assert frame.equals(client.workflows.list(status="active").to_frame("polars"))
    with pytest.raises(ValueError, match="pandas or polars"):
        client.workflows.list().to_frame("spark")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_every_collection_is_a_frame(client: PostHogClient, kind: str) -> None:
    for listing in (client.hog_functions.list(), client.insights.list(), client.groups.list(0)):
        frame = listing.to_frame(kind)  # type: ignore[arg-type]
        assert len(frame) > 0
        assert len(frame.columns) > 3
    workflow = client.workflows.get("Trial ending")
    assert to_frame(client.workflows.batch_jobs(workflow.id)).empty


def test_an_empty_list_is_a_frame_with_its_columns(client: PostHogClient) -> None:
    frame = client.workflows.list(search="nothing is called so").to_frame()
    assert frame.empty
    assert {"id", "name", "status"} <= set(frame.columns)


def test_each_object_is_found_by_its_name(client: PostHogClient) -> None:
    for collection in (client.workflows, client.hog_functions):
        for one in collection.list():
            assert collection.get(one.name or one.id).id == one.id
    insight = next(iter(client.insights.list()))
    assert client.insights.get(insight.title).id == insight.id
    assert client.insights.list().get(insight.short_id or "").id == insight.id
    group = next(iter(client.groups.list(0)))
    assert client.groups.get(group.group_key).group_key == group.group_key
    if name := group.group_properties.get("name"):
        assert client.groups.get(name, 0).group_key == group.group_key
    assert client.workflows.get("trial ENDING").name == "Trial ending"


def test_a_name_that_nothing_has_names_the_nearest(client: PostHogClient) -> None:
    with pytest.raises(errors.NotFound, match="Did you mean 'Trial ending'"):
        client.workflows.get("Trail ending")
    with pytest.raises(errors.NotFound, match="None of the insights is called"):
        client.insights.get("no such thing")


def calls(client: PostHogClient) -> dict[str, Any]:
    """A call of each kind that takes an object: by REST, of a page, by SQL, a write."""
    flows, functions = client.workflows, client.hog_functions
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    day: dict[str, Any] = {"after": now - timedelta(hours=1), "before": now}
    return {
        "get": flows.get,
        "logs": lambda name: list(flows.logs(name, **day)),
        "log_batches": lambda name: list(flows.log_batches(name, **day)),
        "hourly_metrics": lambda name: list(
            flows.hourly_metrics(name, start=day["after"], end=day["before"])
        ),
        "metric_totals": lambda name: flows.metric_totals(name, after="-1d"),
        "invocation_results": lambda name: list(flows.invocation_results(name, **day)),
        "run_states": lambda name: list(flows.run_states(name, since=day["after"])),
        "rerun_jobs": lambda name: list(flows.rerun_jobs(name, day["after"])),
        "log_lines": lambda name: list(flows.log_lines(name, since=day["after"])),
        "batch_jobs": flows.batch_jobs,
        "schedules": flows.schedules,
        "discard_draft": flows.discard_draft,
        "function_logs": lambda name: list(functions.logs(name, **day)),
        "function_run_states": lambda name: list(functions.run_states(name, since=day["after"])),
        "function_revisions": lambda name: list(functions.revisions(name)),
        "insight": client.insights.result,
    }


@pytest.mark.parametrize(
    "method",
    [
        "get",
        "logs",
        "log_batches",
        "hourly_metrics",
        "metric_totals",
        "invocation_results",
        "run_states",
        "rerun_jobs",
        "log_lines",
        "batch_jobs",
        "schedules",
        "discard_draft",
        "function_logs",
        "function_run_states",
        "function_revisions",
        "insight",
    ],
)
def test_every_method_takes_a_name_and_names_the_nearest_of_a_wrong_one(
    client: PostHogClient, method: str
) -> None:
    call = calls(client)[method]
    if method == "insight":
        right = next(iter(client.insights.list())).title
    else:
        right = "Customers to the CRM" if method.startswith("function_") else "Trial ending"
    call(right)
    with pytest.raises(errors.NotFound, match=f"Did you mean .*{re.escape(right)}"):
        call(right[:-2] + right[-1])
    with pytest.raises(errors.NotFound, match="None of the"):
        call("No such thing at all")


def test_a_name_of_one_word_is_found_too() -> None:
    with Sandbox("current", populate=False, limits=False) as sandbox:
        id = sandbox.world.add_workflow("Newsletter", trigger="batch")["id"]
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            assert client.workflows.get("newsletter").id == id
            assert client.workflows.batch_jobs("Newsletter") == []
            assert list(client.workflows.run_states("Newsletter")) == []
            for call in (client.workflows.batch_jobs, client.workflows.schedules):
                with pytest.raises(errors.NotFound, match="Did you mean 'Newsletter'"):
                    call("Newslettr")
            # An id costs no request more.
            before = sandbox.count()
            client.workflows.batch_jobs(id)
            assert sandbox.count() == before + 1


def test_a_name_that_two_have_asks_for_an_id() -> None:
    with Sandbox("current", populate=False, limits=False) as sandbox:
        ids = {sandbox.world.add_workflow("Welcome")["id"] for _ in range(2)}
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            with pytest.raises(errors.NotFound, match="2 workflows are called") as raised:
                client.workflows.get("Welcome")
            assert all(id in str(raised.value) for id in ids)
            assert client.workflows.get(ids.pop()).name == "Welcome"


def test_the_id_of_one_that_is_gone_is_nobody_s_name() -> None:
    gone = "0192c0de-1111-7000-8000-0123456789ab"
    with Sandbox("current", populate=False, limits=False) as sandbox:
        sandbox.world.add_workflow(gone)
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            for collection in (client.workflows, client.hog_functions):
                with pytest.raises(errors.NotFound):
                    collection.get(gone)
            assert sandbox.count() == 2


@pytest.mark.parametrize("name", ["a/b?c#d", 'O\'Neil "x"\n| y', "🦔", "x" * 10_000, "../users"])
def test_a_name_of_any_letters_finds_its_own_workflow(name: str) -> None:
    with Sandbox("current", populate=False, limits=False) as sandbox:
        wanted = sandbox.world.add_workflow(name)["id"]
        sandbox.world.add_workflow("Other")
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            assert client.workflows.get(name).id == wanted


def test_every_object_is_one_short_line(client: PostHogClient) -> None:
    workflow = client.workflows.get("Trial ending")
    for one in (
        workflow,
        workflow.actions[0],
        next(iter(client.hog_functions.list())),
        next(iter(client.insights.list())),
        next(iter(client.groups.list(0))),
        client.groups.types()[0],
        *client.workflows.schedules(workflow.id),
    ):
        assert len(repr(one)) < 200
        assert "\n" not in repr(one)
    assert repr(workflow).startswith(f"Workflow(name='Trial ending', id='{workflow.id}'")
    assert " UTC)" in repr(workflow)
    assert repr(client.workflows.list()).startswith("<workflows: read as you go")


def test_what_an_object_holds_does_not_show_secrets_in_its_line() -> None:
    action = models.WorkflowAction(id="a", name="Post", config={"headers": {"token": "hidden"}})
    assert repr(action) == "WorkflowAction(name='Post', id='a')"
    assert str(action) == repr(action)


def test_a_list_stays_lazy_and_can_be_gone_through_once(client: PostHogClient) -> None:
    listing = client.workflows.list()
    assert isinstance(listing, Listing)
    first = next(listing)
    assert first.id not in {one.id for one in listing}
    assert list(listing) == []


def test_values_of_several_kinds_and_odd_times_are_columns() -> None:
    rows = [
        models.Group(
            group_type_index=0, group_key="a", created_at=datetime(2026, 1, 1, tzinfo=UTC)
        ),
        models.Group(group_type_index=0, group_key="b"),
    ]
    frame = to_frame(rows)
    assert frame["created_at"].isna().tolist() == [False, True]
    assert to_frame(rows, "polars")["created_at"].null_count() == 1


def test_without_polars_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match=r"hog-dagster\[polars\]"):
        to_frame([models.Group(group_type_index=0, group_key="a")], "polars")
