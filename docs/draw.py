# ruff: noqa: INP001 - a program of its own; docs/ is no package
"""Draw the pictures of the concepts from real figures: `python docs/draw.py FOLDER`, a folder with `WGFUPUS2.csv`.

The drawings beside them (`*.svg`) are written by hand. Pictures of the UI are taken from the UI.
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from forecasting import plots
from forecasting.breaks import BreakRule, find_breaks
from forecasting.counterfactual import counterfactual
from forecasting.outliers import flag_outliers
from forecasting.span import span_start

SERIES = "WGFUPUS2"
WEEK = date(2023, 11, 10)
HELD_OUT_WEEKS, TRAINING_WEEKS = 26, 567
COVID = BreakRule(
    name="covid-19",
    searched_from=date(2020, 3, 1),
    searched_to=date(2022, 12, 31),
    min_outliers=8,
    settled=date(2023, 5, 12),
    fitted_from=date(2013, 1, 1),
)
IMAGES = Path(__file__).parent / "images"


def main(folder: Path) -> None:
    """Write `break.png` and `counterfactual.png`, as the platform draws them for `WEEK`."""
    read = pd.read_csv(folder / f"{SERIES}.csv", parse_dates=["date"])
    history = pd.DataFrame({"unique_id": SERIES, "ds": read["date"], "y": read["value"].astype("float64")})
    history = history[history["ds"] <= pd.Timestamp(WEEK)]
    last = WEEK - timedelta(weeks=HELD_OUT_WEEKS)
    flags = flag_outliers(history[history["ds"] <= pd.Timestamp(last)])
    breaks = find_breaks(history, [COVID], last=last)
    (IMAGES / "break.png").write_bytes(plots.series_with_outliers(history, flags, breaks))
    replaced = counterfactual(history, breaks, span_start=span_start(WEEK, weeks=TRAINING_WEEKS))
    (IMAGES / "counterfactual.png").write_bytes(plots.counterfactual(replaced))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
