"""What is taken off the log series before the regression and put back by absolute week: a linear trend, a fixed season.

Week t = 0 is the first training week; a forecast of horizon h after n weeks puts back what belongs to t = n + h - 1.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from forecasting.schema import SEASON

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Transform:
    """A fitted transformation of log y.

    Attributes:
        trend: Intercept and slope per week of the least-squares line, or None.
        season: Additive seasonal terms of t % 52, 52 values, or None.
    """

    trend: tuple[float, float] | None = None
    season: tuple[float, ...] | None = None

    @classmethod
    def fit(cls, log_y: Floats, *, detrend: bool, deseasonalise: bool) -> Self:
        """The transformation of a training sample, see `lines` and `seasons`; the trend first, then the season.

        Args:
            log_y: Log of consecutive weeks, shape (n,), n >= 104 when deseasonalising.
            detrend: Whether to take off a line.
            deseasonalise: Whether to take off a season.
        """
        trend = None
        if detrend:
            intercept, slope = lines(log_y[None])[0]
            trend = (float(intercept), float(slope))
        season = None
        if deseasonalise:
            left = log_y - cls(trend).level(np.arange(len(log_y)))
            season = tuple(float(value) for value in seasons(left[None])[0])
        return cls(trend, season)

    def level(self, t: npt.NDArray[np.int64]) -> Floats:
        """What the transformation takes off at weeks `t`, shape (len(t),), log scale."""
        total = np.zeros(len(t))
        if self.trend is not None:
            total += self.trend[0] + self.trend[1] * t
        if self.season is not None:
            total += np.asarray(self.season)[t % SEASON]
        return total

    @property
    def n_parameters(self) -> int:
        """How many numbers were estimated."""
        return n_parameters(detrend=self.trend is not None, deseasonalise=self.season is not None)

    def to_dict(self) -> dict[str, Any]:
        """The artifact's member `transform`."""
        return {
            "trend": list(self.trend) if self.trend else None,
            "season": list(self.season) if self.season else None,
        }


def n_parameters(*, detrend: bool, deseasonalise: bool) -> int:
    """How many numbers a transformation estimates: 2 for a trend, 52 for a season."""
    return (2 if detrend else 0) + (SEASON if deseasonalise else 0)


def levels(log_y: Floats, *, weeks: int, detrend: bool, deseasonalise: bool) -> Floats:
    """What the transformations of many samples take off their weeks 0, 1, ..., `weeks` - 1, all at once.

    Args:
        log_y: One sample a row, shape (rows, n).
        weeks: How many weeks; those from n on are to be forecast.
        detrend: Whether to take off a line.
        deseasonalise: Whether to take off a season.

    Returns:
        Shape (rows, weeks), log scale: for every row what `Transform.fit(...).level` gives.
    """
    t = np.arange(weeks)
    n = log_y.shape[1]
    total = np.zeros((len(log_y), weeks))
    if detrend:
        fitted = lines(log_y)
        total += fitted[:, :1] + fitted[:, 1:] * t
    if deseasonalise:
        total += seasons(log_y - total[:, :n])[:, t % SEASON]
    return total


def lines(log_y: Floats) -> Floats:
    """Intercept and slope per week of the least-squares line of every row, (rows, 2), as sktime's Detrender has it."""
    n = log_y.shape[1]
    t = np.arange(n) - (n - 1) / 2
    slope = log_y @ t / (t @ t)
    intercept = log_y.mean(axis=1) - slope * (n - 1) / 2
    return np.column_stack([intercept, slope])


def seasons(log_y: Floats) -> Floats:
    """The season of every row by classical additive decomposition, shape (rows, 52), each of mean zero.

    Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., section 3.4; as sktime's Deseasonalizer has
    it.

    Args:
        log_y: One sample a row, shape (rows, n), n >= 104.
    """
    rows, n = log_y.shape
    half = SEASON // 2
    sums = np.cumsum(np.hstack([np.zeros((rows, 1)), log_y]), axis=1)
    moving = (sums[:, SEASON:] - sums[:, :-SEASON]) / SEASON
    trend = (moving[:, 1:] + moving[:, :-1]) / 2  # 2 x 52, centred on weeks half .. n - half - 1
    left = log_y[:, half : n - half] - trend
    phase = np.arange(half, n - half) % SEASON
    means = np.stack([left[:, phase == week].mean(axis=1) for week in range(SEASON)], axis=1)
    centred: Floats = means - means.mean(axis=1, keepdims=True)
    return centred
