"""The connection that the calls of one thread share, while a warehouse is read or loaded."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Shared(threading.local):
    """No connection, one for reads, or that of a load, which `writes`; `keep` says that the one of
    the first load stays open."""

    con: Any = None
    keep = writes = False

    @contextmanager
    def reading(self, connect: Callable[[], Any]) -> Iterator[None]:
        """Within it all reads share one connection; `connect` gives None where there is nothing."""
        if self.con is not None or (con := connect()) is None:
            yield
            return
        self.con = con
        try:
            yield
        finally:
            self.con = None
            con.close()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Within it the connection of the first load stays open."""
        if self.keep:
            yield
            return
        self.keep = True
        try:
            yield
        finally:
            con, self.con = self.con, None
            self.keep = self.writes = False
            if con is not None:
                con.close()
