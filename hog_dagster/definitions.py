"""`defs`: the default code location, built from the environment. The one module that reads it.

POSTHOG_HOST, POSTHOG_API_KEY, POSTHOG_PROJECT_ID   the project; without them it loads and explains
HOG_DAGSTER_WAREHOUSE        a DuckDB path, a postgresql:// URL, or dlt:<destination> with dlt's own
                             configuration; default a file in DAGSTER_HOME
HOG_DAGSTER_MEMORY_LIMIT     what DuckDB may use, such as 2GB; 512MB by default
HOG_DAGSTER_LEDGER           a sqlite:/// or postgresql:// URL; default a file in DAGSTER_HOME
HOG_DAGSTER_RATE_LIMIT       where the use of the rate limit is counted: a postgresql:// URL, or a
                             directory; default the ledger's database when that is PostgreSQL
HOG_DAGSTER_CA_FILE          PEM file of the certificate authorities that are trusted
HOG_DAGSTER_CLIENT_CERTIFICATE  PEM file of the certificate and key that are shown
HOG_DAGSTER_START_DATE       the first daily partition, YYYY-MM-DD
HOG_DAGSTER_LOG_MESSAGES     mask (default), keep or drop
HOG_DAGSTER_BATCH_SCHEDULES  JSON, {"<workflow>": "<cron in UTC>"}: batch jobs to schedule
HOG_DAGSTER_DRY_RUN          false: what acts on people really does; true: nothing does, runs that
                             are launched by hand included; else sensors and schedules only report
HOG_DAGSTER_MAX_AUDIENCE     refuse to send a batch job to more people than this
HOG_DAGSTER_SEND_UNCOUNTED   true: send batch jobs even where the server cannot count the audience
HOG_DAGSTER_HEADROOM, HOG_DAGSTER_READ_TIMEOUT_SECONDS, HOG_DAGSTER_MAX_WAIT_SECONDS
                             share of PostHog's rate limit to use (0.9); how long a response may
                             pause (60); the longest wait for the rate limit (3700)
HOG_DAGSTER_LOCK_TIMEOUT_SECONDS
                             how long a load waits for another before it gives up
HOG_DAGSTER_LINEAGE          false: workflows, hog functions and insights are no assets, and PostHog
                             is not asked for them when the code location is loaded
"""

import json
import logging
import math
import os
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from hog_dagster._shared.home import default_home, default_warehouse
from hog_dagster.assets import MessagePolicy
from hog_dagster.components import BatchJob, ReplaySensor, Sensors, build_posthog_definitions
from hog_dagster.ledger import default_url, read_url
from hog_dagster.lineage import Snapshot, load_posthog_snapshot
from hog_dagster.policies import Safety, first_kept_day
from hog_dagster.resources import (
    DltWarehouse,
    DuckDBWarehouse,
    LedgerResource,
    PostgresWarehouse,
    PostHogResource,
    WarehouseResource,
    missing_settings_text,
)

__all__ = ["defs"]

_log = logging.getLogger("hog_dagster")


def _set(name: str) -> str:
    return os.environ.get(name, "").strip()


def _variable(name: str, default: str = "") -> str:
    """An EnvVar where the variable is set, so that the UI shows its name and not its value."""
    return dg.EnvVar(name) if _set(name) else default


def _number(name: str, least: float, most: float = math.inf) -> float | None:
    """A number above `least`, up to `most`; None where it is not set."""
    text = _set(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least < value <= most:
        limit = f"above {least:g}" + (f", {most:g} at most" if most < math.inf else "")
        raise ValueError(f"{name} is {text!r}; give a number {limit}.")
    return value


def _given(**numbers: float | None) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if value is not None}


def _warehouse() -> WarehouseResource:
    where = _set("HOG_DAGSTER_WAREHOUSE")
    locks = _given(lock_timeout_seconds=_number("HOG_DAGSTER_LOCK_TIMEOUT_SECONDS", 0))
    if where.startswith(("postgresql://", "postgres://", "postgresql+")):
        return PostgresWarehouse(url=dg.EnvVar("HOG_DAGSTER_WAREHOUSE"), **locks)
    if where.startswith("dlt:"):
        destination = where.removeprefix("dlt:")
        table_format = "delta" if destination == "filesystem" else None
        return DltWarehouse(destination=destination, table_format=table_format, **locks)
    if "://" in where:
        raise ValueError(
            f"HOG_DAGSTER_WAREHOUSE starts with {where.split('://')[0]}://, which is not known: "
            "give the path of a DuckDB file, a postgresql:// URL or dlt:<destination>."
        )
    limit = _set("HOG_DAGSTER_MEMORY_LIMIT") or "512MB"
    return DuckDBWarehouse(path=where or default_warehouse(), memory_limit=limit, **locks)


