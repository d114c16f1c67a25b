import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.regressors import Basis, fourier, fourier_names, holiday_weeks


def test_fourier_pairs_by_hand():
    columns = fourier([0, 3], period=12, K=2)
    expected = [[0, 1, 0, 1], [1, 0, math.sin(math.pi), math.cos(math.pi)]]
    np.testing.assert_allclose(columns, expected, atol=1e-12)
    assert fourier_names(2) == ["sin1", "cos1", "sin2", "cos2"]


def test_no_harmonics_are_no_columns():
    assert fourier(np.arange(5), period=52, K=0).shape == (5, 0)
    assert fourier_names(0) == []


@given(st.integers(0, 2000), st.integers(1, 12))
def test_fourier_has_the_period(t, harmonics):
    one, other = fourier([t, t + 52], period=52, K=harmonics)
    np.testing.assert_allclose(one, other, atol=1e-8)


@pytest.mark.parametrize(
    ("holiday", "friday"),
    [
        ("Thanksgiving Day", "2023-11-24"),
        ("Christmas Day", "2021-12-31"),  # a Saturday, celebrated on the Friday before: its own day counts
        ("New Year's Day", "2022-01-07"),  # likewise
        ("Christmas Day", "2022-12-30"),  # a Sunday
        ("New Year's Day", "2021-01-01"),  # the Friday itself
        ("Independence Day", "2023-07-07"),
        ("Juneteenth National Independence Day", "2021-06-25"),
        ("Memorial Day", "2024-05-31"),
    ],
)
def test_the_week_of_a_holiday_ends_on_its_friday(holiday, friday):
    fridays = pd.date_range(pd.Timestamp(friday) - timedelta(weeks=10), periods=21, freq="W-FRI")
    column = holiday_weeks(fridays)[holiday]
    assert column.loc[friday] == 1
    assert column.loc[fridays[8:13]].sum() == 1


def test_every_federal_holiday_falls_once_a_year():
    flags = holiday_weeks(pd.date_range("2022-01-07", "2023-12-29", freq="W-FRI"))
    assert len(flags.columns) == 11
    assert set(flags.sum() - 2) <= {0}
    assert set(np.unique(flags)) == {0, 1}


def test_a_lone_week_of_january_knows_the_year_before():
    assert holiday_weeks(pd.DatetimeIndex(["2022-01-07"])).loc["2022-01-07"].to_dict()["New Year's Day"] == 1
    christmas = holiday_weeks(pd.DatetimeIndex(["2011-12-30"])).loc["2011-12-30", "Christmas Day"]
    assert christmas == 1


def test_no_weeks_have_no_holidays():
    assert holiday_weeks(pd.DatetimeIndex([])).empty


def test_columns_that_a_line_or_those_before_them_explain_are_left_out():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 50))
    columns = np.column_stack(
        [a, b, 2 * a - b + 3, np.ones(50), np.arange(50), np.zeros(50), a + 1e-3 * rng.normal(size=50)]
    )
    kept, basis = Basis.of_line(50).extend(columns)
    assert kept == [0, 1, 6]
    np.testing.assert_allclose(basis.columns.T @ basis.columns, np.eye(5), atol=1e-12)
    known = np.column_stack([np.ones(50), np.arange(50), columns[:, kept]])
    np.testing.assert_allclose(basis.columns @ (basis.columns.T @ known), known, atol=1e-9)


def test_a_basis_goes_on_where_it_stopped():
    columns = np.random.default_rng(2).normal(size=(30, 6))
    columns[:, 4] = columns[:, 0] - columns[:, 3]
    first, basis = Basis.of_line(30).extend(columns[:, :3])
    rest, longer = basis.extend(columns[:, 3:])
    at_once, whole = Basis.of_line(30).extend(columns)
    assert first + [3 + i for i in rest] == at_once == [0, 1, 2, 3, 5]
    np.testing.assert_array_equal(longer.columns, whole.columns)
    assert basis.columns.shape == (30, 5)


def test_a_new_year_dummy_that_repeats_christmas_is_left_out():
    christmas = np.zeros(200)
    christmas[[40, 92, 144]] = 1
    assert Basis.of_line(200).extend(np.column_stack([christmas, christmas]))[0] == [0]


def test_more_columns_than_weeks_cannot_be_independent():
    assert Basis.of_line(4).extend(np.random.default_rng(1).normal(size=(4, 5)))[0] == [0, 1]


@given(st.dates(date(1991, 1, 1), date(2040, 1, 1)))
def test_flags_are_where_the_calendar_has_the_day(day):
    import holidays

    friday = day + timedelta(days=(4 - day.weekday()) % 7)
    week = [friday - timedelta(days=i) for i in range(7)]
    calendar = holidays.country_holidays("US", years=sorted({d.year for d in week}), observed=False)
    expected = {calendar[d] for d in week if d in calendar}
    flags = holiday_weeks(pd.DatetimeIndex([pd.Timestamp(friday)])).iloc[0]
    assert set(flags.index[flags == 1]) == expected
