"""Drift: whether forecasts of late were worse than the backtest promised, by series and in words."""

from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from forecast_assets.accuracy import YEAR, scores_between
from resources.lake import Lake


@dataclass(frozen=True)
class Fare:
    """How the forecasts of a series fare.

    Attributes:
        unique_id: The series.
        reasons: Why it counts as drifted, in words; none where it does not.
        recovered: Whether it is well clear of drift: one that wavers about the limit is not told of week by week.
        searched: The week whose search chose the configuration in use.
    """

    unique_id: str
    reasons: tuple[str, ...]
    recovered: bool
    searched: date


def fares(lake: Lake, week: date, *, tolerance: float) -> list[Fare]:
    """How the forecasts of every series of a week fared in the eight weeks to it, against the backtest.

    Args:
        lake: Where scores and leaderboards are.
        week: The newest that is scored.
        tolerance: Errors may be this many times those of the backtest.
    """
    from forecasting.monitoring import BIAS_WEEKS, bias_verdicts, coverage_verdicts, drift_verdicts

    trials = lake.read("tuning_trials", week)
    chosen = trials[trials["chosen"]].set_index("unique_id")
    recent = scores_between(lake, week - timedelta(weeks=BIAS_WEEKS - 1), week)
    year = scores_between(lake, week - timedelta(weeks=YEAR - 1), week)
    accuracy = drift_verdicts(recent, backtest_errors(lake, week), tolerance=tolerance).set_index("unique_id")
    bias = bias_verdicts(recent).set_index("unique_id")
    coverage = coverage_verdicts(year)
    found = []
    for name in [str(name) for name in chosen.index if name in accuracy.index]:
        reasons = []
        errors, lean = accuracy.loc[name], bias.loc[name]
        if not errors["passed"]:
            reasons.append(
                f"the mean absolute error of the last {errors['weeks']} weeks is {errors['mae']:,.0f} thousand barrels "
                f"per day, {errors['ratio']:.1f} times the {errors['expected']:,.0f} of the backtest"
            )
        if not lean["passed"]:
            side = "high" if lean["bias"] > 0 else "low"
            reasons.append(
                f"forecasts were {abs(lean['bias_percent']):.1f} % too {side} over the last {lean['weeks']} weeks"
            )
        reasons += [
            f"the {row.level:g} % interval held {row.coverage:.0%} of {row.weeks} weeks; {row.least:.0%} is due"
            for row in coverage[(coverage["unique_id"] == name) & ~coverage["passed"]].itertuples()
        ]
        clear = not reasons and not errors["ratio"] > (1 + tolerance) / 2
        searched = chosen["searched"].get(name, pd.Timestamp(week)) if "searched" in chosen else pd.Timestamp(week)
        found.append(Fare(name, tuple(reasons), clear, searched.date()))
    return found


def backtest_errors(lake: Lake, week: date) -> pd.DataFrame:
    """The cross-validated errors of the configurations that a week chose, at the weeks that were observed."""
    trials, errors = lake.read("tuning_trials", week), lake.read("tuning_errors", week)
    chosen = trials.loc[trials["chosen"], ["unique_id", "configuration"]]
    return errors[errors["observed"]].merge(chosen, on=["unique_id", "configuration"])
