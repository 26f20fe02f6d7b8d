"""The state of the alert sensor: which checks fail, which runs were seen, what is still to send.

Facts: Dagster keeps a sensor's cursor when its tick has ended, and not when it raised. A channel
that is down takes no message; one that is up may refuse one message for ever, for its text.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import msgspec

from hog_dagster.alerts import Alert, AlertNotSent, Channel, message
from hog_dagster.sensors._cursor import Cursor, read_cursor

#: The maximum number of alerts that are kept while a channel takes none.
_KEPT = 200
#: How often an alert that a channel refuses is tried before it is given up there.
_TRIES = 5
#: Begins the key of the alert that stands for one that was given up.
_GIVEN_UP = "given up:"


class Waiting(msgspec.Struct, kw_only=True):
    """An alert, the channels that have not taken it, and how often each refused it."""

    alert: dict[str, str]
    channels: list[str]
    refused: dict[str, int] = {}


class AlertState(Cursor, kw_only=True):
    """The sensor's cursor."""

    started: datetime
    #: Check -> severity that it fails with.
    failing: dict[str, str] = {}
    #: Runs that failed later than this are read; `runs_seen` are those that are dealt with.
    runs_after: datetime
    runs_seen: list[str] = []
    waiting: list[Waiting] = []


def read_state(text: str | None, now: datetime) -> AlertState:
    """The state in a cursor; a new state, from now on, where the cursor cannot be read."""
    return read_cursor(AlertState, text) or AlertState(started=now, runs_after=now)


class Delivery:
    """Sends the alerts that wait, in one message for each channel; counts those that a channel took
    at this tick, and those given up since too many wait; says what channels did not take, and why.
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
        """Send the alerts; those that a channel did not take wait for the next tick.

        Where a channel refuses one alert, the others are sent without it; it is tried a few times
        more and then given up on that channel, which gets an alert that says so.
        """
        for channel in self.channels:
            due = [one for one in state.waiting if channel.name in one.channels]
            if due:
                self._send(channel, due, state)
        known = {channel.name for channel in self.channels}
        state.waiting = [one for one in state.waiting if known & set(one.channels)]
        self.given_up = max(0, len(state.waiting) - _KEPT)
        if self.given_up and self.sent:
            self.faults.append(f"{self.given_up} old alerts were given up.")
        if self.given_up:
            state.waiting = state.waiting[-_KEPT:]

    def _send(
        self, channel: Channel, due: list[Waiting], state: AlertState, *, up: bool = False
    ) -> bool:
        """Send alerts as one message; where that is refused, in halves. Returns whether the channel
        took them all. ``up`` says that the channel is known to take other messages."""
        try:
            fault = channel.send(message([Alert(**one.alert) for one in due], self.project))
        except AlertNotSent as error:
            to_blame = up or error.refused
            if len(due) == 1:
                self._refused(channel, due[0], state, error, to_blame)
            elif to_blame or (error.answered and self._send(channel, due[-1:], state)):
                left = [one for one in due if channel.name in one.channels]
                middle = (len(left) + 1) // 2
                for half in (left[:middle], left[middle:]):
                    if half:
                        self._send(channel, half, state, up=True)
            else:
                self.faults.append(f"{len(due)} alerts wait: {error}")
            return False
        self.faults += [fault] if fault else []
        self.sent += len(due)
        for one in due:
            one.channels.remove(channel.name)
        return True

    def _refused(
        self,
        channel: Channel,
        one: Waiting,
        state: AlertState,
        error: AlertNotSent,
        to_blame: bool,
    ) -> None:
        """Count a refusal where it is the alert's; give the alert up after the last try."""
        if not to_blame:
            self.faults.append(f"1 alerts wait: {error}")
            return
        name = channel.name
        tries = one.refused[name] = one.refused.get(name, 0) + 1
        where = one.alert["where"]
        if tries < _TRIES:
            self.faults.append(
                f"{name} refused the alert of {where} ({tries} of {_TRIES} tries): {error}"
            )
            return
        one.channels.remove(name)
        self.faults.append(
            f"The alert of {where} is given up: {name} refused it {tries} times. {error}"
        )
        if not one.alert["key"].startswith(_GIVEN_UP):
            stands_for = Alert(
                f"{_GIVEN_UP}{one.alert['key']}",
                f"An alert was given up: {name} refused it {tries} times.",
                "the alert sensor",
                "Its ticks in Dagster, under Automation, name the alert.",
            )
            state.waiting.append(Waiting(alert=asdict(stands_for), channels=[name]))
