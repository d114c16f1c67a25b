"""Accuracy: every earlier forecast of a week, scored once as the week arrives."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.metadata import markdown_table, of_series, pictures, stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecast_assets.tables import accuracy_columns, schema
from forecasting import accuracy
from forecasting.by_series import by_series
from resources.lake import Lake, content_digest

RECENT_WEEKS = 26
"""Weeks of scores in the rolling figures."""

YEAR = 52
"""Weeks of scores in the pictures by horizon, and that coverage is judged by."""

# The settings' horizon is not known here; the body asks the lake which of the forecasts within it there are.
_EARLIER = dg.TimeWindowPartitionMapping(start_offset=-26, end_offset=-1)


@weekly_asset(
    deps=[
        "observations",
        dg.AssetDep("forecast", partition_mapping=_EARLIER),
        dg.AssetDep("counterfactual", partition_mapping=_EARLIER),
    ],
    description="Every earlier forecast of this week, held against the week's own release: error, pinball loss and "
    "coverage, beside the seasonal naive of the same cutoff. One row per series and cutoff.",
    group="forecasts",
    kinds={"python", "parquet"},
    code_version="1",
)
def forecast_accuracy(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Score the forecasts that were made of this week."""
    week = week_of(context.partition_key)
    scores = score_week(lake, week, horizon=settings.horizon, levels=settings.levels)
    return stored(
        lake,
        "forecast_accuracy",
        week,
        scores,
        metadata={
            # Its columns follow the levels that the settings ask for.
            "dagster/column_schema": schema(accuracy_columns(settings.levels)),
            **(_said(lake, week, scores) if len(scores) else {"forecasts_scored": 0, "note": _NOTHING.format(week)}),
        },
    )


_NOTHING = "The lake has no earlier forecast of {}: nothing to score yet."


def score_week(lake: Lake, week: date, *, horizon: int, levels: Sequence[float]) -> pd.DataFrame:
    """The scores of the earlier forecasts of a week, in the columns of `tables.accuracy_columns`.

    Args:
        lake: Where forecasts, the spans they were fitted to and observations are.
        week: The week that has arrived.
        horizon: Forecasts are at most this many weeks old.
        levels: Levels of the intervals, per cent.

    Raises:
        MissingTableError: The week has no observations, or a forecast's span is gone.
    """
    observations = lake.read("observations", week)
    target = pd.Timestamp(week)
    made = set(lake.weeks("forecast"))
    cutoffs = [week - timedelta(weeks=ahead) for ahead in range(horizon, 0, -1)]
    cutoffs = [cutoff for cutoff in cutoffs if cutoff in made]
    if not cutoffs:
        return accuracy.empty(levels)
    forecasts = pd.concat(lake.read_weeks("forecast", cutoffs))
    spans = pd.concat(
        [
            span.assign(cutoff=pd.Timestamp(cutoff))
            for cutoff, span in zip(cutoffs, lake.read_weeks("counterfactual", cutoffs), strict=True)
        ],
        ignore_index=True,
    )
    forecasts = forecasts[forecasts["ds"] == target]
    return accuracy.score(forecasts, observations, accuracy.references(spans, target), levels=levels)


def scores_between(lake: Lake, first: date | None, last: date | None) -> pd.DataFrame:
    """The scores of all weeks that were scored from one to another, both included; no row where there are none.

    Args:
        lake: Where they are.
        first: By default the first there is.
        last: By default the last there is.
    """
    weeks = lake.weeks("forecast_accuracy")
    wanted = [week for week in weeks if (first is None or week >= first) and (last is None or week <= last)]
    return _stacked(lake.read_weeks("forecast_accuracy", wanted))


