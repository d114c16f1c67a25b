"""What the residuals of a fitted model say about its assumptions."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd

from forecasting.errors import ForecastingError


class DiagnosticsError(ForecastingError):
    """The residuals cannot be tested."""


class Statistic(TypedDict):
    """A test's statistic and p value; a small p value speaks against the assumption."""

    statistic: float
    p_value: float


class LagStatistic(Statistic):
    """A test at one lag, in weeks."""

    lag: int


class Diagnosis(TypedDict):
    """Tests of the residuals of one series, JSON-ready."""

    n: int
    mean: float
    sd: float
    shapiro_wilk: Statistic
    ljung_box: list[LagStatistic]


def diagnose(residuals: pd.Series, *, lags: Sequence[int] = (1, 10, 26, 52)) -> Diagnosis:
    """Test residuals for normality (Shapiro and Wilk, 1965) and independence (Ljung and Box, 1978).

    Independence is tested at several lags because one alone misleads: residuals can pass at lag 1 and fail at
    half a year. The degrees of freedom are not reduced by the number of ARMA terms, as in the published
    study, so that p values compare.

    Args:
        residuals: (n,) innovations on the log scale by week, as `models.fit` gives them.
        lags: numbers of autocorrelations tested together, each at least 1 and below n.

    Returns:
        The tests, with n, mean and standard deviation (n - 1) of the residuals.

    Raises:
        DiagnosticsError: fewer than 3 residuals or no more than the largest lag, one that is not finite, or all
            equal.
    """
    from scipy.stats import shapiro
    from statsmodels.stats.diagnostic import acorr_ljungbox

    values = residuals.to_numpy(dtype=np.float64)
    needed = max([3, *(lag + 1 for lag in lags)])
    if values.size < needed:
        raise DiagnosticsError(f"{values.size} residuals, tests at lags {list(lags)} need {needed}")
    if not np.isfinite(values).all():
        week = residuals.index[int(np.argmin(np.isfinite(values)))]
        raise DiagnosticsError(f"the residual of {week} is not finite")
    if np.ptp(values) == 0:
        raise DiagnosticsError(f"all {values.size} residuals are {values[0]}; a constant has no autocorrelation")
    normality = shapiro(values)
    independence = acorr_ljungbox(values, lags=list(lags))
    return {
        "n": int(values.size),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "shapiro_wilk": {"statistic": float(normality.statistic), "p_value": float(normality.pvalue)},
        "ljung_box": [
            {"lag": int(lag), "statistic": float(row["lb_stat"]), "p_value": float(row["lb_pvalue"])}
            for lag, row in independence.iterrows()
        ],
    }
