"""The sktime forecaster: sktime's own suite, the numbers of the platform, and what it refuses."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import lognorm
from sktime.forecasting.compose import TransformedTargetForecaster
from sktime.forecasting.model_evaluation import evaluate
from sktime.performance_metrics.forecasting import MeanAbsoluteError
from sktime.split import ExpandingWindowSplitter, SlidingWindowSplitter
from sktime.transformations.detrend import Detrender
from sktime.utils.estimator_checks import check_estimator

from forecasting.conditioning import condition
from forecasting.configuration import DEFAULT, PUBLISHED, Configuration
from forecasting.errors import ConfigurationError, FitError, SeriesError
from forecasting.forecaster import HorizonError, OverflowedForecastError, forecast, moments
from forecasting.models import fit
from forecasting.sktime_forecaster import DynamicHarmonicRegression

ROOT = Path(__file__).resolve().parents[2]
AHEAD = range(1, 27)
QUICK_CHECKS = [
    "test_constructor",
    "test_doctest_examples",
    "test_fit_does_not_overwrite_hyper_params",
    "test_get_test_params_coverage",
    "test_predict_series_name_preserved",
    "test_pred_int_tag",
    "test_update_tag",
    "test_update_with_exogenous_variables",
    "test_valid_object_class_tags",
    "test__y_remember_data",
]
needs_sktime_quiet = pytest.mark.filterwarnings("ignore")
"""sktime's suite warns about its own ways, and hands over straight lines, about which we warn."""


@pytest.fixture(scope="module")
def gasoline(real_history: pd.DataFrame) -> pd.Series:
    """Ten years of weeks to the end of 2016."""
    rows = real_history[real_history["unique_id"] == "WGFUPUS2"].set_index("ds")
    return rows["y"]["2007-01-01":"2016-12-30"].rename("WGFUPUS2")


@pytest.fixture(scope="module")
def monthly() -> pd.Series:
    """Twelve years of months with a season, zeros and negative figures."""
    rng = np.random.default_rng(3)
    season = 2 * np.sin(2 * np.pi * np.arange(144) / 12)
    index = pd.period_range("2010-01", periods=144, freq="M")
    return pd.Series(season + rng.normal(0, 0.5, 144), index=index, name="anomaly")


def parameters(configuration: Configuration) -> dict:
    return {name: getattr(configuration, name) for name in ("harmonics", "holidays", "detrend", "deseasonalise")}


class TestSktimesOwnSuite:
    @needs_sktime_quiet
    def test_a_part_passes(self) -> None:
        passed = check_estimator(
            DynamicHarmonicRegression, raise_exceptions=True, tests_to_run=QUICK_CHECKS, verbose=False
        )
        assert len(passed) >= 15

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @needs_sktime_quiet
    def test_the_whole_passes(self) -> None:
        passed = check_estimator(DynamicHarmonicRegression, raise_exceptions=True, verbose=False)
        assert len(passed) > 700

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @needs_sktime_quiet
    def test_logarithms_pass_everything_but_a_series_with_a_zero(self) -> None:
        found = check_estimator(DynamicHarmonicRegression(season_length=4, harmonics=1), verbose=False)
        failed = {name.split("[")[0] for name, result in found.items() if result != "PASSED"}
        assert failed == {"test_update_with_exogenous_variables"}
        assert all("have no logarithm" in str(result) for result in found.values() if result != "PASSED")


