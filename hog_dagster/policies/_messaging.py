"""What is loaded of messages, and what of the people who got them.

Facts: sent messages, suppressions and opt-outs name people by their e-mail addresses.
"""

from typing import Literal

from hog_dagster.policies._values import Record

#: ``hash``: an address is loaded as a hash, the same in all tables of a project; ``keep``: as it
#: is, beside the hash; ``drop``: not at all.
RecipientPolicy = Literal["hash", "keep", "drop"]


class MessagingPolicy(Record):
    """What is loaded of messages, and of whom they reached."""

    recipients: RecipientPolicy = "hash"
    """How to treat people's addresses. hash: load a hash, the same in all tables of the project.
    keep: load the address too. drop: load neither."""
    sent_messages: bool = True
    """Whether to load sent messages (scope person:read)."""
    lists: bool = True
    """Whether to load suppressions, opt-outs and categories."""
    reputation: bool = True
    """Whether to load the sending reputation, one row a day."""
    batch_results: bool = True
    """Whether to load one row per batch job: how many people it reached, and why it did not reach
    the others."""
    events: bool = False
    """Whether to load e-mail events: delivered, opened, bounced, ... (scope query:read). PostHog
    captures them only while capture_workflows_engagement_events is on in the project."""
    activity: bool = True
    """Whether to load the changes of workflows and who made them (scope activity_log:read)."""
