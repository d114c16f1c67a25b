"""The design of a window: what is in it, and what is left out and said so."""

import numpy as np
import pandas as pd
import pytest

from forecasting.design import design
from forecasting.regressors import fourier, holiday_weeks

N, AHEAD, YEAR = 160, 26, 365.25 / 7


def flags(**weeks):
    """0/1 of N + AHEAD weeks, one column a name."""
    t = np.arange(N + AHEAD)
    return pd.DataFrame({name: np.isin(t, at).astype(int) for name, at in weeks.items()}, index=t)


def test_harmonics_stand_first_then_holidays_in_sample_and_after_it():
    holidays = holiday_weeks(pd.date_range("2013-01-04", periods=N + AHEAD, freq="W-FRI")).drop(columns="Columbus Day")
    found = design(2, holidays, n=N, season_length=YEAR)
    np.testing.assert_array_equal(found.matrix[:, :4], fourier(np.arange(N + AHEAD), period=YEAR, K=2))
    np.testing.assert_array_equal(found.matrix[:, 4:], holidays.to_numpy())
    assert (found.kept, found.fourier_dropped) == ((0, 1, 2, 3), ())
    assert (found.holidays, found.holidays_dropped) == (tuple(holidays.columns), ())
    line = np.column_stack([np.ones(N), np.arange(N)])
    assert np.linalg.matrix_rank(np.column_stack([line, found.matrix[:N]])) == 2 + found.matrix.shape[1]


def test_holidays_seen_once_or_explained_by_others_are_left_out():
    holidays = flags(a=[3, 55, 107], again=[3, 55, 107], once=[40, N + 3], never=[N + 1], b=[10, 62])
    found = design(0, holidays, n=N, season_length=YEAR)
    assert found.holidays == ("a", "b")
    assert found.holidays_dropped == ("again", "once", "never")
    np.testing.assert_array_equal(found.matrix, holidays[["a", "b"]].to_numpy())


@pytest.mark.parametrize(
    ("season_length", "harmonics", "dropped"),
    [(5, 3, ("sin3", "cos3")), (4, 2, ("sin2",)), (52, 26, ("sin26",)), (YEAR, 26, ())],
    ids=["aliased", "zero at every week", "half a season", "none"],
)
def test_waves_that_are_others_are_left_out(season_length, harmonics, dropped):
    found = design(harmonics, flags(), n=N, season_length=season_length)
    assert found.fourier_dropped == dropped
    every = fourier(np.arange(N + AHEAD), period=season_length, K=harmonics)
    np.testing.assert_array_equal(found.matrix, every[:, found.kept])


def test_the_waves_are_computed_once_and_not_spoilt_by_the_holidays():
    alone = design(3, flags(), n=N, season_length=YEAR).matrix.copy()
    design(3, flags(a=[3, 55, 107]), n=N, season_length=YEAR)
    np.testing.assert_array_equal(design(3, flags(), n=N, season_length=YEAR).matrix, alone)