class TestTheNumbersOfThePlatform:
    @pytest.mark.parametrize("weekly", ["Fridays", "periods"])
    @pytest.mark.parametrize("configuration", [DEFAULT, PUBLISHED, Configuration(harmonics=3, detrend=True)], ids=str)
    def test_means_and_intervals_are_those_of_fit_and_forecast(self, gasoline, configuration, weekly) -> None:
        expected = pd.DataFrame(forecast(fit(gasoline, configuration).entry, horizon=26, interval="normal"))
        y = gasoline if weekly == "Fridays" else gasoline.to_period("W-FRI")
        forecaster = DynamicHarmonicRegression(**parameters(configuration)).fit(y, fh=AHEAD)
        mean, intervals = forecaster.predict(), forecaster.predict_interval(coverage=[0.8, 0.9, 0.95])
        np.testing.assert_allclose(mean, expected["mean"], rtol=1e-8)
        bounds = [f"{side}-{level}" for level in (80, 90, 95) for side in ("lo", "hi")]
        np.testing.assert_allclose(intervals, expected[bounds], rtol=1e-8)
        days = mean.index if weekly == "Fridays" else mean.index.to_timestamp(how="end").normalize()
        assert [day.date().isoformat() for day in days] == expected["ds"].tolist()

    def test_in_sample_predictions_are_the_series_less_its_residuals(self, gasoline) -> None:
        fitted = fit(gasoline, PUBLISHED)
        d = fitted.entry["arima"]["order"][1]
        forecaster = DynamicHarmonicRegression(**parameters(PUBLISHED)).fit(gasoline)
        inside = forecaster.predict(fh=gasoline.index)
        assert inside.isna().sum() == d
        np.testing.assert_allclose(inside[d:], np.exp(np.log(gasoline) - fitted.residuals)[d:], rtol=1e-8)

    def test_variances_are_those_of_the_log_normal(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=2).fit(gasoline, fh=[1, 26])
        mean, se = np.array(moments(forecaster.model_, 26))[[0, 25]].T
        np.testing.assert_allclose(
            forecaster.predict_var().to_numpy()[:, 0], lognorm(s=se, scale=np.exp(mean)).var(), rtol=1e-10
        )


class TestOtherSeries:
    def test_a_season_of_months_with_negative_figures_is_found(self, monthly) -> None:
        forecaster = DynamicHarmonicRegression(season_length=12, log=False).fit(monthly[:120], fh=range(1, 25))
        truth = 2 * np.sin(2 * np.pi * np.arange(120, 144) / 12)
        assert forecaster.harmonics_ >= 1
        assert np.abs(forecaster.predict() - truth).max() < 0.6
        bounds = forecaster.predict_interval(coverage=0.9).to_numpy()
        assert 0.7 < np.mean((bounds[:, 0] < monthly[120:]) & (monthly[120:] < bounds[:, 1])) <= 1

    @pytest.mark.parametrize(("unit", "zero"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e4)], ids=["nano", "giga", "shifted"])
    def test_the_unit_and_the_zero_of_a_series_do_not_matter(self, monthly, unit, zero) -> None:
        plain = DynamicHarmonicRegression(season_length=12, harmonics=2, log=False).fit(monthly, fh=AHEAD)
        other = plain.clone().fit(zero + unit * monthly, fh=AHEAD)
        np.testing.assert_allclose((other.predict() - zero) / unit, plain.predict(), atol=1e-5)
        np.testing.assert_allclose(other.predict_var() / unit**2, plain.predict_var(), rtol=1e-4)

    def test_the_distribution_is_normal_without_logarithm(self, monthly) -> None:
        forecaster = DynamicHarmonicRegression(season_length=12, harmonics=1, log=False).fit(monthly, fh=[1, 2, 3])
        np.testing.assert_allclose(forecaster.predict_proba().mean().to_numpy()[:, 0], forecaster.predict())
        np.testing.assert_allclose(forecaster.predict_proba().var(), forecaster.predict_var())

    @pytest.mark.parametrize("log", [True, False])
    @pytest.mark.parametrize("slope", [0.0, 1.5])
    def test_a_straight_line_is_continued_with_a_warning(self, slope, log) -> None:
        line = pd.Series(10 + slope * np.arange(20), name="line")
        y = np.exp(line / 10) if log else line
        forecaster = DynamicHarmonicRegression(season_length=4, log=log)
        with pytest.warns(UserWarning, match="line is a straight line"):
            forecaster.fit(y, fh=[1, 5])
        expected = 10 + slope * np.array([20, 24])
        expected = np.exp(expected / 10) if log else expected
        np.testing.assert_allclose(forecaster.predict(), expected, rtol=1e-9)
        np.testing.assert_allclose(forecaster.predict_interval().to_numpy(), np.outer(expected, [1, 1]), rtol=1e-9)


