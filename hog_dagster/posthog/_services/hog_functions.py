"""The ``hog_functions`` service: PostHog's hog functions, their templates, logs and metrics.

Facts: PostHog's hog_function viewsets of 2025-08 to mid 2026 and a running server's responses. Runs
are in :mod:`hog_function_runs`, drafts and revisions in :mod:`hog_function_drafts`; the service is
all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from json import dumps
from typing import Any
from uuid import UUID

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import hog_functions as endpoints
from hog_dagster.posthog._listing import listed
from hog_dagster.posthog._pagination.windows import written
from hog_dagster.posthog._services.base import Service, read
from hog_dagster.posthog._services.fields import joined
from hog_dagster.posthog._services.hog_function_drafts import HogFunctionDrafts, said_not_found
from hog_dagster.posthog._services.hog_function_inputs import (
    checked_inputs,
    merged_inputs,
    secret_names,
)
from hog_dagster.posthog._services.hog_function_runs import HogFunctionRuns
from hog_dagster.posthog._services.logs import LogPage, LogReader, R, SourceLogs
from hog_dagster.posthog._services.metrics import SourceMetrics
from hog_dagster.posthog._services.run_states import RunStates
from hog_dagster.posthog._services.source_runs import SourceRuns

#: Rows per page, PostHog's own default; and where such a page takes longer than a proxy waits:
#: PostHog asks its worker for the state of each enabled function of a page, one after the other.
LIST_PAGE, SHORT_PAGE = 100, 50
TEMPLATES_PAGE = 100
_MERGES = 3
_HIGHEST_ORDER = 32_767


class HogFunctionCatalog(Service):
    """Hog functions themselves: list, read, create, change, delete, order; and their templates."""

    _noun = "hog functions"

    def _every(self) -> Iterable[models.HogFunction]:
        return self.list()

    @listed("hog functions", models.HogFunction)
    def list(
        self,
        *,
        type: str | Iterable[str] | None = None,
        enabled: bool | None = None,
        search: str | None = None,
        created_by: int | None = None,
        filters: Mapping[str, Any] | None = None,
        filter_groups: Iterable[Mapping[str, Any]] | None = None,
        full: bool = False,
    ) -> Iterator[models.HogFunction]:
        """Every hog function of the project, lazily: GET .../hog_functions/.

        Scope hog_function:read. One request per 100. By execution order, then newest change first,
        so rows move while the list is read; none is lost and none repeated. Deleted functions are
        never listed. Rows leave out inputs, mappings and masking: see ``full``, or :meth:`get`.

        Args:
            type: only these: destination, transformation, site_app, ...; default all.
            enabled: only those switched on, or off.
            search: words of name or description; newer servers also find what is similar, best
                first, and refuse more than 200 characters.
            created_by: id of a user (an integer).
            filters: only functions whose filters contain this, such as
                ``{"events": [{"id": "$pageview"}]}``.
            filter_groups: the same for several, any of which may match.
            full: rows with inputs, mappings and masking (newer servers; older ones ignore it).
        """
        params = {
            "type": joined(type),
            "enabled": None if enabled is None else str(enabled).lower(),
            "search": search,
            "created_by": created_by,
            "filters": None if filters is None else dumps(dict(filters)),
            "filter_groups": None
            if filter_groups is None
            else dumps([dict(group) for group in filter_groups]),
            "full": "true" if full else None,
        }
        return self._listed(params)

    def _listed(self, params: Mapping[str, Any]) -> Iterator[models.HogFunction]:
        """The rows of the list once, in shorter pages from where a page takes too long."""
        seen: set[str] = set()
        for size in (LIST_PAGE, SHORT_PAGE):
            try:
                for row in self._paged(
                    models.HogFunction, endpoints.LIST, params=params, limit=size
                ):
                    if row.id not in seen:
                        seen.add(row.id)
                        yield row
                return
            except (errors.ServerError, errors.TransportError):
                if size == SHORT_PAGE:
                    raise

    def get(self, id: str) -> models.HogFunction:
        """One hog function, inputs included: GET .../hog_functions/{id}/.

        Scope hog_function:read. Secrets read as ``{"secret": True}``.

        Args:
            id: its id, or its name; a name costs a request per 100 functions more.

        Raises:
            NotFound: there is none with that id or name in the project, it was deleted, or several
                have the name.
        """
        return self._one(models.HogFunction, endpoints.GET, {"id": id})

    def create(self, body: Mapping[str, Any]) -> models.HogFunction:
        """Make a hog function: POST .../hog_functions/, scope hog_function:write. Sent once.

        Nothing keeps two from having the same name: look with ``list(search=...)`` before you
        send it again.

        Args:
            body: ``template_id`` or ``hog`` is required; ``type`` (default destination, fixed for
                life), ``name``, ``inputs`` (``{"url": {"value": "https://..."}}``),
                ``inputs_schema``, ``filters``, ``enabled`` (default False), ``mappings``,
                ``masking``, ``execution_order``, ... are not.

        Raises:
            ValueError: an input is a bare value.
            InvalidRequest: PostHog refuses it; ``attr`` names the place, ``inputs__url``.
            OutcomeUnknown: no response came: look for it in the list before sending it again.
        """
        return self._one(models.HogFunction, endpoints.CREATE, body=_checked(body))

    def update(self, id: str, changes: Mapping[str, Any]) -> models.HogFunction:
        """Change a hog function: PATCH .../hog_functions/{id}/, scope hog_function:write.

        PostHog blanks every input that is left out. So when ``inputs`` are among the changes the
        function is read first and those not named are sent along, secrets as a marker that keeps
        them. On newer servers a change by somebody else between the two is noticed, and both are
        done again.

        PostHog checks what is stored, too: a new name can be refused because of an old input.

        Args:
            id: the function.
            changes: fields and their new values. ``inputs`` holds only those to change:
                ``{"url": {"value": ...}}``; None empties one. ``base_updated_at``, the
                ``updated_at`` that was read, makes newer servers refuse the change if somebody
                else came first; older ones ignore it. ``filters``, ``mappings``, ``masking`` and
                ``inputs_schema`` are replaced whole.

        Returns:
            The function as it is now. A ``draft`` that is not None is staged, not live.

        Raises:
            Conflict: ``base_updated_at`` is stale, or inputs were changed three times meanwhile.
            InvalidRequest: PostHog refuses a value; ``attr`` names it.
            NotFound: there is none with that id, or it was deleted: see :meth:`restore`.
            ValueError: an input is a bare value.
        """
        body = {name: value for name, value in changes.items() if name != "inputs"}
        based = isinstance(changes.get("base_updated_at"), (str, datetime))
        if based:
            body["base_updated_at"] = written("base_updated_at", body["base_updated_at"])
        if changes.get("inputs") is None:
            return self._patch(id, body, retry=not based)
        wanted = changes["inputs"]
        checked_inputs(wanted)
        for attempt in range(1, _MERGES + 1):
            stored = self.get(id)
            schema = body.get("inputs_schema") or stored.inputs_schema
            body["inputs"] = merged_inputs(stored.inputs, wanted, secret_names(schema))
            if not based and stored.updated_at is not None:
                body["base_updated_at"] = written("base_updated_at", stored.updated_at)
            try:
                return self._patch(id, body, retry=not based)
            except errors.Conflict as error:
                if based or error.code != "stale_update" or attempt == _MERGES:
                    raise
        raise AssertionError("unreachable")

    def _patch(self, id: str, body: Mapping[str, Any], *, retry: bool) -> models.HogFunction:
        return self._one(models.HogFunction, endpoints.UPDATE, {"id": id}, body=body, retry=retry)

    def replace(self, id: str, body: Mapping[str, Any]) -> models.HogFunction:
        """Set a whole hog function: PUT .../hog_functions/{id}/, hog_function:write. Sent once.

        Inputs that are left out are blanked; ``{"secret": True}`` keeps a secret.

        Args:
            id: the function.
            body: as for :meth:`create`.
        """
        return self._one(models.HogFunction, endpoints.REPLACE, {"id": id}, body=_checked(body))

    def delete(self, id: str) -> bool:
        """Delete a hog function: PATCH .../hog_functions/{id}/ with ``deleted``. Idempotent.

        Scope hog_function:write. PostHog has no hard delete of functions: :meth:`restore` brings
        it back.

        Returns:
            True when it was deleted now; False when there was none: deleted before, or never made.
        """
        try:
            self._send(endpoints.DELETE, {"id": id}, body={"deleted": True})
        except errors.NotFound as error:
            if not said_not_found(error):
                raise
            return False
        return True

    def restore(self, id: str) -> models.HogFunction:
        """Bring a deleted hog function back: PATCH .../hog_functions/{id}/, hog_function:write.

        It is switched on if it was when deleted. A transformation moves to the end of the order.

        Raises:
            NotFound: there never was one with that id in the project.
        """
        return self._one(models.HogFunction, endpoints.RESTORE, {"id": id}, body={"deleted": False})

    def templates(
        self, *, types: str | Iterable[str] | None = None, template_id: str | None = None
    ) -> Iterator[models.HogFunctionTemplate]:
        """What functions can be made from, lazily: GET .../hog_function_templates/.

        Scope hog_function:read. One request per 100. Deprecated ones are left out.

        Args:
            types: only these; default destination.
            template_id: only this one.
        """
        params = {"types": joined(types), "template_id": template_id}
        return self._paged(
            models.HogFunctionTemplate, endpoints.TEMPLATES, params=params, limit=TEMPLATES_PAGE
        )

    def template(self, template_id: str) -> models.HogFunctionTemplate:
        """One template, deprecated or not: GET .../hog_function_templates/{template_id}/.

        Scope hog_function:read.
        """
        return self._one(
            models.HogFunctionTemplate, endpoints.TEMPLATE, {"template_id": template_id}
        )


class HogFunctions(
    HogFunctionCatalog,
    HogFunctionRuns,
    HogFunctionDrafts,
    SourceRuns,
    RunStates,
    SourceLogs,
    SourceMetrics,
):
    """All that PostHog's API offers for hog functions: ``client.hog_functions``."""

    _NOUN = "hog function"
    _KIND = "hog_function"
    _RESULTS = endpoints.INVOCATION_RESULTS
    _RESULT = endpoints.INVOCATION_RESULT
    _COUNT = endpoints.INVOCATION_RESULTS_COUNT
    _RERUN = endpoints.RERUN
    _LOGS = endpoints.LOGS
    _METRICS = endpoints.METRICS
    _METRIC_TOTALS = endpoints.METRIC_TOTALS

    def _log_pages(
        self, reader: LogReader[R], after: datetime, before: datetime
    ) -> Iterator[LogPage[R]]:
        found = super()._log_pages(reader, after, before)
        return found if reader.search is None else self._searched(found, reader, after, before)

    def _searched(
        self,
        found: Iterator[LogPage[R]],
        reader: LogReader[R],
        after: datetime,
        before: datetime,
    ) -> Iterator[LogPage[R]]:
        """Rows with the text. A server whose list filter takes ``search`` for its own answers 404
        to it: there all rows are read and the text is looked for here."""
        if "search refused" not in self._facts:
            try:
                yield from found
                return
            except errors.NotFound as error:
                if not said_not_found(error):
                    raise
        like, reader.search = _like(reader.search or ""), None
        for page in reader.read(after, before):
            # It has rows, so it was the search that was not found.
            self._facts["search refused"] = True
            yield LogPage([row for row in page.rows if like(row.message)])

    def rearrange(self, orders: Mapping[str, int]) -> list[models.HogFunction]:
        """Set the order of transformations: PATCH .../hog_functions/rearrange/. All or nothing.

        Scope hog_function:write; docs-era servers refuse scoped keys.

        Args:
            orders: ids or names, and their new ``execution_order``, 0 to 32,767; lower runs first.
                Those not named keep theirs. One type per call.

        Returns:
            All functions of that type, in their new order.

        Raises:
            ValueError: nothing to order, an id that is no UUID, or an order out of range: PostHog
                answers 500 to those.
            InvalidRequest: an id is no transformation of the project.
        """
        chosen = {_uuid(self._id(id)): _order(id, order) for id, order in orders.items()}
        if not chosen:
            raise ValueError("rearrange: no orders are given")
        return self._many(models.HogFunction, endpoints.REARRANGE, body={"orders": chosen})

    def icons(self, query: str) -> list[models.HogFunctionIcon]:
        """Icons of services by name: GET .../hog_functions/icons/. Empty without a logo service.

        Raises:
            NotOpenToKeys: a key with scopes, on every server.
        """
        return self._many(models.HogFunctionIcon, endpoints.ICONS, params={"query": query})

    def icon(self, id: str) -> models.HogFunctionIconImage:
        """An icon as an image: GET .../hog_functions/icon/.

        Args:
            id: of :meth:`icons`, such as ``slack.com``.

        Raises:
            NotOpenToKeys: a key with scopes, on every server.
            NotFound: there is no such icon.
        """
        response = self._send(endpoints.ICON, params={"id": id})
        if response.is_html:
            read(response)
        return models.HogFunctionIconImage(
            content=response.content, media_type=response.headers.get("content-type")
        )


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    written = dict(body)
    if written.get("inputs") is not None:
        written["inputs"] = checked_inputs(written["inputs"])
    return written


def _uuid(id: str) -> str:
    try:
        return str(UUID(str(id)))
    except ValueError:
        raise ValueError(f"rearrange: {id!r} is no id of a hog function (a UUID)") from None


def _order(id: str, order: object) -> int:
    if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order <= _HIGHEST_ORDER:
        raise ValueError(
            f"rearrange: the order of {id} is {order!r}; give a whole number from 0 to 32,767"
        )
    return order


def _like(search: str) -> Callable[[str], bool]:
    """Whether a text matches as PostHog's search does: anywhere, any case, % and _ wild."""
    wild = {"%": ".*", "_": "."}
    pattern = "".join(wild.get(letter, re.escape(letter)) for letter in search)
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda text: compiled.search(text) is not None
