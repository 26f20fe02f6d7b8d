"""Faults to order: the n-th request to a path fails in a chosen way, before or after it took
effect.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from hog_dagster.sandbox.server._proxy_answers import PROXY_ANSWERS
from hog_dagster.sandbox.server._records import matches

Cut = Literal["connect", "before", "after", "during"]


class Fault(Struct, kw_only=True):
    """What to do to matching requests.

    Attributes:
        method: HTTP method, or ``*``.
        path: a glob on the path, such as ``*/logs/``.
        times: how many requests it strikes; 0 for all of them.
        after: how many matching requests pass first.
        status: answer with this status instead.
        body: answer with this body: text or bytes go out as they are (HTML when they begin with
            ``<``), anything else as JSON. Without `status` the status is 200.
        headers: extra answer headers.
        delay: seconds to wait before the request is served at all.
        hold: seconds to wait between the effect and the response.
        drip: seconds between the bytes of the response's body.
        cut: close the TCP connection without a response, before or after the request took effect,
            or in the middle of the response (``during``); ``connect`` refuses it in the first place
            (in process; over sockets it is closed before).
        truncate: answer with only so many bytes of the true body, as well-formed HTTP.
        effect: let the request take effect before `status` or `body` replaces its response.
        hits: how many requests it struck so far.
    """

    method: str = "*"
    path: str = "*"
    times: int = 1
    after: int = 0
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = {}
    delay: float = 0.0
    hold: float = 0.0
    drip: float = 0.0
    cut: Cut | None = None
    truncate: int | None = None
    effect: bool = False
    hits: int = 0
    seen: int = 0

    @property
    def spent(self) -> bool:
        return self.times > 0 and self.hits >= self.times

    @property
    def lets_through(self) -> bool:
        """Whether the request is served (and takes effect) before the fault shows."""
        replaced = self.status is not None or self.body is not None
        if self.cut is not None:
            return self.cut not in ("before", "connect")
        return self.effect or not replaced


class FaultBook:
    """The faults on order. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request, if any; the first ordered one that still can."""
        with self._lock:
            for fault in self._faults:
                if fault.spent or not matches(method, path, fault.method, fault.path):
                    continue
                fault.seen += 1
                if fault.seen > fault.after:
                    fault.hits += 1
                    return fault
        return None


def fault_as(
    name: str,
    method: str = "*",
    path: str = "*",
    *,
    effect: bool = False,
    times: int = 1,
    after: int = 0,
) -> Fault:
    """A fault that replaces the response by a named one, before or after the effect."""
    if name not in PROXY_ANSWERS:
        raise ValueError(f"no response is called {name!r}; see PROXY_ANSWERS")
    answer = PROXY_ANSWERS[name]
    return Fault(
        method=method,
        path=path,
        times=times,
        after=after,
        effect=effect,
        status=answer.status,
        body=answer.body,
        headers=dict(answer.headers),
    )


class OrdersFaults(ABC):
    """What a sandbox of this process and one of another share: faults are ordered alike."""

    @abstractmethod
    def _order(self, fault: Fault) -> Fault: ...

    def fail(
        self,
        method: str = "*",
        path: str = "*",
        times: int = 1,
        after: int = 0,
        status: int | None = None,
        body: Any = None,
        delay: float = 0.0,
        cut: Cut | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        truncate: int | None = None,
        effect: bool = False,
        hold: float = 0.0,
        drip: float = 0.0,
    ) -> Fault:
        """Order a fault for requests to come; see `Fault` for what each argument does."""
        return self._order(
            Fault(
                method=method,
                path=path,
                times=times,
                after=after,
                status=status,
                body=body,
                delay=delay,
                cut=cut,
                headers=dict(headers or {}),
                truncate=truncate,
                effect=effect,
                hold=hold,
                drip=drip,
            )
        )

    def fail_as(
        self,
        name: str,
        method: str = "*",
        path: str = "*",
        *,
        effect: bool = False,
        times: int = 1,
        after: int = 0,
    ) -> Fault:
        """Order a response that PostHog did not write, before or after the effect.

        Args:
            name: of `hog_dagster.sandbox.PROXY_ANSWERS`, such as ``html_403``,
                ``empty_499``, ``redirect_303_same_host``, ``gzip_garbage_200``.
        """
        return self._order(fault_as(name, method, path, effect=effect, times=times, after=after))
