"""The mathematics of the kernels, function by function, in plain Python: a copy of the module without compilation."""

import importlib.util
import warnings

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from forecasting.engine import kernels as compiled

unit = st.floats(-0.9, 0.9)


@pytest.fixture(scope="module")
def kernels():
    spec = importlib.util.spec_from_file_location("plain_kernels", compiled.__file__)
    module = importlib.util.module_from_spec(spec)
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = True
    try:
        spec.loader.exec_module(module)
    finally:
        numba.config.DISABLE_JIT = before
    return module


def parameters(draws, p):
    """Stationary and invertible parameters from partial autocorrelations (Monahan 1984, Biometrika 71(2))."""

    def polynomial(partial):
        out = np.empty(0)
        for r in partial:
            out = np.append(out - r * out[::-1], r)
        return out

    return polynomial(draws[:p]), -polynomial(draws[p:])


def random_walkless(n, seed=0):
    return lfilter([1, 0.4], [1, -0.6], np.random.default_rng(seed).normal(size=n))


def slow_deviance(phi, theta, z):
    """The normal density with the whole covariance matrix, coefficients by generalised least squares."""
    n = len(z)
    psi = np.zeros(4000)
    for j in range(len(psi)):
        psi[j] = 1.0 if j == 0 else (theta[j - 1] if j <= len(theta) else 0.0)
        psi[j] += sum(phi[i] * psi[j - 1 - i] for i in range(min(len(phi), j)))
    covariance = toeplitz([psi[: len(psi) - lag] @ psi[lag:] for lag in range(n)])
    white = np.linalg.solve(np.linalg.cholesky(covariance), z)
    errors = white[:, -1]
    if z.shape[1] > 1:
        errors = errors - white[:, :-1] @ np.linalg.lstsq(white[:, :-1], errors)[0]
    return n * np.log(errors @ errors / n) + np.linalg.slogdet(covariance)[1]


class Exact:
    """One evaluation of the exact likelihood, and its gradient, of regressors and a series in the last column."""

    def __init__(self, kernels, z, phi, theta):
        n, k, m = len(z), z.shape[1] - 1, max(len(phi), len(theta))
        self.kernels, self.n, self.phi, self.theta = kernels, n, phi, theta
        self.series = kernels._padded(z)
        self.filtered = np.zeros((kernels.PAD + n, k + 1 + m))
        self.beta, self.b, self.ti, self.mm = np.zeros(k), np.zeros(m), np.zeros((m, m)), np.zeros((m, m))
        self.arrays = (self.series, phi, theta, self.filtered, self.beta, self.b, self.ti, self.mm)
        self.value, self.s = kernels._exact(*self.arrays)

    def gradient(self):
        r = len(self.phi) + len(self.theta)
        gradient, directions = np.zeros(r), np.zeros((self.n, r))
        self.kernels._exact_gradient(*self.arrays, self.s, gradient, directions)
        return gradient


@settings(deadline=None, max_examples=25)
@given(draws=st.lists(unit, min_size=6, max_size=6), p=st.integers(0, 3), q=st.integers(0, 3), k=st.integers(0, 2))
def test_the_exact_likelihood_is_the_density_of_the_whole_covariance_matrix(kernels, draws, p, q, k):
    phi, theta = parameters(np.array(draws[: p + q]), p)
    z = np.random.default_rng(1).normal(size=(40, k + 1))
    assert 2 * 40 * Exact(kernels, z, phi, theta).value == pytest.approx(
        slow_deviance(phi, theta, z), rel=1e-9, abs=1e-8
    )


@settings(deadline=None, max_examples=15)
@given(draws=st.lists(unit, min_size=6, max_size=6), p=st.integers(0, 3), q=st.integers(0, 3), k=st.integers(0, 2))
def test_the_gradient_of_the_exact_likelihood_is_its_slope(kernels, draws, p, q, k):
    assume(p + q > 0)
    x = np.concatenate(parameters(np.array(draws[: p + q]), p))
    z = np.column_stack([np.random.default_rng(1).normal(size=(30, k)), random_walkless(30)])
    found = Exact(kernels, z, x[:p], x[p:]).gradient()
    for i in range(p + q):
        up, down = x.copy(), x.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        slope = (Exact(kernels, z, up[:p], up[p:]).value - Exact(kernels, z, down[:p], down[p:]).value) / 2e-6
        assert found[i] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_what_is_not_stationary_has_no_likelihood(kernels):
    assert Exact(kernels, random_walkless(30)[:, None], np.array([1.2]), np.empty(0)).value == np.inf


def test_collinear_regressors_have_no_likelihood(kernels):
    column = np.random.default_rng(0).normal(size=30)
    z = np.column_stack([column, column, random_walkless(30)])
    assert Exact(kernels, z, np.array([0.5]), np.empty(0)).value == np.inf


