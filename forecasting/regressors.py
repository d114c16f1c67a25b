"""Regressors known in advance: Fourier pairs of the yearly season, and the weeks of U.S. federal holidays."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Self

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


@dataclass(frozen=True)
class Basis:
    """Orthonormal columns that span the regressors chosen so far.

    Attributes:
        columns: Shape (n, r).
    """

    columns: Floats

    @classmethod
    def of_line(cls, n: int) -> Self:
        """The basis of a constant and a line.

        Regressors independent of these keep the regression of full rank after one difference and beside a drift.
        """
        return cls(np.linalg.qr(np.column_stack([np.ones(n), np.arange(n, dtype=np.float64)]))[0])

    def extend(self, candidates: Floats) -> tuple[list[int], "Basis"]:
        """The candidates (n, m) that neither the basis nor the candidates before them explain, and the basis with them.

        A column that is zero or constant in the sample is explained.
        """
        n, m = candidates.shape
        basis = np.empty((n, self.columns.shape[1] + m))
        rank = self.columns.shape[1]
        basis[:, :rank] = self.columns
        kept = []
        for i, column in enumerate(candidates.T):
            left = column - basis[:, :rank] @ (basis[:, :rank].T @ column)
            left -= basis[:, :rank] @ (basis[:, :rank].T @ left)  # one Gram-Schmidt pass alone loses orthogonality
            rest = np.linalg.norm(left)
            # A column shorter than one flag is rounding: the last sine of a season of an even number of weeks.
            if rest > RANK_TOLERANCE * max(1.0, float(np.linalg.norm(column))) and rank < n:
                basis[:, rank] = left / rest
                rank += 1
                kept.append(i)
        return kept, Basis(basis[:, :rank])


@cache
def _federal_holidays(year: int) -> tuple[tuple[date, str], ...]:
    import holidays

    calendar = holidays.country_holidays("US", years=year, observed=False)
    return tuple((day, name) for day in sorted(calendar) for name in calendar.get_list(day))
