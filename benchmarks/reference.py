"""The reference pipeline, written as a user of sktime would write it: what our engine and forecaster are held against.

log, then optionally a linear detrender and a deseasonaliser of 52 weeks, then statsforecast's AutoARIMA (non-seasonal,
AICc) with K Fourier pairs as regressors; scored by a sliding window, refitted, stored with joblib. Where the published
code misaligns its future regressors by a week, this does not, so that both sides answer the same question.
"""

import contextlib
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from forecasting.configuration import Configuration

SEASON_LENGTH = 365.25 / 7
SEASON = 52
WINDOW = 417
HORIZON = 25
HELD_OUT = 26
WEEKLY = "W-FRI"
SPACE = 40
"""Configurations of the published space: detrend x deseasonalise x K of 1..10."""

SAMPLE = (
    Configuration(harmonics=10, holidays=False, deseasonalise=True),
    Configuration(harmonics=6, holidays=False),
    Configuration(harmonics=2, holidays=False, deseasonalise=True),
    Configuration(harmonics=1, holidays=False, deseasonalise=True, detrend=True),
)
"""Four of the forty; their mean K of 4.75 is below the space's 5.5, which favours the reference when scaled."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, which are about defaults that later versions of sktime and pandas change."""
    with warnings.catch_warnings(record=True):  # recorded, since sktime overrules a filter that ignores them
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Model:
    """A fitted pipeline.

    Attributes:
        pipeline: sktime's `TransformedTargetForecaster`.
        fourier: sktime's fitted `FourierFeatures`.
        y: What it was fitted on, thousand barrels per day by weekly period.
    """

    pipeline: Any
    fourier: Any
    y: pd.Series

    @_quiet()
    def predict(self, periods: int, conf: float) -> pd.DataFrame:
        """Forecasts of the weeks after the last one: date, lower, predictions, upper."""
        weeks = pd.period_range(self.y.index[-1] + 1, periods=periods, freq=WEEKLY)
        regressors = self.fourier.transform(pd.Series(0.0, index=weeks))
        steps = range(1, periods + 1)
        means = self.pipeline.predict(fh=steps, X=regressors)
        bounds = self.pipeline.predict_interval(fh=steps, X=regressors, coverage=conf)
        lower, upper = bounds.to_numpy().T
        dates = weeks.to_timestamp(how="end").strftime("%Y-%m-%d")
        return pd.DataFrame({"date": dates, "lower": lower, "predictions": means.to_numpy(), "upper": upper})


@_quiet()
def prepare(path: Path) -> pd.Series:
    """The weeks to train on, from the figures as published: outliers by STL, the pandemic replaced by an STL forecast.

    Args:
        path: CSV of `date,value`.

    Returns:
        567 weeks from 2013 to 2023-11-10, thousand barrels per day by weekly period.
    """
    from sktime.forecasting.compose import TransformedTargetForecaster
    from sktime.forecasting.naive import NaiveForecaster
    from sktime.forecasting.trend import STLForecaster
    from sktime.transformations.series.boxcox import LogTransformer
    from statsmodels.tsa.seasonal import STL

    y = pd.read_csv(path, index_col="date", parse_dates=True)["value"].astype(np.float64).asfreq(WEEKLY)
    known = y.iloc[:-HELD_OUT]
    remainder = STL(known, period=SEASON, robust=True).fit().resid
    low, high = remainder.quantile([0.25, 0.75])
    outliers = remainder[(remainder < low - 3 * (high - low)) | (remainder > high + 3 * (high - low))]
    pandemic = outliers["2020-03":"2022"].index

    y = by_period(y["2013":])
    broken = y.loc[pandemic[0] : pandemic[-1]]
    before = y.loc[: pandemic[0]].iloc[:-1]
    parts = {
        f"forecaster_{part}": NaiveForecaster(sp=SEASON, strategy="mean") for part in ("trend", "seasonal", "resid")
    }
    pipeline = TransformedTargetForecaster(
        [("log", LogTransformer()), ("stl", STLForecaster(sp=SEASON, robust=True, **parts))]
    )
    pipeline.fit(before)
    y.loc[broken.index] = pipeline.predict(fh=range(1, len(broken) + 1)).to_numpy()
    return y


def by_period(history: pd.Series) -> pd.Series:
    """A series by Friday as sktime wants it: by weekly period."""
    return pd.Series(history.to_numpy(), index=pd.PeriodIndex(history.index, freq=WEEKLY), name=history.name)