def conditional(kernels, w, z, x, p, q):
    """Half the conditional sum of squares, errors, and everything its derivatives need, at beta, phi, theta."""
    k = z.shape[1]
    phi, theta = x[k : k + p], x[k + p :]
    padded = kernels._padded(z)
    u = kernels._regressed(w, padded, x[:k])
    e = np.zeros(len(w))
    return kernels._conditional_errors(u, phi, theta, e) / 2, u, padded, phi, theta, e


@pytest.mark.parametrize(("p", "q", "k"), [(1, 0, 0), (0, 1, 1), (2, 1, 2), (1, 3, 1), (3, 3, 2), (5, 2, 0)], ids=str)
def test_derivatives_of_the_conditional_sum_of_squares(kernels, p, q, k):
    rng = np.random.default_rng(2)
    n = 40
    w, z = random_walkless(n), rng.normal(size=(n, k))
    x = np.concatenate([rng.normal(size=k), *parameters(rng.uniform(-0.5, 0.5, p + q), p)])
    m = p + q + k

    def gradient(at):
        _, u, padded, phi, theta, e = conditional(kernels, w, z, at, p, q)
        out = np.zeros(m)
        kernels._conditional_gradient(u, padded, phi, theta, e, out)
        return -out

    _, u, padded, phi, theta, e = conditional(kernels, w, z, x, p, q)
    jacobian = np.zeros((kernels.PAD + n, m + 1))
    kernels._conditional_jacobian(u, padded, phi, theta, e, jacobian)
    np.testing.assert_allclose(-jacobian[:, :m].T @ jacobian[:, m], gradient(x), rtol=1e-10, atol=1e-12)
    hessian = jacobian.T @ jacobian
    kernels._conditional_hessian(padded, phi, theta, e, jacobian, hessian)
    for i in range(m):
        step = np.zeros(m)
        step[i] = 1e-5
        up, down = (conditional(kernels, w, z, x + s * step, p, q)[0] for s in (1, -1))
        assert gradient(x)[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-5)
        curvature = (gradient(x + step) - gradient(x - step)) / 2e-5
        np.testing.assert_allclose(hessian[i, : i + 1], curvature[: i + 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("p", "q"), [(0, 0), (1, 2), (2, 2), (5, 1), (3, 5)], ids=str)
@pytest.mark.parametrize("start", [0, 3])
def test_filtering_by_phi_over_theta(kernels, p, q, start):
    rng = np.random.default_rng(3)
    phi, theta = parameters(rng.uniform(-0.5, 0.5, p + q), p)
    source, forced = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    out = kernels._padded(np.column_stack([np.zeros((20, 2)), forced]))
    out[: kernels.PAD + start] = 0
    kernels._filter(kernels._padded(source), phi, theta, start, out, 3)
    moving = lfilter(np.append(1, -phi), [1], source, axis=0)
    expected = np.column_stack([moving, forced])
    expected[:start] = 0
    np.testing.assert_allclose(out[kernels.PAD :], lfilter([1], np.append(1, theta), expected, axis=0), atol=1e-12)


def test_kpss_is_that_of_statsmodels(kernels):
    from statsmodels.tsa.stattools import kpss

    for n, series in ((120, np.cumsum(random_walkless(120))), (417, random_walkless(417))):
        lags = int(3 * np.sqrt(n) / 13)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # statsmodels warns where its table of p-values ends
            expected = kpss(series, "c", nlags=lags)[0]
        assert kernels.kpss(series) == pytest.approx(expected, rel=1e-12)


@given(c=st.lists(st.floats(-2, 2), min_size=1, max_size=5), radius=st.sampled_from([1.0, 1.01]))
def test_roots_outside_a_circle(kernels, c, radius):
    companion = np.diag(np.ones(len(c) - 1), -1)
    companion[0] = c
    inside = np.abs(np.linalg.eigvals(companion)) * radius  # the inverse roots
    if np.abs(inside - 1).min() > 1e-4:  # on the circle, rounding decides
        assert kernels._outside(np.array(c), radius) == bool((inside < 1).all())


def test_roots_are_asked_of_a_polynomial_as_statsforecast_asks(kernels):
    assert kernels._roots_accepted(np.array([0.999]))  # order one is not looked at
    assert kernels._roots_accepted(np.array([0.999, 1e-9]))  # nor what is of order one but for rounding
    assert not kernels._roots_accepted(np.array([0.5, 0.495]))


def test_small_inverse_and_determinant(kernels):
    a = np.random.default_rng(4).normal(size=(4, 4))
    out = np.empty((4, 4))
    assert kernels._inverse(a.copy(), out) == pytest.approx(np.linalg.det(a))
    np.testing.assert_allclose(out, np.linalg.inv(a))
    assert kernels._inverse(np.zeros((2, 2)), np.empty((2, 2))) == 0
