"""Answers that PostHog did not write: what proxies, firewalls, gateways and load balancers send.

Each has a name, by which a fault is ordered. Before the effect the request never reached PostHog;
after it PostHog acted, and its response was replaced on the way.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from msgspec import Struct


class ProxyAnswer(Struct, frozen=True):
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
_JSON, _BARE = {"Content-Type": "application/json"}, {"Content-Type": ""}
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
        found[f"html_{status}"] = ProxyAnswer(status, _page(status, reason), _HTML)
        found[f"text_{status}"] = ProxyAnswer(status, reason, _TEXT)
        found[f"empty_{status}"] = ProxyAnswer(status, "", _BARE)
        found[f"json_{status}"] = ProxyAnswer(status, {"message": reason})
    for status in (301, 302, 303, 307, 308):
        for host, place in (("same", "/login?next=/"), ("other", f"{OTHER_HOST}/sign-in")):
            headers = {"Location": place, **_BARE}
            found[f"redirect_{status}_{host}_host"] = ProxyAnswer(status, "", headers)
    return found


_LOGIN = "<!doctype html><html><title>Sign in</title><form action='/login'></form></html>"
_NAMED = {
    "gateway_forbidden": ProxyAnswer(403, {"message": "Forbidden"}),
    "gateway_timeout": ProxyAnswer(504, {"message": "Endpoint request timed out"}),
    "gateway_throttled": ProxyAnswer(429, {"message": "Too Many Requests"}, {"Retry-After": "1"}),
    "empty_results_200": ProxyAnswer(200, {"detail": "timeout", "results": []}),
    "login_page_200": ProxyAnswer(200, _LOGIN, _HTML),
    "empty_200": ProxyAnswer(200, "", _BARE),
    "text_200": ProxyAnswer(200, "OK", _TEXT),
    "half_json_200": ProxyAnswer(200, '{"rerun_job_id": "0199', _JSON),
    "gzip_garbage_200": ProxyAnswer(200, "this is no gzip", {**_JSON, "Content-Encoding": "gzip"}),
    "null_200": ProxyAnswer(200, "null", _JSON),
    "no_content_204": ProxyAnswer(204, "", _BARE),
    "accepted_202": ProxyAnswer(202, "", _BARE),
}
#: Name -> answer: ``html_403``, ``text_502``, ``empty_499``, ``json_500``, so for each status;
#: ``redirect_303_same_host``, ``redirect_302_other_host``; ``gateway_forbidden``,
#: ``empty_results_200``, ``login_page_200``, ``half_json_200``, ``gzip_garbage_200`` and more.
PROXY_ANSWERS: Mapping[str, ProxyAnswer] = {**_answers(), **_NAMED}
