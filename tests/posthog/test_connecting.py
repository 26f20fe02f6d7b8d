"""How PostHog is reached: proxies and certificates; one sentence for each wrong setting."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from scripted_server import Reply, scripted

from hog_dagster.cli import main
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._transport.connecting import proxy_for
from hog_dagster.sandbox import Sandbox

KEY = "phx_secret0secret0secret0secret0secret0"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


# --- proxies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_this_machine_is_never_reached_by_a_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with (
        Sandbox("docs", populate=False) as sandbox,
        PostHogClient(sandbox.url, sandbox.api_key, 1) as client,
    ):
        assert client.server.key()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_other_hosts_are_reached_by_the_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Reply(200, {"id": "w1"})) as proxy:
        monkeypatch.setenv(name, proxy.url.removeprefix("http://"))
        with PostHogClient("http://posthog.example.com", KEY, 1, limits=False) as client:
            assert client.workflows.get("w1").id == "w1"
        assert proxy.asked[0].path.startswith("http://posthog.example.com/api/projects/1/")


@pytest.mark.parametrize(
    ("no_proxy", "straight"),
    [
        ("", False),
        ("*", True),
        ("posthog.example.com", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("ample.com", False),
        ("localhost, other.org ,POSTHOG.example.com", True),
        ("posthog.example.com:8000", True),
        ("posthog.example.com:9000", False),
        ("::1,[::1],fe80::1,[fe80::1]:80", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_is_read_as_other_programs_read_it(
    no_proxy: str, straight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for("https://posthog.example.com:8000") is None) is straight


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("10.0.0.0/8", "https://10.1.2.3"),
        ("10.1.2.3", "https://10.1.2.3:8000"),
        ("fd00::5", "https://[fd00::5]:8000"),
        ("[fd00::5]", "https://[fd00::5]"),
        ("fd00::/8", "https://[fd00::5]"),
        ("", "https://[::1]"),
        ("", "https://127.0.0.2:8000"),
        ("", "https://posthog.localhost"),
    ],
)
def test_addresses_and_networks_can_be_excepted(
    no_proxy: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(host) is None
    assert str(proxy_for("https://10.9.9.9")) in ("http://proxy:3128 (HTTPS_PROXY)", "None")


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://me:s3cr3t@proxy:1080", r"socks5://proxy:1080 \(HTTPS_PROXY\) is a SOCKS proxy"),
        ("foo://me:s3cr3t@proxy", "HTTPS_PROXY holds no address of a proxy"),
        ("http://me:s3cr3t@proxy:port", "HTTPS_PROXY holds no address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_sentence(
    proxy: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(errors.ConfigurationError, match=said) as caught:
        PostHogClient("https://us.posthog.com", KEY, 1)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    monkeypatch.setenv("POSTHOG_API_KEY", KEY)
    assert main(["doctor", "--host", "https://us.posthog.com", "--project-id", "1"]) == 1
    printed = capsys.readouterr().err
    assert "HTTPS_PROXY" in printed
    assert "Traceback" not in printed
    assert printed.count("\n") == 1


def test_a_proxy_that_is_not_there_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cr3t@127.0.0.1:1")
    with (
        PostHogClient("https://us.posthog.com", KEY, 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.TransportError) as caught,
    ):
        client.workflows.get("w1")
    assert "by the proxy http://127.0.0.1:1 (HTTPS_PROXY)" in str(caught.value)
    assert "NO_PROXY" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.outcome == "not_sent"


def test_a_transport_that_is_passed_in_meets_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    with (
        Sandbox("docs", populate=False) as sandbox,
        PostHogClient(
            "https://us.posthog.com", sandbox.api_key, 1, transport=sandbox.transport()
        ) as client,
    ):
        assert client.server.key()


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def over_tls(authority: trustme.CA, *, asks_for_one: bool = False) -> Iterator[str]:
    """A server with a certificate of the authority; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"id": "w1"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    if asks_for_one:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_a_certificate_of_an_own_authority_names_what_to_set(authority: trustme.CA) -> None:
    with (
        over_tls(authority) as url,
        PostHogClient(url, KEY, 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.TransportError) as caught,
    ):
        client.workflows.get("w1")
    assert "ca_file (HOG_DAGSTER_CA_FILE) or in SSL_CERT_FILE" in str(caught.value)
    assert caught.value.outcome == "not_sent"


def test_an_own_authority_can_be_given(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with over_tls(authority) as url:
        with PostHogClient(url, KEY, 1, limits=False, max_wait=0, ca_file=ca_file) as client:
            assert client.workflows.get("w1").id == "w1"
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        with PostHogClient(url, KEY, 1, limits=False, max_wait=0) as client:
            assert client.workflows.get("w1").id == "w1"


def test_a_client_certificate_can_be_given(
    authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    authority.issue_cert("dagster@example.com").private_key_and_cert_chain_pem.write_to_path(
        str(own)
    )
    with over_tls(authority, asks_for_one=True) as url:
        with (
            PostHogClient(url, KEY, 1, limits=False, max_wait=0, ca_file=ca_file) as client,
            pytest.raises(errors.TransportError, match="HOG_DAGSTER_CLIENT_CERTIFICATE"),
        ):
            client.workflows.get("w1")
        with PostHogClient(
            url, KEY, 1, limits=False, max_wait=0, ca_file=ca_file, client_certificate=str(own)
        ) as client:
            assert client.workflows.get("w1").id == "w1"


def test_files_that_hold_no_certificate_are_one_sentence(
    tmp_path: Path, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for given in (str(wrong), str(tmp_path / "missing.pem")):
        with pytest.raises(errors.ConfigurationError, match=r"ca_file=.*\.pem cannot be used"):
            PostHogClient("https://us.posthog.com", KEY, 1, ca_file=given)
        with pytest.raises(errors.ConfigurationError, match=r"client_certificate=.*private key"):
            PostHogClient("https://us.posthog.com", KEY, 1, client_certificate=given)
    with pytest.raises(errors.ConfigurationError, match="private key"):  # A certificate alone.
        PostHogClient("https://us.posthog.com", KEY, 1, client_certificate=ca_file)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(errors.ConfigurationError, match="SSL_CERT_FILE"):
        PostHogClient("https://us.posthog.com", KEY, 1)
