"""A client for PostHog's API: Workflows, hog functions, groups and insights.

Knows HTTP and PostHog, nothing of Dagster or databases; a script or a notebook uses it alone.
"""

from hog_dagster.posthog import errors as errors
from hog_dagster.posthog import models as models
from hog_dagster.posthog._rate_limit.events import RateLimitEvent as RateLimitEvent
from hog_dagster.posthog._rate_limit.limiter import LIMITS as LIMITS
from hog_dagster.posthog._rate_limit.limiter import Rate as Rate
from hog_dagster.posthog.client import PostHogClient as PostHogClient
from hog_dagster.posthog.listing import Listing as Listing
from hog_dagster.posthog.listing import to_frame as to_frame
from hog_dagster.posthog.transport import Timeouts as Timeouts

__all__ = [
    "LIMITS",
    "Listing",
    "PostHogClient",
    "Rate",
    "RateLimitEvent",
    "Timeouts",
    "errors",
    "models",
    "to_frame",
]
