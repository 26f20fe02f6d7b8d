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
    """Host name of the SMTP server."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the SMTP server. The default is 587 for starttls, 465 for tls, 25 for none."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    user: _Text = ""
    """User name for the SMTP server. Empty means no login."""
    password: _Text = Field(default="", repr=False)
    """Password for the SMTP server, from the environment."""
    sender: _Address
    """Sender address of the e-mails."""
    to: list[_Address] = Field(min_length=1)
    """Recipient addresses of the e-mails."""


class AlertPolicy(Record):
    """Alerts by Slack, web hook or e-mail: checks and runs that fail, actions in doubt, requests
    that run out, sensors that do not tick. Each is sent once."""

    slack_webhook: _Url | None = Field(default=None, repr=False)
    """Address of a Slack incoming webhook, from the environment."""
    webhook: _Url | None = Field(default=None, repr=False)
    """Address that receives each message by POST, as JSON with the text and a list of alerts."""
    email: EmailPolicy | None = None
    """How to send alerts by e-mail. null sends no e-mail."""
    webserver_url: _Url | None = None
    """Address of the Dagster web server, for the links in messages. Without it, messages have no
    links."""
    min_severity: Severity = "warn"
    """Checks that fail with a lower severity send no alert."""
    recovered: bool = False
    """Whether to send a message when a failed check passes again."""
    whole_location: bool = True
    """Whether to watch all checks of the code location, including your own. false watches only the
    checks of this project; use it for the second project of a code location."""
    failed_runs: bool = True
    """Whether to send an alert when a run of this code location fails."""
    heartbeat_url: _Url | None = Field(default=None, repr=False)
    """Address that receives a GET request at each tick of the alert sensor. Use a monitoring
    service that raises an alarm when the requests stop because Dagster is down."""
    operations_cron: Cron = "*/15 * * * *"
    """When to check actions in doubt, the request quota and sensor ticks (cron, UTC)."""
    max_silent_minutes: float = Field(default=30.0, gt=0, le=525_600)
    """How long a running sensor may go without a tick. Three times the sensor's own interval counts
    instead where that is longer."""
    in_doubt_minutes: float = Field(default=30.0, ge=0, le=525_600)
    """The maximum time that an action may be in doubt."""
    min_free_requests: float = Field(default=0.05, ge=0, le=1)
    """The minimum share of the hour's PostHog requests that must be left, from 0 to 1."""
    interval_seconds: int = Field(default=60, ge=1, le=31_536_000)
    """The time between two ticks of the alert sensor."""
    running: bool = True
    """Whether the alert sensor is on when it is first loaded."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not (self.slack_webhook or self.webhook or self.email):
            raise ValueError("give slack_webhook, webhook or email: alerts go nowhere otherwise")
        return self
