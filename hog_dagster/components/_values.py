"""Checks of the component's own fields: host, key, project, databases, files, names.

Facts: the client has its own checks, whose texts name environment variables; here the field is
named, as the YAML has it. A key is never in a text.
"""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from hog_dagster._shared.postgres_urls import is_dsn, read_dsn, read_postgres_url
from hog_dagster.ledger import read_url
from hog_dagster.policies import QueryTable
from hog_dagster.posthog import check_api_key, check_host, check_project_id


def checked_host(value: str | None) -> str | None:
    """An address of PostHog's API; None and empty stand for PostHog Cloud in the US."""
    if value is not None and value.strip():
        _named("host", "POSTHOG_HOST", lambda: check_host(value))
        if re.search(r"/(project|environments)(/|$)", value):
            raise ValueError("give the address without its path: the number goes under project_id")
    return value


def checked_key(value: str | None) -> str | None:
    """A personal API key, as far as it can be told."""
    if value is not None and value.strip():
        _named("api_key", "POSTHOG_API_KEY", lambda: check_api_key(value))
    return value


def checked_project(value: str | int | None) -> str | int | None:
    """The number of a project."""
    if value is not None and str(value).strip():
        _named("project_id", "POSTHOG_PROJECT_ID", lambda: check_project_id(value))
    return value


def checked_ledger(value: str | None) -> str | None:
    """The address of a database that a ledger can be kept in."""
    if value is not None:
        read_url(value)
    return value


def checked_rate_limit(value: str | None) -> str | None:
    """A database or a directory in which the rate limit is counted; a ledger's SQLite URL stands
    for this machine."""
    if value is None or not value.strip() or value.startswith("sqlite"):
        return value
    if is_dsn(value):
        read_dsn(value, "The rate limit")
    elif "://" in value:
        read_postgres_url(
            value,
            "The rate limit",
            "postgresql://user:password@host:5432/database, or a directory of this machine",
        )
    return value


def checked_file(value: str | None) -> str | None:
    """The path of a PEM file; whether it is there is said when the YAML is read."""
    if value is not None and (not value.strip() or "://" in value or "-----" in value):
        raise ValueError("give the path of a PEM file")
    return value


def checked_group(value: str) -> str:
    """The name of an asset group, as Dagster takes it."""
    if not re.fullmatch(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*", value):
        raise ValueError("give letters, digits and underscores: it names a group of assets")
    return value


def checked_tables(value: Sequence[QueryTable]) -> Sequence[QueryTable]:
    """Queries, each with a table of its own."""
    names = [query.name for query in value]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]} is given twice: give each query a name of its own")
    return value


def checked_owner(value: str) -> str:
    """An owner as Dagster takes it."""
    if not re.fullmatch(r"team:\S+|[^@\s]+@[^@\s]+\.[^@\s]+", value):
        raise ValueError("give an e-mail address, or team:growth say")
    return value


def checked_word(value: str) -> str:
    """What stands before names of Dagster's."""
    if value and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", value):
        raise ValueError(
            "it stands before names of Dagster's: give letters, digits and underscores, a letter "
            "first; eu, say"
        )
    return value


def _key_part(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", value):
        raise ValueError("give letters, digits, underscores: it is a part of asset keys")
    return value


def _named(field: str, variable: str, check: object) -> None:
    try:
        check()  # type: ignore[operator]
    except ValueError as error:
        text = re.sub(rf"{variable}=\S+ ", f"{field} ", str(error)).replace(variable, field)
        text = text.replace("POSTHOG_API_KEY", "api_key")
        raise ValueError(text.rstrip(".")) from None


#: A part of asset keys.
Prefix = Annotated[str, AfterValidator(_key_part)]
