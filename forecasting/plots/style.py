"""The one look of all figures, and the canvas they are drawn on; matplotlib's global state is never touched."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from forecasting.errors import SeriesError
from forecasting.schema import UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Final[dict[str, Any]] = {
    "size_inches": (9.0, 4.5),
    "dpi": 100,
    "title_size": 12.5,
    "text_size": 9.5,
    "ink": "#22303c",
    "muted": "#66727e",
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


def mosaic(title: str, layout: str) -> tuple["Figure", dict[str, "Axes"]]:
    """A figure of panels laid out as `Figure.subplot_mosaic` reads it, such as "AA;BC"."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=STYLE["size_inches"], dpi=STYLE["dpi"], layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", color=STYLE["ink"], fontsize=STYLE["title_size"], fontweight="bold")
    panels: dict[str, Axes] = figure.subplot_mosaic(layout)
    for axes in panels.values():
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(STYLE["muted"])
        axes.tick_params(colors=STYLE["muted"], labelcolor=STYLE["ink"], labelsize=STYLE["text_size"])
        axes.grid(visible=True, axis="y", color=STYLE["grid"])
        axes.set_axisbelow(True)
    return figure, panels


def volumes(axes: "Axes") -> None:
    """Dress an axis of weeks against volumes."""
    from matplotlib.ticker import StrMethodFormatter

    axes.set_ylabel(UNIT.capitalize(), fontsize=STYLE["text_size"])
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    dates(axes)


def dates(axes: "Axes") -> None:
    """Dress an axis of days: years where they turn, months between them."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=5, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.01)


def legend(figure: "Figure", axes: "Axes") -> None:
    """One row below the plot, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=STYLE["text_size"]
    )


def png(figure: "Figure") -> bytes:
    """The bytes of a figure; they depend on it alone, so that an unchanged figure is an unchanged file."""
    from PIL import Image

    drawn, stored = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    # A palette: a third of the bytes, and these bytes are stored with every week's lineage.
    palette = Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    palette.save(stored, format="png", optimize=True)
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
    labels = [str(name).removeprefix(prefix) for name in frame if str(name).startswith(prefix)]
    return sorted(labels, key=float, reverse=True)


def bands(axes: "Axes", forecast: pd.DataFrame, levels: Sequence[str]) -> None:
    """Draw the intervals of a forecast, the widest first."""
    from matplotlib.colors import LinearSegmentedColormap

    palette = LinearSegmentedColormap.from_list("bands", STYLE["bands"])
    for position, level in enumerate(levels):
        low, high = forecast[f"lo-{level}"], forecast[f"hi-{level}"]
        colour = palette(position / (len(levels) - 1) if len(levels) > 1 else 0.5)
        axes.fill_between(forecast["ds"], low, high, color=colour, linewidth=0, label=f"{level} % interval")
