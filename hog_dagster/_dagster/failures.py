"""Turns errors into what Dagster should do: fail for good, or let a retry policy try again.

The Dagster rule: `Failure(allow_retries=False)` skips every op retry policy; anything else is
retried by whatever policy the user attached.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from hog_dagster._shared.secrets import mask_text
from hog_dagster.posthog import errors as posthog_errors
from hog_dagster.warehouse import errors as warehouse_errors
from hog_dagster.warehouse.errors import without_values


@contextmanager
def dagster_failures() -> Iterator[None]:
    """Raise permanent PostHog and warehouse errors as `dagster.Failure(allow_retries=False)`.

    Transient ones (5xx, no connection, throttled beyond `max_wait`, a busy warehouse) pass through
    as they are, so that a retry policy sees them.

    Raises:
        dagster.Failure: a permanent error, with PostHog's response as metadata (never a key).
    """
    try:
        yield
    except posthog_errors.PostHogError as error:
        if not error.permanent:
            raise
        raise failure_of(error) from error
    except warehouse_errors.WarehouseError as error:
        if error.retryable:
            raise
        raise failure_of(error) from None
    except ValueError as error:
        # Its own text is not kept as the cause: Arrow, pydantic and codecs quote the value.
        raise failure_of(error).with_traceback(error.__traceback__) from None


def final(text: str, metadata: Mapping[str, Any] | None = None) -> dg.Failure:
    """A failure that no retry policy tries again."""
    return dg.Failure(text, metadata=metadata, allow_retries=False)


# What Python says of a value it cannot read.
_OF_PYTHON = re.compile(r"Invalid isoformat|invalid literal|could not convert|time data ")


def _said(error: Exception) -> str:
    """The text of an error without secrets, and without a value where it is not ours."""
    text = str(error)
    if isinstance(error, ValueError):
        ours = type(error).__module__.partition(".")[0] == "hog_dagster"
        if not ours and type(error) is not ValueError:
            text = f"{type(error).__name__}: {without_values(text)}"
        elif _OF_PYTHON.match(text):
            text = without_values(text)
    return mask_text(text)


def failure_of(error: Exception) -> dg.Failure:
    """The permanent failure that stands for `error`, its PostHog fields as metadata."""
    metadata: dict[str, dg.MetadataValue] = {"error": dg.MetadataValue.text(type(error).__name__)}
    for name in ("status", "code", "detail", "attr", "method", "url", "scope"):
        value = getattr(error, name, None)
        if value not in (None, ""):
            metadata[name] = (
                dg.MetadataValue.int(value)
                if isinstance(value, int)
                else dg.MetadataValue.text(str(value))
            )
    return final(_said(error), metadata)
