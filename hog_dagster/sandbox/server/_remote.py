"""A sandbox in another process, steered over HTTP with the names that `Sandbox` has."""

from datetime import datetime
from typing import Any, Self, TypeVar

import httpx
import msgspec

from hog_dagster.sandbox.server._faults import Fault, OrdersFaults
from hog_dagster.sandbox.server._records import RequestRecord
from hog_dagster.sandbox.world import BatchSend, Execution, Replay, SentMessage

T = TypeVar("T")


class RemoteSandbox(OrdersFaults):
    """Controls for a sandbox that was started elsewhere, say by ``hog-dagster sandbox``.

    Args:
        url: such as ``http://127.0.0.1:8899``.

    Example:
        >>> with RemoteSandbox("http://127.0.0.1:8899") as sandbox:
        ...     sandbox.fail("GET", "*/logs/", status=503)
        ...     sandbox.clock.advance(60)
    """

    def __init__(self, url: str) -> None:
        self.url: str = url.rstrip("/")
        self._http = httpx.Client(base_url=f"{self.url}/_sandbox", timeout=30)
        self.clock: RemoteClock = RemoteClock(self)
        self.world: RemoteWorld = RemoteWorld(self)

    @property
    def status(self) -> dict[str, Any]:
        """Generation, project, time zone, clock and counts."""
        return self.call("GET", "/")

    @property
    def project_id(self) -> int:
        return self.status["project_id"]

    @property
    def generation(self) -> str:
        return self.status["generation"]

    @property
    def requests(self) -> list[RequestRecord]:
        """Every API request so far, in order."""
        rows = self.call("GET", "/requests/")["requests"]
        return msgspec.convert(rows, list[RequestRecord])

    def count(self, method: str = "*", path: str = "*") -> int:
        """How many requests had this method and a path that fits the glob."""
        query = httpx.QueryParams(method=method, path=path)
        return self.call("GET", f"/requests/count/?{query}")["count"]

    def reset_counts(self) -> None:
        """Forget the requests so far."""
        self.call("DELETE", "/requests/")

    def _order(self, fault: Fault) -> Fault:
        """What is returned does not follow the fault's later hits."""
        self.call("POST", "/faults/", msgspec.to_builtins(fault))
        return fault

    def clear_faults(self) -> None:
        """Take back every fault on order."""
        self.call("DELETE", "/faults/")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One control request.

        Raises:
            RuntimeError: the sandbox refused it.
        """
        content = None if body is None else msgspec.json.encode(body)
        answer = self._http.request(
            method, path, content=content, headers={"Content-Type": "application/json"}
        )
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class RemoteClock:
    """The other process's clock."""

    def __init__(self, sandbox: RemoteSandbox) -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        return datetime.fromisoformat(self._sandbox.call("GET", "/clock/")["now"])

    def set(self, now: datetime) -> None:
        self._sandbox.call("POST", "/clock/", {"now": now})

    def advance(self, seconds: float) -> datetime:
        answer = self._sandbox.call("POST", "/clock/", {"advance": seconds})
        return datetime.fromisoformat(answer["now"])


class RemoteWorld:
    """The other process's world: builders by name (``add_workflow(...)``), and what happened."""

    def __init__(self, sandbox: RemoteSandbox) -> None:
        self._sandbox = sandbox

    @property
    def replays(self) -> list[Replay]:
        return self._rows("replays", Replay)

    @property
    def batch_sends(self) -> list[BatchSend]:
        return self._rows("batch_sends", BatchSend)

    @property
    def executions(self) -> list[Execution]:
        return self._rows("executions", Execution)

    @property
    def messages(self) -> list[SentMessage]:
        return self._rows("messages", SentMessage)

    def _rows(self, name: str, kind: type[T]) -> list[T]:
        return msgspec.convert(self._sandbox.call("GET", "/world/")[name], list[kind])

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(("add_", "emit_", "start_", "fail_", "merge_", "give_", "forget_")):
            raise AttributeError(name)

        def build(**arguments: Any) -> Any:
            return self._sandbox.call("POST", f"/world/{name}/", arguments)["result"]

        return build
