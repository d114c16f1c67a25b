"""Conformal scores by horizon: exact values, borrowing from neighbours, and refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_score_is_the_absolute_log_error_in_standard_errors():
    scores = conformal_scores(errors({1: [2.0, 0.5, 1.0], 2: [3.0, 0.0, 1.5]}), horizon=2, minimum=3)
    assert scores == [pytest.approx([0.5, 1.0, 2.0]), pytest.approx([0.0, 1.5, 3.0])]


def test_replaced_weeks_do_not_calibrate():
    frame = errors({1: [1.0, 2.0, 9.0]})
    frame["observed"] = [True, True, False]
    assert conformal_scores(frame, horizon=1, minimum=2) == [pytest.approx([1.0, 2.0])]


def test_a_horizon_with_too_few_borrows_from_both_sides_alike():
    frame = errors({1: [1.0, 1.1], 2: [2.0], 3: [3.0, 3.1], 4: [4.0], 5: [5.0, 5.1, 5.2]})
    scores = conformal_scores(frame, horizon=5, minimum=3)
    assert scores[0] == pytest.approx([1.0, 1.1, 2.0])  # nothing to the left
    assert scores[1] == pytest.approx([1.0, 1.1, 2.0, 3.0, 3.1])  # both neighbours, though one would do
    assert scores[2] == pytest.approx([2.0, 3.0, 3.1, 4.0])
    assert scores[4] == pytest.approx([5.0, 5.1, 5.2])  # enough of its own


def test_a_horizon_never_evaluated_borrows_the_nearest():
    scores = conformal_scores(errors({25: [1.0, 2.0]}), horizon=26, minimum=2)
    assert len(scores) == 26
    assert scores[25] == pytest.approx([1.0, 2.0])


@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=12).filter(lambda counts: sum(counts) > 0),
    minimum=st.integers(1, 8),
)
def test_every_horizon_has_enough_sorted_scores_or_the_calibration_is_refused(counts, minimum):
    rng = np.random.default_rng(sum(counts))
    frame = errors({h: rng.uniform(0, 3, count).tolist() for h, count in enumerate(counts, start=1)})
    if sum(counts) < minimum:
        with pytest.raises(TooFewErrorsError):
            conformal_scores(frame, horizon=len(counts), minimum=minimum)
        return
    scores = conformal_scores(frame, horizon=len(counts), minimum=minimum)
    assert len(scores) == len(counts)
    assert all(len(of_one) >= minimum and of_one == sorted(of_one) for of_one in scores)


def test_too_few_errors_at_all_are_refused_with_their_number():
    with pytest.raises(TooFewErrorsError, match="W: 2 past errors of observed weeks, .* needs 40"):
        conformal_scores(errors({1: [1.0, 2.0]}))


def test_two_configurations_are_not_mixed():
    frame = pd.concat([errors({1: [1.0]}), errors({1: [1.0]}).assign(configuration="b")])
    with pytest.raises(SeriesError, match="2 trials"):
        conformal_scores(frame, horizon=1, minimum=1)


@pytest.mark.parametrize("column", ["y", "mean", "se"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_what_has_no_logarithm_is_refused_with_its_week(column, value):
    frame = errors({1: [1.0, 2.0]})
    frame.loc[1, column] = value
    with pytest.raises(SeriesError, match="week 2020-01-10"):
        conformal_scores(frame, horizon=1, minimum=1)


def test_the_quantile_rule_covers_new_exchangeable_errors_at_the_nominal_level():
    rng = np.random.default_rng(11)
    past, new = np.abs(rng.standard_t(3, size=(3000, 19))), np.abs(rng.standard_t(3, size=3000))  # far from normal
    scores = conformal_scores(errors(dict(enumerate(past.tolist(), start=1))), horizon=3000, minimum=19)
    rank = int(np.ceil(20 * 0.9))
    inside = [score <= of_one[rank - 1] for score, of_one in zip(new, scores, strict=True)]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
