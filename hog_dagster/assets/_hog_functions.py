"""Hog functions as tables: the catalog (a snapshot), and logs and metrics (partitions).

Facts: rows of `GET /hog_functions/` leave inputs and mappings out on docs-era servers and on newer
ones without `full=true`; those servers refuse logs and metrics of functions to every scoped key,
while SQL shows them. Deleted functions are never listed, so only a complete listing tells.
"""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import dagster as dg

from hog_dagster._shared.secrets import without_secrets
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._departed import departed, loaded_rows
from hog_dagster.assets._function_tables import (
    HOG_FUNCTION_LOGS,
    HOG_FUNCTION_METRICS,
    HOG_FUNCTIONS,
)
from hog_dagster.assets._log_sources import HogFunctionLogSource, chosen_text
from hog_dagster.assets._logs import build_logs_asset
from hog_dagster.assets._metrics import build_metrics_asset
from hog_dagster.assets._redact import MessagePolicy, redact_definition
from hog_dagster.assets._shared_reads import FUNCTIONS, functions_of, listed_at
from hog_dagster.assets._sources import listing_metadata
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.lineage import AssetOptions, HogFunctionSelection
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import HogFunction


def build_hog_functions_asset(
    *,
    options: AssetOptions | None = None,
    selection: HogFunctionSelection | None = None,
    details: bool = True,
) -> dg.AssetsDefinition:
    """The asset `hog_functions`: one row per hog function; one that is deleted, or not selected any
    more, keeps its row, with `deleted_seen_at`.

    Needs the resources `posthog` (scope hog_function:read) and `warehouse`. Requests: one per 100
    functions, and on docs-era servers one per function that changed since it was loaded, for its
    inputs, mappings and masking.

    Args:
        options: how the asset looks.
        selection: which functions; all by default.
        details: False leaves inputs, mappings and masking empty where they cost a request each.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    selection = selection or HogFunctionSelection()

    @snapshot_step(
        options,
        {HOG_FUNCTIONS: []},
        group="hog_functions",
        name="posthog_hog_functions",
        first=_loaded,
    )
    def hog_functions(step: Step) -> Results:
        client, there = step.client, step.first
        listed = functions_of(client, full=True)
        chosen = [function for function in listed if function in selection]
        others = {one.id: one for one in listed if one not in selection}
        step.context.log.info(
            f"{len(listed)} hog functions in project {step.project}, {len(chosen)} selected"
        )

        def whole(one: HogFunction) -> Iterator[Row]:
            if not details or one.inputs_schema is not None or one.inputs is not None:
                yield _row(step, one)
            elif _unchanged(one, there.get(one.id)):
                yield {**_row(step, one), **{name: there[one.id][name] for name in _DETAILS}}
            else:
                yield from (_row(step, read) for read in _whole(client, one))

        gone = list(
            departed(
                there.values(),
                here={one.id for one in chosen},
                moment=loading.server_now(client),
                now=lambda id: _row(step, others[id]) if id in others else None,
            )
        )
        enabled = sum(bool(one.enabled) for one in chosen)
        yield step.load(
            HOG_FUNCTIONS,
            itertools.chain(interleave(chosen, whole, workers=4), gone),
            url=HogFunctionLogSource().page(step.posthog),
            order_by="name",
            numbers=lambda load: {
                "posthog/enabled": enabled,
                "posthog/disabled": load.rows - len(gone) - enabled,
                "posthog/deleted": len(gone),
            },
            listing=lambda: listing_metadata(
                listed_at(client, FUNCTIONS), chosen_text(selection), step.project, step.warehouse
            ),
        )

    return hog_functions


def _loaded(step: Step) -> dict[str, dict[str, Any]]:
    rows = loaded_rows(step.warehouse, HOG_FUNCTIONS, project_id=step.project)
    return {row["id"]: row for row in rows}


def build_hog_function_metrics_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: HogFunctionSelection | None = None,
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `hog_function_metrics`: one row per hog function, UTC hour and metric.

    Needs the resources `posthog` (scopes hog_function:read and query:read) and `warehouse`.
    Requests: one per 50,000 rows and two; without query:read one per function, whatever the number
    of partitions in the run (up to 31 days). Docs-era servers refuse that to scoped keys: without
    query:read nothing is read there, and the metadata says so.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which functions; all but those that run in browsers by default.
        lookback: how many partitions before each of the run's are read again with it, for counts
            that arrived late.
        read_by: `auto` reads by PostHog's SQL where key and server let us, and by REST elsewhere;
            `rest` and `hogql` by that only.

    Returns:
        The assets definition; a backfill is one run.
    """
    source = HogFunctionLogSource(selection or HogFunctionSelection())
    return build_metrics_asset(
        source, HOG_FUNCTION_METRICS, partitions_def, options, lookback, read_by
    )


