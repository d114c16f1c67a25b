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
        """The transformation of a training sample, the trend first, the season of what it leaves next.

        The season is classical additive decomposition (Hyndman & Athanasopoulos, Forecasting: principles and practice,
        3rd ed., section 3.4). Equal to sktime's Detrender and Deseasonalizer.

        Args:
            log_y: Log of consecutive weeks, shape (n,), n >= 104 when deseasonalising.
            detrend: Whether to take off a line.
            deseasonalise: Whether to take off a season.
        """
        trend = None
        if detrend:
            slope, intercept = np.polynomial.polynomial.polyfit(np.arange(len(log_y)), log_y, 1)[::-1]
            trend = (float(intercept), float(slope))
        season = None
        if deseasonalise:
            from statsmodels.tsa.seasonal import seasonal_decompose

            left = log_y - cls(trend).level(np.arange(len(log_y)))
            seasonal = seasonal_decompose(left, model="additive", period=SEASON, two_sided=True).seasonal
            season = tuple(float(value) for value in seasonal[:SEASON])
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
        """How many numbers were estimated: 2 for a trend, 52 for a season."""
        return (2 if self.trend else 0) + (SEASON if self.season else 0)

    def to_dict(self) -> dict[str, Any]:
        """The artifact's member `transform`."""
        return {
            "trend": list(self.trend) if self.trend else None,
            "season": list(self.season) if self.season else None,
        }
