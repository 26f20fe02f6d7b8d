"""Whether an e-mail goes out: suspension, lists, caps. Mail that does not go out fails no run.

Facts: PostHog's email service and its rate limit. Mail over a cap waits and its run stays
`running`; suspended, suppressed and opted-out mail is lost and its run goes on. A suppressed
address in to, cc or bcc stops the mail for all of them. The senders see changes of the lists late.
Caps are token buckets with a steady refill, charged per address.
"""

from bisect import insort
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from hog_dagster.sandbox.world._analytics_model import Event
from hog_dagster.sandbox.world._messaging_model import OUT, Bucket, MailState
from hog_dagster.sandbox.world._model import Run
from hog_dagster.sandbox.world._steps import addresses, category_of
from hog_dagster.sandbox.world._stores import Stores

V = TypeVar("V")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_SUSPENDED = (
    "Skipping send: email sending is suspended for this project. Contact support to get sending "
    "re-enabled."
)
_PROVIDER = (
    "Skipping send: our email provider paused sending for this project. Check the Reputation tab "
    "to see what to fix."
)


class Held(NamedTuple):
    """Why a mail does not go out now."""

    #: Of the line in the run's log; no text for none.
    level: str
    text: str
    #: What is counted; empty for nothing.
    metric: str = ""
    #: When it is tried again; None: never, the run goes on without it.
    until: datetime | None = None


def mail_is_held(
    world: Stores, run: Run, step: dict[str, Any], to: str, at: datetime
) -> Held | None:
    """What keeps an e-mail of a step from going out; None when it goes."""
    mail, reached = world.mail, addresses(step, to)
    if _opted_out(mail, step, to, at):
        return Held("INFO", "Recipient has opted out, skipping message delivery.")
    suspended = _as_seen(mail.suspended, at - timedelta(seconds=mail.suspension_lag), None)
    if suspended is not None:
        return Held("WARN", _SUSPENDED, "email_suspended")
    if mail.provider_paused:
        return Held("WARN", _PROVIDER, "email_suspended")
    if run.workflow_id in mail.paused:
        return Held("INFO", "")  # What PostHog writes here is not known.
    seen = at - timedelta(seconds=mail.cache_lag)
    stopped = [one for one in reached if _suppressed(mail, one, seen)]
    if stopped:
        text = f"Skipping send: recipient(s) on the suppression list — {', '.join(stopped)}"
        return Held("INFO", text, "email_suppressed")
    for one in reached:
        domain = one.rpartition("@")[2]
        if "@" not in one:
            text = f'Skipping send: "{one}" is not a valid email address, so it would hard bounce.'
            return Held("INFO", text, "email_bounce_prevented")
        if domain in mail.unreachable_domains:
            text = (
                f'Skipping send: the domain "{domain}" has no reachable mail servers, so this '
                "message would hard bounce."
            )
            return Held("INFO", text, "email_bounce_prevented")
    return _over_the_cap(mail, run, len(reached), at)


def _opted_out(mail: MailState, step: dict[str, Any], to: str, at: datetime) -> bool:
    wanted = mail.preferences.get(to)
    if wanted is None:
        return False
    category = mail.categories.get(category_of(step))
    if category is not None and category.category_type == "transactional":
        return False
    held = _as_seen(wanted.history, at - timedelta(seconds=mail.cache_lag), {})
    return held.get("$all") == OUT or (category is not None and held.get(category.id) == OUT)


def _suppressed(mail: MailState, address: str, seen: datetime) -> bool:
    row = mail.suppressions.get(address.strip().lower())
    return row is not None and mail.suppressions_enforced and _as_seen(row.history, seen, False)


def _as_seen(history: Sequence[tuple[datetime, V]], at: datetime, before: V) -> V:
    """The value of a history at a moment."""
    return next((value for since, value in reversed(history) if since <= at), before)


def _over_the_cap(mail: MailState, run: Run, number: int, at: datetime) -> Held | None:
    """The wait for a slot; None when the mail passes, which it does in its slot."""
    if run.mail_slot is not None and run.mail_slot <= at:
        run.mail_slot = None
        _hand(mail, number, at)
        return None
    if mail.enforced:
        caps = mail.caps
        mail.hour = _refilled(mail.hour, caps.hour, HOUR, at)
        mail.day = _refilled(mail.day, caps.day, DAY, at)
        waits = {
            (caps.hour, "hour"): (number - mail.hour.tokens) * HOUR / caps.hour,
            (caps.day, "day"): (number - mail.day.tokens) * DAY / caps.day,
        }
        (cap, period), longest = max(waits.items(), key=lambda item: item[1])
        if longest > timedelta():
            wait = min(longest, HOUR)
            if longest <= HOUR:
                mail.hour.tokens -= number
                mail.day.tokens -= number
                run.mail_slot = at + wait
            text = (
                f"This project reached its email sending limit of {cap:,} emails per {period}. "
                f"Retrying this email in {max(1, round(wait.total_seconds()))}s. The limit rises "
                "as the project builds a clean sending history."
            )
            return Held("INFO", text, until=at + wait)
        mail.hour.tokens -= number
        mail.day.tokens -= number
    _hand(mail, number, at)
    return None


def _refilled(bucket: Bucket | None, cap: int, period: timedelta, at: datetime) -> Bucket:
    if bucket is None:
        return Bucket(tokens=float(cap), at=at)
    grown = bucket.tokens + cap * max((at - bucket.at) / period, 0.0)
    return Bucket(tokens=min(float(cap), grown), at=max(at, bucket.at))


def _hand(mail: MailState, number: int, at: datetime) -> None:
    mail.handed.append((at, number))
    if mail.handed[0][0] < at - 2 * DAY:
        mail.handed = [one for one in mail.handed if one[0] >= at - DAY]


def capture_email_event(
    world: Stores, name: str, at: datetime, distinct_id: str, person_id: str, **about: Any
) -> Event | None:
    """Write an event, `sent` say, if the project captures them.

    It names workflow, step and address, not the run; call-backs of the provider come late, in any
    order and, for opens, many times; also for mail of before, once it is on.
    """
    if not world.mail.capture_events:
        return None
    event = Event(
        uuid=world.ids.event(),
        event=f"$workflows_email_{name}",
        timestamp=at,
        distinct_id=distinct_id,
        person_id=person_id,
        properties={f"${key}": value for key, value in about.items()},
    )
    insort(world.events, event, key=lambda one: (one.timestamp, one.event, one.uuid))
    return event
