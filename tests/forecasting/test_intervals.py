"""Conformal scores: exact values, the normal prior, and refusals."""

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import SeriesError
from forecasting.intervals import TooFewErrorsError, conformal_scores


def errors(scores_by_horizon, *, se=0.1):
    """Past errors whose normalised absolute log error is given, of alternating sign."""
    rows = [
        {"horizon": horizon, "mean": 100.0, "se": se, "y": 100 * np.exp((-1) ** i * score * se)}
        for horizon, scores in scores_by_horizon.items()
        for i, score in enumerate(scores)
    ]
    frame = pd.DataFrame(rows, columns=["horizon", "mean", "se", "y"])
    ds = pd.date_range("2020-01-03", periods=len(frame), freq="7D")
    return frame.assign(unique_id="W", configuration="a", observed=True, ds=ds)


def test_a_score_is_the_absolute_log_error_in_standard_errors_whatever_its_horizon():
    scores = conformal_scores(errors({1: [2.0, 0.5, 1.0], 2: [3.0, 0.0, 1.5]}), horizon=2, prior=0)
    assert scores == [pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])]


def test_replaced_weeks_and_further_horizons_do_not_calibrate():
    frame = errors({1: [1.0, 2.0, 3.0], 2: [4.0]})
    frame.loc[2, "observed"] = False
    assert conformal_scores(frame, horizon=1, prior=0) == [pytest.approx([1.0, 2.0])]


def test_the_prior_is_normal_and_gives_way_to_what_was_seen():
    (few,) = conformal_scores(errors({1: [9.0]}), prior=999)
    assert np.quantile(few, [0.5, 0.8, 0.95]) == pytest.approx([0.6745, 1.2816, 1.96], abs=0.02)
    (many,) = conformal_scores(errors({1: [9.0] * 520}))
    assert len(many) == 572
    assert np.quantile(many, 0.5) == pytest.approx(9.0)


def test_no_errors_at_all_are_refused():
    with pytest.raises(TooFewErrorsError, match="W: no past errors of observed weeks"):
        conformal_scores(errors({1: [1.0, 2.0]}).assign(observed=False))


def test_two_configurations_are_not_mixed():
    frame = pd.concat([errors({1: [1.0]}), errors({1: [1.0]}).assign(configuration="b")])
    with pytest.raises(SeriesError, match="2 trials"):
        conformal_scores(frame, horizon=1)


@pytest.mark.parametrize("column", ["y", "mean", "se"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_what_has_no_logarithm_is_refused_with_its_week(column, value):
    frame = errors({1: [1.0, 2.0]})
    frame.loc[1, column] = value
    with pytest.raises(SeriesError, match="week 2020-01-10"):
        conformal_scores(frame, horizon=1)


def test_the_quantile_rule_covers_new_exchangeable_errors_at_the_nominal_level():
    rng = np.random.default_rng(11)
    past, new = np.abs(rng.standard_t(3, size=(3000, 19))), np.abs(rng.standard_t(3, size=3000))  # far from normal
    rank = int(np.ceil(20 * 0.9))
    inside = [
        score <= conformal_scores(errors({1: of_one.tolist()}), prior=0)[0][rank - 1]
        for of_one, score in zip(past[:300], new, strict=False)
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)
