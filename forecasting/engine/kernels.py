"""The automatic ARIMA with regressors, compiled: KPSS, stepwise search, conditional and exact likelihood, forecasts.

The model is y = X b + u with u an ARIMA(p, d, q), with or without a constant. The search is that of Hyndman and
Khandakar (2008), J. Stat. Softw. 27(3), as statsforecast has it for non-seasonal models: KPSS tests choose d, a
stepwise walk chooses p, q and the constant by the AICc of the conditional sum of squares (or of the exact likelihood),
and the winner is fitted by exact maximum likelihood. What differs is how the optima are found:

- Conditional sum of squares: Newton's method on ARMA parameters and regression coefficients together, from the optimum
  of the ARMA parameters alone at the coefficients of the best model so far. Filtering backwards gives the gradient
  without filtering a regressor, and second derivatives from columns that are at hand.
- Exact likelihood: written as a filter with zero presample values plus a correction of rank m = max(p, q) for the
  unknown presample, e = e0 + H delta with delta ~ N(0, s2 D) (Box, Jenkins and Reinsel, Time Series Analysis, 4th ed.,
  section 7.4; Ljung and Box 1979, Biometrika 66(2)). Filtering series, regressors and H at once gives one Gram matrix,
  from which variance and regression coefficients follow in closed form. Only p + q parameters are left to BFGS, which
  starts from the Gauss-Newton Hessian and has analytic gradients.

All functions live in this one file because numba caches machine code by the age of the file that defines a function
and inlines what it calls: a callee in another file could change without its callers noticing.

Shapes: n weeks, k regressors, h horizons. Nothing depends on other rows of a batch or on threads. Sums are gathered in
a variable and stored once: gathered in an array they are vectorised or not as addresses fall out, last bit included.
"""

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_F = TypeVar("_F", bound=Callable[..., Any])


# Sums may be reordered, so that they run in vector registers; NaN and infinity keep their meaning.
_OPTIONS: Final[dict[str, Any]] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def jit(function: _F) -> _F:
    """Compile on the first call and keep the machine code."""
    return cast(_F, njit(cache=True, **_OPTIONS)(function))


def inlined(function: _F) -> _F:
    """Become part of the caller: numba optimises a callee anew with every caller above it, which takes the time."""
    return cast(_F, njit(inline="always", **_OPTIONS)(function))


MAX_ORDER: Final = 5
MAX_DIFFERENCES: Final = 2
MAX_MODELS: Final = 94
PAD: Final = MAX_ORDER
STATE: Final = MAX_ORDER + 1 + MAX_DIFFERENCES
"""Largest state: max(p, q + 1) of the ARMA, and the levels that differencing took off."""

OK: Final = 0
NOT_FINITE: Final = 1
TOO_SHORT: Final = 2
SINGULAR: Final = 3
PERFECT: Final = 4
NO_ADMISSIBLE_MODEL: Final = 5

_KPSS_5_PERCENT: Final = 0.463  # Kwiatkowski et al. (1992), table 1, level stationarity
_SMALLEST_ROOT: Final = 1.01
_NO_ERROR: Final = 1e-16  # a variance of log y below this is rounding: the regression explains everything
_HUGE: Final = 1e250


@jit
def _cholesky(a: Floats, size: int) -> bool:
    """Factor the leading block in place, lower triangle; False where it is not positive definite."""
    for i in range(size):
        pivot = a[i, i]
        for j in range(i + 1):
            s = a[i, j]
            for c in range(j):
                s -= a[i, c] * a[j, c]
            if i == j:
                if not s > 1e-13 * pivot:
                    return False
                a[i, i] = math.sqrt(s)
            else:
                a[i, j] = s / a[j, j]
    return True


@jit
def _substitute(factor: Floats, size: int, x: Floats) -> None:
    """Solve L L' x = x in place."""
    for i in range(size):
        s = x[i]
        for c in range(i):
            s -= factor[i, c] * x[c]
        x[i] = s / factor[i, i]
    for i in range(size - 1, -1, -1):
        s = x[i]
        for c in range(i + 1, size):
            s -= factor[c, i] * x[c]
        x[i] = s / factor[i, i]


@jit
def _inverse(a: Floats, inverse: Floats) -> float:
    """Invert a small matrix by Gauss-Jordan with pivoting; destroys `a`, gives its determinant, 0 where singular."""
    m = a.shape[0]
    determinant = 1.0
    for i in range(m):
        for j in range(m):
            inverse[i, j] = 1.0 if i == j else 0.0
    for c in range(m):
        pivot = c
        for i in range(c + 1, m):
            if abs(a[i, c]) > abs(a[pivot, c]):
                pivot = i
        if not abs(a[pivot, c]) > 1e-300:
            return 0.0
        if pivot != c:
            determinant = -determinant
            for j in range(m):
                a[c, j], a[pivot, j] = a[pivot, j], a[c, j]
                inverse[c, j], inverse[pivot, j] = inverse[pivot, j], inverse[c, j]
        determinant *= a[c, c]
        scale = 1.0 / a[c, c]
        for j in range(m):
            a[c, j] *= scale
            inverse[c, j] *= scale
        for i in range(m):
            if i != c and a[i, c] != 0.0:
                f = a[i, c]
                for j in range(m):
                    a[i, j] -= f * a[c, j]
                    inverse[i, j] -= f * inverse[c, j]
    return determinant


@jit
def least_squares(w: Floats, z: Floats, beta: Floats) -> bool:
    """Coefficients (k,) of w (n,) on z (n, k) by normal equations; False where z is rank deficient."""
    k = z.shape[1]
    gram = np.dot(z.T, z)
    right = np.dot(z.T, w)
    if not _cholesky(gram, k):
        return False
    for c in range(k):
        beta[c] = right[c]
    _substitute(gram, k, beta)
    return True


