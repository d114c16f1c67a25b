"""Figures of how forecasts fared and why they change."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from forecasting import plots
from forecasting.changes import PARTS
from forecasting.errors import SeriesError

DS = pd.date_range("2023-05-19", periods=26, freq="7D")


def scores(*, weeks: int = 52, horizons: int = 26, inside: float = 1.0, levels: tuple[str, ...] = ("80", "95")):
    rng = np.random.default_rng(2)
    rows = pd.MultiIndex.from_product(
        [pd.date_range("2022-11-18", periods=weeks, freq="7D"), range(1, horizons + 1)], names=["ds", "horizon"]
    ).to_frame(index=False)
    error = rng.normal(0, 300, len(rows))
    columns = {f"inside-{level}": (rng.random(len(rows)) < inside).astype(float) for level in levels}
    return rows.assign(unique_id="W", error=error, absolute_error=np.abs(error), naive_error=400.0, **columns)


def parts(**values: float) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"unique_id": "W", "ds": DS, "horizon": np.arange(1, 27), **dict.fromkeys(PARTS, 0.0), **values}
    )
    return frame.assign(change=frame[list(PARTS)].sum(axis=1))


FIGURES = {
    "coverage": lambda: plots.coverage_by_horizon(scores(inside=0.8)),
    "coverage-of-nothing-inside": lambda: plots.coverage_by_horizon(scores(inside=0.0)),
    "coverage-of-one-level": lambda: plots.coverage_by_horizon(scores(levels=("97.5",))),
    "coverage-of-one-forecast": lambda: plots.coverage_by_horizon(scores(weeks=1, horizons=1)),
    "coverage-of-a-level-never-forecast": lambda: plots.coverage_by_horizon(scores().assign(**{"inside-80": np.nan})),
    "errors": lambda: plots.error_by_horizon(scores()),
    "errors-without-a-naive": lambda: plots.error_by_horizon(scores().assign(naive_error=np.nan)),
    "errors-of-one-forecast": lambda: plots.error_by_horizon(scores(weeks=1, horizons=1)),
    "change": lambda: plots.change_bars(parts(new_data=20.0, revised_data=-5.0, hyper_parameters=2.0)),
    "no-change": lambda: plots.change_bars(parts()),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_a_small_png_of_900_by_450_that_shows_something(draw) -> None:
    from PIL import Image

    content = draw()
    picture = Image.open(BytesIO(content))
    assert (picture.format, picture.size) == ("PNG", (900, 450))
    assert len(content) < 60_000
    background = np.asarray(picture.convert("L")) >= 254
    assert 0.005 < 1 - background.mean() < 0.75
    for edge in (background[:, :3], background[:, -3:], background[:3], background[-3:]):
        assert edge.all(), "nothing is cut off"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.coverage_by_horizon(pd.concat([scores(), scores().assign(unique_id="V")])),
        lambda: plots.error_by_horizon(scores().head(0)),
        lambda: plots.change_bars(pd.concat([parts(), parts().assign(unique_id="V")])),
    ],
    ids=["two-series", "no-rows", "two-changes"],
)
def test_a_figure_of_several_series_or_none_is_refused(draw) -> None:
    with pytest.raises(SeriesError, match="a figure shows one series"):
        draw()


def test_other_numbers_are_another_figure() -> None:
    assert plots.change_bars(parts(new_data=20.0)) != plots.change_bars(parts(revised_data=20.0))
    assert plots.coverage_by_horizon(scores(inside=0.9)) != plots.coverage_by_horizon(scores(inside=0.5))
