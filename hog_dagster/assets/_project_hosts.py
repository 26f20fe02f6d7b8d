"""Whose rows a warehouse holds: the host of each project, so that two hosts' rows do not mix.

Facts: numbers of projects are a server's own, so two servers have a project 1 each; every table is
replaced by project number. A server is known by its host name: it may come back on another port.
Hosts of this machine are left out, because any server may be behind `localhost`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from hog_dagster.assets._loading import now
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Column, Table, Warehouse
from hog_dagster.warehouse.errors import TableMissing

T = TypeVar("T")

PROJECTS = Table(
    "projects",
    (
        Column("project_id", "bigint", "The PostHog project.", nullable=False),
        Column("host", "text", "The server it is on."),
        Column("_loaded_at", "timestamptz", "When it was first loaded here (UTC).", nullable=False),
    ),
    description="One row per PostHog project that was loaded here, and the server it is on.",
    key=("project_id",),
)


@contextmanager
def opened_for(warehouse: WarehouseResource, posthog: PostHogResource) -> Iterator[Warehouse]:
    """The open warehouse, which holds this project's rows or none under its number.

    Raises:
        ValueError: it holds rows of a project of this number on another server.
    """
    with opened_with(warehouse, posthog, lambda opened: None) as (opened, _):
        yield opened


@contextmanager
def opened_with(
    warehouse: WarehouseResource, posthog: PostHogResource, first: Callable[[Warehouse], T]
) -> Iterator[tuple[Warehouse, T]]:
    """The open warehouse as of `opened_for`, and what `first` read of it in the same connection.

    Raises:
        ValueError: as of `opened_for`.
    """
    with warehouse.open() as opened:
        host = urlsplit(posthog.client.host).hostname or ""
        known = _is_loopback(host)
        with opened.reading():
            known = known or _is_known(opened, int(posthog.project_id), host)
            found = first(opened)
        if not known:
            row = {"project_id": int(posthog.project_id), "host": host, "_loaded_at": now()}
            opened.upsert(PROJECTS, [[row]])
        yield opened, found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_known(warehouse: Warehouse, project_id: int, host: str) -> bool:
    """Whether the project is known to be of this host; False where nothing is known of it."""
    try:
        rows = warehouse.read(PROJECTS, scope={"project_id": project_id}).to_pylist()
    except TableMissing:
        return False
    if not rows:
        return False
    if rows[0]["host"] != host:
        raise ValueError(
            f"{warehouse.location} holds project {project_id} of {rows[0]['host']}, and project "
            f"{project_id} of {host} would replace its rows: give each a warehouse of its own, or, "
            f"if the server has moved, change the host in {warehouse.table_name(PROJECTS)}."
        )
    return True
