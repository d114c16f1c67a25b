"""Diagnostics: against the formula and against scipy; against what was published in test_published_results."""

import json

import numpy as np
import pandas as pd
import pytest

from forecasting.diagnostics import DiagnosticsError, diagnose


def residuals(values):
    return pd.Series(values, index=pd.date_range("2020-01-03", periods=len(values), freq="7D"), name="residual")


def test_ljung_box_is_its_formula_and_the_chi_squared_tail():
    from scipy.stats import chi2

    x = np.random.default_rng(3).normal(size=120)
    centred = x - x.mean()
    for test in diagnose(residuals(x))["ljung_box"]:
        lags = np.arange(1, test["lag"] + 1)
        r = np.array([centred[k:] @ centred[:-k] for k in lags]) / (centred @ centred)
        statistic = 120 * 122 * np.sum(r**2 / (120 - lags))
        assert test["statistic"] == pytest.approx(statistic)
        assert test["p_value"] == pytest.approx(chi2.sf(statistic, test["lag"]))


def test_shapiro_wilk_is_that_of_scipy():
    from scipy.stats import shapiro

    x = np.random.default_rng(4).standard_t(3, size=150)
    expected = shapiro(x)
    assert diagnose(residuals(x))["shapiro_wilk"] == {"statistic": expected.statistic, "p_value": expected.pvalue}


def test_lags_moments_and_json():
    x = np.arange(60.0) % 7
    result = diagnose(residuals(x))
    assert [test["lag"] for test in result["ljung_box"]] == [1, 10, 26, 52]
    assert (result["n"], result["mean"], result["sd"]) == (60, pytest.approx(x.mean()), pytest.approx(x.std(ddof=1)))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_season_left_in_the_residuals_is_found_at_its_lag_though_not_before():
    week = np.arange(520)
    noise = np.random.default_rng(5).normal(size=520)
    x = noise + 3 * (week % 26 == 0)
    by_lag = {test["lag"]: test["p_value"] for test in diagnose(residuals(x))["ljung_box"]}
    assert by_lag[1] > 0.05
    assert by_lag[26] < 1e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(52), "52 residuals, .* need 53"),
        (np.full(60, 0.5), "all 60 residuals are 0.5"),
        ([*np.arange(59.0), np.nan], "residual of 2021-02-19.* is not finite"),
    ],
    ids=["few", "constant", "nan"],
)
def test_what_cannot_be_tested_is_refused(values, message):
    with pytest.raises(DiagnosticsError, match=message):
        diagnose(residuals(values))
