"""The switches of a world: lags, losses, forms of the worker. Any may change while it runs."""

from typing import Literal

from hog_dagster.sandbox.world._merging import MERGES, Merging
from hog_dagster.sandbox.world._model import PageFailure

#: "current": the newest servers; "mid2026": with reruns, without counts, cancel and revisions;
#: "docs": with blocked runs and their replay.
Generation = Literal["current", "mid2026", "docs"]
GENERATIONS: tuple[Generation, ...] = ("current", "mid2026", "docs")

FORMS = ("before_85156", "after_85156")


class Behaviour:
    """How this PostHog behaves; durations in seconds, chances from 0 to 1, all of them seeded."""

    def __init__(self, generation: Generation) -> None:
        newest = generation == "current"
        self.blocked_runs_flag = True
        #: Log rows written by the server itself become visible after this many seconds.
        self.log_lag: float = 0.0
        self.marker_lag: float = 2.0

        #: Seconds until a rerun job is worked on, and until a run it started is over.
        self.rerun_lag: float = 2.0
        self.rerun_takes: float = 2.0
        #: Which runs the worker takes: see `FORMS`. From #85156 on it leaves a run whose newest
        #: status over all days is no longer among those asked for.
        self._rerun_form = "after_85156" if newest else "before_85156"
        #: Whether a rerun goes on at the step that the stored state names, or at the trigger.
        self.rerun_resumes = newest
        #: Whether the stored state of a failed run names the step it stopped at.
        self.stored_action = newest
        #: Seconds until the worker's own log lines can be read; None for `log_lag`.
        self.rerun_log_lag: float | None = None
        self.rerun_page_size = 200
        #: Seconds between the pages of one job.
        self.rerun_page_delay: float = 1.0
        #: What goes wrong with the next pages, one after the other.
        self.page_failures: list[PageFailure] = []

        #: Seconds until a run row arrives: at least, and how much longer at most.
        self.row_lag: float = 0.0
        self.row_lag_spread: float = 0.0
        #: The chance that a row never arrives, because a broker failed.
        self.row_loss: float = 0.0
        #: The chance that an execution never ends: its run stays `running`.
        self.stuck: float = 0.0
        #: Seconds until PostHog notices a stuck run and files it as failed; None for never.
        self.stuck_repair: float | None = None
        self.merging: Merging = Merging()
        #: Factor on the waits of delay steps; 0 for none.
        self.wait_scale: float = 1.0

        #: Whether rows about sent messages are written at all, and the seconds until one arrives.
        self.assets_captured = True
        self.asset_lag: float = 0.0

        #: Whether a batch run has a row before it is over (from #81477 on).
        self.batch_rows_at_start = newest
        #: Batch jobs as pages of so many, oldest first; None for the bare array, newest first.
        self.batch_jobs_page: int | None = None
        #: Variables of batch jobs are listed with the workflow's defaults merged in.
        self.variables_merged = False
        #: Numbers among them are listed as text.
        self.variables_as_text = False
        #: How batch jobs and schedules list their `created_at`: None as it is, "missing", "null",
        #: or this very text.
        self.created_at: str | None = None

        #: Seconds until the scheduler sees a new or changed schedule.
        self.schedule_poll: float = 60.0
        #: Whether the worker behind replay, batch jobs, test runs and reruns cannot be reached.
        self.worker_down = False
        #: Whether it answers too late: a run that is started by hand happens, and nobody says so.
        self.worker_slow = False
        #: How many runs or batch jobs one cancel request can mark.
        self.cancel_chunk = 5000

        #: Whether log transformations are on in the project (newer servers).
        self.log_transformations = False
        #: Group writes store first and then fail with this: ``capture_error`` (400) or an HTTP
        #: status of the capture service.
        self.capture_failure: str | int | None = None
        #: Seconds until a written group shows in lists and property values of newer servers (`find`
        #: sees it at once), and until a captured ``$groupidentify`` has changed its group.
        self.groups_lag: float = 0.0
        self.ingestion_lag: float = 1.0
        #: Whether `find` makes a notebook for a group it is asked for.
        self.crm = False
        #: Whether the short-lived endpoint of that name exists.
        self.upsert_properties = False
        #: How long an asynchronous calculation takes.
        self.calculation_seconds: float = 0.2
        #: How calculations fail: a message the user may see, "" for a crash without one.
        self.calculation_failure: str | None = None
        #: Insights in a list answer that too many queries run at once.
        self.concurrency_limited = False

    @property
    def merge(self) -> str:
        """When rows of one day and run become one: "never", "random" or "now"."""
        return self.merging.merge

    @merge.setter
    def merge(self, when: str) -> None:
        if when not in MERGES:
            raise ValueError(f"merge must be one of {MERGES}, not {when!r}")
        self.merging.merge = when

    @property
    def rerun_form(self) -> str:
        """How the rerun worker picks runs: "before_85156" or "after_85156"."""
        return self._rerun_form

    @rerun_form.setter
    def rerun_form(self, form: str) -> None:
        if form not in FORMS:
            raise ValueError(f"rerun_form must be one of {FORMS}, not {form!r}")
        self._rerun_form = form


#: The switches by name: they can be set over HTTP too, and are kept in the state file.
SETTINGS: tuple[str, ...] = tuple(
    sorted(
        {*vars(Behaviour("current")), "merge", "rerun_form"}
        - {"merging", "page_failures", "_rerun_form"}
    )
)
