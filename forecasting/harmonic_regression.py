"""Dynamic harmonic regression: Fourier pairs and holiday weeks, with ARIMA errors, on the log of the series.

Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., sections 10.3 to 10.5; the automatic choice of
the ARIMA is that of Hyndman & Khandakar (2008), J. Stat. Softw. 27(3), see `forecasting.engine`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.configuration import Configuration
from forecasting.design import Design, design
from forecasting.engine.arima import ANY_ORDER, PERFECT, Fits, failure, fit_arima
from forecasting.innovations import innovations
from forecasting.regressors import holiday_weeks
from forecasting.schema import MAX_HORIZON
from forecasting.transforms import Transform

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def fit(
    log_y: Floats,
    fridays: pd.DatetimeIndex,
    configuration: Configuration,
    *,
    unique_id: str,
    season_length: float,
    max_harmonics: int,
) -> tuple[dict[str, Any], Floats]:
    """Members of the artifact, and innovations, of log y.

    Args:
        log_y: Log of consecutive weeks, shape (n,).
        fridays: Their Fridays.
        configuration: What to fit.
        unique_id: The series, for errors.
        season_length: Length of the yearly season, weeks.
        max_harmonics: Largest K that is tried where the configuration leaves it open.

    Returns:
        The members, and the innovations of the differenced series in units of log y, shape (n - d,).

    Raises:
        FitError: No model can be estimated; its kind says why.
    """
    n = len(log_y)
    transform = Transform.fit(log_y, detrend=configuration.detrend, deseasonalise=configuration.deseasonalise)
    x = log_y - transform.level(np.arange(n))
    weeks = pd.date_range(fridays[0], periods=n + MAX_HORIZON, freq="W-FRI")
    flags = holiday_weeks(weeks) if configuration.holidays else pd.DataFrame(index=weeks)
    hyperparameters: dict[str, Any] = {}
    candidates = harmonics(configuration, season_length=season_length, max_harmonics=max_harmonics)
    designs = [design(K, flags, n=n, season_length=season_length) for K in candidates]
    fits = [_fit(x, each) for each in designs]
    table = np.array([(each.status[0], each.order[0, 1], each.aicc[0]) for each in fits]).T
    chosen = best(*table)
    if configuration.harmonics == "aicc":
        hyperparameters["aicc_by_harmonics"] = [None if code else value for code, _, value in table.T.tolist()]
    K, regressors, found = candidates[chosen], designs[chosen], fits[chosen]  # noqa: N806 - K is what the literature calls it
    error = failure(int(found.status[0]), unique_id, configuration.name)
    if error is not None:
        raise error
    p, d, q, constant = (int(value) for value in found.order[0, :4])
    hyperparameters |= {
        "K": K,
        "order": [p, d, q],
        "constant": ("intercept" if d == 0 else "drift") if constant else "none",
        "aicc": float(found.aicc[0]),
    }
    members = {
        "hyperparameters": hyperparameters,
        "transform": transform.to_dict(),
        **_regression(found, regressors, flags.iloc[n:], K, n, season_length),
        "arima": _arima(found),
        "n_parameters": int(found.n_parameters[0]) + transform.n_parameters,
    }
    return members, _innovations(x, regressors.matrix[:n], found)


def harmonics(configuration: Configuration, *, season_length: float, max_harmonics: int) -> list[int]:
    """The numbers of Fourier pairs to try: the configuration's own, or 0 to the largest where AICc is to choose."""
    if configuration.harmonics == "aicc":
        return list(range(min(max_harmonics, int(season_length // 2)) + 1))
    return [configuration.harmonics]


def best(status: npt.ArrayLike, d: npt.ArrayLike, aicc: npt.ArrayLike) -> int:
    """Which of several fits of one series to choose, by AICc.

    The likelihood is that of the differenced series, so that AICc compare at one order of differencing only: that of
    the last fit that worked, which has the most harmonics and leaves the least season to be taken for a trend.

    Args:
        status: 0 where a fit worked.
        d: Orders of differencing.
        aicc: Their AICc.

    Returns:
        Its position; the first that leaves no error, which none can beat, and the last where none worked.
    """
    working = np.flatnonzero(np.asarray(status) == 0)
    orders, perfect = np.asarray(d), np.flatnonzero(np.asarray(status) == PERFECT)
    if perfect.size:
        return int(perfect[0])
    if not working.size:
        return len(orders) - 1
    comparable = working[orders[working] == orders[working[-1]]]
    return int(comparable[np.argmin(np.asarray(aicc)[comparable])])


def _fit(x: Floats, regressors: Design) -> Fits:
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which can only be limited once it is loaded
    from threadpoolctl import threadpool_limits

    # Threads only get in each other's way at this size, and their number can change the last digits.
    with threadpool_limits(limits=1, user_api="blas"):
        return fit_arima(x[None], regressors.matrix, order=ANY_ORDER)


def _innovations(x: Floats, columns: Floats, found: Fits) -> Floats:
    p, d, q = (int(value) for value in found.order[0, :3])
    t = np.arange(1, len(x) + 1)
    left = x - columns @ found.beta[0] - found.level[0] * (t if d == 1 else 1)
    return innovations(found.arma[0, 0, :p], found.arma[0, 1, :q], np.diff(left, n=d))


def _regression(
    found: Fits,
    regressors: Design,
    future: pd.DataFrame,
    K: int,  # noqa: N803
    n: int,
    season_length: float,
) -> dict[str, Any]:
    slopes = [float(value) for value in found.beta[0]]
    pairs = [0.0] * (2 * K)
    for i, value in zip(regressors.kept, slopes, strict=False):
        pairs[i] = value
    names = list(regressors.holidays)
    return {
        "fourier": {
            "period": float(season_length),
            "coefficients": pairs,
            "phase": n,
            "dropped": list(regressors.fourier_dropped),
        },
        "holidays": {
            "columns": names,
            "coefficients": slopes[len(regressors.kept) :],
            "weeks": future[names].to_numpy().tolist() if names else [],
            "dropped": list(regressors.holidays_dropped),
        },
    }


def _arima(found: Fits) -> dict[str, Any]:
    p, d, q = (int(value) for value in found.order[0, :3])
    size = max(p, q + 1) + d
    level = float(found.level[0])
    return {
        "order": [p, d, q],
        "intercept": level if d == 0 else 0.0,
        "drift": level if d == 1 else 0.0,
        "phi": found.arma[0, 0, :p].tolist(),
        "theta": found.arma[0, 1, :q].tolist(),
        "sigma2": float(found.sigma2[0]),
        "a": found.state[0, :size].tolist(),
        "P": found.covariance[0, :size, :size].tolist(),
        "h": 0.0,
    }
