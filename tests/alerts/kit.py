"""A loopback web hook and a loopback SMTP server that keep what they are sent."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.acting_kit import free_port

__all__ = ["Hook", "Mailbox", "hook", "mailbox"]


@dataclass
class Hook:
    """What a web hook was sent; `status` is what it answers, and `poison` is a text in a message
    that it always answers with `poisoned`."""

    url: str = ""
    status: int = 200
    poison: str = ""
    poisoned: int = 400
    bodies: list[Any] = field(default_factory=list)
    beats: int = 0
    answer: bytes = b"ok"

    @property
    def texts(self) -> list[str]:
        """The text of each message."""
        return [body["text"] for body in self.bodies]


@contextmanager
def hook() -> Iterator[Hook]:
    """A web hook on a port of its own."""
    kept = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if kept.poison and kept.poison in body.decode():
                self._answer(kept.poisoned)
                return
            if kept.status == 200:
                kept.bodies.append(json.loads(body))
            self._answer()

        def do_GET(self) -> None:
            kept.beats += 1
            self._answer()

        def _answer(self, status: int | None = None) -> None:
            self.send_response(status or kept.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(kept.answer)))
            self.end_headers()
            self.wfile.write(kept.answer)

        def log_message(self, format: str, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/services/T0/B0/secret-path"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mailbox:
    """What an SMTP server took; `refused` is an address that it does not know, `poison` a text in
    a message that it refuses."""

    host: str = "127.0.0.1"
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refused: str = ""
    poison: str = ""

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address == self.refused:
            return "550 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        if self.poison and self.poison in mail.get_content():
            return "554 Transaction failed: content refused"
        self.mails.append(mail)
        return "250 OK"

    def login(self, *args: Any) -> AuthResult:
        given = args[-1]
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password == b"app-password", handled=False)


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None, *, at_once: bool = False) -> Iterator[Mailbox]:
    """An SMTP server; with `tls` it takes nothing before STARTTLS and a login, or, `at_once`,
    speaks TLS from the first byte."""
    kept = Mailbox()
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"authenticator": kept.login, "auth_required": True}
        if at_once:
            options |= {"ssl_context": tls, "auth_require_tls": False}
        else:
            options |= {"tls_context": tls, "require_starttls": True}
    kept.port = free_port()
    controller = Controller(kept, hostname=kept.host, port=kept.port, **options)
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()
