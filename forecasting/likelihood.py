"""The exact likelihood of a regression with ARMA errors, coefficients and variance profiled out.

Only the p + q parameters of the ARMA are left to an optimiser, so that fits of many regressions at one order can be
compared without one of them failing to converge. Method: Ansley (1979), Biometrika 66(1), 59-65: filtered by the
autoregression, an ARMA has a banded covariance, whose Cholesky factor whitens series and regressors at once.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def aicc(x: Floats, columns: Floats, *, order: tuple[int, int, int], constant: bool, start: Floats) -> float:
    """AICc of the maximum-likelihood fit of a regression with ARIMA errors.

    The likelihood is that of the differenced series, so values compare at one order of differencing only.

    Args:
        x: Shape (n,).
        columns: Regressors, shape (n, m), of full rank with a constant and a line.
        order: p, d, q.
        constant: Whether there is an intercept (d = 0) or a drift (d = 1).
        start: The p autoregressive, then the q moving-average parameters to start from.

    Returns:
        The AICc; infinite where the sample is too short for the number of parameters.
    """
    from scipy.optimize import minimize

    p, d, q = order
    z = np.diff(np.column_stack([x, columns]), n=d, axis=0)
    if constant:
        z = np.column_stack([z, np.ones(len(z))])
    n, k = len(z), p + q + z.shape[1]  # x itself makes room for the variance
    if n <= k + 1:
        return math.inf
    deviance = profile_deviance(start[:p], start[p:], z)
    if p + q:

        def objective(free: Floats) -> float:
            return profile_deviance(*_admissible(free, p), z) / n

        found = minimize(objective, _free(start, p), method="L-BFGS-B")
        deviance = min(deviance, float(found.fun) * n)
    return float(deviance + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def profile_deviance(phi: Floats, theta: Floats, z: Floats) -> float:
    """Minus twice the log-likelihood at its maximum over regression coefficients and variance.

    Args:
        phi: Autoregressive parameters, shape (p,).
        theta: Moving-average parameters, shape (q,).
        z: The stationary series in column 0, its regressors in the others, shape (n, 1 + m), n > p + q.

    Returns:
        The deviance; infinite where the ARMA is not stationary.
    """
    from scipy.linalg import LinAlgError, cholesky_banded
    from scipy.linalg.lapack import dtbtrs

    n = len(z)
    try:
        filtered, covariance = _ansley(phi, theta, z)
        factor = cholesky_banded(covariance, lower=True)
    except (LinAlgError, ValueError):
        return math.inf
    white = dtbtrs(factor, filtered, uplo="L")[0]
    errors = white[:, 0]
    if z.shape[1] > 1:
        errors = errors - white[:, 1:] @ np.linalg.lstsq(white[:, 1:], errors)[0]
    scale = float(errors @ errors) / n
    if not scale > 0:
        return math.inf
    return n * (math.log(2 * math.pi * scale) + 1) + 2 * float(np.log(factor[0]).sum())


def _ansley(phi: Floats, theta: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Series filtered by the autoregression from week m = max(p, q) on, and their covariance in lower bands."""
    from statsmodels.tsa.arima_process import arma2ma, arma_acovf

    n, p, q = len(z), len(phi), len(theta)
    m = max(p, q)
    filtered = z.copy()
    for i, weight in enumerate(phi, 1):
        filtered[m:] -= weight * z[m - i : n - i]
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


def _admissible(free: Floats, p: int) -> tuple[Floats, Floats]:
    """Stationary and invertible parameters from any real numbers (Monahan 1984, Biometrika 71(2))."""
    from statsmodels.tsa.statespace.tools import constrain_stationary_univariate as constrain

    none = np.empty(0)
    phi = constrain(free[:p]) if p else none
    theta = -constrain(free[p:]) if len(free) > p else none
    return phi, theta


def _free(start: Floats, p: int) -> Floats:
    from statsmodels.tsa.statespace.tools import unconstrain_stationary_univariate as unconstrain

    with np.errstate(all="ignore"):
        phi = unconstrain(start[:p]) if p else start[:p]
        theta = unconstrain(-start[p:]) if len(start) > p else start[p:]
    free = np.concatenate([phi, theta])
    # A root on the unit circle has no finite counterpart.
    bounded: Floats = np.clip(np.nan_to_num(free, nan=0.0), -5.0, 5.0)
    return bounded
