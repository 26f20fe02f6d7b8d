"""A table of PostHog's SQL: its queries, whose rows are read, and whether SQL works with this key.

Facts: a table has another name on some servers. Nothing is trusted unseen: where SQL shows no rows,
it must show at least one row of its table. What was found out is kept for the whole run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, TypeVar

import dagster as dg

from hog_dagster.assets._hogql import HogQLTable
from hog_dagster.assets._loading import server_now
from hog_dagster.assets._log_sources import LogSource, Source
from hog_dagster.assets._report import Gap, Report, labelled
from hog_dagster.assets._shared_reads import once, recall, remember
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.posthog import MOST_ROWS, PostHogClient, QueryPage, errors
from hog_dagster.warehouse import Window

T = TypeVar("T")

#: `auto`: PostHog's SQL where key and server let us, REST elsewhere; `rest` and `hogql`: that only.
ReadBy = Literal["auto", "rest", "hogql"]

#: Rows of a request.
PAGE_ROWS = MOST_ROWS
#: With more ids than this the query names none, and rows of others are dropped here.
_MOST_IDS = 1_000
#: What a run remembers of a key without that scope, so that it asks once.
NO_SCOPE = "query:read is missing"


@dataclass
class SqlTable:
    """A table of PostHog's SQL for one log source during one run; knows whether SQL works.

    `where` is a further condition on the rows. Without `jobs`, batch job id -> id of its workflow,
    PostHog is asked for them.
    """

    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    client: PostHogClient
    log_source: LogSource
    sources: Sequence[Source]
    table: HogQLTable
    mode: ReadBy
    report: Report
    retention: timedelta
    workers: int = 8
    where: str = ""
    jobs: Mapping[str, str] | None = None
    _works: bool | None = None
    _named: str = ""
    _owners: Owners | None = None
    _without_jobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._named = recall(self.client, ("name", self.table)) or self.table.names[0]

    def states(
        self, sql: Callable[[HogQLTable, str, str, Sequence[str]], str]
    ) -> Iterator[QueryPage]:
        """Pages of another query over the same table; `sql` is given the table, its name on this
        server, the kind and the ids."""
        yield from self.client.query.pages(
            sql(self.table, self._named, self.log_source.kind, self._ids),
            key=self.table.key,
            limit=PAGE_ROWS,
            name=self._name,
        )

    def found(
        self, sql: Callable[[HogQLTable, str, str, Sequence[str]], str]
    ) -> list[QueryPage] | None:
        """The pages of another query over the same table; None where SQL does not work."""
        if self._known() is False:
            return None
        pages: list[QueryPage] = []

        def ask() -> bool:
            def of(name: str) -> list[QueryPage]:
                text = sql(self.table, name, self.log_source.kind, self._ids)
                return list(
                    self.client.query.pages(
                        text, key=self.table.key, limit=PAGE_ROWS, name=self._name
                    )
                )

            pages.extend(self._under_its_name(of))
            return bool(pages) or bool(self._known()) or self._probe()

        return pages if self._tried(ask) else None

    @property
    def owners(self) -> Owners:
        """Whose rows are read, batch jobs included where the server lists them."""
        if self._owners is None:
            jobs: Mapping[str, str] = {}
            if self.table.of_jobs:
                try:
                    jobs = self.jobs if self.jobs is not None else self._ask_for_jobs()
                except (errors.PermissionDenied, errors.EndpointMissing) as error:
                    self._say(
                        "Rows of batch jobs are left out, because those are not listed: "
                        + str(error)
                    )
            self._owners = Owners([source.id for source in self.sources], jobs)
        return self._owners

    @property
    def _ids(self) -> list[str]:
        """The ids that queries name: none where all are read, so that batch jobs are not listed for
        their ids alone, and none where they are too many; rows of others are dropped here."""
        if not self.log_source.narrow or len(ids := self.owners.ids) > _MOST_IDS:
            return []
        return ids

    def _ask_for_jobs(self) -> Mapping[str, str]:
        ids = frozenset(source.id for source in self.sources)
        return once(
            self.client,
            ("batch jobs", self.log_source.name, ids),
            lambda: self.log_source.batch_jobs(
                self.client, self.sources, workers=self.workers, unlisted=self._unlisted
            ),
        )

    @property
    def usable(self) -> bool:
        """Whether SQL works, as far as is known; the first call may ask PostHog.

        Raises:
            PostHogError: it does not, and nothing else is wanted.
        """
        known = self._known()
        return self._tried(self._probe) if known is None else known

    def _known(self) -> bool | None:
        """Whether SQL works; None while nothing is known of this table."""
        if self.mode == "rest" or not self.sources:
            return False
        if self._works is None and recall(self.client, ("works", self.table)):
            self._works = True
        if self._works is None and self.mode == "auto":
            refused = recall(self.client, NO_SCOPE)
            if refused is not None:
                self._refused(refused)
                self._works = False
        return self._works

    def _tried(self, ask: Callable[[], bool]) -> bool:
        """Whether SQL works, by asking for something; the response is kept for the whole run."""
        try:
            seen = ask()
        except errors.AuthenticationError:
            raise
        except errors.PostHogError as error:
            if self.mode == "hogql":
                raise
            self._refused(error)
            if isinstance(error, errors.MissingScope):
                remember(self.client, NO_SCOPE, error)
            self._works = False
            return False
        if seen:
            remember(self.client, ("works", self.table), value=True)
        elif self.mode == "auto":
            self._say(
                f"Read by REST: SQL shows no row in {self.table.name}, so nothing proves that it "
                "would show all."
            )
        self._works = seen or self.mode == "hogql"
        return self._works

    def _refused(self, error: errors.PostHogError) -> None:
        said = f"Read by REST, because SQL does not work: {error}"
        if isinstance(error, errors.MissingScope):
            said += (
                " With the scope query:read on this key, 50,000 rows come with each request, "
                "and not 500."
            )
        self._say(said)

    def _probe(self) -> bool:
        """Whether the table shows rows at all: one request, one more under its other name."""
        now = server_now(self.client)
        kept = Window(now - self.retention, now + timedelta(days=1))
        return bool(self._asked(lambda name: self.table.seen_sql(name, kept)))

    def _asked(self, sql: Callable[[str], str]) -> list[dict[str, Any]]:
        """The rows of a query, under the name that this server has for the table."""
        return self._under_its_name(lambda name: self.client.query.rows(sql(name), name=self._name))

    def _under_its_name(self, ask: Callable[[str], T]) -> T:
        """What is asked under the name that this server has for the table."""
        others = [name for name in self.table.names if name != self._named]
        for name in (self._named, *others):
            try:
                found = ask(name)
            except errors.InvalidRequest as error:
                if [name] == others[-1:] or not others or "unknown table" not in str(error).lower():
                    raise
            else:
                self._named = name
                remember(self.client, ("name", self.table), name)
                return found
        raise AssertionError("a table has a name")

    def counts(self, window: Window, counted: str) -> dict[str, int]:
        """Owner -> how many rows SQL counts in a window, of workflows and functions alike; one
        request for both."""
        rows = once(
            self.client,
            ("counts", self.table, window, self.where, counted),
            lambda: self._asked(
                lambda name: self.table.owners_sql(name, window, self.where, counted)
            ),
        )
        return {
            row["owner"]: int(row["n"] or 0) for row in rows if row["kind"] == self.log_source.kind
        }

    @property
    def _name(self) -> str:
        return f"hog_dagster {self.log_source.name} {self.table.name}"

    def give_up(self, error: errors.PostHogError, what: str) -> None:
        """SQL failed amid a run: the rest of it is read by REST.

        Raises:
            PostHogError: the error, where nothing else is wanted or would work.
        """
        if self.mode == "hogql" or isinstance(error, errors.AuthenticationError):
            raise error
        self._works = False
        self._say(f"{what} came by REST, because SQL failed: {error}")

    def _unlisted(self, gap: Gap) -> None:
        """One workflow's batch jobs are not listed: what was loaded of them stays."""
        why = f"its batch jobs are not listed: {gap.why}"
        self.report.gaps.append(replace(gap, why=why))
        names = {source.id: source.name for source in self.sources}
        self.context.log.warning(f"{labelled(gap.object, names)}: {why}")
        self._without_jobs.append(gap.object)

    def _say(self, sentence: str) -> None:
        self.report.notes.append(sentence)
        self.context.log.warning(sentence)
