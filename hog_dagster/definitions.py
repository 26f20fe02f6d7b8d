"""`defs`: the default code location, built from the environment: `hog_dagster.settings` lists it.

Without a project it loads and explains what is missing. An `EnvVar` stands where a variable is set,
so that the UI shows its name and not its value.
"""

import logging
import os
from pathlib import Path
from typing import Any

import dagster as dg

from hog_dagster._shared.home import default_home, default_warehouse
from hog_dagster.components import (
    BatchJob,
    Messaging,
    ReplaySensor,
    Sensors,
    build_posthog_definitions,
)
from hog_dagster.ledger import default_url
from hog_dagster.lineage import Snapshot, load_posthog_snapshot
from hog_dagster.policies import CheckRules, Safety, first_kept_day
from hog_dagster.resources import (
    DltWarehouse,
    DuckDBWarehouse,
    LedgerResource,
    PostgresWarehouse,
    PostHogResource,
    WarehouseResource,
    missing_settings_text,
)
from hog_dagster.settings import Settings, read_settings, variable_of

__all__ = ["defs"]

_log = logging.getLogger("hog_dagster")


def _variable(settings: Settings, field: str, default: Any) -> Any:
    return dg.EnvVar(variable_of(field)) if field in settings.model_fields_set else default


def _given(settings: Settings, *fields: str) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in fields if name in settings.model_fields_set}


def _warehouse(settings: Settings) -> WarehouseResource:
    where = settings.warehouse or ""
    locks = _given(settings, "lock_timeout_seconds")
    if where.startswith(("postgresql://", "postgres://", "postgresql+")):
        return PostgresWarehouse(url=dg.EnvVar(variable_of("warehouse")), **locks)
    if where.startswith("dlt:"):
        destination = where.removeprefix("dlt:")
        table_format = "delta" if destination == "filesystem" else None
        return DltWarehouse(destination=destination, table_format=table_format, **locks)
    return DuckDBWarehouse(
        path=where or default_warehouse(), memory_limit=settings.memory_limit, **locks
    )


def _snapshot(settings: Settings, posthog: PostHogResource) -> Snapshot | None:
    """What the lineage is made of; what was read is kept beside Dagster's own files."""
    if not settings.lineage:
        return None
    home = os.environ.get("DAGSTER_HOME", "").strip()
    kept = f"posthog_{settings.posthog_project_id}.json"
    return load_posthog_snapshot(posthog, keep=Path(default_home(), kept) if home else None)


def _messaging(settings: Settings) -> Messaging | None:
    given = settings.messaging
    return None if given is None else Messaging(**given.model_dump())


def _build() -> dg.Definitions:
    settings = read_settings(Settings)
    missing = [
        variable_of(field)
        for field in ("posthog_api_key", "posthog_project_id")
        if field not in settings.model_fields_set
    ]
    if missing:
        _log.warning(missing_settings_text(missing))
    posthog = PostHogResource(
        host=_variable(settings, "posthog_host", settings.posthog_host),
        api_key=_variable(settings, "posthog_api_key", ""),
        project_id=_variable(settings, "posthog_project_id", ""),
        rate_limit=_variable(settings, "rate_limit", None),
        ca_file=_variable(settings, "ca_file", None),
        client_certificate=_variable(settings, "client_certificate", None),
        **_given(settings, "headroom", "read_timeout_seconds", "max_wait_seconds"),
    )
    dry_run = settings.dry_run is not False
    return build_posthog_definitions(
        posthog=posthog,
        warehouse=_warehouse(settings),
        ledger=LedgerResource(url=_variable(settings, "ledger", default_url())),
        start_date=settings.start_date or first_kept_day(),
        snapshot=None if missing else _snapshot(settings, posthog),
        messages=settings.log_messages,
        messaging=_messaging(settings),
        checks=CheckRules(**_given(settings, "deliverability")),
        safety=Safety(
            dry_run=True if settings.dry_run else None,
            max_audience=settings.max_audience,
            send_uncounted=False if settings.send_uncounted is False else None,
            send_truncated=False if settings.send_truncated is False else None,
        ),
        sensors=Sensors(replay=ReplaySensor(dry_run=dry_run)),
        batch_jobs=[
            BatchJob(
                workflow=workflow,
                cron=cron,
                dry_run=dry_run,
                send_uncounted=settings.send_uncounted is True,
                send_truncated=settings.send_truncated is True,
            )
            for workflow, cron in settings.batch_schedules.items()
        ],
    )


defs: dg.Definitions = _build()
