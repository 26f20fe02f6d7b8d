"""docs/api.md against the code: every endpoint in the table, every method, nothing out of date."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog._endpoints import ENDPOINTS, Endpoint
from hog_dagster.posthog._services.batch_exports import Activity, BatchExports
from hog_dagster.posthog._services.groups import Groups
from hog_dagster.posthog._services.hog_functions import HogFunctions
from hog_dagster.posthog._services.hogql import Queries
from hog_dagster.posthog._services.insights import Insights
from hog_dagster.posthog._services.messaging import Messaging
from hog_dagster.posthog._services.server import Server
from hog_dagster.posthog._services.workflows import Workflows
from scripts import endpoints_table as table

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SERVICES = {
    "workflows": Workflows,
    "hog_functions": HogFunctions,
    "groups": Groups,
    "insights": Insights,
    "messaging": Messaging,
    "batch_exports": BatchExports,
    "activity": Activity,
    "query": Queries,
    "server": Server,
}
#: What needs no endpoint: it reads what is known already.
#: `groups.get` asks by `groups.find` and `groups.list`.
LOCAL = {"groups.get", "server.has", "server.why_not", "server.usage"}

#: What PostHog's public API pages list, as they write it.
DOCUMENTED = """
GET hog_flows                        POST hog_flows
GET hog_flows/:id                    PATCH hog_flows/:id
DELETE hog_flows/:id                 POST hog_flows/bulk_delete
GET hog_flows/:id/batch_jobs         POST hog_flows/:id/batch_jobs
GET hog_flows/:id/blocked_runs       POST hog_flows/:id/invocations
POST hog_flows/:id/replay_blocked_run
POST hog_flows/:id/replay_all_blocked_runs
GET hog_flows/:id/logs               GET hog_flows/:id/metrics
GET hog_flows/:id/metrics/totals     GET hog_flows/:id/schedules
POST hog_flows/:id/schedules         PATCH hog_flows/:id/schedules/:schedule_id
DELETE hog_flows/:id/schedules/:schedule_id
GET hog_functions                    POST hog_functions
GET hog_functions/:id                PATCH hog_functions/:id
DELETE hog_functions/:id             POST hog_functions/:id/broadcast
POST hog_functions/:id/invocations   GET hog_functions/:id/logs
GET hog_functions/:id/metrics        GET hog_functions/:id/metrics/totals
GET hog_functions/icon               GET hog_functions/icons
PATCH hog_functions/rearrange
POST groups                          GET groups/activity
POST groups/delete_property          GET groups/find
GET groups/property_definitions      GET groups/property_values
GET groups/related                   POST groups/update_property
POST groups/upsert_properties
GET insights
"""


def methods(service: str) -> dict[str, str]:
    """Names and docstrings of a service's public methods."""
    found = inspect.getmembers(SERVICES[service], callable)
    return {
        f"{service}.{name}": inspect.getdoc(method) or ""
        for name, method in found
        if not name.startswith("_")
    }


def registered() -> dict[str, Endpoint]:
    table.table()  # Imports every module of endpoints.
    return ENDPOINTS


def test_the_page_holds_the_table_of_the_code() -> None:
    assert PAGE.read_text("utf-8") == table.rewritten(PAGE), (
        "docs/api.md is out of date: run `python -m scripts.endpoints_table docs/api.md`"
    )


def test_the_command_prints_the_table() -> None:
    command = [sys.executable, "-m", "scripts.endpoints_table"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout == table.table()
    assert printed.stderr == ""


def test_a_page_without_the_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here", "utf-8")
    with pytest.raises(ValueError, match="endpoints"):
        table.rewritten(page)


@pytest.mark.parametrize("documented", re.findall(r"[A-Z]+ [a-z_/:]+", DOCUMENTED))
def test_every_documented_endpoint_is_in_the_table(documented: str) -> None:
    path = re.sub(r":([a-z_]+)", r"{\1}", documented)
    assert f"| `{path}/` |" in PAGE.read_text("utf-8")


def test_every_endpoint_has_a_method_and_every_method_an_endpoint() -> None:
    there = {name for service in SERVICES for name in methods(service)}
    used = {name for several in table.MORE.values() for name in several}
    with_method = set(registered()) - table.WITHOUT_METHOD
    assert with_method <= there
    assert set(table.MORE) <= set(registered())
    assert {name for name in used if not hasattr_of(name)} == set()
    assert there == with_method | (used & there) | LOCAL
    assert set(PostHogClient.__annotations__) == set(SERVICES)


def hasattr_of(name: str) -> bool:
    service, _, method = name.partition(".")
    return hasattr(SERVICES[service], method)


def test_every_method_names_its_endpoint_and_its_scopes() -> None:
    lacking = []
    for name, endpoint in registered().items():
        if name in table.WITHOUT_METHOD:
            continue
        said = methods(name.partition(".")[0])[name]
        last = endpoint.path.rstrip("/").rpartition("/")[2]
        if endpoint.method not in said or last not in said:
            lacking.append(f"{name}: {endpoint.method} ...{last}/")
        scopes = [scope for scope in endpoint.scopes if scope not in said]
        if "the object's ``:" in said or "scope ``:read``" in said:
            scopes = [scope for scope in scopes if not scope.startswith(("hog_flow", "hog_func"))]
        if scopes:
            lacking.append(f"{name}: {', '.join(scopes)}")
    assert lacking == []
