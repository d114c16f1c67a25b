"""The Python face of the kernels: arrays in, fits of many series that share their regressors out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from forecasting.errors import (
    FitError,
    NoAdmissibleModelError,
    NotFiniteError,
    NumericalError,
    PerfectFitError,
    SingularRegressorsError,
    TooFewWeeksError,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PERFECT: Final = 4
"""The status of a regression that leaves no error; `kernels` has all of them, but compiles when it is imported."""
ANY_ORDER: Final = (-1, -1, -1, -1)
MAX_D: Final = 2


@dataclass(frozen=True)
class Fits:
    """Fits of `rows` series; a row whose status is not 0 has no other value.

    Attributes:
        status: 0, or what went wrong, see `failure`, (rows,).
        order: p, d, q, whether there is a constant, orders tried, likelihoods evaluated, (rows, 6).
        aicc: (rows,).
        log_likelihood: Exact, of the differenced series, (rows,).
        sigma2: Variance of the innovations, s / (n - number of parameters + 1) as statsforecast has it, (rows,).
        level: Intercept (d = 0) or drift a week (d = 1), (rows,).
        arma: phi and theta, zeros beyond p and q, (rows, 2, 5).
        beta: Coefficients of the regressors, (rows, k).
        state: After the last week, as `forecasting.forecaster` has it, zeros beyond its size, (rows, 8).
        covariance: Of the state in units of sigma2, (rows, 8, 8).
        mean: Forecasts, (rows, h).
        se: Their standard errors, (rows, h).
    """

    status: Integers
    order: Integers
    aicc: Floats
    log_likelihood: Floats
    sigma2: Floats
    level: Floats
    arma: Floats
    beta: Floats
    state: Floats
    covariance: Floats
    mean: Floats
    se: Floats

    @property
    def n_parameters(self) -> Integers:
        """Parameters estimated: ARMA, coefficients, constant and variance, (rows,)."""
        counted: Integers = self.order[:, 0] + self.order[:, 2] + self.order[:, 3] + self.beta.shape[1] + 1
        return counted


def fit_arima(
    y: Floats,
    regressors: Floats,
    *,
    order: tuple[int, int, int, int] = ANY_ORDER,
    by_likelihood: bool = False,
) -> Fits:
    """Fit and forecast series that share their regressors.

    The caller limits BLAS to one thread, so that the numbers do not depend on how many there are.

    Args:
        y: Series, (rows, n).
        regressors: Of the n weeks and the h weeks to forecast, (n + h, k); no column explained by a constant, a line
            and the others.
        order: p, d, q and whether there is a constant; -1 for p searches all of them, -1 for d alone tests it.
        by_likelihood: Rank orders by the exact likelihood rather than by the conditional sum of squares: twice as slow.
    """
    from forecasting.engine import kernels

    rows, n = y.shape
    h, k = len(regressors) - n, regressors.shape[1]
    status = np.full(rows, -1)
    orders, values = np.zeros((rows, 6), dtype=np.int64), np.zeros((rows, 4))
    arma, beta = np.zeros((rows, 2, kernels.MAX_ORDER)), np.zeros((rows, k))
    state, covariance = np.zeros((rows, kernels.STATE)), np.zeros((rows, kernels.STATE, kernels.STATE))
    mean, se = np.zeros((rows, h)), np.zeros((rows, h))
    kernels.fit_rows(
        np.ascontiguousarray(y, dtype=np.float64),
        np.ascontiguousarray(regressors[:n], dtype=np.float64),
        np.ascontiguousarray(regressors[n:], dtype=np.float64),
        np.array(order, dtype=np.int64),
        by_likelihood,
        status,
        orders,
        values,
        arma,
        beta,
        state,
        covariance,
        mean,
        se,
    )
    aicc, log_likelihood, sigma2, level = values.T
    return Fits(status, orders, aicc, log_likelihood, sigma2, level, arma, beta, state, covariance, mean, se)


def failure(status: int, unique_id: str, configuration: str) -> FitError | None:
    """The named error of a row's status; None where it was fitted."""
    from forecasting.engine import kernels

    if status == kernels.OK:
        return None
    kinds: dict[int, type[NumericalError]] = {
        kernels.NOT_FINITE: NotFiniteError,
        kernels.TOO_SHORT: TooFewWeeksError,
        kernels.SINGULAR: SingularRegressorsError,
        kernels.PERFECT: PerfectFitError,
        kernels.NO_ADMISSIBLE_MODEL: NoAdmissibleModelError,
    }
    kind = kinds[status]
    return kind(unique_id, configuration, kind.REASON)


def prepare() -> None:
    """Compile the kernels, or load what was compiled: a minute the first time on a machine, then under a second."""
    y = np.random.default_rng(0).normal(size=(1, 30))
    fit_arima(y, np.zeros((31, 0)))
