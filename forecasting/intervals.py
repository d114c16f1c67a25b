"""Conformal calibration of the intervals from rolling-origin errors.

The score of a past forecast is how many of its own standard errors it missed by, on the log scale on which
the model is additive: |log y - log mean| / se. An interval of a level is then mean / exp(q se) .. mean *
exp(q se) with q the ceil((n + 1) level)-th smallest of n past scores. It needs no normal residuals, which the
tests of these models reject.

Sources: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World, and the split form of Lei
et al. (2018), Distribution-free predictive inference for regression, section 5.2 of which divides the score
by a local scale as here. The scores are in standard errors of their own horizon, hence comparable, and are
pooled over horizons: quantiles of a score of origins at each of 26 horizons are mostly noise. The guarantee of
at least the nominal coverage needs exchangeable scores. Errors of neighbouring origins overlap and are not,
and after a structural break few origins are left, so 52 scores of a normal distribution are mixed in, the
weight of two origins: with none the intervals are normal, with many they are conformal. The level is a target,
and coverage and width on held-out weeks are reported beside it; `benchmarks/accuracy` compares with others.
"""

from statistics import NormalDist

import numpy as np
import pandas as pd

from forecasting.errors import SeriesError


class TooFewErrorsError(SeriesError):
    """There are fewer past errors of observed weeks than a calibration needs."""


def conformal_scores(errors: pd.DataFrame, *, horizon: int = 26, prior: int = 52) -> list[list[float]]:
    """Give the sorted scores that calibrate the intervals.

    There is no fallback to normal intervals here. Where there is no score, the caller has to say so and record
    it: the artifact's `conformal` is then null and its intervals are normal.

    Args:
        errors: rows of `cross_validation.Evaluation.errors` of one series and the chosen configuration; only
            rows with `observed` count, at horizons up to `horizon`.
        horizon: largest horizon that counts.
        prior: number of scores of a normal distribution that are mixed in.

    Returns:
        One ascending list of scores (no unit), which serves every horizon.

    Raises:
        TooFewErrorsError: no observed errors.
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
    if usable.empty:
        raise TooFewErrorsError(
            names, "no past errors of observed weeks to calibrate with; evaluate more origins or use normal intervals"
        )
    positive = usable[["y", "mean", "se"]].gt(0).all(axis="columns")
    if not positive.all():
        row = usable[~positive].iloc[0]
        raise SeriesError(
            names,
            f"week {row['ds']:%Y-%m-%d}: value {row['y']}, mean {row['mean']}, se {row['se']}; all must be positive",
        )
    scores = (np.log(usable["y"]) - np.log(usable["mean"])).abs() / usable["se"]
    return [sorted([*scores.tolist(), *_half_normal(prior)])]


def _half_normal(n: int) -> list[float]:
    """The n scores that a normal distribution would give, evenly spread."""
    standard = NormalDist()
    return [standard.inv_cdf(0.5 + (i + 0.5) / n / 2) for i in range(n)]