def stale_weeks(lake: Lake) -> dict[date, str]:
    """The weeks whose scores are not those of the forecasts that the lake has of them, in order.

    A week refreshed before its predecessors were replayed lacks their forecasts; one that a forecast was replaced
    under has another's.

    Returns:
        A digest of what is not scored, by week: it is the same for as long as nothing has changed.
    """
    rows = ["unique_id", "ds", "cutoff", "mean"]
    made = _stacked(lake.read_weeks("forecast", lake.weeks("forecast")))
    arrived = lake.weeks("observations")
    expected = made.loc[made["ds"].isin(pd.to_datetime(arrived)), rows]
    compared = expected.merge(scores_between(lake, None, None)[rows], how="left", indicator="found")
    missing = compared.loc[compared["found"] == "left_only", rows]
    lacking = {week: missing[missing["ds"] == pd.Timestamp(week)] for week in arrived}
    return {week: content_digest(what) for week, what in lacking.items() if _observed_any(lake, week, what)}


def _observed_any(lake: Lake, week: date, forecasts: pd.DataFrame) -> bool:
    """Whether a week has a figure of any of the series that were forecast: one dropped since is never scored."""
    return len(forecasts) > 0 and bool(forecasts["unique_id"].isin(lake.read("observations", week)["unique_id"]).any())


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]  # the types of empty ones would count too
    return pd.concat(filled, ignore_index=True) if filled else accuracy.empty(())


def _said(lake: Lake, week: date, scores: pd.DataFrame) -> dict[str, Any]:
    """Numbers that mean something when they are drawn over the weeks, tables and pictures."""
    from forecasting.plots import coverage_by_horizon, error_by_horizon

    before = scores_between(lake, week - timedelta(weeks=YEAR - 1), week - timedelta(weeks=1))
    year = _stacked([before, scores])
    recent = year[year["ds"] > pd.Timestamp(week - timedelta(weeks=RECENT_WEEKS))]
    now, rolling = accuracy.summarize(scores, ["unique_id"]), accuracy.summarize(recent, ["unique_id"])
    names = now["unique_id"]
    return {
        "forecasts_scored": len(scores),
        **_means(now),
        **_by_series(now, "mae", "pinball"),
        **{
            f"recent_{key}": value
            for key, value in (_means(rolling) | _by_series(rolling, "mase", "bias_percent")).items()
        },
        "this_week": markdown_table(_shown(now)),
        "recent_weeks": markdown_table(_shown(rolling)),
        **pictures(names, lambda name: coverage_by_horizon(of_series(year, name)), what="coverage_by_horizon"),
        **pictures(names, lambda name: error_by_horizon(of_series(year, name)), what="error_by_horizon"),
        **pictures(names, lambda name: _oldest_fan(lake, week, of_series(scores, name)), what="what_came_since"),
    }


def _means(summary: pd.DataFrame) -> dict[str, float]:
    """Measures without a unit, as means over the series."""
    measures = ["relative", "bias_percent", "mase", *(name for name in summary if str(name).startswith("coverage-"))]
    return {str(name): round(float(value), 4) for name, value in summary[measures].mean().dropna().items()}


def _by_series(summary: pd.DataFrame, *measures: str) -> dict[str, float]:
    values = summary.set_index("unique_id")
    return {key: number for name in measures for key, number in by_series(name, values[name]).items()}


def _shown(summary: pd.DataFrame) -> pd.DataFrame:
    """The telling columns of a summary, the first ones first."""
    coverages = {
        str(name): f"in {str(name).removeprefix('coverage-')} %" for name in summary if "coverage-" in str(name)
    }
    names = {"mae": "MAE", "relative": "of naive", "bias_percent": "bias %", **coverages, "mase": "MASE", "n": "n"}
    return summary[["unique_id", *names]].rename(columns=names)


def _oldest_fan(lake: Lake, week: date, scores: pd.DataFrame) -> bytes:
    """The oldest of the forecasts that were scored, and what came since."""
    from forecasting.plots import fan_chart

    name, cutoff = str(scores["unique_id"].iloc[0]), scores["cutoff"].min()
    observed = of_series(lake.read("observations", week), name)
    return fan_chart(
        observed[observed["ds"] <= cutoff],
        of_series(lake.read("forecast", cutoff.date()), name),
        actual=observed[observed["ds"] > cutoff],
        weeks=YEAR,
    )
