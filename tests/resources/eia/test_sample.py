from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.eia.observations import validate
from resources.eia.sample import FIRST, SHAPES, sample_csv, simulate

LAST = date(2023, 5, 12)
IDS = [*SHAPES, "WANYUPUS2"]


@given(st.sampled_from(IDS), st.integers(0, 60), st.integers(0, 60))
def test_a_longer_span_extends_a_shorter_one_bit_for_bit(unique_id: str, weeks: int, more: int) -> None:
    short = simulate(unique_id, last=FIRST + timedelta(weeks=weeks))
    long = simulate(unique_id, last=FIRST + timedelta(weeks=weeks + more))
    pd.testing.assert_frame_equal(long.head(weeks + 1), short, check_exact=True)


def test_the_bytes_extend_too_over_the_whole_history() -> None:
    assert sample_csv("WGFUPUS2", last=LAST).startswith(sample_csv("WGFUPUS2", last=date(2020, 4, 3)))


def test_the_figures_are_the_same_on_every_machine() -> None:
    frame = simulate("WGFUPUS2", last=LAST).set_index("ds")["y"]
    assert frame.loc[["1991-02-08", "2008-07-04", "2020-04-03", "2023-05-12"]].tolist() == [
        4766.0,
        7448.0,
        5329.0,
        9580.0,
    ]


@pytest.mark.parametrize("unique_id", IDS)
def test_figures_are_whole_positive_and_valid_observations(unique_id: str) -> None:
    frame = simulate(unique_id, last=LAST)
    assert (frame["y"] == frame["y"].round()).all()
    _, report = validate(frame, unique_id=unique_id, week=LAST)
    assert (report.first, report.gaps) == (FIRST, ())


def test_series_differ_in_level_and_noise() -> None:
    wide = pd.DataFrame({name: simulate(name, last=LAST)["y"] for name in IDS})
    steps = np.log(wide).diff().dropna().corr().to_numpy()
    assert np.abs(steps[~np.eye(len(IDS), dtype=bool)]).max() < 0.5
    assert wide.mean().round(-1).is_unique


@pytest.mark.parametrize("unique_id", IDS)
def test_robust_stl_finds_the_break_and_little_else(unique_id: str) -> None:
    """The rule by which the lineage flags outliers: 3 interquartile ranges around the remainder of a robust STL."""
    from statsmodels.tsa.seasonal import STL

    frame = simulate(unique_id, last=LAST).tail(567)
    remainder = STL(frame["y"].to_numpy(), period=52, robust=True).fit().resid
    low, high = np.quantile(remainder, [0.25, 0.75])
    fence = 3 * (high - low)
    days = frame["ds"][(remainder < low - fence) | (remainder > high + fence)]
    within = days[(days >= "2020-03-01") & (days <= "2022-12-31")]
    assert len(within) >= 8
    assert within.iloc[0].to_period("M") == pd.Period("2020-03")
    assert len(days) - len(within) <= 20


def test_the_shape_is_that_of_the_real_series() -> None:
    y = np.log(simulate("WGFUPUS2", last=date(2024, 12, 27)).set_index("ds")["y"])
    assert y["2018":"2019"].mean() > y["1992":"1993"].mean() + 0.15, "growth"
    by_month = y["2010":"2019"].groupby(y["2010":"2019"].index.month).mean()
    assert by_month[[6, 7, 8]].min() > by_month[[1, 2, 12]].max() + 0.04, "season"
    assert y["2020-04-03":"2020-04-24"].max() < y["2019-04"].mean() - 0.35, "break"
    assert abs(y["2023"].mean() - y["2019"].mean() - 4 * 0.02) < 0.02, "recovery, four years of growth on"
    first_weeks = y[(y.index.day <= 7) & (y.index.month == 1)]["1992":"2019"]
    assert (first_weeks < y.shift(2)[first_weeks.index] - 0.005).mean() > 0.75, "holidays"


def test_the_csv_says_in_its_first_line_that_it_is_simulated() -> None:
    first = sample_csv("WGFUPUS2", last=FIRST).splitlines()[0].decode()
    assert first.startswith("# SIMULATED")
    assert "Not published by EIA" in first


@pytest.mark.parametrize("last", [date(1991, 2, 1), date(2024, 7, 4)], ids=["before the first", "a Thursday"])
def test_other_days_are_no_weeks_of_the_sample(last: date) -> None:
    with pytest.raises(ValueError, match="Fridays from 1991-02-08"):
        simulate("WGFUPUS2", last=last)
