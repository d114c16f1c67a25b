"""Ways to turn past errors into intervals; each gives what an artifact holds as `conformal`, or None for normal ones.

Every way takes the errors of one series and one model: unique_id, configuration, cutoff, horizon, y, mean, se and
observed. It returns ascending scores by horizon.
"""

from collections.abc import Callable, Mapping
from statistics import NormalDist
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import intervals

Floats = npt.NDArray[np.float64]
Scores = list[list[float]]
Calibration = Callable[[pd.DataFrame, int], Scores | None]

_STANDARD_NORMAL: Final = NormalDist()


def normal(errors: pd.DataFrame, horizon: int) -> None:
    """Normal intervals, whatever the past errors were."""
    del errors, horizon


def platform(errors: pd.DataFrame, horizon: int) -> Scores | None:
    """What the platform publishes."""
    try:
        return intervals.conformal_scores(errors, horizon=horizon)
    except intervals.TooFewErrorsError:
        return None


def by_horizon(minimum: int = 40) -> Calibration:
    """Scores of each horizon, with those of its neighbours until there are enough.

    Args:
        minimum: scores per horizon.
    """

    def calibrate(errors: pd.DataFrame, horizon: int) -> Scores | None:
        usable = errors[errors["observed"]]
        if len(usable) < minimum:
            return None
        scores, horizons = normalised(usable), usable["horizon"].to_numpy()
        found = []
        for h in range(1, horizon + 1):
            near = next(reach for reach in range(horizon) if (abs(horizons - h) <= reach).sum() >= minimum)
            found.append(np.sort(scores[abs(horizons - h) <= near]).tolist())
        return found

    return calibrate


def pooled(*, prior: int = 0, half_life: float | None = None) -> Calibration:
    """Scores of all horizons together: in standard errors of their own horizon they are comparable.

    Args:
        prior: number of scores of a normal distribution that are mixed in; 26 weigh as much as one whole origin.
        half_life: weeks after which an origin counts half (Barber et al. 2023, Conformal prediction beyond
            exchangeability); None counts all alike.
    """

    def calibrate(errors: pd.DataFrame, horizon: int) -> Scores | None:
        usable = errors[errors["observed"] & errors["horizon"].between(1, horizon)]
        scores = normalised(usable)
        if half_life is None:
            found = np.sort(np.concatenate([scores, half_normal(prior)]))
        else:
            age = (usable["cutoff"].max() - usable["cutoff"]).dt.days.to_numpy() / 7
            found = _weighted(scores, 0.5 ** (age / half_life), prior)
        return [found.tolist()] if len(found) else None

    return calibrate


def normalised(errors: pd.DataFrame) -> Floats:
    """How many of its own standard errors each forecast missed by, on the log scale."""
    misses: Floats = (np.log(errors["y"]) - np.log(errors["mean"])).abs().to_numpy() / errors["se"].to_numpy()
    return misses


def half_normal(n: int) -> Floats:
    """The n scores that a normal distribution would give, evenly spread.

    >>> half_normal(1).round(4)
    array([0.6745])
    """
    return np.array([_STANDARD_NORMAL.inv_cdf(0.5 + (i + 0.5) / n / 2) for i in range(n)])


def _weighted(scores: Floats, weights: Floats, prior: int, *, n: int = 199) -> Floats:
    """Evenly weighted scores with the quantiles of weighted ones."""
    values = np.concatenate([scores, half_normal(prior)])
    if not len(values):
        return values
    order = np.argsort(values)
    mass = np.concatenate([weights, np.ones(prior)])[order]
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    quantiles: Floats = np.interp(np.arange(1, n + 1) / (n + 1), middle, values[order])
    return quantiles


CALIBRATIONS: Final[Mapping[str, Calibration]] = MappingProxyType(
    {
        "platform": platform,
        "normal": normal,
        "by horizon": by_horizon(),
        "pooled, no prior": pooled(),
        "pooled, prior 130": pooled(prior=130),
        "pooled, half-life 104": pooled(prior=52, half_life=104),
    }
)