@jit
def kpss(x: Floats) -> float:
    """Statistic of the KPSS test of level stationarity with floor(3 sqrt(n) / 13) lags, as forecast::ndiffs uses it."""
    n = x.size
    lags = math.floor(3.0 * math.sqrt(n) / 13.0)
    e = x - x.mean()
    total = 0.0
    eta = 0.0
    variance = 0.0
    for t in range(n):
        total += e[t]
        eta += total * total
        variance += e[t] * e[t]
    for lag in range(1, lags + 1):
        s = 0.0
        for t in range(lag, n):
            s += e[t] * e[t - lag]
        variance += 2.0 * s * (1.0 - lag / (lags + 1.0))
    return eta / (n * variance)


@jit
def _constant(x: Floats) -> bool:
    for t in range(1, x.size):
        if x[t] != x[0]:
            return False
    return True


@jit
def _differences(residuals: Floats) -> int:
    """How often to difference until the KPSS test no longer rejects stationarity at 5 per cent, at most twice."""
    x = residuals
    d = 0
    while d < MAX_DIFFERENCES and not _constant(x) and kpss(x) > _KPSS_5_PERCENT:
        d += 1
        x = x[1:] - x[:-1]
    return d


@jit
def _outside(c: Floats, radius: float) -> bool:
    """Whether all roots of 1 - c1 z - ... - cp z^p lie outside a circle, by Levinson's recursion backwards."""
    p = c.size
    a = np.empty(p)
    b = np.empty(p)
    power = 1.0
    for i in range(p):
        power *= radius
        a[i] = c[i] * power
    for j in range(p - 1, -1, -1):
        last = a[j]
        if not abs(last) < 1.0:
            return False
        scale = 1.0 / (1.0 - last * last)
        for i in range(j):
            b[i] = (a[i] + last * a[j - 1 - i]) * scale
        for i in range(j):
            a[i] = b[i]
    return True


@jit
def _roots_accepted(c: Floats) -> bool:
    """What statsforecast asks of a fitted polynomial: roots beyond 1.01, trailing zeros and order one unchecked."""
    order = c.size
    while order > 0 and abs(c[order - 1]) <= 1e-8:
        order -= 1
    return order <= 1 or _outside(c[:order], _SMALLEST_ROOT)


@jit
def _conditional_errors(u: Floats, phi: Floats, theta: Floats, e: Floats) -> float:
    """Errors of u given its first p values and zero errors before, into e; their sum of squares."""
    n, p, q = u.size, phi.size, theta.size
    s = 0.0
    for t in range(min(p, n)):
        e[t] = 0.0
    for t in range(p, n):
        v = u[t]
        for i in range(p):
            v -= phi[i] * u[t - 1 - i]
        for j in range(min(q, t)):
            v -= theta[j] * e[t - 1 - j]
        e[t] = v
        s += v * v
        if not s < _HUGE:
            return np.inf
    return s


@jit
def _padded(columns: Floats) -> Floats:
    """The columns below `PAD` rows of zeros, so that lags need no conditions, (PAD + n, k)."""
    out = np.zeros((PAD + columns.shape[0], columns.shape[1]))
    out[PAD:] = columns
    return out


@jit
def _lag(c: Floats, i: int) -> float:
    return c[i] if i < c.size else 0.0


@jit
def _filter(source: Floats, phi: Floats, theta: Floats, start: int, out: Floats, total: int) -> None:
    """Filter by phi(B) / theta(B) from week `start` on, zero before it, into `out`.

    Args:
        source: Padded columns, (PAD + n, k), filtered into the first k columns of `out`.
        phi: (p,).
        theta: (q,).
        start: First week that is filtered.
        out: Padded, (PAD + n, >= total), zero above week `start`; columns k .. total hold series that are filtered by
            1 / theta(B) in place.
        total: Columns filtered by theta.
    """
    k = source.shape[1]
    f1, f2, f3, f4, f5 = _lag(phi, 0), _lag(phi, 1), _lag(phi, 2), _lag(phi, 3), _lag(phi, 4)
    g1, g2, g3, g4, g5 = _lag(theta, 0), _lag(theta, 1), _lag(theta, 2), _lag(theta, 3), _lag(theta, 4)
    moving = theta.size > 0
    # One loop over columns a week, lags written out: this is what runs in vector registers.
    if phi.size <= 2 and theta.size <= 2:
        for t in range(PAD + start, source.shape[0]):
            for c in range(k):
                out[t, c] = source[t, c] - f1 * source[t - 1, c] - f2 * source[t - 2, c]
            if moving:
                for c in range(total):
                    out[t, c] -= g1 * out[t - 1, c] + g2 * out[t - 2, c]
        return
    for t in range(PAD + start, source.shape[0]):
        for c in range(k):
            out[t, c] = (
                source[t, c]
                - f1 * source[t - 1, c]
                - f2 * source[t - 2, c]
                - f3 * source[t - 3, c]
                - f4 * source[t - 4, c]
                - f5 * source[t - 5, c]
            )
        if moving:
            for c in range(total):
                out[t, c] -= (
                    g1 * out[t - 1, c]
                    + g2 * out[t - 2, c]
                    + g3 * out[t - 3, c]
                    + g4 * out[t - 4, c]
                    + g5 * out[t - 5, c]
                )


@jit
def _regressed(w: Floats, z: Floats, beta: Floats) -> Floats:
    """What the regression leaves of w (n,), z padded."""
    return w - np.dot(z[PAD:], beta) if beta.size > 0 else w


@jit
def _conditional_jacobian(u: Floats, z: Floats, phi: Floats, theta: Floats, e: Floats, jacobian: Floats) -> None:
    """Minus the derivatives of the errors by beta, phi and theta in that order, then the errors, padded."""
    n, k, p, q = u.size, z.shape[1], phi.size, theta.size
    for t in range(p, n):
        for i in range(p):
            jacobian[PAD + t, k + i] = u[t - 1 - i]
        if q > 0:
            jacobian[PAD + t, k + p] = e[t - 1] if t > 0 else 0.0
    _filter(z, phi, theta, p, jacobian, k + p + min(q, 1))
    # Errors are zero before the sample, hence a further lag of theta is the same column a week later.
    for t in range(p, n):
        for j in range(1, q):
            jacobian[PAD + t, k + p + j] = jacobian[PAD + t - j, k + p]
        jacobian[PAD + t, k + p + q] = e[t]


