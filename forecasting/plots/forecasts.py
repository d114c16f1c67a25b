"""Figures of forecasts."""

import pandas as pd

from forecasting.plots.style import STYLE, bands, legend, levels_of, one_series, png, single, volumes


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
    figure, axes = single(f"{unique_id}: {len(forecast)} weeks forecast after {cutoff:%Y-%m-%d}")
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