def build_hog_function_logs_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: HogFunctionSelection | None = None,
    messages: MessagePolicy = "mask",
    level: str | None = None,
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `hog_function_logs`: one row per log line.

    Needs the resources `posthog` (scopes hog_function:read and query:read) and `warehouse`.
    Requests: one per 50,000 lines and two; without query:read about one per 500 lines, and at least
    one per function, whatever the number of partitions in the run. Docs-era servers refuse that to
    scoped keys: without query:read nothing is read there, and the metadata says so.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which functions; all but those that run in browsers by default.
        messages: what happens to the text, which can hold names and e-mail addresses: `mask` takes
            them out, `keep` loads them, `drop` loads an empty text.
        level: only these levels, comma-separated (`WARN,ERROR`); all by default.
        lookback: how many partitions before each of the run's are read again with it, for lines
            that arrived late.
        read_by: `auto` reads by PostHog's SQL where key and server let us, and by REST elsewhere;
            `rest` and `hogql` by that only.

    Returns:
        The assets definition; a backfill is one run.
    """
    source = HogFunctionLogSource(selection or HogFunctionSelection())
    return build_logs_asset(
        source, HOG_FUNCTION_LOGS, partitions_def, options, messages, level, lookback, read_by
    )


#: What rows of a list leave out, where it takes a request per function.
_DETAILS = ("inputs", "mappings", "masking")


def _unchanged(function: HogFunction, row: Row | None) -> bool:
    """Whether a function is as it was when its row was loaded, inputs and mappings included."""
    if row is None or row["deleted_seen_at"] is not None or row["inputs"] is None:
        return False
    known = (row["updated_at"], row["version"])
    return function.updated_at is not None and known == (function.updated_at, function.version)


def _whole(client: PostHogClient, function: HogFunction) -> Iterator[HogFunction]:
    """The function with its inputs; nothing when it was deleted since it was listed."""
    try:
        whole = client.hog_functions.get(function.id)
    except errors.NotFound:
        return
    yield function.model_copy(
        update={name: getattr(whole, name) for name in (*_DETAILS, "inputs_schema")}
    )


def _row(step: Step, function: HogFunction) -> Row:
    status, template = function.status, function.template
    held = redact_definition({"inputs": function.inputs, "mappings": function.mappings})
    return loading.row_of(
        HOG_FUNCTIONS,
        function,
        description=function.description and without_secrets(function.description),
        type=function.type or "destination",
        status=status.label if status else None,
        status_code=status.state if status else None,
        status_tokens=status.tokens if status else None,
        template_name=template.name if template else None,
        template_status=template.status if template else None,
        has_draft=function.draft is not None or function.draft_updated_at is not None,
        source=(function.filters or {}).get("source") or "events",
        filters=redact_definition(function.filters),
        **held,
        masking=redact_definition(function.masking),
        code_sha256=_digest(function.hog),
        created_by_email=getattr(function.created_by, "email", None),
        url=f"{step.posthog.project_url}/functions/{function.id}",
        _raw=redact_definition(function.model_extra or {}),
    )


def _digest(code: str | None) -> str | None:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest() if code else None