class TestUpdate:
    def test_with_parameters_it_is_a_fit_to_everything(self, gasoline) -> None:
        updated = DynamicHarmonicRegression(harmonics=2).fit(gasoline[:-20]).update(gasoline[-30:])
        fresh = DynamicHarmonicRegression(harmonics=2).fit(gasoline)
        pd.testing.assert_series_equal(updated.predict(fh=AHEAD), fresh.predict(fh=AHEAD))

    def test_without_parameters_the_estimates_stay_and_forecasts_start_from_the_new_data(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=2, holidays=True).fit(gasoline[:-20])
        entry = fit(gasoline[:-20], Configuration(harmonics=2)).entry
        entry, _ = condition(entry, np.log(gasoline[-20:].to_numpy()), gasoline.index[-20:])
        forecaster.update(gasoline[-30:-5], update_params=False).update(gasoline[-5:], update_params=False)
        ahead = forecaster.predict(fh=AHEAD)
        np.testing.assert_allclose(np.log(ahead), np.array(moments(entry, 26))[:, 0], rtol=1e-10)
        assert ahead.index[0] == gasoline.index[-1] + pd.Timedelta(weeks=1)
        assert forecaster.predict(fh=gasoline.index[-20:]).notna().all()

    def test_the_same_data_again_change_nothing(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=2).fit(gasoline)
        before = forecaster.predict(fh=AHEAD)
        pd.testing.assert_series_equal(forecaster.update(gasoline, update_params=False).predict(fh=AHEAD), before)

    def test_without_parameters_a_revision_is_refused(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=0).fit(gasoline[:-2])
        with pytest.raises(SeriesError, match="revises data seen before"):
            forecaster.update(gasoline[-4:] + 1, update_params=False)

    @pytest.mark.parametrize("update_params", [True, False])
    def test_a_gap_is_refused_and_nothing_is_forecast_after_it(self, gasoline, update_params) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=0).fit(gasoline[:-4])
        with pytest.raises(SeriesError, match="has gaps"):
            forecaster.update(gasoline[-2:], update_params=update_params)
        with pytest.raises(SeriesError, match=r"the update to 2016-12-30.* failed"):
            forecaster.predict(fh=[1])

    def test_an_update_that_ends_in_the_past_is_refused(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=0).fit(gasoline)
        with pytest.raises(SeriesError, match="ends at 2016-12-16"):
            forecaster.update(gasoline[-9:-2])


