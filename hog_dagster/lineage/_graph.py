"""PostHog's objects as external assets: trigger -> workflow -> where it sends -> tables.

Facts: Dagster shows an asset that nothing here materializes as external. What sends nowhere has no
destination to stand between it and the tables that tell of it, so it is upstream of them itself.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import dagster as dg

from hog_dagster.lineage._insight_selection import insight_key
from hog_dagster.lineage._names import object_labels, thing_labels
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.lineage._props import (
    DestinationProps,
    HogFunctionProps,
    InsightProps,
    Place,
    PostHogProps,
    TableProps,
    TriggerProps,
    WorkflowProps,
)
from hog_dagster.lineage._records import Destination, HogFunctionRecord, Snapshot, WorkflowRecord
from hog_dagster.lineage._snapshot import SnapshotSource, load_posthog_snapshot
from hog_dagster.lineage._specs import (
    destination_spec,
    function_spec,
    insight_spec,
    trigger_spec,
    workflow_spec,
)
from hog_dagster.policies import HogFunctionSelection, InsightSelection, WorkflowSelection

_log = logging.getLogger("hog_dagster")


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

    An object whose asset cannot be made is left out, with a warning that names it: a translator
    that raises for it, a key that Dagster does not take, a key that another object has.

    Args:
        snapshot: the project as it was.
        options: how the assets look.
        translator: changes that.
        senders: workflow id -> assets that send its batch jobs, which are upstream of it.

    Returns:
        The lineage: a spec for each object, and the names it goes by.
    """
    options, translator = options or AssetOptions(), translator or PostHogTranslator()
    lineage, senders = Lineage(), senders or {}
    taken: set[str] = set()

    def place(upstream: Iterable[dg.AssetKey] = ()) -> Place:
        return Place(snapshot.project_url, snapshot.project_id, options, tuple(upstream))

    def add(props: PostHogProps) -> list[dg.AssetKey]:
        """The asset's key; none where the asset cannot be made."""
        try:
            spec = translator.get_asset_spec(props)
            taken.add(_input_name(spec.key, taken))
        except Exception as error:
            # A translator is the user's code; whatever it raises for one object is of that object.
            said = " ".join(f"{type(error).__name__}: {error}".split())
            what = props.type.replace("_", " ")
            _log.warning("The %s %r is left out of the lineage: %s", what, props.id, said)
            return []
        lineage.specs.append(spec)
        lineage.keys[props.type, props.id] = spec.key
        return [spec.key]

    starters = [*snapshot.workflows, *snapshot.hog_functions]
    started_by = dict.fromkeys(t for record in starters for t in record.triggers)
    labels = thing_labels((t.kind, t.name) for t in started_by)
    triggers = {t: add(TriggerProps(t, place(), labels[t.kind, t.name])) for t in started_by}

    def upstream_of(record: WorkflowRecord | HogFunctionRecord) -> list[dg.AssetKey]:
        return [key for trigger in record.triggers for key in triggers[trigger]]

    senders_of: dict[Destination, list[dg.AssetKey]] = {}
    ids = object_labels((w.id, w.name) for w in sorted(snapshot.workflows, key=_age))
    for workflow in snapshot.workflows:
        upstream = [*upstream_of(workflow), *senders.get(workflow.id, ())]
        keys = add(WorkflowProps(workflow, place(upstream), ids[workflow.id]))
        if not workflow.destinations:
            lineage.destinations["workflow"].extend(keys)
        for destination in workflow.destinations:
            senders_of.setdefault(destination, []).extend(keys)
    of_workflows = set(senders_of)
    of_functions: set[Destination] = set()
    ids = object_labels((f.id, f.name) for f in sorted(snapshot.hog_functions, key=_age))
    for function in snapshot.hog_functions:
        keys = add(HogFunctionProps(function, place(upstream_of(function)), ids[function.id]))
        if function.type == "destination":
            destination = Destination(function.template_id.removeprefix("template-") or "code")
            senders_of.setdefault(destination, []).extend(keys)
            of_functions.add(destination)
        else:
            lineage.destinations["hog_function"].extend(keys)
    labels = thing_labels((d.kind, d.name) for d in senders_of)
    for destination, upstream in senders_of.items():
        label = labels[destination.kind, destination.name]
        keys = add(DestinationProps(destination, place(upstream), label))
        if destination in of_workflows:
            lineage.destinations["workflow"].extend(keys)
        if destination in of_functions:
            lineage.destinations["hog_function"].extend(keys)
    for insight in snapshot.insights:
        usual = insight_key(insight.info, options)
        for key in add(InsightProps(insight, place())):
            if key != usual:
                lineage.renamed[usual] = key
    return lineage


def _input_name(key: dg.AssetKey, taken: Collection[str]) -> str:
    """What a step that depends on the asset calls its input; a ValueError where Dagster does not
    take the name, or another asset has it."""
    name = re.sub(r"[-.]", "_", "_".join(key.path))
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ValueError(
            f"its key {key.to_user_string()!r} has other characters than ASCII letters, digits, "
            "dots, dashes and underscores, so no table could depend on it"
        )
    if name in taken:
        raise ValueError(f"another asset has the key {key.to_user_string()!r}")
    return name


def _age(record: WorkflowRecord | HogFunctionRecord) -> tuple[float, str]:
    made = record.created_at
    return (made.timestamp() if made else float("inf"), record.id)
