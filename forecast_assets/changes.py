"""Changes: why this week's forecast differs from last week's."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.gate import published_entries
from forecast_assets.metadata import markdown_table, of_series, pictures, stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.tables import FORECAST_CHANGES
from forecasting import changes
from forecasting.by_series import by_series
from forecasting.errors import ForecastingError
from forecasting.forecaster import ForecasterError
from resources.lake import Lake, content_digest

_LAST_TWO = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=0)


@weekly_asset(
    deps=[dg.AssetDep(name, partition_mapping=_LAST_TWO) for name in ("observations", "structural_break", "forecast")],
    description="Why the forecast of each week differs from what was forecast a week ago: new code, revised data, a "
    "new week of data, new hyper-parameters. Last week's model is fitted again, one thing changed at a time.",
    group="forecasts",
    kinds={"python", "parquet"},
    columns=FORECAST_CHANGES,
    code_version="1",
)
def forecast_changes(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Take the change of the forecast apart."""
    week = week_of(context.partition_key)
    before = week - timedelta(weeks=1)
    missing = [each for each in (before, week) if not lake.has("forecast", each)]
    if missing:
        return stored(
            lake,
            "forecast_changes",
            week,
            changes.EMPTY,
            metadata={"note": f"{missing[0]} has no forecast to compare."},
        )
    context.log.info(f"fitting the models of {before} again, to tell what changed since")
    found, left_out = changes_of(lake, before=before, week=week)
    for reason in left_out.values():
        context.log.warning(f"left out: {reason}")
    return stored(lake, "forecast_changes", week, found, metadata=_said(found, left_out))


def changes_of(lake: Lake, *, before: date, week: date) -> tuple[pd.DataFrame, dict[str, str]]:
    """The changes of every series that both weeks forecast, and why others are left out, by series.

    Args:
        lake: Where forecasts, models, observations and breaks of both weeks are.
        before: The earlier week.
        week: The later one.

    Raises:
        MissingTableError: A week lacks a table.
    """
    old, new = lake.read("forecast", before), lake.read("forecast", week)
    tables = {each: (lake.read("observations", each), lake.read("structural_break", each)) for each in (before, week)}
    try:
        entries = published_entries(lake, before)
    except ForecasterError as error:
        return changes.EMPTY, {"all": str(error)}
    found, left_out = [changes.EMPTY], {}
    for name in sorted(set(old["unique_id"]) & set(new["unique_id"])):
        if name not in entries:
            left_out[name] = f"{name}: the model of {before} is gone; replay that week with --force"
            continue
        then, now = (
            changes.Known(of_series(observations, name), of_series(breaks, name))
            for observations, breaks in (tables[before], tables[week])
        )
        try:
            found.append(
                changes.decompose(of_series(old, name), of_series(new, name), entries[name], then=then, now=now)
            )
        except (ForecastingError, ForecasterError) as error:
            left_out[name] = str(error)
    return pd.concat(found, ignore_index=True), left_out


def stale_weeks(lake: Lake) -> dict[date, str]:
    """The weeks that could be compared with the week before and were not, or whose forecasts were replaced since.

    Returns:
        A digest of the two forecasts, by week, in order: it is the same for as long as they are.
    """
    weeks = lake.weeks("forecast")
    tables = [table[["unique_id", "ds", "mean"]] for table in lake.read_weeks("forecast", weeks)]
    made = dict(zip(weeks, tables, strict=True))
    found = lake.weeks("forecast_changes")
    compared = dict(zip(found, lake.read_weeks("forecast_changes", found), strict=True))
    pairs = {week: (made[before], made[week]) for week in weeks if (before := week - timedelta(weeks=1)) in made}
    return {
        week: "-".join(content_digest(forecast) for forecast in pair)
        for week, pair in pairs.items()
        if week not in compared or not _is_current(compared[week], *pair)
    }


def _is_current(compared: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> bool:
    found = compared[["unique_id", "ds", "before", "after"]]
    for column, forecast in (("before", before), ("after", after)):
        found = found.merge(forecast.rename(columns={"mean": column}))  # on the value too: what was replaced drops out
    return len(found) == len(compared) > 0


def _said(found: pd.DataFrame, left_out: dict[str, str]) -> dict[str, Any]:
    """The reasons in words, and numbers that mean something when they are drawn over the weeks."""
    from forecasting.plots import change_bars

    if found.empty:
        return {"note": "; ".join(left_out.values()) or "The two forecasts have no week in common."}
    summary = changes.summarize(found)
    return {
        "why": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in summary["reason"])),
        "parts_in_percent": markdown_table(
            summary.rename(columns={f"{part}_percent": text for part, text in changes.PARTS.items()})[
                ["unique_id", "change_percent", *changes.PARTS.values()]
            ].rename(columns={"change_percent": "change"})
        ),
        **_numbers(summary.set_index("unique_id")),
        **({"left_out": "; ".join(left_out.values())} if left_out else {}),
        **pictures(summary["unique_id"], lambda name: change_bars(of_series(found, name)), what="change"),
    }


def _numbers(summary: pd.DataFrame) -> dict[str, float]:
    measures = ["change_percent", *(f"{part}_share" for part in changes.PARTS)]
    return {key: number for name in measures for key, number in by_series(name, summary[name]).items()}