@jit
def _backward(e: Floats, theta: Floats, start: int) -> Floats:
    """The errors filtered backwards: sum_t e_t (x / theta(B))_t = sum_t out_t x_t for every x zero before `start`."""
    n = e.size
    out = e.copy()
    for t in range(n - 1, start - 1, -1):
        v = e[t]
        for j in range(min(theta.size, n - 1 - t)):
            v -= theta[j] * out[t + 1 + j]
        out[t] = v
    return out


@jit
def _conditional_gradient(u: Floats, z: Floats, phi: Floats, theta: Floats, e: Floats, gradient: Floats) -> None:
    """Minus half the gradient of the sum of squares by beta, phi and theta, without filtering a single regressor."""
    n, k, p, q = e.size, z.shape[1], phi.size, theta.size
    backward = _backward(e, theta, p)
    for i in range(p):
        gradient[k + i] = np.dot(backward[p:], u[p - 1 - i : n - 1 - i])
    for j in range(q):
        gradient[k + p + j] = np.dot(backward[1 + j :], e[: n - 1 - j])
    if k > 0:
        weights = backward.copy()
        for i in range(p):
            weights[: n - 1 - i] -= phi[i] * backward[i + 1 :]
        gradient[:k] = np.dot(weights, z[PAD:])


@jit
def _conditional_hessian(z: Floats, phi: Floats, theta: Floats, e: Floats, jacobian: Floats, hessian: Floats) -> None:
    """Add sum_t e_t e''_t to the J'J in `hessian`: each e'' is a column of the Jacobian, lagged and filtered again."""
    n, k, p, q = e.size, z.shape[1], phi.size, theta.size
    m = k + p
    backward = _backward(e, theta, p)
    if k > 0:
        for i in range(p):
            mixed = np.dot(backward[i + 1 :], z[PAD : PAD + n - 1 - i])
            for c in range(k):
                hessian[k + i, c] += mixed[c]
    for lag in range(1, 2 * q):
        if lag <= q:
            mixed = np.dot(backward[lag:], jacobian[PAD : PAD + n - lag])
            for c in range(m):
                hessian[m + lag - 1, c] += mixed[c]
            twice = 2.0 * mixed[m]
        else:
            twice = 0.0
            for t in range(p + lag, n):
                twice += 2.0 * backward[t] * jacobian[PAD + t - lag, m]
        for j in range(max(0, lag - q), min(lag, q)):
            hessian[m + lag - 1 - j, m + j] += twice


@jit
def _minimise_conditional(
    w: Floats, z: Floats, phi: Floats, theta: Floats, beta: Floats, tolerance: float, iterations: int
) -> float:
    """Damped Newton on the conditional sum of squares, in place; the sum of squares at the end.

    A factored Hessian serves until it stops paying: a gradient costs a small part of it.
    """
    n, k, p, q = w.size, z.shape[1], phi.size, theta.size
    m = k + p + q
    u = _regressed(w, z, beta)
    e = np.zeros(n)
    s = _conditional_errors(u, phi, theta, e)
    if m == 0 or not s < _HUGE:
        return s
    jacobian = np.zeros((PAD + n, m + 1))
    hessian, gram, factor = np.empty((m + 1, m + 1)), np.empty((m + 1, m + 1)), np.empty((m, m))
    gradient, step = np.empty(m), np.empty(m)
    new_e = np.zeros(n)
    damping, last_promise = 1e-4, np.inf
    current = False  # whether `factor` was made where we stand
    usable = False  # whether `factor` may serve here
    for _ in range(iterations):
        if not usable:
            _conditional_jacobian(u, z, phi, theta, e, jacobian)
            gram = np.dot(jacobian.T, jacobian)
            hessian[:] = gram
            _conditional_hessian(z, phi, theta, e, jacobian, hessian)
            gradient[:] = gram[m, :m]
            current = True
        else:
            _conditional_gradient(u, z, phi, theta, e, gradient)
            current = False
        newton = True
        while True:
            if current:
                # Newton where the Hessian is positive definite and its step pays, else Levenberg-Marquardt.
                source = hessian if newton else gram
                for i in range(m):
                    for j in range(i + 1):
                        factor[i, j] = source[i, j]
                    factor[i, i] += (0.0 if newton else damping * gram[i, i]) + 1e-300
                usable = _cholesky(factor, m)
            promise = np.inf
            new_s = np.inf
            if usable:
                step[:] = gradient
                _substitute(factor, m, step)
                promise = np.dot(step, gradient)
                new_phi = phi + step[k : k + p]
                new_theta = theta + step[k + p :]
                new_beta = beta + step[:k]
                new_u = _regressed(w, z, new_beta)
                new_s = _conditional_errors(new_u, new_phi, new_theta, new_e)
                if new_s < s:
                    break
            if promise < tolerance * s or not current or damping > 1e8:
                break
            if newton:
                newton = False
            else:
                damping *= 10.0
        if new_s < s:
            phi[:] = new_phi
            theta[:] = new_theta
            beta[:] = new_beta
            u, s = new_u, new_s
            e, new_e = new_e, e
        if promise < tolerance * s:
            break
        if current:
            if not new_s < np.inf or damping > 1e8:
                break
            usable = newton
            damping = max(0.1 * damping, 1e-4)
        else:
            usable = promise < 0.3 * last_promise
        last_promise = promise
    return s


