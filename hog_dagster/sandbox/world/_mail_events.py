"""Events that PostHog captures about e-mails of workflows, where the project has switched it on.

Facts: an event names workflow, step and address, not the run; call-backs of the provider come late,
in any order and, for opens, many times; also for mail of before, once it is on.
"""

from bisect import insort
from datetime import datetime
from typing import Any

from hog_dagster.sandbox.world._analytics_model import Event
from hog_dagster.sandbox.world._stores import Stores

__all__ = ["capture_email_event"]


def capture_email_event(
    world: Stores, name: str, at: datetime, distinct_id: str, person_id: str, **about: Any
) -> Event | None:
    """Write an event, `sent` say, if the project captures them.

    Args:
        world: the project.
        name: without its prefix.
        at: when.
        distinct_id: of the event that started the run, or the person's id.
        person_id: the person.
        about: workflow_id, workflow_action_id, email_to, email_subject, link_url.
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
