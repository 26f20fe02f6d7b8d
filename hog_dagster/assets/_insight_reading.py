"""Reading the results of many insights, a few at a time; one that fails is a failure of its own.

Facts: PostHog runs few queries of one project at once and answers `concurrency_limit_exceeded`
beyond that, so more workers than a few gain nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from logging import Logger
from typing import Any, Self

from hog_dagster.assets._concurrency import interleave
from hog_dagster.lineage import InsightSelection
from hog_dagster.posthog import PostHogClient, TidyRows, errors
from hog_dagster.posthog.models import Insight

__all__ = ["Reading", "read_insights"]

_WORKERS = 3
#: Faults that may be over when the whole is tried again.
_PASSING = (errors.ServerError, errors.TransportError, errors.Throttled)
#: What no other insight would fare better with.
_FATAL = (errors.AuthenticationError, errors.PermissionDenied, errors.ConfigurationError)


@dataclass(frozen=True)
class Reading:
    """One insight as it was read: its tidy rows, or the error that stands in their place."""

    insight: Insight
    tidy: TidyRows | None = None
    error: Exception | None = None

    @property
    def kind(self) -> str:
        return self.tidy.kind if self.tidy else self.insight.kind

    @property
    def name(self) -> str:
        return f"{self.insight.title} ({self.insight.short_id or self.insight.id})"

    @property
    def computed_at(self) -> datetime | None:
        return self.insight.last_refresh

    def failed(self, error: Exception) -> Self:
        """The same reading, but for the error that its loading met."""
        return replace(self, tidy=None, error=error)


def read_insights(
    client: PostHogClient,
    chosen: Sequence[tuple[Insight, InsightSelection]],
    *,
    workers: int = _WORKERS,
    log: Logger | Any,
) -> list[Reading]:
    """The results of the chosen insights in their order, as fresh as their selections ask; three at
    most are read at the same time."""
    zone = _ProjectZone(client)

    def read(one: tuple[Insight, InsightSelection]) -> Iterable[Reading]:
        insight, selection = one
        try:
            found = client.insights.result(
                insight.id, refresh=selection.refresh, timeout=selection.timeout
            )
            timezone = None if found.timezone else zone.name()
            yield Reading(found, tidy=found.tidy_rows(timezone=timezone))
        except _FATAL:
            raise
        except errors.PostHogError as error:
            log.warning(f"insight {insight.title} ({insight.short_id}) was not read: {error}")
            yield Reading(insight, error=error)

    found = {
        reading.insight.id: reading
        for reading in interleave(chosen, read, workers=min(workers, _WORKERS))
    }
    readings = [found[insight.id] for insight, _ in chosen]
    failed = [reading.error for reading in readings if reading.error]
    if failed and len(failed) == len(readings) and all(map(_passing, failed)):
        raise failed[0]
    return readings


def _passing(error: Exception | None) -> bool:
    return isinstance(error, _PASSING) and not error.permanent


class _ProjectZone:
    """The project's time zone, asked for when the first response lacks it."""

    def __init__(self, client: PostHogClient) -> None:
        self._client, self._name, self._asked = client, None, False

    def name(self) -> str | None:
        if not self._asked:
            self._asked = True
            try:
                self._name = self._client.server.project().timezone
            except errors.PostHogError:
                # Without the scope project:read the buckets keep their local time alone.
                self._name = None
        return self._name
