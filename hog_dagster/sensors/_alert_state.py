"""The state of the alert sensor: which checks fail, which runs were seen, what is still to send.

Facts: Dagster keeps a sensor's cursor when its tick has ended, and not when it raised.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import msgspec

from hog_dagster.alerts import Alert, AlertNotSent, Channel, message

__all__ = ["AlertState", "Delivery", "read_state"]

#: The maximum number of alerts that are kept while a channel takes none.
_KEPT = 200


class Waiting(msgspec.Struct, kw_only=True):
    """An alert, and the channels that have not taken it."""

    alert: dict[str, str]
    channels: list[str]


class AlertState(msgspec.Struct, kw_only=True):
    """The sensor's cursor, as JSON."""

    version: int = 1
    started: datetime
    #: Check -> severity that it fails with.
    failing: dict[str, str] = {}
    #: Runs that failed later than this are read; `runs_seen` are those that are dealt with.
    runs_after: datetime
    runs_seen: list[str] = []
    waiting: list[Waiting] = []

    def dump(self) -> str:
        """For `SensorResult`."""
        return msgspec.json.encode(self).decode()


def read_state(text: str | None, now: datetime) -> AlertState:
    """The state in a cursor; a new state, from now on, where the cursor cannot be read."""
    fresh = AlertState(started=now, runs_after=now)
    if not text:
        return fresh
    try:
        state = msgspec.json.decode(text, type=AlertState)
    except msgspec.DecodeError:
        return fresh
    return state if state.version == 1 else fresh


class Delivery:
    """Sends the alerts that wait, in one message for each channel.

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
        """Add alerts, to be sent to every channel."""
        names = [channel.name for channel in self.channels]
        state.waiting += [Waiting(alert=asdict(alert), channels=list(names)) for alert in alerts]

    def run(self, state: AlertState) -> None:
        """Send the alerts; those that a channel did not take wait for the next tick."""
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
