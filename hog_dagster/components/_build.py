"""`build_posthog_definitions`: the integration of one PostHog project as Dagster definitions."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import dagster as dg

from hog_dagster._shared.postgres_urls import is_postgres
from hog_dagster.assets import (
    AssetOptions,
    HogFunctionSelection,
    InsightSelection,
    MessagePolicy,
    ReadBy,
    WorkflowSelection,
)
from hog_dagster.checks import CheckRules, build_posthog_checks
from hog_dagster.components._acting import Jobs, build_schedules, build_sensors
from hog_dagster.components._alerting import Alerting
from hog_dagster.components._batch_jobs import build_sending
from hog_dagster.components._facts import ProjectFacts
from hog_dagster.components._records import (
    BatchJob,
    Groups,
    Messaging,
    Partitions,
    Schedules,
    Sensors,
)
from hog_dagster.components._resource_pages import hidden
from hog_dagster.components._tables import TableChoices, build_tables, partitioned_queries
from hog_dagster.ledger import default_url
from hog_dagster.lineage import Customization, Lineage, PostHogTranslator, Snapshot, build_lineage
from hog_dagster.policies import AlertPolicy, QueryTable, Safety, first_kept_day
from hog_dagster.resources import LedgerResource, PostHogResource, WarehouseResource
from hog_dagster.settings import Everywhere, read_settings, variable_of

_ALL_FUNCTIONS, _ALL_GROUPS, _ALL_CHECKS = HogFunctionSelection(), Groups(), CheckRules()
_ALL_INSIGHTS = (InsightSelection(),)


def build_posthog_definitions(
    *,
    posthog: PostHogResource,
    warehouse: WarehouseResource,
    ledger: LedgerResource | None = None,
    start_date: date | None = None,
    name: str = "",
    every: Literal["daily", "hourly"] = "daily",
    lookback: int = 0,
    selection: WorkflowSelection | None = None,
    functions: HogFunctionSelection | None = _ALL_FUNCTIONS,
    insights: Sequence[InsightSelection] | None = _ALL_INSIGHTS,
    groups: Groups | None = _ALL_GROUPS,
    messaging: Messaging | None = None,
    queries: Sequence[QueryTable] = (),
    options: AssetOptions | None = None,
    read_by: ReadBy = "auto",
    messages: MessagePolicy = "mask",
    snapshot: Snapshot | None = None,
    translator: PostHogTranslator | None = None,
    customization: Customization | None = None,
    checks: CheckRules | None = _ALL_CHECKS,
    schedules: Schedules | None = None,
    sensors: Sensors | None = None,
    batch_jobs: Sequence[BatchJob] = (),
    safety: Safety | None = None,
    alerts: AlertPolicy | None = None,
    extra_assets: Sequence[Any] = (),
    hide_settings: bool = False,
) -> dg.Definitions:
    """Every asset, check, job, sensor and schedule of one PostHog project.

    What acts on people starts STOPPED and as a dry run. Nothing is asked of PostHog until something
    runs; the observing sensor, which only reads, runs from the start.

    Args:
        posthog: the project.
        warehouse: where the tables are loaded.
        ledger: the record of actions; shared by every code location that acts on this project. By
            default HOG_DAGSTER_LEDGER, else a file in DAGSTER_HOME.
        start_date: the first partition (UTC); by default the first of the month in which what
            PostHog still keeps begins.
        name: tells this project apart from another one in the same code location: it stands before
            the names of its resources, jobs, sensors, schedules and groups, and in its asset keys
            (`posthog/eu/workflows`).
        every: whether logs, metrics and runs are cut into days or hours.
        lookback: how many partitions before each are read again with it, for late rows.
        selection: which workflows are read and observed; all by default.
        functions: which hog functions; None leaves their tables out.
        insights: which saved insights; None leaves their tables out.
        groups: which groups, and how; None leaves their tables out.
        messaging: sent messages, suppressions, opt-outs, categories and reputation, and what
            becomes of people's addresses; None leaves their tables out.
        queries: HogQL queries that are loaded as tables, such as events or persons.
        options: how the assets look; the warehouse's kind is filled in.
        read_by: `auto` reads logs, metrics and runs by PostHog's SQL where key and server let us,
            by REST elsewhere; `rest` and `hogql` by that only.
        messages: what happens to the text of log lines.
        snapshot: workflows, hog functions and insights as they were (`read_snapshot`): each becomes
            an external asset, and the tables stand downstream of where they send.
        translator: changes how assets look.
        customization: changes what steps do, how their ops are called and tagged.
        checks: thresholds and severities; None leaves checks out.
        schedules: when tables are read again.
        sensors: which sensors, and their limits.
        batch_jobs: workflows that Dagster sends, and when.
        safety: limits of the whole project: they hold for sensors, schedules, batch jobs and their
            assets, and for runs that somebody launches by hand.
        alerts: where messages about what fails go, and which; none by default.
        extra_assets: more assets for the same resources.
        hide_settings: keep the resources' secrets out of Dagster's UI, for settings that are not
            given as `EnvVar`.

    Returns:
        The definitions, with the resources `posthog`, `warehouse` and `ledger`; with a name, those
        are `<name>_posthog` and so on.

    Raises:
        ValueError: the name is no word of letters, digits and underscores; a query cannot work, or
            has the name of another table.

    Example:
        .. code-block:: python

            defs = build_posthog_definitions(
                posthog=PostHogResource(
                    api_key=dg.EnvVar("POSTHOG_API_KEY"),
                    project_id=dg.EnvVar("POSTHOG_PROJECT_ID"),
                ),
                warehouse=DuckDBWarehouse(path="warehouse.duckdb"),
                start_date=date(2026, 8, 1),
            )
    """
    options = options or AssetOptions()
    options = replace(
        options,
        warehouse_kind=warehouse.kind,
        name=name or options.name,
        steps=customization or options.steps,
    )
    translator, schedules = translator or PostHogTranslator(), schedules or Schedules()
    sensors, limits = sensors or Sensors(), safety or Safety()
    first_day = start_date or first_kept_day()
    cut = Partitions(start_date=first_day.isoformat(), every=every).definition()
    facts = ProjectFacts.of(limits, selection, sensors, batch_jobs, functions, read_by)
    jobs = Jobs.of(options, limits, facts.metadata())
    sending = build_sending(
        batch_jobs, job=jobs.batch, options=options, snapshot=snapshot, safety=limits
    )
    lineage = Lineage()
    if snapshot is not None:
        lineage = build_lineage(
            snapshot, options=options, translator=translator, senders=sending.senders
        )
        options = replace(options, objects=lineage.keys)
    tables = build_tables(
        TableChoices(
            cut,
            workflows=selection,
            hog_functions=functions,
            insights=insights,
            groups=groups,
            messaging=messaging,
            queries=partitioned_queries(queries, first_day),
            known=[insight.info for insight in snapshot.insights] if snapshot else (),
            messages=messages,
            read_by=read_by,
            lookback=lookback,
        ),
        options=options,
        translator=translator,
        lineage=lineage,
    )
    made_checks = (
        build_posthog_checks(
            cut,
            tables=tables.names,
            options=tables.options,
            workflows=selection,
            hog_functions=functions,
            rules=checks,
            batch_schedules=sending.checked,
            queries=partitioned_queries(queries, first_day),
            read_by=read_by,
        )
        if checks is not None
        else []
    )
    observing = {
        "specs": lineage.specs,
        "known": snapshot,
        "options": tables.options,
        "workflows": selection,
        "hog_functions": functions,
        "insights": insights,
    }
    ledger = ledger or LedgerResource(url=default_url())
    posthog = counted_in(ledger, posthog)
    resources = {"posthog": posthog, "warehouse": warehouse, "ledger": ledger}
    alerting = Alerting()
    if alerts is not None:
        alerting = Alerting.of(alerts, tables.options, made_checks)
    return dg.Definitions(
        assets=[
            *lineage.specs,
            *tables.all,
            *sending.assets,
            *alerting.assets,
            *extra_assets,
        ],
        asset_checks=[*made_checks, *alerting.checks],
        jobs=[jobs.replay, jobs.batch, jobs.create_schedule, jobs.reconcile],
        schedules=[
            *build_schedules(schedules, jobs, tables, cut, made_checks, sending),
            *alerting.schedules,
        ],
        sensors=[
            *build_sensors(sensors, jobs, tables.options, observing, limits),
            *alerting.sensors,
        ],
        resources={
            options.named(key): hidden(one) if hide_settings else one
            for key, one in resources.items()
        },
    )


def counted_in(ledger: LedgerResource, posthog: PostHogResource) -> PostHogResource:
    """The project, its rate limit counted in the ledger's database, unless something else is said.

    A ledger in SQLite, by its URL or its path, stands for this machine; so does a variable that
    names one. A variable that is not set yet is read when a run starts.
    """
    environment = read_settings(Everywhere)
    said = posthog.rate_limit or environment.rate_limit
    url, usual = ledger.url, variable_of("ledger")
    variable = url.env_var_name if isinstance(url, dg.EnvVar) else ""
    named = os.environ.get(variable) if variable else url
    if variable == usual or (named and named == environment.ledger):
        return posthog  # It is read when a run starts, and shown nowhere.
    if said or (named is not None and not is_postgres(named)):
        return posthog
    fields = {name: getattr(posthog, name) for name in type(posthog).model_fields}
    return type(posthog)(**{**fields, "rate_limit": ledger.url})
