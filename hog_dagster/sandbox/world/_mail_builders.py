"""Builders and events of a project's mail: bounces, complaints, lists, suspension, batch exports.

Facts: PostHog's suppression and opt-out services. A hard bounce or a complaint suppresses at once,
five soft bounces in a row do; rows that people made are left alone by that. Suppressions are in
lower case, opt-outs as they were given.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hog_dagster.sandbox.world._analytics_builders import AnalyticsBuilders
from hog_dagster.sandbox.world._analytics_model import Activity, Event
from hog_dagster.sandbox.world._mail import capture_email_event
from hog_dagster.sandbox.world._messaging_model import (
    IN,
    OUT,
    Backfill,
    BatchExport,
    BatchExportRun,
    Category,
    EmailPause,
    Preference,
    Suppression,
)
from hog_dagster.sandbox.world._model import User

#: Soft bounces in a row that suppress an address.
SOFT_BOUNCES = 5


class MailBuilders(AnalyticsBuilders):
    """The part of the world that holds lists, categories, allowance, pauses and batch exports."""

    def add_suppression(
        self, identifier: str, *, at: datetime | None = None, **fields: Any
    ) -> Suppression:
        """Suppress an address by hand; `fields` of `Suppression` make it another one."""
        row = self._suppression(identifier, at)
        with self.lock:
            now = at or self.clock.now()
            values = {"source": "MANUAL", "reason": "Manually added", **fields}
            values.setdefault("suppressed_at", row.suppressed_at or now)
            for name, value in values.items():
                setattr(row, name, value)
            _suppress(row, now, suppressed=True)
            return row

    def forget_suppression(self, identifier: str, *, at: datetime | None = None) -> bool:
        """Lift the suppression of an address; whether it ever had a row. The row stays."""
        with self.lock:
            row = self.mail.suppressions.get(identifier.strip().lower())
            if row is None:
                return False
            if row.suppressed:
                _suppress(row, at or self.clock.now(), suppressed=False)
            row.transient_bounce_count, row.source = 0, "BOUNCE"
            return True

    def add_bounce(
        self,
        identifier: str,
        *,
        hard: bool = True,
        diagnostic: str = "550 5.1.1 user unknown",
        at: datetime | None = None,
    ) -> None:
        """A mail to an address bounced."""
        with self.lock:
            if not self.mail.suppressions_written:
                return
            row, now = self._suppression(identifier, at), at or self.clock.now()
            if row.source == "MANUAL" and row.suppressed:
                return
            row.last_bounce_at, row.last_bounce_diagnostic = now, diagnostic[:1000]
            row.updated_at = now
            reason = "Auto-suppressed after a hard bounce"
            if not hard:
                row.transient_bounce_count += 1
                reason = f"Auto-suppressed after {SOFT_BOUNCES} consecutive soft bounces"
            if hard or row.transient_bounce_count >= SOFT_BOUNCES:
                _suppress_by_itself(row, "BOUNCE", reason, now)

    def add_complaint(
        self, identifier: str, *, feedback: str = "abuse", at: datetime | None = None
    ) -> None:
        """Somebody called a mail spam."""
        with self.lock:
            if not self.mail.suppressions_written:
                return
            row, now = self._suppression(identifier, at), at or self.clock.now()
            if row.source == "MANUAL" and row.suppressed:
                return
            reason = f"Auto-suppressed after a spam complaint (feedback type: {feedback})"
            _suppress_by_itself(row, "COMPLAINT", reason, now)

    def add_delivery(self, identifier: str) -> None:
        """A mail reached an address, so its soft bounces are forgotten."""
        with self.lock:
            row = self.mail.suppressions.get(identifier.strip().lower())
            if row is not None and not row.suppressed:
                row.transient_bounce_count = 0

    def add_email_event(
        self, name: str, invocation_id: str, *, at: datetime | None = None, **about: Any
    ) -> Event | None:
        """The provider calls back about the e-mails of a run: `delivered`, `opened`, ...

        `about` is more of the event, `link_url` say.
        """
        with self.lock:
            run, event = self.runs[invocation_id], None
            for one in self.sent_messages:
                if one.invocation_id == invocation_id and one.kind == "email":
                    event = capture_email_event(
                        self,
                        name,
                        at or self.clock.now(),
                        run.distinct_id or run.person_id,
                        run.person_id,
                        workflow_id=run.workflow_id,
                        workflow_action_id=one.action_id,
                        email_to=one.recipient,
                        email_subject="Hi",
                        **about,
                    )
            return event

    def _suppression(self, identifier: str, at: datetime | None) -> Suppression:
        now, key = at or self.clock.now(), identifier.strip().lower()
        row = self.mail.suppressions.get(key)
        if row is None:
            row = Suppression(id=self.ids.row(now), identifier=key, created_at=now, updated_at=now)
            self.mail.suppressions[key] = row
        return row

    def add_category(
        self, key: str, name: str | None = None, category_type: str = "marketing", **fields: Any
    ) -> Category:
        """Add a topic of messages; a step names it by its id (``message_category_id``)."""
        with self.lock:
            name = name or key.replace("-", " ").capitalize()
            row = self._made(Category, fields, key=key, name=name, category_type=category_type)
            self.mail.categories[row.id] = row
            return row

    def category(self, key: str) -> Category | None:
        """The topic of a key."""
        rows = self.mail.categories.values()
        return next((one for one in rows if one.key == key and not one.deleted), None)

    def add_opt_out(
        self,
        identifier: str,
        category_key: str | None = None,
        *,
        at: datetime | None = None,
    ) -> tuple[Preference, bool]:
        """Opt a recipient out, of all or of one topic: the row, and whether it is a new one."""
        with self.lock:
            now = at or self.clock.now()
            row, entry = self.mail.preferences.get(identifier), self._entry(category_key)
            fresh = row is None
            if row is None:
                row = Preference(
                    id=self.ids.row(now), identifier=identifier, created_at=now, updated_at=now
                )
                self.mail.preferences[identifier] = row
            _prefer(row, now, {**row.preferences, entry: OUT})
            return row, fresh

    def add_opt_outs(self, identifiers: Iterable[str], category_key: str | None = None) -> None:
        """Opt many recipients out."""
        for identifier in identifiers:
            self.add_opt_out(identifier, category_key)

    def forget_opt_out(
        self, identifier: str, category_key: str | None = None, *, at: datetime | None = None
    ) -> Preference | None:
        """Opt a recipient in again. Out of one marketing topic while out of all: the others stay
        out, each by an entry of its own."""
        with self.lock:
            now, entry = at or self.clock.now(), self._entry(category_key)
            row = self.mail.preferences.get(identifier)
            if row is None:
                return None
            held = {**row.preferences, entry: IN}
            category = self.mail.categories.get(entry)
            marketing = category is not None and category.category_type == "marketing"
            if marketing and row.preferences.get("$all") == OUT:
                held["$all"] = IN
                for other in self.mail.categories.values():
                    if (
                        other.id != entry
                        and not other.deleted
                        and other.category_type == "marketing"
                    ):
                        held[other.id] = OUT
            _prefer(row, now, held)
            return row

    def _entry(self, category_key: str | None) -> str:
        if category_key is None or category_key == "$all":
            return "$all"
        category = self.category(category_key)
        if category is None:
            raise ValueError(f"no category {category_key!r}")
        return category.id

    def add_suspension(self, reason: str = "", *, at: datetime | None = None) -> None:
        """PostHog suspends the project's e-mail; its tier falls to 0."""
        with self.lock:
            self.mail.suspended.append((at or self.clock.now(), reason))
            self.mail.tier = 0

    def forget_suspension(self, *, at: datetime | None = None) -> None:
        """PostHog lets the project send again."""
        with self.lock:
            self.mail.suspended.append((at or self.clock.now(), None))

    def add_email_pause(
        self,
        workflow_id: str,
        reason: str = "Spam complaints reached 1% of the 900 emails this workflow sent in the last "
        "hour.",
        *,
        at: datetime | None = None,
        by_staff: bool = False,
    ) -> None:
        """A workflow's e-mail is paused."""
        with self.lock:
            pause = EmailPause(at=at or self.clock.now(), reason=reason, by_staff=by_staff)
            self.mail.paused[workflow_id] = pause

    def add_batch_export(
        self, name: str = "Export", destination: str = "S3", **fields: Any
    ) -> BatchExport:
        """Add a batch export; `fields` of `BatchExport`."""
        with self.lock:
            at = fields.get("created_at") or self.clock.now()
            about = {"type": destination, "config": {"bucket_name": "exports"}, "integration": None}
            row = self._made(BatchExport, fields, name=name, last_updated_at=at, destination=about)
            self.mail.exports[row.id] = row
            return row

    def add_batch_export_run(
        self,
        batch_export: str,
        data_interval_end: datetime,
        *,
        at: datetime | None = None,
        **fields: Any,
    ) -> BatchExportRun:
        """Add a run over the interval that ends then; `fields` of `BatchExportRun`."""
        with self.lock:
            now = at or self.clock.now()
            runs = fields.get("status") in ("Starting", "Running")
            row = self._made(
                BatchExportRun,
                {**fields, "created_at": now},
                batch_export=batch_export,
                data_interval_end=data_interval_end,
                data_interval_start=None,
                finished_at=None if runs else now,
                last_updated_at=now,
            )
            self.mail.export_runs.append(row)
            return row

    def add_backfill(self, batch_export: str, **fields: Any) -> Backfill:
        """Add a backfill of a batch export; `fields` of `Backfill`."""
        with self.lock:
            row = self._made(
                Backfill, fields, batch_export=batch_export, start_at=None, end_at=None
            )
            self.mail.backfills.append(row)
            return row

    def add_activity(
        self,
        scope: str,
        item_id: object,
        activity: str,
        name: str = "",
        changes: Iterable[Mapping[str, Any]] = (),
        *,
        user: User | None = None,
        at: datetime | None = None,
    ) -> None:
        """Write an entry of the activity log; no user: something else than a person did it."""
        with self.lock:
            detail = {"name": name, "type": None, "changes": list(changes), "trigger": None}
            self.activity.append(
                Activity(
                    item_id=str(item_id),
                    scope=scope,
                    activity=activity,
                    created_at=at or self.clock.now(),
                    detail=detail,
                    user=user,
                )
            )


def _suppress(row: Suppression, now: datetime, *, suppressed: bool) -> None:
    row.suppressed, row.updated_at = suppressed, now
    row.history.append((now, suppressed))


def _prefer(row: Preference, now: datetime, held: dict[str, str]) -> None:
    row.preferences, row.updated_at = held, now
    row.history.append((now, dict(held)))


def _suppress_by_itself(row: Suppression, source: str, reason: str, now: datetime) -> None:
    row.source, row.reason, row.suppressed_at = source, reason, now
    _suppress(row, now, suppressed=True)
