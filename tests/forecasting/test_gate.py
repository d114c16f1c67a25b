"""The gate: verdicts, ratios and reasons."""

import math

import pandas as pd
import pytest

from forecasting.gate import GateError, verdicts


def scores(**mae):
    return pd.DataFrame({"unique_id": "W", "role": list(mae), "mae": [float(value) for value in mae.values()]})


def verdict(**mae):
    (row,) = verdicts(scores(**mae)).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("candidate", "champion", "naive", "passed", "says"),
    [
        (90, 100, 120, True, "0.750 of the seasonal naive's and 0.900 of the champion's"),
        (105, 100, 120, True, "1.050 of the champion's"),
        (105.2, 100, 120, False, "worse than the champion beyond the tolerance of 1.05: MAE 105.2 against 100.0"),
        (120, 119, 120, True, "1.000 of the seasonal naive's"),
        (121, 120, 120, False, "worse than the seasonal naive forecast: MAE 121.0 against 120.0, ratio 1.008"),
        (0, 0, 0, True, "passed"),
        (1, 0, 2, False, "ratio inf"),
    ],
    ids=["better", "at-the-tolerance", "beyond-it", "as-naive", "worse-than-naive", "all-perfect", "perfect-champion"],
)
def test_a_verdict_and_its_reason(candidate, champion, naive, passed, says):
    row = verdict(candidate=candidate, champion=champion, seasonal_naive=naive)
    assert row["passed"] is passed
    assert says in row["reason"]
    assert row["reason"].startswith("passed" if passed else "held back")


def test_both_failures_are_told():
    reason = verdict(candidate=200, champion=100, seasonal_naive=150)["reason"]
    assert "seasonal naive" in reason
    assert "champion" in reason


def test_the_first_candidate_has_no_champion_to_beat():
    row = verdict(candidate=100, seasonal_naive=120)
    assert row["passed"]
    assert math.isnan(row["ratio_champion"])
    assert "no champion yet" in row["reason"]


def test_every_series_has_its_own_verdict():
    good, bad = scores(candidate=1, seasonal_naive=2), scores(candidate=3, seasonal_naive=2).assign(unique_id="A")
    table = verdicts(pd.concat([good, bad]))
    assert table["unique_id"].tolist() == ["A", "W"]
    assert table["passed"].tolist() == [False, True]
    assert table["ratio_naive"].tolist() == [1.5, 0.5]


def test_the_tolerance_is_an_argument():
    frame = scores(candidate=109, champion=100, seasonal_naive=120)
    assert verdicts(frame)["passed"].tolist() == [False]
    assert verdicts(frame, tolerance=1.1)["passed"].tolist() == [True]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (scores(champion=1, seasonal_naive=1), "W: no held-out score of the candidate"),
        (scores(candidate=1, champion=1), "W: no held-out score of the seasonal_naive"),
        (scores(candidate=float("nan"), seasonal_naive=1), "W: the MAE of the candidate is nan"),
        (scores(candidate=1, seasonal_naive=-1), "W: the MAE of the seasonal_naive is -1"),
        (scores(candidate=1, seasonal_naive=1, oracle=0), "W: role 'oracle' is none of"),
        (pd.concat([scores(candidate=1, seasonal_naive=1)] * 2), "W: role 'candidate' is scored twice"),
    ],
    ids=["no-candidate", "no-naive", "nan", "negative", "unknown-role", "twice"],
)
def test_scores_that_allow_no_verdict_are_refused(frame, message):
    with pytest.raises(GateError, match=message):
        verdicts(frame)


def test_no_series_gives_no_verdict():
    assert verdicts(scores()).empty
