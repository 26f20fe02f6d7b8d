"""The ``insights`` service: the catalog by light rows, results one at a time, waiting included.

Facts: PostHog's insight and query viewsets and a running server's responses. A list computes every
row of a page when asked to refresh, so lists here never do; a calculation is polled at the query
endpoint, whose rows live elsewhere than an insight's, so the insight is read again at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from json import dumps
from typing import Any

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import insights as endpoints
from hog_dagster.posthog._listing import by_name, listed
from hog_dagster.posthog._pagination.windows import aware
from hog_dagster.posthog._retry import CallLimits
from hog_dagster.posthog._services.base import Service, malformed, read, shaped
from hog_dagster.posthog._transport.transport import Transport

logger = logging.getLogger("hog_dagster.posthog")

#: What ``refresh`` may be. PostHog reads anything else as force_cache, without a word.
REFRESH_MODES = (
    "force_cache",
    "blocking",
    "async",
    "lazy_async",
    "force_blocking",
    "force_async",
    "async_except_on_cache_miss",
)
_BLOCKING = ("blocking", "force_blocking", "async_except_on_cache_miss")
_GROWTH, _LONGEST_WAITS = 1.5, 10
#: Whoever gives up does not want to wait for the rate limit either.
_CANCELLING = CallLimits(max_wait=5.0)
# The server's Date header is in whole seconds, so the clocks may seem that much apart.
_CLOCK_GRAIN = timedelta(seconds=2)


class Insights(Service):
    """Insights of the project and their results. Throttled apart: 240 a minute, 1,200 an hour."""

    def __init__(self, transport: Transport, project_id: int) -> None:
        super().__init__(transport, project_id)
        self._numbers: dict[str, int] = {}

    @listed("insights", models.Insight)
    def list(
        self,
        *,
        search: str | None = None,
        saved: bool | None = None,
        favorited: bool | None = None,
        insight: str | None = None,
        short_id: str | None = None,
        tags: Iterable[str] | None = None,
        dashboards: Iterable[int] | None = None,
        created_by: int | str | None = None,
        date_from: datetime | str | None = None,
        date_to: datetime | str | None = None,
        order: str = "id",
        basic: bool = True,
    ) -> Iterator[models.Insight]:
        """Every insight of the project that is not deleted, lazily: GET .../insights/.

        Scope insight:read. One request per 500 insights; rows carry no result (``get`` and
        ``result`` read one). Rows that move while the list is read are neither lost nor repeated.

        Args:
            search: text in name, description or tags; newer servers find similar text too.
            saved: True for saved insights and those on a dashboard, False for the others.
            favorited: only favourites, or only the others.
            insight: TRENDS, FUNNELS, RETENTION, PATHS, STICKINESS, LIFECYCLE, JSON or SQL.
            short_id: the one with this short id.
            tags: with any of these tags.
            dashboards: on all of these dashboards.
            created_by: user id, UUID or e-mail of its maker; compared here, since servers
                disagree on how to be asked.
            date_from: modified after this moment (exclusive); aware, or PostHog's ``-7d``.
            date_to: modified before this moment (exclusive).
            order: the field to order by; PostHog's own default repeats and loses rows.
            basic: False for whole rows, with whatever result is cached.

        Raises:
            ValueError: a moment has no time zone.
        """
        wanted_tags, wanted_boards = [*(tags or ())], [*(dashboards or ())]
        params = {
            "basic": "true" if basic else None,
            "order": order,
            "search": search,
            "saved": None if saved is None else str(saved).lower(),
            "favorited": "true" if favorited else None,
            "insight": insight,
            "short_id": short_id,
            "tags": dumps(wanted_tags) if wanted_tags else None,
            "dashboards": dumps(wanted_boards) if wanted_boards else None,
            "date_from": _moment(date_from, "date_from"),
            "date_to": _moment(date_to, "date_to"),
        }
        rows = self._paged(models.Insight, endpoints.LIST, params=params)

        def chosen(row: models.Insight) -> bool:
            # Servers that do not know a filter ignore it.
            return (
                (created_by is None or _made_by(row, created_by))
                and (not wanted_tags or bool({*wanted_tags} & {*row.tags}))
                and (not wanted_boards or {*wanted_boards} <= {*row.dashboard_ids})
                and (favorited is None or bool(row.favorited) == favorited)
                and (short_id is None or row.short_id == short_id)
            )

        return (row for row in rows if chosen(row))

    def get(
        self, id: int | str, *, refresh: str | None = None, timeout: float | None = None
    ) -> models.Insight:
        """One insight with its result as PostHog has it: GET .../insights/{id}/.

        Scope insight:read. A short id costs one request more the first time: not every server
        finds an insight by it.

        Args:
            id: its number, its short id or its name; a name costs a request per 500 insights more.
            refresh: one of :data:`REFRESH_MODES`; None and ``force_cache`` compute nothing,
                ``blocking`` computes within the request unless the cache is fresh, ``async``
                only starts it.
            timeout: seconds the response may take, instead of the client's; blocking modes take as
                long as the query.

        Returns:
            The insight. ``result`` is None when PostHog has none: see ``state``.

        Raises:
            ValueError: there is no such refresh mode.
            NotFound: there is no such insight, or it was deleted.
            InvalidRequest: its query is wrong; ``detail`` says how.
            QueryTooLarge: its query takes too long or too much memory.
        """
        if refresh is not None and refresh not in REFRESH_MODES:
            raise ValueError(f"refresh={refresh!r}: give one of {', '.join(REFRESH_MODES)}")
        return self._one(
            models.Insight,
            endpoints.GET,
            {"id": self._number(id)},
            params={"refresh": refresh},
            timeout=timeout,
        )

    def result(
        self,
        id: int | str,
        *,
        refresh: str = "async",
        timeout: float = 300.0,
        cancel: bool = True,
        poll: float = 1.0,
    ) -> models.Insight:
        """One insight with a result, computed if need be; waits for it.

        Scope insight:read, and query:read for the asynchronous modes, which poll
        GET .../query/{query_id}/ at growing intervals. Never an insight without a result.

        Args:
            id: its number or its short id.
            refresh: ``async`` computes unless the cache is fresh, ``force_async`` always,
                ``lazy_async`` when it is rather old, ``blocking`` and ``force_blocking`` the
                same within one request (of a query that fails there without a reason, the reason
                is asked for with ``async``), ``force_cache`` never.
            timeout: seconds to wait for the calculation.
            cancel: whether to cancel a calculation that this call started when the wait ends
                without it, by time-out or interruption.
            poll: seconds to the first poll; the waits grow to ten times that.

        Raises:
            NoResult: there is none in the cache and ``refresh`` computes none (``state``
                not_cached), it failed without a word (failed), or it took longer than
                ``timeout`` (computing).
            InvalidRequest: the query is wrong; ``detail`` says how.
            QueryTooLarge: the query takes too long or too much memory.
            Throttled: PostHog computes too many queries at once just now.
        """
        asked_at = self._transport.local_clock.monotonic()
        deadline = asked_at + timeout
        number = self._number(id)
        patience = timeout if refresh in _BLOCKING else None
        try:
            insight = self.get(number, refresh=refresh, timeout=patience)
        except errors.ServerError as error:
            # Blocking modes answer 500 to a query that fails; the status of the same
            # calculation in the background says why it fails.
            if refresh not in _BLOCKING or error.status != 500:
                raise
            if timeout > (left := deadline - self._transport.local_clock.monotonic()) > 0:
                timeout = left
            try:
                instead = "force_async" if refresh == "force_blocking" else "async"
                return self.result(number, refresh=instead, timeout=timeout, cancel=cancel)
            except (errors.NoResult, errors.InvalidRequest, errors.QueryTooLarge) as reason:
                if not (reason.detail or getattr(reason, "state", "") == "computing"):
                    raise error from None
                raise
            except errors.PostHogError:
                raise error from None
        status = insight.query_status
        waits = refresh != "force_cache" or insight.result is None
        if waits and status is not None and status.running and status.id:
            mine = self._started_by_us(status, asked_at)
            done = self._until_done(insight, status, deadline, poll, cancel and mine)
            if done is None or not (done.error or done.error_message):
                insight = self.get(number, refresh="force_cache")
            insight = self._with_results(insight, done)
        if insight.state == "ready":
            return insight
        raise _without_result(insight)

    def _number(self, id: int | str) -> int:
        """The insight's number; a short id or a name is looked up once."""
        if isinstance(id, int):
            return id
        text = id.strip()
        if text.isascii() and text.isdigit():
            return int(text)
        if text not in self._numbers:
            found = next(self.list(short_id=text), None) if text else None
            if found is None and text:
                found = by_name(self.list(), text, "insights")
            if found is None:
                raise errors.NotFound(
                    "An insight has a number, a short id or a name: give one.", status=404
                )
            self._numbers[text] = found.id
        return self._numbers[text]

    def _until_done(
        self,
        insight: models.Insight,
        status: models.QueryStatus,
        deadline: float,
        poll: float,
        cancel: bool,
    ) -> models.QueryStatus | None:
        """The status of the finished calculation; None when PostHog has forgotten it."""
        assert status.id is not None
        wait = poll
        try:
            while True:
                left = deadline - self._transport.local_clock.monotonic()
                if left <= 0:
                    raise errors.NoResult(
                        f"insight {insight.short_id or insight.id} was not computed in time"
                        f"{' and its calculation is cancelled' if cancel else ''}: allow a longer "
                        "timeout, or narrow its query",
                        state="computing",
                    )
                self._transport.local_clock.sleep(min(wait, left))
                wait = min(wait * _GROWTH, poll * _LONGEST_WAITS)
                now = self._poll(status.id)
                if now is None or not now.running:
                    return now
        except (errors.InvalidRequest, errors.ServerError):
            raise  # The calculation is over: it failed.
        except BaseException:
            if cancel:
                self._cancel(status.id)
            raise

    def _poll(self, query_id: str) -> models.QueryStatus | None:
        try:
            response = self._send(endpoints.QUERY_STATUS, {"query_id": query_id})
        except errors.EndpointMissing:
            raise
        except errors.NotFound:
            return None
        body = read(response)
        if not isinstance(body, dict) or not isinstance(body.get("query_status"), dict):
            raise malformed(response, "it holds no query_status")
        return shaped(response, models.QueryStatus, body["query_status"])

    def _started_by_us(self, status: models.QueryStatus, asked_at: float) -> bool:
        """Whether the calculation began after our request: others' are not ours to cancel."""
        if status.start_time is None:
            return False
        return status.start_time >= self._transport.clock.middle(asked_at) - _CLOCK_GRAIN

    def _cancel(self, query_id: str) -> None:
        try:
            self._with_limits(_CANCELLING)._send(endpoints.CANCEL_QUERY, {"query_id": query_id})
        except errors.PostHogError as error:
            logger.info("The calculation %s could not be cancelled: %s", query_id, error)

    @staticmethod
    def _with_results(insight: models.Insight, done: models.QueryStatus | None) -> models.Insight:
        """The insight; its result from the calculation's own answer where the cache lost it."""
        response = done.results if done is not None else None
        if done is not None and not done.running and (done.error or done.error_message):
            return insight.model_copy(update={"query_status": done, "result": None})
        if insight.result is not None or not isinstance(response, dict):
            return insight
        if "results" not in response:
            return insight
        more = {
            **{name: response.get(name) for name in ("columns", "types", "timezone")},
            "result": response["results"],
            "has_more": response.get("hasMore"),
            "last_refresh": _instant(response.get("last_refresh")) or (done and done.end_time),
        }
        return insight.model_copy(update=more)


