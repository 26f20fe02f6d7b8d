"""Logs into Arrow, measured against the least a client can do: httpx and orjson alone.

Run with ``python -m bench.log_batches``. A server in another process answers pages rendered
beforehand; both sides walk the same 20,000 rows. Reported is the best of several rounds, by the
wall and by this process's CPU time (which other work on the machine disturbs less).
"""

import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson

from hog_dagster.posthog import PostHogClient

ROWS = 20_000
PAGE = 500
ROUNDS = 12
NEWEST = datetime(2026, 5, 10, 10, tzinfo=UTC)
STEP = timedelta(milliseconds=7)
WINDOW = (NEWEST - timedelta(days=1), NEWEST + timedelta(seconds=1))
PATH = "/api/projects/1/hog_flows/w1/logs/"


def serve() -> None:
    """Answer pages of the walk for ever; prints the port first."""
    draw = random.Random(1)
    source = str(uuid.UUID(int=5))
    rows = []
    for n in range(ROWS):
        at = (NEWEST - n * STEP).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row = {
            "log_source_id": source,
            "instance_id": str(uuid.UUID(int=draw.getrandbits(128))),
            "timestamp": at.replace(".000000Z", "Z"),
            "level": draw.choice(["DEBUG", "INFO", "ERROR"]),
            "message": f"[Action:action_function_email_1] Executing action [Person:{n}|a@x.io]",
        }
        rows.append(json.dumps(row, separators=(",", ":")))
    pages: dict[int, bytes] = {}

    def page(start: int) -> bytes:
        if start not in pages:
            part = rows[start : start + PAGE]
            body = '{"count":%d,"next":null,"previous":null,"results":[%s]}'
            content = (body % (len(part), ",".join(part))).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n"
            head += "Content-Type: application/json\r\n\r\n"
            pages[start] = head.encode() + content
        return pages[start]

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = b""
        while received := connection.recv(65_536):
            waiting += received
            while b"\r\n\r\n" in waiting:
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                query = parse_qs(urlsplit(head.split()[1].decode()).query)
                before = datetime.fromisoformat(query["before"][0])
                connection.sendall(page(max(0, (NEWEST - before) // STEP + 1)))

    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()


def plain(url: str) -> Callable[[], int]:
    """The least: fetch each page with httpx, parse it with orjson, keep nothing."""
    http = httpx.Client(headers={"Authorization": "Bearer phx_bench"})

    def read() -> int:
        before, rows = WINDOW[1], 0
        while True:
            params = {"after": WINDOW[0].isoformat(), "before": before.isoformat(), "limit": PAGE}
            page = orjson.loads(http.get(url + PATH, params=params).content)["results"]
            rows += len(page)
            if len(page) < PAGE:
                return rows
            before = datetime.fromisoformat(page[-1]["timestamp"])

    return read


def ours(url: str, folder: str) -> Callable[[], int]:
    """The whole way: paced, checked, each row once, into Arrow."""
    limits = {"default": [(8_000, 60.0), (8_000, 3_600.0)]}
    client = PostHogClient(url, "phx_bench", 1, limits=limits, rate_limit=folder)

    def read() -> int:
        batches = client.workflows.log_batches("w1", after=WINDOW[0], before=WINDOW[1])
        return sum(batch.num_rows for batch in batches)

    return read


def main() -> int:
    """Print both, and how they compare."""
    server = subprocess.Popen(
        [sys.executable, "-c", "from bench.log_batches import serve; serve()"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        with tempfile.TemporaryDirectory() as directory:
            sides = {"httpx + orjson": plain(url), "log_batches": ours(url, directory)}
            wall: dict[str, float] = dict.fromkeys(sides, float("inf"))
            cpu = dict(wall)
            for _ in range(ROUNDS):
                for name, read in sides.items():
                    started, used = time.perf_counter(), time.process_time()
                    rows = read()
                    wall[name] = min(wall[name], time.perf_counter() - started)
                    cpu[name] = min(cpu[name], time.process_time() - used)
                    if rows != ROWS:
                        raise RuntimeError(f"{name} read {rows} of {ROWS} rows")
    finally:
        server.kill()
        server.wait()
    for name in sides:
        print(
            f"{name}: {ROWS / wall[name]:,.0f} rows/s by the wall, {ROWS / cpu[name]:,.0f} by CPU"
        )
    by_wall, by_cpu = (times["httpx + orjson"] / times["log_batches"] for times in (wall, cpu))
    print(f"log_batches runs at {by_wall:.2f} of the least by the wall, {by_cpu:.2f} by CPU")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
