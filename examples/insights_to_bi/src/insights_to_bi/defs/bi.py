"""An insight of PostHog's joined with a table of our own, for a BI tool.

`insight_trends` holds all trends insights, a row for each point; ours is chosen by its name.
"""

from pathlib import Path

import dagster as dg
import pandas as pd

from hog_dagster import DuckDBWarehouse, WarehouseIOManager

INSIGHT = "Daily visitors by browser"
COLUMNS = ["insight_name", "metric", "bucket_date", "breakdown_1", "value"]


@dg.asset(key_prefix=["own"], kinds={"csv"})
def browsers() -> pd.DataFrame:
    """Which browsers we support, and who looks after them: a file that the team keeps."""
    return pd.read_csv(Path(__file__).parents[3] / "data" / "browsers.csv")


@dg.asset(
    key_prefix=["bi"],
    ins={
        "trends": dg.AssetIn(["posthog", "insight_trends"], metadata={"columns": COLUMNS}),
        "browsers": dg.AssetIn(["own", "browsers"]),
    },
    automation_condition=dg.AutomationCondition.eager(),
    metadata={"primary_key": ["day", "browser"]},
    kinds={"duckdb"},
)
def visitors_by_browser(trends: pd.DataFrame, browsers: pd.DataFrame) -> pd.DataFrame:
    """Visitors by day and browser, and whether we support that."""
    ours = trends[(trends["insight_name"] == INSIGHT) & (trends["metric"] == "bucket")]
    counted = ours.rename(
        columns={"bucket_date": "day", "breakdown_1": "browser", "value": "visitors"}
    )[["day", "browser", "visitors"]]
    joined = counted.merge(browsers, on="browser", how="left")
    joined["supported"] = joined["supported"].fillna(False).astype(bool)
    return joined.sort_values(["day", "browser"], ignore_index=True)


@dg.asset_check(asset=visitors_by_browser, blocking=False)
def browsers_are_known(visitors_by_browser: pd.DataFrame) -> dg.AssetCheckResult:
    """Nearly all visitors have a browser that is in our file."""
    rows = visitors_by_browser.to_dict("records")
    every = sum(row["visitors"] for row in rows)
    known = sum(row["visitors"] for row in rows if isinstance(row["team"], str))
    share = known / every if every else 1.0
    return dg.AssetCheckResult(
        passed=share > 0.9,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{share:.0%} of the visitors have a browser that is in browsers.csv.",
        metadata={"share": share},
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, and the IO manager that keeps their frames in the warehouse of the component."""
    warehouse = DuckDBWarehouse(path=dg.EnvVar("WAREHOUSE_PATH"))
    return dg.Definitions(
        assets=[browsers, visitors_by_browser],
        asset_checks=[browsers_are_known],
        resources={"io_manager": WarehouseIOManager(warehouse=warehouse)},
    )
