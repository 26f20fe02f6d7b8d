"""How PostHog is reached: by a proxy or straight, whose certificate is trusted, which one is shown.

Facts: the environment variables that curl, Python and most programs read (HTTP_PROXY, HTTPS_PROXY,
ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR). What httpx does with them itself fails on an IPv6
address in brackets and on networks in NO_PROXY, and sends what is on this machine to the proxy.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from hog_dagster.posthog._arguments import Secret, is_loopback
from hog_dagster.posthog.errors import ConfigurationError


class Bearer(httpx.Auth):
    """Puts the key on the request at the last moment, and holds it where nothing prints it."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        yield request


class Proxy:
    """A proxy that requests go by: its address, which may hold a password, and the environment
    variable it stands in."""

    def __init__(self, url: str, variable: str) -> None:
        self.url, self.variable = url, variable

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.variable})"


def proxy_for(host: str) -> Proxy | None:
    """The proxy by which ``host`` (``scheme://name[:port]``) is reached; None: straight.

    What is on this machine is never reached by a proxy.
    """
    parts = urlsplit(host)
    name = (parts.hostname or "").lower().removesuffix(".")
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower())
    known = getproxies()
    if is_loopback(name) or _excepted(name, port, known.get("no", "")):
        return None
    for kind in (parts.scheme, "all"):
        if known.get(kind):
            url = known[kind] if "://" in known[kind] else f"http://{known[kind]}"
            return Proxy(url, f"{kind.upper()}_PROXY")
    return None


def _excepted(name: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY names the host: its name, the end of it, an address or a network."""
    for entry in no_proxy.lower().replace(" ", ",").split(","):
        wanted = (entry.partition("://")[2] or entry).rstrip("/")
        if wanted == "*":
            return True
        if not wanted.startswith("[") and wanted.count(":") == 1:
            wanted, _, only = wanted.partition(":")
            if only != str(port):
                continue
        wanted = wanted.strip("[]").removesuffix(".")
        if not wanted:
            continue
        try:
            if ipaddress.ip_address(name) in ipaddress.ip_network(wanted, strict=False):
                return True
        except ValueError:
            bare = wanted.removeprefix("*").removeprefix(".")
            if name == bare or name.endswith(f".{bare}"):
                return True
    return False


def tls_context(ca_file: str, client_certificate: str) -> ssl.SSLContext:
    """What is trusted (without ``ca_file`` by SSL_CERT_FILE or SSL_CERT_DIR, else as httpx has it),
    and what is shown.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    context, said = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ""
    try:
        if ca_file:
            context = ssl.create_default_context(cafile=os.path.expanduser(ca_file))  # noqa: PTH111
        else:
            context = _usual_context() if not client_certificate else httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        named = f"ca_file={ca_file}" if ca_file else "the file or folder of SSL_CERT_FILE/_DIR"
        said = f"{named} cannot be used ({_reason(error)}): give a PEM file of authorities."
    if said:
        raise ConfigurationError(said)
    if client_certificate:
        try:
            context.load_cert_chain(
                os.path.expanduser(client_certificate),  # noqa: PTH111
                password=lambda: b"",  # Else a person is asked for it.
            )
        except (OSError, ssl.SSLError) as error:
            said = (
                f"client_certificate={client_certificate} cannot be used ({_reason(error)}): give "
                "a PEM file that holds the certificate and its private key, without a password."
            )
        if said:
            raise ConfigurationError(said)
    return context


def _usual_context() -> ssl.SSLContext:
    """Trust as httpx has it. Reading its authorities takes 20 ms, so all clients share it until a
    variable that names them, or the file it names, changes.
    """
    file = os.environ.get("SSL_CERT_FILE", "")
    if file and not Path(file).exists():  # httpx before 0.28 passes it over
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    changed = Path(file).stat().st_mtime_ns if file and Path(file).is_file() else None
    return _context_for(file, os.environ.get("SSL_CERT_DIR"), changed)


@functools.lru_cache(maxsize=1)
def _context_for(file: str, folder: str | None, changed: int | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def to_reach(
    proxy: Proxy | None, context: ssl.SSLContext, limits: httpx.Limits
) -> httpx.BaseTransport:
    """What carries requests, by the proxy if there is one.

    Raises:
        ConfigurationError: the proxy cannot be used.
    """
    said = ""
    try:
        if proxy and _holds_bare_password(proxy.url):
            raise ValueError
        return httpx.HTTPTransport(
            verify=context,
            trust_env=False,
            limits=limits,
            proxy=httpx.Proxy(proxy.url) if proxy else None,
        )
    except ImportError:
        said = (
            f"{proxy} is a SOCKS proxy, for which a package is missing: pip install "
            "'httpx[socks]', name an http:// proxy, or except PostHog's host in NO_PROXY."
        )
    except (ValueError, httpx.InvalidURL):
        said = (
            f"{proxy and proxy.variable} holds no address of a proxy: write http://name:port, "
            "with @ as %40 and / as %2F in a password, or except PostHog's host in NO_PROXY."
        )
    raise ConfigurationError(said)


def _holds_bare_password(url: str) -> bool:
    """Whether there is an @ or / in the password as it is: what follows would be called the host,
    and be shown."""
    return url.partition("://")[2].count("@") > 1


def hint_of_tls(why: str) -> str:
    """What to do about a failed handshake; empty when it was another failure."""
    said = why.lower()
    if "certificate_verify_failed" in said:
        return (
            "Its certificate is not from an authority that is trusted here: give the PEM file of "
            "that authority as ca_file (HOG_DAGSTER_CA_FILE) or in SSL_CERT_FILE."
        )
    if "certificate required" in said or "certificate_required" in said:
        return (
            "It asks for a client certificate: give its PEM file as client_certificate "
            "(HOG_DAGSTER_CLIENT_CERTIFICATE)."
        )
    return ""
