"""A local PostHog over real HTTP, for tests and for the demo: an honest double of real servers.

Needs the extra ``hog-dagster[sandbox]`` (starlette and uvicorn).
"""

from hog_dagster._shared.extras import needs_extra

with needs_extra("sandbox", "The sandbox"):
    from hog_dagster.sandbox.auth import Key as Key
    from hog_dagster.sandbox.clock import Clock as Clock
    from hog_dagster.sandbox.faults import Fault as Fault
    from hog_dagster.sandbox.records import RequestRecord as RequestRecord
    from hog_dagster.sandbox.remote import RemoteSandbox as RemoteSandbox
    from hog_dagster.sandbox.server import Sandbox as Sandbox
    from hog_dagster.sandbox.world import World as World

__all__ = ["Clock", "Fault", "Key", "RemoteSandbox", "RequestRecord", "Sandbox", "World"]
