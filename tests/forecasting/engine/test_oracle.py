"""The engine against statsforecast, which it replaces, on windows of the published study."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest

from forecasting import transforms
from forecasting.engine import kernels
from forecasting.engine.arima import fit_arima
from forecasting.regressors import fourier

WINDOW, H, WEEKS = 417, 26, 541
CONFIGURATIONS = ((2, False, True), (1, True, True), (6, False, False), (10, False, True))
"""K, detrend, deseasonalise: four of the published forty."""


@dataclass(frozen=True)
class Theirs:
    order: tuple[int, int, int, int]
    arma: np.ndarray
    beta: np.ndarray
    constant: list[float]
    mean: np.ndarray


def auto_arima(y, x):
    """The automatic ARIMA of statsforecast as the published study called it."""
    from statsforecast.arima import auto_arima_f, forecast_arima

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # candidates that do not converge
        found = auto_arima_f(y, period=52, seasonal=False, ic="aicc", approximation=True, xreg=x[: len(y)])
        mean = forecast_arima(found, h=H, xreg=x[len(y) :], level=(80,))["mean"]
    p, q, d = (found["arma"][i] for i in (0, 1, 5))
    coefficients = found["coef"]
    constant = [value for name, value in coefficients.items() if name in {"intercept", "drift"}]
    arma = np.array(list(coefficients.values())[: p + q])
    beta = np.array([value for name, value in coefficients.items() if name.startswith("ex_")])
    return Theirs((p, d, q, len(constant)), arma, beta, constant, np.asarray(mean))


def exact_likelihood(y, x, theirs):
    """The exact likelihood at their estimates, by statsmodels.

    What statsforecast reports is that of a prior with a variance of a million for the levels that differencing takes
    off, up to 0.5 from the exact one on detrended series.
    """
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    p, d, q, constant = theirs.order
    columns = np.diff(x[: len(y)], n=d, axis=0)
    if constant:
        columns = np.column_stack([np.ones(len(columns)), columns])
    model = SARIMAX(np.diff(y, n=d), exog=columns, order=(p, 0, q), concentrate_scale=True)
    return model.loglike(np.concatenate([theirs.constant, theirs.beta, theirs.arma]))


def compare(history, configurations, windows):
    """Shares of equal orders, likelihoods above theirs, and relative differences of forecasts, over all windows."""
    log_y = np.log(history.to_numpy())[:WEEKS]
    starts = np.linspace(0, WEEKS - WINDOW - H, windows).astype(int)
    samples = np.stack([log_y[start : start + WINDOW] for start in starts])
    equal, gained, apart = [], [], []
    for harmonics, detrend, deseasonalise in configurations:
        x = fourier(np.arange(WINDOW + H), period=365.25 / 7, K=harmonics)
        y = samples - transforms.levels(samples, weeks=WINDOW, detrend=detrend, deseasonalise=deseasonalise)
        ours = fit_arima(y, x)
        assert (ours.status == kernels.OK).all()
        for i, row in enumerate(y):
            theirs = auto_arima(row, x)
            equal.append(tuple(ours.order[i, :4]) == theirs.order)
            at_theirs = fit_arima(row[None], x, order=theirs.order)
            gained.append(at_theirs.log_likelihood[0] - exact_likelihood(row, x, theirs))
            apart.append(np.abs(np.exp(ours.mean[i] - theirs.mean) - 1))
    return np.mean(equal), np.array(gained), np.concatenate(apart)


def check(equal, gained, apart):
    assert equal >= 0.85
    assert gained.min() >= -1e-6
    assert np.quantile(apart, 0.95) <= 0.01


def test_a_few_windows_agree_with_statsforecast(real_counterfactual):
    check(*compare(real_counterfactual["WGFUPUS2"], CONFIGURATIONS[:2], 5))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_published_problem_agrees_with_statsforecast(real_counterfactual):
    check(*compare(real_counterfactual["WGFUPUS2"], CONFIGURATIONS, 50))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("unique_id", ["WDIUPUS2", "WKJUPUS2"])
def test_likelihoods_of_other_series_are_no_lower_at_the_order_of_statsforecast(real_counterfactual, unique_id):
    # Orders are another matter: on distillate its optimiser often stops at a worse optimum, and chooses by it.
    _, gained, _ = compare(real_counterfactual[unique_id], CONFIGURATIONS, 12)
    # Ours misses the highest optimum in one of the 48 windows of jet fuel, by 0.74; in none of distillate.
    assert np.mean(gained < -1e-6) <= 1 / 48
    assert gained.min() >= -1
