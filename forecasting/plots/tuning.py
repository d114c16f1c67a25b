"""Figures of tuning: what was tried and how it fared."""

import textwrap
from collections.abc import Collection
from typing import Final

import numpy as np
import pandas as pd

from forecasting.cross_validation import Splits, origins
from forecasting.plots.style import STYLE, dates, legend, mosaic, note, one_series, png, single
from forecasting.schema import UNIT

MAX_TRIALS: Final = 12
MAX_ORIGINS: Final = 25
LONGEST_LABEL: Final = 27


def splits(weeks: pd.DataFrame, scheme: Splits, counted: Collection[pd.Timestamp]) -> bytes:
    """Draw the training windows of a rolling-origin evaluation and the weeks forecast from each origin.

    Args:
        weeks: unique_id, ds, replaced of one series: all that tuning sees.
        scheme: How they are cut. At most 25 origins are drawn, evenly spread, the newest among them.
        counted: Cutoffs of the origins that were scored. The others are drawn pale: an origin whose own week was
            replaced starts from an invented level.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(weeks)
    days = pd.DatetimeIndex(weeks["ds"].sort_values())
    starts = origins(len(days), window=scheme.window, horizon=scheme.horizon, step=scheme.step)
    starts = starts if scheme.latest is None else starts[-scheme.latest :]
    figure, axes = single(
        f"{unique_id}: {len(counted)} of {len(starts)} origins count; {scheme.window} weeks forecast the next "
        f"{scheme.horizon}"
    )
    drawn = np.array(starts[:: -max(1, -(-len(starts) // MAX_ORIGINS))][::-1], dtype=np.int64)
    for position, (start, end) in enumerate(_runs(weeks)):
        label = "_nolegend_" if position else "Replaced weeks"
        axes.axvspan(start, end, color=STYLE["break"], linewidth=0, label=label)  # type: ignore[arg-type]
    first = days[drawn]
    cutoffs, lasts = days[drawn + scheme.window - 1], days[drawn + scheme.window + scheme.horizon - 1]
    rows, counts = np.arange(len(drawn)), cutoffs.isin(list(counted))
    looks = (
        (counts, STYLE["bands"][1], STYLE["forecast"], ("Training window", "Weeks forecast")),
        (~counts, STYLE["grid"], STYLE["seasonal_naive"], ("Origin that does not count", "_nolegend_")),
    )
    for of, window, horizon, labels in looks:
        if not of.any():
            continue
        for left, right, colour, label in zip(
            (first, cutoffs), (cutoffs, lasts), (window, horizon), labels, strict=True
        ):
            axes.barh(rows[of], (right - left)[of], left=left[of], height=0.62, color=colour, label=label)
    axes.set_ylim(max(len(drawn), 1) - 0.4, -0.6)
    axes.set_xlim(days[0], days[-1])  # type: ignore[arg-type]
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.set_ylabel(
        f"{len(drawn)} of the origins, the newest last" if len(drawn) < len(starts) else "Origins, the newest last",
        fontsize=STYLE["text_size"],
    )
    dates(axes)
    legend(figure, axes)
    return png(figure)


def _runs(weeks: pd.DataFrame) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """First and last day of every run of replaced weeks."""
    ordered = weeks.sort_values("ds")
    replaced = ordered[ordered["replaced"]]
    run = (ordered["replaced"] != ordered["replaced"].shift()).cumsum()[replaced.index]
    return [(days.min(), days.max()) for _, days in replaced["ds"].groupby(run)]


def leaderboard(trials: pd.DataFrame) -> bytes:
    """Draw losses and paired differences to the default with standard errors, best first, the choice marked.

    Args:
        trials: rows of `tuning.SearchResult.trials` of one series; beyond the best 12, the chosen among them, they
            are counted, not drawn.

    Raises:
        SeriesError: rows of several series, or none.
    """
    unique_id = one_series(trials)
    ranked = trials.dropna(subset="loss").sort_values("rank")
    failed = len(trials) - len(ranked)
    best, chosen = ranked.head(MAX_TRIALS), ranked[ranked["chosen"]]
    drawn = best if chosen.index.isin(best.index).all() else pd.concat([best.iloc[:-1], chosen])
    counts = f"{len(ranked)} trials scored" + (f", {failed} failed" if failed else "")
    title = f"{chosen['configuration'].iloc[0]} chosen of {counts}" if len(chosen) else f"{counts}, none chosen"
    figure, panels = mosaic(f"{unique_id}: {title}", "AB", left=0.25, bottom=0.17, wspace=0.04)
    losses, deltas = panels["A"], panels["B"]
    rows = np.arange(len(drawn))
    marked = drawn["chosen"].to_numpy(dtype=bool)
    for axes, value, error in ((losses, "loss", "se"), (deltas, "delta", "delta_se")):
        for of, colour, label in ((~marked, STYLE["forecast"], "Tried"), (marked, STYLE["replaced"], "Chosen")):
            x, reach = (drawn.loc[of, [value, error]] / 1e3).to_numpy(dtype=np.float64).T
            look = {"color": colour, "markersize": 5, "capsize": 3, "linewidth": 1.3}
            axes.errorbar(x, rows[of], xerr=reach, fmt="o", label=label, **look)
        axes.set_ylim(max(len(drawn), 1) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=STYLE["grid"])
    if drawn.empty:
        reason = textwrap.fill(str(trials["reason"].iloc[0]), 36)
        losses.text(0.02, 0.5, reason, transform=losses.transAxes, color=STYLE["ink"], fontsize=STYLE["text_size"])
    losses.set_yticks(rows, [_wrapped(name) for name in drawn["configuration"]])
    deltas.set_yticks(rows, [])
    deltas.axvline(0, color=STYLE["muted"], linewidth=1)
    losses.set_xlabel("Mean squared error, thousands", fontsize=STYLE["text_size"])
    deltas.set_xlabel("Its difference to the default's, same weeks", fontsize=STYLE["text_size"])
    legend(figure, losses, loc="lower left")
    shown = f"best {len(drawn)} of {len(ranked)} shown; " if len(ranked) > len(drawn) else ""
    note(figure, f"{shown}({UNIT})²; bars: ± one standard error")
    return png(figure)


def _wrapped(name: str) -> str:
    """What a configuration sets, on two lines, split at a comma, where it is long."""
    terms = name.removeprefix("dhr(").removesuffix(")").replace(",", ", ")
    if len(terms) <= LONGEST_LABEL:
        return terms
    commas = [at for at, sign in enumerate(terms) if sign == ","]
    middle = min(commas, key=lambda at: abs(at - len(terms) / 2), default=-1)
    return terms if middle < 0 else f"{terms[: middle + 1]}\n{terms[middle + 2 :]}"
