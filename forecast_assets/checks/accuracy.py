"""Checks of how forecasts fared: whether the intervals hold what they promise, and whether forecasts lean to a side."""

from datetime import timedelta

import dagster as dg

from forecast_assets.accuracy import YEAR, scores_between
from forecast_assets.metadata import markdown_table
from forecast_assets.partitions import week_of
from forecasting.monitoring import BIAS_WEEKS, MIN_COVERAGE_WEEKS, bias_verdicts, coverage_verdicts
from resources.lake import Lake


@dg.asset_check(
    asset="forecast_accuracy",
    description="Over the last 52 weeks the intervals held no fewer weeks than chance explains: so low a coverage in "
    "as many independent weeks would have a chance below 5 % over all series and levels (Kupiec 1995).",
)
def intervals_cover(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Warn where a level covers too little."""
    week = week_of(context.partition_key)
    verdicts = coverage_verdicts(scores_between(lake, week - timedelta(weeks=YEAR - 1), week))
    judged = verdicts["least"].notna()
    low = [
        f"{row['unique_id']}: {100 * row['coverage']:.1f} % of {row['weeks']} weeks inside the {row['level']:g} % "
        f"interval, at least {100 * row['least']:.1f} % expected"
        for row in verdicts[~verdicts["passed"]].to_dict("records")
    ]
    consequence = (
        "The intervals are too narrow: plan with the next wider level. If the figures have become more volatile the "
        "calibration follows as new weeks enter it; if this lasts, look at the pictures of coverage by horizon and "
        "at structural_break, and set a break for weeks that will not return"
    )
    passed = "As promised, within chance." if judged.any() else f"Fewer than {MIN_COVERAGE_WEEKS} weeks are scored yet."
    return dg.AssetCheckResult(
        passed=not low,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{'; '.join(low)}. {consequence}." if low else passed,
        metadata={"verdicts": markdown_table(verdicts)} if len(verdicts) else {},
    )


@dg.asset_check(
    asset="forecast_accuracy",
    description="The mean error of the last 8 weeks is within 3.5 overlap-robust standard errors, or within 1 %.",
)
def unbiased(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Warn where forecasts were too high, or too low, for weeks on end."""
    week = week_of(context.partition_key)
    verdicts = bias_verdicts(scores_between(lake, week - timedelta(weeks=BIAS_WEEKS - 1), week))
    leaning = [
        f"{row['unique_id']}: forecasts were {abs(row['bias_percent']):.1f} % too "
        f"{'high' if row['bias'] > 0 else 'low'} over the last {row['weeks']} weeks"
        for row in verdicts[~verdicts["passed"]].to_dict("records")
    ]
    consequence = (
        "Demand has left the pattern that the model knows, and forecasts lag behind until enough weeks show the new "
        "level: take the bias off by hand if you must decide on them, and look whether a structural break has begun"
    )
    enough = (verdicts["weeks"] == BIAS_WEEKS).any()
    return dg.AssetCheckResult(
        passed=not leaning,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{'; '.join(leaning)}. {consequence}."
        if leaning
        else "No bias beyond chance."
        if enough
        else f"Fewer than {BIAS_WEEKS} weeks are scored yet.",
        metadata={"verdicts": markdown_table(verdicts)} if len(verdicts) else {},
    )
