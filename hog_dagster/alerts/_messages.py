"""An alert, and the message that reports all alerts of one tick.

Facts: Slack reads `<`, `>` and `&` as markup unless they are escaped, and cuts a text at 40,000
characters. JSON may hold half of a character that UTF-16 has as two, which no UTF-8 can.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from hog_dagster._shared.secrets import mask_text

_SHOWN, _LONGEST, _LONGEST_NAME = 20, 600, 200


@dataclass(frozen=True, slots=True)
class Alert:
    """One failure, or one recovery, that a message reports. The same key is the same alert; secrets
    and e-mail addresses in what is wrong are masked when it is sent; the url is that of the page in
    Dagster's UI, where its address is set; severity is `warn`, `error`, or `ok` for a recovery."""

    key: str
    what: str
    where: str
    next_step: str = ""
    url: str = ""
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a subject, a text, and the alerts, all of them fit to send."""

    subject: str
    text: str
    alerts: tuple[Alert, ...]

    def for_slack(self) -> str:
        """The text as Slack reads it."""
        escaped = self.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"*{escaped.partition(chr(10))[0]}*\n{escaped.partition(chr(10))[2]}"


def message(alerts: Sequence[Alert], project: str) -> Message:
    """One message for all alerts of one tick; it begins with the project."""
    alerts = tuple(map(_fit_to_send, alerts))
    bad = [alert for alert in alerts if alert.severity != "ok"]
    if len(alerts) == 1:
        headline = f"{alerts[0].where} {'is well again' if not bad else 'needs a look'}"
    else:
        headline = f"{len(bad)} alerts" + (
            f", {len(alerts) - len(bad)} well again" if len(bad) < len(alerts) else ""
        )
    subject = f"{_plain(project, _LONGEST_NAME)}: {headline}"
    parts = [subject]
    for alert in alerts[:_SHOWN]:
        lines = [f"{alert.severity.upper()} {alert.where}: {alert.what}"]
        lines += [line for line in (alert.next_step, alert.url) if line]
        parts.append("\n".join(lines))
    if len(alerts) > _SHOWN:
        parts.append(f"{len(alerts) - _SHOWN} more: see the checks in Dagster.")
    return Message(subject, "\n\n".join(parts), alerts)


def page_url(base: str | None, page: str) -> str:
    """A page of Dagster's UI; empty without an address of the web server."""
    address = setting_value(base) if base else ""
    return f"{address.rstrip('/')}/{page}" if address else ""


def setting_value(text: str) -> str:
    """A setting; of an `EnvVar`, the value of the variable now, empty where it is not set."""
    variable = getattr(text, "env_var_name", "")
    return os.environ.get(variable, "") if variable else text


def check_url(base: str | None, asset: Sequence[str], check: str) -> str:
    """The page of an asset's check in Dagster's UI; empty without an address of the web server."""
    path = "/".join(quote(part, safe="") for part in asset)
    return page_url(base, f"assets/{path}?view=checks&checkDetail={quote(check, safe='')}")


def _fit_to_send(alert: Alert) -> Alert:
    return replace(
        alert,
        key=_encodable(alert.key),
        what=_plain(alert.what),
        where=_plain(alert.where, _LONGEST_NAME),
        next_step=_plain(alert.next_step),
        url=_encodable(alert.url),
    )


def _plain(text: str, longest: int = _LONGEST) -> str:
    """One line, not too long, without secrets and e-mail addresses."""
    masked = mask_text(_encodable(" ".join(text.split())))
    if len(masked) <= longest:
        return masked
    cut = masked[:longest]
    return (cut.rpartition(" ")[0] or cut) + " ..."


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
