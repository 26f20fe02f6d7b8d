"""Checks of what a client is built from: host, key, project id; no network, no environment.

Facts: PostHog's hosts (us/eu for the API, *.i.posthog.com for capture only, app.posthog.com a
retired alias) and its token prefixes (phx_ personal, phc_ project, phs_ secret, pha_ OAuth).
"""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import Final
from urllib.parse import urlsplit

import httpx

from hog_dagster.posthog.errors import ConfigurationError

logger = logging.getLogger("hog_dagster.posthog")

_TOKEN: Final = re.compile(r"\bph[a-z]_")
_REGIONS: Final = {
    "us.i.posthog.com": "https://us.posthog.com",
    "eu.i.posthog.com": "https://eu.posthog.com",
    "us-assets.i.posthog.com": "https://us.posthog.com",
    "eu-assets.i.posthog.com": "https://eu.posthog.com",
}


class Secret:
    """A string that no repr, format or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself; call it at the last moment."""
        return self._value

    def scrub(self, text: str) -> str:
        """``text`` with every occurrence of the secret blanked."""
        return text.replace(self._value, "***") if self._value else text

    def scrub_headers(self, headers: httpx.Headers) -> httpx.Headers:
        """The headers, with the secret blanked in those that repeat it."""
        if not any(self._value in value for value in headers.values()):
            return headers
        return httpx.Headers([(name, self.scrub(value)) for name, value in headers.multi_items()])

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled; build the client again where it is needed")


def check_host(host: str) -> str:
    """``host`` as ``scheme://name[:port]`` with an optional path prefix, no slash at the end.

    Raises:
        ConfigurationError: it is empty, is no http(s) URL, carries credentials, or is one of
            PostHog's hosts that do not serve the API.
    """
    text = (host or "").strip()
    if not text:
        raise ConfigurationError(
            "POSTHOG_HOST is empty: set it to https://us.posthog.com, https://eu.posthog.com or "
            "the address of your own PostHog."
        )
    if _TOKEN.search(text):
        raise ConfigurationError("POSTHOG_HOST holds a token; the key goes in POSTHOG_API_KEY.")
    if "://" not in text:
        raise ConfigurationError(
            f"POSTHOG_HOST={text} has no scheme: write https://{text} (http:// for a local server)."
        )
    try:
        parts = urlsplit(text.rstrip("/") if urlsplit(text).netloc else text)
    except ValueError:
        raise ConfigurationError("POSTHOG_HOST is not an http or https address.") from None
    name = (parts.hostname or "").lower()
    if parts.scheme.lower() not in ("http", "https") or not name:
        scheme, _, rest = text.partition("://")
        shown = f"{scheme}://{rest.rpartition('@')[2]}"  # Without a user name and password.
        raise ConfigurationError(f"POSTHOG_HOST={shown} is not an http or https address.")
    try:
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"POSTHOG_HOST={name} has a port that is no number.") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"POSTHOG_HOST must not hold a user name or password (host {name}): the key goes in "
            "POSTHOG_API_KEY."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"POSTHOG_HOST={name} must be an address without ? or #.")
    _refuse_wrong_posthog_host(name.removesuffix("."))
    _refuse_no_host(name)
    if parts.scheme.lower() == "http" and not is_loopback(name):
        logger.warning(
            "POSTHOG_HOST=http://%s: the API key travels unencrypted; use https://", name
        )
    netloc = f"[{name}]" if ":" in name else name
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme.lower()]:
        netloc += f":{port}"
    path = parts.path.rstrip("/")
    if path == "/api" or path.startswith("/api/"):
        path = ""  # People paste the address of the API; the client adds that part itself.
    return f"{parts.scheme.lower()}://{netloc}{path}"


def _refuse_wrong_posthog_host(name: str) -> None:
    if name in ("app.posthog.com", "posthog.com", "www.posthog.com", "app-static.posthog.com"):
        raise ConfigurationError(
            f"POSTHOG_HOST={name} does not serve the API of your project: use "
            "https://us.posthog.com or https://eu.posthog.com, whichever your browser shows when "
            "you are logged in."
        )
    if name == "i.posthog.com" or name.endswith(".i.posthog.com"):
        right = _REGIONS.get(name, "https://us.posthog.com or https://eu.posthog.com")
        raise ConfigurationError(
            f"POSTHOG_HOST={name} only takes events in; the API of your project is at {right}."
        )


def _refuse_no_host(name: str) -> None:
    """Refuse a name that fails only when a request is sent, in another library's words."""
    try:
        shown = httpx.URL(scheme="https", host=name).host
        known = ":" in shown or shown.removesuffix(".").encode("idna")
    except (ValueError, httpx.InvalidURL):
        known = b""
    if not known:
        raise ConfigurationError(
            f"POSTHOG_HOST={name[:100]} is no name that a host can have."
        ) from None


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    name = name.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def check_api_key(api_key: str) -> Secret:
    """The key, wrapped so that nothing prints it.

    Raises:
        ConfigurationError: there is none, or it is another kind of token.
    """
    key = (api_key or "").strip()
    make = "Make a personal API key (phx_...) in PostHog under Settings > Personal API keys."
    if not key:
        raise ConfigurationError(f"POSTHOG_API_KEY is not set. {make}")
    if key[0] in "'\"" or key[-1] in "'\"":
        raise ConfigurationError(
            "POSTHOG_API_KEY stands in quotes, which are taken for a part of the key: take them "
            "away (docker's --env-file and Kubernetes' secrets keep them)."
        )
    if key.startswith("phc_"):
        raise ConfigurationError(
            "POSTHOG_API_KEY holds a project token (phc_...), which can only send events. " + make
        )
    if any(character.isspace() for character in key) or not key.isascii() or not key.isprintable():
        raise ConfigurationError(
            "POSTHOG_API_KEY holds spaces or characters that no key has: copy it again."
        )
    if key.startswith("phs_"):
        logger.warning(
            "POSTHOG_API_KEY holds a project secret key (phs_...): it reaches few endpoints of "
            "workflows; a personal API key (phx_...) reaches them all"
        )
    return Secret(key)


def check_project_id(project_id: int | str) -> int:
    """The project's number.

    Raises:
        ConfigurationError: it is missing, ``@current``, or no positive whole number.
    """
    if isinstance(project_id, bool) or project_id is None:
        raise ConfigurationError("POSTHOG_PROJECT_ID is not set: give the project's number.")
    text = str(project_id).strip()
    where = (
        "Give the project's number: it is in PostHog's address bar, /project/<number>, and under "
        "Settings > Project."
    )
    if not text:
        raise ConfigurationError(f"POSTHOG_PROJECT_ID is not set. {where}")
    if text == "@current":
        raise ConfigurationError(
            "POSTHOG_PROJECT_ID=@current means whichever project the key's owner last clicked "
            f"on, so it can change between two requests. {where}"
        )
    if _TOKEN.search(text):
        raise ConfigurationError(f"POSTHOG_PROJECT_ID holds a token, not a number. {where}")
    digits = text.lstrip("0")
    if not (text.isascii() and digits.isdigit()) or len(digits) > 18:
        raise ConfigurationError(f"POSTHOG_PROJECT_ID={text[:60]} is not a number. {where}")
    return int(digits)
