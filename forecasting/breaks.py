"""Structural breaks: a span of weeks that says nothing about the weeks after it, found by its outliers."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date

import pandas as pd

from forecasting.errors import ConfigurationError, SeriesTooShortError
from forecasting.outliers import FENCE, PERIOD, flag_outliers

NEEDED_WEEKS = 104
"""Two full seasons before a break: fewer say too little about what it replaced."""


@dataclass(frozen=True)
class BreakRule:
    """Where a break is looked for.

    Attributes:
        name: A label, such as covid-19.
        searched_from: Outliers count from this day on.
        searched_to: Outliers count up to this day.
        min_outliers: With fewer there is no break.
        settled: From this day on the break stays as found that day.
        fitted_from: The counterfactual learns from the weeks between this day and the break.

    Raises:
        ConfigurationError: The days are out of order, or no outlier is asked for.
    """

    name: str
    searched_from: date
    searched_to: date
    min_outliers: int
    settled: date
    fitted_from: date

    def __post_init__(self) -> None:
        if not self.fitted_from < self.searched_from <= self.searched_to <= self.settled:
            raise ConfigurationError(
                f"break {self.name}: days must run fitted_from < searched_from <= searched_to <= settled, "
                f"not {self.fitted_from}, {self.searched_from}, {self.searched_to}, {self.settled}"
            )
        if self.min_outliers < 1:
            raise ConfigurationError(f"break {self.name}: min_outliers {self.min_outliers}; it is at least 1")


@dataclass(frozen=True)
class Break:
    """The span of a break in one series, from its first outlier to its last.

    Attributes:
        unique_id: The series.
        name: The rule's.
        start: First week, a Friday.
        end: Last week, a Friday.
        weeks: Weeks with a figure from the first to the last.
        outliers: How many of them are outliers.
        share: outliers / weeks.
        fitted_from: The rule's: the counterfactual learns from the weeks between this day and the start.
    """

    unique_id: str
    name: str
    start: date
    end: date
    weeks: int
    outliers: int
    share: float
    fitted_from: date


def find_break(flags: pd.DataFrame, rule: BreakRule) -> Break | None:
    """The break of one series, or None where there are too few outliers.

    Args:
        flags: What `flag_outliers` gave for one series.
        rule: Where to look.

    Raises:
        SeriesTooShortError: Fewer than 104 weeks lie between `fitted_from` and the break.
    """
    ds = flags["ds"]
    found = ds[flags["outlier"] & ds.between(pd.Timestamp(rule.searched_from), pd.Timestamp(rule.searched_to))]
    if len(found) < rule.min_outliers:
        return None
    unique_id = str(flags["unique_id"].iloc[0])
    start, end = found.min(), found.max()
    before = int(((ds >= pd.Timestamp(rule.fitted_from)) & (ds < start)).sum())
    if before < NEEDED_WEEKS:
        raise SeriesTooShortError(
            unique_id, before, NEEDED_WEEKS, f"break {rule.name} ({rule.fitted_from} to {start.date()})"
        )
    weeks = int(ds.between(start, end).sum())
    share = len(found) / weeks
    return Break(unique_id, rule.name, start.date(), end.date(), weeks, len(found), share, rule.fitted_from)


def find_breaks(
    history: pd.DataFrame,
    rules: Iterable[BreakRule],
    *,
    last: date,
    period: int = PERIOD,
    fence: float = FENCE,
) -> pd.DataFrame:
    """The breaks of every series, as they were known on a day.

    A rule sees the weeks up to `last`, and none after its settling day: from then on its break no longer moves.

    Args:
        history: `unique_id`, `ds` (Fridays), `y` (thousand barrels per day).
        rules: Where to look.
        last: The last day that is known.
        period: Length of the season, weeks.
        fence: Distance of the fences from the quartiles of the remainder, interquartile ranges.

    Returns:
        `unique_id`, `name`, `start`, `end` (datetime64), `weeks`, `outliers`, `share`, `fitted_from`
        (datetime64); no row where there is no break.

    Raises:
        SeriesError: A series cannot be decomposed.
        SeriesTooShortError: A series, or its part before a break, is too short.
    """
    found: list[Break] = []
    flags_by_day: dict[date, pd.DataFrame] = {}
    for rule in rules:
        if last < rule.searched_from:
            continue
        day = min(rule.settled, last)
        if day not in flags_by_day:
            flags_by_day[day] = flag_outliers(history[history["ds"] <= pd.Timestamp(day)], period=period, fence=fence)
        for _, flags in flags_by_day[day].groupby("unique_id", sort=True):
            one = find_break(flags, rule)
            if one is not None:
                found.append(one)
    columns = list(Break.__dataclass_fields__)
    table = pd.DataFrame([asdict(one) for one in found], columns=columns)
    days = dict.fromkeys(["start", "end", "fitted_from"], "datetime64[us]")
    return table.astype(
        {"unique_id": "str", "name": "str", **days, "weeks": "int64", "outliers": "int64", "share": "float64"}
    )
