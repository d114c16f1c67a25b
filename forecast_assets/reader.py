"""For those who read: the lake's tables as pandas frames."""

from datetime import date

import pandas as pd

from forecast_assets.settings import load_settings
from resources.lake import Lake, LakeError


class NoForecastError(LakeError):
    """The lake has no forecast at all."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"the lake at {uri} has no forecast yet: run `forecast refresh`")


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
    lake = lake or Lake(uri=load_settings().lake_uri)
    chosen = date.fromisoformat(week) if isinstance(week, str) else week
    return lake.read(table, chosen or newest_forecast(lake))