@jit
def _regressed_start(u: Floats, phi: Floats, theta: Floats) -> None:
    """ARMA parameters by regression on lags of u and of the errors of a long autoregression, into phi and theta.

    Source: Hannan and Rissanen (1982), Biometrika 69(1), 81-94. Zero where the sample is too short for it.
    """
    n, p, q = u.size, phi.size, theta.size
    phi[:] = 0.0
    theta[:] = 0.0
    long = min(20, n // 8)
    first = long + max(p, q)
    if n < first + 2 * (p + q) + 1:
        return
    covariance = np.empty(long + 1)
    for lag in range(long + 1):
        covariance[lag] = np.dot(u[lag:], u[: n - lag])
    # Durbin and Levinson.
    ar, before = np.zeros(long), np.zeros(long)
    variance = covariance[0]
    for i in range(long):
        if not variance > 0.0:
            return
        v = covariance[i + 1]
        for j in range(i):
            v -= ar[j] * covariance[i - j]
        before[:] = ar
        ar[i] = v / variance
        for j in range(i):
            ar[j] = before[j] - ar[i] * before[i - 1 - j]
        variance *= 1.0 - ar[i] * ar[i]
    e = u.copy()
    for t in range(long, n):
        v = u[t]
        for i in range(long):
            v -= ar[i] * u[t - 1 - i]
        e[t] = v
    lags = np.empty((n - first, p + q + 1))
    for t in range(first, n):
        for i in range(p):
            lags[t - first, i] = u[t - 1 - i]
        for j in range(q):
            lags[t - first, p + j] = e[t - 1 - j]
        lags[t - first, p + q] = u[t]
    gram = np.dot(lags.T, lags)
    if _cholesky(gram, p + q):
        x = gram[p + q, : p + q].copy()
        _substitute(gram, p + q, x)
        phi[:] = x[:p]
        theta[:] = x[p:]


@jit
def _coarse_start(u: Floats, phi: Floats, theta: Floats) -> None:
    """The best of a few first moving-average parameters with all others zero, into phi and theta."""
    phi[:] = 0.0
    theta[:] = 0.0
    if theta.size > 0:
        e = np.empty(u.size)
        lowest, at = np.inf, 0.0
        for value in (0.0, -0.5, -0.9, 0.5):
            theta[0] = value
            s = _conditional_errors(u, phi, theta, e)
            if s < lowest:
                lowest, at = s, value
        theta[0] = at


@inlined
def _fit_conditional(w: Floats, z: Floats, start: Floats, phi: Floats, theta: Floats, beta: Floats) -> float:
    """The optimum of the conditional sum of squares; the estimate of the variance."""
    n, p, q = w.size, phi.size, theta.size
    beta[:] = start
    if p + q > 0:
        # The coefficients hardly depend on the ARMA: first the ARMA alone, which costs next to nothing. Mixed models
        # have several optima: two starts, of which the better optimum stays.
        u = _regressed(w, z, beta)
        nothing, none = np.empty((PAD + n, 0)), np.empty(0)
        best = np.inf
        new_phi, new_theta = np.zeros(p), np.zeros(q)
        for attempt in range(2):
            if attempt == 0:
                _regressed_start(u, new_phi, new_theta)
            elif min(p, q) > 0 or not best < np.inf:
                _coarse_start(u, new_phi, new_theta)
            else:
                break
            s = _minimise_conditional(u, nothing, new_phi, new_theta, none, 1e-3, 15)
            if s < best or attempt == 0:
                best = s
                phi[:] = new_phi
                theta[:] = new_theta
    return _minimise_conditional(w, z, phi, theta, beta, 1e-5, 40) / (n - p)


@jit
def _presample(phi: Floats, theta: Floats, d: Floats, derivatives: Floats) -> bool:
    """Covariance D (m, m) of what the presample adds to the first m errors, in units of the error variance.

    delta_t = -sum_i phi_{t+1+i} u_{-1-i} - sum_j theta_{t+1+j} e_{-1-j}, t = 0 .. m - 1.

    Args:
        phi: Stationary autoregressive parameters, (p,).
        theta: Moving-average parameters, (q,).
        d: Receives D.
        derivatives: Receives the derivatives of D by phi and theta, (p + q, m, m); (0, m, m) where none are wanted.
    """
    p, q, m = phi.size, theta.size, d.shape[0]
    wanted = derivatives.shape[0]
    psi = np.zeros(q + 1)  # weights of the MA(infinity)
    d_psi = np.zeros((wanted, q + 1))
    psi[0] = 1.0
    for t in range(1, q + 1):
        v = theta[t - 1]
        for i in range(min(p, t)):
            v += phi[i] * psi[t - 1 - i]
        psi[t] = v
    for c in range(wanted):
        for t in range(1, q + 1):
            if c < p:
                v = psi[t - 1 - c] if t - 1 >= c else 0.0
            else:
                v = 1.0 if t - 1 == c - p else 0.0
            for i in range(min(p, t)):
                v += phi[i] * d_psi[c, t - 1 - i]
            d_psi[c, t] = v
    gamma = np.zeros(p + 1)  # autocovariances
    d_gamma = np.zeros((wanted, p + 1))
    if p > 0:
        a = np.zeros((p + 1, p + 1))
        right = np.zeros(p + 1)
        for i in range(p + 1):
            a[i, i] += 1.0
            for j in range(p):
                a[i, abs(i - 1 - j)] -= phi[j]
            v = 0.0
            for j in range(i, q + 1):
                v += (1.0 if j == 0 else theta[j - 1]) * psi[j - i]
            right[i] = v
        solve = np.empty((p + 1, p + 1))
        if _inverse(a, solve) == 0.0:
            return False
        gamma = np.dot(solve, right)
        if not gamma[0] > 0.0:
            return False
        for c in range(wanted):
            for i in range(p + 1):
                v = gamma[abs(i - 1 - c)] if c < p else 0.0
                if c >= p and c - p + 1 >= i:
                    v += psi[c - p + 1 - i]
                for j in range(i, q + 1):
                    v += (1.0 if j == 0 else theta[j - 1]) * d_psi[c, j - i]
                right[i] = v
            d_gamma[c] = np.dot(solve, right)
    with_u = np.zeros((m, p))  # covariance of minus delta with u_{-1-i}, and with e_{-1-j}
    with_e = np.zeros((m, q))
    for t in range(m):
        for i in range(p):
            v = 0.0
            for j in range(p - t):
                v += phi[t + j] * gamma[abs(i - j)]
            for j in range(i, q - t):
                v += theta[t + j] * psi[j - i]
            with_u[t, i] = v
        for j in range(q):
            v = theta[t + j] if t + j < q else 0.0
            for i in range(min(p - t, j + 1)):
                v += phi[t + i] * psi[j - i]
            with_e[t, j] = v
    for t in range(m):
        for s in range(m):
            v = 0.0
            for i in range(p - s):
                v += with_u[t, i] * phi[s + i]
            for j in range(q - s):
                v += with_e[t, j] * theta[s + j]
            d[t, s] = v
    for c in range(wanted):
        for t in range(m):
            for s in range(t + 1):
                v = 0.0
                if c < p:
                    v += with_u[s, c - t] if c >= t else 0.0
                    v += with_u[t, c - s] if c >= s else 0.0
                else:
                    v += with_e[s, c - p - t] if c - p >= t else 0.0
                    v += with_e[t, c - p - s] if c - p >= s else 0.0
                for i in range(p - t):
                    for j in range(p - s):
                        v += phi[t + i] * d_gamma[c, abs(i - j)] * phi[s + j]
                    for j in range(i, q - s):
                        v += phi[t + i] * d_psi[c, j - i] * theta[s + j]
                for i in range(p - s):
                    for j in range(i, q - t):
                        v += phi[s + i] * d_psi[c, j - i] * theta[t + j]
                derivatives[c, t, s] = v
                derivatives[c, s, t] = v
    return True


@jit
def _inverse_filter(x: Floats, theta: Floats) -> Floats:
    """X filtered by 1 / theta(B), zero before the sample."""
    out = x.copy()
    for t in range(x.size):
        v = x[t]
        for j in range(min(theta.size, t)):
            v -= theta[j] * out[t - 1 - j]
        out[t] = v
    return out


@jit
def _exact(
    series: Floats, phi: Floats, theta: Floats, filtered: Floats, beta: Floats, b: Floats, ti: Floats, mm: Floats
) -> tuple[float, float]:
    """The likelihood at its maximum over coefficients and variance.

    Args:
        series: Regressors and, last, the stationary series, padded, (PAD + n, k + 1).
        phi: (p,).
        theta: (q,).
        filtered: Receives the filtered series and the impulse responses H, padded, (PAD + n, k + 1 + m).
        beta: Receives the coefficients, (k,).
        b: Receives H'e0, (m,).
        ti: Receives (I + G D)^-1 with G = H'H, (m, m).
        mm: Receives D (I + G D)^-1, the covariance of delta given the sample, (m, m).

    Returns:
        Minus the log-likelihood per week without its constant, 0.5 (log(s / n) + log|V| / n), and the sum of squares s;
        infinite where phi is not stationary or the regressors are rank deficient.
    """
    n, k, m = series.shape[0] - PAD, series.shape[1] - 1, b.size
    _filter(series, phi, theta, 0, filtered, k + 1)
    log_determinant = 0.0
    if m > 0:
        response = np.zeros(n)
        response[0] = 1.0
        response = _inverse_filter(response, theta)
        for t in range(n):
            for c in range(min(m, t + 1)):
                filtered[PAD + t, k + 1 + c] = response[t - c]
    gram = np.dot(filtered.T, filtered)
    if m > 0:
        d = np.empty((m, m))
        if not _presample(phi, theta, d, np.empty((0, m, m))):
            return np.inf, np.inf
        t_ = np.dot(gram[k + 1 :, k + 1 :].copy(), d)
        for i in range(m):
            t_[i, i] += 1.0
        determinant = _inverse(t_, ti)
        if not determinant > 0.0:
            return np.inf, np.inf
        log_determinant = math.log(determinant)
        mm[:] = np.dot(d, ti)
        cross = gram[k + 1 :, : k + 1].copy()
        weighted = np.dot(mm, cross)
        for r in range(m):
            for i in range(k + 1):
                f = cross[r, i]
                for j in range(i + 1):
                    gram[i, j] -= f * weighted[r, j]
    s = gram[k, k]
    if k > 0:
        if not _cholesky(gram, k):
            return np.inf, np.inf
        for c in range(k):
            beta[c] = gram[k, c]
        _substitute(gram, k, beta)
        for c in range(k):
            s -= beta[c] * gram[k, c]
    for r in range(m):
        v = gram[k + 1 + r, k]
        for c in range(k):
            v -= gram[k + 1 + r, c] * beta[c]
        b[r] = v
    if not s > 0.0:
        return -np.inf, 0.0
    return 0.5 * (math.log(s / n) + log_determinant / n), s


@jit
def _errors_given_sample(filtered: Floats, beta: Floats, b: Floats, mm: Floats) -> Floats:
    """Expected errors given the whole sample, (n,)."""
    k, m = beta.size, b.size
    weights = np.empty(k + 1 + m)
    weights[:k] = -beta
    weights[k] = 1.0
    if m > 0:
        weights[k + 1 :] = -np.dot(mm, b)
    errors: Floats = np.dot(filtered[PAD:], weights)
    return errors


@jit
def _exact_gradient(
    series: Floats,
    phi: Floats,
    theta: Floats,
    filtered: Floats,
    beta: Floats,
    b: Floats,
    ti: Floats,
    mm: Floats,
    s: float,
    gradient: Floats,
    directions: Floats,
) -> None:
    """Gradient (p + q,) of what `_exact` gives, at its own results.

    Coefficients and presample are at their optimum and count as fixed (envelope theorem). `directions` (n, p + q)
    receives minus the derivatives of the errors, from which the Gauss-Newton Hessian is made.
    """
    n, k, p, q, m = series.shape[0] - PAD, series.shape[1] - 1, phi.size, theta.size, b.size
    weights = np.empty(k + 1)
    weights[:k] = -beta
    weights[k] = 1.0
    errors = _errors_given_sample(filtered, beta, b, mm)
    by_phi = _inverse_filter(np.dot(series[PAD:], weights), theta)
    by_theta = _inverse_filter(errors, theta)
    d = np.empty((m, m))
    derivatives = np.empty((p + q, m, m))
    _presample(phi, theta, d, derivatives)
    x = -np.dot(ti, b)
    responses = filtered[PAD:, k + 1 :].copy()
    information = np.dot(ti, np.dot(responses.T, responses))
    smoothed = np.dot(responses, mm)
    twice = _inverse_filter(responses[:, 0].copy(), theta)
    for c in range(p + q):
        lag = c + 1 if c < p else c - p + 1
        source = by_phi if c < p else by_theta
        directions[:lag, c] = 0.0
        directions[lag:, c] = source[: n - lag]
        slope = -2.0 * np.dot(errors[lag:], source[: n - lag])
        log_determinant = 0.0
        for i in range(m):
            for j in range(m):
                slope -= x[i] * derivatives[c, i, j] * x[j]
                log_determinant += derivatives[c, i, j] * information[j, i]
        if c >= p:
            for i in range(m):
                for t in range(i + lag, n):
                    log_determinant -= 2.0 * twice[t - i - lag] * smoothed[t, i]
        gradient[c] = 0.5 * (slope / s + log_determinant / n)


@jit
def _gauss_newton(filtered: Floats, directions: Floats, k: int, s: float) -> Floats:
    """Inverse of the expected Hessian by the ARMA parameters, the coefficients profiled out, (p + q, p + q)."""
    n, r = directions.shape
    both = np.empty((n, k + r))
    both[:, :k] = filtered[PAD:, :k]
    both[:, k:] = directions
    gram = np.dot(both.T, both)
    for c in range(k + r):
        gram[c, c] *= 1.0 + 1e-6
    out = np.eye(r)
    if not _cholesky(gram, k + r):
        return out
    # The trailing block of the factor is the factor of the Schur complement.
    factor = gram[k:, k:].copy()
    column = np.empty(r)
    for c in range(r):
        column[:] = 0.0
        column[c] = s
        _substitute(factor, r, column)
        out[:, c] = column
    return out


@jit
def _admissible(x: Floats, p: int) -> bool:
    return _outside(x[:p], 1.0) and _outside(-x[p:], 1.0)


@jit
def _fit_exact(
    w: Floats, z: Floats, phi: Floats, theta: Floats, beta: Floats
) -> tuple[float, float, Floats, Floats, int]:
    """Exact maximum likelihood from the values handed over, in place.

    Returns:
        Minus twice the log-likelihood, the sum of squares, the expected errors (n,), their covariance over the last q
        weeks in units of the error variance (q, q), and the number of likelihoods evaluated.
    """
    n, k, p, q = w.size, z.shape[1], phi.size, theta.size
    m, r = max(p, q), p + q
    series = np.zeros((PAD + n, k + 1))
    series[:, :k] = z
    # Differences to the start: the sums of squares then keep their digits.
    series[PAD:, k] = _regressed(w, z, beta)
    change = np.zeros(k)
    b, ti, mm = np.zeros(m), np.zeros((m, m)), np.zeros((m, m))
    filtered = np.zeros((PAD + n, k + 1 + m))
    x = np.empty(r)
    x[:p] = phi
    x[p:] = theta
    if not _admissible(x, p):
        x[:] = 0.0
    f, s = _exact(series, x[:p], x[p:], filtered, change, b, ti, mm)
    evaluations = 1
    if r > 0 and np.isfinite(f):
        gradient, new_gradient = np.zeros(r), np.zeros(r)
        directions = np.empty((n, r))
        _exact_gradient(series, x[:p], x[p:], filtered, change, b, ti, mm, s, gradient, directions)
        hessian = _gauss_newton(filtered, directions, k, s)
        fresh = True
        for _ in range(100):
            direction = -np.dot(hessian, gradient)
            slope = np.dot(gradient, direction)
            if slope >= 0.0:
                break
            if -slope * n < 1e-10:
                break
            length = 1.0
            largest = np.abs(direction).max()
            if largest > 0.5:
                length = 0.5 / largest
            accepted = False
            new_x, new_f, new_s = x, f, s
            for _halving in range(30):
                new_x = x + length * direction
                if _admissible(new_x, p):
                    new_f, new_s = _exact(series, new_x[:p], new_x[p:], filtered, change, b, ti, mm)
                    evaluations += 1
                    if new_f <= f + 1e-4 * length * slope:
                        accepted = True
                        break
                length *= 0.5
            if not accepted and fresh:
                break
            if not accepted:
                # The curvature gathered so far misleads: begin again from the expected one.
                f, s = _exact(series, x[:p], x[p:], filtered, change, b, ti, mm)
                _exact_gradient(series, x[:p], x[p:], filtered, change, b, ti, mm, s, gradient, directions)
                hessian = _gauss_newton(filtered, directions, k, s)
                evaluations += 1
                fresh = True
                continue
            fresh = False
            _exact_gradient(series, new_x[:p], new_x[p:], filtered, change, b, ti, mm, new_s, new_gradient, directions)
            moved = new_x - x
            turned = new_gradient - gradient
            curvature = np.dot(moved, turned)
            if curvature > 1e-12 * math.sqrt(np.dot(moved, moved) * np.dot(turned, turned)):
                h_turned = np.dot(hessian, turned)
                scale = (1.0 + np.dot(turned, h_turned) / curvature) / curvature
                for i in range(r):
                    for j in range(r):
                        hessian[i, j] += (
                            scale * moved[i] * moved[j] - (h_turned[i] * moved[j] + moved[i] * h_turned[j]) / curvature
                        )
            gained = f - new_f
            x, f, s = new_x, new_f, new_s
            gradient[:] = new_gradient
            if gained * n < 1e-10:
                break
    f, s = _exact(series, x[:p], x[p:], filtered, change, b, ti, mm)
    phi[:] = x[:p]
    theta[:] = x[p:]
    for c in range(k):
        beta[c] += change[c]
    covariance = np.zeros((q, q))
    if not s > 0.0:
        return f, s, np.zeros(n), covariance, evaluations
    errors = _errors_given_sample(filtered, change, b, mm)
    for i in range(min(q, n)):
        for j in range(min(q, n)):
            v = 0.0
            for c in range(m):
                for r_ in range(m):
                    v += filtered[PAD + n - 1 - i, k + 1 + c] * mm[c, r_] * filtered[PAD + n - 1 - j, k + 1 + r_]
            covariance[i, j] = v
    return n * (2.0 * f + math.log(2.0 * math.pi) + 1.0), s, errors, covariance, evaluations


@jit
def _penalty(npar: int, n: int) -> float:
    """What AICc adds to minus twice the log-likelihood; infinite where the sample is too short for it."""
    return 2.0 * npar + 2.0 * npar * (npar + 1) / (n - npar - 1) if n > npar + 1 else np.inf


@jit
def _with_constant(z: Floats, constant: int) -> Floats:
    if constant == 0:
        return z
    out = np.ones((z.shape[0], z.shape[1] + 1))
    out[:, 1:] = z
    return out


@inlined
def _criterion(
    w: Floats, z: Floats, start: Floats, p: int, q: int, by_likelihood: bool, beta: Floats
) -> tuple[float, int]:
    """The AICc by which the walk ranks an order, infinite where its roots are refused; likelihoods evaluated."""
    n = w.size
    phi, theta = np.zeros(p), np.zeros(q)
    penalty = _penalty(p + q + z.shape[1] + 1, n)
    if n <= p or not penalty < np.inf:
        return np.inf, 0
    variance = _fit_conditional(w, z, start, phi, theta, beta)
    evaluations = 0
    if by_likelihood:
        deviance, _s, _errors, _covariance, evaluations = _fit_exact(w, z, phi, theta, beta)
        value = deviance
    else:
        value = n * math.log(variance) if variance > 0.0 else -np.inf
    if not (np.isfinite(value) and _roots_accepted(phi) and _roots_accepted(-theta)):
        return np.inf, evaluations
    return value + penalty, evaluations


@inlined
def _keep(beta: Floats, start: Floats) -> None:
    """Let the next models start from the coefficients of the best so far: they hardly depend on the order."""
    if np.isfinite(beta).all():
        start[:] = beta


@inlined
def _walk(
    w: Floats, z0: Floats, z1: Floats, b0: Floats, b1: Floats, d: int, n_weeks: int, by_likelihood: bool, tried: Floats
) -> tuple[int, int]:
    """The stepwise search: (p, q, constant, AICc) of every model tried into `tried`; how many, and likelihoods."""
    largest = min(MAX_ORDER, n_weeks // 3)
    first = min(2 if n_weeks >= 10 else 1, largest)
    constant = 1 if d < 2 else 0
    # Five models to begin with; then, from the best so far, the first of nine moves that improves it.
    starts = ((first, first, constant), (0, 0, constant), (1, 0, constant), (0, 1, constant), (0, 0, 0))
    moves = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0))
    best, p, q, count, evaluations = np.inf, 0, 0, 0, 0
    trial0, trial1 = b0.copy(), b1.copy()
    step = 0
    while step < 5 + 9 and count < MAX_MODELS:
        if step < 5:
            new_p, new_q, new_constant = starts[step]
        else:
            new_p, new_q = p + moves[step - 5][0], q + moves[step - 5][1]
            new_constant = constant if step < 5 + 8 else 1 - constant
        step += 1
        if min(new_p, new_q) < 0 or max(new_p, new_q) > largest or new_constant > (1 if d < 2 else 0):
            continue
        known = False
        for row in range(count):
            known |= tried[row, 0] == new_p and tried[row, 1] == new_q and tried[row, 2] == new_constant
        if known:
            continue
        start, trial = (b1, trial1) if new_constant == 1 else (b0, trial0)
        value, spent = _criterion(w, z1 if new_constant == 1 else z0, start, new_p, new_q, by_likelihood, trial)
        evaluations += spent
        tried[count, 0], tried[count, 1], tried[count, 2], tried[count, 3] = new_p, new_q, new_constant, value
        count += 1
        if value < best or count == 1:
            best, p, q = value, new_p, new_q
            _keep(trial, start)
            if step > 5:
                constant = new_constant
                step = 5
            # As in statsforecast, the walk keeps its constant even when (0, d, 0) without one leads at first.
    return count, evaluations


