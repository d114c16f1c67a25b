"""The figures as they stood in a week, and what came after them.

A world holds what the platform would have known: the training span that ends with the week, with the breaks found in
the weeks before its held-out ones, exactly as the assets and the processing job make it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from forecasting.breaks import BreakRule, find_breaks
from forecasting.counterfactual import counterfactual
from forecasting.span import span_start, split_by_length

EXAM_WEEKS = 26
"""The newest released weeks are left unread: nothing is chosen on them."""


@dataclass(frozen=True)
class Period:
    """A stretch of origins that is reported apart.

    Attributes:
        name: as tables name it.
        first: earliest origin, a Friday.
        last: latest origin; None where it is the last one with a whole horizon of figures after it.
    """

    name: str
    first: date
    last: date | None


PERIODS = (
    Period("2014-2016", date(2014, 1, 3), date(2016, 12, 30)),
    # The last origin whose 26 weeks end before the pandemic.
    Period("2018-2019", date(2018, 1, 5), date(2019, 8, 30)),
    Period("from 2022-09", date(2022, 9, 2), None),
)


@dataclass(frozen=True)
class Rules:
    """The platform's settings that shape a backtest; lengths in weeks.

    Attributes:
        horizon: weeks forecast, and weeks held out of tuning.
        training_weeks: length of the training span.
        window: length of a training window of the search.
        step: between the origins of the search.
        season_length: of a year.
        max_harmonics: largest number of Fourier pairs tried.
        fence: distance of the outliers' fences, interquartile ranges.
        breaks: where structural breaks are looked for.
    """

    horizon: int
    training_weeks: int
    window: int
    step: int
    season_length: float
    max_harmonics: int
    fence: float
    breaks: tuple[BreakRule, ...]


@dataclass(frozen=True)
class World:
    """One week as it was known.

    Attributes:
        week: the last week that is known, a Friday.
        span: unique_id, ds, y, counterfactual, replaced of every series with a whole training span.
    """

    week: date
    span: pd.DataFrame


def read_series(folder: Path) -> pd.DataFrame:
    """Every series to the last week before the exam.

    Args:
        folder: holds `weekly/<series>.csv` and `releases/<series>.csv` with columns date, value.

    Returns:
        unique_id, ds (Fridays), y (thousand barrels per day), in order of series and week.
    """
    frames = []
    for path in sorted((folder / "weekly").glob("*.csv")):
        released = pd.read_csv(folder / "releases" / path.name).iloc[:-EXAM_WEEKS]
        rows = pd.concat([pd.read_csv(path), released], ignore_index=True)
        ds = pd.to_datetime(rows["date"]).astype("datetime64[us]")
        frames.append(pd.DataFrame({"unique_id": path.stem, "ds": ds, "y": rows["value"].astype("float64")}))
    return pd.concat(frames, ignore_index=True)


def weeks_of(period: Period, *, newest: date, horizon: int, step: int) -> list[date]:
    """The origins of a period: every `step` weeks, each with a whole horizon of figures up to `newest` after it."""
    last = newest - timedelta(weeks=horizon)
    if period.last is not None:
        last = min(last, period.last)
    return [day.date() for day in pd.date_range(period.first, last, freq=f"{7 * step}D")]


def world(history: pd.DataFrame, week: date, rules: Rules) -> World:
    """The world of a week: nothing after it is looked at.

    Args:
        history: unique_id, ds, y; may reach beyond the week.
        week: a Friday.
        rules: the platform's settings.
    """
    start = span_start(week, weeks=rules.training_weeks)
    known = history[history["ds"] <= pd.Timestamp(week)]
    known, _ = split_by_length(known, start=start, week=week)
    last = week - timedelta(weeks=rules.horizon)
    breaks = find_breaks(known, rules.breaks, last=last, fence=rules.fence)
    return World(week, counterfactual(known, breaks, span_start=start))


def scored_weeks(history: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """What forecasts are compared with: unique_id, ds, y of the weeks outside the breaks as they are known today.

    A week inside a break is no target: no model claims to forecast it, and the platform does not score itself on it.
    """
    newest = history["ds"].max().date()
    breaks = find_breaks(history, rules.breaks, last=newest, fence=rules.fence)
    outside = pd.Series(True, index=history.index)
    for unique_id, start, end in breaks[["unique_id", "start", "end"]].itertuples(index=False):
        outside &= ~((history["unique_id"] == unique_id) & history["ds"].between(start, end))
    return history.loc[outside, ["unique_id", "ds", "y"]].reset_index(drop=True)


def worlds(history: pd.DataFrame, weeks: Sequence[date], rules: Rules) -> dict[date, World]:
    """The worlds of several weeks."""
    return {week: world(history, week, rules) for week in weeks}
