"""The one-step errors of an ARMA with known parameters, exact from the first week on.

Method: Ansley (1979), Biometrika 66(1), 59-65: filtered by the autoregression, an ARMA has a banded covariance, whose
Cholesky factor whitens the series.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def innovations(phi: Floats, theta: Floats, u: Floats) -> Floats:
    """The errors of forecasting every week from those before it, each divided by its standard error over sigma.

    Args:
        phi: Autoregressive parameters of a stationary ARMA, shape (p,).
        theta: Moving-average parameters, shape (q,).
        u: The stationary series, shape (n,), n > p + q.

    Returns:
        Shape (n,), in units of `u`; independent with one variance if the model is right.
    """
    from scipy.linalg import cholesky_banded
    from scipy.linalg.lapack import dtbtrs

    filtered, covariance = _ansley(phi, theta, u)
    white: Floats = dtbtrs(cholesky_banded(covariance, lower=True), filtered[:, None], uplo="L")[0][:, 0]
    return white


def _ansley(phi: Floats, theta: Floats, u: Floats) -> tuple[Floats, Floats]:
    """The series filtered by the autoregression from week m = max(p, q) on, and its covariance in lower bands."""
    from statsmodels.tsa.arima_process import arma2ma, arma_acovf

    n, p, q = len(u), len(phi), len(theta)
    m = max(p, q)
    filtered = u.copy()
    for i, weight in enumerate(phi, 1):
        filtered[m:] -= weight * u[m - i : n - i]
    ma = np.concatenate([[1.0], theta])
    bands = np.zeros((m + 1, n))
    for lag in range(q + 1):
        bands[lag, : n - lag] = ma[lag:] @ ma[: q + 1 - lag]
    if m:
        ar = np.concatenate([[1.0], -phi])
        acovf, psi = arma_acovf(ar, ma, nobs=m), arma2ma(ar, ma, lags=q + 1)
        for i in range(m):
            for lag in range(m + 1):
                # Within the first m weeks the series itself; across, a week and the moving average of a later one.
                cross = float(ma[lag:] @ psi[: q + 1 - lag]) if lag <= q else 0.0
                bands[lag, i] = acovf[lag] if i + lag < m else cross
    return filtered, bands
