"""Conformal calibration of the intervals, by horizon, from rolling-origin errors.

The score of a past forecast is how many of its own standard errors it missed by, on the log scale on which
the model is additive: |log y - log mean| / se. An interval of a level is then mean / exp(q se) .. mean *
exp(q se) with q the ceil((n + 1) level)-th smallest of n past scores of that horizon. It needs no normal
residuals, which the tests of these models reject.

Sources: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World, and the split form of Lei
et al. (2018), Distribution-free predictive inference for regression, section 5.2 of which divides the score
by a local scale as here; one calibration per horizon is that of Stankeviciute, Alaa and van der Schaar
(2021), Conformal time-series forecasting, without their correction for joint coverage: the coverage stated is
that of each week, not of the whole path. The guarantee of at least the nominal coverage needs exchangeable
scores. Errors of neighbouring origins overlap and are not, so the level is a target, and coverage and width
on held-out weeks are reported beside it.
"""

import numpy as np
import pandas as pd

from forecasting.errors import SeriesError


class TooFewErrorsError(SeriesError):
    """There are fewer past errors of observed weeks than a calibration needs."""


def conformal_scores(errors: pd.DataFrame, *, horizon: int = 26, minimum: int = 40) -> list[list[float]]:
    """Give the sorted scores that calibrate each horizon.

    A horizon with fewer than `minimum` scores borrows those of its neighbours, as many horizons on the one
    side as on the other where both exist, until there are enough: the scores are in standard errors of their
    own horizon, hence comparable.

    There is no fallback to normal intervals here. Where even all horizons together have too few scores, the
    caller has to say so and record it: the artifact's `conformal` is then null and its intervals are normal.

    Args:
        errors: rows of `cross_validation.Evaluation.errors` of one series and the chosen configuration; only
            rows with `observed` count, at horizons up to `horizon`.
        horizon: number of horizons to calibrate.
        minimum: scores per horizon, at least 1. With n scores the widest supported level is n / (n + 1).

    Returns:
        `horizon` ascending lists of scores (no unit), for horizons 1, 2, ...

    Raises:
        TooFewErrorsError: fewer than `minimum` observed errors over all horizons.
        SeriesError: the rows are of several series or configurations, or a row has no positive mean, value or
            standard error.
    """
    trials = errors[["unique_id", "configuration"]].drop_duplicates()
    names = ", ".join(trials["unique_id"].astype(str).unique()) or "no series"
    if len(trials) > 1:
        raise SeriesError(
            names, f"{len(trials)} trials handed over; calibrate one series and one configuration at a time"
        )
    usable = errors[errors["observed"] & errors["horizon"].between(1, horizon)]
    if len(usable) < minimum:
        raise TooFewErrorsError(
            names,
            f"{len(usable)} past errors of observed weeks, a conformal calibration needs {minimum}; "
            "evaluate more origins or use normal intervals",
        )
    positive = usable[["y", "mean", "se"]].gt(0).all(axis="columns")
    if not positive.all():
        row = usable[~positive].iloc[0]
        raise SeriesError(
            names,
            f"week {row['ds']:%Y-%m-%d}: value {row['y']}, mean {row['mean']}, se {row['se']}; all must be positive",
        )
    scores = (np.log(usable["y"]) - np.log(usable["mean"])).abs() / usable["se"]
    by_horizon = {int(h): group.tolist() for h, group in scores.groupby(usable["horizon"])}
    return [_pooled(by_horizon, h, horizon=horizon, minimum=minimum) for h in range(1, horizon + 1)]


def _pooled(by_horizon: dict[int, list[float]], h: int, *, horizon: int, minimum: int) -> list[float]:
    for reach in range(horizon):
        near = range(max(1, h - reach), min(horizon, h + reach) + 1)
        pooled = sorted(score for neighbour in near for score in by_horizon.get(neighbour, []))
        if len(pooled) >= minimum:
            break
    return pooled
