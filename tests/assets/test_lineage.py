"""PostHog's objects become external assets: readable, linked, in order, without secrets."""

from pathlib import Path

import dagster as dg
import pytest

from bench.definitions import many
from hog_dagster.lineage import (
    InsightSelection,
    PostHogMetadata,
    PostHogProps,
    PostHogTranslator,
    build_lineage,
    load_posthog_asset_specs,
)
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.lineage._records import Snapshot, WorkflowRecord, read_snapshot
from hog_dagster.policies import HogFunctionSelection, WorkflowSelection
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox

EMAIL = {"template_id": "template-email", "inputs": {"email": {"value": {"to": "{person.email}"}}}}
HOOK = {
    "template_id": "template-webhook",
    "inputs": {
        "url": {"value": "https://user:pa55@hooks.example.com/in?token=t0ps3cret"},
        "headers": {"value": {"Authorization": "Bearer s3cret"}},
    },
}


def action(id: str, type: str, config: dict) -> dict:
    return {"id": id, "name": id, "type": type, "config": config}


def signed_up(name: str = "signed up") -> dict:
    events = [{"id": name, "name": name, "type": "events", "order": 0}]
    return {"type": "event", "filters": {"source": "events", "events": events}}


@pytest.fixture
def sandbox():
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        yield sandbox


def snapshot(sandbox: Sandbox, **options) -> Snapshot:
    with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
        return read_snapshot(client, **options)


def by_name(specs: list[dg.AssetSpec], start: str) -> dg.AssetSpec:
    (spec,) = [s for s in specs if s.key.path[-1].startswith(start)]
    return spec


def upstream(spec: dg.AssetSpec) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in spec.deps}


def test_a_workflow_stands_between_its_trigger_and_where_it_sends(sandbox):
    steps = [action("mail", "function_email", EMAIL), action("hook", "function", HOOK)]
    made = sandbox.world.add_workflow("Welcome", signed_up(), steps, description="Hello.")
    specs = load_posthog_asset_specs(snapshot(sandbox))
    workflow = by_name(specs, "welcome")
    assert upstream(workflow) == {"posthog/trigger/event_signed_up"}
    for end in ("posthog/destination/email", "posthog/destination/webhook_hooks_example_com"):
        (spec,) = [s for s in specs if s.key.to_user_string() == end]
        assert upstream(spec) == {workflow.key.to_user_string()}
    assert workflow.description == "Welcome\n\nHello."
    assert workflow.owners == ["owner@example.com"]
    assert workflow.tags["posthog/status"] == "active"
    assert {"posthog", "workflow", "email", "webhook"} <= workflow.kinds
    page = f"{sandbox.url}/project/1/workflows/{made['id']}"
    metadata = PostHogMetadata.extract(workflow.metadata)
    assert (metadata.id, metadata.type, metadata.steps) == (made["id"], "workflow", 4)
    assert (metadata.url, metadata.logs_url) == (f"{page}/workflow", f"{page}/logs")
    dg.Definitions(assets=specs).get_repository_def()


def test_workflows_of_one_name_keep_keys_of_their_own(sandbox):
    ids = [sandbox.world.add_workflow("Same name")["id"] for _ in range(3)]
    ids.append(sandbox.world.add_workflow(None)["id"])
    ids.append(sandbox.world.add_workflow("同じ名前")["id"])
    specs = load_posthog_asset_specs(snapshot(sandbox))
    keys = [s.key for s in specs if s.key.path[1] == "workflow"]
    assert len(set(keys)) == len(ids)
    dg.Definitions(assets=specs).get_repository_def()


def test_the_code_version_moves_with_the_graph_and_not_with_the_label(sandbox):
    made = sandbox.world.add_workflow("Welcome", signed_up())

    def version() -> tuple[str, WorkflowRecord]:
        (record,) = snapshot(sandbox).workflows
        return record.digest, record

    first, before = version()
    with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
        client.workflows.update(made["id"], {"name": "Welcome!"})
        assert version()[0] == first
        client.workflows.update(made["id"], {"exit_condition": "exit_only_at_end"})
    second, after = version()
    assert second != first
    changed = {name for name in after.parts if after.parts[name] != before.parts[name]}
    assert changed == {"name", "exit_condition"}


def test_a_snapshot_is_kept_as_json_without_any_input(sandbox, tmp_path: Path):
    steps = [action("mail", "function_email", EMAIL), action("hook", "function", HOOK)]
    sandbox.world.add_workflow("Welcome", signed_up(), steps)
    sandbox.world.add_hog_function(
        "To the CRM", inputs={"token": {"value": "crm-s3cret"}}, hog="fetch('https://x/s3cret')"
    )
    taken = snapshot(sandbox, insights=[InsightSelection()])
    path = tmp_path / "state" / "posthog.json"
    taken.write(path)
    assert Snapshot.read(path) == taken
    text = path.read_text(encoding="utf-8")
    for secret in ("s3cret", "pa55", "t0ps3cret", "Bearer", sandbox.api_key):
        assert secret not in text
    assert "hooks.example.com" in text


