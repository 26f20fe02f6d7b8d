"""Several hosts on one machine: Linux network and mount namespaces with a bridge between them.

Each host has its own address, loopback, `/tmp` and `/dev/shm`: nothing but the network joins
its processes with those of another host. Facts: `ip-netns(8)`, `unshare(1)`, `setns(2)`; a socket
belongs to the namespace of the thread that made it.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

__all__ = ["CENTRE", "Host", "Network", "lines", "wait_for", "why_not"]

#: The address that every host reaches: the bridge's own.
CENTRE = "10.77.0.1"
_REPOSITORY = Path(__file__).parents[2]
_CLONE_NEWNET = 0x40000000
#: Gives a host its own /tmp and /dev/shm, with the checkout and the interpreter where they were.
_OWN_FOLDERS = """
set -e
mount -t tmpfs tmpfs "$keep"
number=0
for path in $KEPT; do
  number=$((number + 1)); mkdir "$keep/$number"; mount --bind "$path" "$keep/$number"
done
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
number=0
for path in $KEPT; do
  number=$((number + 1))
  case "$path" in /tmp/*|/dev/shm/*) mkdir -p "$path"; mount --bind "$keep/$number" "$path";; esac
done
exec "$@"
"""


def why_not() -> str:
    """Why this machine can make no hosts; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts in namespaces need Linux and root"
    missing = [name for name in ("ip", "unshare", "nsenter") if not shutil.which(name)]
    if missing:
        return f"hosts in namespaces need {', '.join(missing)} (Debian: iproute2, util-linux)"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "true"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "this kernel forbids namespaces here"


@dataclass
class Host:
    """A host: processes are started on it, and it can be killed whole.

    Attributes:
        name: of its network namespace.
        address: on the bridge.
        kept: folders that every host shares with the test, read and written by all.
    """

    name: str
    address: str
    kept: Sequence[Path]
    interpreter: ClassVar[str] = sys.executable
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _keeper: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Make its own folders; they live as long as the host."""
        kept = " ".join(str(path) for path in self.kept)
        command = [
            "ip",
            "netns",
            "exec",
            self.name,
            "unshare",
            "--mount",
            "--propagation",
            "private",
        ]
        command += ["sh", "-c", _OWN_FOLDERS, "sh", "sh", "-c", "echo ready; exec sleep infinity"]
        with tempfile.TemporaryDirectory(prefix="hog-hosts-", dir="/run") as keep:
            environment = {**os.environ, "KEPT": kept, "keep": keep}
            self._keeper = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
            assert self._keeper.stdout is not None
            said = self._keeper.stdout.readline()
        assert said == b"ready\n", f"{self.name} did not begin"

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process on the host, with this environment and the checkout importable."""
        assert self._keeper is not None
        inside = ["nsenter", "--target", str(self._keeper.pid), "--net", "--mount", *command]
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        clean |= {"PYTHONPATH": str(_REPOSITORY), "TMPDIR": "/tmp", **environment}
        process = subprocess.Popen(
            inside, env=clean, cwd=_REPOSITORY, stdout=log or subprocess.PIPE, stderr=log
        )
        self.started.append(process)
        return process

    def program(
        self,
        code: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a Python program on the host."""
        return self.start([self.interpreter, "-c", code, *arguments], environment, log)

    def kill(self) -> None:
        """The host loses its power: every process on it ends at once."""
        for _ in range(50):
            pids = self._pids()
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.started:
                process.poll()
            time.sleep(0.02)
        for process in (*self.started, *([self._keeper] if self._keeper else [])):
            process.wait(timeout=10)
        self.started.clear()
        self._keeper = None

    def inside(self, call: Callable[[], Any]) -> Any:
        """What a function returns that runs in the host's network (its sockets are the host's)."""
        return _in_namespace(self.name, call)

    def _pids(self) -> list[int]:
        listed = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, check=False, text=True
        )
        return [int(pid) for pid in listed.stdout.split()]


class Network:
    """A bridge, the hosts on it, and doors from it to servers of the test.

    Args:
        kept: folders that hosts share with the test.
    """

    _numbers = itertools.count(11)

    def __init__(self, kept: Sequence[Path] = ()) -> None:
        self._tag = f"hog{os.getpid() % 100_000}"
        self._centre = f"{self._tag}c"
        paths = [_REPOSITORY, Path(sys.prefix).resolve(), *kept]
        self._kept = [path for path in paths if path.is_dir()]
        self.hosts: list[Host] = []
        self._doors: list[_Door] = []

    def __enter__(self) -> "Network":
        _ip("netns", "add", self._centre)
        _ip("-n", self._centre, "link", "set", "lo", "up")
        _ip("-n", self._centre, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._centre, "addr", "add", f"{CENTRE}/24", "dev", "br0")
        _ip("-n", self._centre, "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for door in self._doors:
            door.close()
        for host in list(self.hosts):
            self.remove(host)
        _ip("netns", "delete", self._centre, check=False)

    def host(self) -> Host:
        """A new host."""
        number = next(self._numbers)
        host = Host(f"{self._tag}h{number}", f"10.77.0.{number}", self._kept)
        _ip("netns", "add", host.name)
        self.hosts.append(host)
        _ip("-n", host.name, "link", "set", "lo", "up")
        wire = ("link", "add", "eth0", "type", "veth", "peer", "name", f"v{number}")
        _ip("-n", host.name, *wire, "netns", self._centre)
        _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        _ip("-n", self._centre, "link", "set", f"v{number}", "master", "br0", "up")
        host.begin()
        return host

    def remove(self, host: Host) -> None:
        """Kill a host and take it off the network."""
        host.kill()
        _ip("netns", "delete", host.name, check=False)
        self.hosts.remove(host)

    def door(self, port: int, to: "tuple[str, int] | str") -> None:
        """Serve a server of the test to the hosts at `CENTRE`.

        Args:
            port: where the hosts find it.
            to: where it listens: host and port, or the path of a Unix socket.
        """
        listener = _in_namespace(self._centre, lambda: _listening(port))
        self._doors.append(_Door(listener, to))


class _Door:
    """Copies bytes between connections of the hosts and a server of the test."""

    def __init__(self, listener: socket.socket, to: "tuple[str, int] | str") -> None:
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._pass, sock=listener))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._to, str):
                there = await asyncio.open_unix_connection(self._to)
            else:
                there = await asyncio.open_connection(*self._to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


def _listening(port: int) -> socket.socket:
    return socket.create_server((CENTRE, port), backlog=256)


def _in_namespace(name: str, call: Callable[[], Any]) -> Any:
    libc = ctypes.CDLL(None, use_errno=True)

    def there() -> Any:
        with Path(f"/var/run/netns/{name}").open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {name}")
        return call()

    with ThreadPoolExecutor(1) as one:  # a thread of its own: it stays in the namespace
        return one.submit(there).result()


def _ip(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def wait_for(what: str, ready: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What a function returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if found := ready():
                return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


def lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """What a process prints, line by line."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.decode().rstrip()
