"""The counterfactual: the weeks of a structural break as they would have been, had the weeks before it gone on.

log y of the weeks before the break is taken apart by robust STL, and trend, season and remainder are each forecast by
their seasonal mean. Equal to sktime's STLForecaster with NaiveForecaster(strategy="mean", sp=52) for each part.
"""

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.breaks import NEEDED_WEEKS
from forecasting.errors import ForecastingError, SeriesError, SeriesTooShortError
from forecasting.outliers import PERIOD, decompose, weekly

Floats = npt.NDArray[np.float64]


def counterfactual(history: pd.DataFrame, breaks: pd.DataFrame, *, span_start: date) -> pd.DataFrame:
    """Every series from `span_start` on, as observed and with every week of its breaks replaced.

    Breaks are replaced in order of time; a later one learns from the replaced weeks of an earlier one.

    Args:
        history: `unique_id`, `ds` (Fridays), `y` (thousand barrels per day), from the breaks' `fitted_from` or earlier.
        breaks: What `find_breaks` gave; breaks of other series are ignored.
        span_start: First day of the training span.

    Returns:
        `unique_id`, `ds`, `y`, `counterfactual`, `replaced`: one row per observed week, in order of series and week.

    Raises:
        SeriesError: A figure before a break is not positive.
        SeriesTooShortError: Fewer than 104 weeks lie between `fitted_from` and a break.
        ForecastingError: There is no week in the span.
    """
    tables = []
    for unique_id, series in history.groupby("unique_id", sort=True):
        y = weekly(series)
        replaced = y.copy()
        inside = pd.Series(False, index=y.index)
        own = breaks[breaks["unique_id"] == unique_id].sort_values("start")
        for start, end, fitted_from in zip(own["start"], own["end"], own["fitted_from"], strict=True):
            span = (y.index >= start) & (y.index <= end)
            before = replaced[(y.index >= fitted_from) & (y.index < start)]
            replaced[span] = _continuation(before, int(span.sum()))
            inside |= span
        table = pd.DataFrame(
            {"unique_id": unique_id, "ds": y.index, "y": y, "counterfactual": replaced, "replaced": inside}
        )
        # Weeks that were never published stay so, inside a break too.
        tables.append(table[y.notna() & (y.index >= pd.Timestamp(span_start))])
    if not any(len(table) for table in tables):
        raise ForecastingError(f"no week from {span_start} on; the history ends before the training span")
    return pd.concat(tables, ignore_index=True)


def seasonal_mean(values: npt.ArrayLike, horizon: int, *, period: int = PERIOD) -> Floats:
    """Forecasts by the mean of all earlier values of the same week of the season, counted from the end of the sample.

    Args:
        values: Shape (n,), n >= period.
        horizon: Steps ahead.
        period: Length of the season, steps.

    Returns:
        Shape (horizon,).

    >>> seasonal_mean([9, 1, 2, 3, 4], 3, period=2)
    array([2., 5., 2.])
    """
    sample = np.asarray(values, dtype=np.float64)
    phase = (np.arange(len(sample)) - len(sample)) % period
    means = np.array([sample[phase == k].mean() for k in range(period)])
    return means[np.arange(horizon) % period]


def _continuation(before: pd.Series, weeks: int) -> Floats:
    observed = before.dropna()
    if len(observed) < NEEDED_WEEKS:
        raise SeriesTooShortError(str(before.name), len(observed), NEEDED_WEEKS, "the weeks before a break")
    bad = observed[observed <= 0]
    if len(bad):
        reason = f"week {bad.index[0].date()} is {bad.iloc[0]}; the counterfactual needs positive figures"
        raise SeriesError(str(before.name), reason)
    parts = decompose(np.log(before[observed.index[0] :]))
    total = np.sum([seasonal_mean(parts[name], weeks) for name in ("trend", "seasonal", "remainder")], axis=0)
    replaced: Floats = np.exp(total)
    return replaced
