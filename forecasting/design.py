"""The design matrix of a window: Fourier pairs, then holiday weeks, without the columns that others explain."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.regressors import Basis, fourier, fourier_names

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """The regressors of a sample and of the weeks after it.

    Attributes:
        matrix: One column a regressor, (weeks, k), of full rank over the sample with a constant and a line.
        kept: Which of the 2 K Fourier columns are in it; they stand first.
        fourier_dropped: Names of those that are not.
        holidays: Names of the holidays in it.
        holidays_dropped: Those that occur less than twice in the sample, or that other columns explain.
    """

    matrix: Floats
    kept: tuple[int, ...]
    fourier_dropped: tuple[str, ...]
    holidays: tuple[str, ...]
    holidays_dropped: tuple[str, ...]


def design(K: int, holidays: pd.DataFrame, *, n: int, season_length: float) -> Design:  # noqa: N803 - as the literature
    """The design of a window.

    Args:
        K: Number of Fourier pairs.
        holidays: 0/1, one row a week of the sample and of the weeks after it, one column a holiday, or no column.
        n: Weeks of the sample, the first of them.
        season_length: Length of the yearly season, weeks.
    """
    pairs = _pairs(K, n, len(holidays), season_length)
    flags = holidays.to_numpy(dtype=np.float64)
    # A holiday seen once would be fitted to one week's error, and repeat that error every year.
    seen = np.flatnonzero(flags[:n].sum(axis=0) > 1)
    added = pairs.basis.extend(flags[:n, seen])[0]
    used = [int(seen[i]) for i in added]
    return Design(
        matrix=np.hstack([pairs.matrix, flags[:, used]]) if used else pairs.matrix,
        kept=pairs.kept,
        fourier_dropped=tuple(name for i, name in enumerate(fourier_names(K)) if i not in pairs.kept),
        holidays=tuple(str(holidays.columns[i]) for i in used),
        holidays_dropped=tuple(str(name) for i, name in enumerate(holidays.columns) if i not in used),
    )


@dataclass(frozen=True)
class _Pairs:
    matrix: Floats
    kept: tuple[int, ...]
    basis: Basis


@lru_cache(maxsize=64)
def _pairs(K: int, n: int, weeks: int, season_length: float) -> _Pairs:  # noqa: N803
    """The Fourier part, which is the same for every window of a length: its phase starts with the window."""
    columns = fourier(np.arange(weeks), period=season_length, K=K)
    kept, basis = Basis.of_line(n).extend(columns[:n])
    return _Pairs(np.ascontiguousarray(columns[:, kept]), tuple(kept), basis)
