"""Names of any script and owners of any form: each object is an asset of its own, and all load."""

import logging
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hog_dagster.components._build import build_posthog_definitions
from hog_dagster.components._records import BatchJob
from hog_dagster.lineage import PostHogMetadata, PostHogProps, PostHogTranslator, build_lineage
from hog_dagster.lineage._insight_selection import InsightInfo
from hog_dagster.lineage._names import object_labels, plain, thing_labels
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.lineage._records import (
    Destination,
    HogFunctionRecord,
    InsightRecord,
    Snapshot,
    SnapshotUnreadable,
    Trigger,
    WorkflowRecord,
)
from hog_dagster.lineage._snapshot import load_posthog_snapshot
from hog_dagster.policies import HogFunctionSelection, InsightSelection, WorkflowSelection
from hog_dagster.posthog._services.insights import REFRESH_MODES
from hog_dagster.resources import DuckDBWarehouse, LedgerResource, PostHogResource

AT = datetime(2026, 8, 1, tzinfo=UTC)


def ident(number: int) -> str:
    return f"01968c1e-77aa-7000-8000-{number:012x}"


def workflow(number: int, name: str, **more) -> WorkflowRecord:
    return WorkflowRecord(id=ident(number), name=name, **more)


def insight(number: int, title: str, kind: str = "trends", owner: str = "") -> InsightRecord:
    url = f"http://x/insights/s{number:07d}"
    return InsightRecord(info=InsightInfo(number, f"s{number:07d}", title, kind, url, owner=owner))


def project(**objects) -> Snapshot:
    return Snapshot(host="http://x", project_id=1, taken_at=AT, **objects)


def definitions(snapshot: Snapshot, tmp_path: Path, **more) -> dg.Definitions:
    return build_posthog_definitions(
        posthog=PostHogResource(host="http://x", api_key="phx_x", project_id="1"),
        warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
        ledger=LedgerResource(url=f"sqlite:///{tmp_path / 'ledger.sqlite'}"),
        start_date=date(2026, 8, 1),
        snapshot=snapshot,
        **more,
    )


def load(snapshot: Snapshot, tmp_path: Path, **more) -> dict[str, dg.AssetSpec]:
    """Every asset of a code location that has the project, by key."""
    defs = definitions(snapshot, tmp_path, **more)
    dg.Definitions.validate_loadable(defs)
    specs = list(defs.resolve_all_asset_specs())
    keys = {spec.key.to_user_string(): spec for spec in specs}
    assert len(keys) == len(specs)
    return keys


def objects(specs: dict[str, dg.AssetSpec]) -> dict[tuple[str, str], str]:
    """(type, id) -> key."""
    found = [(PostHogMetadata.extract(spec.metadata), key) for key, spec in specs.items()]
    return {(about.type, about.id): key for about, key in found if about.type and about.id}


def test_names_with_letters_beyond_ascii_load(tmp_path: Path):
    snapshot = project(
        workflows=(workflow(1, "Café"), workflow(2, "Straße"), workflow(3, "日本語")),
        hog_functions=(HogFunctionRecord(id=ident(4), name="Привет", type="destination"),),
        insights=(insight(5, "Umsätze"), insight(6, "日本語", "sql")),
    )
    keys = objects(load(snapshot, tmp_path))
    assert keys["workflow", ident(1)] == "posthog/workflow/cafe_0001"
    assert keys["workflow", ident(2)] == "posthog/workflow/strasse_0002"
    assert keys["workflow", ident(3)] == f"posthog/workflow/{ident(3).replace('-', '_')}"
    assert keys["insight", "s0000005"] == "posthog/insight/umsatze_s0000005"
    assert keys["insight", "s0000006"] == "posthog/insight/s0000006"


@pytest.mark.parametrize(
    ("maker", "owners"),
    [
        ("ada@example.com", ["ada@example.com"]),
        ("o'brien@example.com", []),
        ("müller@example.com", []),
        ("-a@example.com", []),
        ("a@example.photography", []),
        ("ada", []),
    ],
)
def test_who_cannot_be_an_owner_is_named_in_the_metadata(maker: str, owners, tmp_path: Path):
    snapshot = project(
        workflows=(workflow(1, "Welcome", owner=maker),),
        hog_functions=(HogFunctionRecord(id=ident(2), name="Hook", owner=maker),),
        insights=(insight(3, "Sales", owner=maker),),
    )
    made = [
        spec
        for spec in load(snapshot, tmp_path).values()
        if PostHogMetadata.extract(spec.metadata).type in ("workflow", "hog_function", "insight")
    ]
    assert [spec.owners for spec in made] == [owners] * 3
    assert {PostHogMetadata.extract(spec.metadata).made_by for spec in made} == {maker}


