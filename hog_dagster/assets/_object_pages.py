"""Reports the last run, the failures and a link on the pages of workflows and hog functions.

Facts: these assets are external, so Dagster's UI says "Never materialized" until somebody reports
a materialization. Of external assets Dagster takes data versions from observations alone, so this
makes no table look out of date.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets._owner_names import owner_of
from hog_dagster.assets._summary import OF_RUNS, success_rate
from hog_dagster.lineage import AssetOptions
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import Measure, Table, Warehouse, Window

_HOUR = timedelta(hours=1)
_MEASURES: dict[str, Measure] = {"value": ("sum", "value"), "last": ("max", "hour")}


def report_objects(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    table: Table,
    options: AssetOptions,
    posthog: PostHogResource,
    own: Mapping[str, Window],
) -> None:
    """Report a materialization of each workflow or function that ran in a run's partitions.

    Nothing is reported where newer partitions have been loaded: the pages show the newest counts.
    """
    owner, kind = owner_of(table)
    kind = "hog_function" if kind == "function" else kind
    keys = {id: key for (of, id), key in options.objects.items() if of == kind}
    if not keys:
        return
    scope: dict[str, Any] = {"project_id": int(posthog.project_id), "metric": list(OF_RUNS)}
    if "level" in table:
        scope["level"] = "run"
    first, end = min(own.values()).start, max(own.values()).end
    with warehouse.reading():
        (newest,) = warehouse.aggregate(table, measures=_MEASURES, scope=scope)
        if newest["last"] is None or newest["last"] >= end:
            return
        found = warehouse.aggregate(
            table,
            by=[owner, "metric"],
            measures=_MEASURES,
            window=Window(first, end),
            scope=scope,
        )
    counts: dict[str, dict[str, int]] = {}
    last: dict[str, datetime] = {}
    for row in found:
        if row["value"]:
            counts.setdefault(row[owner], {})[row["metric"]] = row["value"]
            last[row[owner]] = max(row["last"], last.get(row[owner], row["last"]))
    for id, of in counts.items():
        if id in keys:
            url = _url(posthog, kind, id)
            metadata = _metadata(of, last[id], Window(first, end), url)
            context.log_event(dg.AssetMaterialization(keys[id], metadata=metadata))


def _url(posthog: PostHogResource, kind: str, id: str) -> str:
    if kind == "workflow":
        return posthog.workflow_url(id, "metrics")
    return f"{posthog.project_url}/functions/{id}?tab=metrics"


def _metadata(
    counts: Mapping[str, int], last: datetime, window: Window, url: str
) -> dict[str, Any]:
    succeeded, failed = counts.get("succeeded", 0), counts.get("failed", 0)
    rate = success_rate(succeeded, failed)
    return {
        "posthog/last_run_before": dg.MetadataValue.timestamp(last + _HOUR),
        "posthog/succeeded": succeeded,
        "posthog/failed": failed,
        **({"posthog/success_rate": rate} if rate is not None else {}),
        "posthog/counted_from": dg.MetadataValue.timestamp(window.start),
        "posthog/counted_until": dg.MetadataValue.timestamp(window.end),
        "posthog/url": dg.MetadataValue.url(url),
    }
