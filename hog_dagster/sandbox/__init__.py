"""A local PostHog over real HTTP, for tests and for the demo: an honest double of real servers.

Needs the extra ``hog-dagster[sandbox]`` (starlette and uvicorn).
"""

from hog_dagster._shared.extras import needs_extra

with needs_extra("sandbox", "The sandbox"):
    from hog_dagster.sandbox.api._auth import Key
    from hog_dagster.sandbox.server._faults import Fault
    from hog_dagster.sandbox.server._records import RequestRecord
    from hog_dagster.sandbox.server._remote import RemoteSandbox
    from hog_dagster.sandbox.server._sandbox import Sandbox
    from hog_dagster.sandbox.world import World
    from hog_dagster.sandbox.world._clock import Clock

__all__ = ["Clock", "Fault", "Key", "RemoteSandbox", "RequestRecord", "Sandbox", "World"]
