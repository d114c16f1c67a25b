"""Quality: outliers, and the structural breaks they make."""

from datetime import date, timedelta

import dagster as dg
import pandas as pd

from forecast_assets.failures import record_failures
from forecast_assets.metadata import markdown_table, of_series, pictures, stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecast_assets.tables import OUTLIER_FLAGS, STRUCTURAL_BREAK
from forecasting.breaks import BreakRule
from forecasting.by_series import by_series
from forecasting.span import span_start, split_by_length
from resources.lake import Lake


def last_tuned_week(week: date, *, horizon: int) -> date:
    """The last week before the held-out ones: nothing after it may influence what is tuned."""
    return week - timedelta(weeks=horizon)


def break_rules(settings: Settings) -> tuple[BreakRule, ...]:
    """The configured breaks, as the mathematics takes them."""
    return tuple(BreakRule(**rule.model_dump()) for rule in settings.breaks)


@weekly_asset(
    deps=["observations"],
    description="Weeks whose remainder of a robust STL is out of the fences, in the history before the held-out weeks.",
    group="quality",
    kinds={"python", "parquet"},
    columns=OUTLIER_FLAGS,
    code_version="1",
)
def outlier_flags(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Flag outliers of every series that is long enough."""
    from forecasting import plots
    from forecasting.outliers import flag_outliers

    week = week_of(context.partition_key)
    start = span_start(week, weeks=settings.training_weeks)
    observations, short = split_by_length(lake.read("observations", week), start=start, week=week)
    record_failures(lake, week, "outlier_flags", {name: str(error) for name, error in short.items()})
    for error in short.values():
        context.log.warning(str(error))
    if observations.empty:
        raise dg.Failure("; ".join(map(str, short.values())), allow_retries=False)
    history = _known(observations, last_tuned_week(week, horizon=settings.horizon))
    flags = flag_outliers(history, fence=settings.outlier_fence)
    counts = flags.groupby("unique_id")["outlier"].sum()
    return stored(
        lake,
        "outlier_flags",
        week,
        flags,
        metadata={
            **pictures(counts.index, lambda name: plots.stl_panels(of_series(flags, name)), what="stl"),
            **pictures(counts.index, lambda name: plots.yearly_moments(of_series(flags, name)), what="yearly"),
            **pictures(counts.index, lambda name: plots.correlograms(of_series(flags, name)), what="correlogram"),
            "outliers": int(counts.sum()),
            **by_series("outliers", counts),
        },
    )


@weekly_asset(
    deps=["outlier_flags"],
    description="The span of each configured break, from its first outlier to its last, as it was known in the week.",
    group="quality",
    kinds={"python", "parquet"},
    columns=STRUCTURAL_BREAK,
    code_version="1",
)
def structural_break(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Find the configured breaks of every series."""
    from forecasting.breaks import find_breaks
    from forecasting.plots import series_with_outliers

    week = week_of(context.partition_key)
    last = last_tuned_week(week, horizon=settings.horizon)
    flags = lake.read("outlier_flags", week)
    names = sorted(flags["unique_id"].unique())
    observations = lake.read("observations", week)
    observations = observations[observations["unique_id"].isin(names)]
    breaks = find_breaks(observations, break_rules(settings), last=last, fence=settings.outlier_fence)
    for name in sorted(set(names) - set(breaks["unique_id"])):
        context.log.info(f"{name}: no structural break as of {last}")
    sums = breaks.groupby("unique_id")[["weeks", "outliers"]].sum().reindex(names, fill_value=0)
    return stored(
        lake,
        "structural_break",
        week,
        breaks,
        metadata={
            **pictures(
                names,
                lambda name: series_with_outliers(
                    of_series(observations, name), of_series(flags, name), breaks=of_series(breaks, name)
                ),
                what="break",
            ),
            "breaks": len(breaks),
            **by_series("weeks", sums["weeks"]),
            **by_series("share", sums["outliers"] / sums["weeks"].clip(lower=1)),
            "spans": markdown_table(breaks[["unique_id", "name", "start", "end", "weeks", "outliers"]]),
        },
    )


def _known(observations: pd.DataFrame, last: date) -> pd.DataFrame:
    return observations[observations["ds"] <= pd.Timestamp(last)]
