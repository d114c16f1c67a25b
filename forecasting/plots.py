"""Figures of every stage as PNG bytes: 900 x 450 pixels, one style, one series each, no global state."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from forecasting.errors import SeriesError
from forecasting.plot_style import STYLE, dates, legend, mosaic, png, single, volumes
from forecasting.schema import UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROLES: Final = {
    "candidate": ("Candidate", STYLE["forecast"]),
    "champion": ("Champion", STYLE["champion"]),
    "seasonal_naive": ("Seasonal naive", STYLE["seasonal_naive"]),
}
MAX_TRIALS: Final = 12


def series_with_outliers(observations: pd.DataFrame, flags: pd.DataFrame, breaks: pd.DataFrame) -> bytes:
    """Draw the whole history, its outlying weeks and its structural breaks.

    Args:
        observations: unique_id, ds, y of one series.
        flags: unique_id, ds, outlier of the same series, over any part of the history.
        breaks: name, start, end of the same series; no row where there is no break.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = _one_series(observations, flags)
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
    unique_id = _one_series(table)
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


def leaderboard(trials: pd.DataFrame) -> bytes:
    """Draw losses and paired differences to the default with standard errors, best first, the choice marked.

    Args:
        trials: rows of `tuning.SearchResult.trials` of one series; beyond the best 12, the chosen among them, they
            are counted, not drawn.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = _one_series(trials)
    ranked = trials.dropna(subset="loss").sort_values("rank")
    failed = len(trials) - len(ranked)
    best, chosen = ranked.head(MAX_TRIALS), ranked[ranked["chosen"]]
    drawn = best if chosen.index.isin(best.index).all() else pd.concat([best.iloc[:-1], chosen])
    counts = [f"{len(ranked)} scored"] + ([f"{failed} failed"] if failed else [])
    counts += [f"the best and the chosen {len(drawn)} shown"] if len(ranked) > len(drawn) else []
    figure, panels = mosaic(f"{unique_id}: trials, {', '.join(counts)}", "AB")
    losses, deltas = panels["A"], panels["B"]
    rows = np.arange(len(drawn))
    colours = [STYLE["replaced"] if chosen else STYLE["forecast"] for chosen in drawn["chosen"]]
    for axes, value, error in ((losses, "loss", "se"), (deltas, "delta", "delta_se")):
        for row, x, reach, colour in zip(rows, drawn[value] / 1e3, drawn[error] / 1e3, colours, strict=True):
            axes.errorbar(x, row, xerr=reach, fmt="o", color=colour, markersize=5, capsize=3, linewidth=1.3)
        axes.set_ylim(max(len(drawn), 1) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=STYLE["grid"])
    if drawn.empty:
        reason = textwrap.fill(str(trials["reason"].iloc[0]), 60)
        losses.text(0.02, 0.5, reason, transform=losses.transAxes, color=STYLE["ink"], fontsize=STYLE["text_size"])
    losses.set_yticks(rows, [_wrapped(name) for name in drawn["configuration"]])
    deltas.set_yticks(rows, [])
    deltas.axvline(0, color=STYLE["muted"], linewidth=1)
    losses.set_xlabel(f"Mean squared error, 1000 ({UNIT})²", fontsize=STYLE["text_size"])
    deltas.set_xlabel("Its difference to the default's on the same weeks", fontsize=STYLE["text_size"])
    figure.text(
        0.995,
        0.985,
        "orange: chosen   bars: ± one standard error",
        ha="right",
        va="top",
        color=STYLE["muted"],
        fontsize=STYLE["text_size"],
    )
    return png(figure)


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
    unique_id = _one_series(history, forecast, *([] if actual is None else [actual]))
    cutoff = pd.Timestamp(forecast["cutoff"].iloc[0])
    figure, axes = single(f"{unique_id}: {len(forecast)} weeks forecast after {cutoff:%Y-%m-%d}")
    tail = history.sort_values("ds").tail(weeks)
    axes.plot(tail["ds"], tail["y"], color=STYLE["observed"], linewidth=1.2, label="Observed")
    _bands(axes, forecast, _levels(forecast, "lo-"))
    axes.plot(forecast["ds"], forecast["mean"], color=STYLE["forecast"], linewidth=1.8, label="Forecast")
    if actual is not None:
        axes.plot(actual["ds"], actual["y"], "o", color=STYLE["replaced"], markersize=4, label="Came since")
    axes.axvline(cutoff, color=STYLE["muted"], linewidth=1, linestyle=":")  # type: ignore[arg-type]
    volumes(axes)
    legend(figure, axes)
    return png(figure)


def held_out(rows: pd.DataFrame) -> bytes:
    """Draw what every model forecast for the held-out weeks, what was observed, and mean absolute errors.

    Args:
        rows: unique_id, role ("candidate", "champion" or "seasonal_naive"), ds, y, mean and, for the
            candidate, lo-90 and hi-90; the widest interval stands in where that level is not there.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = _one_series(rows)
    last = rows["ds"].max()
    figure, axes = single(f"{unique_id}: forecasts of the weeks held out up to {last:%Y-%m-%d}")
    for role, (label, colour) in reversed(ROLES.items()):
        of_role = rows[rows["role"] == role].sort_values("ds")
        if of_role.empty:
            continue
        if role == "candidate":
            levels = _levels(of_role, "lo-")
            _bands(axes, of_role, ["90"] if "90" in levels else levels[:1])
        error = (of_role["mean"] - of_role["y"]).abs().mean()
        axes.plot(of_role["ds"], of_role["mean"], color=colour, linewidth=1.8, label=f"{label}, MAE {error:,.0f}")
    observed = rows.drop_duplicates("ds").sort_values("ds")
    axes.plot(
        observed["ds"], observed["y"], "o-", color=STYLE["observed"], markersize=3.5, linewidth=1, label="Observed"
    )
    volumes(axes)
    legend(figure, axes)
    return png(figure)


