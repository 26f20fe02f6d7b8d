"""A local PostHog over real HTTP, for tests and for the demo: an honest double of real servers.

Needs the extra ``hog-dagster[sandbox]`` (starlette and uvicorn).

Rooms, each importing only those before it: ``world`` (stores, rows, builders, clock; no HTTP),
``engine`` (what happens as the clock moves), ``api`` (what the endpoints answer), ``server``.
"""

from hog_dagster._shared.extras import needs_extra

with needs_extra("sandbox", "The sandbox"):
    from hog_dagster.sandbox.api import Key as Key
    from hog_dagster.sandbox.server import DEFAULT_KEYS as DEFAULT_KEYS
    from hog_dagster.sandbox.server import ENDPOINT_NAMES as ENDPOINT_NAMES
    from hog_dagster.sandbox.server import PROXY_ANSWERS as PROXY_ANSWERS
    from hog_dagster.sandbox.server import Fault as Fault
    from hog_dagster.sandbox.server import RemoteSandbox as RemoteSandbox
    from hog_dagster.sandbox.server import RequestRecord as RequestRecord
    from hog_dagster.sandbox.server import Sandbox as Sandbox
    from hog_dagster.sandbox.world import GENERATIONS as GENERATIONS
    from hog_dagster.sandbox.world import Clock as Clock
    from hog_dagster.sandbox.world import Generation as Generation
    from hog_dagster.sandbox.world import World as World

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