def test_triggers_whose_names_have_one_plain_form_are_assets_of_their_own(tmp_path: Path):
    events = ["$pageview", "pageview", "user signed up", "user_signed_up", "x" * 70, "x" * 60 + "y"]
    triggers = tuple(Trigger("event", name) for name in events)
    snapshot = project(workflows=(workflow(1, "All", triggers=triggers),))
    specs = load(snapshot, tmp_path)
    keys = objects(specs)
    found = {name: keys["trigger", f"event:{name}"] for name in events}
    assert len(set(found.values())) == len(events)
    assert found["pageview"] == "posthog/trigger/event_pageview"
    assert found["user_signed_up"] == "posthog/trigger/event_user_signed_up"
    assert found["$pageview"].startswith("posthog/trigger/event_pageview_")
    upstream = {dep.asset_key.to_user_string() for dep in specs[keys["workflow", ident(1)]].deps}
    assert upstream == set(found.values())


def test_destinations_whose_hosts_have_one_plain_form_are_assets_of_their_own(tmp_path: Path):
    hosts = ("a-b.example.com", "a.b.example.com")
    sends = tuple(Destination("webhook", host) for host in hosts)
    specs = load(project(workflows=(workflow(1, "Two", destinations=sends),)), tmp_path)
    assert len([key for kind, key in objects(specs) if kind == "destination"]) == 2


def test_an_object_keeps_its_key_when_a_later_one_would_share_it():
    names = [("0196-00001234", "Same"), ("0197-00001234", "same")]
    alone = object_labels(names[:1])
    both = object_labels(names)
    assert both["0196-00001234"] == alone["0196-00001234"] == "same_1234"
    assert both["0197-00001234"] == "same_0197_00001234"


def test_a_batch_job_may_name_a_workflow_in_any_script(tmp_path: Path):
    snapshot = project(workflows=tuple(workflow(n, name) for n, name in enumerate(NAMED)))
    jobs = [BatchJob(workflow=name, deps=["marts/users"]) for name in NAMED]
    jobs += [BatchJob(workflow=name, cron="0 9 * * *") for name in NAMED]
    specs = load(snapshot, tmp_path, batch_jobs=jobs)
    assert len([key for key in specs if key.startswith("posthog/send/")]) == len(NAMED)


NAMED = ("Grüße", "Grusse", "日本語", "Привет")


def test_an_object_whose_asset_cannot_be_made_is_left_out_with_a_warning(tmp_path: Path, caplog):
    class Odd(PostHogTranslator):
        def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            if props.name == "Broken":
                raise KeyError("no such team")
            if props.name == "Accented":
                return spec.replace_attributes(key=dg.AssetKey(["posthog", "wörkflow"]))
            if props.name.startswith("Twin"):
                return spec.replace_attributes(key=dg.AssetKey(["posthog", "twin"]))
            return spec

    names = ("Broken", "Accented", "Twin 1", "Twin 2", "Well")
    email = (Destination("email"),)
    snapshot = project(
        workflows=tuple(workflow(n, name, destinations=email) for n, name in enumerate(names))
    )
    with caplog.at_level(logging.WARNING, "hog_dagster"):
        keys = objects(load(snapshot, tmp_path, translator=Odd()))
    there = [id for kind, id in keys if kind == "workflow"]
    assert there == [ident(2), ident(4)]
    for number, said in ((0, "no such team"), (1, "wörkflow"), (3, "posthog/twin")):
        assert any(
            ident(number) in line and said in line and "left out" in line
            for line in caplog.text.splitlines()
        )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"host": "\xe9"}', "not UTF-8"),
        (b"\xff\xfe{", ""),
        (b'{"host": "x"', ""),
        (b"[1]", ""),
    ],
)
def test_a_file_that_is_no_snapshot_says_so_in_a_sentence(
    content: bytes, why: str, tmp_path, caplog
):
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(SnapshotUnreadable, match=f"{path}.*{why}"):
        Snapshot.read(path)
    with caplog.at_level(logging.WARNING, "hog_dagster"):
        assert load_posthog_snapshot(path).workflows == ()
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert Snapshot.read(tmp_path / "absent") is None


