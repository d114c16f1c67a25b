"""Whether scores of forecasts are worse than chance explains: coverage of the intervals, bias, and drift.

The 26 forecasts of one week share its surprise, and forecasts of one cutoff share theirs: they are not 26 pieces of
evidence. The rules therefore work on one number per target week.
"""

import pandas as pd

from forecasting.columns import levels_in
from forecasting.scoring import hac_standard_error

MIN_COVERAGE_WEEKS = 26
"""Target weeks below which coverage is not judged: each counts for four per cent."""

BIAS_WEEKS = 8
"""Target weeks that bias and drift are judged by."""

BIAS_LAGS = 2
BIAS_ERRORS = 3.5
BIAS_SHARE = 0.01


def coverage_verdicts(scores: pd.DataFrame, *, risk: float = 0.05) -> pd.DataFrame:
    """Whether the intervals hold as many weeks as they promise.

    A level fails where so low a coverage in as many independent weeks has a chance below `risk`, shared out among all
    series and levels (Bonferroni): the proportion-of-failures test of Kupiec (1995), Techniques for verifying the
    accuracy of risk measurement models, J. Derivatives 3(2), one-sided and exact, with target weeks for observations.
    Fewer than 26 target weeks are not judged.

    Args:
        scores: What `accuracy.score` gave, of several weeks.
        risk: Chance of any false alarm at one time.

    Returns:
        One row per series and level: `unique_id`, `level` (per cent), `weeks` (target weeks with such an interval),
        `coverage` (mean over weeks of the share inside), `least` (the lowest coverage that chance allows; NaN where
        there are too few weeks), `passed`.
    """
    from scipy.stats import binom

    levels = levels_in(scores, "inside-")
    tests = max(1, scores["unique_id"].nunique() * len(levels))
    rows = []
    for unique_id, own in scores.groupby("unique_id", sort=True):
        for level in levels:
            shares = own.groupby("ds")[f"inside-{level}"].mean().dropna()
            weeks, coverage = len(shares), float(shares.mean()) if len(shares) else float("nan")
            least = float("nan")
            if weeks >= MIN_COVERAGE_WEEKS:
                least = float(binom.ppf(risk / tests, weeks, float(level) / 100)) / weeks
            # A share of 26 forecasts that is 0.1 below by rounding is not below.
            passed = not coverage < least - 1e-9
            rows.append((unique_id, float(level), weeks, coverage, least, passed))
    return pd.DataFrame(rows, columns=["unique_id", "level", "weeks", "coverage", "least", "passed"])


def bias_verdicts(scores: pd.DataFrame) -> pd.DataFrame:
    """Whether the forecasts of the last eight weeks were too high, or too low, on the whole.

    A series is biased where its mean error over the last 8 target weeks exceeds both one per cent of what was observed
    and three and a half standard errors: the two-sided 1 % point of Student's t with 7 degrees of freedom. The standard
    error is Newey and West's (1987), since neighbouring weeks share nearly all cutoffs that forecast them, with 2 lags,
    their rule of thumb 4 (n / 100)^(2/9). Over 2018 and 2019, on seven series of the report, this warned in 5 % of the
    series and weeks; two standard errors would have in 23 %.
    Fewer than 8 target weeks are not judged.

    Args:
        scores: What `accuracy.score` gave, of several weeks.

    Returns:
        One row per series: `unique_id`, `weeks` (at most 8), `bias` (mean error, the unit of the series),
        `standard_error`, `bias_percent` (of the mean of y), `passed`.
    """
    rows = []
    for unique_id, own in scores.groupby("unique_id", sort=True):
        last = own.groupby("ds")[["error", "y"]].mean().sort_index().tail(BIAS_WEEKS)
        errors = last["error"].to_numpy()
        bias, level = float(errors.mean()), float(last["y"].mean())
        standard_error = hac_standard_error(errors, lags=BIAS_LAGS)
        biased = len(last) == BIAS_WEEKS and abs(bias) > max(BIAS_ERRORS * standard_error, BIAS_SHARE * level)
        rows.append((unique_id, len(last), bias, standard_error, 100 * bias / level, not biased))
    return pd.DataFrame(rows, columns=["unique_id", "weeks", "bias", "standard_error", "bias_percent", "passed"])


def drift_verdicts(scores: pd.DataFrame, backtest: pd.DataFrame, *, tolerance: float) -> pd.DataFrame:
    """Whether the forecasts of the last eight weeks were worse than the backtest of their configuration promised.

    The backtest is the cross-validation that chose the configuration. It errs more the further ahead it forecasts, so
    what is expected of a week is its mean absolute error at the horizons of the forecasts that there are of that week:
    a young lake has near ones only. Fewer than 8 target weeks are not judged.

    Args:
        scores: What `accuracy.score` gave, of several weeks.
        backtest: Errors of the configuration in use, see `cross_validation.Evaluation`: `unique_id, horizon, y, mean`.
        tolerance: Recent errors may be this many times as large.

    Returns:
        One row per series: `unique_id`, `weeks` (at most 8), `mae` and `expected` (mean absolute error, the unit of the
        series; NaN where the backtest has none of the series), `ratio`, `passed`.
    """
    per_horizon = (
        (backtest["mean"] - backtest["y"])
        .abs()
        .groupby([backtest["unique_id"], backtest["horizon"]])
        .mean()
        .rename("expected")
        .reset_index()
    )
    compared = scores.merge(per_horizon, on=["unique_id", "horizon"], how="left")
    rows = []
    for unique_id, own in compared.groupby("unique_id", sort=True):
        last = own.groupby("ds")[["absolute_error", "expected"]].mean().sort_index().tail(BIAS_WEEKS)
        mae, expected = float(last["absolute_error"].mean()), float(last["expected"].mean())
        ratio = mae / expected if expected > 0 else float("nan")
        drifted = len(last) == BIAS_WEEKS and ratio > tolerance
        rows.append((unique_id, len(last), mae, expected, ratio, not drifted))
    return pd.DataFrame(rows, columns=["unique_id", "weeks", "mae", "expected", "ratio", "passed"])
