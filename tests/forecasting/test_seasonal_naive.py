import numpy as np
import pandas as pd
import pytest

from forecasting import forecaster, models
from forecasting.configuration import SEASONAL_NAIVE
from forecasting.errors import PerfectFitError


def test_last_year_comes_again_with_the_error_of_the_years_before(simulated):
    entry = models.fit(simulated, SEASONAL_NAIVE).entry
    log_y = np.log(simulated.to_numpy())
    sigma = np.sqrt(np.mean((log_y[52:] - log_y[:-52]) ** 2))
    moments = forecaster.moments(entry, 104)
    np.testing.assert_allclose([mean for mean, _ in moments], np.tile(log_y[-52:], 2), rtol=1e-15)
    np.testing.assert_allclose([se for _, se in moments], [sigma] * 52 + [sigma * np.sqrt(2)] * 52)


def test_equals_statsforecast_on_the_log_scale(real_counterfactual):
    from statsforecast.models import SeasonalNaive

    gasoline = real_counterfactual["WGFUPUS2"]
    theirs = SeasonalNaive(season_length=52).fit(np.log(gasoline.to_numpy())).predict(60, level=[90])
    rows = forecaster.forecast(models.fit(gasoline, SEASONAL_NAIVE).entry, horizon=60, levels=[90], interval="normal")
    for ours, column in (("mean", "mean"), ("lo-90", "lo-90"), ("hi-90", "hi-90")):
        np.testing.assert_allclose([row[ours] for row in rows], np.exp(theirs[column]), rtol=1e-8)


def test_residuals_begin_in_the_second_year(simulated):
    residuals = models.fit(simulated, SEASONAL_NAIVE).residuals
    expected = np.log(simulated).diff(52).dropna()
    pd.testing.assert_series_equal(residuals, expected, check_names=False, check_freq=False)


def test_a_series_that_repeats_itself_leaves_no_error(simulated):
    again = pd.Series(np.tile(simulated.to_numpy()[:52], 3), index=simulated.index[:156], name="SIM")
    with pytest.raises(
        PerfectFitError, match="SIM: seasonal_naive could not be fitted: the regression leaves no error"
    ):
        models.fit(again, SEASONAL_NAIVE)
