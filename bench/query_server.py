"""A query server that gives the sandbox's own responses as fast as Python allows.

Run as ``python -m bench.query_server 2000000``: so many events in one day. The sandbox works each
query out when it is first asked; from then on the same bytes come at once, so that a client is
measured and not the database behind it. ``GET /asked`` lists what was asked, in order, once each:
the raw limit asks the same. Prints its port and serves until it is killed.
"""

import json
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import IO

import httpx

from bench.log_server import DAY
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import EventStream

__all__ = ["TIES", "serve"]

#: The most events of one microsecond.
TIES = 10


class Answers:
    """What the sandbox answered, by what it was asked, in unnamed files that cost no memory."""

    def __init__(self, rows: int) -> None:
        sandbox = Sandbox("current", populate=False, limits=False, now=DAY[1] + timedelta(hours=9))
        sandbox.world.event_stream = EventStream(rows, start=DAY[0], end=DAY[1], ties=TIES)
        self.http = httpx.Client(
            transport=sandbox.transport(), base_url="http://sandbox", timeout=600
        )
        self.headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        self.kept: dict[bytes, tuple[bytes, IO[bytes]]] = {}
        self.lock = threading.Lock()

    def answer(self, path: str, body: bytes) -> tuple[bytes, IO[bytes]]:
        """The head of a response, and the file with its body."""
        with self.lock:
            if body not in self.kept:
                asked = {**self.headers, "Content-Type": "application/json"}
                got = self.http.post(path, content=body, headers=asked)
                file = tempfile.TemporaryFile(prefix="hog-bench-")  # noqa: SIM115 (kept for good)
                file.write(got.content)
                file.flush()
                head = (
                    f"HTTP/1.1 {got.status_code} OK\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(got.content)}\r\n\r\n"
                )
                self.kept[body] = (head.encode(), file)
            return self.kept[body]


def _talk(connection: socket.socket, answers: Answers) -> None:
    waiting = b""
    with connection, suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while received := connection.recv(65_536):
            waiting += received
            while b"\r\n\r\n" in waiting:
                head, _, rest = waiting.partition(b"\r\n\r\n")
                length = _length(head)
                if len(rest) < length:
                    break
                body, waiting = rest[:length], rest[length:]
                path = head.split(maxsplit=2)[1].decode()
                if path == "/asked":
                    text = json.dumps([asked.decode() for asked in answers.kept]).encode()
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text
                    )
                    continue
                start, file = answers.answer(path, body)
                connection.sendall(start)
                connection.sendfile(file)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _say(port: int) -> None:
    print(port, flush=True)


def serve(rows: int, ready: Callable[[int], None] = _say) -> None:
    """Make the events, tell the port (print it, that is), answer for ever."""
    answers = Answers(rows)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        ready(server.getsockname()[1])
        while True:
            connection = server.accept()[0]
            threading.Thread(target=_talk, args=(connection, answers), daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
