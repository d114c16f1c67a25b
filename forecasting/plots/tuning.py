"""Figures of tuning: what was tried and how it fared."""

import textwrap
from typing import Final

import numpy as np
import pandas as pd

from forecasting.plots.style import STYLE, mosaic, one_series, png
from forecasting.schema import UNIT

MAX_TRIALS: Final = 12


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


def _wrapped(name: str) -> str:
    """A long configuration name on two lines, split at a comma."""
    if len(name) <= 24:
        return name
    middle = min(
        (at for at, sign in enumerate(name) if sign == ","), key=lambda at: abs(at - len(name) / 2), default=-1
    )
    return name if middle < 0 else f"{name[: middle + 1]}\n{name[middle + 1 :]}"