@jit
def _state(
    u: Floats, w: Floats, phi: Floats, theta: Floats, d: int, errors: Floats, covariance: Floats, a: Floats, v: Floats
) -> None:
    """The state after the last week and its covariance in units of the error variance, as `forecaster` has them.

    Args:
        u: What regression leaves of the undifferenced series, (n + d,).
        w: The stationary series without its regression, (n,).
        phi: (p,).
        theta: (q,).
        d: Order of differencing.
        errors: (n,).
        covariance: Of the last q errors, latest first, (q, q).
        a: Receives the state, (STATE,), zeros beyond max(p, q + 1) + d.
        v: Receives its covariance, (STATE, STATE).
    """
    n, p, q = w.size, phi.size, theta.size
    r = max(p, q + 1)
    a[:] = 0.0
    v[:] = 0.0
    a[0] = w[n - 1]
    for i in range(1, r):
        s = 0.0
        for j in range(p - i):
            s += phi[i + j] * (w[n - 2 - j] if n - 2 - j >= 0 else 0.0)
        for j in range(q - i + 1):
            s += theta[i + j - 1] * (errors[n - 1 - j] if n - 1 - j >= 0 else 0.0)
        a[i] = s
        for j in range(1, r):
            s = 0.0
            for c in range(q - i + 1):
                for l_ in range(q - j + 1):
                    s += theta[i + c - 1] * theta[j + l_ - 1] * covariance[c, l_]
            v[i, j] = s
    for i in range(d):
        a[r + i] = u[u.size - 2 - i]


