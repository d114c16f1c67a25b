"""The compiled engine from outside: against statsmodels at one order, its named failures, and what must not matter."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from forecasting.engine import arima, kernels
from forecasting.engine.arima import Fits, failure, fit_arima
from forecasting.regressors import fourier

N, H = 150, 26


def simulated(rows=3, n=N, d=0, seed=0):
    """ARMA(1, 1) around two harmonics, integrated d times, (rows, n), and the regressors of n + H weeks."""
    noise = np.random.default_rng(seed).normal(size=(rows, n))
    x = fourier(np.arange(n + H), period=365.25 / 7, K=2)
    y = lfilter([1, 0.4], [1, -0.6], noise, axis=1)
    for _ in range(d):
        y = np.cumsum(y, axis=1)
    return 0.03 * y + x[:n] @ np.array([0.1, -0.05, 0.03, 0.02]), x


def same(a: Fits, b: Fits, *, exactly=True):
    for field in fields(Fits):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if exactly:
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        elif field.name not in {"order", "beta"}:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6, err_msg=field.name)


@pytest.mark.parametrize(
    "order", [(1, 0, 1, 1), (0, 0, 0, 0), (2, 1, 1, 0), (1, 1, 0, 1), (0, 2, 2, 0), (4, 0, 0, 1)], ids=str
)
def test_likelihood_and_forecasts_are_those_of_statsmodels_at_the_same_estimates(order):
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    p, d, q, constant = order
    y, x = simulated(rows=1, d=d)
    fits = fit_arima(y, x, order=order)
    assert fits.status[0] == kernels.OK
    columns = np.diff(x, n=d, axis=0)
    if constant:
        columns = np.column_stack([np.ones(len(columns)), columns])
    model = SARIMAX(np.diff(y[0], n=d), exog=columns[: N - d], order=(p, 0, q))
    beta = np.append(fits.level, fits.beta[0]) if constant else fits.beta[0]
    estimates = np.concatenate([beta, fits.arma[0, 0, :p], fits.arma[0, 1, :q], fits.sigma2])
    # Theirs has the variance as a parameter; at its optimum, s / n, the likelihoods are the same.
    estimates[-1] *= (N - d - fits.n_parameters[0] + 1) / (N - d)
    assert fits.log_likelihood[0] == pytest.approx(model.loglike(estimates), abs=1e-7)
    assert fits.aicc[0] == pytest.approx(
        -2 * fits.log_likelihood[0] + 2 * fits.n_parameters[0] * (N - d) / (N - d - fits.n_parameters[0] - 1)
    )
    ahead = model.smooth(estimates).get_forecast(H, exog=columns[N - d :])
    mean = ahead.predicted_mean
    for level in range(d, 0, -1):
        mean = np.diff(y[0], n=level - 1)[-1] + np.cumsum(mean)
    np.testing.assert_allclose(fits.mean[0], mean, rtol=1e-7, atol=1e-9)
    if d == 0:
        estimates[-1] = fits.sigma2[0]
        np.testing.assert_allclose(
            fits.se[0], model.smooth(estimates).get_forecast(H, exog=columns[N:]).se_mean, rtol=1e-7
        )


@pytest.mark.parametrize("order", [(1, 0, 1, 1), (2, 1, 1, 0), (1, 1, 2, 1), (3, 0, 1, 0)], ids=str)
def test_no_other_optimiser_finds_a_higher_likelihood(order):
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    p, d, q, constant = order
    y, x = simulated(rows=3, d=d, seed=5)
    fits = fit_arima(y, x, order=order)
    for row, found in zip(y, fits.log_likelihood, strict=True):
        columns = np.diff(x[:N], n=d, axis=0)
        if constant:
            columns = np.column_stack([np.ones(len(columns)), columns])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it may not converge: then its likelihood is lower
            theirs = SARIMAX(np.diff(row, n=d), exog=columns, order=(p, 0, q)).fit(disp=0, maxiter=200)
        assert found >= theirs.llf - 1e-6


@pytest.mark.parametrize("d", [0, 1, 2])
def test_differencing_follows_the_kpss_test_on_what_the_regression_leaves(d):
    y, x = simulated(rows=4, d=d, seed=1)
    found = fit_arima(y, x).order[:, 1]
    columns = np.column_stack([np.ones(N), x[:N]])
    for row, order in zip(y, found, strict=True):
        left = row - columns @ np.linalg.lstsq(columns, row)[0]
        wanted = next(i for i in range(3) if i == 2 or kernels.kpss(np.diff(left, n=i)) <= 0.463)
        assert order == wanted
    assert d in found


def test_ranking_by_the_likelihood_is_an_option_that_costs_likelihoods():
    y, x = simulated()
    quick, slow = fit_arima(y, x), fit_arima(y, x, by_likelihood=True)
    assert (slow.order[:, 5] > quick.order[:, 5] + quick.order[:, 4]).all()
    assert (slow.status == kernels.OK).all()


def broken(kind):
    y, x = simulated(rows=1)
    match kind:
        case "NaN":
            y[0, 7] = np.nan
        case "infinite":
            y[0, 7] = np.inf
        case "collinear":
            x = np.column_stack([x, x[:, 0] + 2 * x[:, 1]])
        case "constant column":
            x = np.column_stack([x, np.full(len(x), 3.0)])
        case "no error":
            y = (x[:N] @ np.ones(4))[None]
        case "constant":
            y[:] = 9.0
        case "short":
            y, x = y[:, :6], x[: 6 + H]
    return y, x


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("NaN", arima.NotFiniteError),
        ("infinite", arima.NotFiniteError),
        ("collinear", arima.SingularRegressorsError),
        ("constant column", arima.SingularRegressorsError),
        ("no error", arima.PerfectFitError),
        ("constant", arima.PerfectFitError),
        ("short", arima.TooFewWeeksError),
    ],
)
def test_what_cannot_be_fitted_has_a_name_and_no_number(kind, error):
    y, x = broken(kind)
    fits = fit_arima(y, x)
    found = failure(int(fits.status[0]), "WGFUPUS2", "dhr(K=2)")
    assert type(found) is error
    assert str(found) == f"WGFUPUS2: dhr(K=2) could not be fitted: {error.REASON}"
    assert not fits.mean.any()
    assert not fits.se.any()


def test_roots_on_the_circle_end_in_a_name_not_in_a_number():
    # Every candidate but order one is refused: then none is left where order one has no likelihood either.
    y, _ = simulated(rows=1)
    assert failure(kernels.NO_ADMISSIBLE_MODEL, "a", "b").reason == arima.NoAdmissibleModelError.REASON
    alternating = np.tile([1.0, -1.0], N // 2)[None] + 1e-3 * y
    fits = fit_arima(alternating, np.zeros((N + H, 0)))
    phi, theta = fits.arma[0]
    if fits.status[0] == kernels.OK:
        assert fits.order[0, 0] <= 1 or np.abs(np.roots(np.append(-phi[: fits.order[0, 0]][::-1], 1))).min() > 1.01
        assert fits.order[0, 2] <= 1 or np.abs(np.roots(np.append(theta[: fits.order[0, 2]][::-1], 1))).min() > 1.01


def test_a_broken_row_leaves_the_others_alone():
    y, x = simulated()
    expected = fit_arima(y, x)
    y[1] = np.nan
    found = fit_arima(y, x)
    assert found.status.tolist() == [kernels.OK, kernels.NOT_FINITE, kernels.OK]
    np.testing.assert_array_equal(found.mean[[0, 2]], expected.mean[[0, 2]])


def test_the_order_of_rows_does_not_matter():
    y, x = simulated(rows=5)
    shuffled = [3, 0, 4, 1, 2]
    expected, found = fit_arima(y, x), fit_arima(y[shuffled], x)
    for field in fields(Fits):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name)[shuffled])


def test_one_thread_or_many_give_the_same_bits():
    y, x = simulated(rows=8)
    alone = fit_arima(y, x)
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(lambda row: fit_arima(row[None], x), y)):
            for field in fields(Fits):
                np.testing.assert_array_equal(getattr(found, field.name)[0], getattr(alone, field.name)[i])


@settings(deadline=None, max_examples=10)
@given(power=st.integers(-10, 10), seed=st.integers(0, 5), d=st.integers(0, 1))
def test_the_unit_does_not_matter(power, seed, d):
    y, x = simulated(rows=2, d=d, seed=seed)
    scale = 2.0**power  # exact in binary, so that the same bits come out
    expected, found = fit_arima(y, x), fit_arima(scale * y, x)
    np.testing.assert_array_equal(found.order[:, :4], expected.order[:, :4])
    np.testing.assert_allclose(found.mean, scale * expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found.se, scale * expected.se, rtol=1e-9)
    np.testing.assert_allclose(
        found.log_likelihood, expected.log_likelihood - (N - expected.order[:, 1]) * np.log(scale), rtol=1e-9
    )


@settings(deadline=None, max_examples=10)
@given(shift=st.integers(-400, 400), seed=st.integers(0, 5), d=st.integers(0, 1))
def test_the_origin_of_time_does_not_matter(shift, seed, d):
    y, x = simulated(rows=2, d=d, seed=seed)
    moved = fourier(np.arange(N + H) + shift, period=365.25 / 7, K=2)
    expected, found = fit_arima(y, x), fit_arima(y, moved)
    np.testing.assert_array_equal(found.order[:, :4], expected.order[:, :4])
    np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, atol=1e-6)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-5)


def test_a_dozen_weeks_are_enough_for_a_small_model():
    y, _ = simulated(rows=1, n=12)
    fits = fit_arima(y, np.zeros((12 + H, 0)))
    assert fits.status[0] == kernels.OK
    assert fits.order[0, :3].sum() <= 3
