"""For those who read: the lake's tables as pandas frames."""

from datetime import date

import pandas as pd

from forecast_assets.accuracy import scores_between
from forecast_assets.lake import configured_lake
from resources.lake import Lake, LakeError


class NoForecastError(LakeError):
    """The lake has no forecast at all."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"the lake at {uri} has no forecast yet: run `forecast refresh`")


class NothingScoredError(LakeError):
    """No forecast of the weeks asked for has been scored."""

    def __init__(self, uri: str, first: date | None, last: date | None) -> None:
        span = f" from {first}" * (first is not None) + f" to {last}" * (last is not None)
        weeks = f" of weeks{span}" if span else ""
        super().__init__(
            f"the lake at {uri} has no scored forecast{weeks}: a forecast is scored as its weeks arrive; replay some "
            "weeks in a row, as in `forecast backfill --from 2022-11-11 --to 2023-11-10`"
        )


def load_forecast(week: date | str | None = None, *, lake: Lake | None = None) -> pd.DataFrame:
    """The forecast made in a week; the newest by default.

    Args:
        week: The cutoff, a Friday.
        lake: By default that of the settings.

    Returns:
        `unique_id, ds, cutoff, horizon, mean, lo-80, hi-80, ...`, in thousand barrels per day; `source` is `sample`
        where the figures are simulated.

    Raises:
        MissingTableError: The week has no forecast.
        NoForecastError: No week has one.
    """
    return _load("forecast", week, lake)


def load_observations(week: date | str | None = None, *, lake: Lake | None = None) -> pd.DataFrame:
    """The observations as they were known in a week; those of the newest forecast by default.

    Args:
        week: A Friday.
        lake: By default that of the settings.

    Returns:
        `unique_id, ds, y, source`, `y` in thousand barrels per day.

    Raises:
        MissingTableError: The week has no observations.
        NoForecastError: No week has a forecast.
    """
    return _load("observations", week, lake)


def load_accuracy(
    first: date | str | None = None, last: date | str | None = None, *, lake: Lake | None = None
) -> pd.DataFrame:
    """How earlier forecasts of some weeks fared, one row per series, week and cutoff.

    Args:
        first: The first of the weeks that were forecast; by default the first that was scored.
        last: The last of them; by default the last that was scored.
        lake: By default that of the settings.

    Returns:
        `unique_id, ds, cutoff, horizon, y, mean, error, absolute_error, scaled_error, pinball, inside-80, width-80,
        ..., naive, naive_error, interval, model, role, source`; errors in thousand barrels per day, positive where the
        forecast was too high.

    Raises:
        NothingScoredError: None of these weeks has a scored forecast.
    """
    lake = lake or configured_lake()
    first, last = (date.fromisoformat(week) if isinstance(week, str) else week for week in (first, last))
    scores = scores_between(lake, first, last)
    if scores.empty:
        raise NothingScoredError(lake.uri, first, last)
    return scores


def newest_forecast(lake: Lake) -> date:
    """The newest week with a forecast.

    Raises:
        NoForecastError: There is none.
    """
    weeks = lake.weeks("forecast")
    if not weeks:
        raise NoForecastError(lake.uri)
    return weeks[-1]


def _load(table: str, week: date | str | None, lake: Lake | None) -> pd.DataFrame:
    lake = lake or configured_lake()
    chosen = date.fromisoformat(week) if isinstance(week, str) else week
    return lake.read(table, chosen or newest_forecast(lake))
