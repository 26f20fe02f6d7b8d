"""The ``batch_exports`` and ``activity`` services: exports and the activity log, reading only.

Facts: PostHog's batch export and activity log viewsets. Both list by cursor, newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import project as endpoints
from hog_dagster.posthog._listing import by_id_or_name, listed
from hog_dagster.posthog._pagination.windows import aware, to_us, written
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.fields import names

#: Entries of a page of the activity log, at most.
_ENTRIES = 1_000


class BatchExports(Service):
    """Batch exports of the project, their runs and backfills: ``client.batch_exports``."""

    @listed("batch exports", models.BatchExport)
    def list(self) -> Iterator[models.BatchExport]:
        """Every batch export, newest first: GET .../batch_exports/, scope batch_export:read.

        One request per 500.
        """
        return self._paged(models.BatchExport, endpoints.EXPORTS)

    def get(self, id: str) -> models.BatchExport:
        """One batch export: GET .../batch_exports/{id}/, scope batch_export:read.

        Args:
            id: its id, or its name; a name costs a request per 500 exports more.

        Raises:
            NotFound: there is none with that id or name, or several with the name.
        """
        return by_id_or_name(
            id,
            lambda known: self._one(models.BatchExport, endpoints.EXPORT, {"id": known}),
            self.list,
            "batch exports",
        )

    def runs(
        self,
        id: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        status: str | Iterable[str] | None = None,
    ) -> Iterator[models.BatchExportRun]:
        """Runs of a batch export, newest first: GET .../batch_exports/{id}/runs/.

        Scope batch_export:read. One request per 100. Of one interval the run that was made last
        counts.

        Args:
            id: the batch export.
            after: made then or later, with a time zone; default 7 days ago.
            before: made then or earlier; default the present.
            status: only these: Completed, Failed, ...

        Raises:
            NotFound: there is no such batch export.
            IncompleteList: PostHog hides runs that were made at one moment; the others came.
        """
        params = {
            "after": written("after", after),
            "before": written("before", before),
            "status": names(status) or None,
        }
        runs, which = endpoints.EXPORT_RUNS, {"id": id}
        return self._by_cursor(models.BatchExportRun, runs, which, params=params)

    def backfills(self, id: str) -> Iterator[models.BatchExportBackfill]:
        """Backfills of a batch export, newest first: GET .../batch_exports/{id}/backfills/.

        Scope batch_export:read. One request per 50.

        Raises:
            NotFound: there is no such batch export.
        """
        return self._by_cursor(models.BatchExportBackfill, endpoints.BACKFILLS, {"id": id})


class Activity(Service):
    """Who changed what in the project: ``client.activity``."""

    @listed("entries", models.ActivityEntry)
    def list(
        self,
        *,
        scopes: str | Iterable[str] = "HogFlow",
        item_id: str | None = None,
        after: datetime | None = None,
    ) -> Iterator[models.ActivityEntry]:
        """Entries of the activity log, newest first: GET .../activity_log/.

        Scope activity_log:read. One request per 1,000. PostHog looks back as far as the plan
        allows. Batch jobs, runs, reruns, suppressions and opt-outs leave no entry, and an entry
        that PostHog could not write is missing: that there is none proves nothing.

        Args:
            scopes: kinds of things, ``HogFlow`` for workflows.
            item_id: of this thing only.
            after: written then or later, with a time zone.

        Raises:
            PermissionDenied: the plan has no activity log, or the server refuses it to keys.
            EndpointMissing: a server without it.
            IncompleteList: PostHog hides entries of one moment; the others came.
        """
        since = None if after is None else to_us(aware("after", after))
        named = names(scopes)
        name = "scope" if len(named) == 1 else "scopes"
        params = {name: ",".join(named), "item_id": item_id, "page_size": _ENTRIES}
        for entry in self._by_cursor(models.ActivityEntry, endpoints.ACTIVITY, params=params):
            if since is not None and to_us(entry.created_at) < since:
                return
            yield entry
