"""Scores of forecasts: pure functions of arrays, and what compares the losses of two configurations.

Every metric takes arrays of one shape, averages over all their elements and returns a float. NaN and infinity
are never skipped: they raise `ScoringError`, because a mean over what happens to be left is another score
than the one asked for. Definitions follow Hyndman and Athanasopoulos, Forecasting: Principles and Practice
(3rd ed.), sections 5.8 and 5.9, unless said otherwise.
"""

from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from forecasting.errors import ForecastingError


class ScoringError(ForecastingError):
    """A score was asked for figures it is not defined on."""


def _finite(**named: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in named.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ScoringError(f"arrays of one shape are scored, got {shapes}; align them on series, cutoff and week first")
    for name, array in arrays.items():
        if array.size == 0:
            raise ScoringError(f"`{name}` is empty: there is nothing to score")
        if not np.isfinite(array).all():
            first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ScoringError(f"`{name}` is not finite at index {first}; drop or repair that row before scoring")
    return list(arrays.values())


def mae(y: ArrayLike, mean: ArrayLike) -> float:
    """Mean absolute error, in the unit of `y`.

    Args:
        y: observed values, any shape.
        mean: point forecasts, the same shape.

    Raises:
        ScoringError: shapes differ, nothing to score, or a value is NaN or infinite.

    >>> mae([10.0, 20.0], [12.0, 19.0])
    1.5
    """
    actual, forecast = _finite(y=y, mean=mean)
    return float(np.abs(forecast - actual).mean())


def mse(y: ArrayLike, mean: ArrayLike) -> float:
    """Mean squared error, in the squared unit of `y`; arguments and errors as `mae`.

    >>> mse([10.0, 20.0], [12.0, 19.0])
    2.5
    """
    actual, forecast = _finite(y=y, mean=mean)
    return float(np.square(forecast - actual).mean())


def rmse(y: ArrayLike, mean: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of `y`; arguments and errors as `mae`.

    >>> rmse([10.0, 20.0], [13.0, 24.0]) == 12.5**0.5
    True
    """
    return float(np.sqrt(mse(y, mean)))


def bias(y: ArrayLike, mean: ArrayLike) -> float:
    """Mean of forecast minus observed, in the unit of `y`: positive where forecasts are too high; else as `mae`.

    >>> bias([10.0, 20.0], [12.0, 19.0])
    0.5
    """
    actual, forecast = _finite(y=y, mean=mean)
    return float((forecast - actual).mean())


def smape(y: ArrayLike, mean: ArrayLike) -> float:
    """Symmetric mean absolute percentage error, percent between 0 and 200; as `mae` otherwise.

    The form of the M4 competition: 200 |forecast - y| / (|y| + |forecast|); a pair of zeros is a perfect
    forecast.

    >>> smape([100.0, 0.0], [300.0, 0.0])
    50.0
    """
    actual, forecast = _finite(y=y, mean=mean)
    size = np.abs(actual) + np.abs(forecast)
    return float((200 * np.abs(forecast - actual) / np.where(size == 0, 1, size)).mean())


def mase(y: ArrayLike, mean: ArrayLike, history: ArrayLike, *, season: int = 52) -> float:
    """Mean absolute scaled error: `mae` over the in-sample MAE of the seasonal naive forecast (no unit).

    Source: Hyndman and Koehler (2006), Another look at measures of forecast accuracy.

    Args:
        y: observed values, any shape.
        mean: point forecasts, the same shape.
        history: (n,) the values the model was trained on, in order, n > `season`.
        season: lag of the naive forecast, in steps.

    Raises:
        ScoringError: as `mae`; or the history is no longer than a season, or repeats itself exactly (scale
            zero).

    >>> mase([6.0], [9.0], [1.0, 2.0, 3.0, 4.0], season=2)
    1.5
    """
    (past,) = _finite(history=history)
    if past.ndim != 1 or past.size <= season:
        raise ScoringError(
            f"MASE with lag {season} needs a history of one dimension and more than {season} values, got {past.shape}"
        )
    scale = float(np.abs(past[season:] - past[:-season]).mean())
    if scale == 0:
        raise ScoringError(f"MASE has no scale: the history repeats itself exactly every {season} values")
    return mae(y, mean) / scale


def pinball(y: ArrayLike, quantile: ArrayLike, *, level: float) -> float:
    """Mean pinball (quantile) loss at one level, in the unit of `y`.

    Args:
        y: observed values, any shape.
        quantile: forecasts of the quantile, the same shape.
        level: the quantile's probability, between 0 and 1 exclusive.

    Raises:
        ScoringError: as `mae`, or the level is outside (0, 1).

    >>> pinball([10.0, 10.0], [8.0, 11.0], level=0.75)
    0.875
    """
    if not 0 < level < 1:
        raise ScoringError(f"a quantile's level lies between 0 and 1 exclusive, got {level}")
    actual, forecast = _finite(y=y, quantile=quantile)
    miss = actual - forecast
    return float(np.maximum(level * miss, (level - 1) * miss).mean())


def coverage(y: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> float:
    """Share of observed values inside their interval, bounds included (0 to 1).

    Args:
        y: observed values, any shape.
        lower: lower bounds, the same shape.
        upper: upper bounds, the same shape, none below its lower bound.

    Raises:
        ScoringError: as `mae`, or an interval is upside down.

    >>> coverage([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 0.0], [2.0, 3.0, 5.0, 1.0])
    0.5
    """
    actual, low, high = _finite(y=y, lower=lower, upper=upper)
    _upright(low, high)
    return float(((low <= actual) & (actual <= high)).mean())


def width(lower: ArrayLike, upper: ArrayLike) -> float:
    """Mean width of intervals, in the unit of the bounds; arguments and errors as `coverage`.

    >>> width([1.0, 2.0], [2.0, 5.0])
    2.0
    """
    low, high = _finite(lower=lower, upper=upper)
    _upright(low, high)
    return float((high - low).mean())


def _upright(low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    if (low > high).any():
        first = tuple(int(i) for i in np.argwhere(low > high)[0])
        raise ScoringError(f"the interval at index {first} is upside down: {low[first]} > {high[first]}")


def overlap_lags(*, horizon: int, step: int) -> int:
    """How many later origins share target weeks with an origin: ceil(horizon / step) - 1.

    >>> overlap_lags(horizon=26, step=4)
    6
    """
    return ceil(horizon / step) - 1


def hac_standard_error(x: ArrayLike, *, lags: int) -> float:
    """Standard error of the mean of an autocorrelated sequence, in the unit of `x`; NaN below two values.

    The long-run variance is Newey and West's (1987), with Bartlett weights 1 - j / (lags + 1). Demeaning
    makes it too small when the lags are many for the length, and an error that is too small makes noise look
    like progress; it is divided by its expectation for independent values of variance one, 1 - (sum over |j|
    <= lags of w_j (1 - |j| / n)) / n. At no lags that is the familiar n - 1, and the result is the ordinary
    standard error of a mean.

    Args:
        x: (n,) values in order of time, such as losses of successive origins.
        lags: autocovariances taken into account; those beyond n - 1 do not exist and count nothing.

    Raises:
        ScoringError: not one dimension, empty, or a value is NaN or infinite.

    >>> round(hac_standard_error([1.0, 2.0, 3.0, 4.0], lags=0), 6)
    0.645497
    """
    (values,) = _finite(x=x)
    if values.ndim != 1:
        raise ScoringError(f"one sequence is wanted, got an array of shape {values.shape}")
    n = values.size
    if n < 2:
        return float("nan")
    centred = values - values.mean()
    distances = np.arange(min(lags, n - 1) + 1)
    weights = np.where(distances == 0, 1.0, 2 * (1 - distances / (lags + 1)))
    autocovariances = np.array([centred[j:] @ centred[: n - j] / n for j in distances])
    expectation = 1 - float(weights @ (1 - distances / n)) / n
    return float(np.sqrt(weights @ autocovariances / n / expectation))


def origin_losses(errors: pd.DataFrame, *, observed_only: bool) -> pd.Series:
    """Mean squared error of each origin of one configuration on one series.

    Args:
        errors: rows of `cross_validation.rolling_origin` of one series and one configuration.
        observed_only: leave out weeks whose value was replaced; an origin of nothing else then has no loss.

    Returns:
        Losses in squared units of `y`, indexed by cutoff in order.

    Raises:
        ScoringError: rows of several series or configurations, or a value is NaN or infinite.
    """
    if len(errors[["unique_id", "configuration"]].drop_duplicates()) > 1:
        raise ScoringError("losses by origin are of one series and one configuration; select them first")
    scored = errors[errors["observed"]] if observed_only else errors
    if not scored.empty:
        _finite(y=scored["y"], mean=scored["mean"])
    squares = (scored["mean"] - scored["y"]) ** 2
    losses: pd.Series = squares.groupby(scored["cutoff"]).mean()
    return losses.rename("loss")


def paired_difference(a: pd.Series, b: pd.Series, *, lags: int) -> tuple[float, float]:
    """Mean of `a` - `b` over the same origins and its overlap-robust standard error; below 0 where `a` is better.

    Losses of two configurations rise and fall together, so the error of their difference is far smaller than
    either's own. This is the test of Diebold and Mariano (1995) with Bartlett weights. NaN for the error of
    fewer than two origins.

    Args:
        a: losses by cutoff, as `origin_losses` gives them.
        b: losses of what it is compared with, on exactly the same cutoffs.
        lags: how many later origins overlap one, see `overlap_lags`.

    Raises:
        ScoringError: the cutoffs differ, or there are none.
    """
    if not a.index.equals(b.index):
        apart = len(a.index.symmetric_difference(b.index))
        raise ScoringError(f"paired losses need the same origins; {apart} of {len(a)} and {len(b)} are in one only")
    difference = a.to_numpy(dtype=np.float64) - b.to_numpy(dtype=np.float64)
    return float(_finite(difference=difference)[0].mean()), hac_standard_error(difference, lags=lags)
