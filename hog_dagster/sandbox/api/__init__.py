"""What the endpoints of each generation answer, and which scopes they ask."""

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._auth import Key, authenticate, check_scopes, read_keys, redact
from hog_dagster.sandbox.api._calls import (
    Answer,
    Call,
    Endpoint,
    EndpointGroup,
    Site,
    read_datetime,
)
from hog_dagster.sandbox.api._routes import endpoint_groups

__all__ = [
    "Answer",
    "Call",
    "Endpoint",
    "EndpointGroup",
    "Key",
    "Site",
    "authenticate",
    "check_scopes",
    "endpoint_groups",
    "errors",
    "read_datetime",
    "read_keys",
    "redact",
]
