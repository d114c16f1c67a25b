"""Figures: their size on screen and in bytes, their edge cases, and the absence of shared state."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from forecasting import plots
from forecasting.cross_validation import Splits, origins
from forecasting.errors import SeriesError

N = 700
DS = pd.date_range("2010-01-01", periods=N, freq="7D")
Y = 9000 + 500 * np.sin(2 * np.pi * np.arange(N) / 52.18) + np.random.default_rng(1).normal(0, 300, N)
OBSERVATIONS = pd.DataFrame({"unique_id": "W", "ds": DS, "y": Y})
FLAGS = OBSERVATIONS.assign(
    outlier=np.arange(N) % 50 == 0, trend=9000.0, seasonal=Y - 9000, remainder=0.0, lower=-800.0, upper=900.0
)
BREAKS = pd.DataFrame({"name": ["covid-19"], "start": [DS[400].date()], "end": [DS[500].date()]})
REPLACED = (np.arange(N) >= 400) & (np.arange(N) <= 500)
TABLE = OBSERVATIONS.assign(counterfactual=np.where(REPLACED, 9000.0, Y), replaced=REPLACED)
RESIDUALS = pd.DataFrame({"unique_id": "W", "ds": DS, "residual": (Y - Y.mean()) / 1e4})


def forecast(role="candidate"):
    future = pd.date_range(DS[-1] + pd.Timedelta(weeks=1), periods=26, freq="7D")
    frame = pd.DataFrame({"unique_id": "W", "role": role, "cutoff": DS[-1], "ds": future, "mean": 9000.0, "y": 9100.0})
    frame["observed"] = True
    bounds = {
        f"{side}-{level}": 9000 + sign * 10 * level for level in (80, 90, 95) for side, sign in (("lo", -1), ("hi", 1))
    }
    return frame.assign(**bounds)


def trials(n, *, failed=0, se=5e3):
    ok = np.arange(n) < n - failed
    return pd.DataFrame(
        {
            "unique_id": "W",
            "configuration": [f"dhr(K={i},holidays,detrend,deseasonalise,observed)" for i in range(n)],
            "reason": np.where(ok, "", "origin 2022-11-11: W: every week was replaced"),
            "loss": np.where(ok, 8e4 + 1e3 * np.arange(n), np.nan),
            "se": np.where(ok, se, np.nan),
            "delta": np.where(ok, 1e3 * np.arange(n), np.nan),
            "delta_se": np.where(ok, se / 4, np.nan),
            "rank": pd.array([i + 1 if good else None for i, good in enumerate(ok)], dtype="Int64"),
            "chosen": np.arange(n) == 0,
        }
    )


SPLITS = Splits(window=417, horizon=26, step=4)


def cutoffs(scheme):
    return [DS[start + scheme.window - 1] for start in origins(N, window=417, horizon=26, step=scheme.step)]


def scores(*roles):
    numbers = {f"coverage-{level}": level / 100 for level in (80, 90, 95)} | {
        f"width-{level}": 10.0 * level for level in (80, 90, 95)
    }
    return pd.DataFrame([{"unique_id": "W", "role": role, **numbers} for role in roles])


FIGURES = {
    "series": lambda: plots.series_with_outliers(OBSERVATIONS, FLAGS, BREAKS),
    "series-without-break": lambda: plots.series_with_outliers(OBSERVATIONS, FLAGS, BREAKS.head(0)),
    "stl": lambda: plots.stl_panels(FLAGS),
    "stl-without-outliers": lambda: plots.stl_panels(FLAGS.assign(outlier=False)),
    "yearly": lambda: plots.yearly_moments(OBSERVATIONS),
    "less-than-a-year": lambda: plots.yearly_moments(OBSERVATIONS.iloc[60:80]),
    "one-week": lambda: plots.yearly_moments(OBSERVATIONS.iloc[:1]),
    "correlograms": lambda: plots.correlograms(OBSERVATIONS),
    "correlograms-of-two-years-with-a-gap": lambda: plots.correlograms(OBSERVATIONS.iloc[:105].drop(index=50)),
    "splits": lambda: plots.splits(TABLE, SPLITS, cutoffs(SPLITS)[-9:]),
    "many-splits": lambda: plots.splits(TABLE, replace(SPLITS, step=1), cutoffs(replace(SPLITS, step=1))),
    "newest-splits": lambda: plots.splits(TABLE, replace(SPLITS, latest=2), cutoffs(SPLITS)[-2:]),
    "no-origin-counts": lambda: plots.splits(TABLE, SPLITS, []),
    "no-origin": lambda: plots.splits(TABLE.head(430), SPLITS, []),
    "splits-without-break": lambda: plots.splits(TABLE.assign(replaced=False), SPLITS, cutoffs(SPLITS)),
    "counterfactual": lambda: plots.counterfactual(TABLE),
    "nothing-replaced": lambda: plots.counterfactual(TABLE.assign(replaced=False)),
    "leaderboard": lambda: plots.leaderboard(trials(4)),
    "long-leaderboard": lambda: plots.leaderboard(trials(80, failed=7)),
    "one-origin": lambda: plots.leaderboard(trials(3, se=np.nan)),
    "one-failed": lambda: plots.leaderboard(trials(3, failed=1)),
    "all-failed": lambda: plots.leaderboard(trials(2, failed=2)),
    "fan": lambda: plots.fan_chart(OBSERVATIONS, forecast()),
    "fan-and-what-came": lambda: plots.fan_chart(OBSERVATIONS, forecast(), actual=forecast().head(3)),
    "held-out": lambda: plots.held_out(pd.concat([forecast(r) for r in ("candidate", "champion", "seasonal_naive")])),
    "held-out-without-champion": lambda: plots.held_out(
        pd.concat([forecast(r) for r in ("candidate", "seasonal_naive")])
    ),
    "residuals": lambda: plots.residual_panels(RESIDUALS),
    "coverage": lambda: plots.coverage_bars(scores("candidate", "champion", "seasonal_naive")),
    "coverage-of-one": lambda: plots.coverage_bars(scores("candidate")),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_a_small_png_of_900_by_450_that_shows_something(draw):
    from PIL import Image

    content = draw()
    picture = Image.open(BytesIO(content))
    assert (picture.format, picture.size) == ("PNG", (900, 450))
    assert len(content) < 100_000
    background = np.asarray(picture.convert("L")) >= 254
    assert 0.005 < 1 - background.mean() < 0.75
    assert background[:, :3].all(), "nothing is cut off at an edge"
    assert background[:, -3:].all()
    assert background[:3].all()
    assert background[-3:].all()


@pytest.mark.parametrize("name", ["fan", "splits", "correlograms", "leaderboard"])
def test_the_same_data_give_the_same_bytes(name):
    assert FIGURES[name]() == FIGURES[name]()


def test_the_global_state_of_matplotlib_is_left_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.residual_panels(RESIDUALS)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.counterfactual(pd.concat([TABLE, TABLE.assign(unique_id="V")])),
        lambda: plots.fan_chart(OBSERVATIONS, forecast().assign(unique_id="V")),
        lambda: plots.leaderboard(trials(3).head(0)),
        lambda: plots.stl_panels(pd.concat([FLAGS, FLAGS.assign(unique_id="V")])),
        lambda: plots.yearly_moments(pd.concat([FLAGS, FLAGS.assign(unique_id="V")])),
        lambda: plots.correlograms(FLAGS.head(0)),
        lambda: plots.splits(TABLE.head(0), SPLITS, []),
        lambda: plots.coverage_bars(pd.concat([scores("candidate"), scores("candidate").assign(unique_id="V")])),
    ],
    ids=["two-series", "other-series", "no-rows", "two-stl", "two-yearly", "no-levels", "no-weeks", "two-scored"],
)
def test_a_figure_of_several_series_or_none_is_refused(draw):
    with pytest.raises(SeriesError, match="a figure shows one series"):
        draw()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("dhr(K=6)", 1),
        ("dhr(K=aicc,holidays,observed)", 1),
        ("dhr(K=aicc,holidays,deseasonalise)", 2),
        ("dhr(K=aicc,holidays,detrend,deseasonalise,observed)", 2),
        ("a_name_without_any_comma_", 1),
    ],
)
def test_a_long_name_is_split_at_a_comma(name, lines):
    wrapped = plots.tuning._wrapped(name)
    assert wrapped.count("\n") + 1 == lines
    assert max(map(len, wrapped.splitlines())) <= 28, "the margin of the figure holds no more"
    assert wrapped.replace("\n", " ").replace(", ", ",") == name.removeprefix("dhr(").removesuffix(")")


@pytest.mark.parametrize("level", ["50", "97.5"])
def test_figures_follow_whatever_levels_there_are(level: str) -> None:
    """`FORECAST_LEVELS` is the user's to set; a figure that knows three levels only would fail the asset."""
    ds = pd.date_range("2023-11-17", periods=26, freq="W-FRI")
    bounds = {f"lo-{level}": 90.0, f"hi-{level}": 110.0}
    history = pd.DataFrame({"unique_id": "A", "ds": pd.date_range("2022-11-11", periods=53, freq="W-FRI"), "y": 99.0})
    forecast = pd.DataFrame({"unique_id": "A", "ds": ds, "cutoff": pd.Timestamp("2023-11-10"), "mean": 100.0, **bounds})
    held_out = forecast.assign(role="candidate", y=101.0, observed=True)
    scores = pd.DataFrame(
        {"unique_id": ["A"], "role": ["candidate"], f"coverage-{level}": [0.5], f"width-{level}": [20.0]}
    )
    for figure in (plots.fan_chart(history, forecast), plots.held_out(held_out), plots.coverage_bars(scores)):
        assert figure.startswith(b"\x89PNG")


@pytest.mark.parametrize("replaced", [0, 3])
def test_held_out_errors_are_of_the_observed_weeks(monkeypatch: pytest.MonkeyPatch, replaced: int) -> None:
    """As in the scores beside the picture: a week within a break says nothing of the forecast."""
    titles = []
    real = plots.model.single
    monkeypatch.setattr(plots.model, "single", lambda title: titles.append(title) or real(title))
    rows = forecast()
    rows.loc[: replaced - 1, ["y", "observed"]] = [1.0, False]
    plots.held_out(rows)
    assert titles == [f"W: mean error of 100 over {26 - replaced} held-out weeks"]


def test_correlograms_are_those_of_the_log_volumes_and_their_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(plots.history, "correlogram", lambda axes, found, *, n: drawn.append(found))
    plots.correlograms(OBSERVATIONS)
    for values, found in zip((np.log(Y), np.diff(np.log(Y))), drawn[::2], strict=True):
        centred = values - values.mean()
        by_hand = [centred[lag:] @ centred[:-lag] / (centred @ centred) for lag in range(1, 105)]
        np.testing.assert_allclose(found, by_hand, atol=1e-12)
    assert [len(found) for found in drawn] == [104] * 4
