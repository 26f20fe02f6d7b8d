"""The errors of requests that got no response, or a redirect: what happened and what to check.

Facts: httpx's exceptions, and which of them come before anything was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from hog_dagster._shared.secrets import path_of, without_arguments, without_secrets
from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._responses import Response
from hog_dagster.posthog._transport.connecting import hint_of_tls
from hog_dagster.posthog._transport.receiving import DeadlineOver, TooLarge
from hog_dagster.posthog._write_outcomes import judge_redirect

# Nothing of the request can have reached the server.
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,  # A proxy refused to connect; its responses to requests are no ProxyError.
    httpx.UnsupportedProtocol,
)


def redirected(response: Response, request: httpx.Request, *, host: str) -> httpx.Request:
    """The request a 307 or 308 to the same host asks for, method and body kept.

    Raises:
        RedirectRefused: it is not one to follow.
    """
    location, here = response.headers.get("location", ""), urlsplit(response.url)
    target: SplitResult | None = None
    same = False
    try:
        target = urlsplit(urljoin(response.url, location))
        same = _origin(target) == _origin(here)
    except ValueError:
        target = None  # No address at all, or a port that is no number.
    if target is None or not location:
        raise refused_redirect(response, "it does not say where to", same_host=True)
    if not same:
        where = without_secrets(f"{target.scheme}://{target.netloc.rpartition('@')[2]}")
        raise refused_redirect(
            response,
            f"the key is sent to POSTHOG_HOST={host} only, not to {where}",
            # PostHog behind a proxy may name a port or a scheme of its own; only the way from http
            # to https is shown by a proxy before PostHog saw anything.
            same_host=target.hostname == here.hostname
            and (here.scheme, target.scheme) != ("http", "https"),
        )
    if response.status not in (307, 308):
        raise refused_redirect(
            response,
            f"the API does not answer with {response.status} to {without_secrets(target.path)}",
            same_host=True,
        )
    return httpx.Request(
        request.method,
        target.geturl(),
        headers=request.headers,
        content=request.content or None,
        extensions=request.extensions,
    )


def written(
    endpoint: Endpoint, url: str, headers: Mapping[str, str], body: object
) -> httpx.Request:
    """The request, ready to be sent.

    Raises:
        InvalidRequest: its body or address cannot be written, so nothing was sent. What is in it
            is not repeated.
    """
    try:
        return httpx.Request(endpoint.method, url, headers=headers, json=body)
    except (TypeError, ValueError, RecursionError) as error:
        why = "is nested too deeply, or holds itself"
        if isinstance(error, UnicodeError):
            why = "holds half of a surrogate pair, which is no character"
        elif isinstance(error, TypeError):
            why = f"holds what JSON does not have: {str(error).partition(' is not')[0]}"
        elif "Out of range float" in str(error):
            why = "holds a number that JSON does not have: NaN or infinity"
    except httpx.InvalidURL:
        why = "has an address that cannot be written"
    path = path_of(without_arguments(url))
    raise errors.InvalidRequest(
        f"{endpoint.method} {path} was not sent: it {why}.",
        method=endpoint.method,
        url=without_arguments(url),
        outcome="not_sent",
    )


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def refused_redirect(response: Response, why: str, *, same_host: bool) -> errors.RedirectRefused:
    """The error for a redirect that is not followed."""
    outcome = judge_redirect(response.status, same_host=same_host)
    doubt, url = "", without_arguments(response.url)
    if outcome == "unknown" and response.endpoint.effect != "read":
        doubt = " It may have happened: find out before sending it again."
    return errors.RedirectRefused(
        f"{response.endpoint.method} {path_of(url)} was redirected "
        f"({response.status}), and that is not followed: {why}. Check POSTHOG_HOST.{doubt}",
        status=response.status,
        method=response.endpoint.method,
        url=url,
        request_id=response.request_id,
        outcome=outcome,
    )


def transport_error(
    endpoint: Endpoint,
    request: httpx.Request,
    failure: httpx.HTTPError | None,
    *,
    host: str,
    why: str,
    deadline: bool,
    proxy: str = "",
) -> errors.PostHogError:
    """The error for a request that got no whole response. ``why`` is the failure in words, without
    the key; ``deadline``: the time for the whole request was over."""
    url = without_arguments(str(request.url))
    what = f"{request.method} {path_of(url)}"
    about: dict[str, Any] = {"method": request.method, "url": url}
    by = f" by the proxy {proxy}" if proxy else ""
    tls = hint_of_tls(why)
    if isinstance(failure, NOT_SENT):
        check = tls or "Check POSTHOG_HOST and the network."
        if proxy and not tls:
            check = f"Check POSTHOG_HOST, the network and {proxy}, or except {host} in NO_PROXY."
        return errors.TransportError(
            f"{what}: no connection to {host}{by} ({why}), nothing was sent. {check}",
            outcome="not_sent",
            **about,
        )
    if isinstance(failure, DeadlineOver) or (deadline and not isinstance(failure, TooLarge)):
        why += "; the time for a whole request, Timeouts.total, is over"
    if endpoint.effect != "read":
        return errors.OutcomeUnknown(
            f"{what} was sent and {host} gave no whole response{by} ({why}). It may have happened: "
            f"find out before sending it again. {tls}".rstrip(),
            **about,
        )
    if isinstance(failure, TooLarge):
        return errors.ResponseTooLarge(
            f"{what}: {host} answered with more than can be PostHog's ({why}). Is "
            "POSTHOG_HOST right?",
            **about,
        )
    return errors.TransportError(
        f"{what}: {host} gave no whole response{by} ({why}). "
        + (
            tls
            or "See whether PostHog is up; if it is only slow, allow more time: raise "
            "read_timeout_seconds."
        ),
        **about,
    )
