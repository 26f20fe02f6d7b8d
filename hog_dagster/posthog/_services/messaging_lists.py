"""Who must get no mail: suppressions, opt-outs, categories, recipients, and how they are changed.

Facts: PostHog's message_suppressions, message_preferences and message_categories viewsets, and the
tables of its database that HogQL reads. Suppressions are in lower case, opt-outs as they were
given. Lists have pages by number, newest change first, in no order among equal times; the
recipients of autumn 2026 are the one list that pages soundly. In the CSV export, cells that a
spreadsheet would run have a quote before them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._endpoints import messaging as endpoints
from hog_dagster.posthog._listing import listed
from hog_dagster.posthog._pagination.lists import read_all, walk_cursor
from hog_dagster.posthog._services.base import (
    Reading,
    Service,
    counted,
    instead,
    is_page,
    malformed,
    read,
)
from hog_dagster.posthog._services.fields import given
from hog_dagster.posthog._services.hogql import Queries
from hog_dagster.posthog.models.base import Model, utc

M = TypeVar("M", bound=Model)

#: Opt-outs of one request.
MOST_OPT_OUTS = 1_000
#: Rows of a page: more are cut to this without a word.
_PAGE = 100
#: Recipients of a page.
_RECIPIENTS = 200
_CSV_HEADER = ["identifier", "category_key", "updated_at"]
_LETTERS = 512
_NAME = "hog_dagster messaging"
_PREFERENCES = (
    "SELECT toString(id) AS id, identifier, preferences, updated_at "
    "FROM system.message_recipient_preferences WHERE deleted = 0"
)
_CATEGORIES = (
    "SELECT toString(id) AS id, key, name, description, public_description, category_type, "
    "created_at, updated_at FROM system.message_categories WHERE deleted = 0"
)


class MessagingLists(Service):
    """The methods on suppressions, opt-outs and categories."""

    @listed("suppressions", models.Suppression)
    def suppressions(self, *, search: str | None = None) -> Iterator[models.Suppression]:
        """Addresses that get no mail at all: GET .../messaging_suppressions/suppressions/.

        Scopes hog_flow:read and, on newer builds, person:read. One request per 100; the list is
        read again where it changed meanwhile.

        Args:
            search: only addresses that contain this.

        Raises:
            EndpointMissing: an older server.
            UnsettledList: the list changed during every reading.
        """
        return self._numbered(
            models.Suppression, endpoints.SUPPRESSIONS, {"search": search or None}
        )

    def count_suppressions(self) -> int:
        """How many addresses are suppressed: the first page of :meth:`suppressions`. One request.

        Raises:
            EndpointMissing: an older server.
        """
        return self._counted(endpoints.SUPPRESSIONS)

    def count_opt_outs(self, *, category_key: str | None = None) -> int:
        """How many recipients opted out: the first page of :meth:`opt_outs`. One request.

        Args:
            category_key: those with an entry of their own for this category; without it those who
                opted out of all.

        Raises:
            NotFound: there is no such category.
            EndpointMissing: an older server.
            NotOpenToKeys: a server that refuses it to keys.
        """
        return self._counted(endpoints.OPT_OUTS, category_key=category_key)

    def add_suppression(self, identifier: str) -> models.Suppression:
        """Suppress an address by hand: POST .../suppressions/add_suppression/. Sent once.

        Scope hog_flow:write. Safe to repeat. PostHog trims the address and puts it in lower case;
        it does not check that it is one. Senders see it up to 5 minutes later.

        Raises:
            OutcomeUnknown: no response came: it may have happened.
        """
        body = _entry(identifier)
        return self._one(models.Suppression, endpoints.ADD_SUPPRESSION, body=body)

    def remove_suppression(self, identifier: str) -> None:
        """Lift the suppression of an address: POST .../suppressions/remove_suppression/. Sent once.

        Scope hog_flow:write. Safe to repeat. It comes back with the next bounce.

        Raises:
            NotFound: the address was never suppressed.
            OutcomeUnknown: no response came: it may have happened.
        """
        self._send(endpoints.REMOVE_SUPPRESSION, body=_entry(identifier))

    @listed("opt-outs", models.OptOut)
    def opt_outs(
        self, *, category_key: str | None = None, search: str | None = None
    ) -> Iterator[models.OptOut]:
        """Recipients who opted out: GET .../messaging_preferences/opt_outs/, scope hog_flow:read.

        One request per 100; the list is read again where it changed meanwhile. For all of them and
        all categories at once see :meth:`preferences`.

        Args:
            category_key: those with an entry of their own for this category; without it those who
                opted out of all.
            search: only identifiers that contain this.

        Raises:
            NotFound: there is no such category.
            EndpointMissing: an older server.
            NotOpenToKeys: a server that refuses it to keys.
        """
        params = {"category_key": category_key, "search": search or None}
        return self._numbered(models.OptOut, endpoints.OPT_OUTS, params)

    @listed("recipients", models.OptOut)
    def preferences(self) -> Iterator[models.OptOut]:
        """What every known recipient wants, by identifier: POST .../query/, scope query:read.

        One request per 50,000 recipients. Read from ``system.message_recipient_preferences``: those
        who opted in again are among them.

        Raises:
            EndpointMissing: this server's HogQL has no such table.
            MissingScope: the key lacks query:read.
        """
        for row in self._rows(_PREFERENCES, "identifier"):
            yield models.OptOut.model_validate({**row, "preferences": _json(row["preferences"])})

    def add_opt_out(self, identifier: str, *, category_key: str | None = None) -> models.OptOut:
        """Opt a recipient out: POST .../messaging_preferences/add_opt_out/. Sent once.

        Scope hog_flow:write. Safe to repeat.

        Args:
            identifier: the address, kept as given: its case matters.
            category_key: of this category; without it of all marketing messages.

        Raises:
            NotFound: there is no such category.
            OutcomeUnknown: no response came: it may have happened.
        """
        body = _entry(identifier, category_key)
        return self._one(models.OptOut, endpoints.ADD_OPT_OUT, body=body)

    def remove_opt_out(self, identifier: str, *, category_key: str | None = None) -> models.OptOut:
        """Opt a recipient in again: POST .../messaging_preferences/remove_opt_out/. Sent once.

        Scope hog_flow:write. Repeating it undoes an opt-out that came meanwhile. Of one marketing
        category while out of all: PostHog opts the recipient out of every other one by name.

        Args:
            identifier, category_key: as of :meth:`add_opt_out`.

        Raises:
            NotFound: there is no such recipient or category.
            OutcomeUnknown: no response came: it may have happened.
        """
        body = _entry(identifier, category_key)
        return self._one(models.OptOut, endpoints.REMOVE_OPT_OUT, body=body)

    def bulk_add_opt_outs(
        self,
        opt_outs: Sequence[str | tuple[str, str | None]],
        *,
        category_key: str | None = None,
    ) -> models.BulkOptOutAnswer:
        """Opt up to 1,000 recipients out: POST .../messaging_preferences/bulk_add_opt_outs/.

        Scope hog_flow:write. Sent once, and safe to repeat: one transaction, all or none. Entries
        that PostHog cannot use are passed over and counted in ``skipped``.

        Args:
            opt_outs: identifiers, or pairs of an identifier and a category's key (None: the one
                below).
            category_key: of this category; without it of all marketing messages.

        Raises:
            ValueError: none, or more than 1,000.
            NotFound: there is no such category.
            OutcomeUnknown: no response came: it may have happened.
        """
        if isinstance(opt_outs, str):
            raise TypeError("bulk_add_opt_outs: opt_outs is one text; give a list")
        if not 1 <= len(opt_outs) <= MOST_OPT_OUTS:
            raise ValueError(
                f"bulk_add_opt_outs: {len(opt_outs):,} opt-outs; PostHog takes 1 to "
                f"{MOST_OPT_OUTS:,} in a request"
            )
        entries = [_entry(one) if isinstance(one, str) else _entry(*one) for one in opt_outs]
        body = given(opt_outs=entries, category_key=category_key)
        return self._one(models.BulkOptOutAnswer, endpoints.BULK_ADD_OPT_OUTS, body=body)

    def categories(self) -> list[models.MessageCategory]:
        """The topics of messages, by key: HogQL (scope query:read), else GET messaging_categories/.

        The latter needs hog_flow:read, and no server was seen to open it to keys. One request or
        two.

        Raises:
            EndpointMissing: a server without categories.
            PermissionDenied: the key can use neither.
        """
        try:
            rows = list(self._rows(_CATEGORIES, "key"))
        except (errors.EndpointMissing, errors.PermissionDenied) as refused:
            try:
                found = list(self._paged(models.MessageCategory, endpoints.CATEGORIES))
            except errors.PermissionDenied:
                raise refused from None
            return sorted(found, key=lambda one: one.key)
        return [models.MessageCategory.model_validate(row) for row in rows]

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
            raise malformed(response, "it is no CSV of opt-outs")
        response.recognised()
        for row in rows:
            if len(row) != len(_CSV_HEADER):
                raise malformed(response, "a row of it has other columns")
            identifier, key, changed = (_unquoted(cell) for cell in row)
            try:
                moment = utc(changed) if changed else None
            except ValueError:
                raise malformed(response, "a row of it has no time where one belongs") from None
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
        reading = Reading(self, models.Recipient, endpoints.RECIPIENTS, key="email")

        def shown(page: Any) -> bool:
            return isinstance(page, dict) and isinstance(page.get("results"), list)

        def fetch(cursor: str | None) -> tuple[list[Any], str | None]:
            asked = {"search": search or None, "limit": _RECIPIENTS, "cursor": cursor}
            page = reading.page(asked, shown)
            following = page.get("next_cursor")
            return page["results"], following if isinstance(following, str) and following else None

        return reading.models(walk_cursor(fetch, identify=reading.identify))

    def persons_without_email(self) -> int:
        """How many persons have no address: GET .../messaging_recipients/coverage/.

        Scopes hog_flow:read and person:read. One request.

        Raises:
            EndpointMissing: a server of before September 2026.
        """
        response = self._send(endpoints.RECIPIENTS_COVERAGE)
        return counted(response, "persons_without_email")

    # -- what they share ---------------------------------------------------------------------------

    def _rows(self, sql: str, key: str) -> Iterator[dict[str, Any]]:
        """Rows of a table of PostHog's database.

        Raises:
            EndpointMissing: this server has no such table.
        """
        try:
            for page in self._beside(Queries).pages(sql, key=[key], name=_NAME):
                for row in page.rows:
                    yield dict(zip(page.columns, row, strict=True))
        except errors.InvalidRequest as error:
            if "unknown table" not in (error.detail or "").lower():
                raise
            table = sql.partition(" FROM ")[2].partition(" ")[0]
            said = f"POST /query/: this PostHog server has no table {table}."
            raise instead(errors.EndpointMissing, error, said) from None

    def _counted(self, endpoint: Endpoint, **params: Any) -> int:
        response = self._send(endpoint, params={**params, "page": 1, "page_size": 1})
        if not is_page(read(response)):
            raise malformed(response, "it is no page of a list")
        return counted(response, "count")

    def _numbered(
        self, model: type[M], endpoint: Endpoint, params: Mapping[str, Any]
    ) -> Iterator[M]:
        """Every row of a list with pages by number once, as models, lazily."""
        reading = Reading(self, model, endpoint, key="identifier")
        number = 0

        def fetch(size: int, offset: int) -> Any:
            nonlocal number
            number = 1 if offset == 0 else number + 1
            try:
                return reading.page({**params, "page": number, "page_size": size})
            except errors.NotFound as error:
                if number == 1 or "invalid page" not in (error.detail or "").lower():
                    raise
                # The list grew shorter meanwhile: the count shows it.
                return {"count": None, "next": None, "results": []}

        def identify(row: Mapping[str, Any]) -> str:
            return str(row.get("id") or row["identifier"])

        return reading.models(read_all(fetch, limit=_PAGE, identify=identify))


def _entry(identifier: str, category_key: str | None = None) -> dict[str, str]:
    if not isinstance(identifier, str) or not identifier.strip():
        raise ValueError("the identifier is empty: give an e-mail address")
    if len(identifier) > _LETTERS:
        raise ValueError(f"an identifier has {len(identifier)} letters: PostHog takes {_LETTERS}")
    return given(identifier=identifier, category_key=category_key)


def _json(value: Any) -> Any:
    """A JSON column: text on most servers, an object on some."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return {}


def _unquoted(cell: str) -> str:
    """A cell without the quote that keeps spreadsheets from running it."""
    return cell[1:] if cell[:2] in ("'=", "'+", "'-", "'@") else cell
