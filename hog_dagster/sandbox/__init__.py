"""A local PostHog over real HTTP, for tests and for the demo: an honest double of real servers.

Needs the extra ``hog-dagster[sandbox]`` (starlette and uvicorn).

Rooms, each importing only those before it: ``world`` (stores, rows, builders, clock; no HTTP),
``engine`` (what happens as the clock moves), ``api`` (what the endpoints answer), ``server``.
"""

from hog_dagster._shared.extras import needs_extra

with needs_extra("sandbox", "The sandbox"):
    from hog_dagster.sandbox.api import Key
    from hog_dagster.sandbox.server import (
        DEFAULT_KEYS,
        ENDPOINT_NAMES,
        PROXY_ANSWERS,
        Fault,
        RemoteSandbox,
        RequestRecord,
        Sandbox,
    )
    from hog_dagster.sandbox.world import GENERATIONS, Clock, Generation, World

__all__ = [
    "DEFAULT_KEYS",
    "ENDPOINT_NAMES",
    "GENERATIONS",
    "PROXY_ANSWERS",
    "Clock",
    "Fault",
    "Generation",
    "Key",
    "RemoteSandbox",
    "RequestRecord",
    "Sandbox",
    "World",
]
