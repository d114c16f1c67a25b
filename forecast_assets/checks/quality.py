"""Checks of breaks and of what replaces them."""

from datetime import date, timedelta

import dagster as dg
import pandas as pd

from forecast_assets.partitions import week_of
from forecast_assets.quality import break_rules, last_tuned_week
from forecast_assets.settings import Settings
from forecasting.plausibility import doubts, moved
from resources.lake import Lake


@dg.asset_check(
    asset="structural_break",
    description="No break touches the edge of its search, is thin or long, or moved after it was settled.",
)
def break_plausible(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Warn of breaks that a person should look at."""
    week = week_of(context.partition_key)
    breaks = lake.read("structural_break", week)
    said = doubts(
        breaks,
        break_rules(settings),
        last=last_tuned_week(week, horizon=settings.horizon),
        training_weeks=settings.training_weeks,
    ) + _moved(lake, week, breaks, settings)
    return dg.AssetCheckResult(
        passed=not said,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{'; '.join(said)}. Every week of a break is replaced before anything is tuned or fitted: "
        "where the span is wrong, models learn weeks that never were, or the break itself. Look at the picture of the "
        "break; to mend it, change its days or min_outliers under breaks in forecast.yaml, and refresh the week."
        if said
        else f"{len(breaks)} breaks, none in doubt.",
        metadata={"breaks": len(breaks), "doubts": len(said)},
    )


def _moved(lake: Lake, week: date, breaks: pd.DataFrame, settings: Settings) -> list[str]:
    """What moved since the week before, where the lake has it."""
    before = week - timedelta(weeks=1)
    if not (lake.has("structural_break", before) and lake.has("outlier_flags", before)):
        return []
    looked_at = [set(lake.read("outlier_flags", each)["unique_id"]) for each in (before, week)]
    return moved(
        breaks,
        lake.read("structural_break", before),
        break_rules(settings),
        last_before=last_tuned_week(before, horizon=settings.horizon),
        series=set.intersection(*looked_at),
    )


@dg.asset_check(
    asset="counterfactual", blocking=True, description="It differs from the observed weeks within breaks only."
)
def only_the_break_changed(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Compare the counterfactual with the observations and the breaks."""
    week = week_of(context.partition_key)
    table = lake.read("counterfactual", week)
    observed = lake.read("observations", week)[["unique_id", "ds", "y"]]
    merged = table.merge(observed, on=["unique_id", "ds"], how="left", suffixes=("", "_observed"))
    within = pd.Series(data=False, index=merged.index)
    for span in lake.read("structural_break", week).to_dict("records"):
        own = merged["unique_id"] == span["unique_id"]
        within |= own & (merged["ds"] >= span["start"]) & (merged["ds"] <= span["end"])
    wrong = merged[
        (merged["y"] != merged["y_observed"])
        | (merged["replaced"] != within)
        | (~within & (merged["counterfactual"] != merged["y"]))
        | ~(merged["counterfactual"] > 0)
    ]
    places = ", ".join(f"{row.unique_id} {row.ds:%Y-%m-%d}" for row in wrong.head(5).itertuples())
    return dg.AssetCheckResult(
        passed=wrong.empty,
        description=f"{len(wrong)} weeks are not as they must be: {places}. Nothing is tuned on them, and the week "
        f"has no forecast. Compute it anew: `forecast refresh --week {week} --force`."
        if len(wrong)
        else "Only weeks within breaks differ.",
        metadata={"replaced": int(table["replaced"].sum()), "wrong": len(wrong)},
    )
