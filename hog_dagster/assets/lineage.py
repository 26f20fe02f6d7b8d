"""PostHog's objects as external assets: trigger -> workflow -> where it sends -> tables.

Facts: Dagster shows an asset that nothing here materializes as external. What sends nowhere has no
destination to stand between it and the tables that tell of it, so it is upstream of them itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import dagster as dg

from hog_dagster.assets.insight_selection import InsightSelection, insight_key
from hog_dagster.assets.lineage_specs import (
    destination_spec,
    function_spec,
    insight_spec,
    plain,
    trigger_spec,
    workflow_spec,
)
from hog_dagster.assets.options import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.assets.props import (
    DestinationProps,
    HogFunctionProps,
    InsightProps,
    Place,
    PostHogMetadata,
    PostHogProps,
    TableProps,
    TriggerProps,
    WorkflowProps,
)
from hog_dagster.assets.remote import Destination, Snapshot
from hog_dagster.assets.snapshots import SnapshotSource, load_posthog_snapshot

__all__ = [
    "DestinationProps",
    "HogFunctionProps",
    "InsightProps",
    "Lineage",
    "PostHogMetadata",
    "PostHogProps",
    "PostHogTranslator",
    "TableProps",
    "TriggerProps",
    "WorkflowProps",
    "build_lineage",
    "load_posthog_asset_specs",
]


class PostHogTranslator:
    """How PostHog's objects and our tables look as assets. Subclass it and override the one method.

    Example:
        .. code-block:: python

            class Ours(PostHogTranslator):
                def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
                    spec = super().get_asset_spec(props)
                    if props.type == "workflow":
                        return spec.replace_attributes(owners=["team:growth"])
                    return spec
    """

    def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
        """The spec of the asset that stands for an object or a table."""
        match props:
            case TriggerProps():
                return trigger_spec(props)
            case WorkflowProps():
                return workflow_spec(props)
            case HogFunctionProps():
                return function_spec(props)
            case DestinationProps():
                return destination_spec(props)
            case InsightProps():
                return insight_spec(props)
            case TableProps():
                return props.spec


@dataclass(frozen=True)
class Lineage:
    """The external assets of a snapshot.

    Attributes:
        specs: all of them.
        keys: (type, id) -> asset key, as translated.
        destinations: keys of where workflows send, and where hog functions do; of those that send
            nowhere, their own.
        renamed: default key -> key, where a translator changed it.
    """

    specs: list[dg.AssetSpec] = field(default_factory=list)
    keys: dict[tuple[str, str], dg.AssetKey] = field(default_factory=dict)
    destinations: dict[Literal["workflow", "hog_function"], list[dg.AssetKey]] = field(
        default_factory=lambda: {"workflow": [], "hog_function": []}
    )
    renamed: dict[dg.AssetKey, dg.AssetKey] = field(default_factory=dict)


def load_posthog_asset_specs(
    source: SnapshotSource,
    *,
    options: AssetOptions | None = None,
    translator: PostHogTranslator | None = None,
    keep: Path | None = None,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    insights: Sequence[InsightSelection] | None = (InsightSelection(),),
) -> list[dg.AssetSpec]:
    """The external assets of a project's workflows, hog functions and insights, triggers and
    destinations included.

    PostHog is asked once per load of the code location; when it cannot be asked, the location
    loads all the same (see `load_posthog_snapshot`).

    Args:
        source: the project's resource, an open client, a snapshot, or the file of one.
        options: how the assets look.
        translator: changes that.
        keep: a file that what was read is kept in, for when PostHog cannot be asked.
        workflows: which workflows; all by default.
        hog_functions: which hog functions; all by default.
        insights: which saved insights; None leaves them out.

    Returns:
        One spec per asset.

    Example:
        .. code-block:: python

            posthog = PostHogResource(
                api_key=dg.EnvVar("POSTHOG_API_KEY"), project_id=dg.EnvVar("POSTHOG_PROJECT_ID")
            )
            defs = dg.Definitions(
                assets=load_posthog_asset_specs(posthog), resources={"posthog": posthog}
            )
    """
    snapshot = load_posthog_snapshot(
        source, keep=keep, workflows=workflows, hog_functions=hog_functions, insights=insights
    )
    return build_lineage(snapshot, options=options, translator=translator).specs


def build_lineage(
    snapshot: Snapshot,
    *,
    options: AssetOptions | None = None,
    translator: PostHogTranslator | None = None,
    senders: Mapping[str, Sequence[dg.AssetKey]] | None = None,
) -> Lineage:
    """The external assets of a snapshot, with what is needed to join tables to them.

    Args:
        snapshot: the project as it was.
        options: how the assets look.
        translator: changes that.
        senders: workflow id -> assets that send its batch jobs, which are upstream of it.
    """
    options, translator = options or AssetOptions(), translator or PostHogTranslator()
    lineage, senders = Lineage(), senders or {}

    def place(upstream: Iterable[dg.AssetKey] = ()) -> Place:
        return Place(snapshot.project_url, snapshot.project_id, options, tuple(upstream))

    def add(props: PostHogProps) -> dg.AssetKey:
        spec = translator.get_asset_spec(props)
        lineage.specs.append(spec)
        lineage.keys[props.type, props.id] = spec.key
        return spec.key

    starters = [*snapshot.workflows, *snapshot.hog_functions]
    triggers = {
        trigger: add(TriggerProps(trigger, place()))
        for trigger in dict.fromkeys(t for record in starters for t in record.triggers)
    }
    senders_of: dict[Destination, list[dg.AssetKey]] = {}
    suffixes = _suffixes((w.name, w.id) for w in snapshot.workflows)
    for workflow in snapshot.workflows:
        upstream = [triggers[t] for t in workflow.triggers] + [*senders.get(workflow.id, ())]
        key = add(WorkflowProps(workflow, place(upstream), suffixes[workflow.id]))
        if not workflow.destinations:
            lineage.destinations["workflow"].append(key)
        for destination in workflow.destinations:
            senders_of.setdefault(destination, []).append(key)
    of_workflows = set(senders_of)
    suffixes = _suffixes((f.name, f.id) for f in snapshot.hog_functions)
    of_functions: set[Destination] = set()
    for function in snapshot.hog_functions:
        upstream = [triggers[t] for t in function.triggers]
        key = add(HogFunctionProps(function, place(upstream), suffixes[function.id]))
        if function.type == "destination":
            destination = Destination(function.template_id.removeprefix("template-") or "code")
            senders_of.setdefault(destination, []).append(key)
            of_functions.add(destination)
        else:
            lineage.destinations["hog_function"].append(key)
    for destination, upstream in senders_of.items():
        key = add(DestinationProps(destination, place(upstream)))
        if destination in of_workflows:
            lineage.destinations["workflow"].append(key)
        if destination in of_functions:
            lineage.destinations["hog_function"].append(key)
    for insight in snapshot.insights:
        key = add(InsightProps(insight, place()))
        if key != (usual := insight_key(insight.info, options)):
            lineage.renamed[usual] = key
    return lineage


def _suffixes(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Id -> the end of it that tells objects of one name apart; the whole id if it must be."""
    taken: dict[tuple[str, str], list[str]] = {}
    for name, ident in named:
        taken.setdefault((plain(name or "unnamed"), plain(ident)[-4:]), []).append(ident)
    return {
        ident: end if len(idents) == 1 else plain(ident)
        for (_, end), idents in taken.items()
        for ident in idents
    }
