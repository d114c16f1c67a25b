"""Checks of what consumers read."""

import dagster as dg
import pandas as pd

from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from resources.lake import Lake


@dg.asset_check(
    asset="forecast", blocking=True, description="Every series, every week from the cutoff on, intervals nested."
)
def forecast_complete(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Look at the forecast as a consumer would."""
    week = week_of(context.partition_key)
    table = lake.read("forecast", week)
    expected = pd.date_range(pd.Timestamp(week), periods=settings.horizon + 1, freq="W-FRI")[1:]
    bounds = [f"lo-{level:g}" for level in reversed(settings.levels)]
    bounds += ["mean", *(f"hi-{level:g}" for level in settings.levels)]
    problems = []
    for name, rows in table.groupby("unique_id"):
        if list(rows["ds"]) != list(expected):
            problems.append(f"{name} does not have the {settings.horizon} weeks after {week}")
        values = rows[bounds].to_numpy()
        if not ((values[:, 1:] >= values[:, :-1]).all() and (values > 0).all()):
            problems.append(f"{name} has intervals that are not nested")
    if table.empty:
        problems.append("it has no row")
    consequence = f"Do not use the forecast of {week}: make it anew with `forecast refresh --week {week} --force`"
    return dg.AssetCheckResult(
        passed=not problems,
        description=f"{'; '.join(problems)}. {consequence}." if problems else "Complete.",
        metadata={"rows": len(table)},
    )
