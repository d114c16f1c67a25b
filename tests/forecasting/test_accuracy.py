"""Scores of earlier forecasts: hand-computed rows, utilsforecast as the oracle, summaries, and stable types."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import accuracy, scoring

WEEK = pd.Timestamp("2023-11-10")
LEVELS = (80.0, 95.0)


def forecasts(*, means=(100.0, 90.0), levels=("80", "95"), unique_id="A"):
    """One forecast of WEEK from each of the weeks before it."""
    rows = pd.DataFrame({"unique_id": unique_id, "ds": WEEK, "mean": list(means)})
    rows["horizon"] = np.arange(1, len(rows) + 1)
    rows["cutoff"] = WEEK - pd.to_timedelta(7 * rows["horizon"], unit="D")
    for level in levels:
        rows[f"lo-{level}"], rows[f"hi-{level}"] = rows["mean"] - float(level) / 10, rows["mean"] + float(level) / 10
    return rows.assign(interval="conformal", model="dhr(K=2)", role="candidate", source="file")


def actuals(y=95.0, unique_id="A"):
    return pd.DataFrame({"unique_id": [unique_id], "ds": [WEEK], "y": [y]})


def span(cutoff, *, unique_id="A", weeks=110):
    """Values 0, 1, 2, ... observed, each a fifth higher in the counterfactual."""
    y = np.arange(float(weeks))
    ds = pd.date_range(end=cutoff, periods=weeks, freq="7D")
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": y, "counterfactual": 1.2 * y})


def references(*cutoffs, **options):
    spans = [span(cutoff, **options).assign(cutoff=cutoff) for cutoff in cutoffs]
    return accuracy.references(pd.concat(spans, ignore_index=True), WEEK)


def scored(**options):
    made = forecasts(**options)
    unique_id = options.get("unique_id", "A")
    found = references(*made["cutoff"], unique_id=unique_id)
    return accuracy.score(made, actuals(unique_id=unique_id), found, levels=LEVELS)


def test_a_forecast_is_scored_as_computed_by_hand():
    row = scored(means=(100.0,)).iloc[0]
    assert (row["y"], row["mean"], row["error"], row["absolute_error"]) == (95, 100, 5, 5)
    assert row["scaled_error"] == pytest.approx(5 / (52 * 1.2)), "the counterfactual rises by 52 x 1.2 a year"
    assert (row["inside-80"], row["inside-95"]) == (1, 1)
    assert (row["width-80"], row["width-95"]) == (16, 19)
    assert (row["naive"], row["naive_error"]) == (110 - 52, 110 - 52 - 95)
    # bounds 92 and 108, 90.5 and 109.5: the quantiles .1, .9, .025, .975, and the median
    losses = [0.1 * 3, 0.1 * 13, 0.025 * 4.5, 0.025 * 14.5, 0.5 * 5]
    assert row["pinball"] == pytest.approx(np.mean(losses))


def test_rows_are_in_order_of_series_and_cutoff_and_weeks_without_a_figure_are_left_out():
    made = pd.concat([forecasts(unique_id="B"), forecasts(unique_id="A"), forecasts(unique_id="GONE")])
    both = pd.concat([actuals(unique_id="A"), actuals(unique_id="B")])
    found = accuracy.score(made, both, references(*forecasts()["cutoff"]), levels=LEVELS)
    assert list(found["unique_id"]) == ["A", "A", "B", "B"]
    assert list(found["horizon"]) == [2, 1, 2, 1]
    assert found.loc[found["unique_id"] == "B", "scaled_error"].isna().all(), "B has no reference here"


@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=8
    )
)
def test_pinball_and_coverage_are_those_of_utilsforecast(values):
    from utilsforecast import losses

    y, mean, inner, outer = (np.array(column) for column in zip(*values, strict=True))
    made = forecasts(means=mean).assign(ds=WEEK + pd.to_timedelta(7 * np.arange(len(y)), unit="D"))
    made["lo-80"], made["hi-80"] = made["mean"] - inner, made["mean"] + inner
    made["lo-95"], made["hi-95"] = made["lo-80"] - outer, made["hi-80"] + outer
    known = pd.DataFrame({"unique_id": "A", "ds": made["ds"], "y": y})
    nothing = pd.DataFrame({"unique_id": ["A"], "cutoff": [WEEK], "ds": [WEEK], "scale": [np.nan], "naive": [np.nan]})
    table = accuracy.score(made, known, nothing, levels=LEVELS)
    long = made.merge(known).drop(columns="cutoff")  # one mean over all of them
    quantiles = {0.1: "lo-80", 0.9: "hi-80", 0.025: "lo-95", 0.975: "hi-95", 0.5: "mean"}
    expected = np.mean(
        [losses.quantile_loss(long, models={"m": name}, q=q)["m"].iloc[0] for q, name in quantiles.items()]
    )
    assert table["pinball"].mean() == pytest.approx(expected)
    share = losses.coverage(long.rename(columns={"lo-80": "m-lo-80", "hi-80": "m-hi-80"}), models=["m"], level=80)
    assert table["inside-80"].mean() == share["m"].iloc[0]
    assert table["pinball"].mean() == pytest.approx(
        np.mean([scoring.pinball(y, long[name], level=q) for q, name in quantiles.items()])
    )


def test_a_bound_is_inside():
    made = forecasts(means=(100.0,))
    found = accuracy.score(made, actuals(y=92.0), references(made["cutoff"].iloc[0]), levels=LEVELS)
    assert found["inside-80"].iloc[0] == 1


def test_a_forecast_made_with_other_levels_is_scored_by_those_it_has():
    made = pd.concat([forecasts(means=(100.0,)), forecasts(means=(100.0, 100.0), levels=("95",)).tail(1)])
    found = accuracy.score(made, actuals(), references(*made["cutoff"]), levels=(80, 95, 99)).set_index("horizon")
    assert found["inside-80"].isna().to_dict() == {2: True, 1: False}
    assert found[["inside-99", "width-99"]].isna().all(axis=None)
    assert found.loc[2, "pinball"] == pytest.approx(np.mean([0.025 * 4.5, 0.025 * 14.5, 0.5 * 5]))


def test_the_naive_forecast_is_the_last_year_that_the_cutoff_knew():
    found = references(WEEK - pd.Timedelta(weeks=60), WEEK - pd.Timedelta(weeks=52)).set_index("cutoff")["naive"]
    assert found.tolist() == [109 - (104 - 60), 109], "52 weeks before the target had come for the later one only"


def test_the_scale_is_that_of_mase_for_every_series_and_cutoff():
    rng = np.random.default_rng(4)
    cutoffs = [WEEK - pd.Timedelta(weeks=back) for back in (1, 2)]
    spans = pd.concat(
        [
            span(cutoff, unique_id=name).assign(cutoff=cutoff, counterfactual=rng.uniform(1, 2, 110))
            for name in "BA"
            for cutoff in cutoffs
        ],
        ignore_index=True,
    )
    for row in accuracy.references(spans, WEEK).to_dict("records"):
        own = spans[(spans["unique_id"] == row["unique_id"]) & (spans["cutoff"] == row["cutoff"])]
        assert 1 / row["scale"] == pytest.approx(scoring.mase([2.0], [1.0], own["counterfactual"]))


def test_a_span_without_a_scale_or_a_last_year_gives_no_number():
    cutoff = WEEK - pd.Timedelta(weeks=1)
    short = references(cutoff, weeks=40).iloc[0]
    flat = span(cutoff).assign(counterfactual=1.0, cutoff=cutoff)
    assert np.isnan(short["scale"])
    assert np.isnan(short["naive"])
    assert np.isnan(accuracy.references(flat, WEEK)["scale"].iloc[0])


def test_columns_and_types_do_not_depend_on_the_rows():
    table, nothing = scored(), accuracy.empty(LEVELS)
    assert table.dtypes.to_dict() == nothing.dtypes.to_dict()
    assert len(nothing) == 0
    unmatched = accuracy.score(forecasts(), actuals(unique_id="B"), references(WEEK), levels=LEVELS)
    assert unmatched.dtypes.to_dict() == table.dtypes.to_dict()


def test_a_summary_is_the_mean_over_its_rows():
    table = pd.concat([scored(means=(100.0, 90.0, 105.0)), scored(unique_id="B", means=(95.0,))])
    by_series = accuracy.summarize(table, ["unique_id"]).set_index("unique_id")
    a = by_series.loc["A"]
    assert (a["n"], a["weeks"]) == (3, 1)
    assert a["mae"] == pytest.approx(20 / 3)
    assert a["bias"] == pytest.approx(10 / 3)
    assert a["bias_percent"] == pytest.approx(100 * 10 / 3 / 95)
    own = table[table["unique_id"] == "A"]
    assert a["relative"] == pytest.approx(own["absolute_error"].sum() / own["naive_error"].abs().sum())
    assert a["coverage-80"] == pytest.approx(2 / 3)
    assert a["width-95"] == pytest.approx(19)
    assert by_series.loc["B", "mae"] == 0
    assert accuracy.summarize(table)["n"].tolist() == [4]
    assert list(accuracy.summarize(table, ["unique_id", "horizon"]).columns[:3]) == ["unique_id", "horizon", "n"]


def test_weeks_without_a_naive_forecast_do_not_count_in_the_comparison_with_it():
    table = scored(means=(100.0, 90.0))
    table.loc[0, ["naive", "naive_error"]] = np.nan
    found = accuracy.summarize(table).iloc[0]
    assert found["mae"] == 5
    assert found["relative"] == pytest.approx(table.loc[1, "absolute_error"] / abs(table.loc[1, "naive_error"]))


def test_nothing_sums_up_to_no_row():
    assert accuracy.summarize(accuracy.empty(LEVELS), ["unique_id"]).empty
