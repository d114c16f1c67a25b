"""Rolling-origin evaluation: what a configuration would have forecast from each past week, beside what came.

Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), section 5.10. The window
slides, it does not grow, so every origin trains on the same number of weeks.

Two ways to score stand side by side. `published` is the protocol of the published study: horizons 1 to 25,
every week an origin, forecasts compared with the very series the configuration was trained on, replaced weeks
included. It exists to compare with the study's table. It favours whatever replaces most, since a smooth
invention is easier to forecast than demand. `fair` compares with observed weeks only, at the horizons in use, and
from origins whose own week was observed: a model that starts from an invented level is wrong by the invention, which
says nothing of the weeks it is used from.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import forecaster, harmonic_regression, models, seasonal_naive, transforms
from forecasting.configuration import Configuration
from forecasting.design import design
from forecasting.engine.arima import failure, fit_arima
from forecasting.errors import (
    ConfigurationError,
    ForecastingError,
    NotFiniteError,
    SeriesError,
    SeriesTooShortError,
)
from forecasting.regressors import holiday_weeks

Floats = npt.NDArray[np.float64]

Scoring = Literal["fair", "published"]
Progress = Callable[[int, int, str], None]

WEEK: Final = pd.Timedelta(weeks=1)


@dataclass(frozen=True)
class Splits:
    """How a series is cut into training windows and the weeks they forecast, all in weeks.

    Attributes:
        window: length of every training window.
        horizon: weeks forecast from each origin.
        step: weeks between origins.
        latest: keep only this many of the newest origins; None keeps all.
    """

    window: int = 417
    horizon: int = 26
    step: int = 4
    latest: int | None = None

    def __post_init__(self) -> None:
        counts = (self.window, self.horizon, self.step, 1 if self.latest is None else self.latest)
        if min(counts) < 1:
            raise ConfigurationError(f"window, horizon, step and the number of origins are at least 1, got {self}")


SPLITS: Final[dict[Scoring, Splits]] = {"fair": Splits(), "published": Splits(horizon=25, step=1)}


class IncompleteSeriesError(SeriesError):
    """The weeks of a series are not consecutive, or a value is missing."""


class NothingObservedError(SeriesError):
    """Every week that could be scored was replaced, so there is no observed value to compare with."""


@dataclass(frozen=True)
class Evaluation:
    """What a rolling-origin evaluation gives.

    Attributes:
        errors: one row per forecast of the trials that worked: unique_id, configuration (its name), cutoff
            (last week trained on), horizon, ds, y (what the forecast is compared with), mean, se (log scale),
            observed (False where y was replaced).
        trials: one row per series and configuration: unique_id, configuration, status ("ok" or the name of
            the error), reason, n_parameters (mean over origins, NaN if it failed) and seconds (of computing,
            summed over origins).
    """

    errors: pd.DataFrame
    trials: pd.DataFrame


def origins(n_weeks: int, *, window: int = 417, horizon: int = 26, step: int = 1) -> list[int]:
    """Give where the training windows start, counted back from the last so that the newest week is always used.

    >>> len(origins(541, horizon=25)), len(origins(541, horizon=26)), origins(541, step=40)
    (100, 99, [18, 58, 98])

    Returns:
        Positions of first weeks in ascending order; empty where the series is shorter than window + horizon.
    """
    last = n_weeks - window - horizon
    return sorted(range(last, -1, -step))


@dataclass(frozen=True)
class _Variant:
    """What a window looks like before regressors come in."""

    series: int
    counterfactual: bool
    detrend: bool
    deseasonalise: bool


@dataclass(frozen=True)
class _Regressors:
    harmonics: int
    holidays: bool


_Cell = tuple[_Variant, _Regressors]


@dataclass(frozen=True)
class _Series:
    unique_id: str
    days: pd.DatetimeIndex
    observed: Floats  # (weeks,), and so on
    counterfactual: Floats
    replaced: npt.NDArray[np.bool_]
    starts: tuple[int, ...]  # of the windows, in order

    def training(self, *, counterfactual: bool) -> Floats:
        return self.counterfactual if counterfactual else self.observed


@dataclass(frozen=True)
class _Trial:
    series: int
    configuration: Configuration


class Backtest:
    """A rolling-origin evaluation that can be stopped: what is finished can be evaluated at any time.

    Windows that share their regressors are fitted together, whatever series or transformation they come from, and a
    configuration that leaves the number of harmonics to AICc shares its fits with those that fix it. Work goes origin
    by origin, the newest first, so that every configuration has seen the same origins when it is stopped.

    Args:
        data: unique_id, ds (consecutive weeks), y (observed), counterfactual (equal to y outside a break),
            replaced (bool).
        configurations: what to try, with distinct names. Those with `counterfactual` train on that column,
            the others on `y`.
        scoring: what forecasts are compared with, see the module.
        splits: windows, horizons and steps; None takes those of the protocol in `SPLITS`.
        season_length: weeks in a year.
        max_harmonics: largest number of Fourier pairs tried where the configuration leaves it open.

    Raises:
        ConfigurationError: configurations share a name, or a number makes no sense.
    """

    def __init__(
        self,
        data: pd.DataFrame,
        configurations: Sequence[Configuration],
        *,
        scoring: Scoring = "fair",
        splits: Splits | None = None,
        season_length: float = 365.25 / 7,
        max_harmonics: int = 12,
    ) -> None:
        models.check_options(season_length=season_length, max_harmonics=max_harmonics)
        names = [configuration.name for configuration in configurations]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"configurations need distinct names, got {names}")
        self._scoring, self._splits = scoring, splits or SPLITS[scoring]
        self._season_length, self._max_harmonics = season_length, max_harmonics
        self._columns = _no_errors(data)
        self._series: list[_Series] = []
        self._trials: list[tuple[str, Configuration, _Trial | None]] = []
        self._failures: dict[tuple[str, str], tuple[str, str]] = {}
        for unique_id, rows in data.groupby("unique_id", sort=True):
            self._add(str(unique_id), rows, configurations)
        cells = {cell: None for _, _, trial in self._trials if trial is not None for cell in self._cells(trial)}
        self._position: dict[_Cell, int] = {cell: i for i, cell in enumerate(cells)}
        most = max((len(series.starts) for series in self._series), default=0)
        shape = len(cells), most
        self._status = np.full(shape, -1)
        self._d = np.zeros(shape, dtype=np.int64)
        self._aicc, self._n_parameters, self._seconds = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
        self._mean = np.full((*shape, self._splits.horizon), np.nan)
        self._se = np.full((*shape, self._splits.horizon), np.nan)
        self._finished: set[pd.Timestamp] = set()

    @property
    def origins(self) -> tuple[int, int]:
        """Origins finished, and origins in all, each counted once whatever the number of series."""
        return len(self._finished), len(self._days())

    def run(self, *, workers: int = 1, progress: Progress | None = None) -> None:
        """Fit and forecast every window of the origins that are not finished.

        Args:
            workers: threads; the result does not depend on it.
            progress: called with groups of windows done, groups in all, and what was done. What it raises, and what a
                signal handler raises, ends the run: the origins finished until then remain.
        """
        import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which can only be limited once it is loaded
        from threadpoolctl import threadpool_limits

        windows = self._windows()
        open_days = sorted(set(self._days()) - self._finished, reverse=True)
        work = [(day, regressors) for day in open_days for regressors in self._wanted(day)]
        left = Counter(day for day, _ in work)
        self._finished.update(day for day in self._days() if day not in left)
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            tasks: dict[Future[None], tuple[pd.Timestamp, _Regressors]] = {}
            try:
                for day, regressors in work:
                    tasks[pool.submit(self._fit, day, regressors, windows)] = day, regressors
                for done, task in enumerate(as_completed(tasks), start=1):
                    task.result()
                    day, regressors = tasks[task]
                    left[day] -= 1
                    if not left[day]:
                        self._finished.add(day)
                    if progress is not None:
                        what = f"K={regressors.harmonics}{' with holidays' if regressors.holidays else ''}"
                        progress(done, len(work), f"origin {self._cutoff(day):%Y-%m-%d}, {what}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What is known so far, for `resume`; while it runs too."""
        return {**self._arrays(), "finished": np.array(sorted(self._finished), dtype="datetime64[ns]")}

    def resume(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what an evaluation of the same data and configurations knew: its origins are not fitted again.

        Raises:
            ValueError: It is of another evaluation.
        """
        arrays = self._arrays()
        finished = {pd.Timestamp(day) for day in state.get("finished", [])}
        same = all(name in state and state[name].shape == array.shape for name, array in arrays.items())
        if not same or not finished <= set(self._days()):
            raise ValueError("the state is of an evaluation of other data or configurations")
        for name, array in arrays.items():
            array[...] = state[name]
        self._finished = finished

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "status": self._status,
            "d": self._d,
            "aicc": self._aicc,
            "n_parameters": self._n_parameters,
            "seconds": self._seconds,
            "mean": self._mean,
            "se": self._se,
        }

    def evaluation(self) -> Evaluation:
        """Errors and trials over the origins that are finished."""
        frames, rows = [], []
        for unique_id, configuration, trial in self._trials:
            outcome = self._outcome(trial, self._failures.get((unique_id, configuration.name)))
            if trial is not None and outcome.status == "ok":
                frames.append(self._errors(trial, outcome))
            rows.append(
                {
                    "unique_id": unique_id,
                    "configuration": configuration.name,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "n_parameters": outcome.n_parameters,
                    "seconds": outcome.seconds,
                }
            )
        if not frames:
            return Evaluation(errors=self._columns, trials=pd.DataFrame(rows))
        columns = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
        errors = pd.DataFrame(columns).astype(self._columns.dtypes.to_dict())
        return Evaluation(errors=errors, trials=pd.DataFrame(rows))

    def _add(self, unique_id: str, rows: pd.DataFrame, configurations: Sequence[Configuration]) -> None:
        try:
            series = self._planned(unique_id, _complete(rows))
        except ForecastingError as error:
            for configuration in configurations:
                self._failures[unique_id, configuration.name] = type(error).__name__, str(error)
                self._trials.append((unique_id, configuration, None))
            return
        self._series.append(series)
        unusable = {kind: self._unusable(series, counterfactual=kind) for kind in (True, False)}
        for configuration in configurations:
            reason = unusable[configuration.counterfactual]
            trial = None if reason else _Trial(len(self._series) - 1, configuration)
            if reason:
                self._failures[unique_id, configuration.name] = reason
            self._trials.append((unique_id, configuration, trial))

    def _planned(self, unique_id: str, weeks: pd.DataFrame) -> _Series:
        needed = self._splits.window + self._splits.horizon
        if len(weeks) < needed:
            raise SeriesTooShortError(unique_id, len(weeks), needed, "a rolling-origin evaluation")
        replaced = weeks["replaced"].to_numpy(dtype=bool)
        starts = origins(len(weeks), window=self._splits.window, horizon=self._splits.horizon, step=self._splits.step)
        newest = starts if self._splits.latest is None else starts[-self._splits.latest :]
        scored = [
            start
            for start in newest
            if self._scoring == "published" or _scorable(replaced[start + self._splits.window - 1 : start + needed])
        ]
        days = pd.DatetimeIndex(weeks["ds"])
        if not scored:
            raise NothingObservedError(
                unique_id,
                f"every week from {days[newest[0] + self._splits.window]:%Y-%m-%d} to {days[-1]:%Y-%m-%d} or the "
                f"week before was replaced, so none of the {len(newest)} origins has an observed value to start from "
                "and another to be scored against",
            )
        return _Series(
            unique_id=unique_id,
            days=days,
            observed=weeks["y"].to_numpy(dtype=np.float64),
            counterfactual=weeks["counterfactual"].to_numpy(dtype=np.float64),
            replaced=replaced,
            starts=tuple(scored),
        )

    def _unusable(self, series: _Series, *, counterfactual: bool) -> tuple[str, str] | None:
        """Name and reason of the first window that no model can learn from."""
        values = series.training(counterfactual=counterfactual)
        for start in series.starts:
            stop = start + self._splits.window
            try:
                models.check(values[start:stop], series.days[start:stop], series.unique_id, "every configuration")
            except ForecastingError as error:
                return type(error).__name__, f"origin {series.days[stop - 1]:%Y-%m-%d}: {error}"
        return None

    def _cells(self, trial: _Trial) -> list[_Cell]:
        configuration = trial.configuration
        if configuration.model == "seasonal_naive":
            return []
        variant = _Variant(
            trial.series, configuration.counterfactual, configuration.detrend, configuration.deseasonalise
        )
        tried = harmonic_regression.harmonics(
            configuration, season_length=self._season_length, max_harmonics=self._max_harmonics
        )
        return [(variant, _Regressors(K, configuration.holidays)) for K in tried]

    def _days(self) -> list[pd.Timestamp]:
        """First days of the windows of all series that have a trial."""
        active = {trial.series for _, _, trial in self._trials if trial is not None}
        return sorted({self._series[i].days[start] for i in active for start in self._series[i].starts})

    def _cutoff(self, day: pd.Timestamp) -> pd.Timestamp:
        return day + (self._splits.window - 1) * WEEK

    def _wanted(self, day: pd.Timestamp) -> list[_Regressors]:
        """The designs of an origin, the largest first: the last tasks of a search are then the short ones."""
        del day
        found = {regressors for _, regressors in self._position}
        return sorted(found, key=lambda each: (each.harmonics, each.holidays), reverse=True)

    def _windows(self) -> dict[_Variant, tuple[Floats, Floats]]:
        """For every variant its windows, transformed, and what the transformation took off the weeks to forecast."""
        n, weeks = self._splits.window, self._splits.window + self._splits.horizon
        found = {}
        for variant in {variant for variant, _ in self._position}:
            series = self._series[variant.series]
            log_y = _log(series.training(counterfactual=variant.counterfactual))
            samples = np.stack([log_y[start : start + n] for start in series.starts])
            taken = transforms.levels(
                samples, weeks=weeks, detrend=variant.detrend, deseasonalise=variant.deseasonalise
            )
            found[variant] = samples - taken[:, :n], taken[:, n:]
        return found

    def _fit(self, day: pd.Timestamp, regressors: _Regressors, windows: dict[_Variant, tuple[Floats, Floats]]) -> None:
        """Fit the windows of an origin that share a design."""
        started = perf_counter()
        rows: list[tuple[int, int, _Variant]] = []  # cell, origin, variant
        for (variant, wanted), cell in self._position.items():
            if wanted == regressors:
                series = self._series[variant.series]
                first = int(series.days.searchsorted(day))
                if first < len(series.days) and series.days[first] == day and first in series.starts:
                    rows.append((cell, series.starts.index(first), variant))
        if not rows:
            return
        n, horizon = self._splits.window, self._splits.horizon
        weeks = pd.date_range(day, periods=n + horizon, freq="7D")
        flags = holiday_weeks(weeks) if regressors.holidays else pd.DataFrame(index=weeks)
        columns = design(regressors.harmonics, flags, n=n, season_length=self._season_length)
        fits = fit_arima(np.stack([windows[variant][0][origin] for _, origin, variant in rows]), columns.matrix)
        share = (perf_counter() - started) / len(rows)
        for i, (cell, origin, variant) in enumerate(rows):
            at = cell, origin
            self._status[at], self._d[at], self._aicc[at] = fits.status[i], fits.order[i, 1], fits.aicc[i]
            self._mean[at] = fits.mean[i] + windows[variant][1][origin]
            self._se[at] = fits.se[i]
            self._seconds[at] = share
            self._n_parameters[at] = fits.n_parameters[i] + transforms.n_parameters(
                detrend=variant.detrend, deseasonalise=variant.deseasonalise
            )

    def _done(self, trial: _Trial) -> list[int]:
        """Positions of the origins of a trial that are finished."""
        series = self._series[trial.series]
        return [i for i, start in enumerate(series.starts) if series.days[start] in self._finished]

    def _outcome(self, trial: _Trial | None, failed: tuple[str, str] | None) -> "_Outcome":
        if trial is None:
            name, reason = failed or ("", "")
            return _Outcome.failed(name, reason)
        return self._naive(trial) if trial.configuration.model == "seasonal_naive" else self._regression(trial)

    def _regression(self, trial: _Trial) -> "_Outcome":
        """The forecasts of a trial, K chosen window by window where AICc is to choose it."""
        series, configuration = self._series[trial.series], trial.configuration
        cells = [self._position[cell] for cell in self._cells(trial)]
        done = self._done(trial)
        picked = [
            cells[harmonic_regression.best(self._status[cells, i], self._d[cells, i], self._aicc[cells, i])]
            for i in done
        ]
        with np.errstate(over="ignore"):
            mean = np.exp(self._mean[picked, done])
        seconds = float(self._seconds[np.ix_(cells, done)].sum())
        failed: list[tuple[str, str]] = []
        for row, (cell, i) in enumerate(zip(picked, done, strict=True)):
            error = failure(int(self._status[cell, i]), series.unique_id, configuration.name)
            if error is None and not np.isfinite(mean[row]).all():
                error = NotFiniteError(series.unique_id, configuration.name, NotFiniteError.REASON)
            if error is not None:
                cutoff = self._cutoff(series.days[series.starts[i]])
                failed.append((type(error).__name__, f"origin {cutoff:%Y-%m-%d}: {error}"))
        if failed:
            name, reason = failed[0]
            if len(failed) > 1:
                reason += f" ({len(failed)} of {len(done)} origins failed; this is the first)"
            return _Outcome.failed(name, reason, seconds)
        n_parameters = float(self._n_parameters[picked, done].mean()) if done else float("nan")
        return _Outcome("ok", "", n_parameters, seconds, mean, self._se[picked, done])

    def _naive(self, trial: _Trial) -> "_Outcome":
        series = self._series[trial.series]
        log_y = _log(series.training(counterfactual=trial.configuration.counterfactual))
        moments = []
        for i in self._done(trial):
            start = series.starts[i]
            try:
                members, _ = seasonal_naive.fit(log_y[start : start + self._splits.window], unique_id=series.unique_id)
            except ForecastingError as error:
                reason = f"origin {self._cutoff(series.days[start]):%Y-%m-%d}: {error}"
                return _Outcome.failed(type(error).__name__, reason)
            moments.append(forecaster.moments({"model": "seasonal_naive", **members}, self._splits.horizon))
        values = np.array(moments, dtype=np.float64).reshape(-1, self._splits.horizon, 2)
        return _Outcome("ok", "", 1.0, 0.0, np.exp(values[..., 0]), values[..., 1])

    def _errors(self, trial: _Trial, outcome: "_Outcome") -> dict[str, npt.NDArray[Any]]:
        series, horizon = self._series[trial.series], self._splits.horizon
        # The newest origins are done first; the table is in order of time.
        first = np.array([series.starts[i] + self._splits.window for i in self._done(trial)], dtype=np.int64)
        targets = first[:, None] + np.arange(horizon)
        truth = (
            series.training(counterfactual=trial.configuration.counterfactual)
            if self._scoring == "published"
            else series.observed
        )
        days = series.days.to_numpy()
        return {
            "unique_id": np.full(targets.size, series.unique_id, dtype=object),
            "configuration": np.full(targets.size, trial.configuration.name, dtype=object),
            "cutoff": np.repeat(days[first - 1], horizon),
            "horizon": np.tile(np.arange(1, horizon + 1), len(first)),
            "ds": days[targets.ravel()],
            "y": truth[targets.ravel()],
            "mean": outcome.mean.ravel(),
            "se": outcome.se.ravel(),
            "observed": ~series.replaced[targets.ravel()],
        }


@dataclass(frozen=True)
class _Outcome:
    status: str
    reason: str
    n_parameters: float
    seconds: float
    mean: Floats  # (origins, horizon)
    se: Floats

    @classmethod
    def failed(cls, name: str, reason: str, seconds: float = 0.0) -> Self:
        return cls(name, reason, float("nan"), seconds, np.empty(0), np.empty(0))


def _log(y: Floats) -> Floats:
    """The logarithm; not finite where there is none, which no window in use holds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm: Floats = np.log(y)
    return logarithm


def _scorable(replaced: npt.NDArray[np.bool_]) -> bool:
    """Whether the origin, which comes first, was observed, and a week after it."""
    return not replaced[0] and not bool(replaced[1:].all())


def rolling_origin(
    data: pd.DataFrame,
    configurations: Sequence[Configuration],
    *,
    scoring: Scoring = "fair",
    splits: Splits | None = None,
    season_length: float = 365.25 / 7,
    max_harmonics: int = 12,
    workers: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Refit every configuration at every origin of every series and forecast from there; arguments as `Backtest`.

    Under `fair` scoring an origin that was replaced, or none of whose weeks is observed, is not computed. An
    error that the mathematics names ends that one trial; its reason tells the first origin that failed.
    """
    backtest = Backtest(
        data,
        configurations,
        scoring=scoring,
        splits=splits,
        season_length=season_length,
        max_harmonics=max_harmonics,
    )
    backtest.run(workers=workers, progress=progress)
    return backtest.evaluation()


def _complete(series: pd.DataFrame) -> pd.DataFrame:
    weeks = series.sort_values("ds", ignore_index=True)
    unique_id = str(weeks["unique_id"].iloc[0])
    broken = weeks["ds"].diff().iloc[1:] != WEEK
    if broken.any():
        ds = weeks["ds"].iloc[1 + int(broken.to_numpy().argmax())]
        raise IncompleteSeriesError(
            unique_id, f"the week before {ds:%Y-%m-%d} is missing or doubled; windows need every week once"
        )
    missing = weeks[["y", "counterfactual"]].isna().any(axis="columns")
    if missing.any():
        ds = weeks["ds"].iloc[int(missing.to_numpy().argmax())]
        raise IncompleteSeriesError(
            unique_id, f"no value for the week {ds:%Y-%m-%d}; observe or replace it before tuning"
        )
    return weeks


def _no_errors(data: pd.DataFrame) -> pd.DataFrame:
    """Columns and types of the errors, so that a search in which every trial fails has them too."""
    return pd.DataFrame(
        {
            "unique_id": data["unique_id"].iloc[:0],
            "configuration": pd.Series(dtype="str"),
            "cutoff": data["ds"].iloc[:0],
            "horizon": pd.Series(dtype="int64"),
            "ds": data["ds"].iloc[:0],
            "y": pd.Series(dtype="float64"),
            "mean": pd.Series(dtype="float64"),
            "se": pd.Series(dtype="float64"),
            "observed": pd.Series(dtype="bool"),
        }
    )
