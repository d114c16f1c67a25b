"""Checks of the release and of the observations in it."""

import dagster as dg
import pandas as pd

from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from resources.eia.resource import SIMULATED_WARNING
from resources.lake import Lake


@dg.asset_check(asset="release", description="The figures are EIA's, not simulated.")
def real_figures(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Warn where the lake is simulated."""
    del context
    real = lake.kind == "real"
    return dg.AssetCheckResult(
        passed=real,
        severity=dg.AssetCheckSeverity.WARN,
        description="The figures are EIA's." if real else SIMULATED_WARNING,
    )


@dg.asset_check(
    asset="observations", blocking=True, description="Schema, Fridays, one row a week, nothing later than the week."
)
def observations_valid(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Validate the table that was stored."""
    from resources.eia.errors import EiaError
    from resources.eia.observations import validate

    week = week_of(context.partition_key)
    table = lake.read("observations", week)
    problems = [
        f"{name} is missing: refresh the week" for name in settings.series_ids if name not in set(table["unique_id"])
    ]
    later = table[table["ds"] > pd.Timestamp(week)]
    problems += [f"{row.unique_id} has {row.ds:%Y-%m-%d}, which is later than {week}" for row in later.itertuples()]
    for name, frame in table.groupby("unique_id"):
        try:
            validate(
                frame[["ds", "y"]].reset_index(drop=True),
                unique_id=str(name),
                week=week,
                plausible=settings.series[str(name)].plausible_kbd,
            )
        except EiaError as error:
            problems.append(str(error))
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(problems) + ". Nothing downstream is made." if problems else "Valid.",
        metadata={"rows": len(table), "series": int(table["unique_id"].nunique())},
    )
