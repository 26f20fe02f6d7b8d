"""`hog-dagster doctor --deploy`: checks how Dagster is set up for actions and loads.

Facts: it reads the instance that DAGSTER_HOME names, at the packages of this environment and at
the files of the deployment. PostHog is not asked, and nothing is changed. What it takes for several
machines is any run launcher but Dagster's own, which starts runs on the machine of the code server.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from sqlalchemy.exc import SQLAlchemyError

from hog_dagster._shared.postgres_urls import is_postgres
from hog_dagster._shared.secrets import without_secrets
from hog_dagster.cli._doctor_secrets import literal_secrets
from hog_dagster.cli._doctor_stores import ledger_row
from hog_dagster.jobs import WORKFLOW_TAG
from hog_dagster.ledger import read_url
from hog_dagster.posthog import Row
from hog_dagster.settings import connection_settings

#: The oldest version of PostgreSQL that still gets fixes.
_OLDEST_POSTGRES = 13
#: The minor version of a library minus that of dagster: 0.29.x belongs to 1.13.x.
_LIBRARY_MINORS_AHEAD = 16


def deploy_rows(definitions: Any, ledger_url: str, rate_limit: str | None) -> Iterator[Row]:
    """One row for each requirement of a deployment. `rate_limit` is the project's setting for where
    requests are counted; None takes that of the environment."""
    yield from _versions()
    home = os.environ.get("DAGSTER_HOME", "").strip()
    elsewhere = False
    if not home:
        remedy = "Set it to the folder of dagster.yaml, for every process of Dagster."
        yield Row("instance", "fail", "DAGSTER_HOME is not set", remedy)
    else:
        said = ""
        try:
            with dg.DagsterInstance.get() as instance:
                launcher = type(instance.run_launcher).__name__
                elsewhere = launcher != "DefaultRunLauncher"
                yield Row("instance", "ok", f"{home}, runs started by {launcher}")
                yield _storage(instance, elsewhere)
                yield _daemon(instance)
                yield _queue(instance)
                yield _pools(instance, definitions)
                yield _monitoring(instance)
                yield _retries(instance)
                yield _printed(instance, elsewhere)
        except Exception as error:  # Of any plugin that the instance names.
            reason = error.__cause__ or error
            said = without_secrets(" ".join(f"{type(reason).__name__}: {reason}".split()))[:400]
        if said:
            remedy = f"Mend {home}/dagster.yaml or what it names; `dagster instance info` opens it."
            yield Row("instance", "fail", f"cannot be opened: {said}", remedy)
    yield _one_ledger(ledger_url, elsewhere)
    yield _one_limiter(rate_limit, ledger_url, elsewhere)
    yield _places()
    yield literal_secrets([Path.cwd(), *([Path(home).expanduser()] if home else [])])


# --- the instance -------------------------------------------------------------------------------


def _storage(instance: dg.DagsterInstance, elsewhere: bool) -> Row:
    stores = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    kinds = sorted({_kind(store) for store in stores if store is not None})
    remedy = (
        "Set storage in dagster.yaml to postgres: postgres_url: {env: DAGSTER_PG_URL}; "
        "deploy/dagster.yaml does."
    )
    if len(kinds) > 1:
        return Row("storage", "fail", f"runs, events and ticks are in {', '.join(kinds)}", remedy)
    if kinds == ["SQLite"]:
        if elsewhere:
            said = "SQLite, which runs on other machines cannot reach"
            return Row("storage", "fail", said, remedy)
        return Row("storage", "warn", "SQLite: one machine, and one writer at a time", remedy)
    url = getattr(instance.run_storage, "postgres_url", "")
    if kinds != ["PostgreSQL"] or not url:
        return Row("storage", "ok", kinds[0])
    return _postgres(url)


def _kind(store: Any) -> str:
    store = getattr(store, "_storage", store)  # Of a storage that serves all three.
    names = " ".join(f"{one.__module__}.{one.__name__}" for one in type(store).__mro__).lower()
    url = str(getattr(store, "postgres_url", ""))
    if url or "postgres" in names:
        return "PostgreSQL"
    if "mysql" in names:
        return "MySQL"
    return "SQLite" if "sqlite" in names else type(store).__name__


def _postgres(url: str) -> Row:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    where = sa.make_url(url)
    place = f"PostgreSQL at {where.host or 'a socket'}, database {where.database}"
    try:
        with engine.connect() as connection:
            number, encoding, most, used = connection.execute(
                sa.text(
                    "SELECT current_setting('server_version_num')::int / 10000, "
                    "current_setting('server_encoding'), current_setting('max_connections')::int, "
                    "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
                )
            ).one()
    except SQLAlchemyError as error:
        reason = without_secrets(" ".join(str(getattr(error, "orig", None) or error).split()))
        return Row("storage", "fail", f"{place}: {reason[:300]}", "Start it, or mend its address.")
    finally:
        engine.dispose()
    found = f"{place}: version {number}, {encoding}, {used} of {most} connections in use"
    if encoding != "UTF8":
        remedy = "Make a database WITH ENCODING 'UTF8' TEMPLATE template0 and move to it."
        return Row("storage", "fail", found, remedy)
    if number < _OLDEST_POSTGRES:
        remedy = f"Upgrade it: versions before {_OLDEST_POSTGRES} get no more fixes."
        return Row("storage", "warn", found, remedy)
    if used > 0.8 * most:
        return Row("storage", "warn", found, "Raise max_connections, or put a pooler before it.")
    return Row("storage", "ok", found)


def _daemon(instance: dg.DagsterInstance) -> Row:
    statuses = instance.get_daemon_statuses()
    wanted = {name: one for name, one in statuses.items() if one.required}
    silent = sorted(name for name, one in wanted.items() if one.last_heartbeat is None)
    late = sorted(name for name, one in wanted.items() if not one.healthy and name not in silent)
    remedy = "Start `dagster-daemon run`, once for the instance: sensors and schedules need it."
    if late:
        return Row("daemon", "fail", f"no heartbeat for too long: {', '.join(late)}", remedy)
    if silent:
        return Row("daemon", "fail", f"it never ran here: {', '.join(silent)}", remedy)
    return Row("daemon", "ok", f"heartbeats of {', '.join(sorted(wanted))}")


def _queue(instance: dg.DagsterInstance) -> Row:
    config = instance.get_concurrency_config().run_queue_config
    remedy = (
        "Set run_coordinator (or leave it out) and concurrency: runs: as in deploy/dagster.yaml."
    )
    if config is None:
        found = f"{type(instance.run_coordinator).__name__}: runs start at once, without limits"
        return Row("run queue", "warn", found, remedy)
    keys = [
        limit.get("key")
        for limit in config.tag_concurrency_limits
        if isinstance(limit.get("value"), dict) and limit["value"].get("applyLimitPerUniqueValue")
    ]
    found = f"at most {config.max_concurrent_runs} runs at a time"
    if WORKFLOW_TAG not in keys:
        remedy = (
            f"Add a limit of 1 per unique value of the tag {WORKFLOW_TAG} to "
            "tag_concurrency_limits: a run then waits in the queue, not with a worker of its own."
        )
        return Row("run queue", "warn", f"{found}; runs for one workflow start together", remedy)
    return Row("run queue", "ok", f"{found}, one for each workflow that is acted on")


def _pools(instance: dg.DagsterInstance, definitions: Any) -> Row:
    named = sorted(_pools_of(definitions))
    storage = instance.event_log_storage
    if not named or not storage.supports_global_concurrency_limits:
        return Row("pools", "ok", "none is used")
    config = instance.get_concurrency_config().pool_config
    limits = {one.name: one.limit for one in storage.get_pool_limits()}
    default = config.default_pool_limit
    free = [name for name in named if limits.get(name, default) is None]
    closed = [name for name in named if limits.get(name, default) == 0]
    if closed:
        remedy = f"dagster instance concurrency set {closed[0]} 1"
        return Row("pools", "fail", f"no step of {', '.join(closed)} may run", remedy)
    if free:
        remedy = f"dagster instance concurrency set {free[0]} 4, or the limit that suits you."
        return Row("pools", "warn", f"without a limit: {', '.join(free)}", remedy)
    said = ", ".join(f"{name} {limits.get(name, default)}" for name in named)
    return Row("pools", "ok", said)


def _pools_of(definitions: Any) -> set[str]:
    """Pools that steps of the definitions name."""
    repository = definitions.get_repository_def()
    ops = [op for job in repository.get_all_jobs() for op in job.all_node_defs]
    return {
        pool for op in ops if isinstance(op, dg.OpDefinition) and (pool := getattr(op, "pool", ""))
    }


def _monitoring(instance: dg.DagsterInstance) -> Row:
    if instance.run_monitoring_enabled:
        return Row("run monitoring", "ok", "on: a run whose process is gone is noticed")
    return Row(
        "run monitoring",
        "fail",
        "off: a run whose process was killed stays STARTED, and its workflow is left alone",
        "Set run_monitoring: enabled: true in dagster.yaml.",
    )


def _retries(instance: dg.DagsterInstance) -> Row:
    remedy = (
        "Set run_retries: enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false in "
        "dagster.yaml."
    )
    if not instance.run_retries_enabled or instance.run_retries_max_retries == 0:
        said = "off: what a killed run left is looked up when the job runs next"
        return Row("run retries", "warn", said, remedy)
    times = instance.run_retries_max_retries
    if instance.run_retries_retry_on_asset_or_op_failure:
        said = f"{times}, after failed steps too: permanent errors are tried again"
        return Row("run retries", "warn", said, remedy)
    return Row("run retries", "ok", f"{times}, when a run's process died")


def _printed(instance: dg.DagsterInstance, elsewhere: bool) -> Row:
    name = type(instance.compute_log_manager).__name__
    if elsewhere and name == "LocalComputeLogManager":
        return Row(
            "compute logs",
            "warn",
            "in files of the machine of each run, which the web server cannot read",
            "Set compute_logs in dagster.yaml to a store that all machines reach.",
        )
    return Row("compute logs", "ok", name)


# --- around it ----------------------------------------------------------------------------------


def _versions() -> Iterator[Row]:
    """Whether the versions of Dagster's packages fit one another and hog_dagster."""
    found: dict[str, Version] = {}
    for name in ("dagster", "dagster-webserver", "dagster-graphql", "dagster-postgres"):
        try:
            found[name] = Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    said = ", ".join(f"{name} {version}" for name, version in found.items())
    core = found["dagster"]
    wanted = {
        name: f"0.{core.minor + _LIBRARY_MINORS_AHEAD}.{core.micro}"
        if name == "dagster-postgres"
        else str(core)
        for name in found
    }
    odd = [f"{name}=={wanted[name]}" for name, has in found.items() if str(has) != wanted[name]]
    if odd:
        remedy = f"pip install {' '.join(odd)}, in every image of the deployment."
        yield Row("versions", "fail", f"{said} do not belong together", remedy)
        return
    ours = [Requirement(text) for text in metadata.requires("hog-dagster") or ()]
    ranges = [one.specifier for one in ours if one.name == "dagster" and not one.marker]
    range_of = ranges[0] if ranges else SpecifierSet()
    if core not in range_of:
        remedy = f"pip install 'dagster{range_of}'"
        yield Row("versions", "fail", f"{said}; hog-dagster works with {range_of}", remedy)
        return
    yield Row("versions", "ok", said)


