"""Fits, against statsforecast and against what was published."""

import numpy as np
import pandas as pd
import pytest

from forecasting import forecaster, harmonic_regression, models
from forecasting.configuration import DEFAULT, PUBLISHED, Configuration
from forecasting.errors import FitError
from forecasting.regressors import fourier, holiday_weeks

Z90 = 1.6448536269514722
PUBLISHED_ROWS = {  # lower 0.9, forecast, upper 0.9
    "2023-11-17": (8407.63, 8764.10, 9135.68),
    "2023-11-24": (8180.72, 8533.21, 8900.89),
    "2023-12-01": (8377.70, 8746.04, 9130.58),
    "2023-12-08": (8570.75, 8954.93, 9356.32),
}


@pytest.fixture
def spy(monkeypatch):
    """What statsforecast fitted, behind the artifact entry."""
    seen = []
    usable = harmonic_regression._usable

    def watch(fitted):
        seen.append(fitted)
        usable(fitted)

    monkeypatch.setattr(harmonic_regression, "_usable", watch)
    return seen


@pytest.mark.parametrize(
    ("shift", "tolerance"), [(-1, 0.0005), (0, 0.001)], ids=["phase of the reference", "correct phase"]
)
def test_the_published_rows_are_reproduced(real_counterfactual, shift, tolerance):
    entry = models.fit(real_counterfactual["WGFUPUS2"], PUBLISHED).entry
    assert entry["n"] == 567
    entry["fourier"]["phase"] += shift  # the reference's future regressors begin a week early
    moments = forecaster.moments(entry, 4)
    for (mean, se), expected in zip(moments, PUBLISHED_ROWS.values(), strict=True):
        assert np.exp([mean - Z90 * se, mean, mean + Z90 * se]) == pytest.approx(expected, rel=tolerance)


def test_forecasts_begin_the_week_after_the_cutoff(real_counterfactual):
    entry = models.fit(real_counterfactual["WGFUPUS2"], PUBLISHED).entry
    rows = forecaster.forecast(entry, horizon=4, levels=[90], interval="normal")
    assert [row["ds"] for row in rows] == list(PUBLISHED_ROWS)
    for row, expected in zip(rows, PUBLISHED_ROWS.values(), strict=True):
        assert (row["lo-90"], row["mean"], row["hi-90"]) == pytest.approx(expected, rel=0.001)


@pytest.mark.parametrize(
    ("unique_id", "configuration", "constant"),
    [
        ("WGFUPUS2", PUBLISHED, "none"),
        ("WREUPUS2", PUBLISHED, "intercept"),
        ("WPRUP_NUS_2", PUBLISHED, "drift"),
        ("WGFUPUS2", Configuration(harmonics=0, holidays=False), "none"),
        ("WKJUPUS2", Configuration(harmonics=3, detrend=True, deseasonalise=True), None),
        ("WGFUPUS2", Configuration(), "none"),
    ],
    ids=lambda value: value.name if isinstance(value, Configuration) else value,
)
def test_equals_the_prediction_of_statsforecast(real_counterfactual, spy, unique_id, configuration, constant):
    from statsforecast.arima import forecast_arima, predict_arima

    history = real_counterfactual[unique_id]
    n, ahead = len(history), 104
    entry = models.fit(history, configuration, max_harmonics=4).entry
    if constant:
        assert entry["hyperparameters"]["constant"] == constant
    fridays = pd.date_range(history.index[0], periods=n + ahead, freq="W-FRI")
    future = np.column_stack(
        [
            fourier(np.arange(n, n + ahead), period=365.25 / 7, K=entry["hyperparameters"]["K"]),
            holiday_weeks(fridays).iloc[n:][entry["holidays"]["columns"]].to_numpy(float),
        ]
    )
    fitted = spy[-1]
    if entry["hyperparameters"]["constant"] == "drift":
        theirs = forecast_arima({**fitted, "lambda": None}, h=ahead, xreg=future)
        mean, upper = theirs["mean"], None
        _, se = harmonic_se(fitted, ahead)
    else:
        mean, se = predict_arima(fitted, ahead, newxreg=future if future.shape[1] else None)
        upper = mean + Z90 * se
    t = np.arange(n, n + ahead)
    transform = entry["transform"]
    trend, season = transform["trend"] or (0.0, 0.0), np.array(transform["season"] or [0.0] * 52)
    level = trend[0] + trend[1] * t + season[t % 52]
    ours = np.array(forecaster.moments(entry, ahead))
    np.testing.assert_allclose(np.exp(ours[:, 0]), np.exp(mean + level), rtol=1e-8)
    np.testing.assert_allclose(ours[:, 1], se, rtol=1e-8)
    if upper is not None:
        rows = forecaster.forecast(entry, horizon=ahead, levels=[90], interval="normal")
        np.testing.assert_allclose([row["hi-90"] for row in rows], np.exp(upper + level), rtol=1e-8)