@jit
def _forecast(
    a: Floats, v: Floats, phi: Floats, theta: Floats, d: int, sigma2: float, mean: Floats, se: Floats
) -> None:
    """Mean and standard error of the ARIMA for the horizons 1 .. h, into `mean` and `se` (h,)."""
    p, q = phi.size, theta.size
    r = max(p, q + 1)
    size = r + d
    row = np.zeros(size)  # the observation's loading on the state, carried forward through the transition
    row[0] = 1.0
    if d == 1:
        row[r] = 1.0
    elif d == 2:
        row[r], row[r + 1] = 2.0, -1.0
    observation = row.copy()
    new = np.empty(size)
    spread = 0.0
    for step in range(mean.size):
        # psi weight of the newest error
        psi = row[0]
        for j in range(q):
            psi += row[j + 1] * theta[j]
        spread += psi * psi
        for j in range(size):
            new[j] = 0.0
        for i in range(r):
            if i < p:
                new[0] += row[i] * phi[i]
            if i + 1 < r:
                new[i + 1] += row[i]
        if d > 0:
            for j in range(size):
                new[j] += row[r] * observation[j]
            if d == 2:
                new[r] += row[r + 1]
        for j in range(size):
            row[j] = new[j]
        total = 0.0
        extra = 0.0
        for i in range(size):
            total += row[i] * a[i]
            for j in range(size):
                extra += row[i] * v[i, j] * row[j]
        mean[step] = total
        se[step] = math.sqrt(sigma2 * (spread + extra))


