"""Figures of forecasts: the fan, how earlier ones fared, and why this one differs from the last."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from forecasting.changes import PARTS
from forecasting.plots.style import STYLE, bands, legend, levels_of, one_series, png, single, thousands, volumes
from forecasting.schema import UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS: Final = {
    "new_data": STYLE["forecast"],
    "revised_data": STYLE["bands"][1],
    "hyper_parameters": STYLE["replaced"],
    "new_code": STYLE["champion"],
}


def fan_chart(
    history: pd.DataFrame, forecast: pd.DataFrame, *, actual: pd.DataFrame | None = None, weeks: int = 104
) -> bytes:
    """Draw a forecast with its intervals after the end of the history.

    Args:
        history: unique_id, ds, y of one series up to the cutoff.
        forecast: unique_id, ds, cutoff, mean, and lo-80, hi-80 and so on for every level there is.
        actual: unique_id, ds, y of weeks that came since, if any.
        weeks: how much of the history to draw.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(history, forecast, *([] if actual is None else [actual]))
    cutoff = pd.Timestamp(forecast["cutoff"].iloc[0])
    since = "" if actual is None else ", and what came since"
    figure, axes = single(f"{unique_id}: {len(forecast)} weeks forecast after {cutoff:%Y-%m-%d}{since}")
    tail = history.sort_values("ds").tail(weeks)
    axes.plot(tail["ds"], tail["y"], color=STYLE["observed"], linewidth=1.2, label="Observed")
    bands(axes, forecast, levels_of(forecast, "lo-"))
    axes.plot(forecast["ds"], forecast["mean"], color=STYLE["forecast"], linewidth=1.8, label="Forecast")
    if actual is not None:
        axes.plot(actual["ds"], actual["y"], "o", color=STYLE["replaced"], markersize=4, label="Came since")
    axes.axvline(cutoff, color=STYLE["muted"], linewidth=1, linestyle=":")  # type: ignore[arg-type]
    volumes(axes)
    legend(figure, axes)
    return png(figure)


def coverage_by_horizon(scores: pd.DataFrame) -> bytes:
    """Draw how many weeks fell inside the intervals, by how far ahead they were forecast, beside what was promised.

    Args:
        scores: unique_id, ds, horizon, and inside-80 (1 or 0) and so on for every level, one row per forecast.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(scores)
    figure, axes = single(f"{unique_id}: coverage by horizon, {_span(scores)}")
    levels = levels_of(scores, "inside-")
    shares = 100 * scores.groupby("horizon")[[f"inside-{level}" for level in levels]].mean()
    for level, colour in zip(levels, _shades(len(levels)), strict=True):
        own = shares[f"inside-{level}"].dropna()
        axes.plot(own.index, own, "o-", color=colour, markersize=3.5, linewidth=1.5, label=f"{level} % interval")
        axes.axhline(float(level), color=colour, linewidth=1.2, linestyle="--")
    axes.plot([], [], color=STYLE["muted"], linewidth=1.2, linestyle="--", label="Promised")
    # From 50 up, where the lines are; lower only where one falls below.
    axes.set_ylim(min(50.0, float(shares.min().min()) - 2), 102)
    axes.set_ylabel("Weeks inside, %", fontsize=STYLE["text_size"])
    _horizons(axes, scores)
    legend(figure, axes)
    return png(figure)


def error_by_horizon(scores: pd.DataFrame) -> bytes:
    """Draw the mean absolute error of forecasts and of the seasonal naive, by how far ahead, and the bias.

    Args:
        scores: unique_id, ds, horizon, error, absolute_error and naive_error, one row per forecast.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(scores)
    figure, axes = single(f"{unique_id}: error by horizon, {_span(scores)}")
    groups = scores.assign(naive=scores["naive_error"].abs()).groupby("horizon")
    means = groups[["absolute_error", "naive", "error"]].mean()
    lines = {
        "naive": ("Seasonal naive, MAE", STYLE["seasonal_naive"], "-"),
        "absolute_error": ("Forecast, MAE", STYLE["forecast"], "-"),
        "error": ("Forecast, bias", STYLE["replaced"], ":"),
    }
    for column, (text, colour, line) in lines.items():
        axes.plot(means.index, means[column], color=colour, linestyle=line, marker="o", markersize=3.5, label=text)
    axes.axhline(0, color=STYLE["muted"], linewidth=0.8)
    thousands(axes)
    axes.set_ylabel(UNIT.capitalize(), fontsize=STYLE["text_size"])
    _horizons(axes, scores)
    legend(figure, axes)
    return png(figure)


def change_bars(changes: pd.DataFrame) -> bytes:
    """Draw why the forecast of each week changed: the parts of the change stacked, and the change itself.

    Args:
        changes: What `changes.decompose` gave for one series.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(changes)
    newest = changes["ds"].min() - pd.Timedelta(weeks=int(changes["horizon"].min()))
    figure, axes = single(f"{unique_id}: why the forecast of {newest:%Y-%m-%d} differs from the week before's")
    axes.use_sticky_edges = False  # where one part ends and the next begins is no edge of the plot
    above, below = np.zeros(len(changes)), np.zeros(len(changes))
    for part, colour in _PARTS.items():
        values = changes[part].to_numpy()
        axes.bar(
            changes["ds"],
            values,
            width=5,
            bottom=np.where(values >= 0, above, below),
            color=colour,
            label=PARTS[part].capitalize(),
        )
        above, below = above + values.clip(min=0), below + values.clip(max=0)
    axes.plot(changes["ds"], changes["change"], "o-", color=STYLE["ink"], markersize=3.5, linewidth=1.2, label="Change")
    axes.axhline(0, color=STYLE["muted"], linewidth=0.8)
    volumes(axes)
    axes.yaxis.set_major_formatter("{x:,g}")  # changes may be smaller than one
    legend(figure, axes)
    return png(figure)


def _span(scores: pd.DataFrame) -> str:
    weeks = scores["ds"].nunique()
    return f"{weeks} week{'s' if weeks > 1 else ''} to {scores['ds'].max():%Y-%m-%d}"


def _shades(n: int) -> list[Any]:
    """Blues for n levels, the widest the lightest, as bands are, yet dark enough for a line."""
    from matplotlib.colors import LinearSegmentedColormap

    palette = LinearSegmentedColormap.from_list("lines", [STYLE["bands"][1], STYLE["forecast"], STYLE["ink"]])
    return [palette(position / max(1, n - 1)) for position in range(n)]


def _horizons(axes: "Axes", scores: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("Weeks ahead", fontsize=STYLE["text_size"])
    axes.set_xlim(0.5, max(4, scores["horizon"].max()) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True))