def _one_ledger(url: str, elsewhere: bool) -> Row:
    """Whether all processes that send share one ledger, which outlives them."""
    remedy = "Set HOG_DAGSTER_LEDGER to the PostgreSQL database that all machines share."
    row = ledger_row(url)
    if row.status == "fail" or is_postgres(url):
        return row
    path = Path(str(read_url(url).database)).absolute()
    if elsewhere:
        said = f"{path} is a file, and runs may be on machines that do not have it"
        return Row("ledger", "fail", said, remedy)
    if _passing(path):
        return Row("ledger", "fail", f"{path} is in a folder that is emptied", remedy)
    return row


def _passing(path: Path) -> bool:
    """Whether a file is in a folder that is emptied."""
    folders = {tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", "/run"}
    return any(path.is_relative_to(folder) for folder in folders)


def _one_limiter(rate_limit: str | None, ledger_url: str, elsewhere: bool) -> Row:
    """Whether all processes with the key count their requests together."""
    where = connection_settings(rate_limit=rate_limit)["rate_limit"]
    where = where or (ledger_url if is_postgres(ledger_url) else "")
    if where and is_postgres(where):
        row = ledger_row(where)
        if row.status == "fail":
            remedy = "Mend it, or name another database in HOG_DAGSTER_RATE_LIMIT."
            return Row("rate limit", "fail", row.value, remedy)
        return Row("rate limit", "ok", "counted in PostgreSQL, by all machines together")
    if elsewhere:
        return Row(
            "rate limit",
            "fail",
            "counted in files of each machine: together they exceed PostHog's limit",
            "Set HOG_DAGSTER_RATE_LIMIT to a PostgreSQL database, or keep the ledger in one.",
        )
    return Row("rate limit", "ok", "counted in files, by the processes of this machine")


def _places() -> Row:
    """Whether this user can write to TMPDIR and HOME."""
    refused: list[str] = []
    home = os.environ.get("HOME", "")
    for name, folder in (("TMPDIR", tempfile.gettempdir()), ("HOME", home)):
        if not folder or not os.access(folder, os.W_OK | os.X_OK):
            refused.append(f"{name} ({folder or 'not set'})")
    user = f"user {os.getuid()}"
    if not refused:
        return Row("folders", "ok", f"{user} can write in TMPDIR and HOME")
    return Row(
        "folders",
        "warn",
        f"{user} cannot write in {' and '.join(refused)}",
        "Mount a tmpfs or an emptyDir there, or name a folder that can be written.",
    )
