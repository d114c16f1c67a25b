"""Outliers of the weekly figures: weeks whose remainder, season and trend taken off, lies far outside the others.

Robust STL (Cleveland et al. 1990, J. Off. Stat. 6) of the figures themselves, not of their logs, and Tukey's fences. A
missing week is interpolated for the decomposition only: it is never flagged, and never in a result.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.errors import ForecastingError, SeriesError, SeriesTooShortError

Floats = npt.NDArray[np.float64]

PERIOD = 52
FENCE = 3.0


def flag_outliers(history: pd.DataFrame, *, period: int = PERIOD, fence: float = FENCE) -> pd.DataFrame:
    """Every week of every series with its decomposition, its fences and whether it lies outside them.

    Args:
        history: `unique_id`, `ds` (Fridays), `y` (thousand barrels per day); further columns are ignored.
        period: Length of the season, weeks.
        fence: Distance of the fences from the quartiles of the remainder, interquartile ranges.

    Returns:
        `unique_id`, `ds`, `y`, `trend`, `seasonal`, `remainder`, `lower`, `upper`, `outlier`, in order of series and
        week.

    Raises:
        SeriesError: A figure is not a number, or a week stands twice or is not a Friday.
        SeriesTooShortError: A series has fewer weeks than two seasons.
        ForecastingError: There is no series at all, or the fence is not positive.
    """
    if not fence > 0:
        raise ForecastingError(f"fence {fence}: it is a positive number of interquartile ranges")
    if history.empty:
        raise ForecastingError("history: it is empty; hand over at least one series")
    flagged = [
        _flag(series, period, fence) for _, series in history[["unique_id", "ds", "y"]].groupby("unique_id", sort=True)
    ]
    return pd.concat(flagged, ignore_index=True)


def weekly(series: pd.DataFrame) -> pd.Series:
    """The figures of one series by week, missing weeks as NaN.

    Args:
        series: `unique_id` (one value), `ds`, `y`.

    Returns:
        Index: every Friday from the first to the last; name: the series' id.

    Raises:
        SeriesError: A figure is not a number, or a week stands twice or is not a Friday.
    """
    unique_id = str(series["unique_id"].iloc[0])
    y = pd.Series(
        series["y"].to_numpy(dtype=np.float64), index=pd.DatetimeIndex(series["ds"]), name=unique_id
    ).sort_index()
    for wrong, reason in (
        (y.index.duplicated(), "stands twice"),
        (np.array([day.weekday() != 4 for day in y.index], dtype=bool), "is not a Friday"),
        (~np.isfinite(y.to_numpy()), "has no finite figure"),
    ):
        if wrong.any():
            raise SeriesError(unique_id, f"week {y.index[wrong][0].date()} {reason}")
    return y.asfreq("W-FRI")


def decompose(y: pd.Series, *, period: int = PERIOD) -> pd.DataFrame:
    """Robust STL of one series, missing weeks interpolated linearly for the purpose.

    Args:
        y: Index: consecutive Fridays; NaN where a week is missing.
        period: Length of the season, weeks.

    Returns:
        `trend`, `seasonal`, `remainder` by week, missing weeks included; they add up to `y`.

    Raises:
        SeriesTooShortError: Fewer weeks than two seasons.
    """
    if len(y) < 2 * period:
        raise SeriesTooShortError(str(y.name), len(y), 2 * period, f"robust STL of period {period}")
    from statsmodels.tsa.seasonal import STL

    result = STL(y.interpolate("linear").to_numpy(), period=period, robust=True).fit()
    return pd.DataFrame({"trend": result.trend, "seasonal": result.seasonal, "remainder": result.resid}, index=y.index)


def _flag(series: pd.DataFrame, period: int, fence: float) -> pd.DataFrame:
    y = weekly(series)
    parts = decompose(y, period=period)[y.notna()]
    low, high = np.quantile(parts["remainder"], [0.25, 0.75])
    lower, upper = low - fence * (high - low), high + fence * (high - low)
    return pd.DataFrame(
        {
            "unique_id": y.name,
            "ds": parts.index,
            "y": y.dropna().to_numpy(),
            "trend": parts["trend"].to_numpy(),
            "seasonal": parts["seasonal"].to_numpy(),
            "remainder": parts["remainder"].to_numpy(),
            "lower": lower,
            "upper": upper,
            "outlier": ((parts["remainder"] < lower) | (parts["remainder"] > upper)).to_numpy(),
        }
    )
