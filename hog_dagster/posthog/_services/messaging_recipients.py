"""Every known recipient, and all opt-outs as one CSV.

Facts: PostHog's message recipients service of autumn 2026, the one list of these that pages
soundly, and the CSV export of its message_preferences viewset, in which cells that a spreadsheet
would run have a quote before them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import messaging as endpoints
from hog_dagster.posthog._listing import listed
from hog_dagster.posthog._pagination.cursor_pages import walk_cursor
from hog_dagster.posthog._responses import Response
from hog_dagster.posthog._services.base import Service, misshapen, read, shaped
from hog_dagster.posthog.models.base import utc

__all__ = ["MessagingRecipients"]

#: Recipients of a page.
_RECIPIENTS = 200
_CSV_HEADER = ["identifier", "category_key", "updated_at"]


class MessagingRecipients(Service):
    """The methods on all recipients at once."""

    def export_opt_outs(
        self, *, category_key: str | None = None
    ) -> Iterator[tuple[str, str, datetime | None]]:
        """Recipients who opted out, as one CSV: GET .../messaging_preferences/export_opt_outs_csv/.

        Scope hog_flow:read. One request, however many there are.

        Args:
            category_key: as of :meth:`opt_outs`.

        Yields:
            Identifier, key of the category (``$all`` for all of them), and when it last changed.

        Raises:
            NotFound: there is no such category.
            EndpointMissing: a server without it.
        """
        response = self._send(endpoints.EXPORT_OPT_OUTS, params={"category_key": category_key})
        kind = response.headers.get("content-type", "")
        rows = csv.reader(io.StringIO(response.content.decode("utf-8-sig", "replace")))
        if not kind.startswith("text/csv") or next(rows, None) != _CSV_HEADER:
            raise misshapen(response, "it is no CSV of opt-outs")
        response.recognised()
        for row in rows:
            if len(row) != len(_CSV_HEADER):
                raise misshapen(response, "a row of it has other columns")
            identifier, key, changed = (_unquoted(cell) for cell in row)
            try:
                moment = utc(changed) if changed else None
            except ValueError:
                raise misshapen(response, "a row of it has no time where one belongs") from None
            yield identifier, key, moment

    @listed("recipients", models.Recipient)
    def recipients(self, *, search: str | None = None) -> Iterator[models.Recipient]:
        """Every known address in the order of addresses: GET .../messaging_recipients/.

        Scopes hog_flow:read and person:read. One request per 200.

        Args:
            search: only addresses that contain this.

        Raises:
            EndpointMissing: a server of before September 2026.
        """
        last: Response | None = None

        def fetch(cursor: str | None) -> tuple[list[Any], str | None]:
            nonlocal last
            asked = {"search": search or None, "limit": _RECIPIENTS, "cursor": cursor}
            last = self._send(endpoints.RECIPIENTS, params=asked)
            page = read(last)
            rows = page.get("results") if isinstance(page, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise misshapen(last, "it is no page of a list")
            if not all(row.get("email") for row in rows):
                raise misshapen(last, "not every row has an address")
            last.recognised()
            following = page.get("next_cursor")
            return rows, following if isinstance(following, str) and following else None

        for row in walk_cursor(fetch, identify=lambda row: str(row["email"])):
            assert last is not None
            yield shaped(last, models.Recipient, row)

    def persons_without_email(self) -> int:
        """How many persons have no address: GET .../messaging_recipients/coverage/.

        Scopes hog_flow:read and person:read. One request.

        Raises:
            EndpointMissing: a server of before September 2026.
        """
        response = self._send(endpoints.RECIPIENTS_COVERAGE)
        body = read(response)
        number = body.get("persons_without_email") if isinstance(body, dict) else None
        if not isinstance(number, int):
            raise misshapen(response, "it holds no number of persons")
        response.recognised()
        return number


def _unquoted(cell: str) -> str:
    """A cell without the quote that keeps spreadsheets from running it."""
    return cell[1:] if cell[:2] in ("'=", "'+", "'-", "'@") else cell
