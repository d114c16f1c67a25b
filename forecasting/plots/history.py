"""Figures of the history: what was observed, what stands out of it, and what replaces it."""

from typing import Final

import numpy as np
import pandas as pd

from forecasting.outliers import weekly
from forecasting.plots.style import (
    STYLE,
    correlogram,
    dates,
    legend,
    mosaic,
    note,
    one_series,
    png,
    single,
    thousands,
    volumes,
)
from forecasting.schema import UNIT

MAX_LAG: Final = 104
"""Two years."""

FULL_YEAR: Final = 50
"""Weeks from which on a year's mean and variance are taken for the whole year's."""


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
    counted = f"{len(outliers)} outlying weeks" + (f", {within} of them within the break" if spans else "")
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
    within = table[replaced]
    effect = ""
    if len(within):
        change = 100 * float((within["counterfactual"] / within["y"] - 1).mean())
        effect = f", on average {abs(change):.1f} % {'above' if change > 0 else 'below'} what was observed"
    figure, axes = single(f"{unique_id}: {len(within)} of {len(table)} weeks replaced{effect}")
    axes.plot(table["ds"], table["y"], color=STYLE["observed"], linewidth=1, label="Observed")
    if replaced.any():
        axes.plot(
            table["ds"],
            table["counterfactual"].where(replaced),
            color=STYLE["replaced"],
            linewidth=1.3,
            label="Counterfactual: forecast from the weeks before the break",
        )
    volumes(axes)
    legend(figure, axes)
    return png(figure)


def yearly_moments(series: pd.DataFrame) -> bytes:
    """Draw the mean of every year and the standard deviation of its weeks.

    Args:
        series: unique_id, ds, y of one series. Years of fewer than 50 weeks are drawn hollow.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(series)
    years = series.groupby(series["ds"].dt.year)["y"].agg(["mean", "std", "size"])
    full = years["size"] >= FULL_YEAR
    judged = years[full] if full.any() else years
    widest = f"; widest spread of weeks in {judged['std'].idxmax()}" if judged["std"].notna().any() else ""
    figure, panels = mosaic(
        f"{unique_id}: lowest mean in {judged['mean'].idxmin()}, highest in {judged['mean'].idxmax()}{widest}",
        "A;B",
        share_x=True,
        hspace=0.12,
    )
    for axes, moment, label in ((panels["A"], "mean", "Yearly mean"), (panels["B"], "std", "Standard deviation")):
        axes.plot(years.index, years[moment], color=STYLE["forecast"], linewidth=1.2)
        axes.plot(years.index[full], years.loc[full, moment], "o", color=STYLE["forecast"], label="Year")
        partly = {"markerfacecolor": "white", "color": STYLE["forecast"]}
        axes.plot(years.index[~full], years.loc[~full, moment], "o", label="Year not known in full", **partly)
        axes.set_ylabel(label, fontsize=STYLE["text_size"])
        axes.yaxis.set_label_coords(-0.075, 0.5)  # in line, whatever the widths of the tick labels
        thousands(axes)
    panels["A"].tick_params(labelbottom=False)
    panels["B"].locator_params(axis="x", integer=True)
    legend(figure, panels["B"])
    note(figure, UNIT)
    return png(figure)


def correlograms(series: pd.DataFrame) -> bytes:
    """Draw the autocorrelations and partial autocorrelations of log volumes and of their weekly changes.

    The first row says whether the level wanders, the second what is left of it once it is differenced: the season at
    52 and 104 weeks, and a correction of the week before.

    Args:
        series: unique_id, ds, y (positive) of one series, at least 104 weeks; missing ones are interpolated.

    Raises:
        SeriesError: rows of several series, or none.
    """
    from statsmodels.tsa.stattools import acf, pacf

    unique_id = one_series(series)
    level = np.log(weekly(series).interpolate("linear").to_numpy())
    change = np.diff(level)
    lags = min(MAX_LAG, len(change) // 2 - 1)
    found = {
        name: (acf(values, nlags=lags)[1:], pacf(values, nlags=lags, method="ldb")[1:])
        for name, values in (("Log volume", level), ("Weekly log change", change))
    }
    of_change = found["Weekly log change"][0]
    figure, panels = mosaic(
        f"{unique_id}: weekly changes correlate by {of_change[0]:.2f} at lag 1, by {of_change[51]:.2f} at lag 52"
        if lags >= 52
        else f"{unique_id}: weekly changes correlate by {of_change[0]:.2f} at lag 1",
        "AB;CD",
        share_x=True,
        top=0.865,
        bottom=0.125,
        hspace=0.14,
        wspace=0.13,
    )
    for (name, both), row in zip(found.items(), ("AB", "CD"), strict=True):
        for panel, correlations in zip(row, both, strict=True):
            correlogram(panels[panel], correlations, n=len(level))
        panels[row[0]].set_ylabel(name, fontsize=STYLE["text_size"])
    for panel, title in (("A", "Autocorrelation"), ("B", "Partial autocorrelation")):
        panels[panel].set_title(title, loc="left", fontsize=STYLE["text_size"], color=STYLE["ink"], pad=3)
        panels[panel].tick_params(labelbottom=False)
    for panel in "CD":
        panels[panel].set_xlabel("Lag, weeks", fontsize=STYLE["text_size"])
    return png(figure)


def stl_panels(flags: pd.DataFrame) -> bytes:
    """Draw the robust decomposition that outliers are found by: observed, trend, season, remainder with its fences.

    Args:
        flags: unique_id, ds, y, trend, seasonal, remainder, lower, upper, outlier of one series, as
            `outliers.flag_outliers` gives them.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(flags)
    outliers = flags[flags["outlier"]]
    lower, upper = float(flags["lower"].iloc[0]), float(flags["upper"].iloc[0])
    figure, panels = mosaic(
        f"{unique_id}: {len(outliers)} of {len(flags):,} weeks have a remainder outside {lower:,.0f} to {upper:,.0f}",
        "A;B;C;D",
        share_x=True,
        height_ratios=(1.2, 0.8, 0.8, 1.2),
        hspace=0.16,
        bottom=0.13,
    )
    parts = (
        ("A", "y", "Observed"),
        ("B", "trend", "Trend"),
        ("C", "seasonal", "Season"),
        ("D", "remainder", "Remainder"),
    )
    for panel, column, label in parts:
        axes = panels[panel]
        axes.plot(flags["ds"], flags[column], color=STYLE["observed"], linewidth=0.7)
        axes.set_ylabel(label, fontsize=STYLE["text_size"])
        axes.yaxis.set_label_coords(-0.075, 0.5)  # in line, whatever the widths of the tick labels
        axes.locator_params(axis="y", nbins=4)
        thousands(axes)
        axes.tick_params(labelbottom=panel == "D")
        if column in {"y", "remainder"}:
            at = outliers[column]
            axes.plot(outliers["ds"], at, "o", color=STYLE["replaced"], markersize=3, label="Outlier")
    panels["D"].axhspan(lower, upper, color=STYLE["break"], linewidth=0, zorder=0, label="Within the fences")
    dates(panels["D"])
    legend(figure, panels["D"])
    note(figure, UNIT)
    return png(figure)
