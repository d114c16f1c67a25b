"""How forecasts fared, as a terminal shows it and as JSON."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from forecasting.accuracy import summarize
from forecasting.columns import levels_in

# What a row may be of: its column, and its heading.
_KEYS = {
    "series": ("unique_id", "Series"),
    "horizon": ("horizon", "Ahead"),
    "model": ("model", "Model"),
    "week": ("ds", "Week"),
}


def as_rows(scores: pd.DataFrame, *, by: str) -> dict[str, Any]:
    """Scores summarized as `{first, last, source, rows: [{unique_id, ..., n, weeks, mae, ...}]}`, null for no value.

    Args:
        scores: What `accuracy.score` gave, some rows.
        by: What a row is of: series, horizon, model or week, within its series.
    """
    summary = _summary(scores, by)
    if "ds" in summary:
        summary = summary.assign(ds=summary["ds"].dt.strftime("%Y-%m-%d"))
    return {
        "first": scores["ds"].min().date().isoformat(),
        "last": scores["ds"].max().date().isoformat(),
        "source": str(scores["source"].iloc[-1]),
        "rows": json.loads(summary.to_json(orient="records", double_precision=10)),
    }


def as_grids(scores: pd.DataFrame, *, by: str) -> Iterator[Table]:
    """Scores summarized as a table per series, or as one of all series where they are the rows; arguments as there."""
    column, heading = _KEYS[by]
    span = f"weeks {scores['ds'].min():%Y-%m-%d} to {scores['ds'].max():%Y-%m-%d}, thousand barrels per day"
    span += ", [bold yellow]SIMULATED[/]" if (scores["source"] == "sample").any() else ""
    for series, own in [("Forecasts", scores)] if by == "series" else scores.groupby("unique_id", sort=True):
        rows = _summary(own, by)
        levels = levels_in(rows, "coverage-")
        grid = Table(title=f"{series!s} of {span}", title_justify="left", box=None, header_style="bold")
        grid.add_column(heading, no_wrap=True)
        for each in ("n", "MAE", "Of naive", "MASE", "Bias %", "Pinball", *(f"In {level} %" for level in levels)):
            grid.add_column(each, justify="right", no_wrap=True)
        for row in rows.to_dict("records"):
            grid.add_row(*_cells({str(name): value for name, value in row.items()}, column, levels))
        yield grid


def _summary(scores: pd.DataFrame, by: str) -> pd.DataFrame:
    return summarize(scores, list(dict.fromkeys(["unique_id", _KEYS[by][0]])))


def _cells(row: dict[str, Any], column: str, levels: list[str]) -> Iterator[str]:
    yield f"{row[column]:%Y-%m-%d}" if column == "ds" else escape(str(row[column]))
    formats = {"n": ",", "mae": ",.0f", "relative": ".3f", "mase": ".3f", "bias_percent": "+.1f", "pinball": ",.1f"}
    for name, shape in (formats | dict.fromkeys([f"coverage-{level}" for level in levels], ".0%")).items():
        yield "" if pd.isna(row[name]) else format(row[name], shape)
