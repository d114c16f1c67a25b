"""Figures of the history: what was observed, what stands out of it, and what replaces it."""

import pandas as pd

from forecasting.plots.style import STYLE, legend, one_series, png, single, volumes


def series_with_outliers(observations: pd.DataFrame, flags: pd.DataFrame, breaks: pd.DataFrame) -> bytes:
    """Draw the whole history, its outlying weeks and its structural breaks.

    Args:
        observations: unique_id, ds, y of one series.
        flags: unique_id, ds, outlier of the same series, over any part of the history.
        breaks: name, start, end of the same series; no row where there is no break.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(observations, flags)
    outliers = observations[observations["ds"].isin(flags.loc[flags["outlier"], "ds"])]
    spans = [
        (pd.Timestamp(first), pd.Timestamp(last)) for first, last in zip(breaks["start"], breaks["end"], strict=True)
    ]
    within = sum(int(outliers["ds"].between(start, end).sum()) for start, end in spans)
    counted = f"{len(outliers)} outlying weeks" + (f", {within} of them within breaks" if spans else "")
    figure, axes = single(f"{unique_id}: {counted}")
    for name, (start, end) in zip(breaks["name"], spans, strict=True):
        label = f"Break {name}: {start:%Y-%m-%d} to {end:%Y-%m-%d}"
        axes.axvspan(start, end, color=STYLE["break"], label=label, linewidth=0)  # type: ignore[arg-type]
    axes.plot(observations["ds"], observations["y"], color=STYLE["observed"], linewidth=0.8, label="Observed")
    axes.plot(
        outliers["ds"],
        outliers["y"],
        "o",
        color=STYLE["replaced"],
        markersize=4,
        label="Outlier of the robust STL remainder",
    )
    volumes(axes)
    legend(figure, axes)
    return png(figure)


def counterfactual(table: pd.DataFrame) -> bytes:
    """Draw the observed weeks and the ones that replace them.

    Args:
        table: unique_id, ds, y, counterfactual, replaced of one series.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(table)
    replaced = table["replaced"].to_numpy(dtype=bool)
    figure, axes = single(f"{unique_id}: {int(replaced.sum())} of {len(table)} weeks replaced by their counterfactual")
    axes.plot(table["ds"], table["y"], color=STYLE["observed"], linewidth=1, label="Observed")
    if replaced.any():
        axes.plot(
            table["ds"],
            table["counterfactual"].where(replaced),
            color=STYLE["replaced"],
            linewidth=1.3,
            label="Counterfactual, forecast from the weeks before the break",
        )
    volumes(axes)
    legend(figure, axes)
    return png(figure)
