"""The steps that load PostHog's tables, looking as a translator says, joined to the lineage.

Facts: a step knows its assets by `AssetOptions.key`, so an asset key that a translator changes has
to be known when the step is made; everything else about a spec can be changed afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import dagster as dg

from hog_dagster.assets import (
    AssetOptions,
    HogFunctionSelection,
    InsightSelection,
    MessagePolicy,
    ReadBy,
    WorkflowSelection,
    build_batch_results_asset,
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
    build_message_events_asset,
    build_messaging_assets,
    build_query_asset,
    build_sent_messages_asset,
    build_workflow_activity_asset,
    build_workflow_errors_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
    query_partitions,
)
from hog_dagster.components._records import Groups, Messaging
from hog_dagster.lineage import InsightInfo, Lineage, PostHogTranslator, TableProps
from hog_dagster.policies import QueryTable

_OF_WORKFLOWS = ("workflow_metrics", "workflow_logs", "workflow_runs")
#: The table of projects, which no asset has.
_ALWAYS = "projects"
_OF_FUNCTIONS = ("hog_function_metrics", "hog_function_logs", "hog_function_runs")


@dataclass(frozen=True)
class TableChoices:
    """What is loaded, and how, as `build_posthog_definitions` takes it; None leaves tables out.
    Queries come with their partitions, None of a snapshot."""

    partitions_def: dg.TimeWindowPartitionsDefinition
    workflows: WorkflowSelection | None = None
    hog_functions: HogFunctionSelection | None = None
    insights: Sequence[InsightSelection] | None = None
    groups: Groups | None = None
    messaging: Messaging | None = None
    queries: Sequence[tuple[QueryTable, dg.TimeWindowPartitionsDefinition | None]] = ()
    known: Sequence[InsightInfo] = ()
    messages: MessagePolicy = "mask"
    read_by: ReadBy = "auto"
    lookback: int = 0


@dataclass(frozen=True)
class Tables:
    """The steps by how they are refreshed, the options they were made with, the tables' names.

    `queries` are those that are not cut as logs, metrics and runs are: snapshots of queries, and
    queries with partitions of their own.
    """

    snapshots: list[dg.AssetsDefinition]
    partitioned: list[dg.AssetsDefinition]
    insights: list[dg.AssetsDefinition]
    queries: list[dg.AssetsDefinition]
    options: AssetOptions
    names: frozenset[str] = frozenset()

    @property
    def all(self) -> list[dg.AssetsDefinition]:
        """Every step."""
        return [*self.snapshots, *self.partitioned, *self.insights, *self.queries]


def build_tables(
    choices: TableChoices,
    *,
    options: AssetOptions,
    translator: PostHogTranslator,
    lineage: Lineage,
) -> Tables:
    """Every step that loads tables, as the translator has it look, downstream of the lineage. A
    query that cannot work, or has the name of another table, is a ValueError."""
    made = _make(choices, options)
    _refuse_namesakes(made)
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

    return Tables(
        *(
            [step.map_asset_specs(spec_of) for step in steps]
            for steps in (made.snapshots, made.partitioned, made.insights, made.queries)
        ),
        options=made.options,
        names=frozenset(translated),
    )


def partitioned_queries(
    queries: Sequence[QueryTable], first_day: date
) -> list[tuple[QueryTable, dg.TimeWindowPartitionsDefinition | None]]:
    """Queries with their partitions, which begin on `first_day` where a query says nothing else;
    None of a snapshot."""
    return [
        (query, query_partitions(query, first_day) if query.partitioned else None)
        for query in queries
    ]


def _refuse_namesakes(made: Tables) -> None:
    """Refuse a query that has another table's name."""
    tables = [_ALWAYS, *(table_name(spec) for step in made.all for spec in step.specs)]
    if table := _doubled(tables):
        raise ValueError(
            f"Query {table!r}: another table has this name; give the query another one."
        )


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
        build_workflow_errors_asset(days, options=options),
    ]
    results: list[dg.AssetsDefinition] = []
    queries: list[dg.AssetsDefinition] = []
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
    if (messaging := choices.messaging) is not None:
        people = messaging.recipients
        if messaging.sent_messages:
            partitioned.append(
                build_sent_messages_asset(
                    days, recipients=people, lookback=choices.lookback, **flows
                )
            )
        if messaging.events:
            partitioned.append(
                build_message_events_asset(
                    days, recipients=people, lookback=choices.lookback, **flows
                )
            )
        if messaging.activity:
            snapshots.append(build_workflow_activity_asset(recipients=people, **flows))
        if messaging.batch_results:
            snapshots.append(build_batch_results_asset(**flows))
        if messaging.lists or messaging.reputation:
            snapshots.append(
                build_messaging_assets(
                    options=options,
                    recipients=people,
                    lists=messaging.lists,
                    reputation=messaging.reputation,
                )
            )
    if doubled := _doubled([query.name for query, _ in choices.queries]):
        raise ValueError(f"Query {doubled!r}: two queries have this name; rename one of them.")
    for query, own in choices.queries:
        step = build_query_asset(query, own, options=options)
        (partitioned if own == days else queries).append(step)
    return Tables(snapshots, partitioned, results, queries, options)


def _doubled(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def table_name(spec: dg.AssetSpec) -> str:
    """The table that an asset loads."""
    named: Mapping[str, Any] = spec.metadata
    name = named.get("dagster/table_name")
    return str(getattr(name, "value", name) or spec.key.path[-1]).rpartition(".")[2]
