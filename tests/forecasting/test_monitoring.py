"""Whether coverage and bias are judged by weeks, not by rows, and by no more than chance allows."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from forecasting.monitoring import bias_verdicts, coverage_verdicts, drift_verdicts


def scores(inside, *, errors=None, unique_id="A", copies=26):
    """A week for each value; every week has as many rows, all alike."""
    weeks = pd.date_range("2022-01-07", periods=len(inside), freq="7D")
    table = pd.DataFrame(
        {
            "unique_id": unique_id,
            "ds": weeks,
            "inside-80": np.asarray(inside, dtype="float64"),
            "y": 1000.0,
            "error": errors if errors is not None else 0.0,
        }
    )
    return pd.concat([table] * copies, ignore_index=True)


def missed(weeks, misses):
    return np.arange(weeks) >= misses


def test_the_lowest_coverage_allowed_is_the_exact_binomial_of_the_weeks():
    least = int(binom.ppf(0.05, 52, 0.8))
    enough, too_few = (coverage_verdicts(scores(missed(52, 52 - hits))).iloc[0] for hits in (least, least - 1))
    assert binom.cdf(least - 1, 52, 0.8) < 0.05 <= binom.cdf(least, 52, 0.8)
    assert (enough["passed"], too_few["passed"]) == (True, False)
    assert enough["weeks"] == 52
    assert enough["least"] == pytest.approx(least / 52)


def test_more_rows_of_the_same_weeks_are_no_more_evidence():
    few, many = (coverage_verdicts(scores(missed(52, 14), copies=n)) for n in (1, 26))
    pd.testing.assert_frame_equal(few, many)
    assert many["passed"].all(), "14 misses of 52 are within chance; 364 of 1352 rows would not be"


def test_a_week_whose_forecasts_were_half_inside_counts_half():
    table = pd.concat([scores(missed(52, 20)), scores(np.ones(52, dtype=bool))])
    assert coverage_verdicts(table)["coverage"].iloc[0] == pytest.approx(1 - 10 / 52)


def test_many_series_share_one_risk_of_a_false_alarm():
    table = scores(missed(52, 16))
    assert not coverage_verdicts(table)["passed"].iloc[0]
    together = coverage_verdicts(pd.concat([table.assign(unique_id=name) for name in "ABCDEFG"]))
    assert together["passed"].all()


def test_few_weeks_are_not_judged():
    verdict = coverage_verdicts(scores(np.zeros(25, dtype=bool))).iloc[0]
    assert verdict["passed"]
    assert np.isnan(verdict["least"])
    assert coverage_verdicts(scores([])).empty


def test_a_level_that_no_forecast_had_is_not_judged():
    table = scores(missed(52, 0)).assign(**{"inside-99": np.nan})
    verdict = coverage_verdicts(table).set_index("level").loc[99]
    assert (verdict["weeks"], verdict["passed"]) == (0, True)


def test_forecasts_on_one_side_for_eight_weeks_are_biased():
    errors = 50.0 + np.array([3.0, -5, 8, 0, -4, 6, -7, 2])
    verdict = bias_verdicts(scores(np.ones(8), errors=errors)).iloc[0]
    assert not verdict["passed"]
    assert verdict["bias"] == pytest.approx(errors.mean())
    assert verdict["bias_percent"] == pytest.approx(errors.mean() / 10)


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param(9.0 + np.array([0.3, -0.5, 0.8, 0, -0.4, 0.6, -0.7, 0.2]), id="below-one-per-cent"),
        pytest.param(np.array([200.0, -150, 250, -120, 190, -180, 160, 10]), id="to-and-fro"),
        pytest.param(np.full(7, 80.0) + np.arange(7), id="seven-weeks"),
    ],
)
def test_what_chance_or_so_few_weeks_explain_is_no_bias(errors):
    assert bias_verdicts(scores(np.ones(len(errors)), errors=errors))["passed"].all()


def test_only_the_last_eight_weeks_count():
    errors = np.r_[np.full(30, 500.0), [15.0, -25, 18, -10, 22, -16, 9, -12]]
    verdict = bias_verdicts(scores(np.ones(38), errors=errors)).iloc[0]
    assert (verdict["weeks"], verdict["passed"]) == (8, True)


def test_independent_errors_rarely_raise_a_false_alarm():
    rng = np.random.default_rng(3)
    alarms = [
        not bias_verdicts(scores(np.ones(8), errors=rng.normal(0, 100, 8), copies=1))["passed"].iloc[0]
        for _ in range(200)
    ]
    assert np.mean(alarms) < 0.06


def drifting(errors, *, horizons=(1, 26), unique_id="A"):
    """A week for each error; every week has a forecast at each horizon, all as wrong."""
    weeks = pd.date_range("2022-01-07", periods=len(errors), freq="7D")
    table = pd.DataFrame({"unique_id": unique_id, "ds": weeks, "absolute_error": errors})
    return pd.concat([table.assign(horizon=ahead) for ahead in horizons], ignore_index=True)


def promised(near, far):
    """A backtest that erred so much, one week ahead and 26."""
    return pd.DataFrame({"unique_id": "A", "horizon": [1, 26], "y": 0.0, "mean": [near, -far]})


@pytest.mark.parametrize(
    ("horizons", "expected"),
    [
        pytest.param((1,), 100, id="a young lake has near forecasts only"),
        pytest.param((1, 26), 200, id="far ones are expected to be worse"),
    ],
)
def test_errors_are_held_against_the_backtest_at_their_own_horizons(horizons, expected):
    verdict = drift_verdicts(drifting(np.full(8, 260.0), horizons=horizons), promised(100, 300), tolerance=1.5).iloc[0]
    assert (verdict["mae"], verdict["expected"]) == (260, expected)
    assert verdict["passed"] is np.bool_(expected == 200)


def test_only_the_last_eight_weeks_count_and_fewer_are_not_judged():
    errors = np.r_[np.full(20, 1000.0), np.full(8, 100.0)]
    verdict = drift_verdicts(drifting(errors), promised(100, 100), tolerance=1.5).iloc[0]
    assert (verdict["weeks"], verdict["ratio"], verdict["passed"]) == (8, 1, True)
    assert drift_verdicts(drifting(np.full(7, 1000.0)), promised(1, 1), tolerance=1.5)["passed"].all()


def test_a_series_without_a_backtest_is_not_judged():
    verdict = drift_verdicts(drifting(np.full(8, 1000.0), unique_id="B"), promised(1, 1), tolerance=1.5).iloc[0]
    assert verdict["passed"]
    assert np.isnan(verdict["expected"])
