"""A log row as the fast reader decodes it: five columns as they come, nothing else."""

import msgspec

__all__ = ["LogRow"]


class LogRow(msgspec.Struct, gc=False):
    """One row of a list of logs; fields that PostHog adds are left out."""

    log_source_id: str
    instance_id: str
    timestamp: str
    level: str
    message: str