ANY_TEXT = st.text(max_size=40)


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_project_of_a_thousand_objects_named_in_any_script_loads(data: st.DataObject, tmp_path):
    pool = [data.draw(st.lists(ANY_TEXT, min_size=20, max_size=20)) for _ in range(3)]
    halves = [half for part in pool for half in part]

    def names(count: int) -> list[str]:
        # Drawing each would be too much for hypothesis: they are put together of 60 halves.
        return [halves[n % 60] + halves[n // 60] if n >= 60 else halves[n] for n in range(count)]

    owners = names(50)
    workflows = tuple(
        workflow(
            n,
            name,
            owner=owners[n % 50],
            status=owners[-n % 50],
            triggers=(Trigger("event", name),),
            destinations=(Destination("webhook", name[:5]), Destination(name[:3])),
        )
        for n, name in enumerate(names(400))
    )
    functions = tuple(
        HogFunctionRecord(id=ident(1000 + n), name=name, owner=name, type=name, template_id=name)
        for n, name in enumerate(names(200))
    )
    insights = tuple(insight(2000 + n, name, owner=name) for n, name in enumerate(names(400)))
    snapshot = project(workflows=workflows, hog_functions=functions, insights=insights)
    keys = objects(load(snapshot, tmp_path))
    for kind, count in (("workflow", 400), ("hog_function", 200), ("insight", 400)):
        assert len([1 for type, _ in keys if type == kind]) == count
    events = {trigger for one in workflows for trigger in one.triggers}
    assert len([1 for type, _ in keys if type == "trigger"]) == len(events)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("Aaä_ -$", max_size=4), max_size=200), st.sampled_from(["a", "0-", "日"]))
def test_objects_whose_names_normalise_alike_are_told_apart(names: list[str], ids: str):
    named = [(f"{ids}{n % 7}{'-_'[n % 2]}{n}", name) for n, name in enumerate(names)]
    labels = object_labels(named)
    assert len(set(labels.values())) == len(named)
    assert all(plain(label) or label for label in labels.values())
    things = {(name[:1], name[1:]) for name in names}
    assert len(set(thing_labels(things).values())) == len(things)


def test_two_hundred_objects_of_one_plain_name_load(tmp_path: Path):
    spellings = ["Same name", "same-name", "Same Näme", "SAME NAME!"]
    snapshot = project(workflows=tuple(workflow(n << 16, spellings[n % 4]) for n in range(200)))
    keys = objects(load(snapshot, tmp_path))
    assert len([1 for kind, _ in keys if kind == "workflow"]) == 200


def test_lineage_of_odd_options_is_not_changed():
    made = build_lineage(
        project(workflows=(workflow(1, "Café"),)), options=AssetOptions(key_prefix=("a", "b"))
    )
    assert [spec.key.to_user_string() for spec in made.specs] == ["a/b/workflow/cafe_0001"]


@pytest.mark.parametrize("kind", [WorkflowSelection, HogFunctionSelection])
def test_a_selection_in_python_takes_one_text_and_refuses_what_cannot_fit(kind: Any) -> None:
    one = WorkflowRecord(id=ident(1), name="Trial ending", status="active")
    assert one in WorkflowSelection(ids=ident(1).upper())
    assert one in WorkflowSelection(names="trial.*", statuses=("active",))
    with pytest.raises(ValueError, match=r"(?s)ids.*give an id .a UUID.; names go under `names`"):
        kind(ids=["Trial ending"])
    with pytest.raises(ValueError, match=r"(?s)names.*give a regular expression"):
        kind(names=["*Trial"])


def test_a_selection_of_insights_refuses_a_title_in_the_place_of_a_short_id() -> None:
    assert InsightSelection(short_ids="aB3xY9zQ").short_ids == ("aB3xY9zQ",)
    with pytest.raises(ValueError, match=r"(?s)short_ids.*titles go under `names`"):
        InsightSelection(short_ids=["Weekly active users"])


def test_insights_are_as_fresh_as_posthog_has_a_mode_for() -> None:
    assert {*get_args(InsightSelection.model_fields["refresh"].annotation)} == {*REFRESH_MODES}
