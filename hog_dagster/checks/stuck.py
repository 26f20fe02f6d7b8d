"""Do runs end? Those that stand at `running` for longer than they should, by workflow.

Facts: PostHog writes a row when an execution starts and one when it ends, and none while it waits;
a row that a broker lost leaves a run at `running` for ever. Nothing is asked of PostHog.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import dagster as dg

from hog_dagster.assets.families import Family, HogFunctionFamily, WorkflowFamily
from hog_dagster.assets.function_tables import HOG_FUNCTION_RUNS
from hog_dagster.assets.options import AssetOptions
from hog_dagster.assets.workflow_tables import WORKFLOW_RUNS
from hog_dagster.checks.scene import Plan, Scene, Verdict, checks_of, quoted, table_of
from hog_dagster.policies import StuckRuns
from hog_dagster.warehouse import Table

__all__ = ["build_stuck_runs_checks", "stuck_runs_plans"]


def build_stuck_runs_checks(
    *, options: AssetOptions | None = None, rule: StuckRuns | None = None
) -> list[dg.AssetChecksDefinition]:
    """The check `runs_end` on `workflow_runs` and `hog_function_runs`.

    It looks at what landed and asks nothing of PostHog.

    Args:
        options: how the assets look.
        rule: severity, and how long a run may take.
    """
    return checks_of(stuck_runs_plans(rule or StuckRuns()), options or AssetOptions())


def stuck_runs_plans(rule: StuckRuns) -> Iterator[Plan]:
    """The plans of `build_stuck_runs_checks`."""
    for family, table in (
        (WorkflowFamily(), WORKFLOW_RUNS),
        (HogFunctionFamily(), HOG_FUNCTION_RUNS),
    ):
        yield Plan(
            "runs_end",
            table,
            partial(_stuck, rule, family, table),
            rule.severity,
            f"At most {rule.most} runs stand at `running` for more than {rule.hours:g} hours.",
        )


def _stuck(rule: StuckRuns, family: Family, table: Table, scene: Scene) -> Verdict:
    owner, until = family.id_column, scene.now() - timedelta(hours=rule.hours)
    sql = (
        f'select {quoted(owner)}, count(*) as "runs", min("scheduled_at") as "since" '  # noqa: S608
        f'from {table_of(table)} where "project_id" = {scene.project} '
        f"and \"status\" = 'running' and \"scheduled_at\" < '{until.isoformat()}' "
        f'group by 1 order by "runs" desc'
    )
    names = scene.names(family.catalog)
    rows = [
        {
            "of": names.get(row[owner], row[owner]),
            "runs": row["runs"],
            "since": f"{row['since']:%Y-%m-%d %H:%M}",
        }
        for row in scene.warehouse.query(sql).to_pylist()
    ]
    stuck = sum(row["runs"] for row in rows)
    text = f"No run stands at `running` for more than {rule.hours:g} hours."
    if rows:
        first = rows[0]
        text = (
            f"{stuck} runs stand at `running` for more than {rule.hours:g} hours: they wait, or "
            f"are stuck. Most of them: {first['of']}, {first['runs']} since {first['since']}."
        )
    return Verdict(stuck <= rule.most, text, {"posthog/stuck_runs": stuck}, rows)