def residual_panels(residuals: pd.DataFrame) -> bytes:
    """Draw residuals over time, their distribution beside the normal one, and a year of autocorrelations.

    Args:
        residuals: unique_id, ds, residual (innovations, log scale) of one series, more than 52 weeks.

    Raises:
        SeriesError: rows of several series, or none.
    """
    from scipy.stats import norm

    figure, panels = mosaic(f"{_one_series(residuals)}: residuals of the log model", "AA;BC")
    time, histogram, correlogram = (panels[name] for name in "ABC")
    values = residuals["residual"].to_numpy(dtype=np.float64)
    time.plot(residuals["ds"], values, color=STYLE["forecast"], linewidth=0.9)
    time.axhline(0, color=STYLE["muted"], linewidth=0.8)
    histogram.hist(values, bins=40, density=True, color=STYLE["forecast"], alpha=0.55)
    grid = np.linspace(values.min(), values.max(), 200)
    histogram.plot(
        grid, norm.pdf(grid, values.mean(), values.std(ddof=1)), color=STYLE["replaced"], linewidth=1.4, label="Normal"
    )
    centred = values - values.mean()
    lags = np.arange(1, 53)
    correlations = [float(centred[lag:] @ centred[:-lag] / (centred @ centred)) for lag in lags]
    correlogram.vlines(lags, 0, correlations, color=STYLE["forecast"], linewidth=2)
    correlogram.axhline(0, color=STYLE["muted"], linewidth=0.8)
    bound = 1.96 / np.sqrt(values.size)
    correlogram.axhspan(-bound, bound, color=STYLE["break"], zorder=0)
    for axes, label in ((time, "Residual (log)"), (histogram, "Density"), (correlogram, "Autocorrelation")):
        axes.set_ylabel(label, fontsize=STYLE["text_size"])
    histogram.locator_params(axis="x", nbins=5)
    histogram.set_xlabel("Residual (log)", fontsize=STYLE["text_size"])
    correlogram.set_xlabel("Lag, weeks; band: 95 % under independence", fontsize=STYLE["text_size"])
    histogram.legend(loc="upper right", frameon=False, fontsize=STYLE["text_size"])
    dates(time)
    return png(figure)


def coverage_bars(scores: pd.DataFrame) -> bytes:
    """Draw how many held-out weeks fell inside each model's intervals beside what was promised, and their widths.

    Args:
        scores: unique_id, role, and for every level coverage-80 (a share), width-80 (the unit of the series) and so on.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = _one_series(scores)
    figure, axes = single(f"{unique_id}: coverage of the intervals on the held-out weeks")
    levels = _levels(scores, "coverage-")[::-1]
    roles = [role for role in ROLES if (scores["role"] == role).any()]
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


def _one_series(*frames: pd.DataFrame) -> str:
    ids = sorted({str(unique_id) for frame in frames for unique_id in frame["unique_id"].unique()})
    if len(ids) != 1:
        raise SeriesError(", ".join(ids) or "no series", "a figure shows one series; select its rows first")
    return ids[0]


def _levels(frame: pd.DataFrame, prefix: str) -> list[str]:
    """The levels that a frame has columns of, the widest first."""
    labels = [str(name).removeprefix(prefix) for name in frame if str(name).startswith(prefix)]
    return sorted(labels, key=float, reverse=True)


def _bands(axes: "Axes", forecast: pd.DataFrame, levels: Sequence[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    palette = LinearSegmentedColormap.from_list("bands", STYLE["bands"])
    for position, level in enumerate(levels):
        low, high = forecast[f"lo-{level}"], forecast[f"hi-{level}"]
        colour = palette(position / (len(levels) - 1) if len(levels) > 1 else 0.5)
        axes.fill_between(forecast["ds"], low, high, color=colour, linewidth=0, label=f"{level} % interval")


def _wrapped(name: str) -> str:
    """A long configuration name on two lines, split at a comma."""
    if len(name) <= 24:
        return name
    middle = min(
        (at for at, sign in enumerate(name) if sign == ","), key=lambda at: abs(at - len(name) / 2), default=-1
    )
    return name if middle < 0 else f"{name[: middle + 1]}\n{name[middle + 1 :]}"