def harmonic_se(fitted, ahead):
    from statsforecast.arima import kalman_forecast

    mean, variance = kalman_forecast(ahead, *(fitted["model"][name] for name in ["Z", "a", "P", "T", "V", "h"]))
    return mean, np.sqrt(variance * fitted["sigma2"])


@pytest.mark.parametrize(
    "unique_id", ["WGFUPUS2", "WDIUPUS2", "WKJUPUS2", "WREUPUS2", "WPRUP_NUS_2", "WWOUP_NUS_2", "WRPUPUS2"]
)
def test_every_series_fits_with_the_default_configuration(real_counterfactual, unique_id):
    history = real_counterfactual[unique_id]
    fitted = models.fit(history, DEFAULT, max_harmonics=4)
    assert fitted.entry["n"] == len(fitted.residuals) == 567
    rows = forecaster.forecast(fitted.entry, horizon=104, interval="normal")
    means = np.array([row["mean"] for row in rows])
    assert history.min() / 3 < means.min() < means.max() < 3 * history.max()
    assert all(row["lo-95"] < row["lo-80"] < row["mean"] < row["hi-80"] < row["hi-95"] for row in rows)


@pytest.mark.slow
def test_k_is_the_one_with_the_least_aicc(real_counterfactual):
    hyperparameters = models.fit(real_counterfactual["WGFUPUS2"], DEFAULT).entry["hyperparameters"]
    aicc = hyperparameters["aicc_by_harmonics"]
    assert len(aicc) == 13
    assert hyperparameters["K"] == int(np.argmin(aicc)) == 10


@pytest.mark.filterwarnings("ignore")  # candidates that do not converge
def test_the_search_never_loses_to_a_plain_benchmark(real_history):
    """On jet fuel with its collapse the stepwise search settles on ARIMA(4,1,2), 250 units of AICc astray."""
    from statsforecast.arima import Arima, auto_arima_f

    jet = real_history[real_history["unique_id"] == "WKJUPUS2"].set_index("ds")["y"]["2013-01-01":].rename("WKJUPUS2")
    x = np.log(jet.to_numpy())
    design = harmonic_regression._design(2, holiday_weeks(pd.DatetimeIndex(jet.index)), len(jet), 365.25 / 7)
    columns = design.columns
    assert columns.shape == (567, 15)
    found = harmonic_regression._search(x, design)
    benchmark = Arima(x, order=(1, 1, 1), xreg=columns, method="CSS-ML")
    stepwise = auto_arima_f(x, period=52, seasonal=False, ic="aicc", approximation=True, xreg=columns)
    assert stepwise["aicc"] > benchmark["aicc"] + 200
    assert found["aicc"] <= min(benchmark["aicc"], stepwise["aicc"])


def test_holidays_that_cannot_be_learnt_are_dropped_and_reported(real_counterfactual):
    entry = models.fit(real_counterfactual["WGFUPUS2"][:417], Configuration(harmonics=1)).entry
    assert entry["holidays"]["dropped"] == ["Juneteenth National Independence Day"]
    assert len(entry["holidays"]["columns"]) == len(entry["holidays"]["coefficients"]) == 10
    assert np.array(entry["holidays"]["weeks"]).shape == (104, 10)
    assert np.array(entry["holidays"]["weeks"]).sum() == 19  # the second Christmas falls just after


def test_collinear_harmonics_are_dropped_and_reported(simulated):
    # Harmonics 2 and 3 of a season of 5 weeks are one wave.
    entry = models.fit(simulated, Configuration(harmonics=3, holidays=False), season_length=5).entry
    assert entry["fourier"]["dropped"] == ["sin3", "cos3"]
    assert entry["fourier"]["coefficients"][4:] == [0.0, 0.0]
    assert 0.0 not in entry["fourier"]["coefficients"][:4]


def test_parameters_are_counted(real_counterfactual):
    entry = models.fit(
        real_counterfactual["WREUPUS2"], Configuration(harmonics=2, detrend=True, deseasonalise=True)
    ).entry
    p, _, q = entry["hyperparameters"]["order"]
    constant = entry["hyperparameters"]["constant"] != "none"
    assert entry["n_parameters"] == p + q + constant + 4 + 11 + 1 + 2 + 52


def test_residuals_are_the_innovations(simulated):
    residuals = models.fit(simulated, Configuration(harmonics=1, holidays=False)).residuals
    pd.testing.assert_index_equal(residuals.index, simulated.index, check_names=False)
    assert residuals.iloc[10:].std() == pytest.approx(0.02, rel=0.2)
    assert abs(residuals.iloc[10:].autocorr(1)) < 0.25


def test_what_statsforecast_cannot_use_is_named(simulated, monkeypatch):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr("statsforecast.arima.auto_arima_f", fail)
    with pytest.raises(FitError, match=r"SIM: dhr\(K=1\) could not be fitted: SVD did not converge"):
        models.fit(simulated, Configuration(harmonics=1, holidays=False))
