"""What is loaded of messages, and what of the people who got them.

Facts: sent messages, suppressions and opt-outs name people by their e-mail addresses.
"""

from typing import Literal

from hog_dagster.policies._values import Record

__all__ = ["MessagingPolicy", "RecipientPolicy"]

#: ``hash``: an address is loaded as a hash, the same in all tables of a project; ``keep``: as it
#: is, beside the hash; ``drop``: not at all.
RecipientPolicy = Literal["hash", "keep", "drop"]


class MessagingPolicy(Record):
    """What is loaded of messages, and of whom they reached."""

    recipients: RecipientPolicy = "hash"
    """What becomes of people's addresses: hash loads a hash that is the same in all tables of the
    project, keep the address too, drop neither."""
    sent_messages: bool = True
    """Whether sent messages are loaded (scope person:read)."""
    lists: bool = True
    """Whether suppressions, opt-outs and categories are loaded."""
    reputation: bool = True
    """Whether a row a day tells how e-mail is received."""
    batch_results: bool = True
    """Whether a row per batch job tells whom it reached, and why not the others."""
    events: bool = False
    """Whether events about e-mails are loaded: delivered, opened, bounced, ... (scope query:read).
    PostHog captures none until the project has capture_workflows_engagement_events on."""
    activity: bool = True
    """Whether changes of workflows are loaded, and who made them (scope activity_log:read)."""