def test_only_selected_objects_are_read(sandbox):
    for name, status in (("Welcome", "active"), ("Trial", "active"), ("Old", "archived")):
        sandbox.world.add_workflow(name, status=status)
    sandbox.world.add_hog_function("Hook")
    sandbox.world.add_hog_function("GeoIP", type="transformation")
    taken = snapshot(
        sandbox,
        workflows=WorkflowSelection(statuses=("active",), names=("w.*",)),
        hog_functions=HogFunctionSelection(types=("transformation",)),
    )
    assert [w.name for w in taken.workflows] == ["Welcome"]
    assert [f.name for f in taken.hog_functions] == ["GeoIP"]
    assert taken.insights == ()
    for name in ("Sign-ups", "Revenue"):
        sandbox.world.add_insight(name)
    taken = snapshot(sandbox, insights=[InsightSelection(names=("sign.*",))])
    assert [insight.name for insight in taken.insights] == ["Sign-ups"]


def test_hog_functions_a_key_may_not_read_are_left_out_with_a_note():
    keys = {"phx_narrow": ["hog_flow:read"]}
    with Sandbox("docs", populate=False, limits=False, keys=keys) as sandbox:
        sandbox.world.add_workflow("Welcome")
        sandbox.world.add_hog_function("Hook")
        taken = snapshot(sandbox)
    assert len(taken.workflows) == 1
    assert taken.hog_functions == ()
    assert "hog_function:read" in taken.notes[0]


def test_a_hog_function_is_linked_to_what_it_listens_to_and_sends_with(sandbox):
    events = {"events": [{"id": "upgraded", "name": "upgraded", "type": "events"}]}
    sandbox.world.add_hog_function("Tell CRM", filters=events, template_id="template-slack")
    lineage = build_lineage(snapshot(sandbox))
    function = by_name(lineage.specs, "tell_crm")
    assert upstream(function) == {"posthog/trigger/event_upgraded"}
    assert function.tags["posthog/status"] == "enabled"
    (destination,) = lineage.destinations["hog_function"]
    assert destination.to_user_string() == "posthog/destination/slack"


def test_a_translator_changes_what_it_will_and_the_rest_follows(sandbox):
    class Ours(PostHogTranslator):
        def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            if props.type == "workflow":
                return spec.replace_attributes(key=["crm", props.id], owners=["team:growth"])
            return spec.replace_attributes(key=spec.key.with_prefix("ours"))

    made = sandbox.world.add_workflow(
        "Welcome", signed_up(), [action("mail", "function_email", EMAIL)]
    )
    lineage = build_lineage(
        snapshot(sandbox),
        translator=Ours(),
        options=AssetOptions(group="everything"),
        senders={made["id"]: [dg.AssetKey("send")]},
    )
    (workflow,) = [s for s in lineage.specs if s.key.path[0] == "crm"]
    assert workflow.key == lineage.keys["workflow", made["id"]]
    assert workflow.owners == ["team:growth"]
    assert upstream(workflow) == {"ours/posthog/trigger/event_signed_up", "send"}
    (destination,) = [s for s in lineage.specs if s.key.path[-1] == "email"]
    assert upstream(destination) == {f"crm/{made['id']}"}
    assert {s.group_name for s in lineage.specs} == {"everything"}


def test_metadata_is_splat_and_read_back():
    own = PostHogMetadata(type="workflow", id="w", version=3, url="https://us.posthog.com/x")
    spec = dg.AssetSpec("a", metadata={**own, "other": 1})
    assert PostHogMetadata.extract(spec.metadata) == own
    assert set(spec.metadata) == {
        "hog_dagster/type",
        "hog_dagster/id",
        "hog_dagster/version",
        "hog_dagster/url",
        "other",
    }


def test_what_sends_nowhere_is_upstream_of_its_tables_itself(sandbox):
    made = sandbox.world.add_workflow("Only waits", signed_up(), [])["id"]
    function = sandbox.world.add_hog_function("GeoIP", type="transformation")["id"]
    lineage = build_lineage(snapshot(sandbox))
    assert lineage.destinations["workflow"] == [lineage.keys["workflow", made]]
    assert lineage.destinations["hog_function"] == [lineage.keys["hog_function", function]]


def test_a_thousand_workflows_are_a_few_groups_with_keys_of_their_own():
    specs = load_posthog_asset_specs(many())
    assert len({spec.key for spec in specs}) == len(specs) > 1_300
    sizes: dict[str | None, int] = {}
    for spec in specs:
        sizes[spec.group_name] = sizes.get(spec.group_name, 0) + 1
    assert set(sizes) == {
        "posthog_triggers",
        "posthog_active",
        "posthog_draft",
        "posthog_archived",
        "posthog_enabled",
        "posthog_dests",
    }
