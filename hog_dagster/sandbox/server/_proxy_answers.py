"""Answers that PostHog did not write: what proxies, firewalls, gateways and load balancers send.

Each has a name, by which a fault is ordered. Before the effect the request never reached PostHog;
after it PostHog acted, and its response was replaced on the way.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from msgspec import Struct


class ProxyAnswer(Struct, frozen=True, kw_only=True):
    """One response: its status, its body as it goes out (a text, or JSON), and its headers."""

    status: int
    body: Any = ""
    headers: Mapping[str, str] = {}


_OTHER_REASONS = {
    413: "Request Entity Too Large",
    460: "Client Closed Connection",
    499: "Client Closed Request",
    520: "Web Server Returned an Unknown Error",
    521: "Web Server Is Down",
    522: "Connection Timed Out",
    523: "Origin Is Unreachable",
    524: "A Timeout Occurred",
    525: "SSL Handshake Failed",
    526: "Invalid SSL Certificate",
    527: "Railgun Error",
}
_REASONS = _OTHER_REASONS | {
    status: HTTPStatus(status).phrase
    for status in (400, 403, 404, 408, 409, 421, 425, 429, 500, 502, 503, 504)
}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
OTHER_HOST = "http://login.example.com"


def _page(status: int, reason: str) -> str:
    title = f"{status} {reason}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>"
        "</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


def _answers() -> dict[str, ProxyAnswer]:
    found: dict[str, ProxyAnswer] = {}
    for status, reason in _REASONS.items():
        found[f"html_{status}"] = ProxyAnswer(
            status=status, body=_page(status, reason), headers=_HTML
        )
        found[f"text_{status}"] = ProxyAnswer(status=status, body=reason, headers=_TEXT)
        found[f"empty_{status}"] = ProxyAnswer(status=status, headers={"Content-Type": ""})
        found[f"json_{status}"] = ProxyAnswer(status=status, body={"message": reason})
    for status in (301, 302, 303, 307, 308):
        found[f"redirect_{status}_same_host"] = ProxyAnswer(
            status=status, headers={"Location": "/login?next=/", "Content-Type": ""}
        )
        found[f"redirect_{status}_other_host"] = ProxyAnswer(
            status=status, headers={"Location": f"{OTHER_HOST}/sign-in", "Content-Type": ""}
        )
    login = "<!doctype html><html><title>Sign in</title><form action='/login'></form></html>"
    found |= {
        "gateway_forbidden": ProxyAnswer(status=403, body={"message": "Forbidden"}),
        "gateway_timeout": ProxyAnswer(status=504, body={"message": "Endpoint request timed out"}),
        "gateway_throttled": ProxyAnswer(
            status=429, body={"message": "Too Many Requests"}, headers={"Retry-After": "1"}
        ),
        "empty_results_200": ProxyAnswer(status=200, body={"detail": "timeout", "results": []}),
        "login_page_200": ProxyAnswer(status=200, body=login, headers=_HTML),
        "empty_200": ProxyAnswer(status=200, headers={"Content-Type": ""}),
        "text_200": ProxyAnswer(status=200, body="OK", headers=_TEXT),
        "half_json_200": ProxyAnswer(
            status=200, body='{"rerun_job_id": "0199', headers={"Content-Type": "application/json"}
        ),
        "gzip_garbage_200": ProxyAnswer(
            status=200,
            body="this is no gzip",
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ),
        "null_200": ProxyAnswer(
            status=200, body="null", headers={"Content-Type": "application/json"}
        ),
        "no_content_204": ProxyAnswer(status=204, headers={"Content-Type": ""}),
        "accepted_202": ProxyAnswer(status=202, headers={"Content-Type": ""}),
    }
    return found


#: Name -> answer: ``html_403``, ``text_502``, ``empty_499``, ``json_500``, so for each status;
#: ``redirect_303_same_host``, ``redirect_302_other_host``; ``gateway_forbidden``,
#: ``empty_results_200``, ``login_page_200``, ``half_json_200``, ``gzip_garbage_200`` and more.
PROXY_ANSWERS: Mapping[str, ProxyAnswer] = _answers()
