"""What a user may set about pushing opt-outs and suppressions to PostHog, and how carefully.

Facts: adding an opt-out can be repeated; removing one undoes an opt-out that came meanwhile, and a
person who opted out in PostHog is in no warehouse table until the lists are loaded again.
"""

from pydantic import Field

from hog_dagster.policies._acting import Safety
from hog_dagster.policies._values import Record


class PushPolicy(Record):
    """How opt-outs or suppressions of a table are pushed."""

    dry_run: bool = True
    """Only make the plan. Set it to false to change PostHog's list."""
    max_additions: int | None = Field(default=None, ge=0)
    """Send nothing if more people than this would be added."""
    mirror: bool = False
    """Also remove opt-outs that are not in the table. People who opted out in PostHog and are not
    in the table then get mail again."""
    max_removals: int = Field(default=100, ge=0)
    """With mirror: remove nothing if more than this would be removed."""
    settled_hours: float = Field(default=48.0, ge=0, le=87_600)
    """With mirror: do not remove what changed in PostHog less than this ago."""
    grace_seconds: float = Field(default=120.0, ge=0, le=31_536_000)
    """How late PostHog may show a change. A change in doubt is not sent again before then. The
    value used is at least twice the read timeout."""
    reconcile_seconds: float = Field(default=150.0, ge=0, le=31_536_000)
    """How long a run tries to reconcile changes in doubt."""
    lock_wait_seconds: float = Field(default=60.0, ge=0, le=31_536_000)
    """How long to wait for another run that changes the same list."""

    def narrowed(self, safety: Safety) -> "PushPolicy":
        """The policy with every limit of the project applied; a plain one."""
        values = {name: getattr(self, name) for name in PushPolicy.model_fields}
        return PushPolicy(**{**values, "dry_run": self.dry_run or safety.dry_run is True})
