"""What the alert sensor remembers: which checks fail, which runs were seen, what is still to send.

Facts: Dagster keeps a sensor's cursor when its tick has ended, and not when it raised.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from hog_dagster.alerts import Alert, AlertNotSent, Channel, message

__all__ = ["AlertState", "Delivery", "read_state"]

#: More alerts than these are not kept for a channel that takes none.
_KEPT = 200


class Waiting(msgspec.Struct, kw_only=True):
    """An alert, and the channels that have not taken it."""

    alert: dict[str, str]
    channels: list[str]


class AlertState(msgspec.Struct, kw_only=True):
    """All that is remembered, as JSON."""

    version: int = 1
    started: datetime
    #: Check -> severity that it fails with.
    failing: dict[str, str] = {}
    #: Runs that failed later than this are looked at; those of them that were seen.
    runs_after: datetime
    runs_seen: list[str] = []
    waiting: list[Waiting] = []

    def dump(self) -> str:
        """For `SensorResult`."""
        return msgspec.json.encode(self).decode()


def read_state(text: str | None, now: datetime) -> AlertState:
    """What was remembered; a new state, from now on, where nothing can be read."""
    fresh = AlertState(started=now, runs_after=now)
    if not text:
        return fresh
    try:
        state = msgspec.json.decode(text, type=AlertState)
    except msgspec.DecodeError:
        return fresh
    return state if state.version == 1 else fresh


class Delivery:
    """Sends what waits, a message for each channel.

    Attributes:
        sent: alerts that a channel took at this tick.
        faults: what channels did not take, and why.
        given_up: alerts that are not kept, since too many wait.
    """

    def __init__(self, channels: Sequence[Channel], project: str) -> None:
        self.channels = channels
        self.project = project
        self.sent = 0
        self.faults: list[str] = []
        self.given_up = 0

    def queue(self, state: AlertState, alerts: Sequence[Alert]) -> None:
        """Have each alert sent to every channel."""
        names = [channel.name for channel in self.channels]
        state.waiting += [Waiting(alert=_as_dict(alert), channels=list(names)) for alert in alerts]

    def run(self, state: AlertState) -> None:
        """Send; what a channel did not take stays."""
        for channel in self.channels:
            due = [one for one in state.waiting if channel.name in one.channels]
            if not due:
                continue
            alerts = [Alert(**one.alert) for one in due]
            try:
                fault = channel.send(message(alerts, self.project))
            except AlertNotSent as error:
                self.faults.append(f"{len(due)} alerts wait: {error}")
                continue
            self.faults += [fault] if fault else []
            self.sent += len(due)
            for one in due:
                one.channels.remove(channel.name)
        known = {channel.name for channel in self.channels}
        state.waiting = [one for one in state.waiting if known & set(one.channels)]
        self.given_up = max(0, len(state.waiting) - _KEPT)
        if self.given_up and self.sent:
            self.faults.append(f"{self.given_up} old alerts were given up.")
        if self.given_up:
            state.waiting = state.waiting[-_KEPT:]


def _as_dict(alert: Alert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in Alert.__slots__}