class TestAmongSktimesOwn:
    @pytest.mark.parametrize("strategy", ["refit", "update", "no-update_params"])
    @pytest.mark.parametrize(
        "cv",
        [
            ExpandingWindowSplitter(fh=AHEAD, initial_window=300, step_length=60),
            SlidingWindowSplitter(fh=AHEAD, window_length=300, step_length=60),
        ],
        ids=["expanding", "sliding"],
    )
    def test_evaluate(self, gasoline, cv, strategy) -> None:
        table = evaluate(
            DynamicHarmonicRegression(harmonics=2),
            cv=cv,
            y=gasoline,
            strategy=strategy,
            scoring=MeanAbsoluteError(),
            error_score="raise",
        )
        assert len(table) == 4
        assert table["test_MeanAbsoluteError"].between(50, 400).all()

    def test_evaluate_refits_as_the_platform_does(self, gasoline) -> None:
        cv = SlidingWindowSplitter(fh=AHEAD, window_length=300, step_length=100)
        model = DynamicHarmonicRegression(harmonics=2)
        table = evaluate(model, cv=cv, y=gasoline, scoring=MeanAbsoluteError(), error_score="raise")
        for error, (train, test) in zip(table["test_MeanAbsoluteError"], cv.split(gasoline), strict=True):
            entry = fit(gasoline.iloc[train], Configuration(harmonics=2, holidays=False)).entry
            mean = np.exp(np.array(moments(entry, 26))[:, 0])
            assert error == pytest.approx(np.abs(mean - gasoline.iloc[test]).mean(), rel=1e-8)

    @pytest.mark.filterwarnings("ignore:The default of config:FutureWarning")  # sktime of its own forecasters
    def test_a_pipeline(self, gasoline) -> None:
        pipeline = TransformedTargetForecaster(
            [("detrend", Detrender()), ("model", DynamicHarmonicRegression(harmonics=2, log=False))]
        )
        pipeline.fit(gasoline[:-26], fh=AHEAD)
        assert np.abs(pipeline.predict() / gasoline[-26:] - 1).mean() < 0.04
        intervals = pipeline.predict_interval(coverage=0.9).to_numpy()
        assert (intervals[:, 0] < pipeline.predict()).all()
        assert (pipeline.predict() < intervals[:, 1]).all()

    def test_several_series_at_once(self, real_history) -> None:
        recent = real_history[real_history["ds"].between("2012-01-01", "2016-12-30")]
        some = recent[recent["unique_id"].isin(["WGFUPUS2", "WDIUPUS2"])]
        panel = some.set_index(["unique_id", "ds"])[["y"]]
        found = DynamicHarmonicRegression(harmonics=2).fit(panel, fh=AHEAD).predict()
        for unique_id, rows in some.groupby("unique_id"):
            history = rows.set_index("ds")["y"].rename(unique_id)
            mean = np.exp(np.array(moments(fit(history, Configuration(harmonics=2, holidays=False)).entry, 26))[:, 0])
            np.testing.assert_allclose(found.loc[unique_id, "y"], mean, rtol=1e-8)

    def test_pickle_and_clone(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=3, holidays=True).fit(gasoline, fh=AHEAD)
        again = pickle.loads(pickle.dumps(forecaster))
        pd.testing.assert_series_equal(again.predict(), forecaster.predict())
        pd.testing.assert_series_equal(again.update(gasoline[-1:], update_params=False).predict(), forecaster.predict())
        clone = forecaster.clone()
        assert clone.get_params() == forecaster.get_params()
        assert not clone.is_fitted
        assert set(forecaster.get_fitted_params()) >= {"order", "harmonics", "model"}

    def test_it_is_silent(self, gasoline) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            DynamicHarmonicRegression(harmonics=2).fit(gasoline, fh=AHEAD).predict_interval()


