"""Doubts about breaks: what is said of a span, and that the real ones are judged as a person would."""

import doctest
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from forecasting import by_series
from forecasting.breaks import BreakRule
from forecasting.plausibility import doubts, moved

# 2020-03-01 is a Sunday, 2020-12-31 a Thursday: the Fridays searched are 2020-03-06 to 2020-12-25.
RULE = BreakRule("flood", date(2020, 3, 1), date(2020, 12, 31), 3, date(2021, 6, 30), date(2017, 1, 1))
LATER = date(2023, 5, 12)


def a_break(start: str = "2020-03-13", end: str = "2020-07-24", *, outliers: int = 10, series: str = "A"):
    weeks = (pd.Timestamp(end) - pd.Timestamp(start)).days // 7 + 1
    return pd.DataFrame(
        {
            "unique_id": [series],
            "name": ["flood"],
            "start": [pd.Timestamp(start)],
            "end": [pd.Timestamp(end)],
            "weeks": [weeks],
            "outliers": [outliers],
            "share": [outliers / weeks],
        }
    )


BEGINS = "it begins with the first week searched, so it may have begun before"
ENDS = "it ends with the last week searched, so it may go on"
GOES_ON = "it ends with the last week known, so it may go on"
THIN = "only {} of its {} weeks are outliers, so they may have nothing in common"


@pytest.mark.parametrize(
    ("found", "last", "said"),
    [
        pytest.param(a_break(), LATER, [], id="nothing"),
        pytest.param(a_break("2020-03-06"), LATER, [BEGINS], id="first-week"),
        pytest.param(a_break(end="2020-12-25"), LATER, [ENDS], id="last-week"),
        pytest.param(a_break(end="2020-12-18"), LATER, [], id="the-week-before"),
        pytest.param(a_break(), date(2020, 7, 24), [GOES_ON], id="going-on"),
        pytest.param(a_break(), date(2020, 7, 31), [], id="just-over"),
        pytest.param(a_break(outliers=3), LATER, [], id="15-per-cent"),
        pytest.param(a_break(outliers=2), LATER, [THIN.format(2, 20)], id="10-per-cent"),
        pytest.param(
            a_break("2020-03-06", "2020-12-25", outliers=4), LATER, [BEGINS, ENDS, THIN.format(4, 43)], id="all"
        ),
    ],
)
def test_what_speaks_against_a_break_is_said(found: pd.DataFrame, last: date, said: list[str]) -> None:
    span = f"{found['start'][0].date()} to {found['end'][0].date()}"
    expected = [f"A flood ({span}): {', '.join(said)}"] if said else []
    assert doubts(found, [RULE], last=last, training_weeks=567) == expected


@pytest.mark.parametrize(("training_weeks", "doubted"), [(60, False), (59, True)])
def test_a_break_of_more_than_a_third_of_what_models_learn_from_is_long(training_weeks: int, *, doubted: bool) -> None:
    reason = f"its 20 weeks are more than a third of the {training_weeks} that models learn from"
    expected = [f"A flood (2020-03-13 to 2020-07-24): {reason}"] if doubted else []
    assert doubts(a_break(), [RULE], last=LATER, training_weeks=training_weeks) == expected


@pytest.mark.parametrize(
    ("now", "before", "last_before", "said"),
    [
        pytest.param(a_break(), a_break(), LATER, [], id="where-it-was"),
        pytest.param(
            a_break(end="2020-08-07"),
            a_break(),
            LATER,
            ["A flood: settled since 2021-06-30, yet it was 2020-03-13 to 2020-07-24 and is 2020-03-13 to 2020-08-07"],
            id="moved",
        ),
        pytest.param(
            a_break().head(0),
            a_break(),
            LATER,
            ["A flood: settled since 2021-06-30, yet it was 2020-03-13 to 2020-07-24 and is absent"],
            id="gone",
        ),
        pytest.param(a_break(end="2020-08-07"), a_break(), date(2021, 6, 25), [], id="not-settled-then"),
        pytest.param(a_break(series="B"), a_break(series="B").head(0), LATER, [], id="a-series-new-to-the-settings"),
    ],
)
def test_a_settled_break_that_moved_is_told(
    now: pd.DataFrame, before: pd.DataFrame, last_before: date, said: list[str]
) -> None:
    assert moved(now, before, [RULE], last_before=last_before, series=["A"]) == said


def test_each_rule_is_held_to_its_own_breaks() -> None:
    other = replace(RULE, name="drought", searched_from=date(2018, 1, 1), searched_to=date(2020, 7, 24))
    assert doubts(a_break(), [other, RULE], last=LATER, training_weeks=567) == []
    assert len(doubts(a_break().assign(name="drought"), [other, RULE], last=LATER, training_weeks=567)) == 1


def test_of_the_real_series_the_wide_and_the_cut_spans_are_doubted(real_breaks: pd.DataFrame, covid: BreakRule) -> None:
    """Gasoline and jet fuel pass; the ends of distillate, propane and other oils are single weeks a year later."""
    texts = doubts(real_breaks, [covid], last=date(2023, 5, 12), training_weeks=567)
    assert [(text.split()[0], "begins with" in text, "only " in text) for text in texts] == [
        ("WDIUPUS2", False, True),
        ("WPRUP_NUS_2", False, True),
        ("WRPUPUS2", True, False),
        ("WWOUP_NUS_2", True, True),
    ]


def test_numbers_by_series_leave_out_what_is_missing() -> None:
    assert doctest.testmod(by_series).failed == 0
    values = pd.Series({"A": float("inf"), "B": -0.1234567, "C": float("nan"), "D": 0.0})
    assert by_series.by_series("x", values) == {"x_B": -0.123457, "x_D": 0.0}
    counts = by_series.by_series("n", pd.Series({"A": 3}))
    assert counts == {"n_A": 3}
    assert isinstance(counts["n_A"], int)