@inlined
def _fit_one(
    y: Floats,
    x: Floats,
    future: Floats,
    fixed: Integers,
    by_likelihood: bool,
    order: Integers,
    values: Floats,
    arma: Floats,
    beta_out: Floats,
    a: Floats,
    v: Floats,
    mean: Floats,
    se: Floats,
) -> int:
    """Fit one series and forecast it; see `fit_rows` for the results."""
    n_weeks, k = x.shape
    for t in range(n_weeks):
        if not np.isfinite(y[t]):
            return NOT_FINITE
    if n_weeks <= k + 3:
        return TOO_SHORT
    x1 = _with_constant(x, 1)
    all_beta = np.empty(k + 1)
    if not least_squares(y, x1, all_beta):
        return SINGULAR
    d = fixed[1]
    if d < 0:
        residuals = y - np.dot(x1, all_beta)
        if not np.dot(residuals, residuals) > _NO_ERROR * n_weeks:
            return PERFECT
        d = _differences(residuals)
    w = y.copy()
    z0 = x.copy()
    for _ in range(d):
        w = w[1:] - w[:-1]
        z0 = z0[1:] - z0[:-1]
    n = w.size
    z1 = _with_constant(z0, 1)
    b0, b1 = np.zeros(k), np.zeros(k + 1)
    if not least_squares(w, z0, b0) or (d < 2 and not least_squares(w, z1, b1)):
        return SINGULAR
    z0, z1 = _padded(z0), _padded(z1)
    tried = np.full((MAX_MODELS, 4), np.inf)
    evaluations = 0
    if fixed[0] < 0:
        count, evaluations = _walk(w, z0, z1, b0, b1, d, n_weeks, by_likelihood, tried)
    else:
        tried[0, 0], tried[0, 1], tried[0, 2], tried[0, 3] = fixed[0], fixed[2], fixed[3], 0.0
        count = 1
    for _ in range(count):
        row = int(np.argmin(tried[:, 3]))
        if not tried[row, 3] < np.inf:
            break
        tried[row, 3] = np.inf
        p, q, constant = int(tried[row, 0]), int(tried[row, 1]), int(tried[row, 2])
        z = z1 if constant == 1 else z0
        npar = p + q + z.shape[1] + 1
        if n <= npar + 1:
            continue
        phi, theta, beta = np.zeros(p), np.zeros(q), np.zeros(z.shape[1])
        _fit_conditional(w, z, b1 if constant == 1 else b0, phi, theta, beta)
        deviance, s, errors, covariance, spent = _fit_exact(w, z, phi, theta, beta)
        evaluations += spent
        if s <= _NO_ERROR * n:
            return PERFECT
        aicc = deviance + _penalty(npar, n)
        if not (np.isfinite(aicc) and _roots_accepted(phi) and _roots_accepted(-theta)) and fixed[0] < 0:
            continue
        if not np.isfinite(aicc):
            return NOT_FINITE
        sigma2 = s / (n - npar + 1)
        slopes = beta[constant:]
        level = beta[0] if constant == 1 else 0.0
        u = y.copy()
        ahead = np.zeros(mean.size)
        if k > 0:
            u -= np.dot(x, slopes)
            ahead = np.dot(future, slopes)
        for t in range(n_weeks):
            u[t] -= level if d == 0 else level * (t + 1)
        for t in range(mean.size):
            ahead[t] += level if d == 0 else level * (n_weeks + t + 1)
        _state(u, _regressed(w, z, beta), phi, theta, d, errors, covariance, a, v)
        _forecast(a, v, phi, theta, d, sigma2, mean, se)
        for t in range(mean.size):
            mean[t] += ahead[t]
            if not (np.isfinite(mean[t]) and np.isfinite(se[t]) and se[t] > 0.0):
                return NOT_FINITE
        order[0], order[1], order[2], order[3] = p, d, q, constant
        order[4], order[5] = count, evaluations
        values[0], values[1], values[2], values[3] = aicc, -0.5 * deviance, sigma2, level
        arma[:] = 0.0
        arma[0, :p] = phi
        arma[1, :q] = theta
        beta_out[:] = slopes
        return OK
    return NO_ADMISSIBLE_MODEL


