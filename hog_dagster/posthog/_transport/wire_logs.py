"""What httpx and httpcore log of our requests: no values of parameters, no headers.

Facts: httpx logs each request's whole URL at INFO, httpcore each response's headers at DEBUG. An
instance of Dagster may take what loggers say into its event log (`python_logs`). The requests of
others in the same process are logged as they were. A filter of a logger is given no argument of the
request that is logged, and httpcore's records name none; so that a request is ours is a context
variable, set around the one call that logs, in the thread that logs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

import httpx

from hog_dagster._shared.secrets import without_arguments

_OURS: ContextVar[bool] = ContextVar("_OURS", default=False)
_OF_HTTPCORE = ("connection", "http11", "http2", "proxy", "socks")


class _Shortened(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not _OURS.get():
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(
                without_arguments(str(one)) if isinstance(one, httpx.URL) else one
                for one in record.args
            )
        return "headers" not in str(record.msg)


_FILTER = _Shortened()


@contextlib.contextmanager
def logged_without_arguments() -> Iterator[None]:
    """Requests sent inside are logged without what may be a secret or a row's."""
    for name in ("httpx", *(f"httpcore.{part}" for part in _OF_HTTPCORE)):
        logging.getLogger(name).addFilter(_FILTER)  # Once: it is the same one.
    token = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(token)
