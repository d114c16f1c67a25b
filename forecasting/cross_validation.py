"""Rolling-origin evaluation: what a configuration would have forecast from each past week, beside what came.

Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), section 5.10. The window
slides, it does not grow, so every origin trains on the same number of weeks.

Two ways to score stand side by side. `published` is the protocol of the published study: horizons 1 to 25,
every week an origin, forecasts compared with the very series the configuration was trained on, replaced weeks
included. It exists to compare with the study's table. It favours whatever replaces most, since a smooth
invention is easier to forecast than demand. `fair` compares with observed weeks only, at the horizons in use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Literal

import numpy as np
import pandas as pd

from forecasting import forecaster, models, parallel
from forecasting.configuration import Configuration
from forecasting.errors import ConfigurationError, FitError, ForecastingError, SeriesError, SeriesTooShortError

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


@dataclass(frozen=True)
class _Task:
    configuration: Configuration
    training: pd.Series  # values by ds, named after the series
    target: pd.DataFrame  # ds, y, observed of the weeks that follow
    season_length: float
    max_harmonics: int

    @property
    def cutoff(self) -> pd.Timestamp:
        return pd.Timestamp(self.training.index[-1])


@dataclass(frozen=True)
class _Outcome:
    errors: pd.DataFrame | None
    n_parameters: float
    seconds: float
    failure: tuple[str, str] | None  # name and message: an error need not survive the way between processes


def origins(n_weeks: int, *, window: int = 417, horizon: int = 26, step: int = 1) -> list[int]:
    """Give where the training windows start, counted back from the last so that the newest week is always used.

    >>> len(origins(541, horizon=25)), len(origins(541, horizon=26)), origins(541, step=40)
    (100, 99, [18, 58, 98])

    Returns:
        Positions of first weeks in ascending order; empty where the series is shorter than window + horizon.
    """
    last = n_weeks - window - horizon
    return sorted(range(last, -1, -step))


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
    """Refit every configuration at every origin of every series and forecast from there.

    Under `fair` scoring an origin none of whose weeks is observed carries no loss and is not computed. An
    error that the mathematics names ends that one trial; its reason tells the first origin that failed.

    Args:
        data: unique_id, ds (consecutive weeks), y (observed), counterfactual (equal to y outside a break),
            replaced (bool).
        configurations: what to try, with distinct names. Those with `counterfactual` train on that column,
            the others on `y`.
        scoring: what forecasts are compared with, see the module.
        splits: windows, horizons and steps; None takes those of the protocol in `SPLITS`.
        season_length: weeks in a year.
        max_harmonics: largest number of Fourier pairs tried where the configuration leaves it open.
        workers: processes; the result does not depend on it.
        progress: called with origins done, origins in all, and what was done.

    Raises:
        ConfigurationError: configurations share a name.
    """
    names = [configuration.name for configuration in configurations]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"configurations need distinct names, got {names}")
    plans: dict[tuple[str, str], list[_Task]] = {}
    unplanned: dict[tuple[str, str], tuple[str, str]] = {}
    for unique_id, series in data.groupby("unique_id", sort=True):
        for configuration in configurations:
            trial = str(unique_id), configuration.name
            plans[trial] = []
            try:
                plans[trial] = _plan(
                    series, configuration, scoring, splits or SPLITS[scoring], season_length, max_harmonics
                )
            except ForecastingError as error:
                unplanned[trial] = type(error).__name__, str(error)
    tasks = [task for plan in plans.values() for task in plan]

    def finished(done: int, task: _Task) -> None:
        if progress is not None:
            progress(done, len(tasks), f"{task.training.name} {task.configuration.name} {task.cutoff:%Y-%m-%d}")

    outcomes = iter(parallel.run(_forecast, tasks, workers=workers, finished=finished))
    frames, rows = [_no_errors(data)], []
    for trial, plan in plans.items():
        made = [next(outcomes) for _ in plan]
        failures = [outcome.failure for outcome in made if outcome.failure]
        status, reason = unplanned.get(trial) or next(iter(failures), ("ok", ""))
        if len(failures) > 1:
            reason += f" ({len(failures)} of {len(made)} origins failed; this is the first)"
        if status == "ok":
            frames += [outcome.errors for outcome in made if outcome.errors is not None]
        rows.append(
            {
                "unique_id": trial[0],
                "configuration": trial[1],
                "status": status,
                "reason": reason,
                "n_parameters": float(np.mean([o.n_parameters for o in made])) if status == "ok" else float("nan"),
                "seconds": sum(outcome.seconds for outcome in made),
            }
        )
    return Evaluation(errors=pd.concat(frames, ignore_index=True), trials=pd.DataFrame(rows))


def _plan(
    series: pd.DataFrame,
    configuration: Configuration,
    scoring: Scoring,
    splits: Splits,
    season_length: float,
    max_harmonics: int,
) -> list[_Task]:
    weeks = _complete(series)
    unique_id = str(weeks["unique_id"].iloc[0])
    needed = splits.window + splits.horizon
    if len(weeks) < needed:
        raise SeriesTooShortError(unique_id, len(weeks), needed, "a rolling-origin evaluation")
    trained = weeks["counterfactual" if configuration.counterfactual else "y"]
    values = pd.Series(trained.to_numpy(dtype=np.float64), index=pd.DatetimeIndex(weeks["ds"]), name=unique_id)
    truth = values.to_numpy() if scoring == "published" else weeks["y"].to_numpy(dtype=np.float64)
    targets = pd.DataFrame({"ds": weeks["ds"], "y": truth, "observed": ~weeks["replaced"].to_numpy(dtype=bool)})
    starts = origins(len(weeks), window=splits.window, horizon=splits.horizon, step=splits.step)
    newest = starts if splits.latest is None else starts[-splits.latest :]
    tasks = [
        _Task(
            configuration,
            training=values.iloc[start : start + splits.window],
            target=targets.iloc[start + splits.window : start + needed].reset_index(drop=True),
            season_length=season_length,
            max_harmonics=max_harmonics,
        )
        for start in newest
    ]
    scored = [task for task in tasks if scoring == "published" or task.target["observed"].any()]
    if not scored:
        first, last = tasks[0].target["ds"].iloc[0], weeks["ds"].iloc[-1]
        raise NothingObservedError(
            unique_id,
            f"every week from {first:%Y-%m-%d} to {last:%Y-%m-%d} was replaced, so none of "
            f"the {len(tasks)} origins has an observed value to be scored against",
        )
    return scored


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


def _forecast(task: _Task) -> _Outcome:
    started = perf_counter()
    try:
        errors, n_parameters = _forecast_window(task)
    except ForecastingError as error:
        reason = f"origin {task.cutoff:%Y-%m-%d}: {error}"
        return _Outcome(None, float("nan"), perf_counter() - started, (type(error).__name__, reason))
    return _Outcome(errors, n_parameters, perf_counter() - started, None)


def _forecast_window(task: _Task) -> tuple[pd.DataFrame, float]:
    unique_id, name = str(task.training.name), task.configuration.name
    fitted = models.fit(
        task.training, task.configuration, season_length=task.season_length, max_harmonics=task.max_harmonics
    )
    try:
        moments = np.array(forecaster.moments(fitted.entry, len(task.target)), dtype=np.float64)
    except forecaster.OverflowedForecastError as error:
        raise FitError(unique_id, name, str(error)) from error
    with np.errstate(over="ignore"):
        mean = np.exp(moments[:, 0])
    if not (np.isfinite(mean).all() and np.isfinite(moments[:, 1]).all()):
        raise FitError(unique_id, name, "the forecast is not finite, the fitted model has no use")
    errors = pd.DataFrame(
        {
            "unique_id": unique_id,
            "configuration": name,
            "cutoff": task.cutoff,
            "horizon": np.arange(1, len(task.target) + 1),
            "ds": task.target["ds"],
            "y": task.target["y"],
            "mean": mean,
            "se": moments[:, 1],
            "observed": task.target["observed"],
        }
    )
    return errors, float(fitted.entry["n_parameters"])


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
