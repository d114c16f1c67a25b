"""Scores: hand-computed values, a slow oracle, statsmodels for the standard errors."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting import scoring
from forecasting.scoring import ScoringError

METRICS = [scoring.mae, scoring.mse, scoring.rmse, scoring.bias, scoring.smape]
pairs = st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)), min_size=1, max_size=20)


def test_the_examples_of_the_module_hold():
    results = doctest.testmod(scoring)
    assert results.attempted == 11
    assert results.failed == 0


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        (scoring.mae, lambda ys, fs: sum(abs(f - y) for y, f in zip(ys, fs, strict=True)) / len(ys)),
        (scoring.mse, lambda ys, fs: sum((f - y) ** 2 for y, f in zip(ys, fs, strict=True)) / len(ys)),
        (scoring.bias, lambda ys, fs: sum(f - y for y, f in zip(ys, fs, strict=True)) / len(ys)),
        (scoring.smape, lambda ys, fs: sum(200 * abs(f - y) / (f + y) for y, f in zip(ys, fs, strict=True)) / len(ys)),
    ],
    ids=["mae", "mse", "bias", "smape"],
)
@given(rows=pairs)
def test_a_metric_equals_its_slow_oracle(metric, oracle, rows):
    ys, fs = zip(*rows, strict=True)
    assert metric(ys, fs) == pytest.approx(oracle(ys, fs), rel=1e-9, abs=1e-9)


@given(rows=pairs)
def test_rmse_is_at_least_mae_and_mae_at_least_absolute_bias(rows):
    ys, fs = zip(*rows, strict=True)
    assert scoring.rmse(ys, fs) >= scoring.mae(ys, fs) * (1 - 1e-12)
    assert scoring.mae(ys, fs) >= abs(scoring.bias(ys, fs)) * (1 - 1e-12)


@given(rows=pairs)
def test_pinball_at_the_median_is_half_the_absolute_error(rows):
    ys, fs = zip(*rows, strict=True)
    assert scoring.pinball(ys, fs, level=0.5) == pytest.approx(scoring.mae(ys, fs) / 2)


def test_pinball_is_least_at_the_quantile_itself():
    y = np.arange(1.0, 101.0)
    losses = [scoring.pinball(y, np.full(100, q), level=0.9) for q in (80.5, 90.5, 99.5)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("y", "mean", "message"),
    [
        ([1.0, math.nan], [1.0, 1.0], r"`y` is not finite at index \(1,\)"),
        ([1.0, 1.0], [math.inf, 1.0], r"`mean` is not finite at index \(0,\)"),
        ([], [], "`y` is empty"),
        ([1.0, 2.0], [1.0], "one shape"),
    ],
    ids=["nan", "infinite", "empty", "shapes"],
)
def test_what_cannot_be_scored_is_refused_by_name(metric, y, mean, message):
    with pytest.raises(ScoringError, match=message):
        metric(y, mean)


@pytest.mark.parametrize(
    ("history", "season", "message"),
    [
        (np.arange(52.0), 52, "more than 52"),
        (np.tile([1.0, 2.0], 4), 2, "repeats itself"),
        ([1.0, np.nan, 3.0], 1, "`history`"),
    ],
    ids=["short", "periodic", "nan"],
)
def test_mase_needs_a_scale(history, season, message):
    with pytest.raises(ScoringError, match=message):
        scoring.mase([1.0], [1.0], history, season=season)


def test_mase_of_the_seasonal_naive_on_its_own_history_is_one():
    history = np.random.default_rng(1).normal(100, 5, 200)
    assert scoring.mase(history[52:], history[:-52], history) == pytest.approx(1)


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0])
def test_a_quantile_level_is_a_probability(level):
    with pytest.raises(ScoringError, match="between 0 and 1"):
        scoring.pinball([1.0], [1.0], level=level)


def test_an_interval_upside_down_is_refused():
    with pytest.raises(ScoringError, match=r"index \(1,\) is upside down"):
        scoring.coverage([1.0, 1.0], [0.0, 3.0], [2.0, 2.0])
    with pytest.raises(ScoringError, match="upside down"):
        scoring.width([3.0], [2.0])


@pytest.mark.parametrize(("horizon", "step", "lags"), [(26, 4, 6), (25, 1, 24), (26, 26, 0), (26, 30, 0), (26, 1, 25)])
def test_origins_overlap_while_they_share_a_week(horizon, step, lags):
    assert scoring.overlap_lags(horizon=horizon, step=step) == lags
    shares_a_week = [later for later in range(1, 40) if later * step < horizon]
    assert len(shares_a_week) == lags


@pytest.mark.parametrize(("n", "lags"), [(25, 6), (100, 24), (40, 0), (10, 6)])
def test_the_standard_error_is_that_of_statsmodels_up_to_its_bias_under_independence(n, lags):
    from statsmodels.regression.linear_model import OLS

    x = np.cumsum(np.random.default_rng(n).normal(size=n))
    robust = OLS(x, np.ones(n)).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False})
    weights = {j: 1 - abs(j) / (lags + 1) for j in range(-lags, lags + 1)}
    expectation = 1 - sum(w * (1 - abs(j) / n) for j, w in weights.items()) / n
    expected = float(robust.bse[0]) / math.sqrt(expectation)
    assert scoring.hac_standard_error(x, lags=lags) == pytest.approx(expected, rel=1e-10)


def test_the_squared_standard_error_is_unbiased_for_independent_losses_even_with_many_lags():
    draws = np.random.default_rng(7).normal(size=(20_000, 10))
    squares = [scoring.hac_standard_error(x, lags=6) ** 2 for x in draws]
    assert np.mean(squares) == pytest.approx(1 / 10, rel=0.02)


def test_without_lags_it_is_the_ordinary_standard_error():
    x = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert scoring.hac_standard_error(x, lags=0) == pytest.approx(x.std(ddof=1) / math.sqrt(5))


def test_lags_beyond_the_sequence_do_not_break_it():
    assert scoring.hac_standard_error([1.0, 2.0, 4.0], lags=24) > 0
    assert math.isnan(scoring.hac_standard_error([1.0], lags=24))


def errors(mean, observed=(True, True, True, False)):
    cutoffs = pd.to_datetime(["2020-01-03", "2020-01-03", "2020-01-10", "2020-01-10"])
    return pd.DataFrame(
        {
            "unique_id": "W",
            "configuration": "a",
            "cutoff": cutoffs,
            "y": 10.0,
            "mean": mean,
            "observed": observed,
        }
    )


def test_an_origin_is_scored_by_its_observed_weeks_alone_if_asked():
    frame = errors([11.0, 13.0, 12.0, 20.0])
    assert scoring.origin_losses(frame, observed_only=True).tolist() == [5.0, 4.0]
    assert scoring.origin_losses(frame, observed_only=False).tolist() == [5.0, 52.0]


def test_an_origin_without_an_observed_week_has_no_loss():
    losses = scoring.origin_losses(
        errors([11.0, 13.0, 12.0, 20.0], observed=(True, True, False, False)), observed_only=True
    )
    assert losses.index.tolist() == [pd.Timestamp("2020-01-03")]


def test_losses_of_two_configurations_are_not_mixed():
    mixed = pd.concat([errors(11.0), errors(12.0).assign(configuration="b")])
    with pytest.raises(ScoringError, match="one configuration"):
        scoring.origin_losses(mixed, observed_only=True)


def test_a_paired_difference_is_exact_where_the_gap_is_constant():
    a = pd.Series([1.0, 5.0, 2.0], index=pd.date_range("2020-01-03", periods=3, freq="7D"))
    assert scoring.paired_difference(a, a + 3, lags=1) == (-3.0, 0.0)


def test_losses_on_other_origins_cannot_be_paired():
    a = pd.Series([1.0, 5.0, 2.0], index=pd.date_range("2020-01-03", periods=3, freq="7D"))
    with pytest.raises(ScoringError, match="1 of 3 and 2"):
        scoring.paired_difference(a, a.iloc[1:], lags=1)
