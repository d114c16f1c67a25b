"""Weeks that have a forecast, made in a moment: without jobs, from models of a harmonic or none."""

import json
from datetime import date, timedelta

import numpy as np
import pandas as pd

from forecast_assets.artifacts import keep_candidate_models
from forecast_assets.forecasts import forecast_table
from forecasting import artifact, models
from forecasting.breaks import Break
from forecasting.configuration import Configuration
from resources.lake import Lake
from tests.world import SERIES, WEEK

SMALL = Configuration(harmonics=1, holidays=False)
LEVELS = (80.0, 90.0, 95.0)
WEEKS = tuple(WEEK - timedelta(weeks=back) for back in range(3, -1, -1))


def figures() -> pd.DataFrame:
    """Two series of 170 weeks with a season and noise, to `WEEK`."""
    rng = np.random.default_rng(5)
    ds = pd.date_range(end=WEEK, periods=170, freq="7D")
    season = 0.05 * np.sin(2 * np.pi * np.arange(170) / 52.18)
    return pd.concat(
        pd.DataFrame({"unique_id": name, "ds": ds, "y": level * np.exp(season + rng.normal(0, 0.02, 170))})
        for name, level in zip(SERIES, (9000, 300), strict=True)
    ).assign(source="file")


def make_week(
    lake: Lake, week: date, known: pd.DataFrame, *, configuration: Configuration = SMALL, role: str = "candidate"
) -> None:
    """The tables of a week that has a forecast, as its run leaves them."""
    known = known[known["ds"] <= pd.Timestamp(week)]
    span = known[known["ds"] > pd.Timestamp(week) - pd.Timedelta(weeks=160)]
    lake.write("observations", week, known)
    lake.write("counterfactual", week, span.drop(columns="source").assign(counterfactual=span["y"], replaced=False))
    lake.write("structural_break", week, pd.DataFrame(columns=list(Break.__dataclass_fields__)))
    entries = {
        name: models.fit(span[span["unique_id"] == name].set_index("ds")["y"].rename(name), configuration).entry
        for name in SERIES
    }
    made = artifact.build_artifact(entries, provenance={"week": week.isoformat()})
    files = {"forecaster.json": artifact.dumps(made).encode(), "fallback.json": json.dumps(entries).encode()}
    keep_candidate_models(lake, week, files)
    passing = list(SERIES) if role == "candidate" else []
    lake.write("forecast", week, forecast_table(made, horizon=26, levels=LEVELS, passing=passing, source="file"))
