"""The parts of a change: one thing is changed at a time and lands in its part alone; together they add up."""

from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from forecasting import changes, forecaster, models
from forecasting.breaks import find_breaks
from forecasting.changes import PARTS, Known
from forecasting.configuration import DEFAULT, SEASONAL_NAIVE, Configuration
from forecasting.counterfactual import counterfactual
from forecasting.errors import FitError

SMALL = Configuration(harmonics=1, holidays=False, counterfactual=False)
OTHER = Configuration(harmonics=2, holidays=False, counterfactual=False)
NO_BREAK = pd.DataFrame({"unique_id": [], "start": [], "end": [], "fitted_from": []})


def known(y: pd.Series, breaks: pd.DataFrame = NO_BREAK) -> Known:
    return Known(pd.DataFrame({"unique_id": y.name, "ds": y.index, "y": y.to_numpy()}), breaks)


def published(y: pd.Series, configuration: Configuration = SMALL) -> tuple[dict, pd.DataFrame]:
    """The entry of a fit, and its forecast as the lake has it."""
    entry = models.fit(y, configuration).entry
    rows = pd.DataFrame(forecaster.forecast(entry, interval="normal"))[["ds", "horizon", "mean"]]
    rows = rows.assign(unique_id=y.name, ds=pd.to_datetime(rows["ds"]), cutoff=pd.Timestamp(entry["cutoff"]))
    return entry, rows


def decomposed(then: pd.Series, now: pd.Series, *, to: Configuration = SMALL, start: int = 0) -> pd.DataFrame:
    """From one week's history and `SMALL` to another week's, of weeks `start` on, and another configuration."""
    entry, before = published(then)
    _, after = published(now.iloc[start:], to)
    return changes.decompose(before, after, entry, then=known(then), now=known(now))


def moved(table: pd.DataFrame) -> set[str]:
    return {part for part in PARTS if table[part].abs().max() > 1e-6}


def test_nothing_changed_is_no_change(simulated: pd.Series) -> None:
    table = decomposed(simulated, simulated)
    assert (table[["change", *PARTS]] == 0).all(axis=None), "to the last bit"
    assert list(table["horizon"]) == list(range(1, 27))


def test_revised_weeks_are_revised_data_alone(simulated: pd.Series) -> None:
    revised = simulated.copy()
    revised.iloc[-3] *= 1.05
    table = decomposed(simulated, revised)
    assert moved(table) == {"revised_data"}
    assert table["revised_data"].equals(table["change"].rename("revised_data"))


def test_another_configuration_is_hyper_parameters_alone(simulated: pd.Series) -> None:
    assert moved(decomposed(simulated, simulated, to=OTHER)) == {"hyper_parameters"}


def test_a_week_more_is_new_data_alone(simulated: pd.Series) -> None:
    table = decomposed(simulated.iloc[:-1], simulated, start=1)
    assert moved(table) == {"new_data"}
    assert list(table["horizon"]) == list(range(1, 26)), "weeks after this week's cutoff that both forecast"


def test_a_longer_training_span_is_a_hyper_parameter(simulated: pd.Series) -> None:
    assert moved(decomposed(simulated.iloc[1:-1], simulated, start=0)) == {"new_data", "hyper_parameters"}


def test_a_forecast_that_the_code_of_today_does_not_make_is_new_code_alone(simulated: pd.Series) -> None:
    entry, after = published(simulated)
    before = after.assign(mean=after["mean"] * 1.01)
    table = changes.decompose(before, after, entry, then=known(simulated), now=known(simulated))
    assert moved(table) == {"new_code"}
    np.testing.assert_allclose(table["new_code"], after["mean"] - before["mean"])


def test_rounding_is_no_new_code(simulated: pd.Series) -> None:
    entry, after = published(simulated)
    before = after.assign(mean=after["mean"] * (1 + 1e-12))
    table = changes.decompose(before, after, entry, then=known(simulated), now=known(simulated))
    assert (table["new_code"] == 0).all()


