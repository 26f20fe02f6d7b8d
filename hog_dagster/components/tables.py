"""The steps that land PostHog's tables, looking as a translator says, joined to the lineage.

Facts: a step knows its assets by `AssetOptions.key`, so an asset key that a translator changes has
to be known when the step is made; everything else about a spec can be changed afterwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from hog_dagster.assets import (
    AssetOptions,
    HogFunctionSelection,
    InsightSelection,
    ReadBy,
    WorkflowSelection,
    build_blocked_runs_asset,
    build_catalog_assets,
    build_groups_assets,
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_hog_function_runs_asset,
    build_hog_functions_asset,
    build_insight_results_asset,
    build_insights_asset,
    build_ledger_assets,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets.insight_selection import InsightInfo
from hog_dagster.assets.lineage import Lineage, PostHogTranslator, TableProps
from hog_dagster.assets.redact import MessagePolicy
from hog_dagster.components.objects import Groups
from hog_dagster.components.steps import Customization, changed

__all__ = ["TableChoices", "Tables", "build_tables"]

_OF_WORKFLOWS = ("workflow_metrics", "workflow_logs", "workflow_runs")
_OF_FUNCTIONS = ("hog_function_metrics", "hog_function_logs", "hog_function_runs")


@dataclass(frozen=True)
class TableChoices:
    """What is landed, and how.

    Args:
        partitions_def: of logs, metrics and runs.
        workflows: which workflows.
        hog_functions: which hog functions; None leaves their tables out.
        insights: which insights; None leaves their tables out.
        groups: which groups; None leaves their tables out.
        known: the insights as they were when definitions were built.
        messages: what happens to the text of log lines.
        read_by: `auto` (PostHog's SQL where key and server let us), `rest` or `hogql`.
        lookback: how many partitions before each are read again with it.
    """

    partitions_def: dg.TimeWindowPartitionsDefinition
    workflows: WorkflowSelection | None = None
    hog_functions: HogFunctionSelection | None = None
    insights: Sequence[InsightSelection] | None = None
    groups: Groups | None = None
    known: Sequence[InsightInfo] = ()
    messages: MessagePolicy = "mask"
    read_by: ReadBy = "auto"
    lookback: int = 0


@dataclass(frozen=True)
class Tables:
    """The steps by how they are refreshed, the options they were made with, the tables' names."""

    snapshots: list[dg.AssetsDefinition]
    partitioned: list[dg.AssetsDefinition]
    insights: list[dg.AssetsDefinition]
    options: AssetOptions
    names: frozenset[str] = frozenset()

    @property
    def all(self) -> list[dg.AssetsDefinition]:
        """Every step."""
        return [*self.snapshots, *self.partitioned, *self.insights]


def build_tables(
    choices: TableChoices,
    *,
    options: AssetOptions,
    translator: PostHogTranslator,
    lineage: Lineage,
    customization: Customization,
) -> Tables:
    """Every step that lands tables.

    Args:
        choices: what is landed, and how.
        options: how the assets look.
        translator: changes that; partitions stay as chosen.
        lineage: the external assets that tables stand downstream of.
        customization: what to change about the steps themselves.
    """
    made = _make(choices, options)
    translated = {
        table_name(spec): (spec, translator.get_asset_spec(TableProps(table_name(spec), spec)))
        for step in made.all
        for spec in step.specs
    }
    keys = {name: new.key for name, (old, new) in translated.items() if new.key != old.key}
    renamed = dict(lineage.renamed)
    if keys:
        renamed |= {translated[name][0].key: key for name, key in keys.items()}
        made = _make(choices, replace(options, keys={**options.keys, **keys}))
    joined: dict[str, list[dg.AssetKey]] = {}
    joined |= dict.fromkeys(_OF_WORKFLOWS, lineage.destinations["workflow"])
    joined |= dict.fromkeys(_OF_FUNCTIONS, lineage.destinations["hog_function"])

    names = {made.options.key(name): name for name in translated}

    def spec_of(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = names[spec.key]
        look = translated[name][1].replace_attributes(
            key=spec.key, partitions_def=spec.partitions_def
        )
        deps = [dg.AssetDep(renamed.get(dep.asset_key, dep.asset_key)) for dep in look.deps]
        deps += [dg.AssetDep(key) for key in joined.get(name, ())]
        return look.replace_attributes(deps=list({dep.asset_key: dep for dep in deps}.values()))

    how = replace(customization, spec=spec_of)
    return Tables(
        *([changed(step, how) for step in steps] for steps in _parts(made)),
        options=made.options,
        names=frozenset(translated),
    )


def _parts(tables: Tables) -> Iterator[list[dg.AssetsDefinition]]:
    yield from (tables.snapshots, tables.partitioned, tables.insights)


def _make(choices: TableChoices, options: AssetOptions) -> Tables:
    flows: dict[str, Any] = {"options": options, "selection": choices.workflows}
    functions: dict[str, Any] = {"options": options, "selection": choices.hog_functions}
    read: dict[str, Any] = {"read_by": choices.read_by, "lookback": choices.lookback}
    days = choices.partitions_def
    snapshots = [
        build_catalog_assets(**flows),
        build_blocked_runs_asset(read_by=choices.read_by, **flows),
        build_ledger_assets(options=options),
    ]
    partitioned = [
        build_workflow_metrics_asset(days, **read, **flows),
        build_workflow_logs_asset(days, messages=choices.messages, **read, **flows),
        build_workflow_runs_asset(days, messages=choices.messages, **read, **flows),
    ]
    results: list[dg.AssetsDefinition] = []
    if choices.hog_functions is not None:
        snapshots.append(build_hog_functions_asset(**functions))
        partitioned += [
            build_hog_function_metrics_asset(days, **read, **functions),
            build_hog_function_logs_asset(days, messages=choices.messages, **read, **functions),
            build_hog_function_runs_asset(days, messages=choices.messages, **read, **functions),
        ]
    if choices.insights is not None:
        snapshots.append(build_insights_asset(options=options))
        results.append(
            build_insight_results_asset(
                options=options, selections=tuple(choices.insights), known=choices.known
            )
        )
    if choices.groups is not None:
        snapshots.append(
            build_groups_assets(
                options=options,
                columns=choices.groups.typed_columns(),
                group_types=tuple(choices.groups.types),
                history=choices.groups.history,
                read_by=choices.read_by,
            )
        )
    return Tables(snapshots, partitioned, results, options)


def table_name(spec: dg.AssetSpec) -> str:
    """The table an asset lands."""
    named: Mapping[str, Any] = spec.metadata
    name = named.get("dagster/table_name")
    return str(getattr(name, "value", name) or spec.key.path[-1]).rpartition(".")[2]