def _ledger() -> LedgerResource:
    text = _set("HOG_DAGSTER_LEDGER")
    if text:
        try:
            read_url(text)
        except ValueError as error:
            raise ValueError(f"HOG_DAGSTER_LEDGER cannot be used: {error}") from None
    return LedgerResource(url=_variable("HOG_DAGSTER_LEDGER", default_url()))


def _start_date() -> date:
    text = _set("HOG_DAGSTER_START_DATE")
    if text:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"HOG_DAGSTER_START_DATE is {text!r}; give a day such as 2026-01-31."
            ) from None
    return first_kept_day()


def _messages() -> MessagePolicy:
    text = _set("HOG_DAGSTER_LOG_MESSAGES") or "mask"
    if text not in ("mask", "keep", "drop"):
        raise ValueError(f"HOG_DAGSTER_LOG_MESSAGES is {text!r}; give mask, keep or drop.")
    return text


def _batch_schedules() -> dict[str, str]:
    text = _set("HOG_DAGSTER_BATCH_SCHEDULES") or "{}"
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict) or not all(isinstance(cron, str) for cron in parsed.values()):
        raise ValueError(
            "HOG_DAGSTER_BATCH_SCHEDULES is not a JSON object of workflow id to cron; give, "
            'for example, {"01968c1e-77aa-0000-4f0e-2b5d1c9a3e10": "0 9 * * 1"}.'
        )
    return parsed


def _flag(name: str) -> bool | None:
    """Whether a switch is on; None where it is not set."""
    text = _set(name).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    if text:
        raise ValueError(f"{name} is {text!r}; give true or false.")
    return None


def _max_audience() -> int | None:
    text = _set("HOG_DAGSTER_MAX_AUDIENCE")
    if text and not text.isdecimal():
        raise ValueError(f"HOG_DAGSTER_MAX_AUDIENCE is {text!r}; give a number of people.")
    return int(text) if text else None


def _snapshot(posthog: PostHogResource) -> Snapshot | None:
    """What the lineage is made of; what was read is kept beside Dagster's own files."""
    if _flag("HOG_DAGSTER_LINEAGE") is False:
        return None
    kept = f"posthog_{_set('POSTHOG_PROJECT_ID')}.json" if _set("DAGSTER_HOME") else None
    return load_posthog_snapshot(posthog, keep=Path(default_home(), kept) if kept else None)


def _build() -> dg.Definitions:
    missing = [n for n in ("POSTHOG_API_KEY", "POSTHOG_PROJECT_ID") if not _set(n)]
    if missing:
        _log.warning(missing_settings_text(missing))
    posthog = PostHogResource(
        host=_variable("POSTHOG_HOST", "https://us.posthog.com"),
        api_key=_variable("POSTHOG_API_KEY"),
        project_id=_variable("POSTHOG_PROJECT_ID"),
        rate_limit=_variable("HOG_DAGSTER_RATE_LIMIT") or None,
        ca_file=_variable("HOG_DAGSTER_CA_FILE") or None,
        client_certificate=_variable("HOG_DAGSTER_CLIENT_CERTIFICATE") or None,
        **_given(
            headroom=_number("HOG_DAGSTER_HEADROOM", 0, 1),
            read_timeout_seconds=_number("HOG_DAGSTER_READ_TIMEOUT_SECONDS", 0),
            max_wait_seconds=_number("HOG_DAGSTER_MAX_WAIT_SECONDS", 0),
        ),
    )
    dry_run, uncounted = _flag("HOG_DAGSTER_DRY_RUN"), _flag("HOG_DAGSTER_SEND_UNCOUNTED")
    return build_posthog_definitions(
        posthog=posthog,
        warehouse=_warehouse(),
        ledger=_ledger(),
        start_date=_start_date(),
        snapshot=None if missing else _snapshot(posthog),
        messages=_messages(),
        safety=Safety(
            dry_run=True if dry_run else None,
            max_audience=_max_audience(),
            send_uncounted=False if uncounted is False else None,
        ),
        sensors=Sensors(replay=ReplaySensor(dry_run=dry_run is not False)),
        batch_jobs=[
            BatchJob(
                workflow=workflow,
                cron=cron,
                dry_run=dry_run is not False,
                send_uncounted=uncounted is True,
            )
            for workflow, cron in _batch_schedules().items()
        ],
    )


defs = _build()
