"""Sends messages: to an incoming web hook of Slack, to any web hook, by SMTP.

Facts: the address of a web hook is a secret, and httpx writes it into its errors; Slack answers
200 when it took a message. A `dg.EnvVar` is a text that is read when it is used.
"""

import smtplib
import ssl
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any, Protocol

import httpx

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.alerts._messages import Message, setting_value
from hog_dagster.policies import AlertPolicy, EmailPolicy

_SECONDS = 10.0
#: Statuses that say that this message is wrong, or too long.
_OF_THE_MESSAGE = (400, 413, 422)
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class AlertNotSent(Exception):
    """A channel did not take a message; the text holds no address and no secret.

    Attributes:
        answered: whether it answered at all, so that it may be this message that it cannot take.
        refused: whether it says that it is this message.
    """

    def __init__(self, text: str, *, answered: bool = False, refused: bool = False) -> None:
        super().__init__(text)
        self.answered: bool = answered or refused
        self.refused = refused


class Channel(Protocol):
    """Something that takes messages."""

    @property
    def name(self) -> str:
        """Its name in the sensor's ticks."""
        ...

    def send(self, message: Message) -> str:
        """Send a message.

        Returns:
            Who did not get it though it was taken, in a sentence; empty when all did.

        Raises:
            AlertNotSent: the channel did not take it.
        """
        ...


def channels_of(policy: AlertPolicy, clock: Clock = SYSTEM_CLOCK) -> list[Channel]:
    """The channels that a policy names."""
    made: list[Channel] = []
    if policy.slack_webhook:
        made.append(_WebHook("slack", policy.slack_webhook, slack=True))
    if policy.webhook:
        made.append(_WebHook("webhook", policy.webhook))
    if policy.email:
        made.append(_Email(policy.email, clock))
    return made


def beat(policy: AlertPolicy) -> str:
    """Send a GET request to `heartbeat_url`, which shows the service there that the daemon runs.

    Returns:
        The failure, in a sentence; empty when there was none, or no address is given.
    """
    if not policy.heartbeat_url:
        return ""
    try:
        _request("alerts.heartbeat_url", "GET", policy.heartbeat_url)
    except AlertNotSent as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class _WebHook:
    name: str
    url: str
    slack: bool = False

    def send(self, message: Message) -> str:
        setting = "alerts.slack_webhook" if self.slack else "alerts.webhook"
        body: dict[str, Any] = {"text": message.for_slack() if self.slack else message.text}
        if not self.slack:
            body["alerts"] = [asdict(alert) for alert in message.alerts]
        _request(setting, "POST", self.url, body)
        return ""


@dataclass(frozen=True)
class _Email:
    policy: EmailPolicy
    clock: Clock
    name: str = "email"

    def send(self, message: Message) -> str:
        policy = self.policy
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"] = _value(policy.sender)
        mail["To"] = ", ".join(map(_value, policy.to))
        mail["Date"] = format_datetime(self.clock.now())
        mail["Message-ID"] = make_msgid(domain=_value(policy.sender).partition("@")[2])
        mail.set_content(message.text)
        port = policy.port or _PORTS[policy.security]
        try:
            with self._connected(port) as server:
                if policy.user:
                    server.login(_value(policy.user), _value(policy.password))
                refused = server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
            of_message = isinstance(error, smtplib.SMTPDataError)
            raise AlertNotSent(
                f"The SMTP server of alerts.email did not take the message "
                f"({type(error).__name__}{code}): see its host, port, security, user and password.",
                answered=of_message,
                refused=of_message and error.smtp_code >= 500,
            ) from None
        if not refused:
            return ""
        return (
            f"The SMTP server of alerts.email refused {len(refused)} of {len(policy.to)} "
            "addresses of alerts.email.to; the others have the message."
        )

    def _connected(self, port: int) -> smtplib.SMTP:
        host = _value(self.policy.host)
        if self.policy.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=context)
        server = smtplib.SMTP(host, port, timeout=_SECONDS)
        if self.policy.security == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


def _request(setting: str, method: str, url: str, body: Any = None) -> None:
    """Send one request; AlertNotSent, which names the setting, where no success is the response."""
    address = _value(url)
    try:
        response = httpx.request(method, address, json=body, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AlertNotSent(
            f"The address of {setting} did not answer ({type(error).__name__})."
        ) from None
    if not response.is_success:
        raise AlertNotSent(
            f"The address of {setting} answered {response.status_code}: is it still the right one?",
            answered=True,
            refused=response.status_code in _OF_THE_MESSAGE,
        )


def _value(text: str) -> str:
    """A setting; of an `EnvVar`, the value of its variable now; AlertNotSent if there is none."""
    value = setting_value(text)
    if not value and (variable := getattr(text, "env_var_name", "")):
        raise AlertNotSent(f"The variable {variable}, which alerts are sent with, is not set.")
    return value
