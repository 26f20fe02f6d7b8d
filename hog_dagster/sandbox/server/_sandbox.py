"""The sandbox: a local PostHog over real HTTP, on a thread of this process."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn

from hog_dagster.sandbox.api import Key, endpoint_groups, read_keys
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.server._app import Application
from hog_dagster.sandbox.server._control import control_endpoints
from hog_dagster.sandbox.server._endpoint_names import check_names
from hog_dagster.sandbox.server._faults import Fault, OrdersFaults
from hog_dagster.sandbox.server._records import RequestRecord
from hog_dagster.sandbox.server._site import SandboxSite
from hog_dagster.sandbox.server._throttle import Limits, Throttle
from hog_dagster.sandbox.server._transport import SandboxTransport
from hog_dagster.sandbox.world import (
    GENERATIONS,
    Clock,
    FollowingClock,
    Generation,
    World,
    load_state,
    save_state,
)
from hog_dagster.sandbox.world import populate as seed_world

DEFAULT_KEYS: Mapping[str, Iterable[str]] = {"phx_sandbox": ["*"]}


class Sandbox(OrdersFaults):
    """A PostHog server of your own, on 127.0.0.1, that behaves as the real ones do.

    Args:
        generation: "current" for the newest servers; "mid2026" for those with reruns and results
            but without counts, cancel and revisions; "docs" for what the public docs pages
            describe, blocked runs and replay included.
        seed: everything made up comes from it: ids, names, counts, the order of ties.
        now: where the clock starts; the real time when None. It ticks on from there.
        clock: a clock to follow instead: an object with `now`, and `sleep` or `advance`.
        timezone: the project's time zone, which shifts metrics windows as on real servers.
        keys: personal API key -> its scopes (``["*"]`` for all, None for a legacy key without any).
        populate: start with a believable project instead of an empty one.
        latency: seconds added to every response.
        retry_after_header: whether a 429 says how long to wait in its header too.
        limits: bucket -> windows of (requests, seconds); None for PostHog's; False for none.
        keys_refused_on_custom_actions: docs generation: refuse every key on actions beyond the
        plain
            ones, as those servers did.
        marker_lag: seconds until a replay's marker can be read.
        log_lag: seconds until log rows can be read.
        state_path: a file that keeps the world between starts.
        port: 0 picks a free one.
        shuffle_ties: give rows of equal time in another order on each request.
        redirect_environments: answer 307 on ``/api/environments/``.
        missing: names of endpoints that response 404 ``Endpoint not found.``: see
            `hog_dagster.sandbox.ENDPOINT_NAMES`. `site.missing` changes them while it runs.
        function_results: whether runs of hog functions can be listed over REST. No server was seen
            to have that; by HogQL they can.

    Example:
        >>> with Sandbox(populate=False) as sandbox:
        ...     workflow = sandbox.world.add_workflow("Onboarding")
        ...     client = PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id)
    """

    def __init__(
        self,
        generation: Generation = "current",
        *,
        seed: int = 1,
        now: datetime | None = None,
        clock: Any = None,
        timezone: str = "UTC",
        project_id: int = 1,
        keys: Mapping[str, Iterable[str] | Key | None] | None = None,
        populate: bool = True,
        latency: float = 0.0,
        retry_after_header: bool = True,
        limits: Limits | bool | None = None,
        keys_refused_on_custom_actions: bool = False,
        marker_lag: float = 2.0,
        log_lag: float = 0.0,
        state_path: str | Path | None = None,
        port: int = 0,
        shuffle_ties: bool = False,
        redirect_environments: bool = False,
        missing: Iterable[str] = (),
        function_results: bool = False,
    ) -> None:
        if generation not in GENERATIONS:
            raise ValueError(f"generation must be one of {GENERATIONS}, not {generation!r}")
        own = Clock(now) if clock is None else FollowingClock(clock)
        world = World(own, seed, generation=generation, settle=settle)
        lacks = check_names(missing)
        if not function_results:
            lacks |= {"function_invocation_results", "function_invocation_result"}
        world.marker_lag, world.log_lag = marker_lag, log_lag
        self.site: SandboxSite = SandboxSite(
            clock=own,
            world=world,
            keys=read_keys(DEFAULT_KEYS if keys is None else keys),
            throttle=Throttle(limits, monotonic=own.monotonic),
            generation=generation,
            project_id=project_id,
            timezone=timezone,
            seed=seed,
            latency=latency,
            retry_after_header=retry_after_header,
            keys_refused_on_custom_actions=keys_refused_on_custom_actions,
            shuffle_ties=shuffle_ties,
            redirect_environments=redirect_environments,
            missing=lacks,
        )
        self._app = Application(
            self.site, endpoint_groups(self.site), [control_endpoints(self.site)]
        )
        self._in_process = False
        self._state_path = Path(state_path) if state_path is not None else None
        restored = self._state_path is not None and load_state(world, self._state_path)
        if populate and not restored:
            seed_world(world)
        self._port = port
        self._saved = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def url(self) -> str:
        """Such as ``http://127.0.0.1:8899``, without a slash at the end."""
        if self._socket is None:
            if self._in_process:
                return "http://posthog.sandbox"
            raise RuntimeError("the sandbox is not running: use it as a context manager or start()")
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def api_key(self) -> str:
        """The first personal API key."""
        return next(iter(self.site.keys))

    @property
    def project_id(self) -> int:
        return self.site.project_id

    @property
    def generation(self) -> Generation:
        return self.site.generation

    @property
    def clock(self) -> Clock:
        return self.site.clock

    @property
    def world(self) -> World:
        """The truth behind the responses, and the builders that add to it."""
        return self.site.world

    @property
    def requests(self) -> list[RequestRecord]:
        """Every API request so far, in order."""
        return self.site.records.all()

    def count(self, method: str = "*", path: str = "*") -> int:
        """How many requests had this method and a path that fits the glob."""
        return self.site.records.count(method, path)

    def reset_counts(self) -> None:
        """Forget the requests so far. Throttle windows stay as they are."""
        self.site.records.clear()

    def _order(self, fault: Fault) -> Fault:
        return self.site.faults.add(fault)

    def transport(self, listening: Callable[[], bool] | None = None) -> httpx.BaseTransport:
        """The whole application in this process, without sockets, for an httpx client.

        The server need not be started; `url` then is a name that leads nowhere else. Time that a
        delay or a timeout takes passes in the sandbox's clock.

        Args:
            listening: asked before each request; when it says no, the connection is refused.
        """
        self._in_process = True
        return SandboxTransport(self.site, self._app, listening)

    def clear_faults(self) -> None:
        """Take back every fault on order."""
        self.site.faults.clear()

    def start(self) -> Self:
        """Listen. Returns when requests can be sent.

        Raises:
            OSError: the port is taken.
        """
        if self._server is not None:
            raise RuntimeError("the sandbox is already running")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._port))
        except OSError:
            listener.close()
            raise
        self._socket = listener
        self._server = _Server(self._app, self._save)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="posthog-sandbox", daemon=True
        )
        self._thread.start()
        self._server.ready.wait(10)
        return self

    def stop(self) -> None:
        """Stop listening and close all connections."""
        server, thread, listener = self._server, self._thread, self._socket
        self._server = self._thread = self._socket = None
        if server is not None:
            server.finish()
        if thread is not None:
            thread.join(10)
        if listener is not None:
            listener.close()
            self._save(always=True)

    def _save(self, *, always: bool = False) -> None:
        """Write the world to its file if a request may have changed it."""
        changes = self.site.changes
        if self._state_path is not None and (always or changes != self._saved):
            self._saved = changes
            save_state(self.world, self._state_path)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """Uvicorn that another thread can stop at once, and that hands its transports to the app."""

    def __init__(self, app: Application, every_second: Callable[[], None]) -> None:
        self._every_second = every_second
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(),
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                date_header=False,  # the application's own, by the sandbox's clock
                timeout_graceful_shutdown=1,
                timeout_keep_alive=75,
            )
        )
        self.ready = threading.Event()
        self._finished: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop, self._finished = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        ticks = 0
        while not self._finished.is_set() and not await self.on_tick(ticks):
            ticks = (ticks + 10) % 864000
            try:
                await asyncio.wait_for(self._finished.wait(), 1.0)
            except TimeoutError:
                self._every_second()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once; a test has no time for grace."""
        for server in self.servers:
            server.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0)

    def finish(self) -> None:
        """Ask the server to end; safe from any thread."""
        self.should_exit = True
        if self._loop is not None and self._finished is not None:
            self._loop.call_soon_threadsafe(self._finished.set)


class _TransportInScope:
    """Puts the connection's transport into each request's scope, so that the app can cut it."""

    app: Any

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope["hog_dagster.transport"] = transport
            await app(scope, receive, send)

        self.app = with_transport


def _protocol() -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol: the fast one where httptools is installed."""
    try:
        module = import_module("uvicorn.protocols.http.httptools_impl")
        base = module.HttpToolsProtocol
    except ImportError:
        base = import_module("uvicorn.protocols.http.h11_impl").H11Protocol
    return type("SandboxProtocol", (_TransportInScope, base), {})
