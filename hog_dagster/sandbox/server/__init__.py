"""The server: sockets, routing, limits, faults, and `Sandbox`, which tests and commands start."""

from hog_dagster.sandbox.server._endpoint_names import ENDPOINT_NAMES
from hog_dagster.sandbox.server._faults import Fault
from hog_dagster.sandbox.server._proxy_answers import PROXY_ANSWERS
from hog_dagster.sandbox.server._records import RequestRecord
from hog_dagster.sandbox.server._remote import RemoteSandbox
from hog_dagster.sandbox.server._sandbox import DEFAULT_KEYS, Sandbox

__all__ = [
    "DEFAULT_KEYS",
    "ENDPOINT_NAMES",
    "PROXY_ANSWERS",
    "Fault",
    "RemoteSandbox",
    "RequestRecord",
    "Sandbox",
]
