"""The same estimates, standing later: a fitted harmonic regression takes in what followed, and is not fitted anew."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.forecaster import moments
from forecasting.regressors import holiday_weeks
from forecasting.schema import MAX_HORIZON

Floats = npt.NDArray[np.float64]


def condition(entry: dict[str, Any], x: Floats, fridays: pd.DatetimeIndex) -> tuple[dict[str, Any], Floats]:
    """The entry whose forecasts start after `x`, by the Kalman recursions (Harvey 1989, sections 3.2 and 4.1).

    Args:
        entry: Entry of a harmonic regression: its members `model`, `n`, `fourier`, `holidays`, `transform`, `arima`.
        x: Log of the weeks that followed its last, shape (m,).
        fridays: Their Fridays, shape (m,); they matter to an entry with holidays alone.

    Returns:
        The entry, and the one-step predictions of x, shape (m,), log scale. Members that depend on the history
        otherwise, such as `cutoff` and `conformal`, are the caller's.

    Raises:
        OverflowedForecastError: A variance is not positive.
    """
    arima, columns = entry["arima"], entry["holidays"]["columns"]
    flags: list[list[int]] = []
    if columns and len(x):
        weeks = pd.date_range(fridays[0], periods=len(x) + MAX_HORIZON, freq="W-FRI")
        flags = holiday_weeks(weeks).reindex(columns=columns, fill_value=0).to_numpy().tolist()
    transition, observation, noise = _state_space(arima)
    a, P = np.array(arima["a"]), np.array(arima["P"])  # noqa: N806 - the literature's names
    predicted = np.empty(len(x))
    for i, value in enumerate(x):
        predicted[i] = moments(entry, 1)[0][0]
        P = transition @ P @ transition.T + np.outer(noise, noise)  # noqa: N806
        covariance = P @ observation
        gain = covariance / (observation @ covariance + arima["h"])
        a = transition @ a + gain * (value - predicted[i])
        P -= np.outer(gain, covariance)  # noqa: N806
        n = entry["n"] + 1
        entry = {
            **entry,
            "n": n,
            "fourier": {**entry["fourier"], "phase": n},
            "holidays": {**entry["holidays"], "weeks": flags[i + 1 : i + 1 + MAX_HORIZON]},
            "arima": {**arima, "a": a.tolist(), "P": P.tolist()},
        }
    return entry, predicted


def _state_space(arima: dict[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Transition, observation and loading of the noise: ARMA in companion form, then the last `d` values."""
    p, d, q = arima["order"]
    r = max(p, q + 1)
    transition = np.zeros((r + d, r + d))
    transition[:p, 0] = arima["phi"]
    transition[: r - 1, 1:r] += np.eye(r - 1)
    observation = np.array([1.0, *[0.0] * (r - 1), *((), (1.0,), (2.0, -1.0))[d]])
    if d:
        transition[r] = observation
        transition[r + 1 :, r:-1] = np.eye(d - 1)
    noise = np.array([1.0, *arima["theta"], *[0.0] * (r + d - 1 - q)])
    return transition, observation, noise
