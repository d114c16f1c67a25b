"""How forecasts fared: a row for every earlier forecast of a week that has arrived, and what many such rows say."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from forecasting.columns import levels_in
from forecasting.forecaster import label
from forecasting.schema import SEASON


def score(
    forecasts: pd.DataFrame, actuals: pd.DataFrame, found: pd.DataFrame, *, levels: Sequence[float]
) -> pd.DataFrame:
    """The scores of forecasts whose week has arrived.

    Args:
        forecasts: Rows of forecasts made in any weeks: `unique_id, ds, cutoff, horizon, mean, lo-80, hi-80, ...,
            interval, model, role, source`, in the unit of the series. Those of weeks without a figure are left out.
        actuals: `unique_id, ds, y` as they are known now.
        found: What `references` gave for the spans that the forecasts were made from.
        levels: Levels of the intervals that get columns, per cent. A forecast made without one of them has NaN there.

    Returns:
        One row per forecast, in order of series, week and cutoff, in the columns and types of `dtypes`: `y`, `mean`,
        `error` (mean - y), `absolute_error`, `scaled_error` (over the seasonal naive's in-sample MAE, no unit),
        `pinball` (mean quantile loss over the median and both bounds of every level the forecast was made with),
        `inside-80` (1 or 0) and `width-80` per level, `naive` and `naive_error` of the seasonal naive of that cutoff.
    """
    rows = forecasts.merge(actuals[["unique_id", "ds", "y"]], on=["unique_id", "ds"])
    rows = rows.merge(found, on=["unique_id", "cutoff", "ds"], how="left")
    error = rows["mean"] - rows["y"]
    columns: dict[str, pd.Series] = {
        "error": error,
        "absolute_error": error.abs(),
        "scaled_error": error.abs() / rows["scale"],
        "pinball": _pinball(rows),
        "naive_error": rows["naive"] - rows["y"],
    }
    for name in map(label, levels):
        nothing = pd.Series(np.nan, index=rows.index)
        low, high = rows.get(f"lo-{name}", nothing), rows.get(f"hi-{name}", nothing)
        columns[f"inside-{name}"] = rows["y"].between(low, high).astype("float64").where(low.notna())
        columns[f"width-{name}"] = high - low
    types = dtypes(levels)
    scored = rows.assign(**columns)[list(types)].astype(types)
    return scored.sort_values(["unique_id", "ds", "cutoff"], ignore_index=True)


def references(spans: pd.DataFrame, week: pd.Timestamp) -> pd.DataFrame:
    """What forecasts of a week are held against, for every training span that they were made from.

    Args:
        spans: `unique_id, cutoff, ds, y, counterfactual`: the weeks up to each cutoff, in order, as they were known
            then.
        week: The week that was forecast.

    Returns:
        `unique_id, cutoff, ds`, `scale`: the in-sample MAE of the seasonal naive, on the counterfactual, which a
        structural break does not inflate (NaN where it is zero or the span is no longer than a year); `naive`: y of the
        same week of the last year that the cutoff knew (NaN where that was never published).
    """
    key = ["unique_id", "cutoff"]
    differences = spans.groupby(key, sort=False)["counterfactual"].diff(SEASON).abs()
    scale = differences.groupby([spans[name] for name in key]).mean().rename("scale")
    weeks_ahead = (week - spans["cutoff"]).dt.days // 7
    last_year = week - pd.to_timedelta(-(-weeks_ahead // SEASON) * 7 * SEASON, unit="D")
    naive = spans[spans["ds"] == last_year].set_index(key)["y"].rename("naive")
    table = scale.where(scale > 0).to_frame().join(naive).reset_index()
    return table.assign(ds=week)


def dtypes(levels: Sequence[float]) -> dict[str, str]:
    """Columns of the scores and their types, whatever rows there are."""
    numbers = ["y", "mean", "error", "absolute_error", "scaled_error", "pinball"]
    numbers += [f"{measure}-{label(level)}" for level in levels for measure in ("inside", "width")]
    return {
        "unique_id": "str",
        "ds": "datetime64[us]",
        "cutoff": "datetime64[us]",
        "horizon": "int64",
        **dict.fromkeys([*numbers, "naive", "naive_error"], "float64"),
        **dict.fromkeys(["interval", "model", "role", "source"], "str"),
    }


def empty(levels: Sequence[float]) -> pd.DataFrame:
    """The scores of no forecast."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in dtypes(levels).items()})


def summarize(scores: pd.DataFrame, by: Iterable[str] = ()) -> pd.DataFrame:
    """What scores say on the whole, a row per group.

    Args:
        scores: What `score` gave, of any weeks.
        by: Columns to group by; with none there is one row. Measures with a unit mean something within one series.

    Returns:
        The columns of `by`, in order, then `n` (forecasts), `weeks` (target weeks), `mae`, `relative` (MAE over the
        seasonal naive's for the same weeks), `mase`, `bias` (mean error), `bias_percent` (of the mean of y),
        `pinball`, and `coverage-80` (a share) and `width-80` per level. No row where there is no score.
    """
    keys = list(by)
    compared = scores.assign(
        compared=scores["absolute_error"].where(scores["naive_error"].notna()), naive_error=scores["naive_error"].abs()
    )
    levels = levels_in(scores, "inside-")
    # A group for all: groupby wants a key.
    groups = compared.groupby(keys or np.zeros(len(compared), dtype="int64"), sort=True)
    means = groups[
        [
            *("y", "error", "absolute_error", "scaled_error", "pinball", "compared", "naive_error"),
            *(f"{measure}-{level}" for level in levels for measure in ("inside", "width")),
        ]
    ].mean()
    table = pd.DataFrame(
        {
            "n": groups.size(),
            "weeks": groups["ds"].nunique(),
            "mae": means["absolute_error"],
            "relative": means["compared"] / means["naive_error"].where(means["naive_error"] > 0),
            "mase": means["scaled_error"],
            "bias": means["error"],
            "bias_percent": 100 * means["error"] / means["y"],
            "pinball": means["pinball"],
            **{f"coverage-{level}": means[f"inside-{level}"] for level in levels},
            **{f"width-{level}": means[f"width-{level}"] for level in levels},
        }
    )
    return table.reset_index(drop=not keys)


def _pinball(rows: pd.DataFrame) -> pd.Series:
    """The mean quantile loss of every row over the quantiles it has."""
    y = rows["y"]
    losses = [(rows["mean"] - y).abs() / 2]  # the mean is the median of the forecast's distribution
    for name in rows:
        side, _, level = str(name).partition("-")
        if side in {"lo", "hi"}:
            probability = (1 + (-1 if side == "lo" else 1) * float(level) / 100) / 2
            miss = y - rows[name]
            losses.append(pd.Series(np.maximum(probability * miss, (probability - 1) * miss), index=rows.index))
    return pd.concat(losses, axis=1).mean(axis=1)
