import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import toeplitz

from forecasting import likelihood
from forecasting.regressors import fourier

unit = st.floats(-0.9, 0.9)


def slow_deviance(phi, theta, z):
    """The normal density with the whole covariance matrix, coefficients by generalised least squares."""
    n = len(z)
    psi = np.zeros(4000)
    for j in range(len(psi)):
        psi[j] = 1.0 if j == 0 else (theta[j - 1] if j <= len(theta) else 0.0)
        psi[j] += sum(phi[i] * psi[j - 1 - i] for i in range(min(len(phi), j)))
    covariance = toeplitz([psi[: len(psi) - lag] @ psi[lag:] for lag in range(n)])
    white = np.linalg.solve(np.linalg.cholesky(covariance), z)
    errors = white[:, 0]
    if z.shape[1] > 1:
        errors = errors - white[:, 1:] @ np.linalg.lstsq(white[:, 1:], errors)[0]
    return n * (np.log(2 * np.pi * errors @ errors / n) + 1) + np.linalg.slogdet(covariance)[1]


@settings(deadline=None, max_examples=30)
@given(st.data(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))
def test_equals_the_density_of_the_whole_covariance_matrix(data, p, q, m):
    phi, theta = likelihood._admissible(np.array(data.draw(st.lists(unit, min_size=p + q, max_size=p + q))), p)
    z = np.random.default_rng(1).normal(size=(40, 1 + m))
    assert likelihood.profile_deviance(phi, theta, z) == pytest.approx(slow_deviance(phi, theta, z), rel=1e-9)


@given(arrays(float, 5, elements=st.floats(-4, 4)), st.integers(0, 5))
def test_free_parameters_come_back(free, p):
    np.testing.assert_allclose(likelihood._free(np.concatenate(likelihood._admissible(free, p)), p), free, atol=1e-4)


def test_what_is_not_stationary_has_no_likelihood():
    assert likelihood.profile_deviance(np.array([1.2]), np.empty(0), np.ones((30, 1))) == np.inf


def test_a_perfect_regression_has_no_likelihood():
    z = np.zeros((30, 1))
    assert likelihood.profile_deviance(np.empty(0), np.array([0.3]), z) == np.inf


def test_aicc_of_white_noise_by_hand():
    x = np.random.default_rng(3).normal(size=50)
    variance = np.mean((x - x.mean()) ** 2)
    deviance = 50 * (np.log(2 * np.pi * variance) + 1)
    found = likelihood.aicc(x, np.empty((50, 0)), order=(0, 0, 0), constant=True, start=np.empty(0))
    assert found == pytest.approx(deviance + 4 + 12 / 47)


def test_a_sample_shorter_than_its_parameters_has_none():
    x = np.arange(5.0) ** 2
    assert likelihood.aicc(x, np.empty((5, 0)), order=(1, 1, 1), constant=False, start=np.zeros(2)) == np.inf


@pytest.mark.parametrize(("order", "harmonics"), [((0, 1, 1), 2), ((2, 1, 2), 5)], ids=str)
def test_agrees_with_statsforecast_where_that_converges(real_counterfactual, order, harmonics):
    from statsforecast.arima import Arima

    x = np.log(real_counterfactual["WGFUPUS2"].to_numpy())
    columns = fourier(np.arange(len(x)), period=365.25 / 7, K=harmonics)
    theirs = Arima(x, order=order, xreg=columns, method="CSS-ML")
    ours = likelihood.aicc(x, columns, order=order, constant=False, start=np.zeros(order[0] + order[2]))
    assert theirs["aicc"] - 1.0 < ours < theirs["aicc"] + 0.01


def test_fits_what_statsforecast_does_not(real_counterfactual):
    from statsforecast.arima import Arima

    x = np.log(real_counterfactual["WPRUP_NUS_2"].to_numpy())
    columns = fourier(np.arange(len(x)), period=365.25 / 7, K=1)
    theirs = Arima(x, order=(2, 1, 2), xreg=columns, method="CSS-ML")
    assert likelihood.aicc(x, columns, order=(2, 1, 2), constant=False, start=np.zeros(4)) < theirs["aicc"] + 0.01
