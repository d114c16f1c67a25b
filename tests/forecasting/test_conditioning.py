"""A fitted model takes in what followed: against psi weights by hand, against another filter, on real weeks."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.arima_process import arma2ma
from statsmodels.tsa.statespace.sarimax import SARIMAX

from forecasting.conditioning import condition
from forecasting.configuration import DEFAULT, Configuration
from forecasting.forecaster import moments
from forecasting.models import fit
from forecasting.regressors import fourier

ORDERS = {
    "(0,0,0)": ([], 0, []),
    "(2,0,1)": ([0.5, -0.3], 0, [0.4]),
    "(0,1,1)": ([], 1, [-0.6]),
    "(1,1,3)": ([0.7], 1, [0.2, -0.1, 0.3]),
    "(3,2,1)": ([0.3, 0.1, -0.2], 2, [-0.5]),
}


def entry(phi: list[float], d: int, theta: list[float]) -> dict:
    """An entry without regression, whose state is known exactly."""
    size = max(len(phi), len(theta) + 1) + d
    return {
        "unique_id": "SIM",
        "model": "harmonic_regression",
        "n": 200,
        "transform": {"trend": [1.0, 0.001], "season": None},
        "fourier": {"period": 52.18, "coefficients": [0.1, 0.2], "phase": 200, "dropped": []},
        "holidays": {"columns": [], "coefficients": [], "weeks": [], "dropped": []},
        "arima": {
            "order": [len(phi), d, len(theta)],
            "intercept": 0.0,
            "drift": 0.0,
            "phi": phi,
            "theta": theta,
            "sigma2": 0.04,
            "a": np.linspace(0.1, 0.5, size).tolist(),
            "P": np.zeros((size, size)).tolist(),
            "h": 0.0,
        },
    }


def weeks(n: int) -> pd.DatetimeIndex:
    return pd.date_range("2020-01-03", periods=n, freq="W-FRI")


def psi(phi: list[float], d: int, theta: list[float], n: int) -> np.ndarray:
    ar = np.r_[1.0, [-value for value in phi]]
    for _ in range(d):
        ar = np.convolve(ar, [1.0, -1.0])
    return arma2ma(ar, np.r_[1.0, theta], lags=n)


@pytest.mark.parametrize(("phi", "d", "theta"), ORDERS.values(), ids=ORDERS)
def test_weeks_that_come_as_predicted_change_no_later_mean_and_take_their_share_of_the_variance(phi, d, theta) -> None:
    before = entry(phi, d, theta)
    means = np.array(moments(before, 20))[:, 0]
    after, predicted = condition(before, means[:5], weeks(5))
    later = np.array(moments(after, 15))
    np.testing.assert_allclose(predicted, means[:5], rtol=1e-12)
    np.testing.assert_allclose(later[:, 0], means[5:], rtol=1e-12)
    np.testing.assert_allclose(later[:, 1] ** 2, 0.04 * np.cumsum(psi(phi, d, theta, 15) ** 2), rtol=1e-12)


@pytest.mark.parametrize(("phi", "d", "theta"), ORDERS.values(), ids=ORDERS)
def test_a_shock_moves_later_means_by_its_psi_weights(phi, d, theta) -> None:
    before = entry(phi, d, theta)
    means = np.array(moments(before, 20))[:, 0]
    after, _ = condition(before, [*means[:4], means[4] + 0.3], weeks(5))
    moved = np.array(moments(after, 15))[:, 0] - means[5:]
    np.testing.assert_allclose(moved, 0.3 * psi(phi, d, theta, 16)[1:], atol=1e-12)


def test_it_is_the_filter_of_statsmodels(simulated: pd.Series) -> None:
    log_y, n = np.log(simulated.to_numpy()), 150
    fitted = fit(simulated[:n], Configuration(harmonics=1, holidays=False)).entry
    after, predicted = condition(fitted, log_y[n:], simulated.index[n:])
    arima = fitted["arima"]
    t = np.arange(len(log_y) + 26)
    level = arima["intercept"] + arima["drift"] * (t + 1)
    level += fourier(t, period=fitted["fourier"]["period"], K=1) @ fitted["fourier"]["coefficients"]
    errors = SARIMAX(log_y - level[: len(log_y)], order=arima["order"], trend="n")
    oracle = errors.filter([*arima["phi"], *arima["theta"], arima["sigma2"]])
    np.testing.assert_allclose(predicted, oracle.fittedvalues[n:] + level[n : len(log_y)], rtol=1e-6)
    ahead = oracle.get_forecast(26)
    np.testing.assert_allclose(
        np.array(moments(after, 26)),
        np.column_stack([ahead.predicted_mean + level[len(log_y) :], ahead.se_mean]),
        rtol=1e-6,
    )


def test_holiday_weeks_move_along(real_history: pd.DataFrame) -> None:
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"].set_index("ds")["y"].rename("WGFUPUS2")
    history = gasoline["2010-01-01":"2016-12-30"]
    early = fit(history[:-60], DEFAULT).entry
    late = fit(history, DEFAULT).entry
    after, predicted = condition(early, np.log(history[-60:].to_numpy()), history.index[-60:])
    assert early["holidays"]["columns"] == late["holidays"]["columns"]
    assert after["holidays"]["weeks"] == late["holidays"]["weeks"]
    assert (after["n"], after["fourier"]["phase"]) == (late["n"], late["n"])
    # Filtered with estimates of a year before, it forecasts nearly what a fresh fit does.
    np.testing.assert_allclose(np.array(moments(after, 26))[:, 0], np.array(moments(late, 26))[:, 0], atol=0.02)
    assert np.std(predicted - np.log(history[-60:])) < 0.04


def test_nothing_new_changes_nothing() -> None:
    before = entry([0.5], 1, [0.2])
    after, predicted = condition(before, np.empty(0), weeks(0))
    assert after == before
    assert predicted.size == 0