class TestRefusals:
    def test_the_extra_is_named_where_sktime_is_missing(self) -> None:
        program = "import sys; sys.modules['sktime'] = None; import forecasting.sktime_forecaster"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "pip install 'forecast-assets[sktime]'" in done.stderr.splitlines()[-1]

    @pytest.mark.parametrize(
        ("given", "n", "message"),
        [
            ({"season_length": 12}, 23, r"23 periods for dhr\(K=aicc\), 24 are needed"),
            ({}, 103, r"103 periods .* 104 are needed"),
            ({"harmonics": 0, "deseasonalise": True}, 103, r"103 periods .* 104 are needed"),
            ({"harmonics": 0}, 7, r"7 periods .* 8 are needed"),
        ],
        ids=["two seasons", "two years", "two fixed seasons", "anything"],
    )
    def test_short_series(self, given, n, message) -> None:
        y = pd.Series(np.random.default_rng(0).uniform(1, 2, n), name="short")
        with pytest.raises(SeriesError, match=message):
            DynamicHarmonicRegression(**given).fit(y)

    @pytest.mark.parametrize(
        ("log", "value", "message"),
        [(True, 0.0, "have no logarithm"), (True, -1.0, "have no logarithm"), (False, np.inf, "are not finite")],
    )
    def test_figures_that_cannot_be_used(self, log, value, message) -> None:
        y = pd.Series(np.random.default_rng(0).uniform(1, 2, 40), name="figures")
        y[7] = value
        with pytest.raises(SeriesError, match=rf"figures: 1 figures {message}.* at 7: "):
            DynamicHarmonicRegression(season_length=4, log=log).fit(y)

    @pytest.mark.parametrize(
        "index",
        [
            pd.RangeIndex(0, 80, 2),
            pd.Index([*range(20), *range(21, 41)]),
            pd.period_range("2020-01", periods=41, freq="M").delete(5),
            pd.date_range("2020-01-03", periods=41, freq="W-FRI").delete(5),
        ],
        ids=["step of two", "numbers", "periods", "days"],
    )
    def test_an_index_with_gaps(self, index) -> None:
        y = pd.Series(np.random.default_rng(0).uniform(1, 2, 40), index=index)
        with pytest.raises(SeriesError, match="has gaps"):
            DynamicHarmonicRegression(season_length=4).fit(y)

    @pytest.mark.parametrize(
        "index",
        [
            pd.RangeIndex(120),
            pd.period_range("2010-01", periods=120, freq="M"),
            pd.period_range("2010-01", periods=120, freq="W-SUN"),
            pd.date_range("2010-01-02", periods=120, freq="W-SAT"),
            pd.date_range("2010-01-01", periods=120, freq="D"),
        ],
        ids=["numbers", "months", "weeks to Sunday", "Saturdays", "days"],
    )
    def test_holidays_of_other_than_weeks_to_friday(self, index) -> None:
        y = pd.Series(np.random.default_rng(0).uniform(1, 2, 120), index=index)
        with pytest.raises(ConfigurationError, match="set holidays=False"):
            DynamicHarmonicRegression(harmonics=0, holidays=True).fit(y)

    def test_hours_and_time_zones_do_not_hide_holidays(self, gasoline) -> None:
        evening = gasoline.copy()
        evening.index = (gasoline.index + pd.Timedelta(hours=17)).tz_localize("America/New_York")
        plain = DynamicHarmonicRegression(harmonics=1, holidays=True).fit(gasoline)
        other = DynamicHarmonicRegression(harmonics=1, holidays=True).fit(evening)
        assert other.model_["holidays"] == plain.model_["holidays"]

    @pytest.mark.parametrize("given", [{"season_length": 2}, {"harmonics": -1}, {"max_harmonics": -1}, {"detrend": 1}])
    def test_parameters_that_make_no_sense(self, given, monthly) -> None:
        with pytest.raises(ConfigurationError):
            DynamicHarmonicRegression(**{"season_length": 12, "log": False} | given).fit(monthly)

    def test_horizons_beyond_the_model(self, monthly) -> None:
        forecaster = DynamicHarmonicRegression(season_length=12, harmonics=1, log=False).fit(monthly)
        assert len(forecaster.predict(fh=range(1, 105))) == 104
        with pytest.raises(HorizonError, match="104"):
            forecaster.predict(fh=[105])
        with pytest.raises(SeriesError, match="nothing is known 144 periods before the last"):
            forecaster.predict(fh=[-144])

    def test_what_the_log_normal_does_not_have(self, gasoline) -> None:
        forecaster = DynamicHarmonicRegression(harmonics=0).fit(gasoline, fh=[1, 2])
        with pytest.raises(NotImplementedError, match="log-normal"):
            forecaster.predict_proba()
        with pytest.raises(NotImplementedError, match="covariance"):
            forecaster.predict_var(cov=True)

    def test_a_forecast_too_large_for_a_number(self) -> None:
        rng = np.random.default_rng(0)
        y = pd.Series(np.exp(np.linspace(1, 700, 100) + rng.normal(0, 0.1, 100)))
        with pytest.raises(OverflowedForecastError):
            DynamicHarmonicRegression(season_length=4, harmonics=0).fit(y).predict(fh=range(1, 60))

    def test_a_series_without_errors_but_with_a_season(self) -> None:
        y = pd.Series(np.tile([0.0, 1.0, 0.0, -1.0], 20), name="clock")
        with pytest.raises(FitError, match="clock"):
            DynamicHarmonicRegression(season_length=4, harmonics=1, log=False).fit(y)