@jit
def fit_rows(
    y: Floats,
    x: Floats,
    future: Floats,
    fixed: Integers,
    by_likelihood: bool,
    status: Integers,
    order: Integers,
    values: Floats,
    arma: Floats,
    beta: Floats,
    a: Floats,
    v: Floats,
    mean: Floats,
    se: Floats,
) -> None:
    """Fit series that share their regressors, one after the other; what fails has its status and nothing else.

    Args:
        y: Series, (rows, n).
        x: Regressors of the sample, (n, k), of full rank with a constant and a line.
        future: Regressors of the horizons, (h, k).
        fixed: p, d, q, constant; -1 for p or d searches them.
        by_likelihood: Whether the walk ranks orders by the exact likelihood.
        status: Receives one code a row, (rows,).
        order: Receives p, d, q, constant, orders tried, likelihoods evaluated, (rows, 6).
        values: Receives AICc, log-likelihood, innovation variance, intercept or drift, (rows, 4).
        arma: Receives phi and theta, (rows, 2, MAX_ORDER), zeros beyond p and q.
        beta: Receives the coefficients of x, (rows, k).
        a: Receives the state, (rows, STATE).
        v: Receives its covariance in units of the variance, (rows, STATE, STATE).
        mean: Receives forecasts, (rows, h), in the unit of y.
        se: Receives their standard errors, (rows, h).
    """
    for i in range(y.shape[0]):
        status[i] = _fit_one(
            y[i], x, future, fixed, by_likelihood, order[i], values[i], arma[i], beta[i], a[i], v[i], mean[i], se[i]
        )
