"""One series in one role, fitted twice: without its held-out weeks, which score it, and on all, which serves."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from forecasting import forecaster, intervals, models, scoring
from forecasting.configuration import Configuration
from forecasting.errors import ForecastingError, SeriesError

Role = Literal["candidate", "champion", "seasonal_naive"]


class NothingHeldOutError(SeriesError):
    """No held-out week was observed, so nothing can be scored."""


@dataclass(frozen=True)
class RoleTask:
    """What to fit.

    Attributes:
        unique_id: The series.
        role: What the configuration is for this series.
        configuration: What to fit.
        span: Columns ds, y, counterfactual, replaced of the series, weeks in order.
        errors: The rolling-origin errors of this series and configuration; no row where it was not in the
        search.
        horizon: Held-out weeks at the end of the span.
        levels: Coverage of the intervals, in percent.
        season_length: Weeks in a year.
        max_harmonics: Largest number of Fourier pairs tried.
    """

    unique_id: str
    role: Role
    configuration: Configuration
    span: pd.DataFrame
    errors: pd.DataFrame
    horizon: int
    levels: tuple[float, ...]
    season_length: float
    max_harmonics: int


@dataclass(frozen=True)
class RoleFit:
    """What a fit gives.

    Attributes:
        entry: The artifact entry of the fit on all weeks, with conformal scores where there are enough errors.
        score: One row: unique_id, role, configuration, interval, weeks (observed ones), mae, mase, rmse, bias, and
            coverage-<level> and width-<level> for every level.
        held_out: One row per held-out week: unique_id, role, configuration, cutoff, ds, horizon, y, observed, mean and
            bounds.
        residuals: Columns unique_id, ds, residual (log scale) of the fit on all weeks.
    """

    entry: dict[str, Any]
    score: dict[str, Any]
    held_out: pd.DataFrame
    residuals: pd.DataFrame


@dataclass(frozen=True)
class RoleFailure:
    """Why a fit is missing: an error need not survive the way between processes."""

    error: str
    message: str


def fit_role(task: RoleTask) -> RoleFit | RoleFailure:
    """The fit of a role, or the named error of the mathematics that prevents it."""
    try:
        return _fit(task)
    except (ForecastingError, forecaster.ForecasterError) as error:
        return RoleFailure(type(error).__name__, f"{task.role}: {error}")


def _fit(task: RoleTask) -> RoleFit:
    known, future = task.span.iloc[: -task.horizon], task.span.iloc[-task.horizon :]
    earlier, final = _model(task, known), _model(task, task.span)
    conformal = _calibration(task)
    for fitted in (earlier, final):
        fitted.entry["conformal"] = conformal
    interval = "normal" if conformal is None else "conformal"
    rows = forecaster.forecast(earlier.entry, horizon=task.horizon, levels=task.levels, interval=interval)
    held_out = _held_out(task, earlier.entry, rows, future)
    score = _score(task, held_out, known, interval)
    final.entry["scores"] = {
        "held_out": {name: value for name, value in score.items() if name not in {"unique_id", "role", "configuration"}}
        | {"cutoff": earlier.entry["cutoff"]},
        "in_sample": {"without_held_out": _in_sample(earlier.entry), "all_weeks": _in_sample(final.entry)},
    }
    residuals = final.residuals.rename_axis("ds").reset_index(name="residual")
    residuals.insert(0, "unique_id", task.unique_id)
    return RoleFit(final.entry, score, held_out, residuals)


def _model(task: RoleTask, span: pd.DataFrame) -> models.Fitted:
    values = span["counterfactual" if task.configuration.counterfactual else "y"].to_numpy(dtype="float64")
    history = pd.Series(values, index=pd.DatetimeIndex(span["ds"]), name=task.unique_id)
    return models.fit(history, task.configuration, season_length=task.season_length, max_harmonics=task.max_harmonics)


def _calibration(task: RoleTask) -> dict[str, list[list[float]]] | None:
    """The conformal scores; None where the search has too few errors of this configuration, which scores then say."""
    if task.errors.empty:
        return None
    try:
        return {"scores": intervals.conformal_scores(task.errors, horizon=task.horizon)}
    except intervals.TooFewErrorsError:
        return None


def _held_out(task: RoleTask, entry: dict[str, Any], rows: list[dict[str, Any]], future: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table["ds"] = future["ds"].to_numpy()
    table.insert(0, "unique_id", task.unique_id)
    table.insert(1, "role", task.role)
    table.insert(2, "configuration", task.configuration.name)
    table.insert(3, "cutoff", pd.Timestamp(entry["cutoff"]))
    table.insert(6, "y", future["y"].to_numpy(dtype="float64"))
    table.insert(7, "observed", ~future["replaced"].to_numpy(dtype=bool))
    return table


def _score(task: RoleTask, held_out: pd.DataFrame, known: pd.DataFrame, interval: str) -> dict[str, Any]:
    """Scores over the observed held-out weeks.

    MASE is scaled by the counterfactual in every role: one scale a series, which a structural break does not
    inflate.
    """
    seen = held_out[held_out["observed"]]
    if seen.empty:
        raise NothingHeldOutError(
            task.unique_id, f"all {task.horizon} weeks after {held_out['cutoff'].iloc[0]:%Y-%m-%d} were replaced"
        )
    y, mean = seen["y"].to_numpy(), seen["mean"].to_numpy()
    score: dict[str, Any] = {
        "unique_id": task.unique_id,
        "role": task.role,
        "configuration": task.configuration.name,
        "interval": interval,
        "weeks": len(seen),
        "mae": scoring.mae(y, mean),
        "mase": scoring.mase(y, mean, known["counterfactual"].to_numpy(dtype="float64")),
        "rmse": scoring.rmse(y, mean),
        "bias": scoring.bias(y, mean),
    }
    bounds = {
        name: (seen[f"lo-{name}"].to_numpy(), seen[f"hi-{name}"].to_numpy())
        for name in map(forecaster.label, task.levels)
    }
    score |= {f"coverage-{name}": scoring.coverage(y, low, high) for name, (low, high) in bounds.items()}
    return score | {f"width-{name}": scoring.width(low, high) for name, (low, high) in bounds.items()}


def _in_sample(entry: dict[str, Any]) -> dict[str, float | int | None]:
    naive = entry["model"] == "seasonal_naive"
    return {
        "weeks": entry["n"],
        "sigma": entry["seasonal_naive"]["sigma"] if naive else math.sqrt(entry["arima"]["sigma2"]),
        "aicc": None if naive else entry["hyperparameters"]["aicc"],
    }
