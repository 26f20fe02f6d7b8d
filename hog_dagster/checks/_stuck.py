"""Do runs end? Those that stand at `running` for longer than they should, by workflow.

Facts: PostHog writes a row when an execution starts and one when it ends, and none while it waits;
a row that a broker lost leaves a run at `running` for ever. PostHog is asked for the time alone.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from hog_dagster.assets import (
    HOG_FUNCTION_RUNS,
    WORKFLOW_RUNS,
    HogFunctionLogSource,
    LogSource,
    WorkflowLogSource,
)
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, Project
from hog_dagster.policies import StuckRuns
from hog_dagster.warehouse import Measure, Table


def stuck_runs_plans(_: Project, rule: StuckRuns) -> Iterator[Plan]:
    """The check `runs_end` on `workflow_runs` and `hog_function_runs`. It asks PostHog for the time
    alone."""
    for log_source, table in (
        (WorkflowLogSource(), WORKFLOW_RUNS),
        (HogFunctionLogSource(), HOG_FUNCTION_RUNS),
    ):
        yield Plan(
            "runs_end",
            table,
            partial(_stuck, rule, log_source, table),
            rule.severity,
            f"At most {rule.max_stuck} runs stand at `running` for more than {rule.hours:g} hours.",
        )


def _stuck(
    rule: StuckRuns, log_source: LogSource, table: Table, check: CheckContext
) -> CheckOutcome:
    owner, until = log_source.id_column, check.now() - timedelta(hours=rule.hours)
    measures: dict[str, Measure] = {"runs": "count", "since": ("min", "scheduled_at")}
    found = check.warehouse.aggregate(
        table,
        by=[owner],
        measures=measures,
        scope={**check.scope, "status": "running"},
        between={"scheduled_at": (None, until)},
        limit=1000,
    )
    names = check.names(log_source.catalog)
    rows = [
        {
            "of": names.get(row[owner], row[owner]),
            "runs": row["runs"],
            "since": f"{row['since']:%Y-%m-%d %H:%M}",
        }
        for row in found
    ]
    stuck = sum(row["runs"] for row in rows)
    text = f"No run stands at `running` for more than {rule.hours:g} hours."
    if rows:
        first = rows[0]
        text = (
            f"{stuck} runs stand at `running` for more than {rule.hours:g} hours: they wait, or "
            f"are stuck. Most of them: {first['of']}, {first['runs']} since {first['since']}."
        )
    return CheckOutcome(stuck <= rule.max_stuck, text, {"posthog/stuck_runs": stuck}, rows)
