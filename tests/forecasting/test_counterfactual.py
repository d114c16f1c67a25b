import warnings
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.counterfactual import counterfactual, seasonal_mean
from forecasting.errors import ForecastingError, SeriesError, SeriesTooShortError

SPAN = ("2016-03-04", "2016-06-24")


def breaks(start=SPAN[0], end=SPAN[1], *, unique_id="A", name="flood", fitted_from="2012-01-01"):
    days = {"start": start, "end": end, "fitted_from": fitted_from}
    return pd.DataFrame([{"unique_id": unique_id, "name": name} | {k: pd.Timestamp(v) for k, v in days.items()}])


@pytest.fixture
def history():
    ds = pd.date_range("2012-01-06", "2017-06-30", freq="W-FRI")
    log_y = 8 + 0.1 * np.sin(2 * np.pi * np.arange(len(ds)) / 52) + np.random.default_rng(5).normal(0, 0.01, len(ds))
    return pd.DataFrame({"unique_id": "A", "ds": ds, "y": np.exp(log_y)})


def sktime_forecast(log_y, steps):
    from sktime.forecasting.naive import NaiveForecaster
    from sktime.forecasting.trend import STLForecaster

    parts = {f"forecaster_{part}": NaiveForecaster(strategy="mean", sp=52) for part in ("trend", "seasonal", "resid")}
    series = pd.Series(log_y.to_numpy(), index=pd.DatetimeIndex(log_y.index).to_period("W-FRI"))
    return STLForecaster(sp=52, robust=True, **parts).fit(series).predict(fh=np.arange(1, steps + 1)).to_numpy()


def test_equals_the_pipeline_of_sktime_on_gasoline(real_history, real_counterfactual):
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"].set_index("ds")["y"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sktime's own deprecations
        expected = np.exp(sktime_forecast(np.log(gasoline["2013-01-01":"2020-03-06"]), 128))
    found = real_counterfactual["WGFUPUS2"]["2020-03-13":"2022-08-19"]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert not np.allclose(found, np.trunc(found), rtol=0, atol=1e-6)


def test_only_the_weeks_of_the_break_are_replaced(history):
    table = counterfactual(history, breaks(), span_start=date(2014, 1, 1))
    inside = table["ds"].between(*SPAN)
    assert table["ds"].min() == pd.Timestamp("2014-01-03")
    assert table["replaced"].equals(inside.rename("replaced"))
    assert (table.loc[~inside, "counterfactual"] == table.loc[~inside, "y"]).all()
    assert (table.loc[inside, "counterfactual"] != table.loc[inside, "y"]).all()
    np.testing.assert_array_equal(table["y"], history.loc[history["ds"] >= "2014-01-03", "y"])


def test_the_break_itself_and_what_follows_are_not_looked_at(history):
    spoilt = history.assign(y=history["y"].where(history["ds"] < SPAN[0], 1.0))
    one, other = (counterfactual(h, breaks(), span_start=date(2012, 1, 6)) for h in (history, spoilt))
    columns = ["ds", "counterfactual", "replaced"]
    pd.testing.assert_frame_equal(one.loc[one["replaced"], columns], other.loc[other["replaced"], columns])


def test_weeks_before_the_fit_are_not_looked_at(history):
    late = breaks(fitted_from="2013-01-01")
    spoilt = history.assign(y=history["y"].where(history["ds"] >= "2013-01-01", 9e9))
    one, other = (counterfactual(h, late, span_start=date(2014, 1, 1)) for h in (history, spoilt))
    pd.testing.assert_frame_equal(one, other)


def test_without_a_break_nothing_changes(history):
    table = counterfactual(history, breaks(unique_id="B"), span_start=date(2012, 1, 6))
    assert not table["replaced"].any()
    np.testing.assert_array_equal(table["counterfactual"], history["y"])


def test_a_later_break_learns_from_the_replaced_weeks_of_an_earlier_one(history):
    first, second = breaks(), breaks("2016-12-02", "2017-01-27", name="fire")
    spoilt = history.assign(y=history["y"].where(~history["ds"].between(*SPAN), 1.0))
    both = pd.concat([second, first])
    one, other = (counterfactual(h, both, span_start=date(2012, 1, 6)) for h in (history, spoilt))
    np.testing.assert_array_equal(one["counterfactual"], other["counterfactual"])
    assert one["replaced"].sum() == 17 + 9


def test_a_missing_week_stays_missing(history):
    gaps = pd.to_datetime(["2012-01-06", "2013-05-03", "2016-04-01"])
    table = counterfactual(history[~history["ds"].isin(gaps)], breaks(), span_start=date(2012, 1, 6))
    whole = counterfactual(history, breaks(), span_start=date(2012, 1, 6))
    assert not table["ds"].isin(gaps).any()
    kept = whole[~whole["ds"].isin(gaps)].reset_index(drop=True)
    assert table[["ds", "y", "replaced"]].equals(kept[["ds", "y", "replaced"]])
    np.testing.assert_allclose(table["counterfactual"], kept["counterfactual"], rtol=0.02)


def test_figures_without_a_logarithm_are_named(history):
    history.loc[60, "y"] = 0.0
    with pytest.raises(SeriesError, match=r"A: week 2013-03-01 is 0\.0"):
        counterfactual(history, breaks(), span_start=date(2014, 1, 1))


def test_two_seasons_before_the_break_are_needed(history):
    with pytest.raises(SeriesTooShortError, match="A: 103 weeks"):
        counterfactual(history.iloc[114:], breaks(), span_start=date(2014, 1, 1))


def test_an_empty_span_is_refused(history):
    with pytest.raises(ForecastingError, match="no week from 2020-01-01 on"):
        counterfactual(history, breaks(), span_start=date(2020, 1, 1))


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=40), st.integers(1, 30))
def test_seasonal_mean_is_the_mean_of_every_fourth_week_back(values, horizon):
    expected = [
        np.mean([v for i, v in enumerate(values) if (len(values) + step - i) % 4 == 0]) for step in range(horizon)
    ]
    np.testing.assert_allclose(seasonal_mean(values, horizon, period=4), expected, atol=1e-12)
