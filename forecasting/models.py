"""One contract for every model: a series and a configuration in, an artifact entry and residuals out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import harmonic_regression, seasonal_naive
from forecasting.configuration import Configuration
from forecasting.errors import (
    ConfigurationError,
    ConstantSeriesError,
    FitError,
    NotPositiveError,
    SeriesTooShortError,
)
from forecasting.schema import UNIT

Floats = npt.NDArray[np.float64]

SEASON_LENGTH = 365.25 / 7
"""Length of a year in weeks."""

NEEDED_WEEKS = 104
"""Two full seasons: fewer cannot tell a season from a trend."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        entry: The artifact entry, JSON-ready, without conformal scores (`conformal` is None) and held-out scores.
        residuals: One-step errors of log y, index `ds`, name `residual`; a differenced ARIMA has none in its first
            weeks, a seasonal naive model none in its first 52.
    """

    entry: dict[str, Any]
    residuals: pd.Series


def fit(
    history: pd.Series,
    configuration: Configuration,
    *,
    season_length: float = SEASON_LENGTH,
    max_harmonics: int = 12,
) -> Fitted:
    """The fit of a configuration to the history of one series.

    Args:
        history: Thousand barrels per day, index `ds` of consecutive Fridays, name the series' id.
        configuration: What to fit. Whether the history is observed or counterfactual is the caller's choice.
        season_length: Length of the yearly season, weeks.
        max_harmonics: Largest number of Fourier pairs that "aicc" tries.

    Raises:
        SeriesTooShortError: Fewer than 104 weeks.
        FitError: The history has gaps, or figures without a logarithm, or no model can be estimated from it.
        ConfigurationError: An argument makes no sense.
    """
    check_options(season_length=season_length, max_harmonics=max_harmonics)
    unique_id = str(history.name)
    name = configuration.name
    fridays = _fridays(history, unique_id, name)
    y = history.to_numpy(dtype=np.float64)
    check(y, fridays, unique_id, name)
    log_y: Floats = np.log(y)
    if configuration.model == "seasonal_naive":
        members, residuals = seasonal_naive.fit(log_y, unique_id=unique_id)
    else:
        members, residuals = harmonic_regression.fit(
            log_y,
            fridays,
            configuration,
            unique_id=unique_id,
            season_length=season_length,
            max_harmonics=max_harmonics,
        )
    entry = {
        "unique_id": unique_id,
        "model": configuration.model,
        "unit": UNIT,
        "cutoff": fridays[-1].date().isoformat(),
        "n": len(log_y),
        "configuration": configuration.to_dict(),
        "conformal": None,
        "scores": {},
        **members,
    }
    return Fitted(entry, pd.Series(residuals, index=fridays[-len(residuals) :], name="residual"))


def check_options(*, season_length: float, max_harmonics: int) -> None:
    """Raise a `ConfigurationError` unless the season exceeds two weeks and the harmonics are not negative."""
    if not season_length > 2 or max_harmonics < 0:
        raise ConfigurationError(f"season_length {season_length} exceeds 2, max_harmonics {max_harmonics} is 0 or more")


def check(y: Floats, fridays: pd.DatetimeIndex, unique_id: str, configuration: str) -> None:
    """Whether a model can learn from these figures.

    Args:
        y: Values of consecutive weeks, shape (n,).
        fridays: Their Fridays.
        unique_id: The series.
        configuration: Name of the configuration, for the error.

    Raises:
        SeriesTooShortError: Fewer than 104 weeks.
        NotPositiveError: A value has no logarithm.
        ConstantSeriesError: Every week is the same.
    """
    if len(y) < NEEDED_WEEKS:
        raise SeriesTooShortError(unique_id, len(y), NEEDED_WEEKS, configuration)
    bad = np.flatnonzero(~(np.isfinite(y) & (y > 0)))
    if len(bad):
        week = fridays[bad[0]].date()
        raise NotPositiveError(
            unique_id, configuration, f"{len(bad)} weeks are not positive numbers, the first {week}: {y[bad[0]]}"
        )
    if np.ptp(y) == 0:
        raise ConstantSeriesError(unique_id, configuration, f"every week is {y[0]}; a constant series needs no model")


def _fridays(history: pd.Series, unique_id: str, configuration: str) -> pd.DatetimeIndex:
    if not isinstance(history.index, pd.DatetimeIndex):
        raise FitError(unique_id, configuration, f"the index is {type(history.index).__name__}, not days")
    if history.empty:
        raise SeriesTooShortError(unique_id, 0, NEEDED_WEEKS, configuration)
    expected = pd.date_range(history.index[0], periods=len(history), freq="7D")
    if history.index[0].weekday() != 4 or not history.index.equals(expected):
        wrong = next((day for day in expected if day not in history.index), history.index[0])
        raise FitError(unique_id, configuration, f"weeks must be consecutive Fridays; {wrong.date()} breaks the row")
    return history.index
