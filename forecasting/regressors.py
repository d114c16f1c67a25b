"""Regressors known in advance: Fourier pairs of the yearly season, and the weeks of U.S. federal holidays."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

RANK_TOLERANCE = 1e-7
"""A column is collinear when the columns before it explain all but this share of its length."""


def fourier(t: npt.ArrayLike, *, period: float, K: int) -> Floats:  # noqa: N803 - K is what the literature calls it
    """Sine and cosine pairs of the first `K` harmonics.

    Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., section 7.4.

    Args:
        t: Week numbers, shape (n,).
        period: Length of the season, weeks.
        K: Number of pairs.

    Returns:
        Shape (n, 2 K): sin 1, cos 1, sin 2, cos 2, ...

    >>> fourier([0, 1], period=4, K=1).round(12)
    array([[0., 1.],
           [1., 0.]])
    """
    weeks = np.asarray(t, dtype=np.float64)
    angles = 2 * np.pi * np.outer(weeks, np.arange(1, K + 1)) / period
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(weeks), 2 * K)


def fourier_names(K: int) -> list[str]:  # noqa: N803
    """Names of the columns of `fourier`: sin1, cos1, sin2, ..."""
    return [f"{function}{k}" for k in range(1, K + 1) for function in ("sin", "cos")]


def holiday_weeks(fridays: pd.DatetimeIndex) -> pd.DataFrame:
    """Which weeks contain which U.S. federal holiday, on its own date and not on a substitute day.

    Args:
        fridays: Last days of weeks that run from Saturday to Friday.

    Returns:
        0/1 (int64), index `fridays`, one column per holiday known in these years, in alphabetical order.
    """
    ends = pd.DatetimeIndex(fridays)
    if ends.empty:
        return pd.DataFrame(index=ends)
    # The week of a Friday in early January begins in the year before.
    days = [pair for year in range(ends[0].year - 1, ends[-1].year + 1) for pair in _federal_holidays(year)]
    names = sorted({name for _, name in days})
    flags = pd.DataFrame(0, index=ends, columns=names, dtype=np.int64)
    for day, name in days:
        friday = pd.Timestamp(day + timedelta(days=(4 - day.weekday()) % 7))
        if friday in flags.index:
            flags.loc[friday, name] = 1
    return flags


def collinear(columns: Floats, names: Sequence[str]) -> list[str]:
    """The columns that a constant, a line and the columns before them already explain.

    Dropping them keeps the regression of full rank after one difference and beside a drift. A column that is zero or
    constant in the sample is one of them.

    Args:
        columns: Shape (n, m).
        names: Names of the m columns.

    Returns:
        Names to drop, in their order.
    """
    n = len(columns)
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.arange(n, dtype=np.float64)]))[0]
    dropped = []
    for name, column in zip(names, columns.T, strict=True):
        length = np.linalg.norm(column)
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)  # once more: one Gram-Schmidt pass loses orthogonality
        rest = np.linalg.norm(left)
        if rest <= RANK_TOLERANCE * length or basis.shape[1] >= n:
            dropped.append(name)
        else:
            basis = np.column_stack([basis, left / rest])
    return dropped


@cache
def _federal_holidays(year: int) -> tuple[tuple[date, str], ...]:
    import holidays

    calendar = holidays.country_holidays("US", years=year, observed=False)
    return tuple((day, name) for day in sorted(calendar) for name in calendar.get_list(day))
