"""Checks of the release and of the observations in it."""

import dagster as dg
import pandas as pd

from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecasting.span import span_start
from resources.eia.resource import SIMULATED_WARNING
from resources.lake import Lake

# Weekly figures are preliminary, but EIA hardly ever goes back to them: in no vintage we have was one revised. Some
# weeks of a month, or a correction of a few per cent, need no look; more of them, or a tenth, do.
FEW = 4
LARGE = 0.1


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
    asset="observations",
    blocking=True,
    description="Schema, Fridays, one row a week, none missing in the training span, nothing later than the week.",
)
def observations_valid(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Validate the table that was stored."""
    from resources.eia.errors import EiaError
    from resources.eia.observations import validate

    week = week_of(context.partition_key)
    complete_from = span_start(week, weeks=settings.training_weeks)
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
                complete_from=complete_from,
            )
        except EiaError as error:
            problems.append(str(error))
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(problems)
        + f". Nothing downstream is made of it. Look at the release, then `forecast refresh --week {week} --force`."
        if problems
        else "Valid.",
        metadata={"rows": len(table), "series": int(table["unique_id"].nunique())},
    )


@dg.asset_check(
    asset="observations", description=f"At most {FEW} known weeks of a series changed, none by more than {LARGE:.0%}."
)
def few_revisions(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Warn where more was revised than EIA is used to."""
    from resources.eia.history import relative_size

    revised = lake.read("revisions", week_of(context.partition_key))
    many = {str(name): n for name, n in revised.groupby("unique_id")["ds"].nunique().items() if n > FEW}
    large = revised.assign(relative=relative_size(revised)).query("relative > @LARGE").sort_values("relative")
    said = [f"{n} weeks of {name}" for name, n in many.items()]
    said += [
        f"{row.unique_id} {row.ds:%Y-%m-%d} from {row.before:,.0f} to {row.after:,.0f}"
        for row in large[::-1].head(5).itertuples()
    ]
    return dg.AssetCheckResult(
        passed=not said,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Revised: {'; '.join(said)}. The model is refitted on the revised values; forecast_changes shows "
        "the effect. Compare with what EIA says about the release; if it is EIA's mistake, refresh once it is mended."
        if said
        else f"{len(revised)} values were revised.",
        metadata={"revisions": len(revised), "large": len(large)},
    )