@_quiet()
def fit(y: pd.Series, configuration: Configuration) -> Model:
    """The pipeline of a configuration, fitted.

    Args:
        y: Thousand barrels per day by weekly period.
        configuration: Its Fourier pairs, trend and season; the pipeline knows no holidays.
    """
    from sktime.forecasting.compose import TransformedTargetForecaster
    from sktime.forecasting.statsforecast import StatsForecastAutoARIMA
    from sktime.transformations.series.boxcox import LogTransformer
    from sktime.transformations.series.detrend import Deseasonalizer, Detrender
    from sktime.transformations.series.fourier import FourierFeatures

    fourier = FourierFeatures(sp_list=[SEASON_LENGTH], fourier_terms_list=[configuration.harmonics], freq=WEEKLY)
    pipeline = TransformedTargetForecaster(
        [
            ("log", LogTransformer()),
            *([("detrend", Detrender(model="additive"))] if configuration.detrend else []),
            *([("deseasonalise", Deseasonalizer(sp=SEASON))] if configuration.deseasonalise else []),
            ("arima", StatsForecastAutoARIMA(sp=SEASON_LENGTH, seasonal=False, information_criterion="aicc")),
        ]
    )
    pipeline.fit(y, X=fourier.fit_transform(y))
    return Model(pipeline, fourier, y)


def save(model: Model, folder: Path) -> None:
    """Store a model as the published training job does: two joblib files and the series as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model.pipeline, folder / "pipeline.joblib")
    joblib.dump(model.fourier, folder / "fourier.joblib")
    model.y.to_csv(folder / "y.csv")


def load(folder: Path) -> Model:
    """The model that `save` stored."""
    y = pd.read_csv(folder / "y.csv", index_col=0).iloc[:, 0]
    y.index = pd.PeriodIndex([week.split("/")[-1] for week in y.index], freq=WEEKLY)
    return Model(joblib.load(folder / "pipeline.joblib"), joblib.load(folder / "fourier.joblib"), y)


def window_starts(n_weeks: int, *, every: int = 1) -> list[int]:
    """First positions of the sliding windows of 417 weeks with 25 to forecast: 100 of them in 541 weeks."""
    return list(range(0, n_weeks - WINDOW - HORIZON + 1, every))


@_quiet()
def squared_errors(y: pd.Series, configuration: Configuration, starts: Sequence[int]) -> list[float]:
    """The mean squared error of each window: refitted, 25 weeks forecast, compared with the same series.

    Args:
        y: Thousand barrels per day by weekly period, the held-out weeks left out.
        configuration: What to fit.
        starts: First positions of the windows.
    """
    found = []
    for start in starts:
        window, target = y.iloc[start : start + WINDOW], y.iloc[start + WINDOW : start + WINDOW + HORIZON]
        model = fit(window, configuration)
        means = model.pipeline.predict(fh=range(1, HORIZON + 1), X=model.fourier.transform(target))
        found.append(float(np.mean((means.to_numpy() - target.to_numpy()) ** 2)))
    return found


@dataclass(frozen=True)
class Search:
    """A timed search.

    Attributes:
        seconds: Wall time of what was run.
        scaled_s: Wall time that the whole space of 40 configurations and all windows would take at this pace.
        losses: Mean squared error by configuration, over the windows that were run.
    """

    seconds: float
    scaled_s: float
    losses: dict[Configuration, float]


def search(
    y: pd.Series,
    configurations: Sequence[Configuration] = SAMPLE,
    *,
    every: int = 1,
    processes: int = 2,
    progress: Callable[[str], None] = lambda _text: None,
) -> Search:
    """Score configurations by rolling origin in parallel processes, which start and import before the clock does.

    Args:
        y: Thousand barrels per day by weekly period, the held-out weeks left out.
        configurations: What to score.
        every: Score every so many-th window only; `scaled_s` accounts for the others.
        processes: How many work at once; the windows of a configuration are spread over all of them.
        progress: Told after every configuration.
    """
    starts = window_starts(len(y), every=every)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_one_thread) as pool:
        warm = [pool.submit(squared_errors, y, configurations[0], starts[:1]) for _ in range(processes)]
        for task in warm:
            task.result()
        began = time.perf_counter()
        tasks = {
            one: [pool.submit(squared_errors, y, one, starts[part::processes]) for part in range(processes)]
            for one in configurations
        }
        losses = {}
        for one, parts in tasks.items():
            losses[one] = float(np.mean([loss for part in parts for loss in part.result()]))
            progress(one.name)
        seconds = time.perf_counter() - began
    skipped = len(window_starts(len(y))) / len(starts)
    return Search(seconds, seconds * skipped * SPACE / len(configurations), losses)


def _one_thread() -> None:
    """Processes side by side lose time to each other's linear algebra threads."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
