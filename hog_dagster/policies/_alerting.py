"""What a user may set about alerts, in Python or in YAML: channels, and which failures are sent.

Facts: an incoming web hook of Slack takes `{"text": ...}` by POST and its address is a secret. A
`dg.EnvVar` is a text to pydantic, which would copy its name: it is kept as it is, and read when a
message is sent.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WrapValidator, model_validator

from hog_dagster.policies._checking import Severity
from hog_dagster.policies._values import Cron, Name, Record

__all__ = ["AlertPolicy", "EmailPolicy"]


def _url(text: str) -> str:
    if "{" not in text and not re.match(r"https?://[^/\s]+", text):
        raise ValueError("give an address that begins with https:// or http:// and names a host")
    return text


def _address(text: str) -> str:
    local, at, domain = text.partition("@")
    if not (local and at and domain) or any(part.isspace() for part in text):
        raise ValueError("give an e-mail address")
    return text


def _or_variable(value: Any, handler: Callable[[Any], Any]) -> Any:
    return value if getattr(value, "env_var_name", "") else handler(value)


_Url = Annotated[str, AfterValidator(_url), WrapValidator(_or_variable)]
_Address = Annotated[str, AfterValidator(_address), WrapValidator(_or_variable)]
_Text = Annotated[str, WrapValidator(_or_variable)]


class EmailPolicy(Record):
    """How alerts are sent as e-mail."""

    host: Annotated[Name, WrapValidator(_or_variable)]
    """Name of the SMTP server."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Its port; by default 587 for starttls, 465 for tls, 25 for none."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    user: _Text = ""
    """Name to log in with; no login when empty."""
    password: _Text = Field(default="", repr=False)
    """Password to log in with, from the environment."""
    sender: _Address
    """Address that the e-mails come from."""
    to: list[_Address] = Field(min_length=1)
    """Addresses that they go to."""


class AlertPolicy(Record):
    """Alerts by Slack, web hook or e-mail: checks and runs that fail, actions in doubt, requests
    that run out, sensors that do not tick. Each is sent once."""

    slack_webhook: _Url | None = Field(default=None, repr=False)
    """Address of an incoming web hook of Slack, from the environment."""
    webhook: _Url | None = Field(default=None, repr=False)
    """Address that gets each message as JSON by POST: text, and a list of alerts."""
    email: EmailPolicy | None = None
    """How they are sent as e-mail; null sends none."""
    webserver_url: _Url | None = None
    """Address of Dagster's web server, for links; without it there are none."""
    min_severity: Severity = "warn"
    """Checks that fail with less than this are left alone."""
    recovered: bool = False
    """Whether a message is sent when a check passes again."""
    whole_location: bool = True
    """Whether all checks of the code location are watched, your own among them; false watches those
    of this project only, for a second project beside another."""
    failed_runs: bool = True
    """Whether a run that fails in this code location is an alert."""
    heartbeat_url: _Url | None = Field(default=None, repr=False)
    """Address that each tick of the alert sensor sends a GET request to: that of a service that
    raises the alarm when no request comes, because Dagster is down."""
    operations_cron: Cron = "*/15 * * * *"
    """When actions in doubt, requests and ticks are checked, in UTC."""
    max_silent_minutes: float = Field(default=30.0, gt=0)
    """A sensor that is on and has not ticked for this long is a failure, and so is one that has not
    ticked for three times its own interval, where that is longer."""
    in_doubt_minutes: float = Field(default=30.0, ge=0)
    """The maximum time that an action may be in doubt."""
    min_free_requests: float = Field(default=0.05, ge=0, le=1)
    """The minimum share of the hour's requests to PostHog that is left, 0 to 1."""
    interval_seconds: int = Field(default=60, ge=1)
    """The time between two ticks of the alert sensor."""
    running: bool = True
    """Whether alerts are on when first loaded."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not (self.slack_webhook or self.webhook or self.email):
            raise ValueError("give slack_webhook, webhook or email: alerts go nowhere otherwise")
        return self
