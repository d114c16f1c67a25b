"""Checks of breaks and of what replaces them."""

import dagster as dg
import pandas as pd

from forecast_assets.partitions import week_of
from resources.lake import Lake


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
        description=f"{len(wrong)} weeks are not as they must be: {places}. Nothing is tuned on them."
        if len(wrong)
        else "Only weeks within breaks differ.",
        metadata={"replaced": int(table["replaced"].sum()), "wrong": len(wrong)},
    )
