"""The one look of all figures, and the canvas they are drawn on; matplotlib's global state is never touched."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.columns import levels_in
from forecasting.errors import SeriesError
from forecasting.schema import UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Final[dict[str, Any]] = {
    "size_inches": (9.0, 4.5),
    "dpi": 100,
    "title_size": 12.5,
    "text_size": 10,
    "ink": "#22303c",
    "muted": "#66727e",
    "margins": {"left": 0.096, "right": 0.975, "top": 0.905, "bottom": 0.165},
    "grid": "#e4e8ec",
    "observed": "#22303c",
    "forecast": "#0072b2",
    "replaced": "#d55e00",
    "break": "#fbe9d0",
    "champion": "#009e73",
    "seasonal_naive": "#6b7785",
    "bands": ("#d9eaf5", "#8abddd"),  # from the widest interval to the narrowest
}
"""Colours are those of Okabe and Ito, which stay apart for colour-blind readers."""


def single(title: str) -> tuple["Figure", "Axes"]:
    """A figure of one panel."""
    figure, axes = mosaic(title, "A")
    return figure, axes["A"]


def mosaic(title: str, layout: str, *, share_x: bool = False, **grid: Any) -> tuple["Figure", dict[str, "Axes"]]:
    """A figure of panels laid out as `Figure.subplot_mosaic` reads it, such as "AA;BC".

    The margins are fixed: a layout engine draws every text twice to find them, which is half of a figure's time. They
    leave room for the title, for tick labels such as 10,000 with the axis' label, and for the legend below.

    Args:
        title: What the figure says.
        layout: Panels by name.
        share_x: Whether all panels have one horizontal axis.
        grid: Other margins and distances, as `matplotlib.gridspec.GridSpec` takes them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=STYLE["size_inches"], dpi=STYLE["dpi"], facecolor="white")
    figure.text(
        0.012,
        0.982,
        title,
        ha="left",
        va="top",
        color=STYLE["ink"],
        fontsize=STYLE["title_size"],
        fontweight="bold",
    )
    panels: dict[str, Axes] = figure.subplot_mosaic(layout, sharex=share_x, gridspec_kw={**STYLE["margins"], **grid})
    for axes in panels.values():
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(STYLE["muted"])
        axes.tick_params(colors=STYLE["muted"], labelcolor=STYLE["ink"], labelsize=STYLE["text_size"])
        axes.grid(visible=True, axis="y", color=STYLE["grid"])
        axes.set_axisbelow(True)
    return figure, panels


def volumes(axes: "Axes") -> None:
    """Dress an axis of weeks against volumes."""
    axes.set_ylabel(UNIT.capitalize(), fontsize=STYLE["text_size"])
    thousands(axes)
    dates(axes)


def thousands(axes: "Axes") -> None:
    """Dress a vertical axis of large numbers."""
    from matplotlib.ticker import StrMethodFormatter

    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def dates(axes: "Axes") -> None:
    """Dress an axis of days: years where they turn, months between them."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=5, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.01)


def legend(figure: "Figure", axes: "Axes", *, loc: Literal["lower center", "lower left"] = "lower center") -> None:
    """One row below the plot, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc=loc,
        borderaxespad=0.3,
        ncols=len(labels),
        columnspacing=1.2,
        handlelength=1.5,
        handletextpad=0.5,
        frameon=False,
        fontsize=STYLE["text_size"],
    )


def note(figure: "Figure", text: str) -> None:
    """A remark in the lower right corner, beside the legend or in its place."""
    figure.text(0.988, 0.016, text, ha="right", va="bottom", color=STYLE["muted"], fontsize=STYLE["text_size"])


def correlogram(axes: "Axes", correlations: npt.NDArray[np.float64], *, n: int) -> None:
    """Draw correlations by lag, and the band in which 95 % of them lie where there is no correlation.

    Args:
        axes: Where.
        correlations: Those of lags 1, 2, ...
        n: Values they were computed from.
    """
    lags = np.arange(1, len(correlations) + 1)
    bound = 1.96 / np.sqrt(n)
    axes.axhspan(-bound, bound, color=STYLE["break"], linewidth=0, zorder=0)
    axes.axhline(0, color=STYLE["muted"], linewidth=0.8)
    axes.vlines(lags, 0, correlations, color=STYLE["forecast"], linewidth=1.6)
    axes.set_xticks([lag for lag in (1, 26, 52, 78, 104) if lag <= lags[-1]])
    axes.margins(x=0.01)


def png(figure: "Figure") -> bytes:
    """The bytes of a figure; they depend on it alone, so that an unchanged figure is an unchanged file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = bytes(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    drawn = Image.frombuffer("RGBA", canvas.get_width_height(), pixels)
    # A palette: a third of the bytes, and these bytes are stored with every week's lineage.
    palette = drawn.convert("RGB").quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    stored = BytesIO()
    palette.save(stored, format="png", compress_level=9)
    return stored.getvalue()


def one_series(*frames: pd.DataFrame) -> str:
    """The series that all rows are of.

    Raises:
        SeriesError: rows of several series, or none.
    """
    ids = sorted({str(unique_id) for frame in frames for unique_id in frame["unique_id"].unique()})
    if len(ids) != 1:
        raise SeriesError(", ".join(ids) or "no series", "a figure shows one series; select its rows first")
    return ids[0]


def levels_of(frame: pd.DataFrame, prefix: str) -> list[str]:
    """The levels that a frame has columns of, the widest first."""
    return sorted(levels_in(frame, prefix), key=float, reverse=True)


def bands(axes: "Axes", forecast: pd.DataFrame, levels: Sequence[str]) -> None:
    """Draw the intervals of a forecast, the widest first."""
    from matplotlib.colors import LinearSegmentedColormap

    palette = LinearSegmentedColormap.from_list("bands", STYLE["bands"])
    for position, level in enumerate(levels):
        low, high = forecast[f"lo-{level}"], forecast[f"hi-{level}"]
        colour = palette(position / (len(levels) - 1) if len(levels) > 1 else 0.5)
        axes.fill_between(forecast["ds"], low, high, color=colour, linewidth=0, label=f"{level} % interval")