def _without_result(insight: models.Insight) -> errors.PostHogError:
    """The error for an insight that has no result, by what can be done about it."""
    status, state = insight.query_status, insight.state
    why = (status.error_message if status is not None else None) or ""
    about = f"insight {insight.short_id or insight.id}"
    if state == "failed" and "concurrency_limit" in why:
        return errors.Throttled(
            f"{about}: PostHog computes too many queries for this project at once; try again.",
            wait_s=10.0,
            detail=why,
        )
    if state == "failed":
        said = why.rstrip(".") or "without saying why"
        return errors.NoResult(f"{about} failed: {said}.", state=state, detail=why or None)
    if state == "computing":
        return errors.NoResult(f"{about} is still being computed: ask again.", state=state)
    return errors.NoResult(
        f"{about} has no result in PostHog's cache, and this refresh mode computes none: ask with "
        "refresh='async' or 'blocking'.",
        state=state,
    )


def _made_by(row: models.Insight, who: int | str) -> bool:
    maker = row.created_by
    if isinstance(maker, models.User):
        return who in (maker.id, maker.uuid, maker.email)
    return maker is not None and str(maker) == str(who)


def _moment(value: datetime | str | None, name: str) -> str | None:
    if not isinstance(value, datetime):
        return value
    return aware(name, value).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found.astimezone(UTC) if found.tzinfo else None