def test_every_step_is_a_refit_and_the_parts_add_up(simulated: pd.Series) -> None:
    then, now = simulated.iloc[:-1], simulated.copy()
    now.iloc[40] *= 0.9
    entry, before = published(then)
    before["mean"] *= 0.99
    _, after = published(now, OTHER)
    table = changes.decompose(before, after, entry, then=known(then), now=known(now)).set_index("ds")

    def means(y: pd.Series) -> pd.Series:
        return published(y)[1].set_index("ds")["mean"].reindex(table.index)

    steps = [table["before"], means(then), means(now.iloc[:-1]), means(now.iloc[1:]), table["after"]]
    for part, (low, high) in zip(PARTS, pairwise(steps), strict=True):
        np.testing.assert_allclose(table[part], high - low, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(table[list(PARTS)].sum(axis=1), table["change"], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(table["change"], table["after"] - table["before"])


def test_a_break_that_is_found_longer_is_revised_data(simulated: pd.Series) -> None:
    configuration = Configuration(harmonics=1, holidays=False)
    days = {"start": [simulated.index[120]], "fitted_from": [simulated.index[0]], "unique_id": ["SIM"]}
    shorter, longer = (pd.DataFrame({**days, "end": [simulated.index[last]]}) for last in (130, 140))
    sides = [known(simulated, breaks) for breaks in (shorter, longer)]
    spans = [
        counterfactual(side.observations, side.breaks, span_start=simulated.index[0].date()).set_index("ds")[
            "counterfactual"
        ]
        for side in sides
    ]
    (entry, before), (_, after) = (published(span.rename("SIM"), configuration) for span in spans)
    table = changes.decompose(before, after, entry, then=sides[0], now=sides[1])
    assert moved(table) == {"revised_data"}


def test_a_stand_in_is_fitted_as_what_it_is(simulated: pd.Series) -> None:
    entry, before = published(simulated.iloc[:-1], SEASONAL_NAIVE)
    _, after = published(simulated.iloc[1:], SEASONAL_NAIVE)
    table = changes.decompose(before, after, entry, then=known(simulated.iloc[:-1]), now=known(simulated))
    assert (table["change"] == 0).all(), "the same week of last year is forecast for the same week"


def test_the_published_model_of_last_week_is_made_again_to_the_last_digit(
    real_history: pd.DataFrame, covid: object
) -> None:
    """The default configuration on gasoline, its break and its counterfactual, from observations alone."""
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"]
    weeks = [pd.Timestamp("2023-11-03"), pd.Timestamp("2023-11-10")]
    sides = []
    for week in weeks:
        seen = gasoline[gasoline["ds"] <= week]
        sides.append(Known(seen, find_breaks(seen, [covid], last=date(2023, 5, 12))))  # type: ignore[list-item]
    made = []
    for week, side in zip(weeks, sides, strict=True):
        start = (week - pd.Timedelta(weeks=566)).date()
        span = counterfactual(side.observations, side.breaks, span_start=start)
        y = pd.Series(span["counterfactual"].to_numpy(), index=pd.DatetimeIndex(span["ds"]), name="WGFUPUS2")
        made.append(published(y, DEFAULT))
    table = changes.decompose(made[0][1], made[1][1], made[0][0], then=sides[0], now=sides[1])
    assert moved(table) == {"new_data"}
    assert table["new_data"].equals(table["change"].rename("new_data"))


def test_a_history_that_no_model_can_be_fitted_to_fails_by_name(simulated: pd.Series) -> None:
    entry, before = published(simulated.iloc[:-1])
    gap = simulated.drop(simulated.index[50])
    with pytest.raises(FitError, match="SIM: .* weeks must be consecutive Fridays"):
        changes.decompose(before, before, entry, then=known(simulated), now=known(gap))


# -- in words -------------------------------------------------------------------------------------------------------


def table_of(unique_id: str = "A", **parts: float) -> pd.DataFrame:
    ds = pd.date_range("2023-11-17", periods=25, freq="7D")
    values = dict.fromkeys(PARTS, 0.0) | parts
    frame = pd.DataFrame({"unique_id": unique_id, "ds": ds, "horizon": range(1, 26), "before": 1000.0, **values})
    return frame.assign(change=frame[list(PARTS)].sum(axis=1))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param({}, "A: unchanged", id="nothing"),
        pytest.param({"new_data": 8.0}, "A: +0.8 %, all new data", id="one"),
        pytest.param(
            {"new_data": 8.0, "revised_data": 2.0}, "A: +1.0 %, mostly new data (beside it revised data 20 %)"
        ),
        pytest.param({"new_data": 10.0, "hyper_parameters": -0.2}, "A: +1.0 %, mostly new data", id="a-trifle"),
        pytest.param(
            {"new_data": 4.0, "hyper_parameters": -4.5, "new_code": 1.5},
            "A: +0.1 %, first of all new hyper-parameters (beside it new code 15 %, new data 40 %)",
        ),
    ],
)
def test_a_change_is_said_in_words(parts: dict[str, float], said: str) -> None:
    assert changes.summarize(table_of(**parts))["reason"].tolist() == [said]


def test_shares_are_of_sizes_and_percentages_of_the_level() -> None:
    row = changes.summarize(pd.concat([table_of(new_data=-30.0, revised_data=10.0), table_of("B")])).set_index(
        "unique_id"
    )
    a = row.loc["A"]
    assert (a["change_percent"], a["new_data_percent"], a["new_data_share"]) == pytest.approx((-2, -3, 0.75))
    assert row.loc["B", [f"{part}_share" for part in PARTS]].tolist() == [0, 0, 0, 0]


def test_no_change_has_the_types_of_any(simulated: pd.Series) -> None:
    pd.testing.assert_series_equal(changes.EMPTY.dtypes, decomposed(simulated, simulated).dtypes)
    assert changes.summarize(changes.EMPTY).empty
