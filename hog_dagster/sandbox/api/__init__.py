"""What the endpoints of each generation answer, and which scopes they ask."""

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._auth import Key, authenticate, check_scopes, read_keys, redact
from hog_dagster.sandbox.api._calls import Answer, Call, Endpoint, Family, read_datetime
from hog_dagster.sandbox.api._query_slots import QuerySlots
from hog_dagster.sandbox.api._routes import families

__all__ = [
    "Answer",
    "Call",
    "Endpoint",
    "Family",
    "Key",
    "QuerySlots",
    "authenticate",
    "check_scopes",
    "errors",
    "families",
    "read_datetime",
    "read_keys",
    "redact",
]
