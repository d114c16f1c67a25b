# ruff: noqa: INP001 - a program of its own; docs/ is no package
"""Draw the pictures of the concepts from real figures: `python docs/draw.py FOLDER`, a folder with `WGFUPUS2.csv`.

The drawings beside them (`*.svg`) are written by hand. Pictures of the UI are taken from the UI.
"""

import sys
from datetime import date
from pathlib import Path

import pandas as pd

from forecast_assets.quality import break_rules, last_tuned_week
from forecast_assets.settings import load_settings
from forecasting import plots
from forecasting.breaks import find_breaks
from forecasting.counterfactual import counterfactual
from forecasting.outliers import flag_outliers
from forecasting.span import span_start

SERIES = "WGFUPUS2"
WEEK = date(2023, 11, 10)
IMAGES = Path(__file__).parent / "images"


def main(folder: Path) -> None:
    """Write `break.png` and `counterfactual.png`, as the platform draws them for `WEEK`."""
    read = pd.read_csv(folder / f"{SERIES}.csv", parse_dates=["date"])
    history = pd.DataFrame({"unique_id": SERIES, "ds": read["date"], "y": read["value"].astype("float64")})
    history = history[history["ds"] <= pd.Timestamp(WEEK)]
    settings = load_settings()
    last = last_tuned_week(WEEK, horizon=settings.horizon)
    flags = flag_outliers(history[history["ds"] <= pd.Timestamp(last)])
    breaks = find_breaks(history, break_rules(settings), last=last)
    (IMAGES / "break.png").write_bytes(plots.series_with_outliers(history, flags, breaks))
    replaced = counterfactual(history, breaks, span_start=span_start(WEEK, weeks=settings.training_weeks))
    (IMAGES / "counterfactual.png").write_bytes(plots.counterfactual(replaced))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
