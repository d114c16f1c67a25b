"""Figures of a model: its held-out weeks, their coverage, its residuals."""

from typing import Final

import numpy as np
import pandas as pd

from forecasting.plots.style import (
    STYLE,
    bands,
    correlogram,
    dates,
    legend,
    levels_of,
    mosaic,
    one_series,
    png,
    single,
    volumes,
)

ROLES: Final = {
    "candidate": ("Candidate", STYLE["forecast"]),
    "champion": ("Champion", STYLE["champion"]),
    "seasonal_naive": ("Seasonal naive", STYLE["seasonal_naive"]),
}


def held_out(rows: pd.DataFrame) -> bytes:
    """Draw what every model forecast for the held-out weeks, what was observed, and mean absolute errors.

    Args:
        rows: unique_id, role ("candidate", "champion" or "seasonal_naive"), ds, y, observed, mean and, for the
            candidate, lo-90 and hi-90; the widest interval stands in where that level is not there. Errors are of
            the observed weeks, as in the scores.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(rows)
    scored = rows[rows["observed"]]
    errors = (scored["mean"] - scored["y"]).abs().groupby(scored["role"]).mean()
    finding = f"mean error of {errors['candidate']:,.0f} over {scored['ds'].nunique()} held-out weeks"
    if "seasonal_naive" in errors and errors["seasonal_naive"] > 0:
        finding += f", {errors['candidate'] / errors['seasonal_naive']:.2f} of the seasonal naive's"
    figure, axes = single(f"{unique_id}: {finding}")
    for role, (label, colour) in reversed(ROLES.items()):
        of_role = rows[rows["role"] == role].sort_values("ds")
        if of_role.empty:
            continue
        if role == "candidate":
            levels = levels_of(of_role, "lo-")
            bands(axes, of_role, ["90"] if "90" in levels else levels[:1])
        axes.plot(
            of_role["ds"], of_role["mean"], color=colour, linewidth=1.8, label=f"{label}, MAE {errors[role]:,.0f}"
        )
    observed = rows.drop_duplicates("ds").sort_values("ds")
    axes.plot(
        observed["ds"], observed["y"], "o-", color=STYLE["observed"], markersize=3.5, linewidth=1, label="Observed"
    )
    volumes(axes)
    legend(figure, axes)
    return png(figure)


def coverage_bars(scores: pd.DataFrame) -> bytes:
    """Draw how many held-out weeks fell inside each model's intervals beside what was promised, and their widths.

    Args:
        scores: unique_id, role, and for every level coverage-80 (a share), width-80 (the unit of the series) and so on.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(scores)
    levels = levels_of(scores, "coverage-")[::-1]
    roles = [role for role in ROLES if (scores["role"] == role).any()]
    first = scores[scores["role"] == roles[0]].iloc[0]
    found = " / ".join(f"{100 * float(first[f'coverage-{level}']):.0f}" for level in levels)
    figure, axes = single(f"{unique_id}: {found} % of the held-out weeks inside the {' / '.join(levels)} % intervals")
    thickness = 0.8 / len(roles)
    for position, role in enumerate(roles):
        label, colour = ROLES[role]
        row = scores[scores["role"] == role].iloc[0]
        at = np.arange(len(levels)) + (position - (len(roles) - 1) / 2) * thickness
        shares = [100 * float(row[f"coverage-{level}"]) for level in levels]
        axes.bar(at, shares, 0.92 * thickness, color=colour, label=label)
        for x, share, level in zip(at, shares, levels, strict=True):
            text = f"{share:.0f} %\nwidth\n{float(row[f'width-{level}']):,.0f}"
            axes.text(x, 3, text, ha="center", va="bottom", color="white", fontsize=STYLE["text_size"])
    nominal = {"color": STYLE["replaced"], "linewidth": 2, "linestyle": "--"}
    axes.hlines(
        [float(level) for level in levels],
        np.arange(len(levels)) - 0.45,
        np.arange(len(levels)) + 0.45,
        label="Promised",
        **nominal,
    )
    axes.set_xticks(np.arange(len(levels)), [f"{level} % interval" for level in levels])
    axes.set_ylim(0, 103)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("Weeks inside, %", fontsize=STYLE["text_size"])
    legend(figure, axes)
    return png(figure)


def residual_panels(residuals: pd.DataFrame) -> bytes:
    """Draw residuals over time, their distribution beside the normal one, and a year of autocorrelations.

    Args:
        residuals: unique_id, ds, residual (innovations, log scale) of one series, more than 52 weeks.

    Raises:
        SeriesError: rows of several series, or none.
    """
    from statsmodels.tsa.stattools import acf

    unique_id = one_series(residuals)
    values = residuals["residual"].to_numpy(dtype=np.float64)
    correlations = acf(values, nlags=52)[1:]
    outside = int((np.abs(correlations) > 1.96 / np.sqrt(values.size)).sum())
    spread = values.std(ddof=1)
    figure, panels = mosaic(
        f"{unique_id}: residuals of sd {spread:.3f}, {outside} of 52 autocorrelations outside the 95 % band",
        "AA;BC",
        bottom=0.125,
        hspace=0.3,
        wspace=0.22,
    )
    time, histogram, lags = (panels[name] for name in "ABC")
    time.plot(residuals["ds"], values, color=STYLE["forecast"], linewidth=0.9)
    time.axhline(0, color=STYLE["muted"], linewidth=0.8)
    histogram.hist(values, bins=40, density=True, color=STYLE["forecast"], alpha=0.55)
    grid = np.linspace(values.min(), values.max(), 200)
    normal = np.exp(-0.5 * ((grid - values.mean()) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    histogram.plot(grid, normal, color=STYLE["replaced"], linewidth=1.4, label="Normal")
    correlogram(lags, correlations, n=values.size)
    for axes, label in ((time, "Residual (log)"), (histogram, "Density"), (lags, "Autocorrelation")):
        axes.set_ylabel(label, fontsize=STYLE["text_size"])
    histogram.locator_params(axis="x", nbins=5)
    histogram.set_xlabel("Residual (log)", fontsize=STYLE["text_size"])
    lags.set_xlabel("Lag, weeks; band: 95 % under independence", fontsize=STYLE["text_size"])
    histogram.legend(loc="upper right", frameon=False, fontsize=STYLE["text_size"])
    dates(time)
    return png(figure)
