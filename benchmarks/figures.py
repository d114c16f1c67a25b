"""The figures that both sides of a benchmark work on: the study's, prepared by the platform's own functions."""

import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.breaks import BreakRule, find_breaks
from forecasting.counterfactual import counterfactual

ROOT = Path(__file__).resolve().parents[1]
GASOLINE = "WGFUPUS2"
LAST = date(2023, 11, 10)
HELD_OUT = 26
COVID = BreakRule(
    name="covid-19",
    searched_from=date(2020, 3, 1),
    searched_to=date(2022, 12, 31),
    min_outliers=8,
    settled=date(2023, 5, 12),
    fitted_from=date(2013, 1, 1),
)


class MissingFiguresError(FileNotFoundError):
    """The folder of real figures is absent."""


def folder() -> Path:
    """The folder with one `<SERIES>.csv` of `date,value` per series, under `SHARED_DATA`.

    Raises:
        MissingFiguresError: It is not there.
    """
    found = (ROOT / os.environ.get("SHARED_DATA", "../shared/data") / "weekly").resolve()
    if not found.is_dir():
        raise MissingFiguresError(f"no EIA figures in {found}: set SHARED_DATA to the folder that holds `weekly`")
    return found


def history(unique_id: str) -> pd.DataFrame:
    """A whole series: unique_id, ds, y in thousand barrels per day."""
    table = pd.read_csv(folder() / f"{unique_id}.csv", parse_dates=["date"])
    return pd.DataFrame({"unique_id": unique_id, "ds": table["date"], "y": table["value"].astype(np.float64)})


def span(unique_id: str = GASOLINE) -> pd.DataFrame:
    """The 567 weeks from 2013 to 2023-11-10: unique_id, ds, y, counterfactual, replaced. The last 26 are held out."""
    weeks = history(unique_id)
    breaks = find_breaks(weeks, [COVID], last=LAST - timedelta(weeks=HELD_OUT))
    return counterfactual(weeks, breaks, span_start=COVID.fitted_from)


def trained_on(weeks: pd.DataFrame) -> pd.Series:
    """The counterfactual of a span as `forecasting.models.fit` takes it: values by Friday, named after the series."""
    name = str(weeks["unique_id"].iloc[0])
    return pd.Series(weeks["counterfactual"].to_numpy(np.float64), index=pd.DatetimeIndex(weeks["ds"]), name=name)
