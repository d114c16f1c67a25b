"""Forecasts: what consumers read."""

from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.gate import gated_artifact, verdict_of
from forecast_assets.metadata import due_every_week, listed, markdown_table, of_series, pictures, stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecast_assets.tables import forecast_columns, schema
from forecasting import forecaster
from forecasting.configuration import Configuration
from resources.lake import Lake


@due_every_week
@weekly_asset(
    deps=["candidate_model"],
    description="The forecast of every series from the week after the cutoff on, with conformal intervals.",
    group="forecasts",
    kinds={"python", "parquet"},
    code_version="1",
)
def forecast(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Forecast with what passed the gate."""
    from forecasting.plots import fan_chart

    week = week_of(context.partition_key)
    verdict = verdict_of(lake, week, tolerance=settings.gate_tolerance)
    if not verdict.passed:
        raise dg.Failure(verdict.reason, allow_retries=False)
    observations = lake.read("observations", week)
    table = forecast_table(
        gated_artifact(lake, verdict),
        horizon=settings.horizon,
        levels=settings.levels,
        passing=verdict.passing,
        source=str(observations["source"].iloc[0]),
    )
    first = table[table["horizon"] == 1]
    return stored(
        lake,
        "forecast",
        week,
        table,
        metadata={
            # Its columns follow the levels that the settings ask for.
            "dagster/column_schema": schema(forecast_columns(settings.levels)),
            "series": int(table["unique_id"].nunique()),
            "held_back": listed(verdict.held_back),
            "next_week": markdown_table(_summary(first, settings.levels)),
            # A number a series: Dagster draws it over the weeks.
            **dict(zip("next_week_" + first["unique_id"], first["mean"].round(1), strict=True)),
            **pictures(
                table["unique_id"].unique(),
                lambda name: fan_chart(of_series(observations, name), of_series(table, name)),
                what="fan",
            ),
        },
    )


def forecast_table(
    artifact: dict[str, Any],
    *,
    horizon: int,
    levels: tuple[float, ...],
    passing: list[str],
    source: str,
) -> pd.DataFrame:
    """The forecast of every series of an artifact, in the columns of `tables.forecast_columns`."""
    rows = [
        {
            "unique_id": name,
            "cutoff": entry["cutoff"],
            **row,
            "interval": forecaster.best_interval(entry),
            "model": Configuration.from_dict(entry["configuration"]).name,
            "role": "candidate" if name in passing else "stand-in",
            "source": source,
        }
        for name, entry in artifact["series"].items()
        for row in forecaster.forecast(entry, horizon=horizon, levels=levels, interval=forecaster.best_interval(entry))
    ]
    table = pd.DataFrame(rows)[list(forecast_columns(levels))]
    return table.assign(ds=pd.to_datetime(table["ds"]), cutoff=pd.to_datetime(table["cutoff"]))


def _summary(rows: pd.DataFrame, levels: tuple[float, ...]) -> pd.DataFrame:
    """A row for each of few forecasts, narrow enough to be seen whole."""
    intervals = {
        f"{level:g} %": [
            f"{low:,.0f}..{high:,.0f}" for low, high in zip(rows[f"lo-{level:g}"], rows[f"hi-{level:g}"], strict=True)
        ]
        for level in levels
    }
    return rows[["unique_id", "mean"]].assign(**intervals)
