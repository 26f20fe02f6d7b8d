"""A log server as fast as Python allows: rows rendered beforehand, any page a slice of one file.

Run as ``python -m bench.log_server '[["w1", 200000, 10, 1, false]]'``: for every list an id, rows,
most rows of one instant, a seed, and whether it is always that many. Prints its port and serves
until it is killed. It answers as PostHog's logs endpoint does: newest first, both bounds exclusive
to the microsecond, at most 500 rows. Two things PostHog has not, for clients and measurements that
need them: with ``links=1`` a response names the next page, and ``delay`` (seconds) holds every
answer back.
"""

import json
import mmap
import random
import socket
import sys
import tempfile
import threading
import time
import uuid
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

__all__ = ["DAY", "LogSpec", "Rows", "serve"]

#: The window all rows lie in: one daily partition.
DAY = (datetime(2026, 5, 10, tzinfo=UTC), datetime(2026, 5, 11, tzinfo=UTC))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 500
_LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "WARN", "ERROR")
_TEXTS = (
    "[Action:action_function_email_1] Executing action",
    "[Action:action_delay_2] Workflow will pause until 2026-05-10T12:00:00.000Z",
    '[Action:action_function_3] Fetch failed, status 503, body \\"upstream is away\\", will retry',
    "[Action:trigger_node] Workflow started",
)


@dataclass(frozen=True)
class LogSpec:
    """Logs of one workflow: how many rows, and how many of them may (or do) share an instant."""

    id: str
    rows: int
    ties: int
    seed: int = 1
    always: bool = False


class Rows:
    """The rows of one workflow, newest first: their times, and where each starts in one file."""

    def __init__(self, spec: LogSpec) -> None:
        self.spec = spec
        self._times = array("q")  # negative, so that they ascend
        self._starts = array("q", [0])
        with tempfile.TemporaryFile(prefix="hog-bench-") as file:
            for line in self._rendered():
                self._starts.append(self._starts[-1] + len(line))
                file.write(line)
            file.flush()
            self._text = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def _rendered(self) -> Iterator[bytes]:
        draw = random.Random(self.spec.seed)
        start, end = ((at - _EPOCH) // timedelta(microseconds=1) for at in DAY)
        source = str(uuid.UUID(int=draw.getrandbits(128)))
        runs, persons = (
            [str(uuid.UUID(int=draw.getrandbits(128))) for _ in range(5_000)] for _ in range(2)
        )
        few = self.spec.ties if self.spec.always else 1
        instants = max(1, 2 * self.spec.rows // (self.spec.ties + few))
        most_step = max(1, 2 * (end - start) * 9 // (10 * instants))
        at, left = end, 0
        written, stamp, second = "", "", -1
        for n in range(self.spec.rows):
            if left == 0:
                at -= 1 + int(draw.random() * most_step)
                left = few + int(draw.random() * (self.spec.ties + 1 - few))
                if at // 1_000_000 != second:
                    second = at // 1_000_000
                    written = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
                micro = at % 1_000_000
                stamp = f"{written}.{micro:06d}Z" if micro else f"{written}Z"
            left -= 1
            if at < start:
                raise ValueError("the rows do not fit into the day")
            self._times.append(-at)
            # Rows of one instant are of different runs: PostHog keeps one line a run and instant.
            yield (
                f'{{"log_source_id":"{source}","instance_id":"{runs[n % 5_000]}",'
                f'"timestamp":"{stamp}","level":"{_LEVELS[n % 6]}",'
                f'"message":"{_TEXTS[n % 4]} [Person:{persons[n % 5_000]}|user{n}@example.com]"}},'
            ).encode()

    def __len__(self) -> int:
        return len(self._times)

    def page(self, after: int, before: int, limit: int, skip: int) -> tuple[memoryview, int, bool]:
        """JSON of the newest rows between two exclusive ticks; how many; whether there are more."""
        first = bisect_right(self._times, -before) + skip
        end = bisect_left(self._times, -after)
        last = max(first, min(first + limit, end))
        text = self._text[self._starts[first] : max(self._starts[first], self._starts[last] - 1)]
        return text, last - first, last < end


def _tick(value: str) -> int:
    return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)


def _answer(sources: dict[str, Rows], target: str, host: str) -> list[bytes | memoryview]:
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    time.sleep(float(query.get("delay", 0)) or _delay(url.path))
    rows = sources[url.path.rstrip("/").split("/")[-2]]
    limit = min(int(query.get("limit", 50)), _MOST)
    skip = int(query.get("offset", 0))
    text, count, more = rows.page(_tick(query["after"]), _tick(query["before"]), limit, skip)
    following = "null"
    if more and "links" in query:
        params = urlencode({**query, "offset": skip + count})
        following = f'"http://{host}{url.path}?{params}"'
    start = f'{{"count":{count},"next":{following},"previous":null,"results":['.encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(start) + len(text) + 2}\r\n\r\n"
    ).encode()
    return [head + start, text, b"]}"]


def _delay(path: str) -> float:
    """A path may begin with the delay of its responses: /delayed-0.2/api/..."""
    first = path.split("/", 2)[1]
    return float(first.removeprefix("delayed-")) if first.startswith("delayed-") else 0.0


def _talk(connection: socket.socket, sources: dict[str, Rows], host: str) -> None:
    waiting = b""
    # A client may leave as it likes; one that asks for what is not there is hung up on.
    with connection, suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while received := connection.recv(65_536):
            waiting += received
            while b"\r\n\r\n" in waiting:
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                for part in _answer(sources, head.split(maxsplit=2)[1].decode(), host):
                    connection.sendall(part)


def _say(port: int) -> None:
    print(port, flush=True)


def serve(specs: Sequence[LogSpec], ready: Callable[[int], None] = _say) -> None:
    """Render the rows, tell the port (print it, that is), answer for ever."""
    sources = {spec.id: Rows(spec) for spec in specs}
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        port = server.getsockname()[1]
        ready(port)
        while True:
            arguments = (server.accept()[0], sources, f"127.0.0.1:{port}")
            threading.Thread(target=_talk, args=arguments, daemon=True).start()


if __name__ == "__main__":
    serve([LogSpec(*spec) for spec in json.loads(sys.argv[1])])
